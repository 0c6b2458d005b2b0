"""Reductions and scans: any axes, ties, zeros, constants, infinities, to second order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from tests.support.host import to_host
from tests.support.oracles import assert_close
from tests.support.strategies import arrays, axes, reduced_axes, shapes, signed

INF = math.inf


def normal(axis, ndim):
    """Axes as a tuple of numbers ≥ 0."""
    axis = tuple(range(ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return tuple(a % ndim for a in axis)


def lines(x, axis):
    """The index of every group of elements that is reduced together, and the place of its result (kept dimensions)."""
    axis = normal(axis, x.ndim)
    for place in np.ndindex(*[1 if i in axis else n for i, n in enumerate(x.shape)]):
        yield tuple(slice(None) if i in axis else slice(p, p + 1) for i, p in enumerate(place)), place


GRADIENTS = {
    "sum": lambda x: np.ones_like(x),
    "mean": lambda x: np.full_like(x, 1 / max(x.size, 1)),
    "max": lambda x: (x == x.max()) / np.sum(x == x.max()),
    "min": lambda x: (x == x.min()) / np.sum(x == x.min()),
    "prod": lambda x: np.array([np.prod(np.delete(x.ravel(), i)) for i in range(x.size)]).reshape(x.shape),
    "var": lambda x: 2 * (x - x.mean()) / x.size,
}


@pytest.mark.parametrize("name", GRADIENTS)
@given(data=st.data())
def test_reduction(name, data, on_device):
    """Values are NumPy's; the gradient of each group is that of the group alone, with ties and zeros as they come."""
    x = data.draw(arrays(data.draw(shapes(min_side=1 if name in ("max", "min", "mean", "var") else 0)), (-16, 16)))
    axis, keepdims = data.draw(reduced_axes(x.ndim)), data.draw(st.booleans())
    expected = getattr(np, name)(x, axis=axis, keepdims=keepdims)
    y, pullback = mg.vjp(lambda x: getattr(mg, name)(x, axis, keepdims=keepdims), on_device(x))
    assert_close(to_host(y), expected)
    g = signed(np.shape(expected))
    truth = np.zeros_like(x)
    kept = g.reshape([1 if i in normal(axis, x.ndim) else n for i, n in enumerate(x.shape)])
    for group, place in lines(x, axis):
        truth[group] = GRADIENTS[name](x[group]) * kept[place]
    assert_close(to_host(pullback(on_device(g))[0]), truth)


@given(data=st.data())
def test_methods_are_the_functions(data, on_device):
    x = data.draw(arrays(data.draw(shapes(1, 3, min_side=1))))
    axis = data.draw(axes(x.ndim))
    for name in ("sum", "mean", "max", "min", "prod", "var", "std", "cumsum", "cumprod"):
        y, _ = mg.vjp(lambda x, name=name: getattr(x, name)(axis), on_device(x))
        assert_close(to_host(y), getattr(x, name)(axis))


# Extremes


@given(data=st.data())
def test_max_of_many_ties(data, on_device):
    """n tied elements get 1/n each, for any n and dtype (a float16 count would overflow past 2048)."""
    n = data.draw(st.sampled_from([1, 2, 7, 3000, 70_000]))
    dtype = data.draw(st.sampled_from([np.float16, np.float32, np.float64]))
    x = on_device(np.full(n, 2, dtype))
    gradient = to_host(mg.grad(mg.max)(x))
    assert gradient.dtype == dtype and np.all(gradient == np.asarray(1 / n, dtype))


def test_extremes_agree_with_maximum_at_a_tie(xp):
    x = xp.asarray([1.0, 1.0])
    for whole, pair in ((mg.max, mg.maximum), (mg.min, mg.minimum)):
        apart = mg.grad(lambda x, pair=pair: pair(x[0], x[1]))(x)
        assert np.array_equal(to_host(mg.grad(whole)(x)), to_host(apart))


def test_extreme_of_infinities(xp):
    x = xp.asarray([-INF, INF, 0.0])
    assert to_host(mg.grad(mg.max)(x)).tolist() == [0, 1, 0]
    assert to_host(mg.grad(mg.min)(x)).tolist() == [1, 0, 0]
    assert not to_host(mg.hessian(mg.max)(x)).any()


@given(data=st.data())
def test_sort_and_argsort_keep_the_order_of_ties(data, on_device):
    x = data.draw(arrays(data.draw(shapes(1, 3)), (-2, 2)))
    axis = data.draw(axes(x.ndim))
    order = np.argsort(x, axis=axis, kind="stable")
    assert np.array_equal(to_host(mg.argsort(on_device(x), axis)), order)
    y, pullback = mg.vjp(lambda x: mg.sort(x, axis), on_device(x))
    assert np.array_equal(to_host(y), np.sort(x, axis=axis))
    g, truth = signed(x.shape), np.zeros_like(x)
    np.put_along_axis(truth, order, g, axis)
    assert np.array_equal(to_host(pullback(on_device(g))[0]), truth)


# Where square roots meet 0


@pytest.mark.parametrize(
    "f",
    [
        mg.norm,
        mg.std,
        lambda x: mg.norm(x, 3),
        lambda x: mg.norm(x, 1.5),
        lambda x: mg.norm(x, 1),
        lambda x: mg.norm(x, INF),
    ],
    ids=["norm", "std", "norm 3", "norm 1.5", "norm 1", "norm inf"],
)
def test_cone_tips_have_zero_derivatives_of_every_order(f, xp):
    x, ones = xp.zeros(3), xp.ones(3)
    assert not to_host(mg.grad(f)(x)).any()
    assert not to_host(mg.hessian(f)(x)).any()
    assert not to_host(mg.jacobian(mg.grad(f))(x)).any()
    along = lambda x: mg.jvp(f, (x,), (ones,))[1]
    assert not to_host(mg.grad(lambda x: mg.jvp(along, (x,), (ones,))[1])(x)).any()


@pytest.mark.parametrize("value", [1.0, -3.5, 0.1, 1e8, 1e-300])
def test_spread_of_a_constant(value, xp):
    """var has slope 0 where all elements are equal, and so has std."""
    x = xp.asarray([value] * 3)
    for f in (mg.var, mg.std):
        assert_close(to_host(mg.grad(f)(x)), np.zeros(3))


def test_norm_along_an_axis_with_a_zero_row(xp):
    x = xp.asarray([[0.0, 0.0], [3.0, 4.0]])
    _, pullback = mg.vjp(lambda x: mg.norm(x, axis=1), x)
    assert_close(to_host(pullback(xp.asarray([2.0, -1.0]))[0]), [[0, 0], [-0.6, -0.8]])
    _, pullback = mg.vjp(lambda x: mg.norm(x, 3, axis=1), x)
    assert not to_host(pullback(xp.asarray([2.0, -1.0]))[0])[0].any()


@given(data=st.data())
def test_norms_against_numpy(data, on_device):
    x = data.draw(arrays(data.draw(shapes(1, 2, min_side=1))))
    axis = data.draw(axes(x.ndim))
    for p in (None, 1, 2, 3, INF, -INF):
        found = mg.norm(on_device(x), p, axis=axis, keepdims=True)
        assert_close(to_host(found), np.linalg.norm(x, p, axis=axis, keepdims=True))
    assert_close(to_host(mg.norm(on_device(x))), np.linalg.norm(x))


# Log-sum-exp and softmax


@given(x=st.integers(1, 5).flatmap(lambda n: arrays((n,), (-24, 24))), data=st.data())
def test_logsumexp_with_minus_infinity(x, data, on_device):
    """−∞ counts for nothing: its gradient and its row and column of the Hessian are 0, also if nothing counts."""
    out = data.draw(st.lists(st.booleans(), min_size=len(x), max_size=len(x)))
    x = np.where(out, -INF, x)
    moved = on_device(x)
    weights = np.zeros(len(x)) if all(out) else np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x)))
    assert_close(to_host(mg.grad(mg.logsumexp)(moved)), weights)
    hessian = np.diag(weights) - np.outer(weights, weights)
    assert_close(to_host(mg.hessian(mg.logsumexp)(moved)), hessian)
    assert_close(to_host(mg.jacobian(mg.grad(mg.logsumexp))(moved)), hessian)
    expected = -INF if all(out) else math.log(np.sum(np.exp(x)))
    assert float(mg.logsumexp(moved)) == pytest.approx(expected, rel=1e-14, abs=1e-14)


@pytest.mark.parametrize("shift", [-1e4, 0.0, 1e4, 1e300])
def test_softmax_does_not_overflow(shift, xp):
    x = xp.asarray([shift, shift, -INF])
    assert to_host(mg.softmax(x)).tolist() == [0.5, 0.5, 0]
    assert_close(to_host(mg.jacobian(mg.softmax)(x)), [[0.25, -0.25, 0], [-0.25, 0.25, 0], [0, 0, 0]])
    assert_close(to_host(mg.grad(lambda x: mg.log_softmax(x)[0])(x)), [0.5, -0.5, 0])
    assert mg.softmax(xp.zeros((2, 0))).shape == mg.log_softmax(xp.zeros((2, 0))).shape == (2, 0)
    assert float(mg.logsumexp(x)) == pytest.approx(shift + math.log(2))
    tolerance = 4 * np.finfo(float).eps * max(1, abs(shift))  # y is rounded to ε|y|, and the weights are e^(x−y)
    if shift < 1e5:
        assert_close(to_host(mg.grad(mg.logsumexp)(x)), [0.5, 0.5, 0], tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logsumexp_of_nothing_is_minus_infinity(dtype, xp):
    y, pullback = mg.vjp(lambda x: mg.logsumexp(x, -1), xp.zeros((2, 0), dtype))
    assert y.dtype == dtype and to_host(y).tolist() == [-INF, -INF]
    assert pullback(y)[0].shape == (2, 0) and pullback(y)[0].dtype == dtype


def test_integers_are_averaged_as_floats(on_device):
    x = on_device(np.arange(4))
    assert float(mg.mean(x)) == 1.5 and mg.sum(x).dtype == x.dtype
    assert float(mg.std(x)) == np.std(np.arange(4)) and float(mg.logsumexp(x)) == pytest.approx(3.44018969856)


@pytest.mark.parametrize("extreme", [mg.max, mg.min])
def test_the_derivative_of_an_extreme_that_is_nan_is_nan(extreme):
    gradient = mg.grad(lambda x: mg.sum(extreme(x, axis=1)))(np.array([[1.0, np.nan], [2.0, 3.0]]))
    assert np.isnan(gradient[0]).all() and sorted(gradient[1]) == [0.0, 1.0]


def test_means_of_float16_are_summed_in_float32():
    assert mg.mean(np.ones(70000, np.float16)) == 1 and mg.mean(np.ones(3, np.float16)).dtype == np.float16
    assert mg.mean(np.full(2, 60000, np.float16)) == 60000


def test_norms_of_integers_do_not_overflow():
    assert mg.norm(np.full(100, 4, np.int8)) == 40 and mg.norm(np.array([2**32, 0])) == 2.0**32
    assert mg.norm(np.array([-128, 1], np.int8), 1) == 129


@pytest.mark.parametrize("p", [0.5, 1.5])
def test_a_zero_component_has_no_part_in_a_norm_below_two(p):
    """|xᵢ|ᵖ has a kink (or a cusp) at 0; the other components' derivatives are those without it."""
    x = np.array([1.0, 0.0, 4.0])
    gradient = mg.grad(lambda x: mg.norm(x, p))(x)
    alone = mg.grad(lambda x: mg.norm(x, p))(x[[0, 2]])
    np.testing.assert_allclose(gradient, [alone[0], 0, alone[1]], rtol=1e-14)
    assert np.isfinite(mg.hessian(lambda x: mg.norm(x, p))(x)).all()


@pytest.mark.parametrize("p", [0.5, 1.5])
def test_norms_below_two_keep_float32(p, xp):
    x = xp.asarray([3.0, 0.0, -4.0], np.float32)
    y, pullback = mg.vjp(lambda x: mg.norm(x, p), x)
    assert y.dtype == pullback(y)[0].dtype == np.float32
