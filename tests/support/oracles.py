"""How closely the engine must agree with derivatives of plain NumPy formulas, and differences of them.

Nothing here uses the engine. The other oracle, the complex step, is that of `minigrad.checks`.
"""

from __future__ import annotations

import math

import numpy as np

# How closely: every tolerance of the suite

EPS = float(np.finfo(np.float64).eps)

# A derivative is some dozens of rounded operations on arguments chosen so that condition numbers stay below ten or so:
# 2⁸ roundings (6e-14 in float64, 3e-5 in float32). It is relative to the largest element, never to the array's size.
ROUNDINGS = 2.0**8

# Five-point differences err by h⁴f⁽⁵⁾/30 + ε|f|·1.5/h; with h = ε^⅕ both are ε^⅘ (3e-13) times a ratio: f⁽⁵⁾/30f′ is
# at most 5!/30·0.5⁻⁴ = 64 for 1/x at the 0.5 that arguments keep from singularities, and f/f′ of the order of ten.
STEP = EPS ** (1 / 5)
DIFFERENCE = 2.0**10 * EPS ** (4 / 5)

# Second differences err by h⁴f⁽⁶⁾/90 + 5ε|f|/h²; with h = ε^⅙ both are ε^⅔ (4e-11) times such a ratio, 7!/3!/90·0.5⁻⁴.
STEP2 = EPS ** (1 / 6)
DIFFERENCE2 = 2.0**10 * EPS ** (2 / 3)


def rounding(dtype=np.float64) -> float:
    """The tolerance where only rounding separates two results of this dtype."""
    return ROUNDINGS * float(np.finfo(dtype).eps)


def assert_close(actual, expected, tolerance: float = ROUNDINGS * EPS, what: str = "") -> None:
    """Fail unless shapes are equal and no element differs by more than tolerance · max(1, largest |expected|)."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    if not expected.size:
        return
    special = ~np.isfinite(expected)
    np.testing.assert_array_equal(actual[special], expected[special], err_msg=what)
    scale = max(1.0, float(np.max(np.abs(expected[~special]), initial=0.0)))
    error = np.abs(np.where(special, 0, actual) - np.where(special, 0, expected))
    assert np.all(error <= tolerance * scale), (
        f"{what}: off by {np.max(error):.3g}, allowed {tolerance * scale:.3g}\nactual {actual}\nexpected {expected}"
    )


# Derivatives


def difference(function, args, tangents):
    """The derivative of any array function in a direction, by five-point central differences."""
    at, step = _along(function, args, tangents, STEP)
    return (at(-2) - 8 * at(-1) + 8 * at(1) - at(2)) / (12 * step)


def second_difference(function, args, tangents):
    """The second derivative of an array function in a direction, by five-point central differences."""
    at, step = _along(function, args, tangents, STEP2)
    return (-at(-2) + 16 * at(-1) - 30 * at(0) + 16 * at(1) - at(2)) / (12 * step * step)


def _along(function, args, tangents, step):
    """The function k steps along a direction, and the step: no argument moves by more than `step` itself."""
    step = step / max([1.0, *[float(np.max(np.abs(t), initial=0.0)) for t in tangents]])
    return lambda k: function(*[a + k * step * t for a, t in zip(args, tangents, strict=True)]), step


def inner(left, right) -> float:
    """⟨left, right⟩ of two tuples of arrays, without conjugation, summed exactly where real."""
    products = [np.ravel(np.asarray(a) * np.asarray(b)) for a, b in zip(left, right, strict=True)]
    flat = np.concatenate(products) if products else np.zeros(0)
    if flat.dtype.kind == "c":
        return complex(math.fsum(flat.real), math.fsum(flat.imag))
    return math.fsum(flat)
