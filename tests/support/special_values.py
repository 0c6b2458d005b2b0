"""Derivatives at special values (0, subnormal, huge, infinite, kinks), computed with hundreds of digits in mpmath.

Nothing here uses the engine or float64. On each side of a point, at a tiny distance, a difference quotient with a much
smaller step gives the slope. Two such distances show whether the slope tends to a number, to ±∞, or to no limit. For an
infinite argument, 10⁴⁰⁰ and 10⁸⁰⁰ take the place of the distances.

At a smooth point the two sides agree. At a kink they bound the Clarke subdifferential of a function of one number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

import mpmath as mp
import numpy as np

from tests.support.oracles import rounding

DIGITS = 250  # on top of those that the magnitudes of the arguments need
NEAR = (mp.mpf(10) ** -25, mp.mpf(10) ** -65)  # the two distances, relative to an argument below 1
ZERO = mp.mpf(10) ** -330  # the size assumed for 0: below any other float
STEP = mp.mpf(10) ** -25  # step of the difference quotient, relative to the distance
FAR = (mp.mpf(10) ** 400, mp.mpf(10) ** 800)  # in place of ∞
SAME, APART = mp.mpf(10) ** -17, mp.mpf(10) ** 17  # when two slopes are equal, and when they diverge


def exp(x):
    """eˣ, and 0 below −1e5. x/3 avoids integers, for which mpmath would multiply e by itself."""
    return mp.exp(x / 3) ** 3 if x > -1e5 else mp.mpf(0)


def sigmoid(x):
    return 1 / (1 + exp(-x)) if x > 0 else exp(x) / (1 + exp(x))


def softplus(x):
    return max(x, 0) + mp.log1p(exp(-abs(x)))


def gelu(x):
    return x * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3))) / 2


def sinc(x):
    return mp.sin(mp.pi * x) / (mp.pi * x) if x else mp.mpf(1)


def remainder(x, y):
    return x - y * mp.floor(x / y)


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
    "log10": mp.log10,
    "exp2": lambda x: exp(x * mp.log(2)),
    "cbrt": lambda x: mp.sign(x) * mp.cbrt(abs(x)),
    "sin": mp.sin,
    "cos": mp.cos,
    "tan": mp.tan,
    "arcsin": mp.asin,
    "arccos": mp.acos,
    "arctan": mp.atan,
    "sinh": lambda x: mp.sinh(x) if abs(x) < 1 else (exp(x) - exp(-x)) / 2,
    "cosh": lambda x: (exp(x) + exp(-x)) / 2,
    "tanh": mp.tanh,
    "arcsinh": lambda x: mp.sign(x) * mp.asinh(abs(x)),
    "arccosh": lambda x: mp.acosh(x) if x >= 1 else mp.nan,
    "arctanh": lambda x: mp.atanh(x) if abs(x) <= 1 else mp.nan,
    "sinc": sinc,
    "fabs": abs,
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
    "fmax": max,
    "fmin": min,
    "remainder": remainder,
    "fmod": lambda x, y: mp.sign(x) * remainder(abs(x), abs(y)),
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
VECTORS: dict[str, Callable] = {  # component k of the result
    "softmax": lambda k, *x: exp(x[k] - max(x)) / sum(exp(v - max(x)) for v in x),
    "log_softmax": lambda k, *x: x[k] - logsumexp(*x),
    "cumsum": lambda k, *x: sum(x[: k + 1]),
    "cumprod": lambda k, *x: mp.fprod(x[: k + 1]),
    "sort": lambda k, *x: sorted(x)[k],
}
NUMPYS = tuple("sum mean prod max min var std cumsum cumprod sort".split())  # values equal NumPy's bit for bit


@cache
def component(name: str, k: int) -> Callable:
    """The k-th component of a function of vectors, as a function of scalars."""
    return REDUCTIONS[name] if name in REDUCTIONS else lambda *x: VECTORS[name](k, *x)


# Limits


def value(formula: Callable, args: Sequence[float]):
    """formula(*args) in many digits, or its limit for an infinite argument; None without a limit, or if not real."""
    return _value(formula, tuple(float(a).hex() for a in args))


@cache
def _value(formula: Callable, args: tuple[str, ...]):
    args = [float.fromhex(a) for a in args]
    with _digits(args):
        return _limit([_real(formula, [_stand_in(a, k) for a in args]) for k in range(2)])


def slopes(formula: Callable, args: Sequence[float], i: int) -> tuple:
    """The limits of ∂formula/∂argsᵢ from either side, those that exist."""
    return _slopes(formula, tuple(float(a).hex() for a in args), i)


@cache  # the hexadecimal text distinguishes 0 and −0
def _slopes(formula: Callable, args: tuple[str, ...], i: int) -> tuple:
    args = [float.fromhex(a) for a in args]
    sides = (-1, 1) if math.isfinite(args[i]) else (1,)
    with _digits(args):
        found = [_limit([_slope(formula, args, i, side, k) for k in range(2)]) for side in sides]
        if found == [None] * len(sides):  # another argument that is ±0 may be at a pole
            found = [_limit([_slope(formula, args, i, side, k, poles=True) for k in range(2)]) for side in sides]
    return tuple(s for s in found if s is not None)


def _digits(args):
    sizes = [800 if math.isinf(a) else abs(math.log10(abs(a)) if a else 330) for a in args]
    return mp.workdps(DIGITS + int(1.7 * max(sizes)))


def _stand_in(a: float, k: int, pole: bool = False):
    """The k-th number towards an infinite a; with `pole`, a tiny number of the sign of ±0; any other a unchanged."""
    if math.isinf(a):
        return math.copysign(1, a) * FAR[k]
    return math.copysign(1, a) * ZERO * NEAR[k] if pole and a == 0 else mp.mpf(a)


def _slope(formula, args, i, side, k, poles=False):
    """The slope near argsᵢ, or None if the formula is not real there."""
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
    """The limit of a sequence, from two of its members: a number, ±∞, or None."""
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
    """The number of this dtype nearest to x, or ±∞."""
    with np.errstate(over="ignore"):
        return dtype.type(float(x))


def relative_error(y, truth):
    """The relative error of a rounded value, which derivatives computed from it inherit; 0 if undefined."""
    return abs((mp.mpf(float(y)) - truth) / truth) if truth and mp.isfinite(truth) and np.isfinite(y) else 0


def check_ulps(y, truth, ulps, size, what) -> None:
    """Fail if y differs from `truth` by more than `ulps` units in the last place of `size`."""
    if truth is not None and y != (expected := nearest(truth, y.dtype)):
        unit = mp.mpf(float(np.spacing(nearest(abs(size), y.dtype))))
        assert np.isfinite(y) and abs(mp.mpf(float(y)) - truth) <= ulps * unit, f"{what}: {y}, expected {expected}"


def check_same(first, second, what, size=0) -> None:
    """Fail if two results differ by more than rounding, relative to `size` or themselves; ±∞ and NaN must match."""
    if first != second and not (np.isnan(first) and np.isnan(second)):
        allowed = rounding(second.dtype) * max(abs(second), size, np.finfo(second.dtype).tiny)
        assert np.isfinite(second) and abs(first - second) <= allowed, f"{what}: {first} and {second}"


def check_slope(found, g, sides, what, error=0, size=0) -> None:
    """Fail unless `found` is g times a slope between the one-sided slopes `sides`; ±∞ only if one of them is infinite.

    The tolerance is rounding of the larger of `size` and the product, plus 4·`error`: slopes may contain the fourth
    power of a value with that relative error.
    """
    if not sides:
        assert not np.isinf(found), f"{what}: {found}, but the slope has no limit"
        return
    slack, tiny = rounding(found.dtype) + 4 * error, float(np.finfo(found.dtype).tiny)
    bounds = sorted([side * float(g) for side in sides])
    for sign, bound in ((-1, bounds[0]), (1, bounds[-1])):
        around = 0 if mp.isinf(bound) else slack * max(abs(bound), size, tiny)
        edge = nearest(bound + sign * around, found.dtype)
        assert sign * found <= sign * edge, f"{what}: {found} for {g}, but the slopes are {list(map(float, sides))}"
