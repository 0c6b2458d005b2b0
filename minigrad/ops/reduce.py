"""Reductions along axes: sums, extremes, and what is built from them."""

from __future__ import annotations

import builtins
import math
from numbers import Real

import numpy as np

from minigrad.backends import stored
from minigrad.core.arguments import check_options, dtype_from
from minigrad.core.arrays import describe, dtype_of, is_inexact, shape_of
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.core.interpreter import primitive
from minigrad.core.rules import constant, custom, linear
from minigrad.core.traits import Cut, traits
from minigrad.core.vectors import broadcast_to_p, reshape_p
from minigrad.ops.arithmetic import abs, divide, multiply, square
from minigrad.ops.comparisons import equal, logical_not, not_equal, where
from minigrad.ops.functions import exp, power, sqrt
from minigrad.ops.indexing import take_along_axis
from minigrad.ops.shape import astype, normal_axes, normal_axis, ravel, squeeze


def _kept(shape, axes):
    """The shape after a reduction that keeps its axes with length 1."""
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def spread(g, x, axes):
    """g, which lacks `axes`, broadcast back to the shape of x."""
    return broadcast_to_p(reshape_p(g, shape=_kept(shape_of(x), axes)), shape=shape_of(x))


def reduce_axes(made, x, axis, keepdims, **params):
    """Apply a primitive that drops its axes."""
    axes = normal_axes(axis, len(shape_of(x)), made.name)
    y = made(x, axes=axes, **params)
    return reshape_p(y, shape=_kept(shape_of(x), axes)) if keepdims else y


# Sums


@primitive("sum")
def sum_p(b, x, *, axes, out=None):
    return b.sum(x, axes, out)


def _along_kept(operands, result, params):
    """Along the axes that a reduction keeps."""
    kept = [axis for axis in range(len(operands[0])) if axis not in params["axes"]]
    yield from (Cut((axis,), place) for place, axis in enumerate(kept))


def _along_all(operands, result, params):
    """Along every axis: those that are summed over give terms."""
    yield from _along_kept(operands, result, params)
    yield from (Cut((axis,), None) for axis in params["axes"])


linear(sum_p, x=lambda g, x, axes: spread(g, x, axes))
traits(sum_p, cuts=_along_all, recordable=True)


def sum(a, axis=None, dtype=None, out=None, keepdims=False, initial=None, where=None):
    """Sum over axes (all by default), in `dtype`."""
    check_options("sum", out=out, initial=initial, where=where)
    y = reduce_axes(sum_p, summands(a, dtype, "sum"), axis, keepdims)
    return convert_result(y, dtype)


def convert_result(y, dtype):
    """A sum or product in the dtype that was asked for: that of small integers comes in a wide one."""
    return y if dtype is None else astype(y, dtype, copy=False)


def summands(a, dtype, operation):
    """a, converted to `dtype` if one is given: what a reduction or scan adds up or multiplies."""
    return a if dtype is None else astype(a, dtype_from(dtype, operation), copy=False)


def mean(a, axis=None, dtype=None, out=None, keepdims=False, *, where=None):
    """Mean over axes (all by default), in `dtype`. float16 is summed in float32, as in NumPy."""
    check_options("mean", out=out, where=where)
    wide, result = _widen(a, dtype, "mean")
    count = _count(a, axis, "mean")
    y = divide(sum(wide, axis, dtype, keepdims=keepdims), count)
    return y if result is None else astype(y, result)


def _widen(a, dtype, operation):
    """(a in the dtype in which to compute its mean, the dtype of the result or None to keep what comes out)."""
    if dtype is None and dtype_of(a) == np.float16:
        return astype(a, np.float32), np.dtype(np.float16)
    return summands(a, dtype, operation), None if dtype is None else dtype_from(dtype, operation)


def _count(x, axis, operation):
    return math.prod(shape_of(x)[a] for a in normal_axes(axis, len(shape_of(x)), operation))


def var(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=None, mean=None, correction=None):
    """Mean squared deviation from the mean, in `dtype`; divides by n − ddof (or `correction`). Real arrays only.

    `mean`: the mean, if it is known already, computed with keepdims=True.
    """
    check_options("var", out=out, where=where)
    return _variance("var", a, axis, dtype, ddof, keepdims, mean, correction)


def std(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=None, mean=None, correction=None):
    """√var; where a is constant, its derivatives of every order are taken to be 0."""
    check_options("std", out=out, where=where)
    return _variance("std", a, axis, dtype, ddof, keepdims, mean, correction)


def _variance(operation, a, axis, dtype, ddof, keepdims, centre, correction):
    if correction is not None and ddof != 0:
        raise OperandError(f"{operation}: give either ddof or correction, not both (got {ddof} and {correction})")
    wide, result = _widen(a, dtype, operation)
    if dtype_of(wide).kind == "c":
        raise OperandTypeError(f"{operation}: real arrays only, got {describe(wide)}")
    if result is not None and result.kind != "f":
        raise OperandTypeError(f"{operation}: dtype={result} is not offered: use a floating-point dtype")
    degrees = builtins.max(_count(a, axis, operation) - (ddof if correction is None else correction), 0)
    deviation = wide - (mean(wide, axis, keepdims=True) if centre is None else centre)
    y = divide(sum(square(deviation), axis, keepdims=keepdims), degrees)
    y = _root(y) if operation == "std" else y  # before rounding to float16, whose largest number is 65504
    return y if result is None else astype(y, result)


def _root(v):
    """√v for a sum of squares v: at 0 a kink, where the derivatives are taken to be 0."""
    zero = equal(v, 0)
    return where(zero, 0, sqrt(where(zero, 1, v)))


def norm(x, ord=None, axis=None, keepdims=False):
    """Vector norm: √Σx² by default, Σ|xᵢ|ᵖ to the 1/p for a number p, ±inf for the extremes of |x|.

    Over all elements by default. At x = 0 the derivatives are taken to be 0. Matrix norms (over two axes) other than
    'fro' are not offered. Raises ValueError.
    """
    if dtype_of(x).kind == "c":
        raise OperandTypeError(f"norm: real arrays only, got {describe(x)}")
    if dtype_of(x) == np.float16:  # whose squares overflow from 256 on and underflow below 0.0002
        return astype(norm(astype(x, np.float32), ord, axis, keepdims), np.float16)
    if ord not in (None, "fro") and len(normal_axes(axis, len(shape_of(x)), "norm")) > 1:
        raise OperandError(f"norm: ord={ord!r} of a matrix is not offered; give one axis, or use ord='fro'")
    x = _inexact(x)
    if ord in (None, 2, "fro"):
        return _root(sum(square(x), axis, keepdims=keepdims))
    if ord == math.inf:
        return max(abs(x), axis, keepdims=keepdims)
    if ord == -math.inf:
        return min(abs(x), axis, keepdims=keepdims)
    if not isinstance(ord, Real) or ord == 0:
        raise OperandError(f"norm: ord={ord!r} is not offered; use None, 'fro', a number other than 0, or ±inf")
    if ord == 1:
        return sum(abs(x), axis, keepdims=keepdims)
    size, ord = abs(x), float(ord)
    zero = equal(sum(size, axis, keepdims=True), 0)
    if 0 < ord < 2:  # |xᵢ|ᵖ has a kink (or worse) at 0: a component that is 0 has no part in the derivatives
        absent = equal(size, 0)
        powers = where(zero, 1, where(absent, 0, power(where(absent, 1, size), ord)))
    else:
        powers = power(where(zero, 1, size), ord)
    y = where(zero, 0, power(sum(powers, axis, keepdims=True), 1 / ord))
    return y if keepdims else squeeze(y, axis)


# Reductions of masks, which have no derivative


def _truth(a):
    """a as booleans: 0 is false, everything else true, NaN included."""
    return a if dtype_of(a).kind == "b" else not_equal(a, 0)


def count_nonzero(a, axis=None, *, keepdims=False):
    """The number of nonzero elements over axes (all by default)."""
    return sum(_truth(a), axis, keepdims=keepdims)


def any(a, axis=None, out=None, keepdims=False, *, where=None):
    """Whether any element is true, over axes (all by default)."""
    check_options("any", out=out, where=where)
    return not_equal(count_nonzero(a, axis, keepdims=keepdims), 0)


def all(a, axis=None, out=None, keepdims=False, *, where=None):
    """Whether every element is true, over axes (all by default)."""
    check_options("all", out=out, where=where)
    return equal(sum(logical_not(a), axis, keepdims=keepdims), 0)


# Extremes: every element that attains the extreme gets an equal share of the derivative


@constant
@primitive("share")
def share_p(b, x, y, *, axes, out=None):
    """1/n at the n places along `axes` where x attains the extreme y, else 0; NaN everywhere if the extreme is NaN."""
    y = y.reshape(_kept(shape_of(x), axes))
    attained = b.xp.equal(x, y)
    count = b.xp.sum(attained, axis=axes, keepdims=True, dtype=np.int64)
    share = (attained / b.xp.maximum(count, 1)).astype(dtype_of(x))
    return stored(b.xp.where(b.xp.isnan(y), y, share), out)


traits(share_p, recordable=True)


@primitive("max")
def max_p(b, x, *, axes, out=None):
    return b.xp.max(x, axis=axes, out=out)


@primitive("min")
def min_p(b, x, *, axes, out=None):
    return b.xp.min(x, axis=axes, out=out)


def _place_of(best):
    """A function that says which element along `axes` is the extreme one."""

    def place(x, axes):
        if not x.size:
            return x
        rows = np.moveaxis(x, axes, range(-len(axes), 0)) if axes else x[..., None]
        return best(rows.reshape(*rows.shape[: rows.ndim - builtins.max(1, len(axes))], -1), axis=-1)

    return place


traits(max_p, cuts=_along_kept, recordable=True, kink=_place_of(np.argmax))
traits(min_p, cuts=_along_kept, recordable=True, kink=_place_of(np.argmin))
for _extreme in (max_p, min_p):
    custom(
        _extreme,
        x=(
            lambda t, x, y, axes: sum_p(share_p(x, y, axes=axes) * t, axes=axes),
            lambda g, x, y, axes: share_p(x, y, axes=axes) * spread(g, x, axes),
        ),
    )


def max(a, axis=None, out=None, keepdims=False, initial=None, where=None):
    """The largest element; ties share the derivative equally."""
    check_options("max", out=out, initial=initial, where=where)
    return reduce_axes(max_p, a, axis, keepdims)


def min(a, axis=None, out=None, keepdims=False, initial=None, where=None):
    """The smallest element; ties share the derivative equally."""
    check_options("min", out=out, initial=initial, where=where)
    return reduce_axes(min_p, a, axis, keepdims)


@constant
@primitive("argmax")
def argmax_p(b, x, *, axis, out=None):
    return stored(b.xp.argmax(x, axis=axis), out)


traits(argmax_p, kink=lambda x, axis: np.argmax(x, axis=axis))


@constant
@primitive("argmin")
def argmin_p(b, x, *, axis, out=None):
    return stored(b.xp.argmin(x, axis=axis), out)


traits(argmin_p, kink=lambda x, axis: np.argmin(x, axis=axis))


@constant
@primitive("argsort")
def argsort_p(b, x, *, axis, out=None):
    return stored(b.xp.argsort(x, axis=axis, kind="stable"), out)


traits(argsort_p, kink=lambda x, axis: np.argsort(x, axis=axis, kind="stable"))


def argmax(a, axis=None, out=None, *, keepdims=False):
    """The index of the largest element (the first at a tie) along an axis, or in the raveled a by default."""
    check_options("argmax", out=out)
    return _position(argmax_p, a, axis, keepdims)


def argmin(a, axis=None, out=None, *, keepdims=False):
    """The index of the smallest element (the first at a tie) along an axis, or in the raveled a by default."""
    check_options("argmin", out=out)
    return _position(argmin_p, a, axis, keepdims)


def _position(made, a, axis, keepdims):
    whole = axis is None or not shape_of(a)
    a_line, along = line(a, axis, made.name)
    y = made(a_line, axis=along)
    axes = normal_axes(None if whole else along, len(shape_of(a)), made.name)
    return reshape_p(y, shape=_kept(shape_of(a), axes)) if keepdims else y


def argsort(a, axis=-1, kind=None, order=None, *, stable=None):
    """The indices that sort a along an axis (or the raveled a, axis=None); ties keep their order for every `kind`."""
    _check_kind("argsort", kind, order)
    a, axis = line(a, axis, "argsort")
    return argsort_p(a, axis=axis)


def sort(a, axis=-1, kind=None, order=None, *, stable=None):
    """a in increasing order along an axis (or the raveled a, axis=None); ties keep their order for every `kind`."""
    _check_kind("sort", kind, order)
    a, axis = line(a, axis, "sort")
    return take_along_axis(a, argsort_p(a, axis=axis), axis)


def line(a, axis, operation):
    """(a, its axis as a number ≥ 0), or (the raveled a, 0) if axis is None or a is zero-dimensional."""
    ndim = len(shape_of(a))
    axis = axis if axis is None else normal_axis(axis, builtins.max(ndim, 1), operation)
    return (a, axis) if ndim and axis is not None else (ravel(a), 0)


def _check_kind(operation, kind, order):
    if kind not in (None, "stable", "mergesort", "quicksort", "heapsort"):  # a stable sort will do for all of them
        raise OperandError(f"{operation}: unknown kind {kind!r}; leave it out, every sort here is stable")
    if order is not None:
        raise OperandTypeError(f"{operation}: order={order!r} is not offered: arrays have no fields to sort by")


# Log-sum-exp and softmax


@primitive("logsumexp")
def logsumexp_p(b, x, *, axes, out=None):
    xp = b.xp
    empty = builtins.any(x.shape[a] == 0 for a in axes)
    top = xp.zeros(_kept(x.shape, axes), xp.real(x).dtype) if empty else xp.max(xp.real(x), axis=axes, keepdims=True)
    top = xp.where(xp.isfinite(top), top, 0)
    wide = np.float32 if dtype_of(x) == np.float16 else None  # where 2048 + 1 is 2048
    total = xp.sum(xp.exp(x - top), axis=axes, dtype=wide)
    zero = total == 0
    y = xp.where(zero, -xp.inf, xp.log(xp.where(zero, 1, total)) + top.reshape(total.shape))
    return stored(y if wide is None else y.astype(np.float16), out)


def _weights(x, y, axes):
    """∂y/∂x = e^(x−y); zero where y = −∞, for then no x counts."""
    y = reshape_p(y, shape=_kept(shape_of(x), axes))
    return exp(x - where(equal(y, -math.inf), 0, y))


custom(
    logsumexp_p,
    x=(
        lambda t, x, y, axes: sum_p(_weights(x, y, axes) * t, axes=axes),
        lambda g, x, y, axes: _weights(x, y, axes) * spread(g, x, axes),
    ),
)
traits(logsumexp_p, cuts=_along_kept, recordable=True)


def logsumexp(x, axis=None, keepdims=False):
    """ln Σ eˣ over axes, computed around the largest x."""
    return reduce_axes(logsumexp_p, _inexact(x), axis, keepdims)


@constant
@primitive("top")
def top_p(b, x, *, axes, out=None):
    """The largest element, with its axes kept; a constant, because any shift leaves a softmax as it is."""
    return b.xp.max(b.xp.real(x), axis=axes, keepdims=True, out=out)


traits(top_p, recordable=True)


def softmax(x, axis=-1):
    """eˣ / Σ eˣ along an axis."""
    y = exp(_from_top(x, axis))
    return y / sum(y, axis, keepdims=True)


def log_softmax(x, axis=-1):
    """x − ln Σ eˣ along an axis."""
    x = _from_top(x, axis)
    return x - logsumexp(x, axis, keepdims=True)


def _from_top(x, axis):
    """x less its largest element, as a constant: the same softmax, in numbers that exp can take."""
    x = _inexact(x)
    return x if 0 in shape_of(x) else x - top_p(x, axes=normal_axes(axis, len(shape_of(x)), "softmax"))


def _inexact(x):
    return x if is_inexact(x) else multiply(x, 1.0)
