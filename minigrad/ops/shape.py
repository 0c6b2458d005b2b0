"""Operations that move or cast elements without arithmetic; all are linear.

Reshape, transpose and broadcast_to return views; concatenation, zero padding and casting return new arrays. The other
rearrangements (`ops.arrange`) are composed of these and of indexing.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backends import dtypes
from minigrad.core.arguments import check_options, dtype_from, integer, integers, is_several
from minigrad.core.arrays import describe, dtype_of, is_inexact, shape_of
from minigrad.core.batching import batched
from minigrad.core.errors import OperandError, OperandIndexError, OperandTypeError
from minigrad.core.interpreter import Tracer, find_backend, primitive
from minigrad.core.rules import linear
from minigrad.core.traits import no_flops, traits
from minigrad.core.vectors import (
    add_p,
    astype_discrete_p,
    astype_p,
    broadcast_to_p,
    copy_p,
    real_p,
    reshape_p,
    transpose_p,
    zeros_like_p,
)
from minigrad.ops.comparisons import logical_not
from minigrad.ops.placement import place


@primitive("pad")
def pad_p(b, x, *, widths, out=None):
    """x padded with zeros."""
    y = b.xp.zeros([n + before + after for n, (before, after) in zip(x.shape, widths)], x.dtype) if out is None else out
    if out is not None:
        y[...] = 0
    y[_inner_slices(widths, x.shape)] = x
    return y


def _inner_slices(widths, shape):
    return tuple(slice(before, before + n) for n, (before, _) in zip(shape, widths))


linear(pad_p, x=lambda g, x, widths: g[_inner_slices(widths, x.shape)])
batched(pad_p, widths=lambda widths, size: ((0, 0), *widths))
traits(pad_p, flops=no_flops, recordable=True)


# Axes


def normalise_axis(axis: int, ndim: int, operation: str) -> int:
    """The axis counted from 0. Raises OperandIndexError or OperandTypeError naming the operation."""
    position = axis if type(axis) is int else integer(axis, f"{operation}: an axis")
    if not -ndim <= position < ndim:
        raise OperandIndexError(f"{operation}: axis {axis} is out of range for an array of {ndim} dimensions")
    return position % ndim


def normalise_axes(axis: int | Sequence[int] | None, ndim: int, operation: str) -> tuple[int, ...]:
    """Sorted axes counted from 0; None means all. Raises OperandIndexError for a repeated or out-of-range axis."""
    if axis is None:
        return tuple(range(ndim))
    if type(axis) is int:  # the most frequent case
        return (normalise_axis(axis, ndim, operation),)
    axes = [normalise_axis(a, ndim, operation) for a in (axis if is_several(axis) else (axis,))]
    if len(set(axes)) != len(axes):
        raise OperandIndexError(f"{operation}: axis {axis} names an axis twice")
    return tuple(builtins.sorted(axes))


def reshape(a: Any, shape: Any, order: Any = "C", *, copy: Any = None) -> Any:
    """a in another shape, of which one entry may be -1; `order` "C" reads and writes by rows, "F" by columns.

    With `copy`, in new memory; with copy=False, raises ValueError for a plain array that would have to be copied.
    """
    shape = integers(shape, "reshape: an entry of the shape")
    if copy is not None:
        y = reshape(a, shape, order)
        if copy:
            return copy_p(y)
        if not isinstance(a, Tracer) and is_copied(y, a):
            raise OperandError(f"reshape: {describe(a)} takes the shape {shape_of(y)} only as a copy: leave copy out")
        return y
    if not is_row_major(order, "reshape"):
        return transpose(reshape(transpose(a), shape[::-1]))
    old = shape_of(a)
    if -1 in shape:
        rest = int(np.prod([n for n in shape if n != -1], dtype=np.int64))
        size = int(np.prod(old, dtype=np.int64))
        if builtins.sum(n == -1 for n in shape) > 1 or rest == 0 or size % rest:
            raise OperandError(f"reshape: {describe(a)} of {size} elements does not fit the shape {shape}")
        shape = tuple(size // rest if n == -1 else n for n in shape)
    return reshape_p(a, shape=shape)


def is_copied(y, x):
    """Whether the memory of a plain array y is not that of x."""
    address = find_backend(y).address
    return not hasattr(x, "dtype") or bool(math.prod(shape_of(y)) and address(y) != address(x))


def is_row_major(order, operation):
    """Whether `order` is row-major ("C"), not column-major ("F"). Raises OperandError for any other."""
    if order not in ("C", "F", None):
        raise OperandError(
            f"{operation}: order={order!r} is not supported: use 'C' (row by row) or 'F' (column by column), and pass "
            "a shape of several axes as one tuple"
        )
    return order != "F"


def ravel(a: Any, order: Any = "C") -> Any:
    """a flattened to one axis, row by row (`order` "C") or column by column ("F")."""
    a = a if is_row_major(order, "ravel") else transpose(a)
    return reshape_p(a, shape=(math.prod(shape_of(a)),))


def transpose(a: Any, axes: Any = None) -> Any:
    """Axes in the given order; reversed by default."""
    ndim = len(shape_of(a))
    if axes is None:
        return transpose_p(a, axes=tuple(reversed(range(ndim))))
    axes = axes if is_several(axes) else (axes,)
    if len(normalise_axes(axes, ndim, "transpose")) != ndim:
        raise OperandIndexError(f"transpose: axes {axes} do not name each of the {ndim} axes of {describe(a)} once")
    return transpose_p(a, axes=tuple(normalise_axis(axis, ndim, "transpose") for axis in axes))


def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """Exchange two axes."""
    ndim = len(shape_of(a))
    axes = list(range(ndim))
    i, j = normalise_axis(axis1, ndim, "swapaxes"), normalise_axis(axis2, ndim, "swapaxes")
    axes[i], axes[j] = axes[j], axes[i]
    return transpose_p(a, axes=tuple(axes))


def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """Move axes to new positions; the others keep their order."""
    ndim = len(shape_of(a))
    sources, destinations = (
        [normalise_axis(axis, ndim, "moveaxis") for axis in (axes if is_several(axes) else (axes,))]
        for axes in (source, destination)
    )
    if not len(set(sources)) == len(sources) == len(destinations) == len(set(destinations)):
        raise OperandIndexError(f"moveaxis: {source} and {destination} must name the same number of distinct axes")
    order = [axis for axis in range(ndim) if axis not in sources]
    for target, origin in builtins.sorted(zip(destinations, sources)):
        order.insert(target, origin)
    return transpose_p(a, axes=tuple(order))


def rollaxis(a: Any, axis: Any, start: Any = 0) -> Any:
    """An axis moved to the position before the axis `start`."""
    ndim = len(shape_of(a))
    axis = normalise_axis(axis, ndim, "rollaxis")
    start = ndim if start == ndim else normalise_axis(start, ndim, "rollaxis")
    return moveaxis(a, axis, start - 1 if axis < start else start)


def expand_dims(a: Any, axis: Any) -> Any:
    """Insert axes of length 1 at these positions of the result."""
    shape = list(shape_of(a))
    count = len(axis) if is_several(axis) else 1
    for position in normalise_axes(axis, len(shape) + count, "expand_dims"):
        shape.insert(position, 1)
    return reshape_p(a, shape=tuple(shape))


def squeeze(a: Any, axis: Any = None) -> Any:
    """Drop axes of length 1 (all of them by default)."""
    shape = shape_of(a)
    axes = [i for i, n in enumerate(shape) if n == 1] if axis is None else normalise_axes(axis, len(shape), "squeeze")
    if any(shape[i] != 1 for i in axes):
        raise OperandError(f"squeeze: axis {axis} of {describe(a)} is longer than 1")
    return reshape_p(a, shape=tuple(n for i, n in enumerate(shape) if i not in axes))


def broadcast_arrays(*args: Any, subok: Any = False) -> tuple[Any, ...]:
    """The arrays repeated to their common shape, as read-only views. Raises ValueError if there is none."""
    check_options("broadcast_arrays", subok=subok)
    try:
        shape = np.broadcast_shapes(*map(shape_of, args))
    except ValueError:
        raise OperandError(f"broadcast_arrays: {', '.join(map(describe, args))} do not broadcast together") from None
    return tuple(broadcast_to_p(x, shape=shape) for x in args)


def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    """The array repeated along new and length-1 axes, as a read-only view."""
    check_options("broadcast_to", subok=subok)
    return broadcast_to_p(array, shape=integers(shape, "broadcast_to: an entry of the shape"))


# Casting and copying


def astype(x: Any, dtype: Any, *, copy: Any = True, device: str | None = None) -> Any:
    """x cast to `dtype` (with copy=False x itself if it has that dtype); differentiable between inexact dtypes."""
    x = place(x, device, "astype")
    dtype = dtype_from(dtype, "astype")
    if not copy and dtype_of(x) == dtype:
        return x
    if dtypes.is_bfloat16(dtype) and not find_backend(x).bfloat16:
        raise OperandTypeError(f"astype: {find_backend(x).name} has no bfloat16, to which {describe(x)} is to be cast")
    if dtypes.is_real(dtype) and dtype_of(x).kind == "c":
        raise OperandTypeError(f"astype: {describe(x)} has imaginary parts, which {dtype} cannot hold")
    if dtypes.is_inexact(dtype) and is_inexact(x):
        return astype_p(x, dtype=dtype)
    return astype_discrete_p(x, dtype=dtype)


def copy(a: Any, order: Any = "K", subok: bool = False) -> Any:
    """A copy of a, laid out as a is ("K", "A"), row by row ("C") or column by column ("F")."""
    check_options("copy", subok=subok)
    if order not in ("K", "A", "C", "F", None):
        raise OperandError(f"copy: order={order!r} is unknown; use 'K', 'A', 'C' or 'F'")
    return copy_p(a) if order in ("K", None) else copy_p(a, order=order)


def zeros_like(
    a: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None, *, device: str | None = None
) -> Any:
    """Zeros with the shape and device of a, in its dtype or in `dtype`."""
    check_options("zeros_like", order=order, subok=subok, shape=shape)
    zeros = place(zeros_like_p(a), device, "zeros_like")
    if dtype is None:
        return zeros
    dtype = dtype_from(dtype, "zeros_like")
    return astype(real_p(zeros) if dtype_of(zeros).kind == "c" and dtype.kind != "c" else zeros, dtype)


def ones_like(
    a: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None, *, device: str | None = None
) -> Any:
    """Ones with the shape and device of a, in its dtype or in `dtype`."""
    check_options("ones_like", order=order, subok=subok, shape=shape)
    zeros = zeros_like(a, dtype, device=device)
    return logical_not(zeros) if dtype_of(zeros).kind == "b" else add_p(zeros, 1)
