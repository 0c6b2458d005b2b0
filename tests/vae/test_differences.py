"""vae/differences.py: derivatives of sums against closed forms, in spite of rounding and kinks."""

import math

import numpy as np

import minigrad as mg
from minigrad.checks import decisions
from vae.differences import STEPS, UNKNOWN, add_exactly, differentiate, measure_rounding


def derivative(f, rounding=0.0, accurate=1e-10, unit=1.0):
    return differentiate(f, decisions(f, 0.0), rounding, accurate, unit)


def test_the_derivative_is_that_of_the_exact_sum():
    """Two terms of ±1e16 cancel: added one after the other they would swallow the rest."""
    found, kinks = derivative(lambda t: np.array([1e16, np.sin(1 + t), -1e16, 3 * t]))
    assert abs(found.value - (math.cos(1) + 3)) <= found.error + 1e-12
    assert (kinks, found.kink) == (0, False)


def test_the_first_step_that_is_accurate_enough_is_taken():
    points = []

    def f(t):
        points.append(abs(float(t)))
        return np.array([t**3 + 2 * t])

    found, _ = derivative(f)
    assert abs(found.value - 2) <= 1e-10
    assert max(points) == 2 * STEPS[0]


def test_smaller_steps_avoid_a_kink_and_steps_across_it_are_counted():
    found, kinks = derivative(lambda t: mg.stack([mg.abs(t + 1e-4), t]))
    assert abs(found.value - 2) <= 1e-9
    assert kinks == sum(2 * step > 1e-4 for step in STEPS[:14])


def test_at_a_kink_no_derivative_is_found():
    found, kinks = derivative(lambda t: mg.stack([mg.abs(t), t]))
    assert math.isnan(found.value) and found[1:] == UNKNOWN[1:]
    assert kinks == 14


def test_rounding_asks_for_larger_steps_and_enters_the_error():
    small, large = (derivative(lambda t: np.array([5 * t]), rounding)[0] for rounding in (1e-15, 1e-9))
    assert small.error < 1e-10 < large.error < 1e-6


def test_an_undefined_sum_is_nan():
    assert math.isnan(add_exactly((1, 1), [np.array([math.inf]), np.array([-math.inf])]))
    assert add_exactly((1, -8), [np.array([1e16, 1.0]), np.array([1.25e15])]) == 1.0


def test_rounding_is_measured():
    """A linear function rounded to multiples of q is off by q/√12 on average, known to 1/√30 from 15 draws."""
    q, slope, at = 1e-10, *np.random.default_rng(0).standard_normal((2, 50))
    found = measure_rounding(lambda p: np.array([q * np.rint(p[0] @ slope / q)]), (at,), mg.random.key(0))
    assert abs(found / (q / math.sqrt(12)) - 1) < 5 / math.sqrt(30)
    assert measure_rounding(lambda p: mg.relu(p[0]), (np.zeros(50),), mg.random.key(0)) == 0  # kinks everywhere
