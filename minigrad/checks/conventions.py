"""Derivatives at kinks and ties, computed by the code: each convention with functions that show it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad.core.interpreter import primitives
from minigrad.ops import CONVENTIONS

INF, NAN = math.inf, math.nan


class Convention(NamedTuple):
    """A function at a kink, and its derivative there, which is the same in both modes."""

    operations: str  # the row of `mg.CONVENTIONS`
    function: str
    at: str
    derivative: str
    convention: str


def _comparison(x: Any) -> Any:
    return 1.0 * (x > 1)


def _interpolate(x: Any) -> Any:
    return mg.interp(x, np.arange(3.0), np.array([0.0, 1.0, 5.0]))


EXAMPLES: dict[str, list[tuple[str, Callable, tuple]]] = {
    "abs, sign": [("abs(x)", mg.abs, (0.0,)), ("sign(x)", mg.sign, (0.0,))],
    "relu": [("relu(x)", mg.relu, (0.0,))],
    "leaky_relu, elu": [
        ("leaky_relu(x, 0.25)", lambda x: mg.leaky_relu(x, 0.25), (0.0,)),
        ("elu(x, 0.5)", lambda x: mg.elu(x, 0.5), (0.0,)),
    ],
    "maximum, minimum": [("maximum(x₁, x₂)", mg.maximum, (2.0, 2.0)), ("minimum(x₁, x₂)", mg.minimum, (2.0, 2.0))],
    "max, min": [("max(x)", mg.max, ([1.0, 3.0, 3.0],)), ("min(x)", mg.min, ([1.0, 3.0, 1.0, 1.0],))],
    "clip": [
        ("clip(x, low, high)", mg.clip, (1.0, 1.0, 2.0)),
        ("clip(x, low, high)", mg.clip, (2.0, 1.0, 2.0)),
        ("clip(x, low, high)", mg.clip, (0.0, 1.0, 2.0)),
    ],
    "where": [("where(True, x₁, x₂)", lambda a, b: mg.where(True, a, b), (1.0, NAN))],
    "fmax, fmin": [("fmax(x₁, x₂)", mg.fmax, (2.0, NAN)), ("fmin(x₁, x₂)", mg.fmin, (2.0, 2.0))],
    "nanmax, nansum, nan_to_num": [
        ("nanmax(x)", mg.nanmax, ([1.0, NAN, 3.0],)),
        ("nansum(x)", mg.nansum, ([1.0, NAN, 3.0],)),
        ("nan_to_num(x)", mg.nan_to_num, (NAN,)),
    ],
    "sort, partition, median, quantile": [
        ("median(x)", mg.median, ([1.0, 3.0, 3.0, 3.0, 4.0],)),
        ("quantile([0, 1, 5], q)", lambda q: mg.quantile(np.array([0.0, 1.0, 5.0]), q), (0.5,)),
        ("sort(x)[0]", lambda x: mg.sort(x)[0], ([1.0, 1.0],)),
        ("sort(x)[1]", lambda x: mg.sort(x)[1], ([1.0, 1.0],)),
    ],
    "remainder, fmod": [
        ("remainder(x₁, x₂)", mg.remainder, (-6.0, 2.0)),
        ("fmod(x₁, x₂)", mg.fmod, (-5.0, 2.0)),
    ],
    "interp": [("interp(x, [0, 1, 2], [0, 1, 5])", _interpolate, (x,)) for x in (1.0, 2.0, 3.0)],
    "at set": [
        ("at(x)[[0, 0]].set(v)[0]", lambda x, v: mg.at(x)[[0, 0]].set(v)[0], ([1.0, 2.0], [3.0, 4.0])),
    ],
    "sqrt, cbrt": [("sqrt(x)", mg.sqrt, (0.0,)), ("cbrt(x)", mg.cbrt, (0.0,))],
    "power": [
        ("power(x₁, x₂)", mg.power, (0.0, 2.0)),
        ("power(x₁, x₂)", mg.power, (0.0, 1.0)),
        ("power(x₁, x₂)", mg.power, (0.0, 0.0)),
    ],
    "hypot, arctan2, norm, std": [
        ("hypot(x₁, x₂)", mg.hypot, (0.0, 0.0)),
        ("arctan2(x₁, x₂)", mg.arctan2, (0.0, 0.0)),
        ("norm(x)", mg.norm, ([0.0, 0.0],)),
        ("norm(x, 'nuc')", lambda x: mg.norm(x, "nuc"), ([[1.0, 0.0], [0.0, 0.0]],)),
        ("std(x)", mg.std, ([1.0, 1.0],)),
    ],
    "logaddexp, logsumexp": [
        ("logaddexp(x₁, x₂)", mg.logaddexp, (-INF, -INF)),
        ("logsumexp(x)", mg.logsumexp, ([-INF, -INF],)),
    ],
    "eigvalsh, svdvals": [
        ("sum(eigvalsh(x)²)", lambda x: mg.sum(mg.eigvalsh(x) ** 2), ([[3.0, 0.0], [0.0, 3.0]],)),
        ("prod(svdvals(x))", lambda x: mg.prod(mg.svdvals(x)), ([[3.0, 0.0], [0.0, 3.0]],)),
    ],
    "cholesky": [("sum(cholesky(x))", lambda x: mg.sum(mg.cholesky(x)), ([[4.0, 0.0], [0.0, 4.0]],))],
    "copysign": [("copysign(x₁, x₂)", mg.copysign, (x, -2.0)) for x in (0.0, -0.0)],
    "unique_values": [("sum(unique_values(x))", lambda x: mg.sum(mg.unique_values(x)), ([2.0, 1.0, 2.0],))],
    "nextafter": [("nextafter(x₁, x₂)", mg.nextafter, (1.5, 2.0))],
    "sign, signbit, floor, ceil, trunc, rint, step, comparisons": [
        ("floor(x)", mg.floor, (1.5,)),
        ("trunc(x)", mg.trunc, (1.5,)),
        ("ceil(x)", mg.ceil, (1.5,)),
        ("rint(x)", mg.rint, (1.5,)),
        ("step(x, 1)", lambda x: primitives["step"](x, 1.0), (1.5,)),
        ("1.0·(x > 1)", _comparison, (1.5,)),
    ],
}
"""Functions with a scalar result, by their row of `mg.CONVENTIONS`."""


def conventions() -> list[Convention]:
    """The rows of the table, computed. Raises AssertionError where forward and reverse mode differ."""
    rows = []
    for row, examples in EXAMPLES.items():
        for text, f, point in examples:
            args = tuple(np.asarray(x, np.float64) for x in point)
            gradients = derivative(f, args)
            shown = [", ".join(_format(x) for x in values) for values in (args, gradients)]
            rows.append(Convention(row, text, *shown, CONVENTIONS[row]))
    return rows


def derivative(f: Callable, args: tuple) -> list[np.ndarray]:
    """∂f/∂x for every argument x of a scalar function. Raises AssertionError where forward and reverse mode differ."""
    with np.errstate(divide="ignore"):
        reverse = [np.asarray(g) for g in mg.grad(f, tuple(range(len(args))))(*args)]
        for i, x in enumerate(args):
            forward = np.asarray(mg.jacobian(f, i, mode="forward")(*args)).reshape(x.shape)
            assert np.array_equal(forward, reverse[i]), f"forward mode gives {forward}, reverse mode {reverse[i]}"
    return reverse


def _format(x: np.ndarray) -> str:
    if x.ndim:
        return f"[{', '.join(map(_format, x))}]"
    return "nan" if np.isnan(x) else f"{float(x):.4g}".replace("inf", "∞").replace("-", "−")
