"""minigrad/ops/calculus.py: exact results on polynomials, knots and ends of interpolation, and errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import normal
from tests.support.oracles import assert_close
from tests.support.transfer import to_host

INF, NAN = math.inf, math.nan
SORTED = np.cumsum([0.0, 0.3, 1.1, 0.2, 0.9, 0.5])


# Differences and integrals


@pytest.mark.parametrize("x", [SORTED, 0.7 * np.arange(6)], ids=["uneven", "even"])
def test_gradients_of_parabolas_are_exact(x, on_device):
    """Inside always, and at the ends to second order; so is their derivative in the coordinates."""
    y, slope = 2 * x * x - x + 3, 4 * x - 1
    f = lambda x: mg.gradient(2 * x * x - x + 3, x, edge_order=2)
    assert_close(to_host(f(on_device(x))), slope)
    assert_close(to_host(mg.jacobian(f)(on_device(x))) @ np.ones(6), 4 * np.ones(6))
    found = to_host(mg.gradient(on_device(y), on_device(x)))
    assert_close(found[1:-1], slope[1:-1])
    assert_close(found[[0, -1]], (np.diff(y) / np.diff(x))[[0, -1]])


def test_trapezoids_of_straight_lines_are_exact(on_device):
    """∫ₐᵇ (2x + 1) dx = b² + b − a² − a, with derivatives in both ends, and none in the points between."""
    f = lambda x: mg.trapezoid(2 * x + 1, x)
    value, slope = mg.value_and_grad(f)(on_device(SORTED))
    end = SORTED[-1]
    assert float(value) == pytest.approx(end * end + end)
    assert_close(to_host(slope), [-1, 0, 0, 0, 0, 2 * end + 1])


def test_differences_of_booleans_tell_where_they_change():
    x = np.array([True, True, False, True])
    assert mg.diff(x).tolist() == np.diff(x).tolist() == [False, True, True]
    assert mg.diff(x, 2).tolist() == np.diff(x, 2).tolist()


@pytest.mark.parametrize("ends", [{"prepend": 0}, {"append": 2.5}, {"prepend": 1, "append": np.ones((2, 1))}])
def test_differences_with_ends(ends, on_device):
    x = normal((2, 3))
    assert_close(to_host(mg.diff(on_device(x), **on_device(ends))), np.diff(x, **ends))
    assert mg.ediff1d(x, [1.0, 2.0], -1.0).tolist() == np.ediff1d(x, [1.0, 2.0], -1.0).tolist()


# Interpolation


@given(x=st.lists(st.sampled_from([-1.0, 0.0, 0.2, 0.3, 1.4, 3.0, 9.0, INF, -INF, NAN]), min_size=1))
@pytest.mark.parametrize("ends", [{}, {"left": -7.0}, {"right": 2.0}, {"period": 1.0}])
def test_interpolation_as_in_numpy(ends, x, on_device):
    x = np.array([v for v in x if math.isfinite(v)] if "period" in ends else x)
    knots, values = SORTED, np.array([1.0, -2.0, 0.5, 4.0, 4.0, 0.0])
    if "period" in ends:
        knots = np.array([0.1, 2.4, 0.7, 0.2, 1.9, 0.6])  # distinct modulo 1
    found = mg.interp(*on_device((x, knots, values)), **ends)
    np.testing.assert_allclose(to_host(found), np.interp(x, knots, values, **ends), rtol=1e-13, atol=1e-13)


def test_a_repeated_knot_is_a_jump(on_device):
    """Between the two knots there is nothing to interpolate; NumPy takes the value of the last one."""
    x, knots, values = on_device((np.array([0.5, 1.0, 1.5]), np.array([0.0, 1, 1, 2]), np.array([0.0, 1, 5, 6])))
    for function in (mg.interp, mg.jit(mg.interp)):
        assert to_host(function(x, knots, values)).tolist() == [0.5, 5.0, 5.5]
    slopes = mg.grad(lambda *args: mg.sum(mg.interp(*args)), (0, 1, 2))(x, knots, values)
    assert to_host(slopes[0]).tolist() == [1, 1, 1] and all(np.isfinite(to_host(s)).all() for s in slopes)
    end = mg.grad(lambda x: mg.interp(x, *on_device((np.array([0.0, 1, 1]), np.array([0.0, 1, 5])))))
    assert np.isfinite(float(end(on_device(np.array(1.0)))))


def test_beyond_the_knots_only_the_ends_have_derivatives(on_device):
    x, knots, values = on_device((np.array([-INF, -1.0, 9.0, INF]), np.array([0.0, 2, 3]), np.array([1.0, 2, 4])))
    g = on_device(np.array([1.0, -3.0, 5.0, 0.5]))
    y, pullback = mg.vjp(mg.interp, x, knots, values)
    assert to_host(y).tolist() == [1, 1, 4, 4]
    assert [to_host(v).tolist() for v in pullback(g)] == [[0] * 4, [0] * 3, [-2, 0, 5.5]]
    left, right = mg.grad(lambda a, b: mg.sum(g * mg.interp(x, knots, values, a, b)), (0, 1))(-1.0, 2.0)
    assert (float(left), float(right)) == (-2, 5.5)


# Convolution of sequences


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("lengths", [(1, 1), (1, 4), (5, 2), (2, 5), (4, 4), (6, 3)])
def test_convolutions_of_any_lengths_as_in_numpy(mode, lengths, on_device):
    a, v = (normal((n,)) for n in lengths)
    assert_close(to_host(mg.convolve(*on_device((a, v)), mode)), np.convolve(a, v, mode))
    assert_close(to_host(mg.correlate(*on_device((a, v)), mode)), np.correlate(a, v, mode))


def test_convolution_multiplies_polynomials(on_device):
    """(1 + 2x)(3 − x) = 3 + 5x − 2x², and d/da of the product is the other factor, shifted."""
    a, b = on_device((np.array([1.0, 2.0]), np.array([3.0, -1.0])))
    assert to_host(mg.convolve(a, b)).tolist() == [3, 5, -2]
    assert to_host(mg.jacobian(lambda a: mg.convolve(a, b))(a)).tolist() == [[3, 0], [-1, 3], [0, -1]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mg.diff(np.ones(3), -1), "diff: n must not be negative, got -1"),
        (lambda: mg.gradient(np.ones(1)), r"at least 2 elements along axis 0 .*, got float64\[1\]"),
        (lambda: mg.gradient(np.ones(2), edge_order=2), "at least 3 elements"),
        (lambda: mg.gradient(np.ones(3), edge_order=3), "edge_order must be 1 or 2, got 3"),
        (lambda: mg.gradient(np.ones(3), np.ones(4)), r"one coordinate for each, got .* spacing float64\[4\]"),
        (lambda: mg.gradient(np.ones((3, 3)), 1.0, 2.0, 3.0), "no spacing, one number, or one for each of 2 axes"),
        (lambda: mg.gradient(np.ones((3, 3)), axis=(0, 0)), "names an axis twice"),
        (lambda: mg.interp(0.5, np.ones(3), np.ones(2)), r"vectors of one length, got float64\[3\] and float64\[2\]"),
        (lambda: mg.convolve(np.ones((2, 2)), np.ones(2)), "vectors of at least one element"),
        (lambda: mg.convolve(np.ones(0), np.ones(2)), "vectors of at least one element"),
        (lambda: mg.convolve(np.ones(3), np.ones(2), "all"), "mode='all' is unknown"),
    ],
)
def test_wrong_calls_are_refused(call, message):
    with pytest.raises((ValueError, TypeError, IndexError), match=message):
        call()
