"""ln Σ eˣ and softmax, computed relative to the largest element so that exp does not overflow."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from minigrad.backends import store
from minigrad.core.arrays import dtype_of, shape_of
from minigrad.core.batching import batched, shift_axes
from minigrad.core.interpreter import primitive
from minigrad.core.rules import constant, custom
from minigrad.core.traits import traits
from minigrad.core.vectors import reshape_p
from minigrad.ops.comparisons import equal, where
from minigrad.ops.define import in_float32
from minigrad.ops.functions import exp
from minigrad.ops.reduce import (
    along_kept_axes,
    keep_axes,
    make_inexact,
    reduce_axes,
    spread,
    sum,
    sum_p,
)
from minigrad.ops.shape import normalise_axes


@primitive("logsumexp")
def logsumexp_p(b, x, *, axes, out=None):
    xp = b.xp
    empty = builtins.any(x.shape[a] == 0 for a in axes)
    top = (
        xp.zeros(keep_axes(x.shape, axes), xp.real(x).dtype) if empty else xp.max(xp.real(x), axis=axes, keepdims=True)
    )
    top = xp.where(xp.isfinite(top), top, 0)
    wide = np.float32 if dtype_of(x) == np.float16 else None  # in which 2048 + 1 is 2048
    total = xp.sum(xp.exp(x - top), axis=axes, dtype=wide)
    zero = total == 0
    y = xp.where(zero, -xp.inf, xp.log(xp.where(zero, 1, total)) + top.reshape(total.shape))
    return store(y if wide is None else y.astype(np.float16), out)


def _weights(x, y, axes):
    """∂y/∂x = e^(x−y); 0 where y = −∞, because every x is −∞ there."""
    y = reshape_p(y, shape=keep_axes(shape_of(x), axes))
    return exp(x - where(equal(y, -math.inf), 0, y))


custom(
    logsumexp_p,
    x=(
        lambda t, x, y, axes: sum_p(_weights(x, y, axes) * t, axes=axes),
        lambda g, x, y, axes: _weights(x, y, axes) * spread(g, x, axes),
    ),
)
batched(logsumexp_p, axes=shift_axes)
traits(logsumexp_p, cuts=along_kept_axes, recordable=True)


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """ln Σ eˣ over axes (all by default), computed relative to the largest x."""
    return reduce_axes(logsumexp_p, make_inexact(x), axis, keepdims)


@constant
@primitive("top")
def top_p(b, x, *, axes, out=None):
    """The largest element, with its axes kept; a constant, because a shift of x does not change softmax(x)."""
    return b.xp.max(b.xp.real(x), axis=axes, keepdims=True, out=out)


batched(top_p, axes=shift_axes)
traits(top_p, recordable=True)


@in_float32
def softmax(x: Any, axis: Any = -1) -> Any:
    """eˣ / Σ eˣ along an axis."""
    y = exp(_subtract_top(x, axis))
    return y / sum(y, axis, keepdims=True)


@in_float32
def log_softmax(x: Any, axis: Any = -1) -> Any:
    """x − ln Σ eˣ along an axis."""
    x = _subtract_top(x, axis)
    return x - logsumexp(x, axis, keepdims=True)


def _subtract_top(x, axis):
    """x − max x, with max x a constant: the same softmax, and exp cannot overflow."""
    x = make_inexact(x)
    return x if 0 in shape_of(x) else x - top_p(x, axes=normalise_axes(axis, len(shape_of(x)), "softmax"))
