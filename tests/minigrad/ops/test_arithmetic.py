"""minigrad/ops/arithmetic.py: broadcasting, integers, and the edges of clip."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import arrays, broadcasting, normal
from tests.support.oracles import assert_close, rounding
from tests.support.transfer import to_host

INF = math.inf


def sum_to_shape(g, shape):
    """g summed over the axes that broadcasting from `shape` added, one element at a time."""
    total = np.zeros(shape)
    for place in np.ndindex(g.shape):
        back = place[len(place) - len(shape) :]
        total[tuple(0 if n == 1 else i for i, n in zip(back, shape))] += g[place]
    return total


PARTIALS = {
    "add": lambda a, b: (1 + 0 * a, 1 + 0 * b),
    "subtract": lambda a, b: (1 + 0 * a, 0 * b - 1),
    "multiply": lambda a, b: (b, a),
    "maximum": lambda a, b: ((a > b) + 0.5 * (a == b), (b > a) + 0.5 * (a == b)),
    "minimum": lambda a, b: ((a < b) + 0.5 * (a == b), (b < a) + 0.5 * (a == b)),
    "where": lambda a, b: (a > b, a <= b),
}


@pytest.mark.parametrize("name", PARTIALS)
@given(data=st.data())
def test_broadcasting(name, data, on_device):
    """Values and both gradients for any two shapes that broadcast, with ties."""
    a, b = (data.draw(arrays(shape, (-3, 3))) for shape in data.draw(broadcasting(2))[0])
    f = (lambda a, b: mg.where(a > b, a, b)) if name == "where" else getattr(mg, name)
    expected = np.where(a > b, a, b) if name == "where" else getattr(np, name)(a, b)
    y, pullback = mg.vjp(f, *on_device((a, b)))
    assert np.array_equal(to_host(y), expected) and y.dtype == np.float64
    g = normal(expected.shape)
    slopes = PARTIALS[name](*np.broadcast_arrays(a, b))
    for gradient, slope, x in zip(pullback(on_device(g)), slopes, (a, b)):
        assert_close(to_host(gradient), sum_to_shape(slope * g, x.shape))


@pytest.mark.parametrize("dtype", [np.int8, np.int64, bool])
def test_integers_behave_as_in_numpy(dtype, on_device):
    x = np.array([1, 0, 2]).astype(dtype)
    for name in "sin exp sqrt tanh add multiply divide".split():
        args = (x, x + 1) if name in ("add", "multiply", "divide") else (x,)
        expected = getattr(np, name)(*args)
        found = to_host(getattr(mg, name)(*on_device(args)))
        assert found.dtype == expected.dtype
        assert_close(found, expected, rounding(np.float16) if expected.dtype == np.float16 else rounding())
    if dtype is not bool:
        assert mg.clip(on_device(x), 1).dtype == x.dtype
        assert np.array_equal(to_host(mg.clip(on_device(x), None, 1)), np.clip(x, None, 1))


@pytest.mark.parametrize("low", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("high", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("x", [0.0, 0.5, 1.0, 1.5, 2.0])
def test_the_derivative_of_clip_goes_to_one_argument(x, low, high, xp):
    """To x inside and on the edges, else to the bound that applies. If the bounds cross, the upper one applies."""
    expected = [0, 0, 1] if low > high or x > high >= low else [0, 1, 0] if x < low else [1, 0, 0]
    assert float(mg.clip(xp.asarray(x), low, high)) == np.clip(x, low, high)
    args = [xp.asarray(v) for v in (x, low, high)]
    assert [float(g) for g in mg.grad(mg.clip, (0, 1, 2))(*args)] == expected
    for i, slope in enumerate(expected):
        assert (
            float(mg.jvp(mg.clip, tuple(args), tuple(mg.ones_like(a) * (i == j) for j, a in enumerate(args)))[1])
            == slope
        )


def test_the_gradient_of_a_clipped_argument_sums_over_all_broadcast_axes(on_device):
    """x of shape (3, 1) is broadcast along an axis of the result in front of it and along one of its own."""
    x = np.array([[-0.5], [0.25], [1.5]])
    low, high = np.linspace(-1, 0.5, 8).reshape(2, 1, 4), np.full((2, 3, 4), 1.0)
    g = np.random.default_rng(0).normal(size=(2, 3, 4))
    found = mg.vjp(lambda x: mg.clip(x, on_device(low), on_device(high)), on_device(x))[1](on_device(g))[0]
    assert_close(to_host(found), np.sum(g * ((x >= low) & (x <= high)), axis=(0, 2)).reshape(3, 1))
