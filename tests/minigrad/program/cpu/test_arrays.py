"""minigrad/program/cpu/arrays.py: the arrays of slots, parts and views."""

from __future__ import annotations

import numpy as np

from minigrad.core.vectors import broadcast_to_p, reshape_p, transpose_p
from minigrad.ops.functions import exp, tanh
from minigrad.ops.indexing import slice_p
from minigrad.ops.linalg import matmul_p
from minigrad.ops.reduce import sum_p
from minigrad.program.buffers import allocate
from minigrad.program.cpu.arrays import Arrays
from minigrad.program.cpu.parts import Part
from minigrad.program.cpu.plan import make_plan
from minigrad.program.graph import Constant
from minigrad.program.tuning import Tuning
from minigrad.program.views import find_views
from tests.support.graphs import GraphBuilder

exp_p, tanh_p = exp.primitive, tanh.primitive


def arrays_of(graph, threads=1):
    views = find_views(graph)
    tuning = Tuning(worth_region=0, worth_threads=0, part=1 << 8, small_result=1 << 20)
    plan = make_plan(graph, views, tuning, threads)
    block, *scratch = [allocate(graph.backend, n, 64) for n in (plan.block_bytes, *[plan.scratch_bytes] * plan.threads)]
    return Arrays(graph, views, plan, block, scratch), plan


def test_arrays_in_the_block_exist_from_the_beginning():
    g = GraphBuilder()
    y = g.add(matmul_p, g.add(matmul_p, g.input((8, 8)), g.input((8, 4))), g.input((4, 2)))
    arrays, plan = arrays_of(g.graph(y, y - 2))
    assert set(plan.offsets) == {y, y - 2}
    first, second = arrays.full_array(y), arrays.full_array(y - 2)
    assert (first.shape, second.shape) == ((8, 2), (8, 4)) and not np.shares_memory(first, second)
    assert first.ctypes.data % 64 == second.ctypes.data % 64 == 0
    assert arrays.full_array(y) is first


def test_views_follow_their_root_when_it_is_replaced():
    g = GraphBuilder()
    x = g.input((2, 3))
    turned = g.add(transpose_p, x, axes=(1, 0))
    row = g.add(slice_p, turned, index=(1,))
    element = g.add(slice_p, row, index=(0,))
    arrays, _ = arrays_of(g.graph(row))
    one, other = np.arange(6.0).reshape(2, 3), np.zeros((2, 3))
    arrays.put(x, one)
    assert np.shares_memory(arrays.full_array(row), one) and np.shares_memory(arrays.full_array(element), one)
    np.testing.assert_array_equal(arrays.full_array(row), [1, 4])
    assert arrays.full_array(element).shape == () and arrays.full_array(element) == 1
    arrays.put(x, other)
    arrays.forget_views([x])
    assert np.shares_memory(arrays.full_array(row), other) and np.shares_memory(arrays.full_array(turned), other)


def test_a_view_of_a_constant_copies_nothing():
    g, w = GraphBuilder(), np.arange(4.0)
    wide = g.add(broadcast_to_p, Constant(w), shape=(1000, 4))
    arrays, plan = arrays_of(g.graph(wide))
    assert np.shares_memory(arrays.full_array(wide), w) and arrays.full_array(Constant(w)) is w
    assert plan.offsets == {} and plan.fresh == []


def test_the_operand_of_a_part_is_the_rows_of_the_part():
    g = GraphBuilder()
    x = g.input((8, 3))
    y = g.add(tanh_p, x)
    shown = g.add(reshape_p, y, shape=(8, 1, 3))
    z = g.add(exp_p, shown)
    arrays, plan = arrays_of(g.graph(z))
    array = np.arange(24.0).reshape(8, 3)
    arrays.put(x, array)
    part = Part(slice(2, 4))
    local = arrays.scratch_arrays(part, plan.scratch[0])
    assert set(local) == {y} and local[y].shape == (2, 3)
    assert arrays.operand(y, 0, part, local) is local[y]
    view = arrays.operand(shown, 0, part, local)
    assert view.shape == (2, 1, 3) and np.shares_memory(view, local[y])
    np.testing.assert_array_equal(arrays.operand(x, 0, part, local), array[2:4])
    np.testing.assert_array_equal(arrays.operand(x, 1, part, local), array[:, 2:4])
    assert arrays.operand(x, None, part, local) is array
    assert arrays.operand(Constant(2.0), None, part, local) == 2.0


def test_threads_have_scratch_of_their_own():
    g = GraphBuilder()
    y = g.add(tanh_p, g.input((40, 3)))
    arrays, plan = arrays_of(g.graph(g.add(exp_p, y)), threads=2)
    mine, other, later = (arrays.scratch_arrays(Part(slice(0, 2), t), plan.scratch[0])[y] for t in (0, 1, 0))
    assert plan.threads == 2
    assert np.shares_memory(mine, later) and not np.shares_memory(mine, other)


def test_some_rows_of_a_part_are_a_piece_of_its_scratch():
    """Also where the rows are not the first axis, and in views."""
    for shape, axis in (((40, 3), 0), ((1, 40, 3), 1)):
        g = GraphBuilder()
        y = g.add(tanh_p, g.input(shape))
        shown = g.add(reshape_p, y, shape=(40, 1, 3))
        arrays, plan = arrays_of(g.graph(g.add(exp_p, shown)))
        part, rows = Part(slice(2, 7)), slice(4, 6)
        whole, some = (arrays.scratch_arrays(part, plan.scratch[0], some) for some in (None, rows))
        whole[y][...] = np.arange(15.0).reshape(whole[y].shape)
        np.testing.assert_array_equal(some[y], whole[y].take([2, 3], axis), strict=True)
        assert np.shares_memory(some[y], whole[y])
        view = arrays.operand(shown, 0, part._replace(rows=rows), some)
        assert view.shape == (2, 1, 3) and np.shares_memory(view, whole[y])


def test_terms_of_a_sum_lie_one_after_the_other():
    g = GraphBuilder()
    y = g.add(tanh_p, g.input((40, 3)))
    total, number = g.add(sum_p, y, axes=(0,)), g.add(sum_p, y, axes=(0, 1))
    arrays, plan = arrays_of(g.graph(total, number))
    count = sum(len(part.groups) for part in plan.parts[0])
    assert (
        count > 1 and arrays.terms(total, count).shape == (count, 3) and arrays.terms(number, count).shape == (count,)
    )
    everything = [arrays.terms(s, count) for s in (total, number)] + [arrays.full_array(s) for s in (total, number)]
    assert not any(np.shares_memory(x, y) for i, x in enumerate(everything) for y in everything[:i])
    (alone,) = arrays.terms(total, 1)
    assert alone.shape == (3,) and np.shares_memory(alone, arrays.full_array(total))
