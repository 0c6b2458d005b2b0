"""minigrad/ops/functions.py: derivatives at 0, at the origin, at ±∞, near overflow, and of complex powers."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest

import minigrad as mg
from minigrad.core import primitives
from minigrad.testing import derivatives
from tests.support.oracles import assert_close
from tests.support.transfer import to_host

INF = math.inf


@pytest.mark.parametrize("p", [0, 1, 2, 3])
def test_power_of_a_negative_number(p, xp):
    expected = [p * (-2.0) ** (p - 1), p * (p - 1) * (-2.0) ** (p - 2), p * (p - 1) * (p - 2) * (-2.0) ** (p - 3)]
    assert derivatives(lambda x: x**p, -2.0, 3, xp) == expected
    assert derivatives(lambda x: x ** xp.asarray(float(p)), -2.0, 3, xp) == expected


def test_zero_to_the_zero(xp):
    zero = xp.asarray(0.0)
    assert float(mg.power(zero, zero)) == 1
    assert [float(g) for g in mg.grad(mg.power, (0, 1))(zero, zero)] == [0, 0]
    assert float(mg.grad(lambda p: 0.0**p)(zero)) == 0
    assert float(mg.grad(lambda p: mg.power(zero, p))(xp.asarray(2.0))) == 0


@pytest.mark.parametrize("p", [-0.5, -1.0, -2.0])
def test_the_derivative_in_the_exponent_at_base_zero_is_zero_even_if_the_power_is_infinite(p, xp):
    """The formula computes ∞·0 there."""
    p = xp.asarray(p)
    with np.errstate(divide="ignore"):
        assert float(mg.grad(lambda p: 0.0**p)(p)) == 0
        assert float(mg.grad(lambda p: mg.power(xp.asarray(0.0), p))(p)) == 0
        assert float(mg.jvp(lambda p: mg.power(xp.asarray(0.0), p), (p,), (p,))[1]) == 0


def test_the_derivative_in_the_exponent_of_a_negative_base_is_nan(xp):
    x = xp.asarray(-2.0)
    assert float(mg.grad(lambda x: mg.power(x, xp.asarray(2.0)))(x)) == -4
    with np.errstate(invalid="ignore"):
        assert math.isnan(mg.grad(lambda p: mg.power(x, p))(xp.asarray(2.0)))


@pytest.mark.parametrize("f", [mg.hypot, mg.arctan2], ids=["hypot", "arctan2"])
def test_hypot_and_arctan2_at_the_origin(f, xp):
    """The derivatives are zero to second order in every mode, not NaN."""

    def of_pair(x):
        return f(x[0], x[1])

    origin = xp.zeros(2)
    assert not to_host(mg.grad(of_pair)(origin)).any()
    assert not to_host(mg.hessian(of_pair)(origin)).any()
    assert not to_host(mg.jacobian(mg.grad(of_pair))(origin)).any()
    assert not to_host(mg.jvp(lambda x: mg.jvp(of_pair, (x,), (xp.ones(2),))[1], (origin,), (xp.ones(2),))[1]).any()


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_hypot_and_arctan2_do_not_overflow(size, xp):
    x = xp.asarray([3 * size, 4 * size])
    assert_close(to_host(mg.grad(lambda x: mg.hypot(x[0], x[1]))(x)), [0.6, 0.8])
    found = to_host(mg.grad(lambda x: mg.arctan2(x[0], x[1]))(x)) * size
    assert_close(found, [4 / 25, -3 / 25])


@pytest.mark.parametrize(("y", "x"), [(0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (-1.0, 0.0), (-0.5, -2.0)])
def test_arctan2_in_every_direction(y, x, xp):
    r2 = x * x + y * y
    found = mg.grad(mg.arctan2, (0, 1))(xp.asarray(y), xp.asarray(x))
    assert_close([float(g) for g in found], [x / r2, -y / r2])
    assert float(mg.arctan2(xp.asarray(y), xp.asarray(x))) == math.atan2(y, x)


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_derivatives_of_sqrt_and_log_at_zero_are_their_limits(zero, xp):
    """At −0 too, where a division would give −∞."""
    with np.errstate(divide="ignore"):
        assert derivatives(mg.sqrt, zero, 2, xp) == [INF, -INF]
        assert derivatives(mg.log, zero, 2, xp) == derivatives(mg.log2, zero, 2, xp) == [INF, -INF]
        assert derivatives(mg.reciprocal, zero, 1, xp) == [-INF]


def test_tanh_beyond_the_overflow_of_cosh(xp):
    assert derivatives(mg.tanh, 400.0, 3, xp) == [0, 0, 0]


def test_the_derivative_of_expm1_is_accurate(xp):
    assert float(mg.grad(mg.expm1)(xp.asarray(-40.0))) == pytest.approx(math.exp(-40), rel=1e-15)
    assert derivatives(mg.elu, -40.0, 2, xp) == pytest.approx([math.exp(-40)] * 2, rel=1e-15)


def test_subnormal_arguments(xp):
    """Functions that behave like x near 0 have slope 1 there, and none divides by a number that rounds to 0."""
    for x in (5e-324, -1e-310):
        for f in (mg.sin, mg.tan, mg.arcsin, mg.arctan, mg.sinh, mg.tanh, mg.expm1, mg.log1p):
            assert derivatives(f, x, 1, xp) == [1]
        assert [float(g) for g in mg.grad(mg.hypot, (0, 1))(xp.asarray(x), xp.asarray(0.0))] == [math.copysign(1, x), 0]


def test_erf_against_the_math_module(on_device):
    x = np.linspace(-7, 7, 4001)
    found = to_host(mg.erf(on_device(x)))
    assert np.max(np.abs(found - [math.erf(v) for v in x])) <= 4 * np.finfo(float).eps
    slope = to_host(mg.vjp(mg.erf, on_device(x))[1](on_device(np.ones_like(x)))[0])
    assert_close(slope, 2 / math.sqrt(math.pi) * np.exp(-(x**2)))


def test_a_negative_base_to_a_complex_power(on_device):
    """d(−2)^p/dp = (−2)^p·ln(−2), and ln(−2) = ln 2 + iπ."""
    base, exponent = on_device(np.array([-2.0, -0.5])), on_device(np.array([1.5 + 0.5j, -0.25j]))
    slope = to_host(mg.jvp(lambda p: mg.power(base, p), (exponent,), (mg.ones_like(exponent),))[1])
    log = np.array([math.log(2) + 1j * math.pi, -math.log(2) + 1j * math.pi])
    assert_close(slope, np.exp(to_host(exponent) * log) * log)


def test_sinc_at_zero(xp):
    """The Taylor coefficients of sin πx / πx, to fourth order."""
    expected = [0, -(math.pi**2) / 3, 0, math.pi**4 / 5]
    np.testing.assert_allclose(derivatives(mg.sinc, 0.0, 4, xp), expected, rtol=1e-15)
    assert float(mg.sinc(xp.asarray(0.0))) == 1


@pytest.mark.parametrize("x", [1e-9, -1e-4, 0.3, 2 / math.pi - 1e-9, 2 / math.pi + 1e-9, 1.0, 7.25, -40.5])
def test_derivatives_of_sinc_do_not_cancel(x):
    """Against 60 digits; (cos πx − sinc x) / x would lose all of them near 0."""
    with mp.workdps(60):
        truth = [float(math.factorial(n) * c) for n, c in enumerate(mp.taylor(mp.sincpi, mp.mpf(x), 4))]
    for n in range(1, 5):
        size = math.pi**n / (n + 1) * (min(1, abs(x)) if n % 2 else 1)  # odd derivatives vanish at 0
        assert abs(primitives["sinc"](np.float64(x), order=n) - truth[n]) <= 1e-14 * size


@pytest.mark.parametrize("x", [1.5, -30.0, 1e200, -1e200])
def test_the_slope_of_arcsinh_does_not_overflow(x, xp):
    assert derivatives(mg.arcsinh, x, 1, xp) == pytest.approx([1 / math.hypot(1, x)], rel=1e-15)


def test_slopes_of_inverse_hyperbolic_functions_at_the_ends_of_their_domains(xp):
    with np.errstate(divide="ignore"):
        assert derivatives(mg.arccosh, 1.0, 1, xp) == derivatives(mg.arctanh, 1.0, 1, xp) == [INF]
