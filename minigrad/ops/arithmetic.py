"""Arithmetic, remainders, absolute values, maximum, minimum, clip: each statement gives a formula and its derivative.

The parameter names of a derivative say what it is passed: an argument by its name, `y` the result, `t` the tangent or
cotangent (see `minigrad.core.rules`). `minigrad.ops.CONVENTIONS` lists the derivatives at kinks and ties.
"""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from minigrad.backends import dtypes
from minigrad.backends.formulas import numbers, reals
from minigrad.core.arguments import check_options, integer
from minigrad.core.arrays import dtype_of, is_inexact
from minigrad.core.errors import OperandTypeError
from minigrad.core.interpreter import primitive
from minigrad.core.rules import partials
from minigrad.core.traits import traits
from minigrad.core.vectors import add_p, copy_p, multiply_p, negative_p, promote
from minigrad.ops.comparisons import (
    equal,
    floor_divide,
    greater,
    greater_equal,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_or,
    logical_xor,
    rint,
    sign,
    signbit,
    step,
    where,
)
from minigrad.ops.complex import conjugate, imag, is_complex, real
from minigrad.ops.define import binary, unary, wrap_binary, wrap_unary
from minigrad.ops.dtypes import result_type
from minigrad.ops.shape import astype

add = wrap_binary(add_p, "x₁ + x₂")
subtract = binary(
    "subtract", "x₁ − x₂", 1, -1, formula=numbers("a - b", "(natural)a - (natural)b"), in_place=True, exact=True
)
multiply = wrap_binary(multiply_p, "x₁·x₂")
divide = binary(
    "divide",
    "x₁ / x₂",
    lambda t, x2: divide(t, x2),
    lambda x2, y: -divide(y, x2),
    formula=reals("a / b", costly=False),
    in_place=True,
    exact=True,
)
negative = wrap_unary(negative_p, "−x")
reciprocal = unary(
    "reciprocal",
    "1 / x",
    lambda t, y: -(t * y * y),
    lambda b, x, out=None: b.xp.divide(1, x, out=out),  # NumPy's reciprocal divides integers as integers
    formula=reals("1 / a"),
)
square = unary("square", "x²", lambda x: 2 * x, formula=numbers("a * a", "(natural)a * (natural)a"), in_place=True)

positive = wrap_unary(copy_p, "+x, a copy of x", "positive")

# Remainders: of the quotient, only the fraction has a derivative

remainder = binary(
    "remainder",
    "x₁ − x₂·⌊x₁ / x₂⌋, with the sign of x₂",
    1,
    lambda x1, x2: -floor_divide(x1, x2),
    recordable=True,
    kink=np.floor_divide,
)
fmod = binary(
    "fmod",
    "the remainder of x₁ / x₂ with the sign of x₁",
    1,
    lambda x1, x2, y: -rint(divide(x1 - y, x2)),
    recordable=True,
    kink=lambda x1, x2: np.trunc(np.divide(x1, x2)),
)


def round(a: Any, decimals: Any = 0, out: None = None) -> Any:
    """a rounded to this many decimals, to the even neighbour at a tie; without a derivative."""
    check_options("round", out=out)
    scale = 10.0 ** builtins.abs(integer(decimals, "round: decimals"))
    if not is_inexact(a):
        return copy_p(a) if decimals >= 0 else promote(rint(a / scale) * scale, dtype_of(a))
    if decimals == 0:
        return rint(a)
    return divide(rint(multiply(a, scale)), scale) if decimals > 0 else multiply(rint(divide(a, scale)), scale)


# Signs


def _copysign(x1, x2):
    dtype = result_type(x1, x2)
    x1 = astype(x1, dtype if dtypes.is_inexact(dtype) else np.float64, copy=False)
    return where(logical_xor(signbit(x1), signbit(x2)), -x1, x1)


copysign = wrap_binary(
    _copysign, "|x₁| with the sign of x₂; the derivative in x₁ is 1 where they have the same sign, else −1", "copysign"
)
nextafter = binary(
    "nextafter", "the next floating-point number after x₁ towards x₂, whose derivative is that of x₁", 1, None
)

# Absolute value, maximum, minimum, clip


def _slope_of_abs(x):
    """The sign of x; for a complex x the conjugate of x/|x|, and 0 at 0."""
    if not is_complex(x):
        return sign(x)
    size = absolute(x)
    zero = equal(size, 0)
    return where(zero, 0, divide(conjugate(x), where(zero, 1, size)))


abs = absolute = unary(
    "absolute",
    "|x|",
    lambda x: _slope_of_abs(x),
    formula=reals("fabs(a)", costly=False),
    kink=lambda x: x == 0 if is_complex(x) else x > 0,
)


def square_abs(x):
    """|x|², which is real and has no kink."""
    return add(square(real(x)), square(imag(x))) if is_complex(x) else square(x)


maximum = binary(
    "maximum",
    "the larger of x₁ and x₂",
    lambda x1, x2: step(x1, x2),
    lambda x1, x2: step(x2, x1),
    formula=reals("larger(a, b)", costly=False),
    kink=np.greater,
)
minimum = binary(
    "minimum",
    "the smaller of x₁ and x₂",
    lambda x1, x2: step(x2, x1),
    lambda x1, x2: step(x1, x2),
    formula=reals("smaller(a, b)", costly=False),
    kink=np.greater,
)


def _fabs(x):
    if dtype_of(x).kind == "c":
        raise OperandTypeError("fabs: real arrays only; use mg.abs")
    return absolute(x if is_inexact(x) else multiply(x, 1.0))


fabs = wrap_unary(_fabs, "|x|, a floating-point number", "fabs")
fmax = wrap_binary(
    lambda x1, x2: maximum(where(isnan(x1), x2, x1), where(isnan(x2), x1, x2)),
    "the larger of x₁ and x₂, or the other one where one is NaN",
    "fmax",
)
fmin = wrap_binary(
    lambda x1, x2: minimum(where(isnan(x1), x2, x1), where(isnan(x2), x1, x2)),
    "the smaller of x₁ and x₂, or the other one where one is NaN",
    "fmin",
)


@primitive("clip")
def clip_p(b, x, low, high, out=None):
    return b.xp.clip(x, low, high, out=out)


partials(
    clip_p,
    x=lambda x, low, high: logical_and(greater_equal(x, low), less_equal(x, high)),
    low=lambda x, low, high: logical_and(less(x, low), less_equal(low, high)),
    high=lambda x, low, high: logical_or(greater(x, high), greater(low, high)),
)
traits(
    clip_p,
    formula=reals("smaller(larger(a, b), c)", costly=False),
    kink=lambda x, low, high: (np.greater(x, low), np.less(x, high)),
)


def clip(
    a: Any, a_min: Any = None, a_max: Any = None, out: None = None, *, min: Any = None, max: Any = None, **options: Any
) -> Any:
    """a limited to [a_min, a_max], or [min, max]; its derivative is 1 inside and at both bounds, 0 outside."""
    check_options("clip", out=out, **options)
    if (a_min is not None or a_max is not None) and (min is not None or max is not None):
        raise OperandTypeError("clip: give either a_min and a_max, or min and max, not both pairs")
    low, high = -math.inf, math.inf
    if dtype_of(a).kind in "iu":  # integers stay integers
        low, high = int(np.iinfo(dtype_of(a)).min), int(np.iinfo(dtype_of(a)).max)
    a_min, a_max = min if a_min is None else a_min, max if a_max is None else a_max
    return clip_p(a, low if a_min is None else a_min, high if a_max is None else a_max)
