"""A derivative from values alone: the five-point stencil, extrapolated once, with an estimate of its own error.

    D(h) = (f(−2h) − 8f(−h) + 8f(h) − f(2h)) / 12h        has error O(h⁴) (Abramowitz and Stegun 25.3.6),
    (16·D(h) − D(2h)) / 15                                has error O(h⁶) (Richardson 1911).

The error estimate adds the change made by the extrapolation and the effect of rounding in the values: the root of the
sum of the squared weights is 1.02/h, so an error δ of each value becomes about δ/h.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from minigrad.checks.kinks import decisions
from minigrad.core import tree

EPS = float(np.finfo(np.float64).eps)
STENCIL = ((-2, 1), (-1, -8), (1, 8), (2, -1))  # (multiple of h, weight of 12h·D(h))
POINTS = (-4, 4, -2, 2, -1, 1)  # multiples of h, the outermost first, as they detect a kink soonest


class Difference(NamedTuple):
    """A five-point derivative, an estimate of its own error, and whether a kink lies inside the stencil."""

    value: Any
    error: Any
    kink: bool


def five_point(f: Callable[[float], Any], step: float) -> Difference:
    """df(t)/dt at 0 with h = `step`; f returns an array or a tree of arrays."""
    at = cache(lambda t: decisions(f, t))
    return extrapolate(at, step)._replace(kink=has_kink(at, step))


def has_kink(at: Callable[[float], tuple[Any, bytes]], step: float) -> bool:
    """Whether a kink lies between 0 and a point of the stencil; `at(t)` returns f(t) and a digest, like `decisions`."""
    here = at(0.0)[1]
    return any(at(k * step)[1] != here for k in POINTS)


def add_weighted(weights: Sequence[int], values: Sequence[np.ndarray]) -> np.ndarray:
    """Σ weight·value, entry by entry."""
    return sum(w * v for w, v in zip(weights, values, strict=True))


def extrapolate(
    at: Callable[[float], tuple[Any, bytes]],
    step: float,
    add: Callable[[Sequence[int], Sequence[np.ndarray]], Any] = add_weighted,
    rounding: float | None = None,
) -> Difference:
    """The derivative of a function without a kink in the stencil; `at` is as in `has_kink`.

    `add(weights, values)` computes a weighted sum of leaves. `rounding` is the error of each value, by default 2ε times
    the largest.
    """
    structure = tree.flatten(at(step)[0])[1]
    points = {k: tree.leaves_like(structure, at(k * step)[0]) for k in POINTS}
    values, errors = [], []
    for leaf in range(len(points[1])):
        near, far = (
            add([w for _, w in STENCIL], [points[scale * k][leaf] for k, _ in STENCIL]) / (12 * scale * step)
            for scale in (1, 2)
        )
        noise = 2 * EPS * np.max([np.abs(points[k][leaf]) for k in POINTS], axis=0) if rounding is None else rounding
        values.append((16 * near - far) / 15)
        errors.append(np.abs(values[-1] - near) / 15 + noise / step)
    return Difference(tree.unflatten(structure, values), tree.unflatten(structure, errors), False)
