"""Arithmetic, absolute values, maximum, minimum and clip: each statement gives a formula and its derivative.

The parameter names of a derivative say what it is passed: an argument by its name, `y` the result, `t` the tangent or
cotangent (see `minigrad.core.rules`). `minigrad.ops.CONVENTIONS` lists the derivatives at kinks and ties.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.backends.formulas import numbers, reals
from minigrad.core.arguments import check_options
from minigrad.core.arrays import dtype_of
from minigrad.core.errors import OperandTypeError
from minigrad.core.interpreter import primitive
from minigrad.core.rules import partials
from minigrad.core.traits import traits
from minigrad.core.vectors import add_p, multiply_p, negative_p
from minigrad.ops.comparisons import greater, greater_equal, less, less_equal, logical_and, logical_or, sign, step
from minigrad.ops.define import binary, unary, wrap_binary, wrap_unary

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

# Absolute value, maximum, minimum, clip


def _real_sign(x):
    if dtype_of(x).kind == "c":
        raise OperandTypeError("absolute: |x| of a complex x is not holomorphic, so it has no complex derivative")
    return sign(x)


abs = absolute = unary(
    "absolute", "|x|", lambda x: _real_sign(x), formula=reals("fabs(a)", costly=False), kink=lambda x: x > 0
)
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
