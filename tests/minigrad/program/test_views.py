"""minigrad/program/views.py: shapes, strides and offsets against those that NumPy gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.backends.numpy.backend import BACKEND
from minigrad.core.vectors import broadcast_to_p, reshape_p, transpose_p
from minigrad.ops.comparisons import stop_gradient_p
from minigrad.ops.functions import exp
from minigrad.ops.indexing import slice_p
from minigrad.program.graph import Constant
from minigrad.program.views import View, find_views, view_array
from tests.support.graphs import GraphBuilder

exp_p = exp.primitive


@st.composite
def steps(draw, shape):
    """A view of an array of this shape: its primitive, its parameters, and the same in NumPy."""
    kind = draw(st.sampled_from("transpose slice broadcast reshape stop".split()))
    if kind == "transpose":
        axes = tuple(draw(st.permutations(range(len(shape)))))
        return transpose_p, {"axes": axes}, lambda x: np.transpose(x, axes)
    if kind == "slice":
        index = tuple(draw(_indices(n)) for n in shape)
        return slice_p, {"index": index}, lambda x: x[(*index, ...)]
    if kind == "broadcast":
        wide = tuple(draw(st.sampled_from([n, 3])) if n == 1 else n for n in shape)
        wide = (*draw(st.sampled_from([(), (2,)])), *wide) if math.prod(wide) < 500 else wide
        return broadcast_to_p, {"shape": wide}, lambda x: np.broadcast_to(x, wide)
    if kind == "reshape":
        new = draw(_shapes(math.prod(shape)))
        return reshape_p, {"shape": new}, lambda x: np.reshape(x, new)
    return stop_gradient_p, {}, lambda x: x


@st.composite
def _indices(draw, n):
    """An index of one element of an axis of length n, or a slice of it in either direction."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.integers(-n, n - 1))
    begin, end = sorted([draw(st.integers(0, n - 1)), draw(st.integers(0, n - 1))])
    step = draw(st.sampled_from([1, 2, -1]))
    return slice(begin, end + 1, step) if step > 0 else slice(end, begin - 1 if begin else None, step)


@st.composite
def _shapes(draw, count):
    """A shape with `count` elements."""
    shape = []
    for prime in (2, 3, 5):
        while count % prime == 0 and len(shape) < 4:
            count //= prime
            shape.append(prime)
    shape = draw(st.permutations([*shape, count, *draw(st.sampled_from([[], [1], [1, 1]]))]))
    if len(shape) > 1 and draw(st.booleans()):
        shape = [shape[0] * shape[1], *shape[2:]]
    return tuple(shape)


def gather(view: View, memory: np.ndarray) -> np.ndarray:
    """The elements of a view, gathered one by one from an array's memory."""
    found = np.empty(view.shape, memory.dtype)
    for index in np.ndindex(*view.shape):
        found[index] = memory.ravel()[view.offset + sum(i * stride for i, stride in zip(index, view.strides))]
    return found


@given(data=st.data())
def test_chains_of_views_agree_with_numpy(data):
    g = GraphBuilder()
    slot = g.input(data.draw(st.sampled_from([(3, 4), (2, 3, 4), (6,), (1, 5, 1), (2, 1, 3, 2), ()])))
    arrays = [np.arange(g.values[slot].size, dtype=float).reshape(g.values[slot].shape)]
    copies = set()
    for _ in range(data.draw(st.integers(1, 6))):
        primitive, params, show = data.draw(steps(arrays[slot].shape))
        y = show(arrays[slot])
        if primitive is reshape_p and not arrays[slot].flags.c_contiguous:
            long = [[n for n in x.shape if n != 1] for x in (arrays[slot], y)]
            if long[0] != long[1]:
                y = np.array(y)  # another order of elements, or one that may need a copy
                copies.add(slot + 1)
        slot = g.add(primitive, slot, **params)
        arrays.append(y)
    views = find_views(g.graph(slot))
    assert views.slots == set(range(1, slot + 1)) - copies
    root = 0
    for number, array in enumerate(arrays):
        root = number if number in copies else root
        view = views.of(number)
        assert view.root == views.root_of(number) == root and view.shape == array.shape
        np.testing.assert_array_equal(gather(view, arrays[root]), array)
    assert views.roots_of(range(slot + 1)) == copies | {0}


@given(data=st.data())
def test_axes_address_the_same_elements(data):
    """Element i, counted in the order of a shape, is at Σ (i // inside mod length) · stride."""
    x = np.arange(120.0).reshape(2, 3, 4, 5)
    y = x
    for _ in range(data.draw(st.integers(0, 3))):
        primitive, _, show = data.draw(steps(y.shape))
        y = y if primitive is reshape_p else show(y)
    begin = (y.__array_interface__["data"][0] - x.__array_interface__["data"][0]) // x.itemsize
    view = View(0, y.shape, tuple(stride // x.itemsize for stride in y.strides), begin)
    wide = (*data.draw(st.sampled_from([(), (1,), (3,)])), *y.shape)
    axes = view.axes(wide)
    expected = np.broadcast_to(y, wide).ravel()
    for i in range(expected.size):
        place = view.offset + sum(i // inside % length * stride for inside, length, stride in axes)
        assert x.ravel()[place] == expected[i]


def test_neighbouring_axes_are_joined():
    assert View(0, (2, 3, 4), (12, 4, 1), 0).axes((2, 3, 4)) == ((1, 24, 1),)
    assert View(0, (3, 4), (4, 1), 0).axes((2, 3, 4)) == ((1, 12, 1),)
    assert View(0, (3, 2), (1, 3), 0).axes((3, 2)) == ((1, 2, 3), (2, 3, 1))
    assert View(0, (4,), (0,), 0).axes((4,)) == ()


def test_a_view_of_a_constant_shows_its_memory():
    g, array = GraphBuilder(), np.arange(12.0).reshape(3, 4)[:, ::-1]
    slot = g.add(slice_p, g.add(transpose_p, Constant(array), axes=(1, 0)), index=(1,))
    views = find_views(g.graph(slot))
    assert views.of(slot) == View(Constant(array), (3,), (4,), -1)
    assert views.slots == {0, 1} and views.root_of(slot) == slot and views.roots_of([slot]) == set()


def test_slots_with_memory_of_their_own():
    """Results of formulas, and copies: views of numbers, and of arrays whose strides are no multiples of elements."""
    g = GraphBuilder()
    x = g.input((2, 2))
    records = np.zeros(3, dtype=[("flag", np.int8), ("value", np.float64)])
    misaligned = Constant(records["value"])
    slots = (
        g.add(exp_p, x),
        g.add(broadcast_to_p, Constant(2.0), shape=(3,)),
        g.add(reshape_p, misaligned, shape=(3, 1)),
    )
    views = find_views(g.graph(*slots))
    assert views.slots == set()
    assert [views.of(slot) for slot in slots] == [
        View(slots[0], (2, 2), (2, 1), 0),
        View(slots[1], (3,), (1,), 0),
        View(slots[2], (3, 1), (1, 1), 0),
    ]
    assert views.of(Constant(2.0)) is None
    with pytest.raises(ValueError, match=r"has strides of .* bytes, not multiples of the . bytes of"):
        views.of(misaligned)


def test_one_element_is_a_view_too():
    g, x = GraphBuilder(), np.arange(6.0).reshape(2, 3)
    slot = g.add(slice_p, g.input((2, 3)), index=(1, 2))
    (instruction,) = g.graph(slot).instructions
    y = view_array(instruction, BACKEND, x, instruction.params)
    x[1, 2] = 7
    assert y.shape == () and y == 7
    assert find_views(g.graph(slot)).of(slot) == View(0, (), (), 5)
