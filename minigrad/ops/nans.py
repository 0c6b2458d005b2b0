"""Reductions that skip NaN, and nan_to_num.

A skipped NaN gets derivative 0, and the derivatives of the other elements are those of the reduction without it.
"""

from __future__ import annotations

import math
from typing import Any

from minigrad.backends.dtypes import finfo
from minigrad.core.arguments import check_options
from minigrad.core.arrays import dtype_of, is_inexact, real_dtype_of
from minigrad.core.vectors import copy_p
from minigrad.ops import extremes, reduce, scan
from minigrad.ops.arithmetic import divide, square_abs
from minigrad.ops.comparisons import equal, isnan, less_equal, logical_not
from minigrad.ops.comparisons import where as replace
from minigrad.ops.shape import astype
from minigrad.ops.statistics import prepare_variance, root, widen


def nan_to_num(x: Any, copy: Any = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """x with NaN, ∞ and −∞ replaced by numbers (0 and the largest and smallest of the dtype by default), which get the
    derivative of a constant.
    """
    check_options("nan_to_num", copy=None if copy else copy)
    if not is_inexact(x):
        return copy_p(x)
    limits = finfo(dtype_of(x))
    y = replace(isnan(x), nan, x)
    y = replace(equal(y, math.inf), float(limits.max) if posinf is None else posinf, y)
    return replace(equal(y, -math.inf), float(limits.min) if neginf is None else neginf, y)


def _fill(a, value):
    """a with NaN replaced by a value; integers and booleans unchanged."""
    return replace(isnan(a), value, a) if is_inexact(a) else a


def _count(a, axis, keepdims=False):
    """The number of elements that are not NaN, in the dtype of the real part of a unless that holds integers."""
    count = reduce.count_nonzero(logical_not(isnan(a)), axis, keepdims=keepdims)
    return astype(count, real_dtype_of(a)) if is_inexact(a) else count


# Sums and products


def nansum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: None = None,
    where: Any = None,
) -> Any:
    """Sum over axes, with NaN as 0."""
    check_options("nansum", out=out, initial=initial, where=where)
    return reduce.sum(_fill(a, 0), axis, dtype, keepdims=keepdims)


def nanprod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: None = None,
    where: Any = None,
) -> Any:
    """Product over axes, with NaN as 1."""
    check_options("nanprod", out=out, initial=initial, where=where)
    return scan.prod(_fill(a, 1), axis, dtype, keepdims=keepdims)


def nancumsum(a: Any, axis: Any = None, dtype: Any = None, out: None = None) -> Any:
    """Running sums, with NaN as 0."""
    check_options("nancumsum", out=out)
    return scan.cumsum(_fill(a, 0), axis, dtype)


def nancumprod(a: Any, axis: Any = None, dtype: Any = None, out: None = None) -> Any:
    """Running products, with NaN as 1."""
    check_options("nancumprod", out=out)
    return scan.cumprod(_fill(a, 1), axis, dtype)


# Extremes


def nanmax(
    a: Any, axis: Any = None, out: None = None, keepdims: bool = False, initial: None = None, where: Any = None
) -> Any:
    """The largest element that is not NaN, or NaN if there is none; ties share the derivative equally."""
    check_options("nanmax", out=out, initial=initial, where=where)
    return _find_extreme(extremes.max, a, -math.inf, axis, keepdims)


def nanmin(
    a: Any, axis: Any = None, out: None = None, keepdims: bool = False, initial: None = None, where: Any = None
) -> Any:
    """The smallest element that is not NaN, or NaN if there is none; ties share the derivative equally."""
    check_options("nanmin", out=out, initial=initial, where=where)
    return _find_extreme(extremes.min, a, math.inf, axis, keepdims)


def _find_extreme(extreme, a, fill, axis, keepdims):
    if not is_inexact(a):
        return extreme(a, axis, keepdims=keepdims)
    none = equal(_count(a, axis, keepdims), 0)
    return replace(none, math.nan, extreme(_fill(a, fill), axis, keepdims=keepdims))


# Means and variances


def nanmean(
    a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False, *, where: Any = None
) -> Any:
    """Mean of the elements that are not NaN, in `dtype`; NaN if there is none."""
    check_options("nanmean", out=out, where=where)
    wide, result = widen(a, dtype, "nanmean")
    count = _count(wide, axis, keepdims)
    y = divide(nansum(wide, axis, keepdims=keepdims), replace(equal(count, 0), math.nan, count))
    return y if result is None else astype(y, result)


def nanvar(
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
    """Variance of the n elements that are not NaN, divided by n − ddof; NaN where that is not positive."""
    check_options("nanvar", out=out, where=where)
    return _variance("nanvar", a, axis, dtype, ddof, keepdims, mean, correction)


def nanstd(
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
    """√nanvar; where all elements are equal, its derivatives of every order are defined as 0."""
    check_options("nanstd", out=out, where=where)
    return _variance("nanstd", a, axis, dtype, ddof, keepdims, mean, correction)


def _variance(operation, a, axis, dtype, ddof, keepdims, centre, correction):
    wide, result, ddof = prepare_variance(operation, a, dtype, ddof, correction)
    centre = nanmean(wide, axis, keepdims=True) if centre is None else centre
    deviation = replace(isnan(wide), 0, wide - centre)
    degrees = _count(wide, axis, keepdims) - ddof
    degrees = replace(less_equal(degrees, 0), math.nan, degrees)
    y = divide(reduce.sum(square_abs(deviation), axis, keepdims=keepdims), degrees)
    y = root(y) if operation == "nanstd" else y
    return y if result is None else astype(y, result)
