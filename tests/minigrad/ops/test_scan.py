"""minigrad/ops/scan.py: gradients of cumprod whose partial products overflow or underflow."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg


def exact_cumprod_gradient(x: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Σ_k≥i g_k Π_{j≤k, j≠i} x_j in exact fractions."""
    from fractions import Fraction

    x, g = [Fraction(float(v)) for v in x], [Fraction(float(v)) for v in g]
    gradient = []
    for i in range(len(x)):
        total, product = Fraction(0), Fraction(1)
        for k, factor in enumerate(x):
            product *= 1 if k == i else factor
            total += g[k] * product if k >= i else 0
        gradient.append(float(total))
    return np.array(gradient)


@pytest.mark.parametrize(
    ("x", "g"),
    [
        ([1e-30, 1e20, 1e20, 1e20], [1, 1, 0, 0]),
        ([1e-200, 1e200, 1e100], [1, -2, 1]),
        ([1e-300, 0.0, 1e300, 2.0], [1, 1, -1, 1]),
        ([0.25] * 300 + [4.0] * 310, np.cos(np.arange(610))),
    ],
    ids=["float32's range", "float64's range", "a zero", "down and up"],
)
def test_cumprod_gradients_have_no_intermediate_overflow(x, g) -> None:
    x, g = np.array(x, float), np.array(g, float)
    expected = exact_cumprod_gradient(x, g)
    found = mg.vjp(mg.cumprod, x)[1](g)[0]
    np.testing.assert_allclose(found, expected, rtol=len(x) * 4 * np.finfo(float).eps, atol=1e-290)
