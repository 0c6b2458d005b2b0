"""The stand-in for NCCL refuses what NCCL would refuse, or wait for in vain."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.collectives import current, rank, run_in_threads
from tests.support.cuda_shim import nccl, runtime
from tests.support.stand_in import CUPY


@pytest.fixture(autouse=True)
def impatience(monkeypatch):
    monkeypatch.setattr(nccl, "PATIENCE", 1.0)


def connect():
    key = current().share(nccl.get_unique_id())[0]
    return nccl.NcclCommunicator(current().size, key, rank())


def exchange(communicator, sent, received, dtypes=(nccl.NCCL_UINT8, nccl.NCCL_UINT8)):
    """An exchange with the other one of two threads."""
    peer, stream = 1 - rank(), runtime.get_current_stream().ptr
    nccl.groupStart()
    try:
        if sent is not None:
            communicator.send(sent.data.ptr, sent.nbytes, dtypes[0], peer, stream)
        if received is not None:
            communicator.recv(received.data.ptr, received.nbytes, dtypes[1], peer, stream)
    finally:
        nccl.groupEnd()


def zeros(n):
    return CUPY.zeros(n, np.uint8)


def record(*levels):
    """A graph of functions, those of a level on parallel streams, as `minigrad.backends.cuda.graphs` records them."""
    stream, *others = (runtime.Stream(non_blocking=True) for _ in range(3))
    with stream:
        stream.begin_capture()
        try:
            for first, *rest in levels:
                begun = stream.record()
                for other, function in zip(others, rest, strict=False):
                    other.wait_event(begun)
                    with other:
                        function()
                    stream_end = other.record()
                first()
                if rest:
                    stream.wait_event(stream_end)
        except BaseException:
            with pytest.raises(runtime.CUDARuntimeError):
                stream.end_capture()
            raise
        return stream.end_capture()


def test_an_exchange_at_once_and_recorded():
    def work():
        communicator = connect()
        sent, received = zeros(3), zeros(3)
        sent[...] = rank() + 1
        exchange(communicator, sent, received)
        found = [CUPY.asnumpy(received).tolist()]
        graph = record([lambda: exchange(communicator, sent, received)])
        for number in (5, 7):
            sent[...] = number + rank()
            graph.launch()
            found.append(CUPY.asnumpy(received).tolist())
        return found

    assert run_in_threads(work, 2) == [[[2] * 3, [6] * 3, [8] * 3], [[1] * 3, [5] * 3, [7] * 3]]


@pytest.mark.parametrize(
    "of, message",
    [
        (lambda c: exchange(c, zeros(3), zeros(2)), "3 bytes were sent, and 2 are received"),
        (lambda c: exchange(c, zeros(3), zeros(3), (nccl.NCCL_UINT8, nccl.NCCL_INT8)), "bytes were sent"),
        (lambda c: exchange(c, None if rank() else zeros(3), None), "nobody receives what process 0 sends"),
        (lambda c: exchange(c, None, zeros(3)), "waits for process"),
        (lambda c: c.send(zeros(3).data.ptr, 3, nccl.NCCL_UINT8, 1 - rank(), 0), "outside of a group"),
        (lambda c: nccl.groupStart() or c.send(zeros(3).data.ptr, 3, nccl.NCCL_UINT8, rank(), 0), "and peer"),
        (lambda c: nccl.groupEnd(), "no group was started"),
        (lambda c: nccl.groupStart() or nccl.groupStart(), "a group inside a group"),
    ],
)
def test_misuse(of, message):
    with pytest.raises(nccl.NcclError, match=message):
        run_in_threads(lambda: of(connect()), 2)


def test_addresses_must_be_in_memory_of_the_device():
    def send(place, count):
        communicator = connect()
        nccl.groupStart()
        communicator.send(place, count, nccl.NCCL_UINT8, 1 - rank(), 0)
        nccl.groupEnd()

    host, device = np.zeros(9, np.uint8), zeros(9)
    for place, count in ((host.ctypes.data, 9), (device.data.ptr, 10), (device.data.ptr - 1, 1)):
        with pytest.raises(nccl.NcclError, match="an address that is not in memory of the device"):
            run_in_threads(lambda: send(place, count), 2)  # noqa: B023 (all threads end in this call)


def test_the_stream_must_be_the_current_one():
    def send():
        communicator, other = connect(), runtime.Stream()
        nccl.groupStart()
        communicator.send(zeros(3).data.ptr, 3, nccl.NCCL_UINT8, 1 - rank(), other.ptr)
        nccl.groupEnd()

    with pytest.raises(nccl.NcclError, match="not the current stream"):
        run_in_threads(send, 2)


def test_connections_cannot_be_recorded():
    with pytest.raises(runtime.CUDARuntimeError, match=r"not permitted .*ncclCommInitRank"):
        run_in_threads(lambda: record([connect]), 2)

    def work():
        communicator, x, y = connect(), zeros(3), zeros(3)
        record([lambda: exchange(communicator, x, y)])

    with pytest.raises(runtime.CUDARuntimeError, match="NCCL's first exchange with a process"):
        run_in_threads(work, 2)


def test_exchanges_are_recorded_one_after_another():
    def work(parallel):
        communicator, x, y = connect(), zeros(3), zeros(3)
        one = lambda: exchange(communicator, x, y)
        one()
        graph = record([one, one]) if parallel else record([one, lambda: None], [lambda: None, one])
        graph.launch()

    run_in_threads(lambda: work(False), 2)
    with pytest.raises(runtime.CUDARuntimeError, match="NCCL on two parallel branches"):
        run_in_threads(lambda: work(True), 2)


def test_a_recorded_exchange_does_not_meet_another():
    def work():
        communicator, x, y = connect(), zeros(3), zeros(3)
        one = lambda: exchange(communicator, x, y)
        one()
        graph = record([one])
        graph.launch() if rank() else one()

    with pytest.raises(nccl.NcclError, match="meets one that was not recorded together with it"):
        run_in_threads(work, 2)


def test_two_threads_on_one_gpu_cannot_connect(monkeypatch):
    monkeypatch.setattr(nccl.GPUS, "getDevice", lambda: 1)
    with pytest.raises(nccl.NcclError, match="Duplicate GPU detected"):
        run_in_threads(connect, 2)
