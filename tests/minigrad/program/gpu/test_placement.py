"""minigrad/program/gpu/placement.py: which results overwrite donated arguments, and where everything else is stored."""

from __future__ import annotations

import itertools

import pytest

from minigrad.core.vectors import add_p, transpose_p
from minigrad.ops.functions import exp, tanh
from minigrad.ops.linalg import matmul_p
from minigrad.ops.updates import update_p
from minigrad.program.fusion import fuse
from minigrad.program.gpu.placement import Placement, place
from minigrad.program.graph import Constant
from minigrad.program.tuning import DEFAULT
from minigrad.program.views import find_views
from tests.support.graphs import GraphBuilder

exp_p, tanh_p = exp.primitive, tanh.primitive


def place_graph(graph, writable=None, tuning=DEFAULT) -> Placement:
    """The placement of a graph, whose donated arguments are all writable unless `writable` is given."""
    writable = set(graph.donated) if writable is None else writable
    return place(fuse(graph, find_views(graph), tuning), writable, tuning)


def test_a_result_overwrites_an_argument_that_it_reads_in_order():
    g = GraphBuilder()
    x = g.input((3, 3))
    y = g.add(exp_p, x)
    assert place_graph(g.graph(y, donated=(x,))) == ({y: x}, {}, 0)
    assert place_graph(g.graph(y, donated=(x,)), writable=set()).overwrites == {}
    assert place_graph(g.graph(y)).overwrites == {}


def test_a_result_does_not_overwrite_an_argument_that_it_reads_out_of_order():
    g = GraphBuilder()
    x = g.input((3, 3))
    y = g.add(add_p, x, g.add(transpose_p, x, axes=(1, 0)))
    assert place_graph(g.graph(y, donated=(x,))).overwrites == {}


def test_a_product_overwrites_an_argument_that_was_read_at_an_earlier_level():
    g = GraphBuilder()
    x, w = g.input((3, 3)), g.input((3, 3))
    y = g.add(matmul_p, g.add(exp_p, x), w)
    assert place_graph(g.graph(y, donated=(x, w))).overwrites == {y: x}  # w is read as y is computed
    assert place_graph(g.graph(y, donated=(w,))).overwrites == {}


def test_an_argument_that_is_read_later_is_not_overwritten():
    g = GraphBuilder()
    x, w = g.input((3, 3)), g.input((3, 3))
    y = g.add(exp_p, x)
    z = g.add(matmul_p, g.add(matmul_p, w, w), x)
    assert place_graph(g.graph(y, z, donated=(x,))).overwrites == {}


def test_a_launch_does_not_overwrite_what_another_of_its_level_reads():
    g = GraphBuilder()
    x, w = g.input((3, 3)), g.input((3, 3))
    product, y = g.add(matmul_p, w, w), g.add(exp_p, x)
    assert place_graph(g.graph(product, y, donated=(x,))).overwrites == {y: x}


def test_an_argument_that_is_also_an_output_is_not_overwritten():
    g = GraphBuilder()
    x = g.input((3, 3))
    y = g.add(exp_p, x)
    assert place_graph(g.graph(y, x, donated=(x,))).overwrites == {}
    assert place_graph(g.graph(y, g.add(transpose_p, x, axes=(1, 0)), donated=(x,))).overwrites == {}


@pytest.mark.parametrize("shape", [(9,), (3, 4)])
def test_an_argument_of_another_kind_is_not_overwritten(shape):
    g = GraphBuilder()
    x, other = g.input((3, 3)), g.input(shape)
    y = g.add(exp_p, x)
    assert place_graph(g.graph(y, donated=(other,))).overwrites == {}


def test_a_buffer_is_reused_after_its_last_read():
    g = GraphBuilder()
    x = g.input((30, 30))
    slots = [x]
    for _ in range(4):
        slots.append(g.add(matmul_p, slots[-1], slots[-1]))
    result = g.add(tanh_p, slots[-1])
    placement = place_graph(g.graph(result))
    assert placement.bytes == 2 * 7232  # of 7200 bytes, rounded up to a multiple of 64
    offsets = [placement.offsets[slot] for slot in (*slots[1:], result)]
    assert all(a != b for a, b in itertools.pairwise(offsets)) and set(offsets) == {0, 7232}


def test_results_keep_their_buffers_until_they_are_copied():
    g = GraphBuilder()
    x = g.input((30, 30))
    early = g.add(exp_p, x)
    late = g.add(matmul_p, g.add(matmul_p, x, x), x)
    placement = place_graph(g.graph(late, early))
    assert placement.bytes == 3 * 7232


def test_values_computed_inline_have_no_buffer():
    g = GraphBuilder()
    x = g.input((3, 3))
    between = g.add(add_p, x, Constant(1.0))
    result = g.add(add_p, between, Constant(2.0))
    assert set(place_graph(g.graph(result)).offsets) == {result}


def test_an_update_lies_in_the_memory_of_its_operand():
    """Also in that of a donated argument; not if another launch of its level reads the operand."""
    g = GraphBuilder()
    x, m = g.input((4, 4)), g.input((4, 4))
    y = g.add(update_p, x, g.add(matmul_p, m, m), index=(slice(None),))
    first = g.add(update_p, g.add(matmul_p, y, m), Constant(1.0), index=(0,))
    second = g.add(update_p, first, Constant(2.0), index=(1,))
    third, product = g.add(update_p, second, Constant(3.0), index=(2,)), g.add(matmul_p, second, m)
    placement = place_graph(g.graph(y, third, product, donated=(x,)))
    assert placement.overwrites == {y: x}
    assert placement.offsets[first] == placement.offsets[second] != placement.offsets[third]
