"""minigrad/checks/stencil.py: five-point differences against closed forms, their error estimate, and kinks."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import minigrad as mg
from minigrad import checks
from minigrad.checks.stencil import STENCIL, extrapolate, has_kink


@pytest.mark.parametrize("step", [1e-1, 1e-2, 1e-3])
def test_differences_are_exact_on_polynomials_up_to_degree_six(step: float) -> None:
    coefficients = [0.5, -2.0, 3.0, 1.0, -0.25, 0.75, 0.1]
    found = checks.five_point(lambda t: np.polyval(coefficients[::-1], t), step)
    rounding = 40 * np.finfo(float).eps / step  # weights add up to about 20 roundings of numbers near 1
    assert abs(float(found.value) - coefficients[1]) <= rounding
    assert not found.kink


@pytest.mark.parametrize(("f", "slope"), [(math.exp, 1.0), (lambda t: math.sin(1 + t), math.cos(1)), (math.tanh, 1.0)])
def test_the_error_of_differences_is_the_sixth_power_of_the_step(f: Callable, slope: float) -> None:
    errors = [abs(float(checks.five_point(f, h).value) - slope) for h in (0.2, 0.1)]
    assert 5 < math.log2(errors[0] / errors[1]) < 9  # h⁶, then h⁸


def test_the_error_estimate_covers_the_error() -> None:
    for step in (0.1, 1e-2, 1e-3, 1e-4, 1e-6):
        found = checks.five_point(lambda t: math.exp(3 * t), step)
        assert abs(float(found.value) - 3.0) <= float(found.error)


def test_differences_of_arrays_are_taken_elementwise() -> None:
    found = checks.five_point(lambda t: np.array([t, 2 * t, t * t]), 1e-2)
    np.testing.assert_allclose(found.value, [1.0, 2.0, 0.0], atol=1e-12)


KINKED = {
    "relu": mg.relu,
    "absolute": mg.abs,
    "maximum": lambda t: mg.maximum(t, 0.0),
    "minimum": lambda t: mg.minimum(0.0, t),
    "clip": lambda t: mg.clip(t, 0.0, 1.0),
    "sign": mg.sign,
    "floor": mg.floor,
    "where": lambda t: mg.where(mg.greater(t, 0.0), t, -t),
    "max": lambda t: mg.max(mg.stack([t, -t])),
    "sort": lambda t: mg.sort(mg.stack([t, -t]))[0],
}


@pytest.mark.parametrize("name", KINKED)
def test_only_a_kink_inside_the_stencil_is_reported(name: str) -> None:
    f, at = KINKED[name], 0.003
    assert checks.five_point(lambda t: f(np.float64(at + t)), 0.01).kink
    assert not checks.five_point(lambda t: f(np.float64(at + t)), 0.0005).kink


def test_the_weights_are_those_of_an_interpolating_polynomial() -> None:
    """The weighted sum is 12 for t, and 0 for every other power up to t⁴."""
    for power in range(5):
        assert sum(w * k**power for k, w in STENCIL) == (12 if power == 1 else 0)


def test_the_summation_and_the_rounding_error_can_be_given() -> None:
    """Here an exact sum over all entries; the given error of each value enters as error/step."""
    at = lambda t: (np.array([1e16 + t, -1e16, 2 * t]), b"")
    total = lambda weights, values: math.fsum(np.concatenate([w * v for w, v in zip(weights, values, strict=True)]))
    found = extrapolate(lambda t: (np.array([1e16, t, 2 * t]), b""), 0.5, total, rounding=1e-3)
    assert found.value == 3
    assert abs(found.error - 1e-3 / 0.5) < 1e-12
    assert not has_kink(at, 0.5)


def test_trees_keep_their_structure() -> None:
    found = checks.five_point(lambda t: {"a": np.sin(t), "b": (np.array([t, t**2]),)}, 1e-2)
    assert set(found.value) == {"a", "b"}
    np.testing.assert_allclose(found.value["b"][0], [1, 0], atol=1e-12)
    assert checks.five_point(lambda t: (), 1e-2).value == ()
