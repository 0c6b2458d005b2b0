"""minigrad/program/cpu/overwrite.py: which results overwrite donated arguments."""

from __future__ import annotations

from minigrad.core.vectors import add_p, multiply_p, transpose_p
from minigrad.ops.functions import exp, tanh
from minigrad.ops.linalg import matmul_p
from minigrad.ops.reduce import sum_p
from minigrad.ops.shape import pad_p
from minigrad.program.cpu.overwrite import plan_overwrites
from minigrad.program.cpu.schedule import find_regions
from minigrad.program.tuning import Tuning
from minigrad.program.views import find_views
from tests.support.graphs import GraphBuilder

exp_p, tanh_p = exp.primitive, tanh.primitive
CUT, WHOLE = Tuning(worth_region=0), Tuning(worth_region=1 << 40)


def overwrites(graph, tuning=CUT):
    views = find_views(graph)
    regions, _ = find_regions(graph, views, tuning)
    return plan_overwrites(regions, graph, views)


def test_a_step_of_an_optimiser_overwrites_its_parameters():
    g = GraphBuilder()
    w, gradient = g.input((6, 4)), g.input((6, 4))
    after = g.add(add_p, w, g.add(multiply_p, gradient, gradient))
    assert overwrites(g.graph(after, donated=(w,))) == {after: w}
    assert overwrites(g.graph(after, donated=(w,)), WHOLE) == {after: w}
    assert overwrites(g.graph(after)) == {}


def test_an_argument_that_is_read_later_is_not_overwritten():
    g = GraphBuilder()
    w, x = g.input((6, 4)), g.input((6, 4))
    first = g.add(tanh_p, x)
    second = g.add(add_p, w, first)
    assert overwrites(g.graph(first, second, donated=(w,))) == {second: w}


def test_an_unread_argument_is_overwritten():
    g = GraphBuilder()
    w, x = g.input((6, 4)), g.input((6, 4))
    y = g.add(tanh_p, x)
    assert overwrites(g.graph(y, donated=(w,))) == {y: w}


def test_an_argument_read_in_another_order_is_not_overwritten_before_that_is_done():
    g = GraphBuilder()
    w = g.input((6, 6))
    both = g.add(add_p, w, g.add(transpose_p, w, axes=(1, 0)))
    graph = g.graph(both, donated=(w,))
    assert overwrites(graph) == overwrites(graph, WHOLE) == {}
    after = g.add(exp_p, both)
    assert overwrites(g.graph(after, donated=(w,))) == {}  # other parts of the region still read it
    assert overwrites(g.graph(after, donated=(w,)), WHOLE) == {after: w}


def test_a_product_does_not_overwrite_its_operand():
    g = GraphBuilder()
    w, x = g.input((6, 6)), g.input((6, 6))
    y = g.add(matmul_p, w, x)
    assert overwrites(g.graph(y, donated=(w, x))) == {}
    z = g.add(tanh_p, y)
    assert overwrites(g.graph(z, donated=(w,))) == {z: w}  # part by part, its rows have been read
    assert overwrites(g.graph(z, donated=(x,))) == {}  # every part reads all of it
    assert overwrites(g.graph(z, donated=(x,)), WHOLE) == {z: x}


def test_a_later_region_overwrites_what_an_earlier_one_read():
    g = GraphBuilder()
    w, x = g.input((6, 6)), g.input((6, 6))
    y = g.add(matmul_p, g.add(exp_p, w), g.add(matmul_p, w, x))
    assert overwrites(g.graph(y, donated=(w,))) == {y: w}


def test_arguments_that_are_outputs_and_scalars_are_not_overwritten():
    g = GraphBuilder()
    w, s = g.input((6, 6)), g.input(())
    y, t = g.add(exp_p, w), g.add(exp_p, s)
    turned = g.add(transpose_p, w, axes=(1, 0))
    assert overwrites(g.graph(y, w, donated=(w,))) == overwrites(g.graph(y, turned, donated=(w,))) == {}
    assert overwrites(g.graph(t, donated=(s,))) == {}


def test_a_sum_does_not_accumulate_in_an_argument():
    g = GraphBuilder()
    b, x = g.input((4,)), g.input((6, 4))
    total = g.add(sum_p, g.add(tanh_p, x), axes=(0,))
    assert overwrites(g.graph(total, donated=(b,))) == {}
    assert overwrites(g.graph(total, donated=(b,)), WHOLE) == {total: b}


def test_each_argument_is_overwritten_once_by_a_result_of_its_kind():
    g = GraphBuilder()
    w, v = g.input((6, 4)), g.input((6, 4), "f4")
    a, b = g.add(tanh_p, w), g.add(exp_p, w)
    wide = g.add(pad_p, w, widths=((0, 0), (0, 1)))
    assert overwrites(g.graph(wide, donated=(w,))) == {}
    assert overwrites(g.graph(a, b, donated=(w, v))) == {b: w}
