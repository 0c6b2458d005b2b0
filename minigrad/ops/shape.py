"""Operations that move elements without computing: all of them linear.

Reshape, transpose and broadcast_to are views; concatenation, zero padding and casting make new arrays. Everything
else that rearranges (`ops.arrange`) is composed of these and of indexing.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from operator import index as as_int

import numpy as np

from minigrad.backends import stored
from minigrad.core import (
    OperandError,
    OperandIndexError,
    OperandTypeError,
    Primitive,
    describe,
    dtype_of,
    is_inexact,
    primitive,
    shape_of,
)
from minigrad.ops.elementwise import broadcast_to_p, logical_not, zeros_like_p
from minigrad.rules import cast, constant, linear


@primitive("reshape", view_of=0)
def reshape_p(b, x, *, shape, out=None):
    return b.xp.reshape(x, shape)


linear(reshape_p, x=lambda g, x: reshape_p(g, shape=x.shape))


@primitive("transpose", view_of=0)
def transpose_p(b, x, *, axes, out=None):
    return b.xp.transpose(x, axes)


linear(
    transpose_p, x=lambda g, axes: transpose_p(g, axes=tuple(builtins.sorted(range(len(axes)), key=axes.__getitem__)))
)


@primitive("concatenate")
def concatenate_p(b, *xs, axis, out=None):
    return b.xp.concatenate(xs, axis=axis, out=out)


def _piece(g, i, xs, *, axis):
    """x̄ᵢ: the part of g that came from the i-th array."""
    begin = builtins.sum(x.shape[axis] for x in xs[:i])
    return g[(slice(None),) * axis + (slice(begin, begin + xs[i].shape[axis]),)]


linear(concatenate_p, _piece)


@primitive("pad")
def pad_p(b, x, *, widths, out=None):
    """Zeros around x."""
    y = b.xp.zeros([n + before + after for n, (before, after) in zip(x.shape, widths)], x.dtype) if out is None else out
    if out is not None:
        y[...] = 0
    y[_inside(widths, x.shape)] = x
    return y


def _inside(widths, shape):
    return tuple(slice(before, before + n) for n, (before, _) in zip(shape, widths))


linear(pad_p, x=lambda g, x, widths: g[_inside(widths, x.shape)])


def _astype(b, x, *, dtype, out=None):
    """A number stays one: it may meet arrays of any device."""
    if out is not None:
        return stored(x, out)
    return (x if hasattr(x, "astype") else np.asarray(x)[()]).astype(dtype)


astype_p = Primitive("astype", _astype)


linear(astype_p, x=lambda g, x: cast(g, x))


astype_discrete_p = constant(Primitive("astype_discrete", _astype))


@primitive("copy")
def copy_p(b, x, out=None):
    return b.xp.array(x, copy=True) if out is None else stored(x, out)


linear(copy_p, x=lambda g: g)

# Axes


def normal_axis(axis: int, ndim: int, operation: str) -> int:
    """A non-negative axis. Raises OperandIndexError naming the operation."""
    try:
        position = as_int(axis)
    except TypeError:
        raise OperandIndexError(f"{operation}: an axis must be an integer, not {axis!r}") from None
    if not -ndim <= position < ndim:
        raise OperandIndexError(f"{operation}: axis {axis} is out of range for an array of {ndim} dimensions")
    return position % ndim


def normal_axes(axis: int | Sequence[int] | None, ndim: int, operation: str) -> tuple[int, ...]:
    """Sorted non-negative axes; None means all of them. Raises OperandIndexError for repeats and overruns."""
    if axis is None:
        return tuple(range(ndim))
    axes = [normal_axis(a, ndim, operation) for a in (axis if isinstance(axis, (tuple, list)) else (axis,))]
    if len(set(axes)) != len(axes):
        raise OperandIndexError(f"{operation}: axis {axis} names an axis twice")
    return tuple(builtins.sorted(axes))


def reshape(x, shape, *more):
    """x in another shape (row-major); one entry may be -1."""
    shape = (shape, *more) if more or np.ndim(shape) == 0 else tuple(shape)
    old = shape_of(x)
    if -1 in shape:
        rest = int(np.prod([n for n in shape if n != -1], dtype=np.int64))
        size = int(np.prod(old, dtype=np.int64))
        if builtins.sum(n == -1 for n in shape) > 1 or rest == 0 or size % rest:
            raise OperandError(f"reshape: {describe(x)} of {size} elements does not fit the shape {shape}")
        shape = tuple(size // rest if n == -1 else n for n in shape)
    if any(not hasattr(n, "__index__") for n in shape):
        raise OperandTypeError(f"reshape: a shape is made of integers, got {shape}")
    return reshape_p(x, shape=tuple(map(as_int, shape)))


def ravel(x):
    """x as one row."""
    return reshape(x, (-1,)) if 0 not in shape_of(x) else reshape_p(x, shape=(0,))


def transpose(x, axes=None):
    """Axes in the given order; reversed by default."""
    ndim = len(shape_of(x))
    axes = (axes,) if isinstance(axes, int) else axes
    if axes is None:
        return transpose_p(x, axes=tuple(reversed(range(ndim))))
    if len(normal_axes(tuple(axes), ndim, "transpose")) != ndim:
        raise OperandIndexError(f"transpose: axes {axes} do not name each of the {ndim} axes of {describe(x)} once")
    return transpose_p(x, axes=tuple(normal_axis(a, ndim, "transpose") for a in axes))


def swapaxes(x, axis1, axis2):
    """Exchange two axes."""
    ndim = len(shape_of(x))
    axes = list(range(ndim))
    a, b = normal_axis(axis1, ndim, "swapaxes"), normal_axis(axis2, ndim, "swapaxes")
    axes[a], axes[b] = axes[b], axes[a]
    return transpose_p(x, axes=tuple(axes))


def moveaxis(x, source, destination):
    """Move axes to new positions; the others keep their order."""
    ndim = len(shape_of(x))
    sources, destinations = (
        [normal_axis(a, ndim, "moveaxis") for a in (axes if isinstance(axes, (tuple, list)) else (axes,))]
        for axes in (source, destination)
    )
    if not len(set(sources)) == len(sources) == len(destinations) == len(set(destinations)):
        raise OperandIndexError(f"moveaxis: {source} and {destination} must be as many distinct axes")
    order = [a for a in range(ndim) if a not in sources]
    for target, origin in builtins.sorted(zip(destinations, sources)):
        order.insert(target, origin)
    return transpose_p(x, axes=tuple(order))


def expand_dims(x, axis):
    """Insert axes of length 1 at these positions of the result."""
    shape = list(shape_of(x))
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    for position in normal_axes(axis, len(shape) + count, "expand_dims"):
        shape.insert(position, 1)
    return reshape_p(x, shape=tuple(shape))


def squeeze(x, axis=None):
    """Drop axes of length 1 (all of them by default)."""
    shape = shape_of(x)
    axes = [i for i, n in enumerate(shape) if n == 1] if axis is None else normal_axes(axis, len(shape), "squeeze")
    if any(shape[a] != 1 for a in axes):
        raise OperandError(f"squeeze: an axis of {axis} is longer than 1 in {describe(x)}")
    return reshape_p(x, shape=tuple(n for i, n in enumerate(shape) if i not in axes))


def broadcast_to(x, shape):
    """x repeated along new and length-1 axes, as a read-only view."""
    return broadcast_to_p(x, shape=tuple(shape) if isinstance(shape, (tuple, list)) else (shape,))


# Casting and copying


def astype(x, dtype):
    """x in another dtype. Derivatives pass between floating dtypes, and are cast back."""
    try:
        dtype = np.dtype(dtype)
    except TypeError as error:
        raise OperandTypeError(f"astype: {error}") from None
    if dtype.kind == "f" and dtype_of(x).kind == "c":
        raise OperandTypeError(f"astype: {describe(x)} has imaginary parts, which {dtype} cannot hold")
    if dtype.kind in "fc" and is_inexact(x):
        return astype_p(x, dtype=dtype)
    return astype_discrete_p(x, dtype=dtype)


def copy(x):
    """x in memory of its own."""
    return copy_p(x)


def zeros_like(x):
    """Zeros in the shape, dtype and device of x."""
    return zeros_like_p(x)


def ones_like(x):
    """Ones in the shape, dtype and device of x."""
    zeros = zeros_like_p(x)
    return logical_not(zeros) if dtype_of(x).kind == "b" else zeros + 1
