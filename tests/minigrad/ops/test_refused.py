"""minigrad/ops/refused.py: each function that is not offered raises for traced values, with its advice."""

from __future__ import annotations

from operator import attrgetter

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import Tracer
from minigrad.ops.refused import NO_ARRAY_FUNCTION, NO_DERIVATIVE, REFUSED, advise

SQUARE = np.array([[2.0, 0.5], [0.5, 1.0]])
SEVERAL = "float_power heaviside ldexp polyval".split()
DISPATCHED = [*SEVERAL, *"diagflat fix modf unique vander linalg.cond".split()]


@pytest.mark.parametrize("name", DISPATCHED)
def test_a_refused_function_gives_advice(name):
    function = attrgetter(name)(np)
    with pytest.raises(TypeError) as raised:
        mg.grad(lambda x: mg.sum(function(x, x) if name in SEVERAL else function(x)))(SQUARE)
    assert f"{name} is not supported for traced values: use {REFUSED[name]}" in str(raised.value)


def test_numpy_computes_what_has_no_derivative_from_plain_arrays():
    x, seen = np.array([[2.0, 0.5], [0.5, -1.0]]), []

    def f(x):
        seen.extend([np.allclose(x, x + 1), np.isclose(x, 0.5), np.isneginf(x), np.digitize(x, [0.0, 1.0])])
        return mg.sum(x[np.lexsort((x[:, 1], x[:, 0]))][0])

    assert mg.grad(f)(x).tolist() == [[0, 0], [1, 1]]
    expected = [False, np.isclose(x, 0.5), np.isneginf(x), np.digitize(x, [0.0, 1.0])]
    assert all(map(np.array_equal, seen, expected)) and not any(isinstance(y, Tracer) for y in seen)
    with pytest.raises(mg.CaptureError, match=r"np.isclose\(x\) of a value made by"):
        mg.jit(lambda x: mg.exp(x) * np.isclose(mg.exp(x), 0.5))(x)


def test_the_lists_do_not_overlap():
    assert not REFUSED.keys() & NO_DERIVATIVE and not REFUSED.keys() & NO_ARRAY_FUNCTION
    assert not NO_DERIVATIVE & NO_ARRAY_FUNCTION
    assert advise("no_such_function") == "" and advise("fix") == ": use mg.trunc"


X, P = np.array([0.3, -1.2, 2.0]), np.array([2.0, -1.0, 0.5])
ALTERNATIVES = {
    "heaviside": (lambda: np.heaviside(X, P), lambda: mg.where(X == 0, P, 1.0 * (X > 0))),
    "vander": (lambda: np.vander(X), lambda: X[:, None] ** np.array([2, 1, 0])),
    "nanargmax": (lambda: np.nanargmax(X), lambda: mg.argmax(mg.where(mg.isnan(X), -np.inf, X))),
    "polyval": (lambda: np.polyval(P, X), lambda: mg.sum(P * X[..., None] ** np.arange(3)[::-1], -1)),
    "polymul": (lambda: np.polymul(P, X), lambda: mg.convolve(P, X)),
    "polyder": (lambda: np.polyder(P), lambda: P[:-1] * np.arange(2, 0, -1)),
    "polyint": (lambda: np.polyint(P), lambda: mg.append(P / np.arange(3, 0, -1), 0)),
    "linalg.cond": (lambda: np.linalg.cond(SQUARE, "fro"), lambda: mg.norm(SQUARE) * mg.norm(mg.inv(SQUARE))),
}


@pytest.mark.parametrize("name", ALTERNATIVES)
def test_the_advice_computes_the_same(name):
    theirs, ours = ALTERNATIVES[name]
    np.testing.assert_allclose(ours(), theirs(), rtol=1e-13)
