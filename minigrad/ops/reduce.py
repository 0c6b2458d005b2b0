"""Reductions and scans along axes: sums, products, extremes, and what is built from them."""

from __future__ import annotations

import builtins
import math

import numpy as np

from minigrad.core import OperandError, OperandTypeError, describe, dtype_of, is_inexact, primitive, shape_of
from minigrad.ops import elementwise as e
from minigrad.ops.arrange import flip
from minigrad.ops.indexing import getitem, take_along_axis
from minigrad.ops.shape import concatenate_p, moveaxis, normal_axes, normal_axis, ravel, reshape_p, squeeze
from minigrad.rules import constant, custom, linear


def _kept(shape, axes):
    """The shape after a reduction that keeps its axes with length 1."""
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def _spread(g, x, axes):
    """g, which lacks `axes`, broadcast back to the shape of x."""
    return e.broadcast_to_p(reshape_p(g, shape=_kept(shape_of(x), axes)), shape=shape_of(x))


def _reduce(made, x, axis, keepdims, **params):
    """Apply a primitive that drops its axes."""
    axes = normal_axes(axis, len(shape_of(x)), made.name)
    y = made(x, axes=axes, **params)
    return reshape_p(y, shape=_kept(shape_of(x), axes)) if keepdims else y


# Sums


@primitive("sum")
def sum_p(b, x, *, axes, out=None):
    return b.xp.sum(x, axis=axes, out=out)


linear(sum_p, x=lambda g, x, axes: _spread(g, x, axes))


def sum(x, axis=None, keepdims=False):
    """Sum over axes (all by default)."""
    return _reduce(sum_p, x, axis, keepdims)


def mean(x, axis=None, keepdims=False):
    """Mean over axes (all by default)."""
    return e.divide(sum(x, axis, keepdims), _count(x, axis, "mean"))


def _count(x, axis, operation):
    return math.prod(shape_of(x)[a] for a in normal_axes(axis, len(shape_of(x)), operation))


def var(x, axis=None, ddof=0, keepdims=False):
    """Mean squared deviation from the mean; divides by n − ddof. Real x only."""
    if dtype_of(x).kind == "c":
        raise OperandTypeError(f"var: real arrays only, got {describe(x)}")
    deviation = x - mean(x, axis, keepdims=True)
    return e.divide(sum(e.square(deviation), axis, keepdims), builtins.max(_count(x, axis, "var") - ddof, 0))


def std(x, axis=None, ddof=0, keepdims=False):
    """√var; where x is constant, its derivatives of every order are taken to be 0."""
    return _root(var(x, axis, ddof, keepdims))


def _root(v):
    """√v for a sum of squares v: at 0 a kink, where the derivatives are taken to be 0."""
    zero = e.equal(v, 0)
    return e.where(zero, 0, e.sqrt(e.where(zero, 1, v)))


def norm(x, ord=None, axis=None, keepdims=False):
    """Vector norm: √Σx² by default, Σ|xᵢ|ᵖ to the 1/p for a number p, ±inf for the extremes of |x|.

    Over all elements by default. At x = 0 the derivatives are taken to be 0. Matrix norms (over two axes) other than
    'fro' are not offered. Raises ValueError.
    """
    if dtype_of(x).kind == "c":
        raise OperandTypeError(f"norm: real arrays only, got {describe(x)}")
    if ord not in (None, "fro") and len(normal_axes(axis, len(shape_of(x)), "norm")) > 1:
        raise OperandError(f"norm: ord={ord!r} of a matrix is not offered; give one axis, or use ord='fro'")
    if ord in (None, 2, "fro"):
        return _root(sum(e.square(x), axis, keepdims))
    if ord == math.inf:
        return max(e.abs(x), axis, keepdims)
    if ord == -math.inf:
        return min(e.abs(x), axis, keepdims)
    if not isinstance(ord, (int, float)) or ord == 0:
        raise OperandError(f"norm: ord={ord!r} is not offered; use None, 'fro', a number other than 0, or ±inf")
    if ord == 1:
        return sum(e.abs(x), axis, keepdims)
    size = e.abs(x)
    zero = e.equal(sum(size, axis, keepdims=True), 0)
    total = sum(e.power(e.where(zero, 1, size), ord), axis, keepdims=True)
    y = e.where(zero, 0, e.power(total, 1 / ord))
    return y if keepdims else squeeze(y, axis)


@primitive("cumsum")
def cumsum_p(b, x, *, axis, reverse=False, out=None):
    if not reverse:
        return b.xp.cumsum(x, axis=axis, out=out)
    backwards = (slice(None),) * axis + (slice(None, None, -1),)
    return e._stored(b.xp.cumsum(x[backwards], axis=axis)[backwards], out)


linear(cumsum_p, x=lambda g, axis, reverse: cumsum_p(g, axis=axis, reverse=not reverse))


def cumsum(x, axis=None):
    """Running sums along an axis (of the raveled x by default)."""
    x, axis = (ravel(x), 0) if axis is None else (x, axis)
    return cumsum_p(x, axis=normal_axis(axis, len(shape_of(x)), "cumsum"), reverse=False)


# Extremes: every element that attains the extreme gets an equal share of the derivative


@constant
@primitive("share")
def share_p(b, x, y, *, axes, out=None):
    """1/n at the n places along `axes` where x attains the extreme y, else 0."""
    attained = b.xp.equal(x, y.reshape(_kept(shape_of(x), axes)))
    count = b.xp.sum(attained, axis=axes, keepdims=True, dtype=np.int64)
    return e._stored((attained / b.xp.maximum(count, 1)).astype(dtype_of(x)), out)


@primitive("max")
def max_p(b, x, *, axes, out=None):
    return b.xp.max(x, axis=axes, out=out)


@primitive("min")
def min_p(b, x, *, axes, out=None):
    return b.xp.min(x, axis=axes, out=out)


for _extreme in (max_p, min_p):
    custom(
        _extreme,
        x=(
            lambda t, x, y, axes: sum_p(share_p(x, y, axes=axes) * t, axes=axes),
            lambda g, x, y, axes: share_p(x, y, axes=axes) * _spread(g, x, axes),
        ),
    )


def max(x, axis=None, keepdims=False):
    """The largest element; ties share the derivative equally."""
    return _reduce(max_p, x, axis, keepdims)


def min(x, axis=None, keepdims=False):
    """The smallest element; ties share the derivative equally."""
    return _reduce(min_p, x, axis, keepdims)


@constant
@primitive("argmax")
def argmax_p(b, x, *, axis, out=None):
    return e._stored(b.xp.argmax(x, axis=axis), out)


@constant
@primitive("argmin")
def argmin_p(b, x, *, axis, out=None):
    return e._stored(b.xp.argmin(x, axis=axis), out)


@constant
@primitive("argsort")
def argsort_p(b, x, *, axis, out=None):
    return e._stored(b.xp.argsort(x, axis=axis, kind="stable"), out)


def argmax(x, axis=None):
    """Where the largest element is (the first, of ties)."""
    return argmax_p(x, axis=axis)


def argmin(x, axis=None):
    """Where the smallest element is (the first, of ties)."""
    return argmin_p(x, axis=axis)


def argsort(x, axis=-1):
    """The indices that sort x; ties keep their order."""
    return argsort_p(x, axis=axis)


def sort(x, axis=-1):
    """x in increasing order along an axis (axis=None sorts the raveled x)."""
    x, axis = (ravel(x), 0) if axis is None else (x, axis)
    axis = normal_axis(axis, len(shape_of(x)), "sort")
    return take_along_axis(x, argsort_p(x, axis=axis), axis)


# Products, with derivatives that are exact where factors are zero


@primitive("recurrence")
def recurrence_p(b, a, x, *, axis, reverse, out=None):
    """h with h_k = a_k·h_{k−1} + x_k along an axis (backwards: h_{k+1}), by doubling: log₂ n passes."""
    xp = b.xp
    turn = -1 if reverse else 1
    a, h = (xp.moveaxis(v, axis, 0)[::turn].copy() for v in xp.broadcast_arrays(a, x))
    reach = 1
    while reach < h.shape[0]:  # (a, h)_k covers `reach` steps up to k; join it with those before
        h[reach:] = a[reach:] * h[:-reach] + h[reach:]
        a[reach:] = a[reach:] * a[:-reach]
        reach *= 2
    return e._stored(xp.moveaxis(h[::turn], 0, axis), out)


def _shifted(x, axis, reverse, first):
    """x moved one place on along an axis, `first` entering at the start."""
    begin, end = (slice(1, None), slice(None, 1)) if reverse else (slice(None, -1), slice(-1, None))
    lead = (slice(None),) * axis
    edge = e.zeros_like_p(getitem(x, (*lead, end))) + first
    pieces = [getitem(x, (*lead, begin)), edge] if reverse else [edge, getitem(x, (*lead, begin))]
    return concatenate_p(*pieces, axis=axis)


def _back(g, a, axis, reverse):
    """λ_k = g_k + a_{k+1}·λ_{k+1}: the recurrence run the other way."""
    return recurrence_p(_shifted(a, axis, not reverse, 0), g, axis=axis, reverse=not reverse)


custom(
    recurrence_p,
    a=(
        lambda t, a, y, axis, reverse: recurrence_p(a, t * _shifted(y, axis, reverse, 0), axis=axis, reverse=reverse),
        lambda g, a, y, axis, reverse: _back(g, a, axis, reverse) * _shifted(y, axis, reverse, 0),
    ),
    x=(
        lambda t, a, axis, reverse: recurrence_p(a, t, axis=axis, reverse=reverse),
        lambda g, a, axis, reverse: _back(g, a, axis, reverse),
    ),
)


@primitive("cumprod")
def cumprod_p(b, x, *, axis, out=None):
    return b.xp.cumprod(x, axis=axis, out=out)


custom(  # y_k = x_k·y_{k−1}, so ẏ_k = x_k·ẏ_{k−1} + t_k·y_{k−1}
    cumprod_p,
    x=(
        lambda t, x, y, axis: recurrence_p(x, t * _shifted(y, axis, False, 1), axis=axis, reverse=False),
        lambda g, x, y, axis: _back(g, x, axis, False) * _shifted(y, axis, False, 1),
    ),
)


def cumprod(x, axis=None):
    """Running products along an axis (of the raveled x by default)."""
    x, axis = (ravel(x), 0) if axis is None else (x, axis)
    return cumprod_p(x, axis=normal_axis(axis, len(shape_of(x)), "cumprod"))


@primitive("prod")
def prod_p(b, x, *, axes, out=None):
    return b.xp.prod(x, axis=axes, out=out)


def _others(x, axes):
    """The product of all other factors, for each factor: those before times those after."""
    if not axes:
        return e.zeros_like_p(x) + 1
    shape = shape_of(x)
    front = moveaxis(x, axes, tuple(range(len(axes))))
    rows = reshape_p(
        front, shape=(math.prod(shape[a] for a in axes), *[n for i, n in enumerate(shape) if i not in axes])
    )
    if 0 in shape_of(rows):
        return x
    before = cumprod_p(_shifted(rows, 0, False, 1), axis=0)
    after = flip(cumprod_p(flip(_shifted(rows, 0, True, 1), 0), axis=0), 0)
    return moveaxis(reshape_p(before * after, shape=shape_of(front)), tuple(range(len(axes))), axes)


custom(
    prod_p,
    x=(
        lambda t, x, axes: sum_p(_others(x, axes) * t, axes=axes),
        lambda g, x, axes: _others(x, axes) * _spread(g, x, axes),
    ),
)


def prod(x, axis=None, keepdims=False):
    """Product over axes (all by default)."""
    return _reduce(prod_p, x, axis, keepdims)


# Log-sum-exp and softmax


@primitive("logsumexp")
def logsumexp_p(b, x, *, axes, out=None):
    xp = b.xp
    empty = any(x.shape[a] == 0 for a in axes)
    top = xp.zeros(_kept(x.shape, axes)) if empty else xp.max(xp.real(x), axis=axes, keepdims=True)
    top = xp.where(xp.isfinite(top), top, 0)
    total = xp.sum(xp.exp(x - top), axis=axes)
    zero = total == 0
    return e._stored(xp.where(zero, -xp.inf, xp.log(xp.where(zero, 1, total)) + top.reshape(total.shape)), out)


def _weights(x, y, axes):
    """∂y/∂x = e^(x−y); zero where y = −∞, for then no x counts."""
    y = reshape_p(y, shape=_kept(shape_of(x), axes))
    return e.exp(x - e.where(e.equal(y, -math.inf), 0, y))


custom(
    logsumexp_p,
    x=(
        lambda t, x, y, axes: sum_p(_weights(x, y, axes) * t, axes=axes),
        lambda g, x, y, axes: _weights(x, y, axes) * _spread(g, x, axes),
    ),
)


def logsumexp(x, axis=None, keepdims=False):
    """ln Σ eˣ over axes, computed around the largest x."""
    return _reduce(logsumexp_p, _inexact(x), axis, keepdims)


def softmax(x, axis=-1):
    """eˣ / Σ eˣ along an axis."""
    y = e.exp(_from_top(x, axis))
    return y / sum(y, axis, keepdims=True)


def log_softmax(x, axis=-1):
    """x − ln Σ eˣ along an axis."""
    x = _from_top(x, axis)
    return x - logsumexp(x, axis, keepdims=True)


def _from_top(x, axis):
    """x less its largest element, as a constant: the same softmax, in numbers that exp can take."""
    x = _inexact(x)
    return x if 0 in shape_of(x) else x - max(e.stop_gradient(x), axis, keepdims=True)


def _inexact(x):
    return x if is_inexact(x) else e.multiply(x, 1.0)
