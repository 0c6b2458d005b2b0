"""minigrad/program/cpu/plan.py: which results are kept whole, and where they are."""

from __future__ import annotations

import gc
import time

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.vectors import add_p, multiply_p, transpose_p
from minigrad.ops.functions import exp, tanh
from minigrad.ops.linalg import matmul_p
from minigrad.ops.reduce import sum_p
from minigrad.program.cpu.plan import make_plan
from minigrad.program.tuning import Tuning
from minigrad.program.views import find_views
from tests.support.graphs import GraphBuilder

exp_p, tanh_p = exp.primitive, tanh.primitive
CUT = Tuning(worth_region=0, worth_threads=0, small_result=0)


def plan_of(graph, tuning=CUT, threads=1):
    return make_plan(graph, find_views(graph), tuning, threads)


def chain(rows, columns, length=3):
    """The graph of exp(exp(exp(… x))) for x of shape (rows, columns)."""
    g = GraphBuilder()
    x = g.input((rows, columns))
    for _ in range(length):
        x = g.add(exp_p, x)
    return g.graph(x)


# Where results are


def test_results_read_within_a_region_exist_for_one_part_at_a_time():
    plan = plan_of(chain(100, 4), Tuning(worth_region=0, part=640, small_result=0))
    (longest,) = {max(p.rows.stop - p.rows.start for p in parts) for parts in plan.parts}
    assert plan.offsets == {} and plan.block_bytes == 0
    assert plan.scratch == [{1: 0, 2: 0}]  # the second overwrites the first
    assert 32 * longest <= plan.scratch_bytes < 32 * longest + 64
    assert plan.fresh == [3]


def test_results_read_by_another_region_are_kept_whole():
    g = GraphBuilder()
    x = g.input((6, 4))
    y = g.add(tanh_p, x)
    turned = g.add(transpose_p, y, axes=(1, 0))
    product = g.add(matmul_p, turned, y)
    plan = plan_of(g.graph(product), Tuning(worth_region=0, largest_sum=0))
    assert set(plan.offsets) == {y, product}
    assert plan.offsets[y] != plan.offsets[product] and plan.block_bytes == 192 + 128


@pytest.mark.parametrize("worth_region", [0, 1 << 40])
def test_memory_is_reused_when_the_last_reader_is_done(worth_region):
    """In a chain of products each needs all of the one before, so two are kept at a time."""
    g = GraphBuilder()
    x = g.input((8, 8))
    for _ in range(6):
        x = g.add(matmul_p, x, x)
    plan = plan_of(g.graph(g.add(sum_p, x, axes=(0, 1))), Tuning(worth_region=worth_region))
    assert plan.block_bytes == 2 * 512 + 64


@pytest.mark.parametrize("threads", [1, 3])
def test_sums_have_room_in_the_block_for_their_terms(threads):
    g = GraphBuilder()
    total = g.add(sum_p, g.add(tanh_p, g.input((6, 4))), axes=(0,))
    graph = g.graph(total)
    plan = plan_of(graph, Tuning(worth_region=0, worth_threads=0, part=1), threads)
    assert plan.scratch == [{total - 1: 0}]
    assert set(plan.offsets) == set(plan.terms) == {total}  # also if it is an output
    begin, after = plan.terms[total], plan.offsets[total]
    assert (after >= begin + 6 * 32 or begin >= after + 32) and plan.block_bytes == 6 * 32 + 64
    assert plan_of(graph, threads=threads).terms == {}  # one term is computed in the array of the sum


def test_terms_of_sums_overlap_nothing_that_is_in_use():
    """Neither what is read beside them nor other terms; later results use their memory again."""
    g = GraphBuilder()
    x, y, w = g.input((6, 40)), g.input((12, 40)), g.input((12, 40))
    first = g.add(tanh_p, g.add(multiply_p, x, g.add(sum_p, x, axes=(0,))))
    one, other = g.add(sum_p, first, axes=(0,)), g.add(sum_p, y, axes=(0,))
    last = g.add(multiply_p, g.add(exp_p, g.add(add_p, w, one)), other)
    large = g.add(matmul_p, last, g.add(transpose_p, first, axes=(1, 0)))
    graph = g.graph(g.add(sum_p, large, axes=(0, 1)))
    tuning = Tuning(worth_region=0, part=1, shortest_product=1, largest_sum=400)
    plan = plan_of(graph, tuning)
    kinds, moments = graph.kinds, {s: r.moment for r in plan.regions for work, _ in r.steps for s in work.results}
    rows = {slot: len(parts) for region, parts in zip(plan.regions, plan.parts) for slot in region.sums}
    terms = {slot: range(at, at + rows[slot] * kinds[slot].bytes) for slot, at in plan.terms.items()}
    full = {slot: range(at, at + kinds[slot].bytes) for slot, at in plan.offsets.items()}
    apart = lambda a, b: a.stop <= b.start or b.stop <= a.start
    readers = {s: [r.moment for r in plan.regions for work, _ in r.steps if s in work.reads()] for s in full}
    assert len(terms) >= 2
    for slot, mine in terms.items():
        now = moments[slot]
        assert all(apart(mine, at) for other, at in terms.items() if other != slot and moments[other] == now)
        assert all(apart(mine, at) for s, at in full.items() if moments[s] <= now <= max([moments[s], *readers[s]]))


def test_large_outputs_have_memory_of_their_own_and_small_ones_are_copied():
    g = GraphBuilder()
    x = g.input((6, 4))
    y, rows = g.add(tanh_p, x), g.add(sum_p, x, axes=(1,))
    graph = g.graph(y, rows, y, x, g.add(transpose_p, y, axes=(1, 0)))
    plan = plan_of(graph, Tuning(worth_region=0, small_result=48))
    assert plan.fresh == [y] and set(plan.offsets) == {rows}
    assert plan_of(graph, Tuning(worth_region=0, small_result=1 << 20)).fresh == []


def test_outputs_that_overwrite_donated_inputs_take_no_memory():
    g = GraphBuilder()
    w = g.input((6, 4))
    after = g.add(multiply_p, w, w)
    plan = plan_of(g.graph(after, donated=(w,)))
    assert (plan.overwrites, plan.fresh, plan.offsets) == ({after: w}, [], {})


def test_scalar_inputs_stay_in_the_block():
    g = GraphBuilder()
    x, s = g.input((6, 4)), g.input(())
    y = g.add(multiply_p, g.add(add_p, x, s), x)
    plan = plan_of(g.graph(y))
    assert set(plan.offsets) == {s} and plan.block_bytes == 64


def test_planning_time_grows_linearly():
    """Four times the instructions take far less than sixteen times as long."""

    def seconds(n):
        graph, took = mg.trace(lambda x: _chain(x, n))(np.ones(3)).graph, []
        for _ in range(3):
            begin = time.process_time()
            make_plan(graph, find_views(graph), Tuning(), 1)
            took.append(time.process_time() - begin)
        return min(took)

    gc.disable()  # its time depends on the garbage of other tests
    try:
        assert seconds(8000) < 10 * seconds(2000)
    finally:
        gc.enable()


def _chain(x, n):
    for i in range(n):
        x = mg.sin(x) if i % 2 else x * 1.5
    return x
