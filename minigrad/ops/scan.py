"""Scans and products: running sums and products along an axis, and the linear recurrence behind their derivatives.

Derivatives of products of any order are exact where factors are zero, because no rule divides by a factor.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.backends import store
from minigrad.core.arguments import check_options
from minigrad.core.arrays import describe, dtype_of, shape_of
from minigrad.core.batching import align, batched, repeat, shift_axes, shift_axis
from minigrad.core.errors import OperandError
from minigrad.core.interpreter import find_backend, primitive
from minigrad.core.rules import custom, linear
from minigrad.core.vectors import concatenate_p, reshape_p, zeros_like_p
from minigrad.ops.arrange import flip
from minigrad.ops.indexing import getitem
from minigrad.ops.reduce import convert_operand, convert_result, reduce_axes, resolve_axis, spread, sum_p
from minigrad.ops.shape import moveaxis, normalise_axis


@primitive("cumsum")
def cumsum_p(b, x, *, axis, reverse=False, out=None):
    if x.dtype == np.float16:  # in which 2048 + 1 is 2048
        return store(cumsum_p.forward(b, x.astype(np.float32), axis=axis, reverse=reverse).astype(x.dtype), out)
    if not reverse:
        return b.xp.cumsum(x, axis=axis, out=out)
    backwards = (slice(None),) * axis + (slice(None, None, -1),)
    return store(b.xp.cumsum(x[backwards], axis=axis)[backwards], out)


linear(cumsum_p, x=lambda g, axis, reverse: cumsum_p(g, axis=axis, reverse=not reverse))
batched(cumsum_p, axis=shift_axis)


def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: None = None) -> Any:
    """Running sums along an axis (of the raveled a by default), in `dtype`."""
    check_options("cumsum", out=out)
    a, axis = resolve_axis(a, axis, "cumsum")
    y = cumsum_p(convert_operand(a, dtype, "cumsum"), axis=axis, reverse=False)
    return convert_result(y, dtype)


# Products, with derivatives that are exact where factors are zero


@primitive("recurrence")
def recurrence_p(b, a, x, *, axis, reverse, out=None):
    """h with h_k = a_k·h_{k−1} + x_k along an axis (h_{k+1} with `reverse`).

    Computed by doubling in log₂ n passes, or one step at a time if intermediate products of a could over- or underflow.
    """
    xp = b.xp
    turn = -1 if reverse else 1
    a, h = (xp.moveaxis(v, axis, 0)[::turn].astype(xp.result_type(a, x)) for v in xp.broadcast_arrays(a, x))
    size = xp.abs(a)
    spread = xp.sum(xp.abs(xp.log2(xp.where(size > 0, size, 1))), axis=0)  # bounds the exponent of every product
    if h.size and not bool(xp.all(spread < 0.9 * np.finfo(h.dtype).maxexp)):
        for k in range(1, h.shape[0]):
            h[k] += a[k] * h[k - 1]
        return store(xp.moveaxis(h[::turn], 0, axis), out)
    reach = 1
    while reach < h.shape[0]:  # (a, h)_k covers the last `reach` steps up to k; join it with the `reach` before
        h[reach:] = a[reach:] * h[:-reach] + h[reach:]
        a[reach:] = a[reach:] * a[:-reach]
        reach *= 2
    return store(xp.moveaxis(h[::turn], 0, axis), out)


def _shift(x, axis, reverse, first):
    """x shifted by one along an axis (backwards with `reverse`), with `first` in the free place."""
    begin, end = (slice(1, None), slice(None, 1)) if reverse else (slice(None, -1), slice(-1, None))
    lead = (slice(None),) * axis
    edge = zeros_like_p(getitem(x, (*lead, end))) + first
    pieces = [getitem(x, (*lead, begin)), edge] if reverse else [edge, getitem(x, (*lead, begin))]
    return concatenate_p(*pieces, axis=axis)


def _run_adjoint(g, a, axis, reverse):
    """λ_k = g_k + a_{k+1}·λ_{k+1}: the adjoint recurrence, which runs the other way."""
    return recurrence_p(_shift(a, axis, not reverse, 0), g, axis=axis, reverse=not reverse)


custom(
    recurrence_p,
    a=(
        lambda t, a, y, axis, reverse: recurrence_p(a, t * _shift(y, axis, reverse, 0), axis=axis, reverse=reverse),
        lambda g, a, y, axis, reverse: _run_adjoint(g, a, axis, reverse) * _shift(y, axis, reverse, 0),
    ),
    x=(
        lambda t, a, axis, reverse: recurrence_p(a, t, axis=axis, reverse=reverse),
        lambda g, a, axis, reverse: _run_adjoint(g, a, axis, reverse),
    ),
)
batched(
    recurrence_p,
    lambda size, args, is_batched, *, axis, reverse: recurrence_p(
        *align(repeat(size, args, is_batched), (True, True)), axis=axis + 1, reverse=reverse
    ),
)


@primitive("cumprod")
def cumprod_p(b, x, *, axis, out=None):
    return b.xp.cumprod(x, axis=axis, out=out)


custom(  # y_k = x_k·y_{k−1}, so ẏ_k = x_k·ẏ_{k−1} + t_k·y_{k−1}
    cumprod_p,
    x=(
        lambda t, x, y, axis: recurrence_p(x, t * _shift(y, axis, False, 1), axis=axis, reverse=False),
        lambda g, x, y, axis: _run_adjoint(g, x, axis, False) * _shift(y, axis, False, 1),
    ),
)
batched(cumprod_p, axis=shift_axis)


def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: None = None) -> Any:
    """Running products along an axis (of the raveled a by default), in `dtype`."""
    check_options("cumprod", out=out)
    a, axis = resolve_axis(a, axis, "cumprod")
    y = cumprod_p(convert_operand(a, dtype, "cumprod"), axis=axis)
    return convert_result(y, dtype)


def cumulative_sum(
    x: Any, /, *, axis: Any = None, dtype: Any = None, out: None = None, include_initial: bool = False
) -> Any:
    """`cumsum` along the axis (which only a vector may leave out), after a 0 with `include_initial`."""
    check_options("cumulative_sum", out=out)
    return _scan_from(0, cumsum, x, axis, dtype, include_initial, "cumulative_sum")


def cumulative_prod(
    x: Any, /, *, axis: Any = None, dtype: Any = None, out: None = None, include_initial: bool = False
) -> Any:
    """`cumprod` along the axis (which only a vector may leave out), after a 1 with `include_initial`."""
    check_options("cumulative_prod", out=out)
    return _scan_from(1, cumprod, x, axis, dtype, include_initial, "cumulative_prod")


def _scan_from(first, scan, x, axis, dtype, include_initial, operation):
    ndim = len(shape_of(x))
    if not ndim or (axis is None and ndim > 1):
        raise OperandError(f"{operation}: needs a vector, or an array and an axis of it, got {describe(x)}")
    axis = 0 if axis is None else normalise_axis(axis, ndim, operation)
    y = scan(x, axis, dtype)
    if not include_initial:
        return y
    edge = np.full([1 if i == axis else n for i, n in enumerate(shape_of(y))], first, dtype_of(y))
    return concatenate_p(find_backend(y).from_host(edge), y, axis=axis)


@primitive("prod")
def prod_p(b, x, *, axes, out=None):
    return b.xp.prod(x, axis=axes, out=out)


def _multiply_others(x, axes):
    """For each factor, the product of all others: of those before it times of those after it."""
    if not axes:
        return zeros_like_p(x) + 1
    shape = shape_of(x)
    front = moveaxis(x, axes, tuple(range(len(axes))))
    rows = reshape_p(
        front, shape=(math.prod(shape[a] for a in axes), *[n for i, n in enumerate(shape) if i not in axes])
    )
    if 0 in shape_of(rows):
        return x
    before = cumprod_p(_shift(rows, 0, False, 1), axis=0)
    after = flip(cumprod_p(flip(_shift(rows, 0, True, 1), 0), axis=0), 0)
    return moveaxis(reshape_p(before * after, shape=shape_of(front)), tuple(range(len(axes))), axes)


custom(
    prod_p,
    x=(
        lambda t, x, axes: sum_p(_multiply_others(x, axes) * t, axes=axes),
        lambda g, x, axes: _multiply_others(x, axes) * spread(g, x, axes),
    ),
)
batched(prod_p, axes=shift_axes)


def prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: None = None,
    where: Any = None,
) -> Any:
    """Product over axes (all by default), in `dtype`."""
    check_options("prod", out=out, initial=initial, where=where)
    y = reduce_axes(prod_p, convert_operand(a, dtype, "prod"), axis, keepdims)
    return convert_result(y, dtype)
