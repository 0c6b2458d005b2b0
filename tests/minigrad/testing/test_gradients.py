"""minigrad/testing/gradients.py: assert_gradients names the worst element, both numbers and the oracle."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.checks import GradientError, KinkError
from minigrad.testing import arrays, assert_gradients, derivatives, exact_transpose, forward_derivative, normal

NUMBER = r"(-?[\d.e-]+|nan)"


@pytest.fixture
def cube(make_primitive):
    """A function that makes x³ with given slopes in forward and reverse mode."""

    def make(forward=lambda x: 3 * x * x, reverse=None):
        return make_primitive(
            lambda b, x, out=None: b.xp.multiply(x, x * x, out=out),
            lambda t, x: forward(x) * t,
            lambda g, x: (reverse or forward)(x) * g,
        )

    return make


def test_right_gradients_pass(cube):
    assert_gradients(cube(), normal((3, 2)), order=3)
    assert_gradients(lambda p, x: (mg.sin(p["w"]) * x, p["b"]), {"w": normal((2,)), "b": 1.0}, np.float32(2))
    assert_gradients(mg.sin, np.zeros((0, 3)))


@given(wrong=st.integers(0, 5), x=arrays((3, 2), (4, 20)))
def test_the_worst_element_is_named(wrong, x):
    """One element of the gradient is twice as large as it should be."""
    place = np.unravel_index(wrong, (3, 2))
    factors = np.ones((3, 2))
    factors[place] = 2

    @mg.custom_derivative
    def f(x):
        return mg.sum(x * x)

    f.vjp(lambda x: (f(x), lambda g: (2 * g * x * factors,)))
    with pytest.raises(GradientError) as caught:
        assert_gradients(f, x, modes="reverse", order=1)
    pattern = rf"argument x\[{place[0]}, {place[1]}\]: reverse mode gives {NUMBER}, .* give {NUMBER} "
    found, expected = map(float, re.match(pattern, str(caught.value)).groups())
    assert math.isclose(found, 2 * expected, rel_tol=1e-6)
    assert not caught.value.report.passed


def test_modes_orders_and_nan_are_named(cube):
    x = np.array([1.5, -0.5, 2.0])
    with pytest.raises(GradientError, match=rf"^argument w\[\d\]: forward mode gives {NUMBER}, five-point"):
        steep = cube(lambda x: 3.1 * x * x)
        assert_gradients(lambda v, w: v * steep(w), 2.0, x, modes="forward")
    with pytest.raises(GradientError, match=r"^argument x\[\d\]: reverse mode gives .* \(the derivative of that by"):
        assert_gradients(cube(lambda x: 3 * mg.stop_gradient(x * x)), x, modes="reverse")
    with pytest.raises(GradientError, match=r"^argument p\.0\.w\[1\]: reverse mode gives nan"):
        broken = cube(lambda x: mg.where(x > 0, 3 * x * x, np.nan))
        assert_gradients(lambda p: broken(p[0]["w"]), ({"w": x},))
    with pytest.raises(GradientError, match=r"^argument x\[\d\]: reverse mode gives"):
        assert_gradients(cube(reverse=lambda x: 3 * x), x, order=1)


def test_a_mistake_in_one_element_of_many_is_found(cube):
    weights = np.ones((20, 20))
    weights[13, 7] = 1.5
    with pytest.raises(GradientError, match=r"argument x\[13, 7\]"):
        assert_gradients(cube(lambda x: 3 * x * x * weights), 2 + normal((20, 20)) ** 2, order=1)


def test_kinks_are_reported_as_kinks():
    with pytest.raises(KinkError):
        assert_gradients(mg.abs, 0.0)


def test_the_adjoint_identity_is_checked(cube, monkeypatch):
    monkeypatch.setattr("minigrad.testing.gradients.check_grads", lambda *args, **kwargs: None)
    with pytest.raises(GradientError, match=r"the adjoint identity .* is off by"):
        assert_gradients(cube(reverse=lambda x: 3.001 * x * x), normal((3,)))


# Derivatives of any order, exact transposes


def test_derivatives_of_any_order(cube):
    assert derivatives(lambda x: x**4, 2.0, 4) == [32, 48, 48, 24]
    assert forward_derivative(mg.square)(3.0) == 6
    with pytest.raises(AssertionError, match=r"reverse mode gives 10.0, forward mode 12.0"):
        derivatives(cube(reverse=lambda x: 2.5 * x * x), 2.0, 1)


def test_the_transpose_of_a_movement_adds_up_repeats():
    g = np.array([[1.0, 2.0], [4.0, 8.0]])
    assert exact_transpose(lambda x: x[[0, 0]], (3, 2), g).tolist() == [[5, 10], [0, 0], [0, 0]]
    assert exact_transpose(lambda x: np.pad(x, 1)[:2, :2], (1, 1), g).tolist() == [[8]]
    with pytest.raises(AssertionError):
        exact_transpose(lambda x: x.T, (3, 2), g)
