"""Partitions, medians and quantiles: elements of the sorted array, and means of two neighbours in it.

The derivative goes to the elements that stand there: of equal elements, to the one that the stable sort puts there. A
quantile between the elements at h = q·(n−1) is linear in both, and in q.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.core.arguments import check_options, integers
from minigrad.core.arrays import describe, dtype_of, real_dtype_of, shape_of
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.ops import comparisons
from minigrad.ops.arithmetic import divide, maximum, minimum
from minigrad.ops.comparisons import equal, floor, isinf, isnan, logical_and, where
from minigrad.ops.define import in_float32
from minigrad.ops.extremes import check_kind, sort
from minigrad.ops.indexing import getitem, take, take_along_axis
from minigrad.ops.reduce import count_nonzero, keep_axes, make_inexact, resolve_axis
from minigrad.ops.shape import astype, moveaxis, normalise_axes, reshape


def partition(a: Any, kth: Any, axis: Any = -1, kind: Any = "introselect", order: Any = None) -> Any:
    """a with the kth smallest elements in their sorted places, smaller ones before and larger ones after them.

    The others are sorted too, which is one of the orders that NumPy leaves open.
    """
    check_kind("partition", None if kind == "introselect" else kind, order)
    line, along = resolve_axis(a, axis, "partition")
    for k in integers(kth, "partition: kth"):
        if not -shape_of(line)[along] <= k < shape_of(line)[along]:
            raise OperandError(f"partition: kth={k} is out of range for axis {along} of {describe(line)}")
    return sort(line, along)


# Quantiles


def median(a: Any, axis: Any = None, out: None = None, overwrite_input: Any = False, keepdims: bool = False) -> Any:
    """The middle element over axes, or the mean of the middle two; NaN if there is a NaN."""
    check_options("median", out=out)
    return _find_quantile("median", a, 0.5, axis, "linear", keepdims)


def quantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: None = None,
    overwrite_input: Any = False,
    method: Any = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Any:
    """The elements below which a fraction q of the others lies, interpolated; the axes of q come first in the result.

    With n elements, `method` says how the elements around h = q·(n−1) give the result: 'linear', 'lower', 'higher',
    'midpoint' or 'nearest' (the even one at a tie). NaN if there is a NaN.
    """
    check_options("quantile", out=out, weights=weights)
    return _find_quantile("quantile", a, q, axis, method, keepdims)


def percentile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: None = None,
    overwrite_input: Any = False,
    method: Any = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Any:
    """`quantile` for q in percent."""
    check_options("percentile", out=out, weights=weights)
    return _find_quantile("percentile", a, _from_percent(q), axis, method, keepdims)


def nanmedian(a: Any, axis: Any = None, out: None = None, overwrite_input: Any = False, keepdims: bool = False) -> Any:
    """The median of the elements that are not NaN; NaN if there is none."""
    check_options("nanmedian", out=out)
    return _find_quantile("nanmedian", a, 0.5, axis, "linear", keepdims)


def nanquantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: None = None,
    overwrite_input: Any = False,
    method: Any = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Any:
    """The quantiles of the elements that are not NaN; NaN if there is none."""
    check_options("nanquantile", out=out, weights=weights)
    return _find_quantile("nanquantile", a, q, axis, method, keepdims)


def nanpercentile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: None = None,
    overwrite_input: Any = False,
    method: Any = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Any:
    """`nanquantile` for q in percent."""
    check_options("nanpercentile", out=out, weights=weights)
    return _find_quantile("nanpercentile", a, _from_percent(q), axis, method, keepdims)


def _from_percent(q):
    return q / 100 if isinstance(q, (int, float)) else divide(q, 100)


METHODS: dict[str, Callable] = {  # the position instead of h; of NumPy's functions or ours
    "linear": lambda xp, h: h,
    "lower": lambda xp, h: xp.floor(h),
    "higher": lambda xp, h: xp.ceil(h),
    "midpoint": lambda xp, h: (xp.floor(h) + xp.ceil(h)) / 2,
    "nearest": lambda xp, h: xp.rint(h),
}


@in_float32
def _find_quantile(operation, a, q, axis, method, keepdims):
    if method not in METHODS:
        raise OperandError(f"{operation}: method={method!r} is not supported; use one of {', '.join(METHODS)}")
    if isinstance(q, (int, float, np.ndarray)) and not np.all((q >= 0) & (q <= 1)):
        raise OperandError(f"{operation}: q must be between 0 and {100 if 'percent' in operation else 1}")
    if dtype_of(a).kind == "c" and "median" not in operation:
        raise OperandTypeError(f"{operation}: real arrays only, got {describe(a)}")
    shape, several, a = shape_of(a), shape_of(q), make_inexact(a)
    axes = normalise_axes(axis, len(shape), operation)
    kept = tuple(n for i, n in enumerate(shape) if i not in axes)
    count = math.prod(shape[i] for i in axes)
    if not count:
        raise OperandError(f"{operation}: {describe(a)} has no elements along axes {axes}")
    rows = reshape(moveaxis(a, axes, tuple(range(len(kept), len(shape)))), (*kept, count))
    rows = sort(rows, -1)  # NaN comes last
    dtype = dtype_of(rows) if isinstance(q, (int, float)) else np.result_type(dtype_of(rows), dtype_of(q))
    skip, last = operation.startswith("nan"), count - 1
    if skip:  # the last position in each row
        last = maximum(last - count_nonzero(isnan(rows), -1, keepdims=True), 0)
        last = astype(last, np.result_type(real_dtype_of(rows), np.float32))
    h = (reshape(q, (-1,)) if several else q) * last
    y = _interpolate(rows, METHODS[method](np if isinstance(h, (int, float)) else comparisons, h), last, dtype)
    if not skip:
        largest = getitem(rows, (..., slice(-1, None)))
        y = where(isnan(largest), largest, y)
    y = moveaxis(y, -1, 0)
    return reshape(y, (*several, *(keep_axes(shape, axes) if keepdims else kept)))


def _interpolate(rows, h, last, dtype):
    """Sorted rows (*kept, count) at the positions h, fractions between 0 and `last`: (*kept, positions) of this dtype.

    Positions are one number, (positions,) or (*kept, positions).
    """
    if isinstance(h, (int, float)):
        low, high, t = [int(h)], [min(int(h) + 1, last)], float(h - int(h))
    else:
        below = floor(h)
        low, high, t = astype(below, np.int64), astype(minimum(below + 1, last), np.int64), astype(h - below, dtype)
    low, high = _pick(rows, low), _pick(rows, high)
    high = where(logical_and(equal(t, 0), isinf(high)), 0, high)  # its weight is 0, and 0·∞ is NaN
    return (1 - t) * low + t * high


def _pick(rows, places):
    if len(shape_of(places)) < 2:
        return take(rows, reshape(places, (-1,)) if shape_of(places) == () else places, -1)
    return take_along_axis(rows, places, -1)
