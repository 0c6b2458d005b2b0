"""Equivalent mutants: they change code but no derivative. Each is listed under its reason.

`*` matches any text. The report names entries that are wrong: mutants that a test kills, and patterns without a mutant.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from .mutants import Mutant

EQUIVALENT = {
    "the slope has every axis of the result, so its product with t is broadcast already": [
        *[f"{name}.* jvp: broadcast: not spread" for name in ("multiply", "divide", "power", "logaddexp", "hypot")],
        *[f"{name}.* jvp: broadcast: not spread" for name in ("arctan2", "maximum", "minimum", "clip")],
        "gaussian_sample.log_std jvp: broadcast: not spread",
    ],
    "gaussian_sample makes sure that the noise has the shape of the result": [
        "gaussian_sample.noise vjp: broadcast: *",
        "gaussian_sample.noise jvp: broadcast: *",
    ],
    "the slope is piecewise constant, so its own derivative is 0 anyway": [
        "relu.x *: frozen: y",
        "absolute.x *: frozen: x",
        "maximum.* *: frozen: x*",
        "minimum.* *: frozen: x*",
        "clip.* *: frozen: x",
        "clip.* *: frozen: low",
        "clip.* *: frozen: high",
        "max.x *: frozen: x",
        "max.x *: frozen: y",
        "min.x *: frozen: x",
        "min.x *: frozen: y",
    ],
    "only its shape is used": [
        "solve.x vjp: transposed: x",
        "solve.x vjp: frozen: x",
        "solve.x vjp: stale: x",
    ],
    "max(x, 0) > 0 if and only if x > 0": ["relu.x: operand: y → x"],
    "a clipped value differs from one bound only if the other bound applies": [
        "clip.x: operand: high → y",
        "clip.low: operand: low → y",
        "clip.low: operand: high → y",
        "clip.high: operand: high → y",
        "clip.high: operand: high → y (no. 2)",
    ],
    "it only keeps a factor finite that is then multiplied by 0 or masked": [
        "power.x1: constant: 1 → 1.001 (no. 2)",
        "power.x2: constant: 1 → 1.001",
        "functions._over_radius: constant: 1 → 1.001",
    ],
    "for a base of 0 the formula for arrays gives the same": ["power.x2: comparison: x1 >= 0 → x1 > 0"],
    "y is complex if x₂ is, or if x₁ is, whose logarithm is complex anyway": ["power.x2: operand: y → x2 (no. 3)"],
    "the number is multiplied by ln 1 = 0, so any finite one will do": ["power.x2: constant: 0 → 0.001"],
    "in NumPy a real number minus 0j has the imaginary part +0": ["power.x2: operator: base + 0j → base - 0j"],
    "the radius is symmetric": [
        "arctan2.x1: operand: _arctan2_slope(x2, x1, x2) → _arctan2_slope(x2, x2, x1)",
        "arctan2.x2: operand: _arctan2_slope(x1, x1, x2) → _arctan2_slope(x1, x2, x1)",
    ],
    "−∞ minus a finite number is −∞": [
        "activations._gap: constant: 0 → 0.001",
        "softmax._weights: constant: 0 → 0.001",
    ],
    "both branches give the same product; one is faster": [
        "linalg._left: comparison: x2.ndim > 2 → x2.ndim >= 2",
        "linalg._left: constant: 2 → 3 (no. 2)",
    ],
    "its conjugate transpose gives the same: Ȧ is Hermitian, and the caller adds the transpose of the result": [
        "inverses._solve_both_sides: call: mH(solve_p(l, mH(solve_p(l, a)))) → solve_p(l, mH(solve_p(l, a)))",
    ],
    "the number 1 broadcasts like ones": ["scan._multiply_others: term: zeros_like_p(x) + 1 → 1"],
    "it is multiplied by the zero before the first step": ["scan._run_adjoint: constant: 0 → 1"],
    "reverse mode casts every cotangent to the dtype of its value": [
        "astype.x: call: cast(g, x) → g",
        "astype.x: operand: x → y",
    ],
}


@functools.cache
def _pattern(text: str) -> re.Pattern:
    return re.compile(".*".join(map(re.escape, text.split("*"))))


def reason(mutant: Mutant) -> str | None:
    """Why a mutant is equivalent; None if it is not."""
    return _reason(mutant.name)


@functools.cache
def _reason(name: str) -> str | None:
    for why, patterns in EQUIVALENT.items():
        if any(_pattern(p).fullmatch(name) for p in patterns):
            return why
    return None


def unused_patterns(mutants: Sequence[Mutant]) -> list[str]:
    """Patterns that match none of these mutants."""
    names = [m.name for m in mutants]
    patterns = [p for listed in EQUIVALENT.values() for p in listed]
    return [p for p in patterns if not any(_pattern(p).fullmatch(name) for name in names)]
