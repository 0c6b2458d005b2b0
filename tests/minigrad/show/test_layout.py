"""Layouts: boxes do not overlap, edges run downwards and are as straight as possible."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.show.layout import Size, arrange, levels
from tests.support.pictures import Rectangle


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 25))
    side = st.integers(20, 300)
    edges = [(draw(st.integers(0, t - 1)), t) for t in range(1, count) for _ in range(draw(st.integers(0, 3)))]
    entering = Counter(t for _, t in edges)
    sizes = []
    for box in range(count):
        width = draw(side) + 20 * entering[box]
        ports = tuple(width * (i + 0.5) / entering[box] for i in range(entering[box]))
        sizes.append(Size(width, draw(side), ports, draw(st.integers(0, 40)), draw(st.integers(0, 60))))
    return sizes, edges


@given(graphs())
def test_boxes_and_edges_do_not_overlap(graph):
    sizes, edges = graph
    layout = arrange(sizes, edges)
    boxes = [Rectangle(x, y, x + s.width, y + s.height) for (x, y), s in zip(layout.corners, sizes)]
    for box, size in zip(boxes, sizes):
        assert -1e-6 <= box.left and box.right + size.beside <= layout.width + 1e-6
        assert (size.above if size.ports else 0) <= box.top + 1e-6 and box.bottom <= layout.height + 1e-6
    lanes = [
        Rectangle(b.left, b.top - (s.above if s.ports else 0), b.right + s.beside, b.bottom)
        for b, s in zip(boxes, sizes)
    ]
    for a, b in combinations(lanes, 2):
        assert not a.meets(b, apart=4)
    entered = Counter()
    for (source, target), route in zip(edges, layout.routes):
        assert boxes[source].left <= route[0][0] <= boxes[source].right and route[0][1] == boxes[source].bottom
        port = boxes[target].left + sizes[target].ports[entered[target]]
        assert math.isclose(route[-1][0], port, abs_tol=1e-6) and route[-1][1] == boxes[target].top
        entered[target] += 1
        for (fellow, _), other in zip(edges, layout.routes):
            if fellow == source and route[2][0] < other[2][0]:
                assert route[0][0] < other[0][0], "two edges cross on leaving their box"
        for i, ((x0, y0), (x1, y1)) in enumerate(pairwise(route)):
            assert y1 >= y0 and (x0 == x1 or i % 2 == 1), "straight down first, then a curve, and so on"
            piece = Rectangle(min(x0, x1), y0, max(x0, x1), y1)
            assert not any(piece.meets(box, apart=-1e-6) for box in boxes)


@given(graphs())
def test_every_box_is_below_all_that_it_uses(graph):
    sizes, edges = graph
    level = levels(len(sizes), edges)
    assert all(level[source] < level[target] for source, target in edges)
    assert min(level) >= 0
    for box, own in enumerate(level):  # as low as its users allow, or right below what it uses
        above = [level[source] for source, target in edges if target == box]
        below = [level[target] for source, target in edges if source == box]
        assert own == max(above, default=-1) + 1 or own == min(below) - 1
    layout = arrange(sizes, edges)
    spans = {}
    for (_, top), size, own in zip(layout.corners, sizes, level):
        low, high = spans.get(own, (math.inf, -math.inf))
        spans[own] = min(low, top), max(high, top + size.height)
    rows = [spans[own] for own in sorted(spans)]
    assert all(upper[1] < lower[0] for upper, lower in pairwise(rows)), "levels are below each other"


@given(graphs())
def test_the_layout_is_the_same_on_every_run(graph):
    assert arrange(*graph) == arrange(*graph)


def test_an_empty_graph_has_an_empty_layout():
    assert arrange([], []) == ([], [], 0.0, 0.0)


def count_crossings(layout):
    """How many pairs of curves between two levels swap sides."""
    curves = [(a[1], a[0], b[0]) for route in layout.routes for a, b in zip(route[1::2], route[2::2])]
    return sum(y == z and (a - c) * (b - d) < -1e-6 for (y, a, b), (z, c, d) in combinations(curves, 2))


def arrange_boxes(edges, widths):
    """A layout of boxes of these widths, with ports side by side."""
    entering = Counter(target for _, target in edges)
    ports = [tuple(w * (i + 0.5) / entering[box] for i in range(entering[box])) for box, w in enumerate(widths)]
    return arrange([Size(w, 30.0, p) for w, p in zip(widths, ports)], edges)


def test_edges_are_straight_where_they_can_be():
    assert {x for x, _ in arrange_boxes([(i, i + 1) for i in range(5)], [100.0] * 6).corners} == {0.0}
    edges = [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)]
    layout = arrange_boxes(edges, [120.0, 80.0, 200.0, 60.0, 300.0])
    assert len({round(x, 6) for x, _ in layout.routes[4][1:-1]}) == 1  # the one that passes by
    assert len({round(x, 6) for route in layout.routes[1:4] for x, _ in route}) == 1  # the chain beside it


@pytest.mark.parametrize(
    "edges",
    [
        [(1, 3), (0, 3), (0, 4), (2, 4)],  # 1, 0, 2 from left to right crosses nothing
        [(1, 2), (1, 3), (1, 4), (2, 4), (0, 5), (5, 6), (0, 6)],
    ],
)
def test_edges_do_not_cross_where_an_order_avoids_it(edges):
    assert count_crossings(arrange_boxes(edges, [100.0] * (max(map(max, edges)) + 1))) == 0


def test_edges_leave_around_the_exit_of_a_box():
    edges = [(0, 1), (1, 2), (0, 3), (3, 2)]
    for exit, expected in ((None, 100.0), (30.0, 30.0), (0.0, 7.0), (200.0, 193.0)):
        sizes = [Size(80.0, 30.0), Size(200.0, 30.0, (40.0,), exit=exit), Size(90.0, 30.0, (20.0, 70.0))]
        layout = arrange([*sizes, Size(60.0, 30.0, (30.0,))], edges)
        assert math.isclose(layout.routes[1][0][0] - layout.corners[1][0], expected)
    wide = arrange([Size(100.0, 30.0, exit=10.0), *[Size(60.0, 30.0, (30.0,))] * 3], [(0, 1), (0, 2), (0, 3)])
    leaving = sorted(route[0][0] - wide.corners[0][0] for route in wide.routes)
    assert 0 < leaving[0] < leaving[1] < leaving[2] < 100  # all inside of the box
