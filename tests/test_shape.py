"""Operations that move elements: values as NumPy's, and gradients that put every element back where it came from.

The oracle applies NumPy's function to 1, 2, 3, … and reads off where each element of the result came from.
"""

from __future__ import annotations

import numpy as np
import pytest
from conftest import to_host
from hypothesis import given
from hypothesis import strategies as st
from strategies import arrays, axes, pulled_back, shapes, signed

import minigrad as mg


def check(ours, numpys, x, on_device):
    """Value, gradient and tangent of a function that moves elements, all exact."""
    expected = numpys(x)
    y, pullback = mg.vjp(ours, on_device(x))
    assert np.array_equal(to_host(y), expected) and y.shape == expected.shape and y.dtype == x.dtype
    g = np.rint(8 * signed(expected.shape)) / 8
    (gradient,) = pullback(on_device(g))
    assert np.array_equal(to_host(gradient), pulled_back(numpys, x.shape, g))
    t = np.rint(8 * signed(x.shape, 1)) / 8
    assert np.array_equal(to_host(mg.jvp(ours, (on_device(x),), (on_device(t),))[1]), numpys(t))


def both(function, *args, **kwargs):
    """The function of this name in minigrad and in NumPy, with the same arguments."""
    return (lambda x: getattr(mg, function)(x, *args, **kwargs)), lambda x: getattr(np, function)(x, *args, **kwargs)


@st.composite
def called(draw, min_dims=0):
    """An array."""
    return draw(arrays(draw(shapes(min_dims=min_dims))))


# Axes


@given(data=st.data(), x=called())
def test_transpose(data, x, on_device):
    order = data.draw(st.permutations(range(x.ndim)))
    order = tuple(a - x.ndim if data.draw(st.booleans()) else a for a in order)
    check(*both("transpose", order), x, on_device)
    check(lambda x: x.transpose(*order), lambda x: x.transpose(*order), x, on_device)
    check(*both("transpose"), x, on_device)
    check(lambda x: x.T, lambda x: x.T, x, on_device)


@given(data=st.data(), x=called(min_dims=1))
def test_moveaxis_of_several_axes(data, x, on_device):
    count = data.draw(st.integers(0, x.ndim))
    pick = lambda: tuple(data.draw(st.permutations(range(x.ndim)))[:count])
    source, target = pick(), tuple(a - x.ndim for a in pick())
    check(*both("moveaxis", source, target), x, on_device)
    check(*both("swapaxes", data.draw(axes(x.ndim)), data.draw(axes(x.ndim))), x, on_device)


@given(data=st.data(), x=called())
def test_expand_dims_and_squeeze(data, x, on_device):
    count = data.draw(st.integers(1, 2))
    places = tuple(data.draw(st.lists(axes(x.ndim + count, False), min_size=count, max_size=count, unique=True)))
    check(*both("expand_dims", places), x, on_device)
    check(lambda x: mg.squeeze(mg.expand_dims(x, places), places), lambda x: x, x, on_device)
    check(*both("squeeze"), x, on_device)


@given(data=st.data(), x=called())
def test_reshape_and_ravel(data, x, on_device):
    check(*both("ravel"), x, on_device)
    check(*both("reshape", (1, *x.shape[::-1])), x, on_device)
    if x.size:
        check(*both("reshape", -1), x, on_device)
        check(*both("reshape", (-1, 1)), x, on_device)
    check(lambda x: x.reshape(*x.shape, 1), lambda x: x.reshape(*x.shape, 1), x, on_device)


@given(data=st.data(), x=called())
def test_broadcast_to(data, x, on_device):
    shape = tuple(data.draw(st.integers(0, 3)) if n == 1 else n for n in x.shape)
    check(*both("broadcast_to", (*data.draw(shapes(max_dims=2)), *shape)), x, on_device)


# Joining and splitting


@given(data=st.data(), x=called(min_dims=1))
def test_concatenate_and_stack(data, x, on_device):
    axis = data.draw(axes(x.ndim))
    check(lambda x: mg.concatenate([x, x], axis), lambda x: np.concatenate([x, x], axis), x, on_device)
    check(lambda x: mg.concatenate([x, x], None), lambda x: np.concatenate([x, x], None), x, on_device)
    axis = data.draw(axes(x.ndim + 1))
    check(lambda x: mg.stack([x, x, x], axis), lambda x: np.stack([x, x, x], axis), x, on_device)


@given(data=st.data(), x=called(min_dims=1))
def test_split(data, x, on_device):
    axis = data.draw(axes(x.ndim))
    cuts = sorted(data.draw(st.lists(st.integers(0, x.shape[axis]), max_size=3)))
    pieces = mg.split(on_device(x), cuts, axis)
    for i, expected in enumerate(np.split(x, cuts, axis)):
        assert np.array_equal(to_host(pieces[i]), expected)
        check(lambda x, i=i: mg.split(x, cuts, axis)[i], lambda x, i=i: np.split(x, cuts, axis)[i], x, on_device)
    if x.shape[axis]:
        check(
            lambda x: mg.split(x, x.shape[axis], axis)[0], lambda x: np.split(x, x.shape[axis], axis)[0], x, on_device
        )


# Turning and repeating


@given(data=st.data(), x=called(min_dims=1))
def test_flip_and_roll(data, x, on_device):
    axis = data.draw(axes(x.ndim))
    check(*both("flip", axis), x, on_device)
    check(*both("flip"), x, on_device)
    by = data.draw(st.integers(-9, 9))
    check(*both("roll", by, axis), x, on_device)
    check(*both("roll", by), x, on_device)
    check(*both("roll", (by, 1), (axis, 0)), x, on_device)
    check(*both("roll", by, tuple(range(x.ndim))), x, on_device)


@given(data=st.data(), x=called(min_dims=1))
def test_repeat_on_any_axis(data, x, on_device):
    """HIPS/autograd permutes the gradient of repeat(x, k, axis=-1); ones as cotangents do not see it."""
    axis = data.draw(axes(x.ndim))
    check(*both("repeat", data.draw(st.integers(0, 3)), axis), x, on_device)
    each = data.draw(st.lists(st.integers(0, 2), min_size=x.shape[axis], max_size=x.shape[axis]))
    check(*both("repeat", each, axis), x, on_device)
    check(*both("repeat", 2), x, on_device)


@given(data=st.data(), x=called())
def test_tile(data, x, on_device):
    reps = data.draw(st.one_of(st.integers(0, 3), st.lists(st.integers(0, 3), max_size=4).map(tuple)))
    check(*both("tile", reps), x, on_device)


@given(data=st.data(), x=called(min_dims=2), k=st.integers(-4, 4))
def test_triangles_and_diagonals(data, x, k, on_device):
    check(*both("tril", k), x, on_device)
    check(*both("triu", k), x, on_device)
    first, second = data.draw(st.permutations(range(x.ndim)))[:2]
    check(*both("diagonal", k, first - x.ndim, second), x, on_device)


@given(data=st.data(), k=st.integers(-3, 3))
def test_diag_of_vectors_and_of_matrices_that_are_not_square(data, k, on_device):
    check(*both("diag", k), data.draw(arrays(data.draw(shapes(1, 1, min_side=1)))), on_device)
    check(*both("diag", k), data.draw(arrays(data.draw(shapes(2, 2)))), on_device)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric", "wrap"])
@given(data=st.data())
def test_pad(mode, data, on_device):
    x = data.draw(arrays(data.draw(shapes(1, 3, min_side=2))))
    widths = data.draw(st.lists(st.tuples(*[st.integers(0, 5)] * 2), min_size=x.ndim, max_size=x.ndim))
    check(*both("pad", widths, mode=mode), x, on_device)
    check(*both("pad", 1, mode), x, on_device)
    check(*both("pad", (1, 2), mode), x, on_device)


@given(data=st.data(), x=called(min_dims=1))
def test_pad_with_a_number(data, x, on_device):
    value = data.draw(st.sampled_from([0.5, -1, 0]))
    y, pullback = mg.vjp(lambda x: mg.pad(x, 1, constant_values=value), on_device(x))
    assert np.array_equal(to_host(y), np.pad(x, 1, constant_values=value))
    g = signed(y.shape)
    assert np.array_equal(to_host(pullback(on_device(g))[0]), g[(slice(1, -1),) * x.ndim])


def test_there_is_nothing_around_a_number(on_device):
    """Whatever the widths: padding with a number other than 0 used to raise."""
    x = on_device(np.asarray(1.5))
    for width, value in ((0, 0), (3, 0), (0, 0.5), ((1, 2), -1)):
        assert float(mg.pad(x, width, constant_values=value)) == 1.5
        assert float(mg.grad(lambda x, w=width, v=value: mg.pad(x, w, constant_values=v))(x)) == 1


# Casting and copying


def test_astype_casts_gradients_back(on_device):
    x = on_device(np.ones(3, np.float32))
    y, pullback = mg.vjp(lambda x: mg.astype(x, "float64") * 2, x)
    assert y.dtype == np.float64
    (gradient,) = pullback(on_device(np.array([1.0, 2, 3])))
    assert gradient.dtype == np.float32 and to_host(gradient).tolist() == [2, 4, 6]
    assert mg.jvp(lambda x: x.astype("float64"), (x,), (x,))[1].dtype == np.float64


def test_astype_to_integers_is_a_constant(on_device):
    x = on_device(np.array([1.5, -2.5]))
    assert to_host(mg.grad(lambda x: mg.sum(x * x.astype(int)))(x)).tolist() == [1, -2]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex64])
def test_zeros_and_ones_like(dtype, on_device):
    x = on_device(np.full((2, 3), 7, dtype))
    for f, value in ((mg.zeros_like, 0), (mg.ones_like, 1)):
        assert f(x).dtype == dtype and np.array_equal(to_host(f(x)), np.full((2, 3), value, dtype))


def test_copy_has_memory_of_its_own(on_device, xp):
    x = on_device(np.ones(3))
    assert not xp.shares_memory(mg.copy(x), x)
    assert to_host(mg.grad(lambda x: mg.sum(x.copy() * x))(x)).tolist() == [2, 2, 2]
