"""Maxima, minima, sorting and searching. The elements that attain an extreme share its derivative equally."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from minigrad.backends import store
from minigrad.core.arguments import check_options
from minigrad.core.arrays import describe, dtype_of, shape_of
from minigrad.core.batching import batched, repeat, shift_axes, shift_axis
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.core.interpreter import primitive
from minigrad.core.rules import constant, custom
from minigrad.core.traits import traits
from minigrad.core.vectors import reshape_p
from minigrad.ops.arithmetic import subtract
from minigrad.ops.arrange import flip
from minigrad.ops.comparisons import less, less_equal
from minigrad.ops.indexing import take, take_along_axis
from minigrad.ops.reduce import (
    along_kept_axes,
    keep_axes,
    reduce_axes,
    resolve_axis,
    spread,
    sum_p,
)
from minigrad.ops.shape import normalise_axes


@constant
@primitive("share")
def share_p(b, x, y, *, axes, out=None):
    """1/n at each of the n positions along `axes` where x equals the extreme y, else 0; all NaN if y is NaN."""
    y = y.reshape(keep_axes(shape_of(x), axes))
    attained = b.xp.equal(x, y)
    count = b.xp.sum(attained, axis=axes, keepdims=True, dtype=np.int64)
    share = (attained / b.xp.maximum(count, 1)).astype(dtype_of(x))
    return store(b.xp.where(b.xp.isnan(y), y, share), out)


batched(share_p, axes=shift_axes)
traits(share_p, recordable=True)


@primitive("max")
def max_p(b, x, *, axes, out=None):
    return b.xp.max(x, axis=axes, out=out)


@primitive("min")
def min_p(b, x, *, axes, out=None):
    return b.xp.min(x, axis=axes, out=out)


def _make_kink(argextreme):
    """The kink of max or min: a function that finds the index of the extreme element along `axes`."""

    def find(x, axes):
        if not x.size:
            return x
        rows = np.moveaxis(x, axes, range(-len(axes), 0)) if axes else x[..., None]
        return argextreme(rows.reshape(*rows.shape[: rows.ndim - builtins.max(1, len(axes))], -1), axis=-1)

    return find


traits(max_p, cuts=along_kept_axes, recordable=True, kink=_make_kink(np.argmax))
traits(min_p, cuts=along_kept_axes, recordable=True, kink=_make_kink(np.argmin))
for _extreme in (max_p, min_p):
    custom(
        _extreme,
        x=(
            lambda t, x, y, axes: sum_p(share_p(x, y, axes=axes) * t, axes=axes),
            lambda g, x, y, axes: share_p(x, y, axes=axes) * spread(g, x, axes),
        ),
    )
    batched(_extreme, axes=shift_axes)


def max(
    a: Any, axis: Any = None, out: None = None, keepdims: bool = False, initial: None = None, where: Any = None
) -> Any:
    """The largest element; ties share the derivative equally."""
    check_options("max", out=out, initial=initial, where=where)
    return reduce_axes(max_p, a, axis, keepdims)


def min(
    a: Any, axis: Any = None, out: None = None, keepdims: bool = False, initial: None = None, where: Any = None
) -> Any:
    """The smallest element; ties share the derivative equally."""
    check_options("min", out=out, initial=initial, where=where)
    return reduce_axes(min_p, a, axis, keepdims)


@constant
@primitive("argmax")
def argmax_p(b, x, *, axis, out=None):
    return store(b.xp.argmax(x, axis=axis), out)


batched(argmax_p, axis=shift_axis)
traits(argmax_p, kink=lambda x, axis: np.argmax(x, axis=axis))


@constant
@primitive("argmin")
def argmin_p(b, x, *, axis, out=None):
    return store(b.xp.argmin(x, axis=axis), out)


batched(argmin_p, axis=shift_axis)
traits(argmin_p, kink=lambda x, axis: np.argmin(x, axis=axis))


@constant
@primitive("argsort")
def argsort_p(b, x, *, axis, out=None):
    return store(b.xp.argsort(x, axis=axis, kind="stable"), out)


batched(argsort_p, axis=shift_axis)
traits(argsort_p, kink=lambda x, axis: np.argsort(x, axis=axis, kind="stable"))


def argmax(a: Any, axis: Any = None, out: None = None, *, keepdims: bool = False) -> Any:
    """The index of the largest element (the first at a tie) along an axis, or in the raveled a by default."""
    check_options("argmax", out=out)
    return _find_index(argmax_p, a, axis, keepdims)


def argmin(a: Any, axis: Any = None, out: None = None, *, keepdims: bool = False) -> Any:
    """The index of the smallest element (the first at a tie) along an axis, or in the raveled a by default."""
    check_options("argmin", out=out)
    return _find_index(argmin_p, a, axis, keepdims)


def _find_index(argextreme, a, axis, keepdims):
    whole = axis is None or not shape_of(a)
    line, along = resolve_axis(a, axis, argextreme.name)
    y = argextreme(line, axis=along)
    axes = normalise_axes(None if whole else along, len(shape_of(a)), argextreme.name)
    return reshape_p(y, shape=keep_axes(shape_of(a), axes)) if keepdims else y


def argsort(
    a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None, descending: bool = False
) -> Any:
    """The indices that sort a along an axis (or the raveled a, axis=None); ties keep their order for every `kind`, and
    also with `descending`.
    """
    check_kind("argsort", kind, order)
    a, axis = resolve_axis(a, axis, "argsort")
    return _argsort(a, axis, descending)


def _argsort(a, axis, descending):
    if not descending:
        return argsort_p(a, axis=axis)
    return subtract(shape_of(a)[axis] - 1, flip(argsort_p(flip(a, axis), axis=axis), axis))


def sort(
    a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None, descending: bool = False
) -> Any:
    """a in increasing order (or `descending`) along an axis (or the raveled a, axis=None); ties keep their order for
    every `kind`.
    """
    check_kind("sort", kind, order)
    a, axis = resolve_axis(a, axis, "sort")
    return take_along_axis(a, _argsort(a, axis, descending), axis)


@constant
@primitive("searchsorted")
def searchsorted_p(b, a, v, *, side="left", out=None):
    return store(b.xp.searchsorted(a, v, side=side), out)


traits(searchsorted_p, kink=lambda a, v, side: np.searchsorted(a, v, side))


def _batch_searchsorted(size, args, is_batched, *, side="left"):
    """With one vector per example, as many elements as are smaller (or, on the right, not larger)."""
    if not is_batched[0]:
        return searchsorted_p(*args, side=side)
    a, v = repeat(size, args, is_batched)
    a = reshape_p(a, shape=(size, *(1,) * (len(shape_of(v)) - 1), shape_of(a)[1]))
    v = reshape_p(v, shape=(*shape_of(v), 1))
    return sum_p((less if side == "left" else less_equal)(a, v), axes=(len(shape_of(v)) - 1,))


batched(searchsorted_p, _batch_searchsorted)


def searchsorted(a: Any, v: Any, side: Any = "left", sorter: Any = None) -> Any:
    """The index at which each v fits into the sorted vector a, before equal elements or, with side "right", after."""
    if len(shape_of(a)) != 1 or side not in ("left", "right"):
        raise OperandError(f"searchsorted: needs a vector and side 'left' or 'right', got {describe(a)} and {side!r}")
    return searchsorted_p(a if sorter is None else take(a, sorter), v, side=side)


def ptp(a: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """The largest element minus the smallest."""
    check_options("ptp", out=out)
    return subtract(max(a, axis, keepdims=keepdims), min(a, axis, keepdims=keepdims))


def check_kind(operation, kind, order):
    if kind not in (None, "stable", "mergesort", "quicksort", "heapsort"):  # a stable sort serves all of them
        raise OperandError(f"{operation}: kind {kind!r} is unknown; leave it out, since every sort is stable")
    if order is not None:
        raise OperandTypeError(f"{operation}: order={order!r} is not supported: arrays here have no fields to sort by")
