"""Reductions over axes: sums, counts, and the helpers that all reductions share."""

from __future__ import annotations

import builtins
from typing import Any

from minigrad.core.arguments import check_options, dtype_from
from minigrad.core.arrays import dtype_of, is_inexact, shape_of
from minigrad.core.batching import batched, shift_axes
from minigrad.core.interpreter import primitive
from minigrad.core.rules import linear
from minigrad.core.traits import Cut, traits
from minigrad.core.vectors import broadcast_to_p, reshape_p
from minigrad.ops.arithmetic import multiply
from minigrad.ops.comparisons import equal, logical_not, not_equal
from minigrad.ops.shape import astype, normalise_axes, normalise_axis, ravel


def keep_axes(shape, axes):
    """The shape after a reduction over `axes` that keeps them with length 1."""
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def spread(g, x, axes):
    """g, which lacks `axes`, broadcast back to the shape of x."""
    return broadcast_to_p(reshape_p(g, shape=keep_axes(shape_of(x), axes)), shape=shape_of(x))


def reduce_axes(reduction, x, axis, keepdims, **params):
    """Apply a primitive that drops its axes, and put them back with length 1 if `keepdims`."""
    axes = normalise_axes(axis, len(shape_of(x)), reduction.name)
    y = reduction(x, axes=axes, **params)
    return reshape_p(y, shape=keep_axes(shape_of(x), axes)) if keepdims else y


def resolve_axis(a, axis, operation):
    """(a, the axis counted from 0), or (the raveled a, 0) if axis is None or a is zero-dimensional."""
    ndim = len(shape_of(a))
    axis = axis if axis is None else normalise_axis(axis, builtins.max(ndim, 1), operation)
    return (a, axis) if ndim and axis is not None else (ravel(a), 0)


def make_inexact(x):
    return x if is_inexact(x) else multiply(x, 1.0)


# Sums


@primitive("sum")
def sum_p(b, x, *, axes, out=None):
    return b.sum(x, axes, out)


def along_kept_axes(operands, result, params):
    """Cuts along the axes that a reduction keeps."""
    kept = [axis for axis in range(len(operands[0])) if axis not in params["axes"]]
    yield from (Cut((axis,), place) for place, axis in enumerate(kept))


def _along_all(operands, result, params):
    """Cuts along every axis; pieces of a summed axis give terms to add up."""
    yield from along_kept_axes(operands, result, params)
    yield from (Cut((axis,), None) for axis in params["axes"])


linear(sum_p, x=lambda g, x, axes: spread(g, x, axes))
batched(sum_p, axes=shift_axes)
traits(sum_p, cuts=_along_all, recordable=True)


def sum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: None = None,
    where: Any = None,
) -> Any:
    """Sum over axes (all by default), in `dtype`."""
    check_options("sum", out=out, initial=initial, where=where)
    y = reduce_axes(sum_p, convert_operand(a, dtype, "sum"), axis, keepdims)
    return convert_result(y, dtype)


def convert_result(y, dtype):
    """y in `dtype` if one is given: sums and products of small integers come in a wider dtype."""
    return y if dtype is None else astype(y, dtype, copy=False)


def convert_operand(a, dtype, operation):
    """a in `dtype` if one is given, in which a reduction or scan then adds up or multiplies."""
    return a if dtype is None else astype(a, dtype_from(dtype, operation), copy=False)


# Reductions of masks, which have no derivative


def _to_bool(a):
    """a as booleans: 0 is false, everything else true, NaN included."""
    return a if dtype_of(a).kind == "b" else not_equal(a, 0)


def count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The number of nonzero elements over axes (all by default)."""
    return sum(_to_bool(a), axis, keepdims=keepdims)


def any(a: Any, axis: Any = None, out: None = None, keepdims: bool = False, *, where: Any = None) -> Any:
    """Whether any element is true, over axes (all by default)."""
    check_options("any", out=out, where=where)
    return not_equal(count_nonzero(a, axis, keepdims=keepdims), 0)


def all(a: Any, axis: Any = None, out: None = None, keepdims: bool = False, *, where: Any = None) -> Any:
    """Whether every element is true, over axes (all by default)."""
    check_options("all", out=out, where=where)
    return equal(sum(logical_not(a), axis, keepdims=keepdims), 0)
