"""Indexing: x[...] in all of NumPy's forms, take, take_along_axis, diagonals; and their transposes.

An index becomes at most two steps. The *slice* step (integers, slices, None, Ellipsis) gives a view; its index is
static metadata. The *gather* step picks elements along some axes with integer arrays that broadcast together; a boolean
array stands for its true positions. The transpose of a gather adds up the cotangents of repeated positions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backends import store
from minigrad.backends.formulas import CONVERSION
from minigrad.core.arguments import check_options, integer
from minigrad.core.arrays import describe, shape_of
from minigrad.core.batching import batched, move_axis, repeat, shift_axes, shift_axis, shift_index, shift_shape
from minigrad.core.errors import OperandError, OperandIndexError
from minigrad.core.interpreter import Tracer, find_backend, primitive, read_value
from minigrad.core.rules import linear
from minigrad.core.traits import no_flops, traits
from minigrad.core.vectors import concatenate_p, copy_p, reshape_p, transpose_p
from minigrad.ops.shape import astype, broadcast_to, moveaxis, normalise_axis, ravel


@primitive("slice", view_of=0)
def slice_p(b, x, *, index, out=None):
    return b.xp.asarray(x)[index]


@primitive("unslice")
def unslice_p(b, x, *, index, shape, out=None):
    """Zeros of `shape` with x at `index`."""
    y = b.xp.zeros(shape, x.dtype) if out is None else out
    if out is not None:
        y[...] = 0
    y[index] = x
    return y


linear(slice_p, x=lambda g, x, index: unslice_p(g, index=index, shape=x.shape))
linear(unslice_p, x=lambda g, index: slice_p(g, index=index))
batched(slice_p, index=shift_index)
batched(unslice_p, index=shift_index, shape=shift_shape)
traits(slice_p, formula=CONVERSION, transparent=True)
traits(unslice_p, flops=no_flops, recordable=True)


def positions(indices, axes):
    """The index tuple that picks `indices[j]` on axis `axes[j]` and everything on the others."""
    full = [slice(None)] * (max(axes) + 1)
    for j, axis in enumerate(axes):
        full[axis] = indices[j, ...]  # with `...` even a 0-d index stays an array, so that NumPy copies
    return tuple(full)


@primitive("gather")
def gather_p(b, x, indices, *, axes, out=None):
    """The elements of x at `indices` along `axes`: integers of shape (len(axes), …), a row for each axis."""
    return store(x[positions(indices, axes)], out)


@primitive("scatter_add")
def scatter_add_p(b, x, indices, *, axes, shape, out=None):
    """Zeros of `shape` with x added at the positions that gather picks; repeated positions accumulate."""
    y = b.xp.zeros(shape, x.dtype) if out is None else out
    if out is not None:
        y[...] = 0
    b.add_at(y, positions(indices, axes), x)
    return y


linear(gather_p, x=lambda g, x, indices, axes: scatter_add_p(g, indices, axes=axes, shape=x.shape), indices=None)
traits(gather_p, flops=no_flops, recordable=True)
linear(scatter_add_p, x=lambda g, indices, axes: gather_p(g, indices, axes=axes), indices=None)


def _batch_gather(size, args, is_batched, *, axes):
    x, indices = args
    if is_batched == (True, False):
        return gather_p(x, indices, axes=shift_axes(axes, size))
    if is_batched == (False, True):
        return move_axis(gather_p(x, move_axis(indices, 0, 1), axes=axes), axes[0], 0)
    axes, count = shift_axes(axes, size), len(shape_of(indices)) - 2  # of axes in the place of those gathered
    y = gather_p(
        moveaxis(x, axes, range(1, len(axes) + 1)), with_example(indices, size), axes=tuple(range(len(axes) + 1))
    )
    return moveaxis(y, range(1, count + 1), range(axes[0], axes[0] + count))


def _batch_scatter_add(size, args, is_batched, *, axes, shape):
    indices = args[1]
    (x,) = repeat(size, args[:1], is_batched[:1])
    axes, shape = shift_axes(axes, size), shift_shape(shape, size)
    if not is_batched[1]:
        return scatter_add_p(x, indices, axes=axes, shape=shape)
    count, first = len(shape_of(indices)) - 2, tuple(range(len(axes) + 1))
    x = moveaxis(x, range(axes[0], axes[0] + count), range(1, count + 1))
    front = (size, *[shape[a] for a in axes], *[n for a, n in enumerate(shape) if a and a not in axes])
    y = scatter_add_p(x, with_example(indices, size), axes=first, shape=front)
    return moveaxis(y, first[1:], axes)


def with_example(indices, size):
    """Indices (size, axes, …) as (1 + axes, size, …): the first row is the number of the example."""
    rows = move_axis(indices, 0, 1)
    number = find_backend(indices).xp.arange(size).reshape(1, size, *(1,) * (len(shape_of(rows)) - 2))
    return concatenate_p(broadcast_to(number, (1, *shape_of(rows)[1:])), rows, axis=0)


batched(gather_p, _batch_gather)
batched(scatter_add_p, _batch_scatter_add)


@primitive("take_along_axis")
def take_along_p(b, x, indices, *, axis, out=None):
    return store(b.xp.take_along_axis(x, indices, axis), out)


@primitive("add_along_axis")
def add_along_p(b, x, indices, *, axis, shape, out=None):
    """Zeros of `shape` with x added at the positions that take_along_axis picks."""
    y = b.xp.zeros(shape, x.dtype) if out is None else out
    if out is not None:
        y[...] = 0
    mesh = [b.xp.arange(n).reshape([-1 if i == j else 1 for j in range(x.ndim)]) for i, n in enumerate(shape)]
    mesh[axis] = indices
    b.add_at(y, tuple(mesh), x)
    return y


linear(take_along_p, x=lambda g, x, indices, axis: add_along_p(g, indices, axis=axis, shape=x.shape), indices=None)
linear(add_along_p, x=lambda g, indices, axis: take_along_p(g, indices, axis=axis), indices=None)
batched(take_along_p, axis=shift_axis)
batched(add_along_p, axis=shift_axis, shape=shift_shape)


def getitem(x, index):
    """x[index] as in NumPy: integers, slices, None, Ellipsis, integer and boolean arrays."""
    basic, *gathered = resolve(x, index)
    x = x if basic is None else slice_p(x, index=basic)
    return _gather(x, *gathered) if gathered else x


def resolve(x, index):
    """The steps of x[index]: the index of the slice step, or None; if there is a gather step, its integer arrays, their
    axes, and whether the new axes replace the first of these (else they come first)."""
    index = index if isinstance(index, tuple) else (index,)
    index = [np.asarray(i) if isinstance(i, (list, tuple, range)) else i for i in index]
    if not any(_is_array(i) for i in index):
        return (tuple(_make_static(i) for i in index),)
    places = [k for k, i in enumerate(index) if _is_gathered(i)]
    together = places[-1] - places[0] == len(places) - 1
    index = _expand_ellipsis(x, index)
    index = _expand_masks(x, index)
    axes = tuple(k for k, i in enumerate(index) if _is_gathered(i))
    basic = tuple(slice(None) if k in axes else _make_static(i) for k, i in enumerate(index))
    return basic if any(i != slice(None) for i in basic) else None, [index[k] for k in axes], axes, together


def _stack(b, picks):
    """Index arrays broadcast together and stacked into one int64 array, a row for each."""
    shape = np.broadcast_shapes(*map(shape_of, picks))
    if any(isinstance(pick, Tracer) for pick in picks):
        rows = [reshape_p(broadcast_to(astype(pick, np.int64), shape), shape=(1, *shape)) for pick in picks]
        return concatenate_p(*rows, axis=0) if len(rows) > 1 else rows[0]
    return b.xp.stack([b.xp.broadcast_to(pick, shape) for pick in picks]).astype(np.int64)


def _gather(x, picks, axes, together=True):
    """Gather with integer arrays along axes. The new axes replace the first of these if `together`, else come first."""
    order, indices, axes = locate(x, picks, axes, together)
    return gather_p(x if order is None else transpose_p(x, axes=order), indices, axes=axes)


def locate(x, picks, axes, together=True):
    """An order of the axes of x (None: as they are), and then the `indices` and `axes` with which gather_p picks."""
    b = find_backend(x)
    picks = [pick if isinstance(pick, Tracer) else b.xp.asarray(copy_index(pick)) for pick in picks]
    if any(pick.dtype.kind not in "iu" and pick.size for pick in picks):
        raise OperandIndexError(f"an index must have an integer or boolean dtype, not {[str(p.dtype) for p in picks]}")
    try:
        indices = _stack(b, picks)
    except ValueError:
        shapes = ", ".join(str(pick.shape) for pick in picks)
        raise OperandIndexError(f"index arrays of shapes {shapes} do not broadcast together") from None
    count = len(axes)
    if together and axes == tuple(range(axes[0], axes[0] + count)):
        return None, indices, axes
    others = tuple(a for a in range(len(shape_of(x))) if a not in axes)  # NumPy puts the new axes in front
    return (*axes, *others), indices, tuple(range(count))


def copy_index(i):
    """An index array copied by a primitive, so that the interpreter records that the result depends on it."""
    return copy_p(i) if hasattr(i, "dtype") and np.ndim(i) and i.size else i


def _make_static(i):
    """An index entry with NumPy integers and 0-d arrays, which may change later, replaced by Python integers."""
    if isinstance(i, slice):
        return slice(
            *(None if v is None else integer(v, "index: a bound of a slice") for v in (i.start, i.stop, i.step))
        )
    return integer(i, "index") if hasattr(i, "__index__") or hasattr(i, "dtype") else i


def _is_array(i):
    """Whether an index entry makes indexing advanced: a boolean, a traced value, or an array but a 0-d integer."""
    if isinstance(i, type):  # the class np.float64, for example, has a dtype, too
        return False
    return isinstance(i, (bool, np.bool, Tracer)) or (hasattr(i, "dtype") and (np.ndim(i) > 0 or i.dtype == bool))


def _is_mask(i):
    return isinstance(i, bool) or (_is_array(i) and i.dtype == bool)


def _is_gathered(i):
    """Whether an entry of an advanced index belongs to the gather step: arrays and integers do."""
    return _is_array(i) or not (i is None or i is Ellipsis or isinstance(i, slice))


def _expand_ellipsis(x, index):
    ndim = len(shape_of(x))
    used = sum(_count_axes(i) for i in index if i is not Ellipsis)
    if used > ndim:
        raise OperandIndexError(f"too many indices: {used} for {describe(x)} of {ndim} dimensions")
    if sum(i is Ellipsis for i in index) > 1:
        raise OperandIndexError("an index can have one ellipsis (...) only")
    place = next((k for k, i in enumerate(index) if i is Ellipsis), len(index))
    return [*index[:place], *[slice(None)] * (ndim - used), *index[place + 1 :]]


def _count_axes(i):
    """How many axes of x an index entry other than an ellipsis consumes."""
    return np.ndim(i) if _is_mask(i) else int(i is not None)


def _expand_masks(x, index):
    parts, axis = [], 0
    for i in index:
        parts += _true_positions(x, i, axis) if _is_mask(i) else [i]
        axis += _count_axes(i)
    return parts


def nonzero(a: Any) -> Any:
    """The indices of the nonzero elements, one integer array for each axis; constants without a derivative."""
    b, a = find_backend(a), read_value(a, "nonzero(x)")
    return b.xp.nonzero(b.xp.asarray(copy_index(a)))


def _true_positions(x, mask, axis):
    """The true positions of a mask over the axes of x from `axis` on: one integer array for each axis of the mask."""
    b, mask = find_backend(x), read_value(mask, "x[mask]")
    if np.ndim(mask) == 0:
        raise OperandIndexError("a single True or False as an index is not supported: use an array or a slice")
    expected = shape_of(x)[axis : axis + mask.ndim]
    if mask.shape != expected:
        raise OperandIndexError(f"boolean index of shape {mask.shape} does not match {expected} of {describe(x)}")
    return list(b.xp.nonzero(b.xp.asarray(copy_index(mask))))


def take(a: Any, indices: Any, axis: Any = None, out: None = None, mode: str = "raise") -> Any:
    """The elements of a at `indices` along an axis (of the raveled a by default)."""
    check_options("take", out=out, mode=mode)
    if axis is None:
        a, axis = ravel(a), 0
    axis = normalise_axis(axis, len(shape_of(a)), "take")
    return _gather(a, [indices], (axis,))


def take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    """Index each 1-d slice of arr along an axis with the matching slice of indices; axis=None ravels arr."""
    if axis is None:
        arr, axis = ravel(arr), 0
    if len(shape_of(arr)) != len(shape_of(indices)):
        raise OperandError(f"take_along_axis: {describe(arr)} and {describe(indices)} differ in number of axes")
    return take_along_p(arr, indices, axis=normalise_axis(axis, len(shape_of(arr)), "take_along_axis"))


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal over two axes, as the last axis of the result."""
    x, offset = a, integer(offset, "diagonal: offset")
    first, second = (normalise_axis(axis, len(shape_of(x)), "diagonal") for axis in (axis1, axis2))
    if first == second:
        raise OperandIndexError(f"diagonal: axes {axis1} and {axis2} of {describe(x)} are the same")
    x = moveaxis(x, (first, second), (-2, -1))
    *lead, rows, columns = shape_of(x)
    length = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    steps = np.arange(length)
    positions = find_backend(x).from_host(np.stack([steps + max(-offset, 0), steps + max(offset, 0)]))
    return gather_p(x, positions, axes=(len(lead), len(lead) + 1))


def diag(v: Any, k: int = 0) -> Any:
    """A matrix with the vector v on its k-th diagonal, or the k-th diagonal of the matrix v."""
    ndim, k = len(shape_of(v)), integer(k, "diag: k")
    if ndim == 2:
        return diagonal(v, k)
    if ndim != 1:
        raise OperandError(f"diag: needs a vector or a matrix, got {describe(v)}")
    length = shape_of(v)[0]
    steps = np.arange(length)
    positions = find_backend(v).from_host(np.stack([steps + max(-k, 0), steps + max(k, 0)]))
    return scatter_add_p(v, positions, axes=(0, 1), shape=(length + abs(k),) * 2)
