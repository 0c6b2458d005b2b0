"""The derivative of a loss in one coordinate by five-point differences, as accurate as rounding and kinks allow.

A loss is given as an array of terms, whose differences are summed exactly to reduce rounding error. The stencil is in
`minigrad.checks`; this file chooses its step and estimates the rounding error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.checks import Difference, decisions
from minigrad.checks.stencil import extrapolate, has_kink
from minigrad.core import tree

EPS = float(np.finfo(np.float64).eps)
STEPS = (*(2.0**-k for k in range(10, 24)), *(2.0**-k for k in (8, 6, 4, 2)))  # 1e-3 to 1e-7, then 4e-3 to 1/4
UNKNOWN = Difference(math.nan, math.inf, True)
NO_TERMS = np.zeros(0)


def differentiate(
    terms: Callable[[float], Any],
    start: tuple[np.ndarray, bytes],
    rounding: float,
    accurate: float,
    unit: float,
) -> tuple[Difference, int]:
    """The derivative of the sum of `terms(t)` at 0, or UNKNOWN if every step crosses a kink; and the number that do.

    `start` is terms(0) with its decisions. STEPS are tried in order, and the first one with an error of at most
    `accurate` is used, else the one with the smallest error; the stencil reaches 2·step·`unit`. Small steps avoid
    kinks and suit functions that change fast, large ones suit differences that rounding would dominate. `rounding` is
    the standard deviation of the rounding error of the sum; ten times that is added to the error.
    """
    at = cache(lambda t: start if t == 0 else decisions(terms, t))
    best, kinks, widest = UNKNOWN, 0, math.inf
    for step in (unit * s / 2 for s in STEPS):
        if step > widest or 10 * rounding / step >= best.error:
            continue
        if has_kink(at, step):
            kinks, widest = kinks + 1, step
            continue
        found = extrapolate(at, step, add_exactly, 10 * rounding)
        if found.error < best.error:
            best = found
        if found.error <= accurate:
            break
    return best, kinks


def add_exactly(weights: Sequence[int], values: Sequence[np.ndarray]) -> float:
    """Σ weight·value over all entries, rounded once if the weights have few bits; NaN if the sum is undefined."""
    try:
        return math.fsum(np.concatenate([w * v for w, v in zip(weights, values, strict=True)]))
    except (ValueError, OverflowError):  # ∞ − ∞, or beyond the largest number
        return math.nan


def measure_rounding(
    terms: Callable, parameters: Any, key: Any, dependent: np.ndarray = NO_TERMS, draws: int = 15
) -> float:
    """The standard deviation of the rounding error in the sum of terms(parameters) under small moves of the parameters.

    The fourth difference f(−2h) − 4f(−h) + 6f(0) − 4f(h) + f(2h) of a smooth function is h⁴f⁗, which is negligible for
    moves of about 1e-7 of an entry's size, so what remains is √70 times the rounding error of one value. Directions
    that cross a kink are skipped. The result is at least the error of rounding each of the `dependent` terms once,
    which differences do not show if the move is too small to change the terms.
    """
    leaves, structure = tree.flatten(parameters)
    errors = []
    for k in mg.random.split(key, draws):
        moves = [
            1e-7 * max(1.0, float(np.max(np.abs(x)))) * mg.random.normal(one, x.shape, np.float64)
            for one, x in zip(mg.random.split(k, len(leaves)), leaves)
        ]
        moved = (tree.unflatten(structure, [x + t * d for x, d in zip(leaves, moves)]) for t in range(-2, 3))
        values, sides = zip(*(decisions(terms, p) for p in moved))
        if len(set(sides)) == 1:
            errors.append(add_exactly((1, -4, 6, -4, 1), values))
    once = EPS / math.sqrt(12) * float(np.linalg.norm(dependent))
    return max(once, float(np.sqrt(np.mean(np.square(errors)) / 70)) if errors else 0.0)
