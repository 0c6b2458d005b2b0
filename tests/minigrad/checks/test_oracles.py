"""minigrad/checks/oracles.py: each oracle agrees with closed forms, and detects wrong rules."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import checks
from minigrad.core.interpreter import Tracer, primitives


@pytest.fixture
def damage_rule(monkeypatch):
    """A function that changes the rule of a primitive for one argument."""

    def damage(name, argument, change):
        statement = primitives[name].rule.statements[argument]
        right = statement.function
        monkeypatch.setattr(statement, "function", lambda *asked: change(right(*asked)))

    return damage


RNG = np.random.default_rng(0)
X, V = RNG.normal(size=(2, 4, 3))
ANGLES = (X / np.max(np.abs(X)),), (V,)


# Complex step


@pytest.mark.parametrize(
    ("formula", "derivative"),
    [(np.exp, np.exp), (np.sin, np.cos), (lambda x: x**3, lambda x: 3 * x**2), (lambda x: 1 / x, lambda x: -1 / x**2)],
)
@given(x=st.floats(0.1, 3), v=st.floats(0.1, 2))
def test_complex_step_is_the_derivative_to_rounding(formula, derivative, x, v):
    found, truth = checks.complex_step(formula, [np.float64(x)], [v]), derivative(x) * v
    assert abs(found - truth) <= 8 * np.finfo(float).eps * (abs(truth) + v)


# Differences that choose their step


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3, 1e6])
def test_differences_find_a_step_for_functions_of_any_scale(scale):
    """s·sin(x/s) has slope cos(x/s), and curves over a length s."""
    found = checks.differences(lambda x: scale * mg.sin(x / scale), (scale * X,), (V,))
    assert not found.kink
    np.testing.assert_allclose(found.value, np.cos(X) * V, rtol=0, atol=1e-8)
    assert np.max(np.abs(found.value - np.cos(X) * V)) <= 10 * np.max(found.error)


def test_differences_are_none_if_every_step_crosses_a_kink():
    assert checks.differences(mg.abs, (np.zeros(2),), (np.ones(2),)) is None
    assert checks.differences(mg.abs, (np.full(2, 1e-3),), (np.ones(2),)) is not None


# Kinks found from values alone


@pytest.mark.parametrize("step", [1e-3, 1e-4, 1e-5])
def test_one_sided_derivatives_of_smooth_functions_agree(step):
    assert checks.one_sided_gap(lambda t: np.exp(X + t * V), step) < 1e-4
    assert checks.one_sided_gap(lambda t: np.sin(X + t * V) + 1e9, step) == 0  # only rounding


@pytest.mark.parametrize("step", [1e-3, 1e-4, 1e-5])
def test_one_sided_derivatives_at_a_kink_differ(step):
    assert abs(checks.one_sided_gap(abs, step) - 2) < 1e-9
    assert checks.one_sided_gap(lambda t: np.maximum(X, X + t * V), step) > 0.5
    assert checks.one_sided_gap(lambda t: float(t >= 0), step) > 0.5
    assert checks.one_sided_gap(np.sign, step) > 0.49  # a jump: equal from both sides, but doubled by half the step


# Taylor remainders


def test_taylor_slopes_are_two_and_three():
    first, second = checks.taylor_slopes(lambda x: mg.exp(mg.sin(x)), *ANGLES)
    assert abs(first - 2) < 0.05
    assert abs(second - 3) < 0.05


def test_taylor_remainders_of_polynomials_vanish():
    assert checks.taylor_slopes(lambda x: 3 * x, *ANGLES) == (math.inf, math.inf)
    first, second = checks.taylor_slopes(mg.square, *ANGLES)
    assert abs(first - 2) < 1e-6
    assert second == math.inf


def test_a_wrong_first_derivative_leaves_slope_one(damage_rule):
    damage_rule("sin", "x", lambda slope: 1.01 * slope)
    assert checks.taylor_slopes(mg.sin, *ANGLES)[0] < 1.7


def test_a_wrong_second_derivative_leaves_slope_two(damage_rule):
    damage_rule("sin", "x", mg.stop_gradient)
    first, second = checks.taylor_slopes(mg.sin, *ANGLES)
    assert first > 1.95
    assert second < 2.05


# Second order


def test_all_combinations_of_modes_give_one_hessian_for_right_rules():
    gap = checks.second_order_gap(lambda x, w: mg.logsumexp(mg.tanh(x @ w)), (X, RNG.normal(size=(3, 2))))
    assert gap <= 100 * np.finfo(float).eps


@pytest.mark.parametrize("name", ["pull", "push"])
def test_an_asymmetric_hessian_is_detected(name, monkeypatch):
    """A rule of the product whose own derivative treats the factors as constants."""
    rule = primitives["multiply"].rule
    right = getattr(rule, name)

    def without_second_derivative(position, vector, known, args, params):
        stopped = {k: mg.stop_gradient(x) if isinstance(x, Tracer) and k != "g" else x for k, x in known.items()}
        return right(position, vector, stopped, args, params)

    monkeypatch.setattr(rule, name, without_second_derivative)
    assert checks.second_order_gap(lambda x: mg.sum(mg.sin(x) * x), (X,)) > 1e-3


# float32


def test_float32_is_within_a_few_ulps_unless_digits_cancel():
    assert checks.float32_ulps(lambda x: mg.softplus(x @ X.T.astype(x.dtype)), (X,)) < 16
    assert checks.float32_ulps(lambda x: (x + 1e4) - 1e4, (X,)) > 1e3


def test_inaccurate_float32_gradients_are_detected(damage_rule):
    damage_rule("exp", "x", lambda slope: slope if slope.dtype == np.float64 else slope * np.float32(1.0005))
    assert checks.float32_ulps(mg.exp, (X,)) > 1e3
