"""Indexing in all of NumPy's forms: the value is NumPy's, and the gradient puts back and adds up what was picked."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import to_host
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from strategies import arrays, axes, pulled_back, shapes, signed

import minigrad as mg


def check(index, x, on_device):
    """x[index] and its derivatives against NumPy's x[index]."""
    moved = on_device(index)
    pick = lambda x: x[index]
    y, pullback = mg.vjp(lambda x: x[moved], on_device(x))
    expected = np.asarray(pick(x))
    assert np.array_equal(to_host(y), expected) and y.shape == expected.shape
    g = np.rint(8 * signed(expected.shape)) / 8
    assert np.array_equal(to_host(pullback(on_device(g))[0]), pulled_back(pick, x.shape, g))
    assert np.array_equal(to_host(mg.jvp(lambda x: x[moved], (on_device(x),), (on_device(-x),))[1]), -expected)


@given(data=st.data())
def test_slices_integers_new_axes_and_ellipsis(data, on_device):
    x = data.draw(arrays(data.draw(shapes())))
    check(data.draw(hnp.basic_indices(x.shape, allow_newaxis=True)), x, on_device)


@st.composite
def advanced(draw, shape):
    """Integer arrays that broadcast, masks, lists, integers, slices, None and one ellipsis, in any order."""
    result, entries = draw(shapes(0, 2, min_side=1, max_side=3)), []
    for n in shape:
        kind = draw(st.sampled_from(["array", "number", "slice", "mask", "list"] if n else ["slice"]))
        if kind == "array":
            entries.append(draw(hnp.arrays(np.int64, result, elements=st.integers(-n, n - 1))))
        elif kind == "number":
            entries.append(draw(st.integers(-n, n - 1)))
        elif kind == "mask":
            mask = np.zeros(n, bool)
            mask[draw(st.integers(0, n - 1))] = True  # one True, which broadcasts with any other array
            entries.append(mask)
        elif kind == "list":
            entries.append([draw(st.integers(-n, n - 1))])
        else:
            entries.append(draw(st.slices(n)))
        if draw(st.integers(0, 5)) == 0:
            entries.append(None)
    if draw(st.booleans()):  # an ellipsis in place of some of them
        begin = draw(st.integers(0, len(entries)))
        entries[begin : draw(st.integers(begin, len(entries)))] = [Ellipsis]
    return tuple(entries)


@given(data=st.data())
def test_arrays_masks_and_slices_in_any_order(data, on_device):
    shape = data.draw(shapes(1, 4, min_side=1, max_side=3))
    x = data.draw(arrays(shape))
    check(data.draw(advanced(shape)), x, on_device)


@given(data=st.data())
def test_masks_of_several_axes(data, on_device):
    x = data.draw(arrays(data.draw(shapes(1, 3, min_side=0, max_side=3))))
    before = data.draw(st.integers(0, x.ndim - 1))
    count = data.draw(st.integers(1, x.ndim - before))
    mask = data.draw(hnp.arrays(bool, x.shape[before : before + count]))
    lead = (slice(None),) * before
    check((*lead, mask), x, on_device)
    check((None, *lead, mask, None), x, on_device)
    check((*lead, mask, ...), x, on_device)
    if x.size:
        check((*[0] * before, mask), x, on_device)


@pytest.mark.parametrize(
    "index",
    [
        [0, 0, 1],
        ([0, 0, 1],),
        ((0, 0, 1),),
        (range(2),),
        range(2),
        [[0, 1], [1, 1]],
        ([0, 1], [1, 1]),
        (slice(None), [2, 2, 0]),
        ([0, 1], slice(None), [0, 1]),
        (0, slice(None), [0, 1, 1]),
        ([0, 1], None, [0, 1]),
        (..., [0, -1]),
        ([], [0]),
        np.int64(1),
        np.array(1),
        (np.array(1), np.array([0, 0])),
        np.array([True, False]),
        np.array([0, 1], np.uint8),
        (slice(None, None, -1), None, 1, ...),
        (),
        ...,
        None,
    ],
    ids=str,
)
def test_forms_of_an_index(index, on_device):
    check(index, np.arange(24.0).reshape(2, 3, 4), on_device)


@given(data=st.data())
def test_duplicates_add_up(data, on_device):
    """Every pick of one element adds its cotangent; writing instead of adding loses all but the last."""
    x = data.draw(arrays((4, 2)))
    picks = data.draw(hnp.arrays(np.int64, (6,), elements=st.integers(-4, 3)))
    check(picks, x, on_device)
    _, pullback = mg.vjp(lambda x: x[on_device(picks)], on_device(x))
    assert to_host(pullback(on_device(np.ones((6, 2))))[0]).sum() == 12


@given(data=st.data())
def test_take(data, on_device):
    x = data.draw(arrays(data.draw(shapes(1, 3, min_side=1))))
    axis = data.draw(st.one_of(st.none(), axes(x.ndim)))
    length = x.size if axis is None else x.shape[axis]
    picks = data.draw(hnp.arrays(np.int64, data.draw(shapes(0, 2)), elements=st.integers(-length, length - 1)))
    take = lambda x: np.take(x, picks, axis)
    y, pullback = mg.vjp(lambda x: mg.take(x, on_device(picks), axis), on_device(x))
    assert np.array_equal(to_host(y), take(x))
    g = np.rint(8 * signed(y.shape)) / 8
    assert np.array_equal(to_host(pullback(on_device(g))[0]), pulled_back(take, x.shape, g))


@given(data=st.data())
def test_take_along_axis(data, on_device):
    x = data.draw(arrays(data.draw(shapes(1, 3, min_side=1))))
    axis = data.draw(axes(x.ndim))
    shape = [data.draw(st.sampled_from(sorted({1, n}))) for n in x.shape]
    shape[axis] = data.draw(st.integers(0, 3))
    picks = data.draw(hnp.arrays(np.int64, shape, elements=st.integers(-x.shape[axis], x.shape[axis] - 1)))
    take = lambda x: np.take_along_axis(x, picks, axis)
    y, pullback = mg.vjp(lambda x: mg.take_along_axis(x, on_device(picks), axis), on_device(x))
    assert np.array_equal(to_host(y), take(x))
    g = np.rint(8 * signed(y.shape)) / 8
    assert np.array_equal(to_host(pullback(on_device(g))[0]), pulled_back(take, x.shape, g))


def test_second_derivative_through_repeated_indices(xp):
    """Σ x[i]³ over i = 0, 0, 1 has the Hessian diag(12x₀, 6x₁, 0)."""
    x = xp.asarray([1.0, 2.0, 3.0])
    found = mg.hessian(lambda x: mg.sum(x[[0, 0, 1]] ** 3))(x)
    assert np.array_equal(to_host(found), np.diag([12.0, 12.0, 0.0]))


def test_mask_made_of_the_traced_value(on_device):
    x = np.array([[1.0, -2.0], [-3.0, 4.0]])
    assert to_host(mg.grad(lambda x: mg.sum(x[x > 0] ** 2))(on_device(x))).tolist() == [[2, 0], [0, 8]]


def test_index_arrays_may_change_afterwards(on_device):
    """The picks are copied: changing them between forward and backward changes nothing."""
    x, picks = on_device(np.arange(3.0)), np.array([0, 2])
    _, pullback = mg.vjp(lambda x: x[picks], x)
    picks[:] = 1
    assert to_host(pullback(on_device(np.array([1.0, 2.0])))[0]).tolist() == [1, 0, 2]


def test_iteration_unpacking_and_length(on_device):
    def f(x):
        first, second = x
        assert len(x) == 2
        return sum(mg.sum(row * i) for i, row in enumerate(x)) + mg.sum(first * second)

    x = np.array([[1.0, 2.0], [3.0, 5.0]])
    assert to_host(mg.grad(f)(on_device(x))).tolist() == [[3, 5], [2, 3]]
