"""minigrad/program/elementwise.py: what a generated kernel can compute, in which dtype, from which elements."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.core.vectors import add_p, astype_p, broadcast_to_p, reshape_p, transpose_p, where_p
from minigrad.ops.comparisons import less
from minigrad.ops.functions import exp
from minigrad.ops.indexing import slice_p
from minigrad.ops.linalg import matmul_p
from minigrad.ops.reduce import sum_p
from minigrad.program.elementwise import can_be_generated, compute_dtype, domain, is_in_order
from minigrad.program.graph import Constant
from minigrad.program.views import find_views
from minigrad.random import normal_p
from tests.support.graphs import GraphBuilder

exp_p, less_p = exp.primitive, less.primitive


def last(g):
    """The last instruction of a graph, the graph and its views."""
    graph = g.graph(g.instructions[-1].result)
    return graph.instructions[-1], graph, find_views(graph)


@pytest.mark.parametrize(
    ("primitive", "dtypes", "params", "expected"),
    [
        (exp_p, ["f4"], {}, True),
        (exp_p, ["f8"], {}, True),
        (exp_p, ["f2"], {}, False),
        (exp_p, ["c16"], {}, False),
        (add_p, ["i4", "i4"], {}, True),
        (add_p, ["u4", "u4"], {}, False),
        (less_p, ["f4", "f4"], {}, True),
        (where_p, ["?", "f8", "f8"], {}, True),
        (where_p, ["i8", "f8", "f8"], {}, False),  # the condition has to be true or false
        (astype_p, ["f4"], {"dtype": np.dtype("f8")}, True),
        (astype_p, ["f4"], {"dtype": np.dtype("f2")}, False),
        (matmul_p, ["f4", "f4"], {}, False),
        (sum_p, ["f4"], {"axes": (0, 1)}, False),
        (transpose_p, ["f4"], {"axes": (1, 0)}, False),  # a view needs no computation
    ],
)
def test_which_instructions_can_be_generated(primitive, dtypes, params, expected):
    g = GraphBuilder()
    g.add(primitive, *[g.input((2, 2), dtype) for dtype in dtypes], **params)
    assert can_be_generated(*last(g)) == expected


def test_empty_results_are_not_generated():
    g = GraphBuilder()
    g.add(exp_p, g.input((0, 3)))
    assert not can_be_generated(*last(g))


def test_a_reshape_is_generated_if_it_is_no_view():
    g = GraphBuilder()
    x = g.input((2, 3))
    g.add(reshape_p, x, shape=(6,))
    assert not can_be_generated(*last(g))
    g.add(reshape_p, g.add(transpose_p, x, axes=(1, 0)), shape=(6,))
    assert can_be_generated(*last(g))


def test_random_numbers_need_keys_whose_words_are_adjacent():
    g = GraphBuilder()
    keys = g.input((2, 2), np.uint32)
    for keys_as_given, expected in [(keys, True), (g.add(transpose_p, keys, axes=(1, 0)), False)]:
        key = g.add(slice_p, keys_as_given, index=(1,))
        g.add(normal_p, key, Constant(0), shape=(4,), dtype=np.dtype("f8"), offset=0)
        assert can_be_generated(*last(g)) == expected


@pytest.mark.parametrize(
    ("dtype", "number", "expected"),
    [("i4", 2**31 - 1, True), ("i4", 2**31, False), ("i8", 2**31, True), ("i8", 2**63, False), ("f4", 2**40, True)],
)
def test_integer_constants_must_fit_the_dtype_of_the_computation(dtype, number, expected):
    g = GraphBuilder()
    g.add(less_p, g.input((2,), dtype), Constant(number))
    assert can_be_generated(*last(g)) == expected


def test_a_comparison_is_computed_in_the_dtype_of_its_operands():
    for dtypes, expected in [(("f4", "f4"), "f4"), (("i4", "f8"), "f8"), (("i4", "i8"), "i8")]:
        g = GraphBuilder()
        g.add(less_p, *[g.input((2,), dtype) for dtype in dtypes])
        instruction, graph, _ = last(g)
        assert compute_dtype(instruction, graph) == np.dtype(expected)
    g = GraphBuilder()
    g.add(less_p, g.input((2,), "f4"), Constant(1.0))  # a Python number adapts
    instruction, graph, _ = last(g)
    assert compute_dtype(instruction, graph) == np.dtype("f4")


def test_a_conversion_computes_in_its_operands_dtype_and_a_selection_in_its_results():
    g = GraphBuilder()
    x, condition = g.input((2,), "f4"), g.input((2,), "?")
    g.add(astype_p, x, dtype=np.dtype("f8"))
    assert compute_dtype(*last(g)[:2]) == np.dtype("f4")
    g.add(where_p, condition, condition, condition)
    assert compute_dtype(*last(g)[:2]) == np.dtype("?")
    g.add(exp_p, x)
    assert compute_dtype(*last(g)[:2]) == np.dtype("f4")


def test_the_domain_of_a_reshape_is_the_shape_that_it_copies():
    g = GraphBuilder()
    turned = g.add(transpose_p, g.input((2, 3)), axes=(1, 0))
    g.add(reshape_p, turned, shape=(6,))
    assert domain(*last(g)[:2]) == (3, 2)
    g.add(exp_p, turned)
    assert domain(*last(g)[:2]) == (3, 2)


@pytest.mark.parametrize(
    ("primitive", "params", "shape", "expected"),
    [
        (reshape_p, {"shape": (6,)}, (6,), True),
        (reshape_p, {"shape": (6,)}, (2, 6), False),  # broadcast
        (reshape_p, {"shape": (1, 2, 3)}, (1, 2, 3), True),
        (transpose_p, {"axes": (1, 0)}, (3, 2), False),
        (slice_p, {"index": (slice(0, 1),)}, (1, 3), False),  # not all elements
        (slice_p, {"index": (slice(None, None, -1),)}, (2, 3), False),
        (broadcast_to_p, {"shape": (4, 2, 3)}, (4, 2, 3), False),
    ],
)
def test_views_in_order(primitive, params, shape, expected):
    g = GraphBuilder()
    view = g.add(primitive, g.input((2, 3)), **params)
    graph = g.graph(view)
    views = find_views(graph)
    assert view in views.slots and is_in_order(views.of(view), shape, graph) == expected


def test_a_reversed_constant_that_is_reversed_again_is_not_in_order():
    """Its elements are read from the lowest address on, which is not where the constant's array begins."""
    g = GraphBuilder()
    view = g.add(slice_p, Constant(np.arange(3.0)[::-1]), index=(slice(None, None, -1),))
    graph = g.graph(view)
    view = find_views(graph).of(view)
    assert (view.strides, view.offset) == ((1,), -2) and not is_in_order(view, (3,), graph)


def test_one_element_is_always_in_order():
    g = GraphBuilder()
    x = g.input((1, 1))
    view = g.add(transpose_p, x, axes=(1, 0))
    graph = g.graph(view)
    assert is_in_order(find_views(graph).of(view), (1, 1), graph)
