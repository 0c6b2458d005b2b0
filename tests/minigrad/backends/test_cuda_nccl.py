"""Exchanges through NCCL: the bits of exchanges through the host, at once and in recordings. Threads play processes."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

import minigrad as mg
from minigrad.backends import get
from minigrad.backends.cuda import nccl as ours
from minigrad.collectives import all_gather, all_sum, join, own, rank, reduce_scatter, replicate, run_in_threads
from minigrad.collectives.group import current
from minigrad.collectives.mpi import MpiGroup
from minigrad.collectives.threads import ThreadGroup
from minigrad.core import tree
from minigrad.program.gpu.executor import GpuExecutor
from minigrad.program.tuning import DEFAULT
from tests.support.cuda_shim import GXX, nccl, runtime
from tests.support.stand_in import BACKEND, CUPY

pytestmark = pytest.mark.skipif(GXX is None, reason="running kernels on the host needs g++, which was not found")


class Group(ThreadGroup):
    """A thread as a process with a GPU of its own: its arrays go through NCCL, as those of an MPI process do."""

    launches = MpiGroup.launches

    def __init__(self, thread: ThreadGroup):
        super().__init__(thread.rank, thread._board)
        self._between = {"cpu": None}

    def exchange(self, backend, sent, received):
        if self.launches(backend):
            self._between[backend.device](sent, received)
        else:
            super().exchange(backend, sent, received)


def run(f, size):
    """The results of f(), by rank, in a group whose GPUs are connected through NCCL."""

    def work():
        with join(Group(current())):
            return f()

    return run_in_threads(work, size)


def to_gpu(values):
    return mg.to_device(values, "stand-in")


def to_host(values):
    return tree.map(lambda x: np.asarray(BACKEND.to_host(x)) if isinstance(x, CUPY.ndarray) else x, values)


def assert_same_bits(found, expected):
    for x, y in zip(tree.flatten(found)[0], tree.flatten(expected)[0], strict=True):
        assert x.shape == np.shape(y) and x.dtype == np.asarray(y).dtype
        assert x.tobytes() == np.asarray(y).tobytes()


def numbers(*shape):
    """Numbers of this process."""
    return np.random.default_rng(rank()).standard_normal(shape).astype(np.float32)


OPERATIONS = {
    "all_sum of a number": lambda n: (all_sum, numbers()),
    "all_sum of a small array": lambda n: (all_sum, numbers(5)),
    "all_sum of a large array": lambda n: (all_sum, numbers(40, 61)),
    "all_sum of nothing": lambda n: (all_sum, numbers(0)),
    "all_gather of numbers": lambda n: (all_gather, numbers()),
    "all_gather": lambda n: (all_gather, numbers(3, 4)),
    "reduce_scatter of numbers": lambda n: (reduce_scatter, numbers(n)),
    "reduce_scatter": lambda n: (reduce_scatter, numbers(n, 2, 3)),
    "reduce_scatter of a transposed array": lambda n: (lambda x: reduce_scatter(x.T), numbers(3, n)),
    "gradient": lambda n: (mg.grad(lambda x: mg.sum(all_sum(replicate(x) ** 2) * x)), np.float32([1, 2, 3])),
    "gradient of all_gather": lambda n: (mg.grad(lambda x: mg.sum(all_gather(own(x)) ** 3)), numbers(3)),
    "gradient of reduce_scatter": lambda n: (mg.grad(lambda x: mg.sum(reduce_scatter(own(x)) ** 3)), numbers(n, 3)),
}


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("make", OPERATIONS.values(), ids=OPERATIONS)
def test_operations_have_the_bits_of_the_cpu(make, size):
    def on_cpu():
        f, x = make(size)
        return f(x)

    def on_gpu():
        f, x = make(size)
        step = mg.jit(f)
        x = to_gpu(x)
        return to_host([f(x), *(step(x) for _ in range(5))])

    expected = run_in_threads(on_cpu, size)
    for found, y in zip(run(on_gpu, size), expected, strict=True):
        assert_same_bits(found, [y] * 6)
