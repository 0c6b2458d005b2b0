"""The tolerances of the suite, and finite differences of plain NumPy formulas.

Nothing here uses the engine. The other oracle, the complex step, is in `minigrad.checks`.
"""

from __future__ import annotations

import math

import numpy as np

# Tolerances

EPS = float(np.finfo(np.float64).eps)

# A derivative takes some dozens of rounded operations, on arguments whose condition numbers stay below about ten: 2⁸
# roundings (6e-14 in float64, 3e-5 in float32). Relative to the largest element, independent of the array's size.
ROUNDINGS = 2.0**8

# Five-point differences err by h⁴f⁽⁵⁾/30 + ε|f|·1.5/h; with h = ε^⅕ both terms are ε^⅘ (3e-13) times a ratio: f⁽⁵⁾/30f′
# is at most 5!/30·0.5⁻⁴ = 64 for 1/x, as arguments stay 0.5 away from singularities, and f/f′ is about ten.
STEP = EPS ** (1 / 5)
DIFFERENCE = 2.0**10 * EPS ** (4 / 5)

# Second differences err by h⁴f⁽⁶⁾/90 + 5ε|f|/h²; with h = ε^⅙ both are ε^⅔ (4e-11) times a ratio up to 7!/3!/90·0.5⁻⁴.
STEP2 = EPS ** (1 / 6)
DIFFERENCE2 = 2.0**10 * EPS ** (2 / 3)


def rounding(dtype=np.float64) -> float:
    """The relative tolerance for two results of this dtype that differ only by rounding."""
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
    """The directional derivative of an array function, by five-point central differences."""
    at, step = _along(function, args, tangents, STEP)
    return (at(-2) - 8 * at(-1) + 8 * at(1) - at(2)) / (12 * step)


def second_difference(function, args, tangents):
    """The second directional derivative of an array function, by five-point central differences."""
    at, step = _along(function, args, tangents, STEP2)
    return (-at(-2) + 16 * at(-1) - 30 * at(0) + 16 * at(1) - at(2)) / (12 * step * step)


def _along(function, args, tangents, step):
    """(`function` at k steps along a direction, as a function of k; the step, which moves no element further)."""
    step = step / max([1.0, *[float(np.max(np.abs(t), initial=0.0)) for t in tangents]])
    return lambda k: function(*[a + k * step * t for a, t in zip(args, tangents, strict=True)]), step


def inner(left, right) -> float:
    """⟨left, right⟩ of two tuples of arrays, without conjugation, summed with `math.fsum`."""
    products = [np.ravel(np.asarray(a) * np.asarray(b)) for a, b in zip(left, right, strict=True)]
    flat = np.concatenate(products) if products else np.zeros(0)
    if flat.dtype.kind == "c":
        return complex(math.fsum(flat.real), math.fsum(flat.imag))
    return math.fsum(flat)
