"""Streams, graphs and memory of a device that is not there, with CuPy's names: the `cupy.cuda` of stand_in.py.

While a stream captures, nothing runs: what would run is written down, and `Graph.launch` runs it, in another order each
time of those that the streams and events left open. As on CUDA, what the host would have to wait for is refused while
capturing, and spoils the capture. A graph keeps no memory: all that it uses, somebody must still hold.
"""

from __future__ import annotations

import random
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

GUARD, PATTERN = 64, 0xFF  # bytes before and after an array that nobody may write to; NaN for whoever reads them


class CUDARuntimeError(RuntimeError):
    """What a call of the CUDA runtime returns when it fails."""


# Memory


class Memory:
    """Bytes of a pool, which get them back when the last array in them is gone."""

    def __init__(self, pool: MemoryPool, size: int):
        self.pool, self.size = pool, size
        self.raw = np.empty(size + 2 * GUARD, np.uint8)
        self.raw[:GUARD] = self.raw[size + GUARD :] = PATTERN
        pool.used += size

    def __del__(self):
        self.pool.used -= self.size


class MemoryPointer(NamedTuple):
    """Where something is, as `x.data` is for an array."""

    mem: Memory
    offset: int

    @property
    def ptr(self) -> int:
        return self.mem.raw.__array_interface__["data"][0] + self.offset


class MemoryPool:
    """Where memory comes from; `malloc` is what `using_allocator` takes."""

    def __init__(self):
        self.used = 0

    def malloc(self, size: int) -> MemoryPointer:
        return MemoryPointer(Memory(self, size), GUARD)

    def used_bytes(self) -> int:
        return self.used

    total_bytes = used_bytes

    def free_all_blocks(self) -> None:
        """There are none: what is given back is gone at once."""


def check_guards(raw: np.ndarray, what: str) -> None:
    """Raises CUDARuntimeError if the bytes before or after an array were written to."""
    if (raw[:GUARD] != PATTERN).any() or (raw[-GUARD:] != PATTERN).any():
        raw[:GUARD] = raw[-GUARD:] = PATTERN
        raise CUDARuntimeError(f"cudaErrorIllegalAddress: {what} wrote outside of an array")


# Streams


class Stream:
    """An order of work. Work is done at once, unless the stream captures."""

    null: Stream

    def __init__(self, null: bool = False, non_blocking: bool = False):
        self.is_null, self.non_blocking, self.graph, self._outer = null, non_blocking, None, []
        self.last: frozenset[int] = frozenset()  # steps of the graph that whatever comes next has to wait for

    def __enter__(self) -> Stream:
        self._outer.append(_now.stream)
        return self.use()

    def __exit__(self, *error: object) -> None:
        _now.stream = self._outer.pop()

    def use(self) -> Stream:
        """Makes this the current stream."""
        _now.stream = self
        return self

    def begin_capture(self, mode: Any = None) -> None:
        if self.is_null or self.graph is not None:
            raise CUDARuntimeError(
                "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing"
            )
        self.graph, self.last = Graph(self), frozenset()

    def end_capture(self) -> Graph:
        """What was captured. Raises CUDARuntimeError where something was refused meanwhile; it ends all the same."""
        graph = self.graph
        if graph is None or graph.streams[0] is not self:
            raise CUDARuntimeError("cudaErrorIllegalState: the stream is not capturing")
        for stream in graph.streams:
            stream.graph = None
        if any(graph.before(stream.last) - graph.before(self.last) for stream in graph.streams):
            raise CUDARuntimeError("cudaErrorStreamCaptureUnjoined: the stream does not wait for another's work")
        if graph.spoiled:
            raise CUDARuntimeError(
                f"cudaErrorStreamCaptureInvalidated: operation failed due to a previous error during capture "
                f"({graph.spoiled})"
            )
        return graph

    def is_capturing(self) -> bool:
        return self.graph is not None

    def synchronize(self) -> None:
        if self.graph is not None:
            self.graph.refuse("synchronize")

    def record(self, event: Event | None = None) -> Event:
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Without a graph there is nothing to wait for: all that was asked for is done."""
        if event.graph is None and self.graph is not None:
            self.graph.refuse("waiting for what is not captured")
        if event.graph is not None:
            if self.is_null or self.graph not in (None, event.graph):
                event.graph.refuse("waiting on another stream")
            if self.graph is None:
                event.graph.streams.append(self)
                self.graph, self.last = event.graph, frozenset()
            self.last |= event.last


Stream.null = Stream(null=True)


class Event:
    """A moment of a stream."""

    def __init__(self, block: bool = False, disable_timing: bool = False):
        self.moment, self.graph, self.last = None, None, frozenset()

    def record(self, stream: Stream | None = None) -> None:
        stream = _now.stream if stream is None else stream
        self.moment, self.graph, self.last = time.perf_counter(), stream.graph, stream.last

    def synchronize(self) -> None:
        refuse_while_capturing("synchronize")

    @property
    def done(self) -> bool:
        return True


def get_elapsed_time(start: Event, end: Event) -> float:
    """Milliseconds between two events."""
    return 1000 * (end.moment - start.moment)


class Graph:
    """Work that was captured, over the same memory each time."""

    def __init__(self, *streams: Stream):
        self.spoiled, self.streams, self._launches = "", list(streams), 0
        self._memory: list[weakref.ref[Memory]] = []
        self._steps: list[tuple[Callable[[], Any], frozenset[int]]] = []  # and what each waits for
        self._after: list[list[int]] = []  # those that wait for it

    def before(self, last: frozenset[int]) -> set[int]:
        """Those steps, and all that they wait for."""
        found, new = set(), set(last)
        while new:
            found |= new
            new = {step for number in new for step in self._steps[number][1]} - found
        return found

    def record(self, work: Callable[[], Any], memory: Iterable[Memory]) -> None:
        """Writes work of the current stream down, and what memory it is for."""
        number, stream = len(self._steps), _now.stream
        self._steps.append((work, stream.last))
        self._after.append([])
        for step in stream.last:
            self._after[step].append(number)
        stream.last = frozenset({number})
        for used in memory:
            self._memory.append(weakref.ref(used))

    def refuse(self, what: str) -> None:
        """Raises CUDARuntimeError for what a stream that captures cannot do."""
        self.spoiled = what
        message = "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing"
        raise CUDARuntimeError(f"{message} ({what})")

    def launch(self, stream: Stream | None = None) -> None:
        """Does the work. Raises CUDARuntimeError where memory it is for may be another's by now."""
        refuse_while_capturing("Graph.launch")
        if any(memory() is None for memory in self._memory):
            raise CUDARuntimeError("cudaErrorIllegalAddress: a graph uses memory that was given back")
        self._launches += 1
        order, waits = random.Random(self._launches), [len(before) for _, before in self._steps]
        ready = [number for number, count in enumerate(waits) if not count]
        while ready:
            number = ready.pop(order.randrange(len(ready)))
            self._steps[number][0]()
            for after in self._after[number]:
                waits[after] -= 1
                if not waits[after]:
                    ready.append(after)

    def upload(self, stream: Stream | None = None) -> None:
        """Launching will not have to."""


# What is current

DEFAULT_POOL = MemoryPool()


class _Now(threading.local):
    """Of each thread, as in CuPy."""

    def __init__(self):
        self.stream, self.malloc = Stream.null, DEFAULT_POOL.malloc


_now = _Now()


@contextmanager
def using_allocator(malloc: Callable[[int], MemoryPointer]):
    """Memory comes from there for a while."""
    before, _now.malloc = _now.malloc, malloc
    try:
        yield
    finally:
        _now.malloc = before


def allocate(size: int) -> MemoryPointer:
    """Memory from the allocator in use."""
    return _now.malloc(size)


def get_current_stream() -> Stream:
    return _now.stream


def capturing() -> Graph | None:
    """The graph that the current stream captures, if it does."""
    return _now.stream.graph


def refuse_while_capturing(what: str) -> None:
    if _now.stream.graph is not None:
        _now.stream.graph.refuse(what)


class Device:
    """The one there is."""

    def __init__(self, number: int = 0):
        self.id, self.attributes = number, {"MultiProcessorCount": 2}

    def synchronize(self) -> None:
        refuse_while_capturing("synchronize")
