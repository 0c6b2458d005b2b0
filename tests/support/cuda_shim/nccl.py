"""NCCL of the stand-in GPU: threads play the processes, each with a GPU of its own. CuPy's `cupy.cuda.nccl`.

It is as strict as NCCL, or stricter. Sends and receives must be inside a group, between other threads, and of memory of
the device. A send ends only when it is received, by a call with the same count and dtype. During capture no connection
can be made: neither a communicator, nor the first exchange with a thread. A recorded call meets only calls that were
recorded together with it, and the calls of a recording must not run in parallel. What NCCL would wait for in vain
raises NcclError after `PATIENCE` seconds. A communicator that is freed is counted in `freed`: NCCL would wait until all
its recordings are gone.
"""

from __future__ import annotations

import queue
import threading
import uuid
import weakref
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from tests.support.cuda_shim import runtime

available = True
NCCL_INT8, NCCL_UINT8 = 0, 1
PATIENCE = 20.0
freed = 0  # how many communicators have been freed


class NcclError(RuntimeError):
    """A failed call of NCCL."""


GPUS = SimpleNamespace(
    getDevice=threading.get_ident,  # each thread has its own
    getDeviceProperties=lambda number: {"uuid": number.to_bytes(16, "little")},
    deviceGetPCIBusId=lambda number: "0000:01:00.0",
)
"""The part of `cupy.cuda.runtime` that says which GPU is current."""


class _Message:
    """Bytes that a thread sends."""

    def __init__(self, data: np.ndarray, dtype: int, recording: int):
        self.data, self.dtype, self.recording, self.taken = data.copy(), dtype, recording, threading.Event()


class _Clique:
    """The communicators made with one key."""

    def __init__(self, size: int):
        self.barrier, self.gpus = threading.Barrier(size), [0] * size
        self.channels = {(r, s): queue.Queue() for r in range(size) for s in range(size) if r != s}


class _Call(NamedTuple):
    """A send or receive of a group."""

    communicator: NcclCommunicator
    sends: bool
    place: int
    count: int
    dtype: int
    peer: int
    stream: int


class _Now(threading.local):
    def __init__(self):
        self.group: list[_Call] | None = None


_now, _cliques, _lock = _Now(), {}, threading.Lock()


def get_version() -> int:
    return 22809


def get_unique_id() -> bytes:
    return uuid.uuid4().bytes * 8


def groupStart() -> None:
    if _now.group is not None:
        raise NcclError("NCCL_ERROR_INVALID_USAGE: a group inside a group")
    _now.group = []


def groupEnd() -> None:
    calls, _now.group = _now.group, None
    if calls is None:
        raise NcclError("NCCL_ERROR_INVALID_USAGE: no group was started")
    if not calls:
        return
    if len({(id(call.communicator), call.stream) for call in calls}) > 1:
        raise NcclError("NCCL_ERROR_INVALID_USAGE: a group on two streams or communicators")
    if calls[0].stream != runtime.get_current_stream().ptr:
        raise NcclError("NCCL_ERROR_INVALID_ARGUMENT: not the current stream")
    calls[0].communicator._exchange(calls)


class NcclCommunicator:
    """The connection of this thread to `size` − 1 others."""

    def __init__(self, size: int, key: bytes, rank: int):
        runtime.refuse_while_capturing("ncclCommInitRank")
        if len(key) != 128:
            raise NcclError("NCCL_ERROR_INVALID_ARGUMENT: not a key")
        with _lock:
            self._clique = _cliques.setdefault(bytes(key), _Clique(size))
        self._rank, self._met, self._recordings = rank, set(), 0
        self._last: tuple[Any, int] = (lambda: None, 0)  # the last recorded call: its graph and step
        self._clique.gpus[rank] = GPUS.getDevice()
        self._wait()
        if len(set(self._clique.gpus)) < size:
            raise NcclError("NCCL_ERROR_INVALID_USAGE: Duplicate GPU detected")

    def __del__(self):
        global freed
        freed += 1

    def _wait(self) -> None:
        try:
            self._clique.barrier.wait(PATIENCE)
        except threading.BrokenBarrierError:
            raise NcclError("a process does not connect") from None

    def send(self, place: int, count: int, dtype: int, peer: int, stream: int) -> None:
        self._add(True, place, count, dtype, peer, stream)

    def recv(self, place: int, count: int, dtype: int, peer: int, stream: int) -> None:
        self._add(False, place, count, dtype, peer, stream)

    def _add(self, *call: Any) -> None:
        added = _Call(self, *call)
        if _now.group is None:
            raise NcclError("NCCL_ERROR_INVALID_USAGE: outside of a group, this waits for a call that cannot come")
        if added.peer == self._rank or not 0 <= added.peer < len(self._clique.gpus):
            raise NcclError(f"NCCL_ERROR_INVALID_ARGUMENT: rank {self._rank} and peer {added.peer}")
        if added.dtype not in (NCCL_INT8, NCCL_UINT8):
            raise NcclError("NCCL_ERROR_INVALID_ARGUMENT: this stand-in only sends bytes")
        _now.group.append(added)

    def _exchange(self, calls: list[_Call]) -> None:
        found = [runtime.find(call.place, call.count) for call in calls]
        if None in found:
            raise NcclError("NCCL_ERROR_INVALID_ARGUMENT: an address that is not in memory of the device")
        graph, stream, peers = runtime.capturing(), runtime.get_current_stream(), {call.peer for call in calls}
        recording = 0
        if graph is None:
            self._met |= peers
        else:
            if not peers <= self._met:
                graph.refuse("NCCL's first exchange with a process")
            if self._last[0]() is graph and self._last[1] not in graph.before(stream.last):
                graph.refuse("NCCL on two parallel branches")
            self._recordings += 1
            recording = self._recordings
        steps = [(call._replace(communicator=None), data) for call, (_, data) in zip(calls, found, strict=True)]
        work = partial(_transfer, self._clique.channels, self._rank, steps, recording)
        if graph is None:
            work()
        else:
            graph.record(work, [memory for memory, _ in found])
            (step,) = stream.last
            self._last = weakref.ref(graph), step


def _transfer(channels: dict, rank: int, steps: list[tuple[_Call, np.ndarray]], recording: int) -> None:
    """Send and receive all at once, and wait until what is sent has been received."""
    sent = []
    for call, data in steps:
        if call.sends:
            sent.append(_Message(data, call.dtype, recording))
            channels[rank, call.peer].put(sent[-1])
    for call, data in steps:
        if not call.sends:
            try:
                message = channels[call.peer, rank].get(timeout=PATIENCE)
            except queue.Empty:
                raise NcclError(f"process {rank} waits for process {call.peer}") from None
            if (message.data.size, message.dtype) != (data.size, call.dtype):
                raise NcclError(f"{message.data.size} bytes were sent, and {data.size} are received")
            if message.recording != recording:
                raise NcclError("a recorded call meets one that was not recorded together with it")
            data[...] = message.data
            message.taken.set()
    for message in sent:
        if not message.taken.wait(PATIENCE):
            raise NcclError(f"nobody receives what process {rank} sends")
