"""Streams, graphs and memory of the stand-in GPU, with CuPy's names: the `cupy.cuda` of stand_in.py.

While a stream captures, work is recorded instead of run; each `Graph.launch` runs it in another of the orders that
streams and events allow. As on CUDA, an operation that would make the host wait raises during capture and invalidates
the capture. A graph does not own its memory: the caller must keep alive all memory that it uses.
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

GUARD, PATTERN = 64, 0xFF  # guard bytes before and after an array; NaN when read as floating-point numbers


class CUDARuntimeError(RuntimeError):
    """A failed call of the CUDA runtime."""


# Memory


class Memory:
    """Bytes of a pool, freed together with the last array in them."""

    def __init__(self, pool: MemoryPool, size: int):
        self.pool, self.size = pool, size
        self.raw = np.empty(size + 2 * GUARD, np.uint8)
        self.raw[:GUARD] = self.raw[size + GUARD :] = PATTERN
        pool.used += size
        _existing[id(self)] = weakref.ref(self)

    def __del__(self):
        self.pool.used -= self.size
        del _existing[id(self)]


_existing: dict[int, weakref.ref[Memory]] = {}


def find(place: int, count: int) -> tuple[Memory, np.ndarray] | None:
    """The memory of the device that has these bytes, and the bytes; None if there is none."""
    for memory in filter(None, [ref() for ref in list(_existing.values())]):
        begin = place - MemoryPointer(memory, GUARD).ptr
        if 0 <= begin and begin + count <= memory.size:
            return memory, memory.raw[GUARD + begin : GUARD + begin + count]
    return None


class MemoryPointer(NamedTuple):
    """An address, like `x.data` of an array."""

    mem: Memory
    offset: int

    @property
    def ptr(self) -> int:
        return self.mem.raw.__array_interface__["data"][0] + self.offset


class MemoryPool:
    """Allocates memory; pass `malloc` to `using_allocator`."""

    def __init__(self):
        self.used = 0

    def malloc(self, size: int) -> MemoryPointer:
        return MemoryPointer(Memory(self, size), GUARD)

    def used_bytes(self) -> int:
        return self.used

    total_bytes = used_bytes

    def free_all_blocks(self) -> None:
        """Does nothing: memory is freed at once."""


def check_guards(raw: np.ndarray, what: str) -> None:
    """Raises CUDARuntimeError if the bytes before or after an array were written to."""
    if (raw[:GUARD] != PATTERN).any() or (raw[-GUARD:] != PATTERN).any():
        raw[:GUARD] = raw[-GUARD:] = PATTERN
        raise CUDARuntimeError(f"cudaErrorIllegalAddress: {what} wrote outside of an array")


# Streams


class Stream:
    """A queue of work, which runs at once unless the stream captures."""

    null: Stream

    def __init__(self, null: bool = False, non_blocking: bool = False):
        self.is_null, self.non_blocking, self.graph, self._outer = null, non_blocking, None, []
        self.last: frozenset[int] = frozenset()  # steps of the graph that the next step depends on

    @property
    def ptr(self) -> int:
        return 0 if self.is_null else id(self)

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
        """Ends the capture and returns the graph. Raises CUDARuntimeError if the capture was invalidated."""
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
        """Adds a dependency while capturing; otherwise there is nothing to wait for."""
        if event.graph is None and self.graph is not None:
            self.graph.refuse("waiting for an event that was not captured")
        if event.graph is not None:
            if self.is_null or self.graph not in (None, event.graph):
                event.graph.refuse("waiting on another stream")
            if self.graph is None:
                event.graph.streams.append(self)
                self.graph, self.last = event.graph, frozenset()
            self.last |= event.last


Stream.null = Stream(null=True)


class Event:
    """A point in the queue of a stream."""

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
    """Captured work, which runs on the same memory at every launch."""

    def __init__(self, *streams: Stream):
        self.spoiled, self.streams, self._launches = "", list(streams), 0
        self._memory: list[weakref.ref[Memory]] = []
        self._steps: list[tuple[Callable[[], Any], frozenset[int]]] = []  # with the steps each depends on
        self._after: list[list[int]] = []  # the steps that depend on it

    def before(self, last: frozenset[int]) -> set[int]:
        """These steps and all their predecessors."""
        found, new = set(), set(last)
        while new:
            found |= new
            new = {step for number in new for step in self._steps[number][1]} - found
        return found

    def record(self, work: Callable[[], Any], memory: Iterable[Memory]) -> None:
        """Records work of the current stream, and the memory it uses."""
        number, stream = len(self._steps), _now.stream
        self._steps.append((work, stream.last))
        self._after.append([])
        for step in stream.last:
            self._after[step].append(number)
        stream.last = frozenset({number})
        for used in memory:
            self._memory.append(weakref.ref(used))

    def refuse(self, what: str) -> None:
        """Invalidates the capture and raises CUDARuntimeError."""
        self.spoiled = what
        message = "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing"
        raise CUDARuntimeError(f"{message} ({what})")

    def launch(self, stream: Stream | None = None) -> None:
        """Runs the work. Raises CUDARuntimeError if some of its memory was freed."""
        refuse_while_capturing("Graph.launch")
        if any(memory() is None for memory in self._memory):
            raise CUDARuntimeError("cudaErrorIllegalAddress: a graph uses memory that was freed")
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
        """Does nothing; on CUDA it uploads the graph ahead of its first launch."""


# Current stream and allocator

DEFAULT_POOL = MemoryPool()


class _Now(threading.local):
    """Per thread, as in CuPy."""

    def __init__(self):
        self.stream, self.malloc = Stream.null, DEFAULT_POOL.malloc


_now = _Now()


@contextmanager
def using_allocator(malloc: Callable[[int], MemoryPointer]):
    """Use this allocator in the context."""
    before, _now.malloc = _now.malloc, malloc
    try:
        yield
    finally:
        _now.malloc = before


def allocate(size: int) -> MemoryPointer:
    """Memory from the current allocator."""
    return _now.malloc(size)


def get_current_stream() -> Stream:
    return _now.stream


def capturing() -> Graph | None:
    """The graph that the current stream is capturing, or None."""
    return _now.stream.graph


def refuse_while_capturing(what: str) -> None:
    if _now.stream.graph is not None:
        _now.stream.graph.refuse(what)


class Device:
    """The only device."""

    def __init__(self, number: int = 0):
        self.id, self.attributes = number, {"MultiProcessorCount": 2}

    def synchronize(self) -> None:
        refuse_while_capturing("synchronize")
