"""Operations between processes in programs: their order, where they run, and what capturing does not do."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.collectives import all_gather, all_sum, broadcast, join, rank, reduce_scatter, replicate, size
from minigrad.collectives.operations import all_sum_p
from minigrad.core.vectors import add_p, multiply_p
from minigrad.ops.functions import exp, tanh
from minigrad.ops.reduce import sum_p
from minigrad.program.cpu.schedule import find_regions
from minigrad.program.fusion import fuse
from minigrad.program.gpu.executor import GpuExecutor
from minigrad.program.graph import Constant
from minigrad.program.passes import fold_constants, remove_dead_code, share_subexpressions, simplify
from minigrad.program.tuning import DEFAULT, Tuning
from minigrad.program.views import find_views
from tests.support.collectives import Watched, current, on_ranks
from tests.support.graphs import GraphBuilder
from tests.support.oracles import assert_close
from tests.support.programs import WAYS, cut_everything

exp_p, tanh_p = exp.primitive, tanh.primitive
MOST_THREADS = {**WAYS, "on threads": cut_everything(threads=3)}


def collectives(graph):
    return [i for i in graph.instructions if i.primitive.traits.collective]


# Graphs by hand


def chain(count=3):
    """A graph of sums over processes of one input, each of which waits for the one before."""
    g = GraphBuilder()
    x, results = g.input((4,)), []
    for _ in range(count):
        results.append(g.add(all_sum_p, x, shards=None, awaits=tuple(results[-1:])))
    return g, x, results


def test_sums_that_no_output_depends_on_are_kept_since_other_processes_count_on_them():
    g, x, results = chain()
    g.add(exp_p, x)
    graph = remove_dead_code(g.graph(results[1]))
    assert [i.result for i in graph.instructions] == results
    assert [i.awaits for i in graph.instructions] == [(), (results[0],), (results[1],)]


def test_a_process_may_return_a_sum_that_the_others_do_not_need():
    step = mg.jit(lambda x: (all_sum(x), x)[min(rank(), 1)])
    assert on_ranks(lambda r: [float(step(np.float64(r + 1))) for _ in range(3)], 3) == [
        [6.0] * 3,
        [2.0] * 3,
        [3.0] * 3,
    ]


def test_equal_sums_are_all_kept_since_each_process_counts_on_them():
    g, x, results = chain()
    a, b = (g.add(multiply_p, x, r) for r in results[:2])
    graph = share_subexpressions(g.graph(a, b, results[2]))
    assert [i.result for i in collectives(graph)] == results
    assert [i.awaits for i in collectives(graph)] == [(), (results[0],), (results[1],)]


def test_a_sum_of_a_constant_is_not_folded():
    g = GraphBuilder()
    x = g.input((2,))
    total = g.add(all_sum_p, Constant(np.ones(2)), shards=None)
    graph = fold_constants(g.graph(g.add(add_p, x, total)), Tuning())
    assert [i.result for i in collectives(graph)] == [total]


def test_what_is_awaited_is_replaced_with_what_it_equals():
    g = GraphBuilder()
    x = g.input((4,))
    one, other = g.add(exp_p, x), g.add(exp_p, x)
    total = g.add(all_sum_p, x, shards=None, awaits=(other,))
    graph = simplify(g.graph(one, total), Tuning())
    assert collectives(graph)[0].awaits == (one,)


@pytest.mark.parametrize("tuning", [Tuning(), Tuning(worth_region=0)], ids=["whole", "regions"])
def test_a_sum_is_not_moved_before_the_one_it_waits_for(tuning):
    """The second sum could run first, and as late as its reader."""
    g = GraphBuilder()
    x, y = g.input((6, 4)), g.input((6, 4))
    late = g.add(all_sum_p, g.add(tanh_p, x), shards=None)
    early = g.add(all_sum_p, y, shards=None, awaits=(late,))
    end = g.add(multiply_p, g.add(exp_p, late), early)
    third = g.add(all_sum_p, x, shards=None, awaits=(early,))
    graph = g.graph(end, third)
    regions, places = find_regions(graph, find_views(graph), tuning)
    order = [i.result for region in regions for i, _ in region.steps]
    assert order.index(late) < order.index(early) < order.index(third)
    assert all(places[slot].rows is None for slot in (late, early, third))


def test_a_sum_of_inputs_is_not_moved_to_its_reader():
    """Which would put it after the sum that waits for it: the reader needs a whole region first."""
    g = GraphBuilder()
    x, y, z = g.input((6, 4)), g.input((4,)), g.input((4,))
    column = g.add(sum_p, g.add(tanh_p, x), axes=(0,))
    first = g.add(all_sum_p, y, shards=None)
    second = g.add(all_sum_p, z, shards=None, awaits=(first,))
    graph = g.graph(g.add(multiply_p, column, first), second)
    regions, places = find_regions(graph, find_views(graph), Tuning(worth_region=24))
    order = [i.result for region in regions for i, _ in region.steps]
    assert order.index(first) < order.index(second) and places[column].rows == 6


def test_sums_are_on_levels_of_their_own():
    """Launches of one level may run at the same time, in any order."""
    g, x, results = chain()
    other = g.add(tanh_p, x)
    graph = g.graph(*results, other)
    level = fuse(graph, find_views(graph), DEFAULT).level
    assert [level[r] for r in results] == [0, 1, 2] and level[other] == 0


# Capture


def test_every_operation_between_processes_waits_for_the_one_before():
    def f(x):
        a = all_sum(replicate(x))
        b = all_gather(mg.sin(x))
        return a, reduce_scatter(mg.stack([x] * size())), mg.sum(b), all_sum(np.ones(3))

    graph = mg.trace(f)(np.ones(3)).graph
    one, *others = collectives(graph)
    assert [i.primitive.name for i in (one, *others)] == ["all_sum", "all_gather", "reduce_scatter", "all_sum"]
    assert one.awaits == ()
    for before, after in zip((one, *others), others):
        assert after.awaits == (before.result,)


@pytest.mark.parametrize("capture", [mg.trace, lambda f: mg.jit(f).program], ids=["trace", "jit"])
def test_capturing_sends_nothing(capture):
    """So one process may capture alone."""
    f = mg.grad(lambda w: all_sum(mg.sin(replicate(w) * all_gather(float(rank()))[1])) * all_sum(2.0))
    programs = on_ranks(lambda r: r == 0 and capture(f)(np.float64(0.3)), 3)
    assert {i.primitive.name for i in collectives(programs[0].graph)} == {"all_sum", "all_gather"}


def test_what_is_not_really_sent_gives_no_warnings():
    """While f is captured, a process other than 1 has a zero here; warnings are errors."""
    f = lambda x: mg.jit(lambda x: mg.log(broadcast(x, 1)))(x)
    assert on_ranks(lambda r: f(np.float64(r + 1.0)), 3) == [np.log(2)] * 3
    with pytest.raises(RuntimeWarning, match="divide by zero"):
        on_ranks(lambda r: f(np.float64(0.0)), 2)


def test_a_sum_that_depends_on_no_input_runs_each_time():
    values = [np.array(1.0), np.array(2.0)]  # from outside, one for each process

    def f(r):
        g = mg.jit(lambda x: x + all_sum(values[r]))
        return [float(g(np.float64(x))) for x in (0.5, 0.25)]

    assert on_ranks(f, 2) == [[3.5, 3.25]] * 2


@pytest.mark.parametrize("first", ["all", "one", "in turn"])
def test_processes_may_capture_at_different_times(first):
    """Others replay meanwhile: arguments have other shapes on each process, and some have been captured before."""
    lengths = [3, 5, 4]

    def f(r):
        step = mg.jit(mg.grad(lambda w, x: all_sum(mg.sum((replicate(w) * x) ** 2))))
        x = [np.arange(1.0, n + 1) for n in lengths]
        if first == "one" and r == 1:
            step.program(np.float64(0), x[1])
        turns = [r, r + 1, r + 1, r] if first == "in turn" else [r, r]
        return [float(step(np.float64(0.5), x[t % 3 if r else 0])) for t in turns]

    found = on_ranks(f, 3)
    squares = [sum(k * k for k in range(1, n + 1)) for n in lengths]
    turns = [[0, 1, 2], [0, 2, 0], [0, 2, 0], [0, 1, 2]] if first == "in turn" else [[0, 1, 2]] * 2
    assert found == [[sum(squares[k] for k in turn) for turn in turns]] * 3


def test_a_program_belongs_to_a_place_in_a_group():
    """A jitted function knows rank and size from when it was captured."""
    f = mg.jit(mg.grad(lambda w: all_sum((replicate(w) * (rank() + 1.0)) ** 2)))
    w = np.float64(0.5)
    assert [float(f(w)) for _ in range(2)] == [1, 1]
    for _ in range(2):
        assert [float(g) for g in on_ranks(lambda r: f(w), 2)] == [5, 5]
        assert [float(g) for g in on_ranks(lambda r: f(w), 3)] == [14, 14, 14]
        assert float(f(w)) == 1
    gather = mg.jit(all_gather)
    assert [gather(w).shape, *[found.shape for found in on_ranks(lambda r: gather(w), 2)]] == [(1,), (2,), (2,)]


# Runs


class Logged(Watched):
    """A member of a group that also writes down on which thread it sends."""

    def exchange(self, backend, sent, received):
        self.sent.append((threading.get_ident(), max((a.nbytes for a in sent if a is not None), default=0)))
        self.group.exchange(backend, sent, received)


STEPS = st.tuples(st.sampled_from(["sum", "gather", "tanh", "add", "dead sum", "again"]), st.integers(0, 50))


def sequence(steps, x):
    """A function of a matrix, with sums of as many rows as the step's number: their bytes tell which is which."""
    values, results = [x], []
    for number, (kind, i) in enumerate(steps):
        a = values[i % len(values)]
        if kind == "tanh":
            values.append(mg.tanh(a) * 0.5)
        elif kind == "add":
            values.append(a + values[(i // 7) % len(values)] * 0.1)
        else:
            part = mg.tanh(x if kind == "again" else a)[: number + 1]
            total = mg.sum(all_gather(part), axis=0) if kind == "gather" else all_sum(part)
            if kind != "dead sum":
                results.append(mg.sum(total))
                values.append(a * results[-1] * 0.01)
    return [mg.sum(value) for value in values] + results


@pytest.mark.parametrize("way", MOST_THREADS)
@given(st.lists(STEPS, min_size=2, max_size=9))
def test_a_program_sends_in_the_order_of_the_function_on_the_thread_of_the_caller(way, steps):
    x = np.random.default_rng(6).standard_normal((2, 10, 7))
    rows = [n + 1 for n, (kind, _) in enumerate(steps) if kind not in ("tanh", "add")]

    def run(r):
        with join(Logged(current())) as group:
            expected = sequence(steps, x[r])
            group.sent.clear()
            step = mg.jit(lambda x: sequence(steps, x), tuning=MOST_THREADS[way])
            results = [step(x[r]) for _ in range(2)]
        return expected, results, group.sent, threading.get_ident()

    for expected, results, sent, thread in on_ranks(run, 2):
        assert {ident for ident, _ in sent} <= {thread}
        assert [count // (7 * 8) for _, count in sent] == rows * 2
        for result in results:
            assert_close(result, expected)


def test_checkpoints_in_a_program_run_again_in_order():
    x = np.array([0.5, -1.5])

    def f(r):
        layer = mg.checkpoint(lambda w: all_sum(mg.sin(replicate(w) * x[r])))
        gradient = mg.grad(lambda w: layer(layer(w)) * layer(w))
        return [gradient(0.8), *[mg.jit(gradient)(np.float64(0.8)) for _ in range(2)]]

    g = lambda w: np.sum(np.sin(w * x))
    truth = np.imag(g(g(0.8 + 1e-30j)) * g(0.8 + 1e-30j)) / 1e-30
    for found in on_ranks(f, 2):
        assert_close(found, [truth] * 3)


# On a GPU


def test_levels_of_a_program_keep_sums_apart(device, to_gpu):
    def f(x, y):
        a, b = all_sum(x), all_sum(mg.tanh(y))
        return a + b, all_gather(y * 2)

    x = np.random.default_rng(7).standard_normal((2, 6))
    program = mg.jit(f).program(*to_gpu((x[0], x[1])))
    executor = GpuExecutor(program.graph, program.tuning)
    found = [[launch.primitive.name for launch in level if hasattr(launch, "primitive")] for level in executor.levels]
    found = [[name for name in level if name.startswith("all_")] for level in found]
    assert [names for names in found if names] == [["all_sum"], ["all_sum"], ["all_gather"]]


def test_programs_on_a_gpu_compute_the_same(device, to_gpu, agree):
    """In the first calls, which launch one by one, and in later ones, which others record."""
    x = np.random.default_rng(8).standard_normal((2, 6))
    gradient = mg.grad(lambda w, x: all_sum(mg.sum(mg.tanh(replicate(w) * x))) * all_sum(mg.sum(x * x)))
    total = lambda w: np.sum(np.tanh(w * x)) * np.sum(x * x)
    w = np.array([0.5, -0.25, 1.0, 2.0, -1.0, 0.75])
    truth = np.array([np.imag(total(w + 1e-30j * e)) / 1e-30 for e in np.eye(6)])

    def f(r):
        step = mg.jit(gradient)
        arguments = to_gpu((w, x[r]))
        return [step(*arguments) for _ in range(4)]

    for results in on_ranks(f, 2):
        for found in results:
            agree(found, truth)
