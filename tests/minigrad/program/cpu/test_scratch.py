"""minigrad/program/cpu/scratch.py: scratch memory for results that exist for one part at a time."""

from __future__ import annotations

import pytest

from minigrad.core.vectors import add_p, multiply_p, transpose_p
from minigrad.ops.functions import exp, tanh
from minigrad.ops.linalg import matmul_p
from minigrad.program.cpu.schedule import find_regions
from minigrad.program.cpu.scratch import plan_scratch
from minigrad.program.tuning import Tuning
from minigrad.program.views import find_views
from tests.support.graphs import GraphBuilder

exp_p, tanh_p = exp.primitive, tanh.primitive
TUNING = Tuning(worth_region=0, alignment=1)


def scratch_of(graph, whole=()):
    """Offsets and bytes of the first region with rows, in parts of at most three of its six rows."""
    views = find_views(graph)
    regions, _ = find_regions(graph, views, TUNING)
    region = next(region for region in regions if region.rows)
    return plan_scratch(region, 3, graph, views, {*graph.outputs, *whole}, TUNING)


def test_a_result_has_room_for_the_longest_part():
    g = GraphBuilder()
    y = g.add(tanh_p, g.input((6, 4)))
    offsets, size = scratch_of(g.graph(g.add(matmul_p, y, g.input((4, 4)))))
    assert offsets == {y: 0} and size == 3 * 4 * 8


def test_a_result_overwrites_an_operand_that_is_not_read_later():
    g = GraphBuilder()
    a = g.add(tanh_p, g.input((6, 4)))
    b = g.add(exp_p, a)
    c = g.add(multiply_p, b, b)
    offsets, size = scratch_of(g.graph(g.add(exp_p, c)))
    assert offsets == {a: 0, b: 0, c: 0} and size == 96


def test_a_result_does_not_overwrite_an_operand_that_is_read_later():
    g = GraphBuilder()
    a = g.add(tanh_p, g.input((6, 4)))
    b = g.add(exp_p, a)
    offsets, size = scratch_of(g.graph(g.add(add_p, a, b)))
    assert offsets[a] != offsets[b] and size == 192


def test_a_product_does_not_overwrite_its_operand():
    g = GraphBuilder()
    a = g.add(tanh_p, g.input((6, 4)))
    b = g.add(matmul_p, a, g.input((4, 4)))
    offsets, size = scratch_of(g.graph(g.add(exp_p, b)))
    assert offsets[a] != offsets[b] and size == 192


@pytest.mark.parametrize("through_view", [False, True])
def test_a_result_does_not_overwrite_an_operand_read_through_a_view(through_view):
    g = GraphBuilder()
    a = g.add(tanh_p, g.input((6, 2, 2)))
    other = g.add(transpose_p, a, axes=(0, 2, 1)) if through_view else g.input((6, 2, 2))
    last = g.add(add_p, a, other)
    offsets, size = scratch_of(g.graph(g.add(exp_p, last)))
    assert (offsets[last] != offsets[a]) == through_view
    assert size == (192 if through_view else 96)


def test_results_in_the_block_take_no_scratch():
    g = GraphBuilder()
    a = g.add(tanh_p, g.input((6, 4)))
    graph = g.graph(g.add(exp_p, a))
    assert scratch_of(graph, whole=[a]) == ({}, 0)


def test_what_runs_whole_takes_no_scratch():
    g = GraphBuilder()
    graph = g.graph(g.add(exp_p, g.add(tanh_p, g.input((6, 4)))))
    views = find_views(graph)
    (region,), _ = find_regions(graph, views, Tuning())
    assert plan_scratch(region, 0, graph, views, {*graph.outputs}, TUNING) == ({}, 0)
