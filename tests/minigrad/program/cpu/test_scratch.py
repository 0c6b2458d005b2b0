"""minigrad/program/cpu/scratch.py: scratch memory for results that exist for one part at a time."""

from __future__ import annotations

import pytest

from minigrad.core.vectors import add_p, multiply_p, transpose_p
from minigrad.ops.functions import exp, tanh
from minigrad.ops.linalg import matmul_p
from minigrad.ops.reduce import sum_p
from minigrad.program.cpu.schedule import find_regions
from minigrad.program.cpu.scratch import Part, plan_scratch
from minigrad.program.tuning import Tuning
from minigrad.program.views import find_views
from tests.support.graphs import GraphBuilder

exp_p, tanh_p = exp.primitive, tanh.primitive
TUNING = Tuning(worth_region=0, alignment=1)
PARTS = [Part(slice(0, 2)), Part(slice(2, 5)), Part(slice(5, 6))]


def scratch_of(graph, whole=()):
    """(offsets by region, bytes) of the first moment with rows, in parts of two, three and one of its six rows."""
    views = find_views(graph)
    regions, _ = find_regions(graph, views, TUNING)
    moment = [(region, PARTS) for region in regions if region.rows and region.moment == 1]
    return plan_scratch(moment, graph, views, {*graph.outputs, *whole}, TUNING)


def test_a_result_has_room_for_the_longest_part():
    g = GraphBuilder()
    y = g.add(tanh_p, g.input((6, 4)))
    offsets, size = scratch_of(g.graph(g.add(matmul_p, y, g.input((4, 4)))))
    assert offsets == [{("part", y): 0}] and size == 3 * 4 * 8


def test_a_result_overwrites_an_operand_that_is_not_read_later():
    g = GraphBuilder()
    a = g.add(tanh_p, g.input((6, 4)))
    b = g.add(exp_p, a)
    c = g.add(multiply_p, b, b)
    offsets, size = scratch_of(g.graph(g.add(exp_p, c)))
    assert offsets == [{("part", a): 0, ("part", b): 0, ("part", c): 0}] and size == 96


def test_a_result_does_not_overwrite_an_operand_that_is_read_later():
    g = GraphBuilder()
    a = g.add(tanh_p, g.input((6, 4)))
    b = g.add(exp_p, a)
    offsets, size = scratch_of(g.graph(g.add(add_p, a, b)))
    assert offsets[0]["part", a] != offsets[0]["part", b] and size == 192


def test_a_product_does_not_overwrite_its_operand():
    g = GraphBuilder()
    a = g.add(tanh_p, g.input((6, 4)))
    b = g.add(matmul_p, a, g.input((4, 4)))
    offsets, size = scratch_of(g.graph(g.add(exp_p, b)))
    assert offsets[0]["part", a] != offsets[0]["part", b] and size == 192


@pytest.mark.parametrize("through_view", [False, True])
def test_a_result_does_not_overwrite_an_operand_read_through_a_view(through_view):
    g = GraphBuilder()
    a = g.add(tanh_p, g.input((6, 2, 2)))
    other = g.add(transpose_p, a, axes=(0, 2, 1)) if through_view else g.input((6, 2, 2))
    last = g.add(add_p, a, other)
    offsets, size = scratch_of(g.graph(g.add(exp_p, last)))
    assert (offsets[0]["part", last] != offsets[0]["part", a]) == through_view
    assert size == (192 if through_view else 96)


def test_results_in_the_block_take_no_scratch():
    g = GraphBuilder()
    a = g.add(tanh_p, g.input((6, 4)))
    graph = g.graph(g.add(exp_p, a))
    assert scratch_of(graph, whole=[a]) == ([{}], 0)


def test_partial_sums_are_kept_during_later_regions():
    g = GraphBuilder()
    x, y = g.input((6, 4)), g.input((12, 4))
    first = g.add(sum_p, g.add(tanh_p, x), axes=(0,))
    second = g.add(sum_p, g.add(tanh_p, y), axes=(0,))
    offsets, size = scratch_of(g.graph(first, second))
    assert [set(some) for some in offsets] == [
        {("part", first - 1), ("term", first), ("sum", first)},
        {("part", second - 1), ("term", second), ("sum", second)},
    ]
    for number, slot in enumerate((first, second)):
        place = offsets[number]["sum", slot], offsets[number]["sum", slot] + 32
        for some in offsets[number:]:  # the first region's other places are free again in the second
            for (what, other), at in some.items():
                end = at + (96 if what == "part" else 32)
                assert (what, other) == ("sum", slot) or end <= place[0] or place[1] <= at
    assert size == 96 + 3 * 32
