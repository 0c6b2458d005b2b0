"""Known bugs of other libraries, one test each, named in the docstring: kinks, zeros, infinities, overflow.

Expected values are closed forms, naive loops or exact polynomials; cotangents are random and signed. The test file of
each operation has longer tests.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.polynomial import Polynomial

import minigrad as mg
from minigrad.testing import forward_derivative
from tests.support.oracles import assert_close, rounding
from tests.support.transfer import to_host

INF, NAN = math.inf, math.nan


MODES = {"reverse": mg.grad, "forward": forward_derivative}


def derivatives(f, x, order, size=0.0):
    """[f′(x), f″(x), …] of a scalar function, computed in every mixture of modes, which must agree.

    The tolerance is rounding relative to the value, or to `size` if terms of that size cancel.
    """
    found = []
    for k in range(1, order + 1):
        values = []
        for mixture in itertools.product(MODES.values(), repeat=k):
            g = f
            for mode in mixture:
                g = mode(g)
            values.append(float(to_host(g(x))))
        assert all(v == values[0] or abs(v - values[0]) <= rounding() * max(size, abs(values[0])) for v in values), (
            values
        )
        found.append(values[0])
    return found


# Boundaries, which random samples never hit

BOUNDARIES = {
    "relu": (mg.relu, 0.0, [0, 0]),
    "relu of a square": (lambda x: mg.relu(x * x), 0.0, [0, 0]),
    "x relu": (lambda x: x * mg.relu(x), 0.0, [0, 0]),
    "abs": (mg.abs, 0.0, [0, 0]),
    "x abs": (lambda x: x * mg.abs(x), 0.0, [0, 0]),
    "leaky relu": (lambda x: mg.leaky_relu(x, 0.25) ** 2 + x, 0.0, [1, 2 * 0.25**2]),
    "elu": (lambda x: mg.elu(x, 0.5), 0.0, [0.5, 0.5]),
    "clip, lower edge": (lambda x: mg.clip(x, 1.0, 2.0) ** 3, 1.0, [3, 6]),
    "clip, upper edge": (lambda x: mg.clip(x, 1.0, 2.0) ** 3, 2.0, [12, 12]),
    "maximum, tie": (lambda x: mg.maximum(x * x, x), 1.0, [1.5, 1]),
    "minimum, tie": (lambda x: mg.minimum(x * x, x), 1.0, [1.5, 1]),
    "max, tie": (lambda x: mg.max(mg.stack([x * x, x, 0.5 * x * x])), 1.0, [1.5, 1]),
    "where": (lambda x: mg.where(x > 0, x**3, x**2), 0.0, [0, 2]),
    "sigmoid at its centre": (mg.sigmoid, 0.0, [0.25, 0]),
    "softplus at its centre": (mg.softplus, 0.0, [0.5, 0.25]),
    "logaddexp of equals": (lambda x: mg.logaddexp(x, 0.0), 0.0, [0.5, 0.25]),
    "tanh far out": (mg.tanh, 1e3, [0, 0]),
    "gelu far out": (mg.gelu, -1e3, [0, 0]),
    "prod with a zero": (lambda x: mg.prod(mg.stack([x, x + 1, x + 2])), 0.0, [2, 6]),
    "cumprod with a zero": (lambda x: mg.sum(mg.cumprod(mg.stack([x + 1, x, x + 2]))), 0.0, [1 + 1 + 2, 2 + 6]),
    "square as a power": (lambda x: x**2, 0.0, [0, 2]),
    "linear power": (lambda x: x**1, 0.0, [1, 0]),
    "norm of a vector with a zero": (lambda x: mg.norm(mg.stack([x, x + 3, x + 4])), 0.0, [7 / 5, 26 / 125]),
    "hypot beside zero": (lambda x: mg.hypot(x, 2.0), 0.0, [0, 0.5]),
    "arctan2 on the axis": (lambda x: mg.arctan2(x, 2.0), 0.0, [0.5, 0]),
    "var of a constant": (lambda x: mg.var(mg.stack([x, 2 * x, 3 * x])), 0.0, [0, 4 / 3]),
    "expm1 at zero": (mg.expm1, 0.0, [1, 1]),
    "log1p at zero": (mg.log1p, 0.0, [1, -1]),
}


@pytest.mark.parametrize("name", BOUNDARIES)
def test_second_derivatives_at_boundaries_are_right_in_every_mixture_of_modes(name, xp):
    """pytorch#198017: forward-mode and second-order rules that are wrong at a boundary, where samples never lie."""
    f, x, expected = BOUNDARIES[name]
    assert derivatives(f, xp.asarray(x), 2) == pytest.approx(expected, rel=rounding(), abs=rounding())


# Powers, norms and products at zero


@pytest.mark.parametrize("exponent", ["number", "array"])
@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (0, [0, 0, 0]),
        (1, [1, 0, 0]),
        (2, [0, 2, 0]),
        (3, [0, 0, 6]),
        (4, [0, 0, 0]),
        (0.5, [INF, -INF, INF]),
        (1.5, [0, INF, -INF]),
        (2.5, [0, 0, INF]),
        (-1, [-INF, INF, -INF]),
    ],
)
def test_powers_at_zero_have_their_derivatives_to_third_order(p, expected, exponent, xp):
    """HIPS/autograd#116, #149, #151, #581, jax#3058, pytorch#92075: NaN from 0·∞, or from p ln 0."""
    p = p if exponent == "number" else xp.asarray(float(p))
    with np.errstate(divide="ignore"):
        assert derivatives(lambda x: x**p, xp.asarray(0.0), 3) == expected


def test_zero_to_the_zero_is_one_and_flat(xp):
    """HIPS/autograd#116, #149: NaN from ln 0 or 0⁻¹."""
    zero = xp.asarray(0.0)
    assert float(mg.power(zero, zero)) == 1
    assert [float(g) for g in mg.grad(mg.power, (0, 1))(zero, zero)] == [0, 0]
    assert derivatives(lambda x: x ** xp.asarray(0.0), zero, 2) == [0, 0]
    assert derivatives(lambda p: mg.power(zero, p), zero, 2) == [0, 0]


@pytest.mark.parametrize("order", [None, 2, 3, 1.5], ids=str)
def test_the_norm_of_zero_has_zero_gradient_and_hessian(order, xp):
    """HIPS/autograd#151, #581, jax#3058, pytorch#92075: NaN from 0/0. We define both as zero."""
    f, zero = lambda x: mg.norm(x, order), xp.zeros(3)
    assert not to_host(mg.grad(f)(zero)).any() and not to_host(mg.jacobian(f, mode="forward")(zero)).any()
    for outer, inner in itertools.product(["forward", "reverse"], repeat=2):
        hessian = mg.jacobian(mg.jacobian(f, mode=inner), mode=outer)(zero)
        assert hessian.shape == (3, 3) and not to_host(hessian).any()


def test_the_derivatives_of_the_square_root_at_zero_are_their_limits(xp):
    """HIPS/autograd#116, #581, jax#3058: an exception, or NaN. The slope is +∞, the curvature −∞."""
    with np.errstate(divide="ignore"):
        assert derivatives(mg.sqrt, xp.asarray(0.0), 3) == [INF, -INF, INF]
        for outer, inner in itertools.product(["forward", "reverse"], repeat=2):
            f = mg.jacobian(mg.jacobian(lambda x: mg.sum(mg.sqrt(x)), mode=inner), mode=outer)
            assert to_host(f(xp.zeros(1))).tolist() == [[-INF]]


@pytest.mark.parametrize("zeros", [1, 2, 3])
def test_the_derivatives_of_a_product_with_zeros_are_exact_to_second_order(zeros, xp):
    """HIPS/autograd#378, pytorch#773: a rule that divides by a factor. With two zeros the Hessian is not 0."""
    x = np.array([2.0, -3.0, 0.5, 4.0])
    x[:zeros] = 0
    gradient, hessian = np.zeros(4), np.zeros((4, 4))
    for i in range(4):
        gradient[i] = np.prod(np.delete(x, i))
        for j in range(4):
            hessian[i, j] = np.prod(np.delete(x, [i, j])) if i != j else 0
    x = xp.asarray(x)
    assert np.array_equal(to_host(mg.grad(mg.prod)(x)), gradient)
    for outer, inner in itertools.product(["forward", "reverse"], repeat=2):
        assert np.array_equal(to_host(mg.jacobian(mg.jacobian(mg.prod, mode=inner), mode=outer)(x)), hessian)


def test_the_derivatives_of_cumprod_at_a_zero_factor_are_those_of_the_polynomial(xp):
    """pytorch#196701: the second derivative of cumprod, forward over forward, is wrong at a zero factor."""
    factors = [Polynomial(c) for c in ([1, 1], [-2, 1], [0, 2], [3, -1], [-2, 1])]  # two of them are 0 at 2
    weights, total, product = [3.0, -1.0, 2.0, 5.0, -4.0], Polynomial([0]), Polynomial([1])
    for weight, factor in zip(weights, factors, strict=True):
        product = product * factor
        total = total + weight * product

    def f(t):
        return mg.sum(mg.cumprod(mg.stack([t + 1, t - 2, 2 * t, 3 - t, t - 2])) * xp.asarray(weights))

    expected = [total.deriv(k)(2.0) for k in (1, 2, 3)]
    assert derivatives(f, xp.asarray(2.0), 3) == pytest.approx(expected, rel=rounding())


@pytest.mark.parametrize("f", [mg.std, mg.var], ids=["std", "var"])
@pytest.mark.parametrize("value", [0.0, 1.0, 0.1])
def test_std_and_var_of_equal_elements_have_zero_gradient(f, value, xp):
    """HIPS/autograd: NaN from 0/0."""
    gradient = to_host(mg.grad(f)(xp.full(4, value)))
    assert_close(gradient, np.zeros(4))
    assert_close(to_host(mg.jacobian(f, mode="forward")(xp.full(4, value))), np.zeros(4))


def test_arctan2_at_the_origin_has_zero_derivatives(xp):
    """HIPS/autograd: NaN from 0/0 in arctan2(0, 0)."""
    f, origin = lambda x: mg.arctan2(x[0], x[1]), xp.zeros(2)
    assert not to_host(mg.grad(f)(origin)).any() and not to_host(mg.hessian(f)(origin)).any()


def test_sinc_at_zero_has_all_its_derivatives(xp):
    """HIPS/autograd: NaN at sinc(0). The formula with a masked argument has slope 0 there, but no second derivative."""

    def masked(x):
        zero = x == 0
        safe = math.pi * mg.where(zero, 1.0, x)
        return mg.where(zero, 1.0, mg.sin(safe) / safe)

    assert derivatives(masked, xp.asarray(0.0), 2) == [0, 0]
    assert derivatives(mg.sinc, xp.asarray(0.0), 2) == pytest.approx([0, -(math.pi**2) / 3])
    assert derivatives(mg.sinc, xp.asarray(1.0), 1) == pytest.approx([-1])  # cos π / 1 − sin π / π


# Ties and edges


@pytest.mark.parametrize(
    ("f", "row", "expected"),
    [
        (lambda x: mg.max(mg.stack([x, 2.0 - x, -x])), "max, min", 0),
        (lambda x: mg.min(mg.stack([x, x * x, 5.0 * x])), "max, min", 1.5),
        (lambda x: mg.maximum(x, 1.0), "maximum, minimum", 0.5),
        (lambda x: mg.minimum(1.0, x), "maximum, minimum", 0.5),
        (lambda x: mg.clip(x, 1.0, 2.0), "clip", 1),
        (lambda x: mg.clip(x, 0.0, 1.0), "clip", 1),
        (lambda x: mg.clip(3.0, x, 3.0), "clip", 0),
        (lambda x: mg.clip(1.0, x, 3.0), "clip", 0),
        (lambda x: mg.abs(x - 1.0), "abs, sign", 0),
        (lambda x: mg.relu(x - 1.0), "relu", 0),
        (lambda x: mg.relu(1.0 - x), "relu", 0),
    ],
    ids=[
        "max",
        "min",
        "maximum",
        "minimum",
        "clip low",
        "clip high",
        "low edge",
        "low edge on x",
        "abs",
        "relu",
        "-relu",
    ],
)
def test_derivatives_at_ties_and_edges_follow_our_conventions(f, row, expected, xp):
    """pytorch#184572 (relu 0, clamp 1), HIPS/autograd#212, jax#37821: modes of one library disagree."""
    assert row in mg.CONVENTIONS
    assert derivatives(f, xp.asarray(1.0), 1) == [expected]


def test_the_number_of_ties_does_not_overflow_in_float16(on_device):
    """tinygrad#12296: counted in float16, 70,000 equal elements are ∞, and every gradient is 0."""
    gradient = to_host(mg.grad(mg.max)(on_device(np.ones(70_000, np.float16))))
    assert gradient.dtype == np.float16 and np.all(gradient == np.float16(1 / 70_000)) and gradient[0] > 0


# Infinities, overflow and underflow


def test_a_nan_in_the_branch_not_taken_does_not_reach_the_gradient(xp):
    """tinygrad#12409, jax#1052. If that branch has an infinite slope, the user masks its argument too."""
    x, nan = xp.asarray([1.0, -2.0]), xp.asarray([NAN, NAN])
    f = lambda x, nan: mg.where(xp.asarray([True, False]), x * x, mg.where(xp.asarray([False, True]), 3 * x, nan))
    x_bar, nan_bar = mg.vjp(f, x, nan)[1](xp.asarray([3.0, 5.0]))
    assert to_host(x_bar).tolist() == [6, 15] and to_host(nan_bar).tolist() == [0, 0]
    assert to_host(mg.jvp(f, (x, nan), (x, nan))[1]).tolist() == [2, -6]
    x_bar, nan_bar = mg.vjp(f, x, nan)[1](xp.asarray([3.0, INF]))
    assert to_host(x_bar).tolist() == [6, INF] and to_host(nan_bar).tolist() == [0, 0]
    safe = lambda x: mg.where(x > 0, mg.log(mg.where(x > 0, x, 1.0)), 0.0)
    assert derivatives(safe, xp.asarray(0.0), 2) == [0, 0]
    assert derivatives(safe, xp.asarray(-1.0), 2) == [0, 0]
    assert derivatives(safe, xp.asarray(2.0), 2) == [0.5, -0.25]


def test_logsumexp_with_minus_infinity_is_finite_to_third_order(xp):
    """pytorch#31829: NaN from (−∞) − (−∞). Derivatives along v are the cumulants of v under softmax(x)."""
    v, x = np.array([1.0, -2.0, 0.5, 3.0]), np.array([2.0, -INF, 1.0, -INF])
    weights = np.exp(x) / np.sum(np.exp(x))
    mean = np.sum(weights * v)
    expected = [mean] + [np.sum(weights * (v - mean) ** k) for k in (2, 3)]
    x, v = xp.asarray(x), xp.asarray(v)
    found = derivatives(lambda t: mg.logsumexp(x + t * v), xp.asarray(0.0), 3, size=1.0)
    assert found == pytest.approx(expected, abs=rounding())
    nothing = xp.full(3, -INF)
    assert float(mg.logsumexp(nothing)) == -INF
    assert not to_host(mg.grad(mg.logsumexp)(nothing)).any() and not to_host(mg.hessian(mg.logsumexp)(nothing)).any()


def test_logaddexp_with_minus_infinity_is_finite_to_third_order(xp):
    """jax#40409: NaN from the second order on."""
    for x, other, expected in (
        (0.0, -INF, [1, 0, 0]),
        (0.0, 0.0, [1 / 2, 1 / 4, 0]),
        (-INF, 0.0, [0, 0, 0]),
        (-INF, -INF, [0, 0, 0]),
    ):
        for f in (lambda x, c=other: mg.logaddexp(x, c), lambda x, c=other: mg.logaddexp(c, x)):
            assert derivatives(f, xp.asarray(x), 3) == expected


def test_the_derivative_of_expm1_at_minus_forty_is_not_zero(xp):
    """HIPS/autograd and jax#39794: computed as (eˣ − 1) + 1, it cancels to 0."""
    assert derivatives(mg.expm1, xp.asarray(-40.0), 3) == pytest.approx([math.exp(-40)] * 3, rel=rounding(), abs=0)


def test_the_derivative_of_tanh_does_not_overflow(xp):
    """HIPS/autograd: 1/cosh² overflows with a warning, which is an error here."""
    for x in (-1e4, -800.0, 400.0, 1e300):
        assert derivatives(mg.tanh, xp.asarray(x), 3) == [0, 0, 0]
    y = math.tanh(0.3)
    expected = [1 - y * y, -2 * y * (1 - y * y), (1 - y * y) * (6 * y * y - 2)]
    assert derivatives(mg.tanh, xp.asarray(0.3), 3) == pytest.approx(expected, rel=rounding())


@pytest.mark.parametrize("x", [-1e4, 1e4])
def test_softplus_and_log_sigmoid_are_finite_at_ten_thousand(x, xp):
    """ln(1 + eˣ) overflows, and its derivative is ∞/∞."""
    assert float(mg.softplus(xp.asarray(x))) == max(x, 0)
    assert float(mg.log_sigmoid(xp.asarray(x))) == min(x, 0)
    assert derivatives(mg.softplus, xp.asarray(x), 3) == [x > 0, 0, 0]
    assert derivatives(mg.log_sigmoid, xp.asarray(x), 3) == [x < 0, 0, 0]
    far = xp.asarray(math.copysign(40.0, x))  # 1 − σ would be 0 on one of the two sides
    one_side = mg.softplus if x < 0 else mg.log_sigmoid
    assert derivatives(one_side, far, 1) == pytest.approx([math.exp(-40)], rel=rounding(), abs=0)
