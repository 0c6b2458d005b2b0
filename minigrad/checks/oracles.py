"""Oracles: independent computations of derivatives, and relations that derivatives must satisfy.

| oracle | needs | misses |
|---|---|---|
| `five_point`, `differences` | values of f | errors smaller than its own |
| `complex_step` | a holomorphic NumPy formula | nothing |
| `adjoint_gap` | both modes | a mistake that both modes share |
| `taylor_slopes` | values and forward mode | mistakes in reverse mode |
| `second_order_gap` | every combination of two modes | a mistake that all share |
| `float32_ulps` | the same computation in float64 | formulas that are wrong in both dtypes |

They are therefore used together. Errors are relative to the largest entry, or to the root of a sum of squares, so that
tolerances do not grow with the number of entries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad import random
from minigrad.checks.kinks import flatten_numbers, to_host
from minigrad.checks.stencil import Difference, five_point
from minigrad.core import tree
from minigrad.core.arrays import describe, dtype_of, shape_of
from minigrad.core.errors import OperandTypeError
from minigrad.core.interpreter import current, find_backend
from minigrad.core.leaves import check_inexact
from minigrad.core.transforms import jvp, vjp

EPS = float(np.finfo(np.float64).eps)


# Derivatives from values


def differences(
    f: Callable[..., Any], args: tuple[Any, ...], tangents: tuple[Any, ...], enough: float = 1e-9
) -> Difference | None:
    """The derivative of f at float64 `args` along `tangents` by `five_point`, with the best of nine steps.

    The first step is max(1, largest |argument|)·ε^(1/7), where truncation, O(h⁶), and rounding, ε/h, are about equal;
    smaller steps suit functions that change faster. A step whose estimated relative error is below `enough` is the last
    that is tried. Returns None if every step crosses a kink.
    """
    sizes = [float(np.max(np.abs(to_host(leaf)), initial=0.0)) for leaf in tree.flatten(args)[0]]
    first = max([1.0, *sizes]) * EPS ** (1 / 7)

    best, smallest = None, math.inf
    with np.errstate(all="ignore"):  # a large step may leave the domain of f
        for halvings in range(0, 27, 3):
            found = five_point(lambda t: f(*_move(args, tangents, t)), first / 2**halvings)
            values, errors = tree.flatten(found.value)[0], tree.flatten(found.error)[0]
            worst = max([_relative(e, d) for e, d in zip(errors, values)], default=0.0)
            if not found.kink and worst < smallest:
                best, smallest = found, worst
            if smallest < enough:
                break
    return best


def _move(args: Any, tangents: Any, t: float) -> Any:
    """args + t·tangents, wrapped for the interpreter that `decisions` has entered."""
    watch = current()
    return tree.map(lambda x, direction: watch.lift(x + t * direction), args, tangents)


def _relative(error: np.ndarray, value: np.ndarray) -> float:
    return float(np.max(error, initial=0.0)) / (float(np.max(np.abs(value), initial=0.0)) or 1.0)


def complex_step(
    formula: Callable[..., Any], args: Sequence[Any], tangents: Sequence[Any], step: float = 1e-20
) -> np.ndarray:
    """The derivative of a holomorphic NumPy formula along tangents, exact up to rounding: nothing is subtracted.

    f(x + i·h·v) = f(x) + i·h·Df(x)·v + O(h²), so for h = 1e-20 the imaginary part over h is the derivative (Squire and
    Trapp 1998). `formula` is plain NumPy, without abs, conj or comparisons of complex numbers.
    """
    return np.imag(formula(*[a + 1j * step * t for a, t in zip(args, tangents, strict=True)])) / step


# Relations between derivatives


def adjoint_gap(f: Callable[..., Any], args: tuple[Any, ...], seed: int = 0) -> float:
    """|⟨Jv, u⟩ − ⟨v, Jᵀu⟩| relative to the larger of the two, for random v and u; it needs no step size.

    Real arguments and results only.
    """
    y, pullback = vjp(f, *args)
    for leaf in tree.flatten((args, y))[0]:
        check_real(leaf)
    v, u = (random_like(like, k) for like, k in zip((args, y), random.split(random.key(seed), 2)))
    left, right = inner(jvp(f, args, v)[1], u), inner(v, pullback(u))
    return abs(left - right) / (max(abs(left), abs(right)) or 1.0)


def taylor_slopes(
    f: Callable[..., Any], args: tuple[Any, ...], tangents: tuple[Any, ...], first: float = 2.0**-7
) -> tuple[float, float]:
    """Convergence orders of the first and second Taylor remainder: the powers of the step with which they fall.

    r₁(h) = ‖f(x+hv) − f(x) − h·Df[v]‖ falls with h², and r₂, which also subtracts h²/2·D²f[v, v], with h³; with a wrong
    derivative they fall with h and h². The order is ∞ if a remainder is only rounding, so that the expansion is exact.
    """

    def slope_at(*x: Any) -> Any:
        return jvp(f, x, tangents)[1]

    y, slope = jvp(f, args, tangents)
    bend = jvp(slope_at, args, tangents)[1]
    y, slope, bend = (flatten_numbers(part) for part in (y, slope, bend))
    steps = first / 2.0 ** np.arange(6)
    remainders = np.zeros((2, len(steps)))
    for i, h in enumerate(steps):
        rest = flatten_numbers(f(*tree.map(lambda x, v, h=h: x + h * v, args, tangents))) - y - h * slope
        remainders[:, i] = np.linalg.norm(rest), np.linalg.norm(rest - h * h / 2 * bend)
    rounding = 2.0**8 * EPS * max(1.0, float(np.linalg.norm(y)))
    return tuple(_slope(steps[r > rounding], r[r > rounding]) for r in remainders)


def _slope(steps: np.ndarray, remainders: np.ndarray) -> float:
    """The power p in remainders ∝ h^p, by least squares; ∞ if there are fewer than two."""
    if len(steps) < 2:
        return math.inf
    return float(np.polyfit(np.log(steps), np.log(remainders), 1)[0])


def second_order_gap(f: Callable[..., Any], args: tuple[Any, ...], seed: int = 0) -> float:
    """The largest difference between ⟨u, D²f[v, w]⟩ by every combination of two modes, and with v and w exchanged.

    Forward over reverse, reverse over reverse and reverse over forward give the Hessian of ⟨u, f⟩ times w; forward over
    forward gives the number itself. All are equal, and symmetric in v and w (Schwarz). The difference is relative to
    the root of the sum of the squared terms, or to 1 if that is larger.
    """
    v, w = (random_like(args, k) for k in random.split(random.key(seed), 2))
    u = random_like(f(*args), random.fold_in(random.key(seed), 2))

    def gradient(*x):
        return vjp(f, *x)[1](u)

    def along(direction):
        return lambda *x: jvp(f, x, direction)[1]

    hw, hv = jvp(gradient, args, w)[1], jvp(gradient, args, v)[1]
    numbers = [
        (v, hw),  # forward over reverse
        (w, hv),
        (v, vjp(gradient, *args)[1](w)),  # reverse over reverse: the Hessian is its own transpose
        (v, vjp(along(w), *args)[1](u)),  # reverse over forward
        (u, jvp(along(w), args, v)[1]),  # forward over forward
    ]
    values = [inner(a, b) for a, b in numbers]
    size = max(root_of_squares(a, b) for a, b in numbers)
    return (max(values) - min(values)) / max(1.0, size)


def float32_ulps(f: Callable[..., Any], args: tuple[Any, ...], seed: int = 0) -> float:
    """The largest error of values, tangents and gradients in float32, in units of float32's ε times the largest entry.

    The reference is the same computation in float64 at the same (rounded) arguments, tangents and cotangents.
    """
    low = tree.map(_cast_to(np.float32), args)
    v = random_like(low, random.key(seed))
    wide, wide_v = (tree.map(_cast_to(np.float64), x) for x in (low, v))
    u = random_like(f(*low), random.key(seed + 1))
    found = (*jvp(f, low, v), vjp(f, *low)[1](u))
    truth = (*jvp(f, wide, wide_v), vjp(f, *wide)[1](tree.map(_cast_to(np.float64), u)))
    worst = 0.0
    for a, b in zip(found, truth, strict=True):
        for x, t in zip(tree.flatten(a)[0], tree.flatten(b)[0], strict=True):
            size = max(1.0, float(np.max(np.abs(to_host(t)), initial=0.0)))
            error = float(np.max(np.abs(to_host(x).astype(np.float64) - to_host(t)), initial=0.0))
            worst = max(worst, error / size / float(np.finfo(np.float32).eps))
    return worst


# Trees of numbers


def _cast_to(dtype: Any) -> Callable:
    return lambda x: find_backend(x).xp.asarray(x, dtype=dtype)


def random_like(values: Any, key: Any) -> Any:
    """Normally distributed numbers with the structure, shapes, dtypes and devices of a tree."""
    leaves, structure = tree.flatten(values)
    drawn = []
    for k, leaf in zip(random.split(key, max(1, len(leaves))), leaves):
        draw, backend = random.normal(k, shape_of(leaf), np.float64).astype(dtype_of(leaf)), find_backend(leaf)
        drawn.append(backend.from_host(draw) if draw.ndim or isinstance(leaf, backend.array_type) else draw[()])
    return tree.unflatten(structure, drawn)


def inner(a: Any, b: Any) -> float:
    """⟨a, b⟩ of two trees of the same structure, with a correctly rounded sum."""
    return add_up(flatten_numbers(a) * flatten_numbers(b))


def add_up(numbers: np.ndarray) -> float:
    """The correctly rounded sum."""
    return math.fsum(numbers) if np.all(np.isfinite(numbers)) else float(np.sum(numbers))


def root_of_squares(a: Any, b: Any) -> float:
    """√Σ(aᵢbᵢ)²: the scale of the rounding error of ⟨a, b⟩, whose terms are rounded independently."""
    return float(np.linalg.norm(flatten_numbers(a) * flatten_numbers(b)))


def check_real(leaf: Any) -> None:
    """Raise TypeError unless the leaf has real floating-point numbers."""
    check_inexact(leaf, "check_grads")
    if dtype_of(leaf).kind == "c":
        raise OperandTypeError(f"check_grads: real numbers only, got {describe(leaf)}")
