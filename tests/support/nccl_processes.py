"""Checks exchanges through NCCL on real GPUs, one process each; the stand-in GPU cannot show that NCCL itself agrees.

    mpiexec -n 2 python -m tests.support.nccl_processes             on a machine with two GPUs
    python -m tests.support.nccl_processes                          with one: NCCL connects, and sends to itself
    mpiexec -n 2 python -m tests.support.nccl_processes stand-in    without: through the host

Each process prints one line, or the error that ends all.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import backends
from minigrad.backends import Backend
from minigrad.collectives import all_gather, all_sum, current, join, own, rank, reduce_scatter, replicate, size, start
from minigrad.collectives.group import share_number
from minigrad.program.gpu.executor import GpuExecutor
from minigrad.program.tuning import DEFAULT

RUNS = 200


def step(w: Any, x: Any) -> Any:
    """A step of gradient descent, whose sums are large."""
    scale = all_sum(mg.sum(x * x))
    return w - 0.1 * mg.grad(lambda w: all_sum(mg.sum((replicate(w) * x) ** 2)) + mg.sum(all_gather(own(w))))(w) / scale


def check_bits(backend: Backend) -> None:
    """Operations have the bits that they have on the CPU: exchanges there go through the host."""
    n, numbers = size(), np.random.default_rng(rank())
    for shape in ((), (3,), (1000, 1003)):
        x = numbers.standard_normal((n, *shape)).astype(np.float32)
        there = backend.from_host(x)
        for f, a, b in ((all_sum, x[0], there[0]), (all_gather, x[0], there[0]), (reduce_scatter, x, there)):
            jitted = mg.jit(f)
            for found in (f(b), *(jitted(b) for _ in range(6))):
                assert np.asarray(backend.to_host(found)).tobytes() == np.asarray(f(a)).tobytes(), (f, shape)


def time_step(backend: Backend) -> str:
    """The milliseconds of a recorded step, and in how many segments it is recorded."""
    w, x = (backend.from_host(np.random.default_rng(rank()).standard_normal(1 << 20).astype(np.float32)) for _ in "wx")
    w = all_sum(w)
    executor = GpuExecutor(mg.trace(step)(w, x).graph, DEFAULT)
    expected = backend.to_host(executor.run([w, x])[0])
    for _ in range(5):
        np.testing.assert_array_equal(backend.to_host(executor.run([w, x])[0]), expected)
    begin = time.perf_counter()
    for _ in range(RUNS):
        (result,) = executor.run([w, x])
    backend.to_host(result)
    each = 1000 * (time.perf_counter() - begin) / RUNS
    begin = time.perf_counter()
    for _ in range(RUNS):
        share_number(0)
    agreeing = 1000 * (time.perf_counter() - begin) / RUNS
    return f"{len(executor._segments)} segments, {each:.3f} ms a step, {agreeing:.3f} ms of it to agree"


def check_alone(backend: Backend) -> None:
    """NCCL connects a single process, which sends to itself, at once and recorded."""
    import cupy
    from cupy.cuda import nccl

    assert backend.connect(0, 1, lambda value: [value]) is not None
    communicator = nccl.NcclCommunicator(1, nccl.get_unique_id(), 0)
    sent, received = backend.from_host(np.arange(10.0)), backend.from_host(np.zeros(10))

    def exchange() -> None:
        stream = cupy.cuda.get_current_stream().ptr
        nccl.groupStart()
        communicator.send(sent.data.ptr, sent.nbytes, nccl.NCCL_UINT8, 0, stream)
        communicator.recv(received.data.ptr, received.nbytes, nccl.NCCL_UINT8, 0, stream)
        nccl.groupEnd()

    exchange()
    np.testing.assert_array_equal(backend.to_host(received), np.arange(10.0))
    replay, _ = backend.recorder.record([[exchange]])
    for number in (2.0, 3.0):
        sent[...] = number
        replay()
        np.testing.assert_array_equal(backend.to_host(received), np.full(10, number))
    del replay  # a communicator waits for its recordings when it is freed


def main(device: str = "cuda") -> None:
    """All checks."""
    if device == "stand-in":
        from tests.support.cuda_shim import nccl
        from tests.support.stand_in import BACKEND

        assert backends.get(device) is BACKEND
        nccl.available = False  # it connects threads only
    backend = backends.get(device)
    with join(start()):
        if size() == 1 and device == "cuda":
            check_alone(backend)
        check_bits(backend)
        through = "NCCL" if current().launches(backend) else "the host"
        print(f"process {rank()} of {size()}: through {through}, {time_step(backend)}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
