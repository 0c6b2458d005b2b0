"""Means, averages, variances, norms of vectors and matrices."""

from __future__ import annotations

import builtins
import math
from numbers import Real
from typing import Any

import numpy as np

from minigrad.backends.dtypes import finfo, is_half, is_real
from minigrad.core.arguments import check_options, dtype_from, is_several
from minigrad.core.arrays import describe, dtype_of, shape_of
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.core.vectors import promote_together
from minigrad.ops.arithmetic import abs, divide, multiply, square_abs
from minigrad.ops.comparisons import equal, stop_gradient, where
from minigrad.ops.decompositions import svdvals
from minigrad.ops.define import in_float32
from minigrad.ops.extremes import max, min
from minigrad.ops.functions import power, sqrt
from minigrad.ops.reduce import (
    convert_operand,
    count_nonzero,
    make_inexact,
    sum,
)
from minigrad.ops.shape import (
    astype,
    broadcast_to,
    expand_dims,
    moveaxis,
    normalise_axes,
    normalise_axis,
    ones_like,
    reshape,
    squeeze,
    transpose,
)


def mean(
    a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False, *, where: Any = None
) -> Any:
    """Mean over axes (all by default), in `dtype`. float16 and bfloat16 are summed in float32."""
    check_options("mean", out=out, where=where)
    wide, result = widen(a, dtype, "mean")
    count = _count(a, axis, "mean")
    y = divide(sum(wide, axis, dtype, keepdims=keepdims), count)
    return y if result is None else astype(y, result)


def widen(a, dtype, operation):
    """(a in the dtype to compute in, the dtype of the result or None if it needs no cast)."""
    if dtype is None and is_half(dtype_of(a)):
        return astype(a, np.float32), dtype_of(a)
    return convert_operand(a, dtype, operation), None if dtype is None else dtype_from(dtype, operation)


def _count(x, axis, operation):
    """The number of elements that a reduction over these axes takes together."""
    return math.prod(shape_of(x)[a] for a in normalise_axes(axis, len(shape_of(x)), operation))


@in_float32
def average(a: Any, axis: Any = None, weights: Any = None, returned: Any = False, *, keepdims: bool = False) -> Any:
    """Mean over axes, Σ wᵢaᵢ / Σ wᵢ with `weights` w: of the shape of a, or of its reduced axes in their order.

    With `returned`, the result is (average, Σ wᵢ).
    """
    if weights is None:
        y = mean(a, axis, keepdims=keepdims)
        total = multiply(ones_like(y), _count(a, axis, "average"))
    else:
        a, weights = promote_together(a, _align_weights(a, axis, weights))
        total = sum(broadcast_to(weights, shape_of(a)), axis, keepdims=keepdims)
        y = divide(sum(multiply(a, weights), axis, keepdims=keepdims), total)
    return (y, total) if returned else y


def _align_weights(a, axis, weights):
    """Weights for the reduced axes alone, reshaped so that they broadcast to a."""
    if shape_of(weights) == shape_of(a):
        return weights
    shape = shape_of(a)
    axes = () if axis is None else axis if is_several(axis) else (axis,)
    given = [normalise_axis(i, len(shape), "average") for i in axes]
    if shape_of(weights) != tuple(shape[i] for i in given):
        raise OperandError(
            f"average: weights must have the shape of the array or of its reduced axes, got {describe(weights)} for "
            f"{describe(a)} and axis={axis}"
        )
    ordered = transpose(weights, tuple(builtins.sorted(range(len(given)), key=given.__getitem__)))
    return reshape(ordered, tuple(n if i in given else 1 for i, n in enumerate(shape)))


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
    """Σ|x − mean|² / (n − ddof), in `dtype`; real also for complex arrays. ddof may be called `correction`.

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


def prepare_variance(operation, a, dtype, ddof, correction):
    """(a in the dtype to compute in, the dtype of the result or None, what to subtract from the number of elements)."""
    if correction is not None and ddof != 0:
        raise OperandError(f"{operation}: give either ddof or correction, not both (got {ddof} and {correction})")
    wide, result = widen(a, dtype, operation)
    if result is not None and not is_real(result):
        raise OperandTypeError(f"{operation}: dtype={result} is not supported: use a floating-point dtype")
    return wide, result, ddof if correction is None else correction


def _variance(operation, a, axis, dtype, ddof, keepdims, centre, correction):
    wide, result, ddof = prepare_variance(operation, a, dtype, ddof, correction)
    degrees = builtins.max(_count(a, axis, operation) - ddof, 0)
    deviation = wide - (mean(wide, axis, keepdims=True) if centre is None else centre)
    y = divide(sum(square_abs(deviation), axis, keepdims=keepdims), degrees)
    y = root(y) if operation == "std" else y  # before rounding to float16, whose largest number is 65504
    return y if result is None else astype(y, result)


def root(v):
    """√v for a sum of squares v; at the kink v = 0 its derivatives are defined as 0."""
    zero = equal(v, 0)
    return where(zero, 0, sqrt(where(zero, 1, v)))


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Vector norm: √Σ|x|² by default, Σ|xᵢ|ᵖ to the 1/p for a number p, ±inf for the extremes of |x|.

    Over all elements by default. At x = 0 the derivatives are defined as 0.

    Over two axes, a norm of matrices for any ord but None and 'fro': the sum of singular values for 'nuc', the largest
    for 2, the smallest for -2; the largest sum of |x| over a column for 1, over a row for inf, the smallest for -1 and
    -inf. A singular value that is 0 to rounding gets derivative 0; of several largest ones, one gets it all.
    """
    if is_half(dtype_of(x)):  # squares of float16 overflow from 256 on and underflow below 0.0002
        return astype(norm(astype(x, np.float32), ord, axis, keepdims), dtype_of(x))
    axes, x = normalise_axes(axis, len(shape_of(x)), "norm"), make_inexact(x)
    if ord not in (None, "fro") and len(axes) > 1:
        if len(axes) > 2:
            raise OperandError(f"norm: ord={ord!r} needs one axis or two, got {len(axes)}; or use ord=None")
        y = _matrix_norm(moveaxis(x, axes if axis is None else axis, range(-len(axes), 0)), ord)
        return expand_dims(y, axes) if keepdims else y
    if ord in (None, 2, "fro"):
        return root(sum(square_abs(x), axis, keepdims=keepdims))
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


def _matrix_norm(x, ord):
    """The norm of each matrix in the last two axes."""
    if ord in ("nuc", 2, -2):
        s = svdvals(x)
        zero = s <= builtins.max(shape_of(x)[-2:]) * float(finfo(dtype_of(s)).eps) * s[..., :1]
        s = where(zero, stop_gradient(s), s)
        return sum(s, -1) if ord == "nuc" else s[..., 0 if ord == 2 else -1]
    if ord not in (1, -1, math.inf, -math.inf):
        raise OperandError(f"norm: ord={ord!r} of a matrix is not supported; use None, 'fro', 'nuc', ±1, ±2 or ±inf")
    return (max if ord > 0 else min)(sum(abs(x), -2 if ord in (1, -1) else -1), -1)


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """The norm of the vectors along these axes (of all elements by default), of real or complex numbers; see `norm`.

    ord=0 counts the elements that are not 0, without a derivative.
    """
    axes = normalise_axes(axis, len(shape_of(x)), "vector_norm")
    size = abs(x) if dtype_of(x).kind == "c" else make_inexact(x)
    if ord == 0:
        y = astype(count_nonzero(x, axes), dtype_of(size))
    else:
        front = moveaxis(size, axes, range(len(axes)))
        y = norm(reshape(front, (math.prod(shape_of(x)[i] for i in axes), *shape_of(front)[len(axes) :])), ord, 0)
    return expand_dims(y, axes) if keepdims else y


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """The norm of each matrix in the last two axes; see `norm`."""
    return norm(x, ord, (-2, -1), keepdims)
