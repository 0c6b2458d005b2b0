"""Exchanges through NCCL: the bits of exchanges through the host, at once and in recordings. Threads play processes."""

from __future__ import annotations

import gc
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import minigrad as mg
from minigrad.backends import get
from minigrad.backends.cuda.backend import LOCAL_RANKS, _choose_gpu
from minigrad.collectives import (
    PeerError,
    all_gather,
    all_sum,
    current,
    join,
    own,
    owned_nodes,
    rank,
    reduce_scatter,
    replicate,
    run_in_threads,
    sum_shards,
)
from minigrad.collectives.mpi import MpiGroup, Stop
from minigrad.collectives.threads import ThreadGroup
from minigrad.core import tree
from minigrad.program.gpu.executor import GpuExecutor
from minigrad.program.tuning import DEFAULT
from tests.support import fake_cupy
from tests.support.cuda_shim import GXX, nccl
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


# Recordings


def executor_of(f, *args):
    return GpuExecutor(mg.trace(f)(*args).graph, DEFAULT)


def step(w, x):
    """A step of gradient descent with three exchanges, two of which do not depend on each other."""
    scale = all_sum(mg.sum(x))
    loss = lambda w: all_sum(mg.sum((replicate(w) * x) ** 2)) + mg.sum(all_gather(own(x[0])))
    value, gradient = mg.value_and_grad(loss)(w)
    return w - 0.01 * gradient / scale, value


def test_a_step_with_exchanges_is_one_recording():
    def work():
        w, x = to_gpu([np.float32([1, 2, 3]), numbers(4, 3) ** 2])
        executor = executor_of(step, w, x)
        results = [to_host(executor.run([w, x])) for _ in range(5)]
        return results, len(executor._segments), to_host(step(w, x))

    for results, segments, expected in run(work, 3):
        assert segments == 1
        for found in results:
            for x, y in zip(found, expected, strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-6)
    assert work()[1] == 1  # alone
    assert min(segments for _, segments, _ in run_in_threads(work, 3)) > 1  # exchanges are made between recordings


def test_an_exchange_follows_the_one_before_at_a_later_level():
    def levels():
        x = to_gpu(numbers(3))
        f = lambda x: [all_sum(x), all_sum(2 * x), all_gather(x), mg.exp(x), all_sum(x[0])]
        levels = executor_of(f, x).levels
        collective = lambda launch: hasattr(launch, "primitive") and launch.primitive.traits.collective
        return [sum(map(collective, level)) for level in levels]

    for found in run(levels, 2):
        assert max(found) == 1 and sum(found) == 4


def test_processes_replay_together_or_not_at_all():
    """Process 1 gets its arguments at another address in run 5, and has to launch its work one by one again."""

    def work():
        w, x = to_gpu([np.float32([1, 2, 3]), numbers(4, 3) ** 2])
        executor = executor_of(step, w, x)
        found = []
        for number in range(12):
            if rank() == 1 and number == 5:
                w, x = w.copy(), x.copy()
            found.append((to_host(executor.run([w, x])), executor._recording))
        return found

    numbers_seen = []
    for moments in zip(*run(work, 3), strict=True):
        for found, _ in moments:
            np.testing.assert_array_equal(found[0], moments[0][0][0])
        numbers_seen.append([recording for _, recording in moments])
    first, second = numbers_seen[2][0], numbers_seen[7][0]
    assert 0 not in (first, second) and first != second
    assert numbers_seen[:2] == 2 * [[0, 0, 0]] and numbers_seen[2:5] == 3 * [3 * [first]]
    assert numbers_seen[5:7] == 2 * [[first, 0, first]] and numbers_seen[7:] == 5 * [3 * [second]]


def test_a_recording_meets_only_those_made_together_with_it():
    """Process 0 has a batch of another shape at the end of each epoch, and so another program than the others."""

    def work():
        w = to_gpu(np.float32([1, 2, 3]))
        whole, rest = to_gpu([numbers(4, 3) ** 2, numbers(4 if rank() else 2, 3) ** 2])
        replayed = mg.jit(step)
        return [to_host([f(w, x) for x in 5 * [whole] + [rest]]) for f in [step] + 6 * [replayed]]

    for expected, *epochs in run(work, 3):
        for found in epochs:
            for x, y in zip(tree.flatten(found)[0], tree.flatten(expected)[0], strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-6)


def test_without_agreement_a_recorded_exchange_meets_another(monkeypatch):
    monkeypatch.setattr(GpuExecutor, "_agree", lambda self, ready: ready)
    monkeypatch.setattr(nccl, "PATIENCE", 2.0)
    with pytest.raises(nccl.NcclError, match=r"a recorded call meets one|waits for process|nobody receives"):
        test_processes_replay_together_or_not_at_all()


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_a_jitted_step_has_the_same_bits_on_any_number_of_processes(size):
    def work():
        w = to_gpu(np.linspace(-1, 1, 2000, dtype=np.float32))  # a large sum, in pieces
        images = np.random.default_rng(0).standard_normal((8, 2000)).astype(np.float32)
        mine = to_gpu([images[first:last] for first, last in owned_nodes(8)])

        def gradient(w, mine):
            parts = [grad_of_node(w, x) for x in mine]
            return sum_shards(parts, 8)

        update = mg.jit(lambda w, mine: w - 0.1 * gradient(w, mine), donate=0)
        for _ in range(5):
            w = update(w, mine)
        return to_host(w)

    def grad_of_node(w, x):
        if len(x) > 1:  # from the leaves of the tree to the root
            middle = (len(x) + 1) // 2
            return grad_of_node(w, x[:middle]) + grad_of_node(w, x[middle:])
        return (w - x[0]) * x[0]

    (expected,) = run_in_threads(work, 1)
    for found in run(work, size):
        assert_same_bits(found, expected)


# Connecting


def test_communicators_are_never_freed():
    before = nccl.freed
    run(lambda: all_sum(to_gpu(numbers(3))), 3)
    gc.collect()
    assert nccl.freed == before


def refuse(*args):
    if rank() == 1:
        raise nccl.NcclError("no such luck")


def break_end(end=nccl.groupEnd):
    end()
    if rank() == 1:
        raise nccl.NcclError("broken")


def on_process_1(value, otherwise):
    return lambda *args: value if rank() == 1 else otherwise


FAULTS = {
    "CuPy finds no NCCL library on process 0": {"available": False},
    "NCCL on process 1 is older than 2.9": {"get_version": on_process_1(2804, 22809)},
    r"NCCL fails on process 1 \(no such luck\)": {"get_version": lambda: refuse() or 22809},
    r"NCCL fails on process 1 \(broken\)": {"groupEnd": break_end},
    "processes 0 and 2 use the same GPU: start at most as many as there are GPUs": {
        "GPUS": SimpleNamespace(**{**vars(nccl.GPUS), "getDevice": lambda: rank() % 2})
    },
}


@pytest.mark.parametrize("reason", FAULTS)
def test_without_nccl_arrays_go_through_the_host(monkeypatch, reason):
    for name, value in FAULTS[reason].items():
        monkeypatch.setattr(*((CUPY.cuda, "runtime") if name == "GPUS" else (nccl, name)), value)

    def work():
        x = to_gpu(numbers(5))
        jitted = mg.jit(all_sum)
        return current().launches(BACKEND), to_host([all_sum(x), *(jitted(x) for _ in range(4))])

    with pytest.warns(
        RuntimeWarning, match=f"through the host instead of between their GPUs, because {reason}"
    ) as seen:
        found = run(work, 3)
    assert len(seen) == 1
    expected = run_in_threads(lambda: all_sum(numbers(5)), 3)
    for (launches, results), y in zip(found, expected, strict=True):
        assert not launches
        assert_same_bits(results, 5 * [y])


def test_nothing_is_connected_on_the_cpu_or_in_a_rehearsal():
    def work():
        mg.trace(all_sum)(to_gpu(numbers(3)))
        all_sum(numbers(3))
        return dict(current()._between)

    assert run(work, 2) == [{"cpu": None}] * 2
    assert get("cpu").connect is None


# MPI's group


class World:
    """A communicator of MPI with two processes, of which this is the first; the other one stops if it is told to."""

    rank, size = 0, 2

    def __init__(self):
        self.stopped = False

    def Dup(self):
        return self

    def Iprobe(self, tag, status=None):
        if status:
            status.source = 1
        return self.stopped

    def isend(self, stop, dest, tag):
        self.stopped = True

    def recv(self, source, tag):
        return Stop(0, None, clean=True)


def test_mpi_exchanges_arrays_on_gpus_through_the_backend():
    calls = []
    backend = replace(BACKEND, connect=lambda rank, size, share: lambda *given: calls.append((rank, size, given)))
    world = World()
    group = MpiGroup(SimpleNamespace(COMM_WORLD=world, Status=lambda: SimpleNamespace(source=1)))
    assert group.launches(backend)
    group.exchange(backend, [None, 1], [None, 2])
    assert calls == [(0, 2, ([None, 1], [None, 2]))]
    world.stopped = True
    with pytest.raises(PeerError, match="process 1 has stopped"):
        group.exchange(backend, [None, 1], [None, 2])
    assert len(calls) == 1


@pytest.mark.parametrize("between", [True, False])
def test_a_stop_ends_processes_whose_gpus_may_wait_for_each_other(monkeypatch, between):
    aborted, reported = [], []
    monkeypatch.setattr(MpiGroup, "abort", lambda self, code: aborted.append(code))
    group = MpiGroup(SimpleNamespace(COMM_WORLD=World(), Status=SimpleNamespace))
    exchange = (lambda sent, received: None) if between else None
    assert group.launches(replace(BACKEND, connect=lambda *given: exchange)) == between
    assert group.stop(3, "stopped", reported.append) == 3
    assert len(reported) == 1 and aborted == ([3] if between else [])


# The GPU of a process


@pytest.mark.parametrize(
    "variables, current, expected",
    [
        ({}, 0, None),
        ({"MPI_LOCALRANKID": "2"}, 0, 2),
        ({"OMPI_COMM_WORLD_LOCAL_RANK": "5"}, 0, 1),
        ({"SLURM_LOCALID": "3"}, 0, 3),
        ({"SLURM_LOCALID": "0"}, 0, None),
        ({"SLURM_LOCALID": "4"}, 0, 0),
        ({"MPI_LOCALRANKID": "2"}, 1, None),  # chosen by the program
        ({"MPI_LOCALRANKID": ""}, 0, None),
    ],
)
def test_processes_of_a_machine_take_one_gpu_each(monkeypatch, variables, current, expected):
    for name in LOCAL_RANKS:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    chosen = []
    module = fake_cupy.cupy(count=4)
    module.cuda.runtime.getDevice = lambda: current
    module.cuda.runtime.setDevice = chosen.append
    _choose_gpu(module)
    assert chosen == ([] if expected is None else [expected])
