"""Means, variances and norms."""

from __future__ import annotations

import builtins
import math
from numbers import Real
from typing import Any

import numpy as np

from minigrad.core.arguments import check_options, dtype_from
from minigrad.core.arrays import describe, dtype_of, shape_of
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.ops.arithmetic import abs, divide, square
from minigrad.ops.comparisons import equal, where
from minigrad.ops.extremes import max, min
from minigrad.ops.functions import power, sqrt
from minigrad.ops.reduce import (
    convert_operand,
    make_inexact,
    sum,
)
from minigrad.ops.shape import astype, normalise_axes, squeeze


def mean(
    a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False, *, where: Any = None
) -> Any:
    """Mean over axes (all by default), in `dtype`. float16 is summed in float32, as in NumPy."""
    check_options("mean", out=out, where=where)
    wide, result = _widen(a, dtype, "mean")
    count = _count(a, axis, "mean")
    y = divide(sum(wide, axis, dtype, keepdims=keepdims), count)
    return y if result is None else astype(y, result)


def _widen(a, dtype, operation):
    """(a in the dtype to compute in, the dtype of the result or None if it needs no cast)."""
    if dtype is None and dtype_of(a) == np.float16:
        return astype(a, np.float32), np.dtype(np.float16)
    return convert_operand(a, dtype, operation), None if dtype is None else dtype_from(dtype, operation)


def _count(x, axis, operation):
    return math.prod(shape_of(x)[a] for a in normalise_axes(axis, len(shape_of(x)), operation))


def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: Any = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: Any = None,
) -> Any:
    """Mean squared deviation from the mean, in `dtype`; divides by n − ddof (or `correction`). Real arrays only.

    `mean`: the mean if it is already known, computed with keepdims=True.
    """
    check_options("var", out=out, where=where)
    return _variance("var", a, axis, dtype, ddof, keepdims, mean, correction)


def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: Any = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: Any = None,
) -> Any:
    """√var; where all elements are equal, its derivatives of every order are defined as 0."""
    check_options("std", out=out, where=where)
    return _variance("std", a, axis, dtype, ddof, keepdims, mean, correction)


def _variance(operation, a, axis, dtype, ddof, keepdims, centre, correction):
    if correction is not None and ddof != 0:
        raise OperandError(f"{operation}: give either ddof or correction, not both (got {ddof} and {correction})")
    wide, result = _widen(a, dtype, operation)
    if dtype_of(wide).kind == "c":
        raise OperandTypeError(f"{operation}: real arrays only, got {describe(wide)}")
    if result is not None and result.kind != "f":
        raise OperandTypeError(f"{operation}: dtype={result} is not supported: use a floating-point dtype")
    degrees = builtins.max(_count(a, axis, operation) - (ddof if correction is None else correction), 0)
    deviation = wide - (mean(wide, axis, keepdims=True) if centre is None else centre)
    y = divide(sum(square(deviation), axis, keepdims=keepdims), degrees)
    y = _root(y) if operation == "std" else y  # before rounding to float16, whose largest number is 65504
    return y if result is None else astype(y, result)


def _root(v):
    """√v for a sum of squares v; at the kink v = 0 its derivatives are defined as 0."""
    zero = equal(v, 0)
    return where(zero, 0, sqrt(where(zero, 1, v)))


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Vector norm: √Σx² by default, Σ|xᵢ|ᵖ to the 1/p for a number p, ±inf for the extremes of |x|.

    Over all elements by default. At x = 0 the derivatives are defined as 0. Matrix norms (over two axes) other than
    'fro' are not supported and raise ValueError.
    """
    if dtype_of(x).kind == "c":
        raise OperandTypeError(f"norm: real arrays only, got {describe(x)}")
    if dtype_of(x) == np.float16:  # squares of float16 overflow from 256 on and underflow below 0.0002
        return astype(norm(astype(x, np.float32), ord, axis, keepdims), np.float16)
    if ord not in (None, "fro") and len(normalise_axes(axis, len(shape_of(x)), "norm")) > 1:
        raise OperandError(f"norm: ord={ord!r} of a matrix is not supported; give one axis, or use ord='fro'")
    x = make_inexact(x)
    if ord in (None, 2, "fro"):
        return _root(sum(square(x), axis, keepdims=keepdims))
    if ord == math.inf:
        return max(abs(x), axis, keepdims=keepdims)
    if ord == -math.inf:
        return min(abs(x), axis, keepdims=keepdims)
    if not isinstance(ord, Real) or ord == 0:
        raise OperandError(f"norm: ord={ord!r} is not supported; use None, 'fro', a number other than 0, or ±inf")
    if ord == 1:
        return sum(abs(x), axis, keepdims=keepdims)
    size, ord = abs(x), float(ord)
    zero = equal(sum(size, axis, keepdims=True), 0)
    if 0 < ord < 2:  # |xᵢ|ᵖ has a kink (or worse) at 0: entries equal to 0 get derivative 0
        absent = equal(size, 0)
        powers = where(zero, 1, where(absent, 0, power(where(absent, 1, size), ord)))
    else:
        powers = power(where(zero, 1, size), ord)
    y = where(zero, 0, power(sum(powers, axis, keepdims=True), 1 / ord))
    return y if keepdims else squeeze(y, axis)
