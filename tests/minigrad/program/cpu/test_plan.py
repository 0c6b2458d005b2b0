"""minigrad/program/cpu/plan.py: the parts of regions, which results are kept whole, and where they are."""

from __future__ import annotations

import gc
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.core.vectors import add_p, multiply_p, transpose_p
from minigrad.ops.functions import exp, tanh
from minigrad.ops.linalg import matmul_p
from minigrad.ops.reduce import sum_p
from minigrad.program.cpu.plan import make_plan
from minigrad.program.cpu.scratch import Part
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


# Parts


@given(rows=st.integers(2, 300), part=st.integers(1, 1 << 14), threads=st.integers(1, 5))
def test_parts_cover_the_rows_in_order_and_threads_share_them(rows, part, threads):
    plan = plan_of(chain(rows, 4), Tuning(worth_region=0, worth_threads=0, part=part), threads)
    (parts,) = plan.parts
    assert [row for p in parts for row in range(p.rows.start, p.rows.stop)] == list(range(rows))
    assert all(p.rows.stop > p.rows.start for p in parts)
    assert [p.thread for p in parts] == sorted(p.thread for p in parts)
    assert {p.thread for p in parts} == set(range(min(threads, rows))) and plan.threads == min(threads, rows)
    counts = [sum(p.thread == thread for p in parts) for thread in range(plan.threads)]
    assert max(counts) - min(counts) <= 1


def test_a_part_has_the_given_number_of_bytes_in_flight():
    """A step of the chain reads and writes rows of 4 numbers: 64 bytes, beside the scratch of two rows at most."""
    for part in (1 << 10, 1 << 12):
        (parts,) = plan_of(chain(1000, 4), Tuning(worth_region=0, part=part)).parts
        assert part / 4 <= 64 * len(range(*parts[0].rows.indices(1000))) <= part


def test_a_part_with_a_product_has_enough_rows_for_blas():
    g = GraphBuilder()
    graph = g.graph(g.add(matmul_p, g.input((64, 4)), g.input((4, 4))))
    sizes = lambda tuning: [p.rows.stop - p.rows.start for p in plan_of(graph, tuning).parts[0]]
    assert sizes(Tuning(worth_region=0, part=1, shortest_product=32)) == [32, 32]
    assert sizes(Tuning(worth_region=0, part=1, shortest_product=8)) == [8] * 8


@pytest.mark.parametrize(("worth", "threads"), [(0, 3), (1e9, 1)])
def test_threads_share_only_regions_that_take_long_enough(worth, threads):
    assert plan_of(chain(100, 4), Tuning(worth_region=0, worth_threads=worth), 3).threads == threads


def test_a_region_that_runs_whole_is_one_part():
    plan = plan_of(chain(100, 4), Tuning(worth_region=1 << 40), 3)
    assert [region.rows for region in plan.regions] == [None]
    assert plan.parts == [[Part(None, 0)]] and plan.threads == 1


# Where results are


def test_results_read_within_a_region_exist_for_one_part_at_a_time():
    plan = plan_of(chain(100, 4), Tuning(worth_region=0, part=640, small_result=0))
    (longest,) = {max(p.rows.stop - p.rows.start for p in parts) for parts in plan.parts}
    assert plan.offsets == {} and plan.block_bytes == 0
    assert plan.scratch == [{("part", 1): 0, ("part", 2): 0}]  # the second overwrites the first
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


def test_sums_have_scratch_for_the_term_and_for_the_partial_sum():
    g = GraphBuilder()
    total = g.add(sum_p, g.add(tanh_p, g.input((6, 4))), axes=(0,))
    plan = plan_of(g.graph(total))
    assert set(plan.scratch[0]) == {("part", 1), ("term", total), ("sum", total)}
    assert len(set(plan.scratch[0].values())) == 3  # none may overwrite another
    assert set(plan.offsets) == {total}  # also if it is an output


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
