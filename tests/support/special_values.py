"""Derivatives at special values from hundreds of digits: where an argument is 0, subnormal, huge, infinite, or a kink.

Nothing here uses the engine, nor float64. A formula is evaluated a tiny step from a point on either side of it, and a
much tinier one further; the quotient of the differences is its slope there, and two distances tell where that slope
tends: to a number, to ±∞, or nowhere. What an infinite argument tends to is seen at 10⁴⁰⁰ and 10⁸⁰⁰.

At a smooth point the two sides agree. At a kink the Clarke subdifferential of a function of one number lies between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

import mpmath as mp
import numpy as np

from tests.support.oracles import rounding

DIGITS = 250  # beyond what the sizes of the arguments take
NEAR = (mp.mpf(10) ** -25, mp.mpf(10) ** -65)  # how close, relative to an argument below 1
ZERO = mp.mpf(10) ** -330  # what 0 counts as for that: below any other float
STEP = mp.mpf(10) ** -25  # of a difference quotient, relative to the distance
FAR = (mp.mpf(10) ** 400, mp.mpf(10) ** 800)  # what stands for ∞
SAME, APART = mp.mpf(10) ** -17, mp.mpf(10) ** 17  # when two slopes are one, and when one grows without bound


def exp(x):
    """eˣ, and 0 below what any digits here could show. (mpmath multiplies e by itself where x is an integer.)"""
    return mp.exp(x / 3) ** 3 if x > -1e5 else mp.mpf(0)


def sigmoid(x):
    return 1 / (1 + exp(-x)) if x > 0 else exp(x) / (1 + exp(x))


def softplus(x):
    return max(x, 0) + mp.log1p(exp(-abs(x)))


def gelu(x):
    return x * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3))) / 2


ONE: dict[str, Callable] = {
    "negative": lambda x: -x,
    "reciprocal": lambda x: 1 / x,
    "square": lambda x: x * x,
    "sqrt": mp.sqrt,
    "exp": exp,
    "expm1": lambda x: mp.expm1(x) if abs(x) < 1 else exp(x) - 1,
    "log": mp.log,
    "log1p": mp.log1p,
    "log2": lambda x: mp.log(x) / mp.log(2),
    "sin": mp.sin,
    "cos": mp.cos,
    "tan": mp.tan,
    "arcsin": mp.asin,
    "arccos": mp.acos,
    "arctan": mp.atan,
    "sinh": lambda x: mp.sinh(x) if abs(x) < 1 else (exp(x) - exp(-x)) / 2,
    "cosh": lambda x: (exp(x) + exp(-x)) / 2,
    "tanh": mp.tanh,
    "sigmoid": sigmoid,
    "softplus": softplus,
    "log_sigmoid": lambda x: -softplus(-x),
    "gelu": gelu,
    "erf": mp.erf,
    "absolute": abs,
    "relu": lambda x: max(x, 0),
    "leaky_relu": lambda x: x if x > 0 else x / 100,
    "elu": lambda x: x if x > 0 else exp(x) - 1,
}
TWO: dict[str, Callable] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "power": mp.power,
    "logaddexp": lambda x, y: max(x, y) + softplus(-abs(x - y)),
    "hypot": mp.hypot,
    "arctan2": mp.atan2,
    "maximum": max,
    "minimum": min,
}
THREE: dict[str, Callable] = {
    "clip": lambda x, low, high: min(max(x, low), high),
    "gaussian_sample": lambda mean, log_std, noise: mean + exp(log_std) * noise,
}
ELEMENTWISE = ONE | TWO | THREE


def mean(*x):
    return sum(x) / len(x)


def var(*x):
    return mean(*[(v - mean(*x)) ** 2 for v in x])


def logsumexp(*x):
    return max(x) + mp.log(sum(exp(v - max(x)) for v in x))


REDUCTIONS: dict[str, Callable] = {
    "sum": lambda *x: sum(x),
    "mean": mean,
    "prod": lambda *x: mp.fprod(x),
    "max": lambda *x: max(x),
    "min": lambda *x: min(x),
    "logsumexp": logsumexp,
    "var": var,
    "std": lambda *x: mp.sqrt(var(*x)),
    "norm": lambda *x: mp.sqrt(sum(v * v for v in x)),
}
VECTORS: dict[str, Callable] = {  # their component k
    "softmax": lambda k, *x: exp(x[k] - max(x)) / sum(exp(v - max(x)) for v in x),
    "log_softmax": lambda k, *x: x[k] - logsumexp(*x),
    "cumsum": lambda k, *x: sum(x[: k + 1]),
    "cumprod": lambda k, *x: mp.fprod(x[: k + 1]),
    "sort": lambda k, *x: sorted(x)[k],
}
NUMPYS = (
    "sum",
    "mean",
    "prod",
    "max",
    "min",
    "var",
    "std",
    "cumsum",
    "cumprod",
    "sort",
)  # values are its own, to the bit


@cache
def component(name: str, k: int) -> Callable:
    """The k-th component of a function of vectors, as a function of numbers."""
    return REDUCTIONS[name] if name in REDUCTIONS else lambda *x: VECTORS[name](k, *x)


# Limits


def value(formula: Callable, args: Sequence[float]):
    """formula(*args) in many digits, or its limit where an argument is infinite; None if none, or not real."""
    with _digits(args):
        return _limit([_real(formula, [_stand_in(a, k) for a in args]) for k in range(2)])


def slopes(formula: Callable, args: Sequence[float], i: int) -> tuple:
    """The limits of ∂formula/∂argsᵢ from either side, as far as there are any."""
    return _slopes(formula, tuple(float(a).hex() for a in args), i)


@cache  # by hexadecimal digits, in which 0 and −0 differ
def _slopes(formula: Callable, args: tuple[str, ...], i: int) -> tuple:
    args = [float.fromhex(a) for a in args]
    sides = (-1, 1) if math.isfinite(args[i]) else (1,)
    with _digits(args):
        found = [_limit([_slope(formula, args, i, side, k) for k in range(2)]) for side in sides]
        if found == [None] * len(sides):  # perhaps a pole in another argument that is ±0
            found = [_limit([_slope(formula, args, i, side, k, poles=True) for k in range(2)]) for side in sides]
    return tuple(s for s in found if s is not None)


def _digits(args):
    sizes = [800 if math.isinf(a) else abs(math.log10(abs(a)) if a else 330) for a in args]
    return mp.workdps(DIGITS + int(1.7 * max(sizes)))


def _stand_in(a: float, k: int, pole: bool = False):
    """The k-th number on the way to an infinite a; any other a as it is, but ±0 on its side of a pole."""
    if math.isinf(a):
        return math.copysign(1, a) * FAR[k]
    return math.copysign(1, a) * ZERO * NEAR[k] if pole and a == 0 else mp.mpf(a)


def _slope(formula, args, i, side, k, poles=False):
    """The slope near argsᵢ, or None where the formula is not real."""
    at = [_stand_in(a, k, poles and j != i) for j, a in enumerate(args)]
    near = 1 if math.isinf(args[i]) else side * NEAR[k] * (min(abs(at[i]), 1) or ZERO)
    here = at[i] if math.isinf(args[i]) else at[i] + near
    there = here + near * STEP
    low, high = (_real(formula, [*at[:i], x, *at[i + 1 :]]) for x in (here, there))
    return None if low is None or high is None else (high - low) / (there - here)


def _real(formula, args):
    try:
        y = formula(*args)
    except (ZeroDivisionError, ValueError):
        return None
    return None if isinstance(y, mp.mpc) or mp.isnan(y) else mp.mpf(y)


def _limit(two):
    """The limit of a sequence from two of its members."""
    first, second = two
    if first is None or second is None:
        return None
    if abs(second - first) <= SAME * abs(second):
        return second
    if abs(second) < abs(first) / APART:
        return mp.mpf(0)
    return mp.sign(second) * mp.inf if abs(second) > abs(first) * APART else None


# Comparisons of rounded results


def nearest(x, dtype):
    """The number of this dtype next to x, or ±∞."""
    with np.errstate(over="ignore"):
        return dtype.type(float(x))


def relative_error(y, truth):
    """How far off a rounded value is, which slopes are often made of."""
    return abs((mp.mpf(float(y)) - truth) / truth) if truth and mp.isfinite(truth) and np.isfinite(y) else 0


def check_ulps(y, truth, ulps, size, what) -> None:
    """The value is that of these digits, to some units in the last place of a number of this size."""
    if truth is not None and y != (expected := nearest(truth, y.dtype)):
        unit = mp.mpf(float(np.spacing(nearest(abs(size), y.dtype))))
        assert np.isfinite(y) and abs(mp.mpf(float(y)) - truth) <= ulps * unit, f"{what}: {y}, expected {expected}"


def check_same(first, second, what, size=0) -> None:
    """Two results are one number, to rounding of numbers of this size or their own; ±∞ and NaN alike."""
    if first != second and not (np.isnan(first) and np.isnan(second)):
        allowed = rounding(second.dtype) * max(abs(second), size, np.finfo(second.dtype).tiny)
        assert np.isfinite(second) and abs(first - second) <= allowed, f"{what}: {first} and {second}"


def check_slope(found, g, sides, what, error=0, size=0) -> None:
    """A product of g and a slope between those on either side, which are one but at a kink; ±∞ only if that is one.

    Off by rounding of numbers of this size, or of the product's own, and by what powers of a value off by `error` (up
    to the fourth) make of it.
    """
    if not sides:
        assert not np.isinf(found), f"{what}: {found}, but there is no limit"
        return
    slack, tiny = rounding(found.dtype) + 4 * error, float(np.finfo(found.dtype).tiny)
    bounds = sorted([side * float(g) for side in sides])
    for sign, bound in ((-1, bounds[0]), (1, bounds[-1])):
        around = 0 if mp.isinf(bound) else slack * max(abs(bound), size, tiny)
        edge = nearest(bound + sign * around, found.dtype)
        assert sign * found <= sign * edge, f"{what}: {found} for {g}, but slopes tend to {list(map(float, sides))}"
