"""Oracles: derivatives, and relations between them, that use no rule."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigrad import random, tree
from minigrad.checks.kinks import decisions, host
from minigrad.core import OperandTypeError, backend_beside, describe, dtype_of, shape_of
from minigrad.transforms import check_inexact, jvp, vjp

STENCIL = (-2.0, -1.0, 1.0, 2.0)
WEIGHTS = (1 / 12, -8 / 12, 8 / 12, -1 / 12)


class Difference(NamedTuple):
    """A five-point derivative, an estimate of its own error, and whether a kink lies inside the stencil."""

    value: Any
    error: Any
    kink: bool


def five_point(f: Callable[[float], Any], step: float) -> Difference:
    """d f(t)/dt at 0 for an f with values in arrays (or trees of them), by five-point differences, once extrapolated.

    D(h) = (f(−2h) − 8f(−h) + 8f(h) − f(2h)) / 12h has error O(h⁴), so (16·D(h) − D(2h))/15 has O(h⁶) (Abramowitz and
    Stegun 25.3.6; Richardson 1911). The error is estimated by how far the extrapolation moved, plus rounding.
    """
    points = sorted({scale * s for scale in (1.0, 2.0) for s in STENCIL})
    evaluated = {t: decisions(f, t * step) for t in (0.0, *points)}
    kink = len({decision for _, decision in evaluated.values()}) > 1

    def at(scale: float, *values: np.ndarray) -> np.ndarray:
        known = dict(zip(points, values))
        return sum(w * known[scale * s] for s, w in zip(STENCIL, WEIGHTS, strict=True)) / (scale * step)

    def value(*values: np.ndarray) -> np.ndarray:
        return (16 * at(1.0, *values) - at(2.0, *values)) / 15

    def error(*values: np.ndarray) -> np.ndarray:
        rounding = 2 * np.finfo(np.float64).eps * np.max([np.abs(v) for v in values], axis=0) / step
        return np.abs(value(*values) - at(1.0, *values)) / 15 + rounding

    trees = [evaluated[t][0] for t in points]
    return Difference(tree.map(value, *trees), tree.map(error, *trees), kink)


def adjoint_gap(f: Callable, args: tuple, seed: int = 0) -> float:
    """|⟨Jv, u⟩ − ⟨v, Jᵀu⟩| relative to the larger of the two, for random v and u: no step size, no truncation.

    Real arguments and results only.
    """
    y, pullback = vjp(f, *args)
    for leaf in tree.flatten((args, y))[0]:
        check_real(leaf)
    v, u = (random_like(like, k) for like, k in zip((args, y), random.split(random.key(seed), 2)))
    left, right = inner(jvp(f, args, v)[1], u), inner(v, pullback(u))
    return abs(left - right) / (max(abs(left), abs(right)) or 1.0)


def random_like(values: Any, key: Any) -> Any:
    """Normal numbers in the structure, shapes, dtypes and devices of a tree."""
    leaves, structure = tree.flatten(values)
    made = []
    for k, leaf in zip(random.split(key, max(1, len(leaves))), leaves):
        draw = random.normal(k, shape_of(leaf), np.float64).astype(dtype_of(leaf))
        made.append(backend_beside(leaf).from_host(draw) if draw.ndim else draw[()])
    return tree.unflatten(structure, made)


def inner(a: Any, b: Any) -> float:
    """⟨a, b⟩ of two trees of one structure."""
    pairs = zip(tree.flatten(a)[0], tree.flatten(b)[0], strict=True)
    return math.fsum(float(np.sum(host(x).astype(np.float64) * host(y))) for x, y in pairs)


def check_real(leaf: Any) -> None:
    """Raise TypeError for anything but real floating numbers."""
    check_inexact(leaf, "check_grads")
    if dtype_of(leaf).kind == "c":
        raise OperandTypeError(f"check_grads: real numbers only, got {describe(leaf)}")
