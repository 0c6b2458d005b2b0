"""NCCL: how processes exchange arrays that lie on their GPUs, each process on a GPU of its own.

An exchange is one group of sends and receives on the current stream. It launches work and returns, so a CUDA graph can
record it. NCCL sets three conditions:

    The first exchange connects each pair of processes, which cannot be recorded, so `connect` makes one.
    An exchange is recorded on all processes or on none (`minigrad.program.gpu.executor` has them agree).
    A communicator must outlive all graphs that use it: to destroy or abort it earlier would wait for them for ever.
    Python frees objects in no certain order when it ends, so communicators are never freed.
"""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

OLDEST = 20900  # NCCL 2.9, the first version whose calls a CUDA graph can record

Exchange = Callable[[Sequence[Any], Sequence[Any]], None]


class _Member(NamedTuple):
    """What each process sends to the others before they connect."""

    problem: str  # why it cannot use NCCL; empty if it can
    gpu: Any = None  # identifies the GPU, also between machines
    key: Any = None  # NCCL's unique id of the communicator, made by process 0


def connect(cupy: Any, rank: int, size: int, share: Callable[[Any], list[Any]]) -> Exchange | None:
    """exchange(sent, received) between the current GPUs of `size` processes, as in `Group`; None if NCCL cannot.

    All processes call it together, and either all of them get a function or all get None. NCCL cannot connect them if
    it is missing on a process, if it fails, or if two processes use one GPU. Arrays then have to be exchanged through
    the host, which is slower and gives the same bits; a RuntimeWarning of process 0 says why. `share(value)` returns
    the values that all processes pass, by rank.
    """
    members = share(_describe(cupy, rank))
    problem = next((m.problem for m in members if m.problem), "") or _find_shared([m.gpu for m in members])
    exchange = None
    if not problem:
        mine = ""
        try:
            exchange = _make_exchange(cupy, rank, size, members[0].key)
        except Exception as error:  # NcclError, or one of CuPy's
            mine = f"NCCL fails on process {rank} ({error})"
        problem = next(filter(None, share(mine)), "")
    if not problem:
        return exchange
    if rank == 0:
        message = f"processes exchange arrays through the host instead of between their GPUs, because {problem}"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
    return None


def _describe(cupy: Any, rank: int) -> _Member:
    try:
        nccl, runtime = cupy.cuda.nccl, cupy.cuda.runtime
        if not nccl.available:
            return _Member(f"CuPy finds no NCCL library on process {rank}")
        if nccl.get_version() < OLDEST:
            return _Member(f"NCCL on process {rank} is older than 2.9")
        number = runtime.getDevice()
        name = runtime.getDeviceProperties(number)["uuid"][:16]  # CuPy may cut it off at a zero, or read beyond it
        gpu = runtime.deviceGetPCIBusId(number), name
        return _Member("", gpu, nccl.get_unique_id() if rank == 0 else None)
    except Exception as error:
        return _Member(f"NCCL fails on process {rank} ({error})")


def _find_shared(gpus: Sequence[Any]) -> str:
    """Says which processes use one GPU; empty if none do."""
    for rank, gpu in enumerate(gpus):
        if gpu in gpus[:rank]:
            return f"processes {gpus.index(gpu)} and {rank} use the same GPU: start at most as many as there are GPUs"
    return ""


def _make_exchange(cupy: Any, rank: int, size: int, key: Any) -> Exchange:
    """Connect to the other processes, and exchange a byte with each."""
    nccl, others = cupy.cuda.nccl, [r for r in range(size) if r != rank]
    communicator = nccl.NcclCommunicator(size, key, rank)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(communicator))  # it is never freed

    def exchange(sent: Sequence[Any], received: Sequence[Any]) -> None:
        stream = cupy.cuda.get_current_stream().ptr
        nccl.groupStart()
        try:
            for r in others:
                if sent[r].nbytes:
                    communicator.send(sent[r].data.ptr, sent[r].nbytes, nccl.NCCL_UINT8, r, stream)
                if received[r].nbytes:
                    communicator.recv(received[r].data.ptr, received[r].nbytes, nccl.NCCL_UINT8, r, stream)
        finally:
            nccl.groupEnd()

    sent, received = (cupy.zeros((size, 1), "uint8") for _ in range(2))
    exchange(list(sent), list(received))
    cupy.cuda.get_current_stream().synchronize()
    return exchange
