"""Comparisons, logic and rounding, which have no derivative; and `where`, which selects by a condition.

`step` is not public: the derivatives of `maximum` and `minimum` use it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.backends import store
from minigrad.backends.formulas import bits, reals, truth
from minigrad.core.arrays import dtype_of
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.core.interpreter import primitive
from minigrad.core.rules import constant
from minigrad.core.traits import along_any_axis, traits
from minigrad.core.vectors import promote_together, where_p
from minigrad.ops.define import binary, unary


def _define_comparison(name: str, words: str, sign: str) -> Callable[..., Any]:
    """A comparison of two arrays, written `sign` in C++."""
    return binary(name, words, None, None, formula=truth(f"a {sign} b"), kink=getattr(np, name))


equal = _define_comparison("equal", "x₁ = x₂", "==")
not_equal = _define_comparison("not_equal", "x₁ ≠ x₂", "!=")
less = _define_comparison("less", "x₁ < x₂", "<")
less_equal = _define_comparison("less_equal", "x₁ ≤ x₂", "<=")
greater = _define_comparison("greater", "x₁ > x₂", ">")
greater_equal = _define_comparison("greater_equal", "x₁ ≥ x₂", ">=")
logical_and = binary("logical_and", "x₁ and x₂", None, None, formula=truth("a && b"))
logical_or = binary("logical_or", "x₁ or x₂", None, None, formula=truth("a || b"))
logical_xor = binary("logical_xor", "x₁ or x₂ but not both", None, None, formula=truth("!a != !b"))
logical_not = unary("logical_not", "not x", None, formula=truth("!a"))
bitwise_and = binary(
    "bitwise_and", "x₁ & x₂ of booleans, or of the bits of integers", None, None, formula=bits("a & b")
)
bitwise_or = binary("bitwise_or", "x₁ | x₂ of booleans, or of the bits of integers", None, None, formula=bits("a | b"))
bitwise_xor = binary(
    "bitwise_xor", "x₁ ^ x₂ of booleans, or of the bits of integers", None, None, formula=bits("a ^ b")
)
invert = unary("invert", "~x of booleans, or of the bits of integers", None, formula=bits("a ^ (real)-1"))
left_shift = binary("left_shift", "x₁·2^x₂ of integers", None, None, recordable=True)
right_shift = binary("right_shift", "⌊x₁ / 2^x₂⌋ of integers", None, None, recordable=True)
isnan = unary("isnan", "whether x is NaN", None, formula=truth("a != a", of_reals=True))
isinf = unary("isinf", "whether x is ±∞", None, formula=truth("isinf(a)", of_reals=True))
isfinite = unary("isfinite", "whether x is finite", None, formula=truth("isfinite(a)", of_reals=True))


# Sign and rounding


def _sign(b, x, out=None):
    if dtype_of(x).kind == "c":
        raise TypeError("sign: complex numbers are not supported: divide them by mg.abs(x)")
    return b.xp.sign(x, out=out)


def _signbit(b, x, out=None):
    if dtype_of(x).kind == "c":
        raise TypeError("signbit: complex numbers have no sign: take that of mg.real(x) or mg.imag(x)")
    return b.xp.signbit(x, out=out)


sign = unary(
    "sign",
    "the sign of x: −1, 0 or 1",
    None,
    _sign,
    formula=reals("a > 0 ? (real)1 : a < 0 ? (real)-1 : a + 0", costly=False),  # the sign of −0 is 0, as in NumPy
    kink=np.sign,
)
signbit = unary("signbit", "whether x is negative, or −0", None, _signbit, formula=truth("signbit(a)", of_reals=True))
floor = unary("floor", "⌊x⌋", None, formula=reals("floor(a)"), kink=np.floor)
ceil = unary("ceil", "⌈x⌉", None, formula=reals("ceil(a)"), kink=np.ceil)
trunc = unary("trunc", "x without its fraction", None, formula=reals("trunc(a)"), kink=np.trunc)
floor_divide = binary("floor_divide", "⌊x₁ / x₂⌋", None, None, recordable=True, kink=np.floor_divide)
rint = unary("rint", "the nearest integer", None, formula=reals("rint(a)"), kink=np.rint)


@constant
@primitive("stop_gradient", view_of=0)
def stop_gradient_p(b, x, out=None):
    return b.freeze(x)


traits(stop_gradient_p, cuts=along_any_axis)


@constant
@primitive("step")
def step(b, x1, x2, out=None):
    """1 where x₁ > x₂, ½ where they tie, else 0: the derivative of their maximum in x₁."""
    dtype = b.xp.result_type(x1, x2)
    return store(b.xp.greater(x1, x2).astype(dtype) + b.xp.equal(x1, x2) * dtype.type(0.5), out)


traits(step, cuts=along_any_axis, formula=reals("a > b ? (real)1 : a == b ? (real)0.5 : (real)0", costly=False))


# Selection


def where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    """x where `condition` holds, else y.

    The branch not taken gets a zero cotangent, even where its value is NaN. But the operations that computed the branch
    multiply this zero by their own derivatives, and 0·∞ is NaN: for √x where x > 0, mask the argument as well,
    `where(x > 0, sqrt(where(x > 0, x, 1)), 0)`.
    """
    if x is None or y is None:
        raise OperandTypeError("where: give both x and y; for the positions of true elements use mg.nonzero")
    return where_p(condition, x, y)


def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """For each element the first choice whose condition holds, else `default`."""
    if len(condlist) != len(choicelist) or not condlist:
        raise OperandError(f"select: needs as many conditions as choices, got {len(condlist)} and {len(choicelist)}")
    y, *choices = promote_together(default, *choicelist)
    for condition, choice in zip(reversed(condlist), reversed(choices)):
        y = where(condition, choice, y)
    return y


def stop_gradient(x: Any) -> Any:
    """x as a constant: no derivative flows through it.

    >>> import minigrad as mg
    >>> float(mg.grad(lambda x: x * mg.stop_gradient(x))(3.0))
    3.0
    """
    return stop_gradient_p(x)
