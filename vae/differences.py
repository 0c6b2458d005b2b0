"""The derivative of a loss in one coordinate by five-point differences, as accurate as rounding and kinks allow.

A loss is given as the array of its terms: differences are taken of the exact sum of all of them, to lose less to
rounding. The stencil is that of `minigrad.checks`; here are the choice of its step, and what rounding amounts to.
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
NOTHING = np.zeros(0)


def differentiate(
    terms: Callable[[float], Any],
    start: tuple[np.ndarray, bytes],
    rounding: float,
    accurate: float,
    unit: float,
) -> tuple[Difference, int]:
    """The derivative of the sum of `terms(t)` at 0, and how many steps crossed a kink; UNKNOWN if every step does.

    `start` is terms(0) with its decisions. The stencil reaches twice as far as each of STEPS, in units of `unit`. The
    first step whose error is at most `accurate` is taken, else the best one. Smaller steps are for kinks, and for
    functions that change fast; larger ones for differences that rounding would dominate. `rounding` is the standard
    deviation of the rounding error of the sum, of which ten times as much is counted.
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
    """Σ weight·value over all entries, rounded once for weights of few bits; NaN where there is no sum."""
    try:
        return math.fsum(np.concatenate([w * v for w, v in zip(weights, values, strict=True)]))
    except (ValueError, OverflowError):  # ∞ − ∞, or beyond the largest number
        return math.nan


def measure_rounding(
    terms: Callable, parameters: Any, key: Any, depending: np.ndarray = NOTHING, draws: int = 15
) -> float:
    """The standard deviation of the rounding error of the sum of terms(parameters) as these parameters move.

    The fourth difference f(−2h) − 4f(−h) + 6f(0) − 4f(h) + f(2h) of a smooth function is h⁴f⁗, which is negligible for
    moves of about 1e-7 of an entry's size, so what remains is √70 times the rounding error of one value. Directions
    that cross a kink are skipped. The result is at least the error of rounding the terms `depending` on the parameters
    once, which does not show up in differences if those terms are too large to change.
    """
    leaves, structure = tree.flatten(parameters)
    left = []
    for k in mg.random.split(key, draws):
        moves = [
            1e-7 * max(1.0, float(np.max(np.abs(x)))) * mg.random.normal(one, x.shape, np.float64)
            for one, x in zip(mg.random.split(k, len(leaves)), leaves)
        ]
        moved = (tree.unflatten(structure, [x + t * d for x, d in zip(leaves, moves)]) for t in range(-2, 3))
        values, sides = zip(*(decisions(terms, p) for p in moved))
        if len(set(sides)) == 1:
            left.append(add_exactly((1, -4, 6, -4, 1), values))
    once = EPS / math.sqrt(12) * float(np.linalg.norm(depending))
    return max(once, float(np.sqrt(np.mean(np.square(left)) / 70)) if left else 0.0)
