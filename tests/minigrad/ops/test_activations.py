"""minigrad/ops/activations.py: large arguments, ±∞, NaN, and integers."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import derivatives
from tests.support.oracles import rounding
from tests.support.transfer import to_host

INF = math.inf


@pytest.mark.parametrize("x", [-1e4, -745.0, -40.0, 40.0, 745.0, 1e4])
def test_softplus_log_sigmoid_and_sigmoid_at_large_arguments(x, xp):
    """σ(x) is accurate to relative rounding on both sides, and no order warns of overflow."""
    sigma = math.exp(-abs(x)) / (1 + math.exp(-abs(x))) if x < 0 else 1 / (1 + math.exp(-x))
    other = math.exp(-abs(x)) / (1 + math.exp(-abs(x))) if x > 0 else 1 / (1 + math.exp(x))
    at = xp.asarray(x)
    for f, expected in ((mg.softplus, sigma), (mg.log_sigmoid, other), (mg.sigmoid, sigma * other)):
        assert float(mg.grad(f)(at)) == pytest.approx(expected, rel=rounding(), abs=0)
        for value in derivatives(f, x, 3, xp):
            assert math.isfinite(value)
    assert float(mg.softplus(at)) == pytest.approx(max(x, 0) + math.log1p(math.exp(-abs(x))), rel=1e-15)
    assert float(mg.log_sigmoid(at)) == pytest.approx(min(x, 0) - math.log1p(math.exp(-abs(x))), rel=1e-15)


@pytest.mark.parametrize("x", [-1e4, -1e3, 1e3, 1e4])
def test_saturated_functions_have_slope_zero_without_overflow(x, xp):
    for f in (mg.tanh, mg.erf, mg.sigmoid):
        assert derivatives(f, x, 2, xp) == [0, 0]
    assert derivatives(mg.gelu, x, 2, xp) == [1.0 if x > 0 else 0.0, 0]
    assert derivatives(mg.arctan, x, 1, xp)[0] == pytest.approx(1 / (1 + x * x))


def test_gelu_at_infinity(xp):
    """The limits, where x·(1 + tanh u) and its chain rule would compute −∞·0 and ∞·0."""
    assert float(mg.gelu(xp.asarray(-INF))) == 0 and float(mg.gelu(xp.asarray(INF))) == INF
    assert derivatives(mg.gelu, INF, 2, xp) == [1, 0]
    assert derivatives(mg.gelu, -INF, 2, xp) == [0, 0]


def test_logaddexp_with_infinities(xp):
    f = mg.grad(mg.logaddexp, (0, 1))
    for a, b, expected in (
        (-INF, -INF, [0, 0]),
        (-INF, 1.0, [0, 1]),
        (1.0, -INF, [1, 0]),
        (0.0, 0.0, [0.5, 0.5]),
        (1e4, -1e4, [1, 0]),
        (INF, 0.0, [1, 0]),
    ):
        assert [float(g) for g in f(xp.asarray(a), xp.asarray(b))] == expected
        assert float(mg.logaddexp(xp.asarray(a), xp.asarray(b))) == np.logaddexp(a, b)
    both = xp.asarray([-INF, -INF])
    assert not to_host(mg.hessian(lambda x: mg.logaddexp(x[0], x[1]))(both)).any()
    assert float(mg.grad(lambda x: mg.logaddexp(x, -INF))(xp.asarray(-INF))) == 0


@pytest.mark.parametrize(("a", "b"), [(-INF, math.nan), (math.nan, -INF), (1.0, math.nan)])
def test_a_nan_in_logaddexp_makes_both_gradients_nan(a, b, xp):
    """Even if the other operand is −∞, whose gradient would otherwise be 0."""
    with np.errstate(invalid="ignore"):
        assert all(math.isnan(g) for g in mg.grad(mg.logaddexp, (0, 1))(xp.asarray(a), xp.asarray(b)))


@pytest.mark.parametrize("f", [mg.sin, mg.exp, mg.tanh, mg.sigmoid, mg.softplus, mg.erf, mg.relu, mg.square])
def test_nan_propagates(f, xp):
    assert math.isnan(f(xp.asarray(math.nan)))


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64, np.uint8, bool])
@pytest.mark.parametrize("f", [mg.sigmoid, mg.softplus, mg.log_sigmoid, mg.gelu], ids=lambda f: f.__name__)
def test_integers_are_converted_to_floats(f, dtype, xp):
    x = np.array([0, 1] if dtype is bool else [np.iinfo(dtype).min, 3, np.iinfo(dtype).max], dtype)
    np.testing.assert_allclose(
        to_host(f(xp.asarray(x))), to_host(f(xp.asarray(x.astype(np.float64)))), rtol=1e-15, atol=1e-14
    )
