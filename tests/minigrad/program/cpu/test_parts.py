"""minigrad/program/cpu/parts.py: the parts of regions, and the groups whose terms a sum adds up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.ops.conv import conv_p
from minigrad.ops.functions import exp, tanh
from minigrad.ops.linalg import matmul_p
from minigrad.ops.reduce import sum_p
from minigrad.program.cpu.parts import Part
from minigrad.program.cpu.plan import make_plan
from minigrad.program.tuning import Tuning
from minigrad.program.views import find_views
from tests.minigrad.program.cpu.test_plan import chain, plan_of
from tests.support.graphs import GraphBuilder

exp_p, tanh_p = exp.primitive, tanh.primitive


def sum_of(rows, columns=4):
    """The graph of Σ tanh(x) over the rows of x."""
    g = GraphBuilder()
    return g.graph(g.add(sum_p, g.add(tanh_p, g.input((rows, columns))), axes=(0,)))


def groups_of(graph, tuning, threads=1):
    """The groups of a graph of one region."""
    (parts,) = plan_of(graph, tuning, threads).parts
    return [group for part in parts for group in part.groups]


# Parts


@given(rows=st.integers(2, 300), part=st.integers(1, 1 << 14), threads=st.integers(1, 5))
def test_parts_cover_the_rows_in_order_and_threads_share_them(rows, part, threads):
    plan = plan_of(chain(rows, 4), Tuning(worth_region=0, worth_threads=0, part=part), threads)
    (parts,) = plan.parts
    assert [row for p in parts for row in range(p.rows.start, p.rows.stop)] == list(range(rows))
    assert all(p.rows.stop > p.rows.start and p.groups == () for p in parts)
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
    assert sizes(Tuning(worth_region=0, part=1, shortest_product=256)) == [32, 32]
    assert sizes(Tuning(worth_region=0, part=1, shortest_product=64)) == [8] * 8


def test_parts_have_two_rows_unless_all_is_elementwise():
    """The sum of one column has other bits than that of several: NumPy adds up its numbers in another order."""
    x = np.random.default_rng(0).normal(size=(1000, 5))
    assert np.sum(x[:, :1], axis=0) != np.sum(x, axis=0)[:1]
    g = GraphBuilder()
    totals = g.graph(g.add(sum_p, g.input((1000, 5)), axes=(0,)))
    for graph, sizes in ((totals, [2, 3]), (chain(5, 1000), [1] * 5)):
        for threads in (1, 2, 8):
            plan = plan_of(graph, Tuning(worth_region=0, worth_threads=0, part=1), threads)
            assert [p.rows.stop - p.rows.start for p in plan.parts[0]] == sizes


@pytest.mark.parametrize(("worth", "threads"), [(0, 3), (1e9, 1)])
@pytest.mark.parametrize("graph", [chain(100, 4), sum_of(100)], ids=["chain", "sum"])
def test_threads_share_only_regions_that_take_long_enough(graph, worth, threads):
    assert plan_of(graph, Tuning(worth_region=0, worth_threads=worth, worth_group=0), 3).threads == threads


def test_a_region_that_runs_whole_is_one_part():
    plan = plan_of(chain(100, 4), Tuning(worth_region=1 << 40), 3)
    assert [region.rows for region in plan.regions] == [None]
    assert plan.parts == [[Part(None, 0)]] and plan.threads == 1


# Groups


@given(
    rows=st.integers(2, 300),
    part=st.integers(1, 1 << 14),
    most=st.integers(1, 20),
    shortest=st.integers(1, 10),
    threads=st.integers(2, 9),
)
def test_groups_depend_on_the_shapes_alone_and_parts_are_whole_groups(rows, part, most, shortest, threads):
    tuning = Tuning(
        worth_region=0, worth_threads=0, worth_group=0, part=part, most_groups=most, shortest_group=shortest
    )
    plan, alone = plan_of(sum_of(rows), tuning, threads), plan_of(sum_of(rows), tuning, 1)
    (parts,), (few,) = plan.parts, alone.parts
    groups = [group for p in parts for group in p.groups]
    assert groups == [group for p in few for group in p.groups]
    assert [row for group in groups for row in range(group.start, group.stop)] == list(range(rows))
    assert all(group.stop > group.start for group in groups)
    for p in (*parts, *few):
        assert (p.rows.start, p.rows.stop) == (p.groups[0].start, p.groups[-1].stop)
    assert plan.threads == min(threads, len(groups)) and len(few) <= len(parts)
    counts = [sum(len(p.groups) for p in parts if p.thread == thread) for thread in range(plan.threads)]
    assert max(counts) - min(counts) <= max(len(p.groups) for p in parts)
    assert {key: plan.terms[key] for key in plan.terms} == alone.terms


@pytest.mark.parametrize(("rows", "count"), [(3, 1), (4, 2), (37, 2), (63, 2), (64, 4), (127, 4), (128, 8), (1000, 8)])
def test_the_number_of_groups_is_a_power_of_two(rows, count):
    groups = groups_of(sum_of(rows), Tuning(worth_region=0, worth_group=0))
    lengths = [group.stop - group.start for group in groups]
    assert len(groups) == count and max(lengths) - min(lengths) <= 1


def test_a_group_takes_long_enough():
    """Σ tanh(x) has 4000 elements in 3 passes of 32,000 bytes, and a sum of 32 bytes: 4.96 µs as estimated here."""
    for worth, count in ((19850, 1), (19830, 2), (1241, 2), (1239, 4), (621, 4), (619, 8), (1, 8)):
        assert len(groups_of(sum_of(1000), Tuning(worth_region=0, worth_group=worth, flop=0.02, byte=0.05))) == count


def test_a_group_is_no_longer_than_a_part_may_be():
    """There are more groups then, of one part each, and none of an empty group."""
    for rows, count in ((7, 7), (1000, 1000)):
        (parts,) = plan_of(sum_of(rows), Tuning(worth_region=0, part=1, most_groups=4)).parts
        assert len(parts) == count and all(p.groups == (p.rows,) for p in parts)
    (parts,) = plan_of(sum_of(1000), Tuning(worth_region=0, part=64 * 100, worth_group=1e9)).parts
    assert 10 <= len(parts) <= 32 and all(len(p.groups) == 1 for p in parts)


def test_one_thread_computes_rows_of_several_groups_at_once():
    tuning = Tuning(worth_region=0, worth_threads=0, worth_group=0)
    for threads, sizes in ((1, [8]), (2, [4, 4]), (3, [3, 2, 3]), (8, [1] * 8), (40, [1] * 8)):
        (parts,) = plan_of(sum_of(1000), tuning, threads).parts
        assert [len(part.groups) for part in parts] == sizes
        assert [part.thread for part in parts] == list(range(len(sizes)))


def test_products_have_groups_of_more_rows_the_larger_their_share_of_the_work():
    def count(columns, rows=1024):
        g = GraphBuilder()
        y = g.add(matmul_p, g.add(tanh_p, g.input((rows, 64))), g.input((64, columns)))
        return len(groups_of(g.graph(y), Tuning(worth_region=0, worth_group=0)))

    assert count(64) == 4  # 63 of 64 operations
    assert count(1) == 8  # a half of them
    assert (count(64, 66), count(64, 60)) == (2, 1)


@pytest.mark.parametrize(("dtype", "own"), [(np.float64, 0), (np.float32, 4)], ids=["same", "mixed"])
def test_convolutions_with_a_loop_of_their_own_need_no_groups(dtype, own):
    """There is none for images and a kernel of different dtypes."""
    g = GraphBuilder()
    x, w = g.input((64, 5, 5, 2)), g.input((3, 3, 2, 4), dtype)
    graph = g.graph(g.add(conv_p, x, w, stride=(1, 1), pads=((1, 1), (1, 1))))
    tuning = Tuning(worth_region=0, worth_group=0)
    for compiled, count in ((False, 4), (True, own)):
        (parts,) = make_plan(graph, find_views(graph), tuning, 1, compiled).parts
        assert sum(len(part.groups) for part in parts) == count
