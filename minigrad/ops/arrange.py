"""Joining, splitting, flipping, rolling, padding and repeating, composed of concatenation, slicing and gathering."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from minigrad.core.arguments import check_options, integer, integers, is_several
from minigrad.core.arrays import describe, dtype_of, shape_of
from minigrad.core.errors import OperandError
from minigrad.core.interpreter import find_backend
from minigrad.core.vectors import broadcast_to_p, concatenate_p, reshape_p
from minigrad.ops.comparisons import where
from minigrad.ops.indexing import getitem, take
from minigrad.ops.shape import expand_dims, normalise_axes, normalise_axis, pad_p, ravel, swapaxes


def concatenate(arrays: Any, axis: Any = 0, out: None = None, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Arrays joined along an existing axis (axis=None joins them raveled)."""
    check_options("concatenate", out=out, dtype=dtype, casting=casting)
    arrays = list(arrays)
    if not arrays:
        raise OperandError("concatenate: needs at least one array")
    if axis is None:
        arrays, axis = [ravel(x) for x in arrays], 0
    return concatenate_p(*arrays, axis=normalise_axis(axis, len(shape_of(arrays[0])), "concatenate"))


def stack(arrays: Any, axis: Any = 0, out: None = None, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Arrays of the same shape joined along a new axis."""
    check_options("stack", out=out, dtype=dtype, casting=casting)
    arrays = list(arrays)
    if not arrays or any(shape_of(x) != shape_of(arrays[0]) for x in arrays):
        raise OperandError(f"stack: needs arrays of the same shape, got {', '.join(map(describe, arrays)) or 'none'}")
    axis = normalise_axis(axis, len(shape_of(arrays[0])) + 1, "stack")
    return concatenate([expand_dims(x, axis) for x in arrays], axis)


def split(ary: Any, indices_or_sections: Any, axis: Any = 0) -> Any:
    """A list of consecutive pieces along an axis: a number of equal pieces, or pieces cut at the given indices."""
    axis = normalise_axis(axis, len(shape_of(ary)), "split")
    length = shape_of(ary)[axis]
    if is_several(indices_or_sections):
        cuts = integers(indices_or_sections, "split: an index")
    else:
        parts = integer(indices_or_sections, "split: the number of parts")
        if parts < 1 or length % parts:
            raise OperandError(f"split: axis {axis} of {describe(ary)} does not divide into {parts} equal parts")
        cuts = [length // parts * i for i in range(1, parts)]
    return [getitem(ary, (slice(None),) * axis + (slice(i, j),)) for i, j in zip([0, *cuts], [*cuts, length])]


def flip(m: Any, axis: Any = None) -> Any:
    """m reversed along these axes (all by default)."""
    axes = normalise_axes(axis, len(shape_of(m)), "flip")
    return getitem(m, tuple(slice(None, None, -1 if i in axes else 1) for i in range(len(shape_of(m)))))


def flipud(m: Any) -> Any:
    """m with its first axis reversed."""
    return flip(m, 0)


def fliplr(m: Any) -> Any:
    """m with its second axis reversed."""
    return flip(m, 1)


def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    """m rotated by k quarter turns in the plane of two axes, from the first towards the second."""
    first, second = (normalise_axis(axis, len(shape_of(m)), "rot90") for axis in axes)
    if first == second:
        raise OperandError(f"rot90: axes {axes} of {describe(m)} must differ")
    turns = integer(k, "rot90: k") % 4
    m = swapaxes(m, first, second) if turns % 2 else m
    return flip(m, [(), first, (first, second), second][turns])


def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """a shifted cyclically along axes; axis=None rolls the raveled array."""
    if axis is None:
        return reshape_p(roll(ravel(a), shift, 0), shape=shape_of(a))
    axes, shifts = integers(axis, "roll: an axis"), integers(shift, "roll: a shift")
    axes = axes * len(shifts) if len(axes) == 1 else axes
    shifts = shifts * len(axes) if len(shifts) == 1 else shifts
    if len(axes) != len(shifts):
        raise OperandError(f"roll: shift {shift} and axis {axis} differ in length")
    for by, along in zip(shifts, axes):
        along = normalise_axis(along, len(shape_of(a)), "roll")
        length = shape_of(a)[along]
        cut = -by % length if length else 0
        if cut:
            lead = (slice(None),) * along
            a = concatenate([getitem(a, (*lead, slice(cut, None))), getitem(a, (*lead, slice(None, cut)))], along)
    return a


def pad(array: Any, pad_width: Any, mode: str = "constant", *, constant_values: Any = None, **options: Any) -> Any:
    """The array with borders: mode 'constant', 'edge', 'reflect', 'symmetric' or 'wrap'. Widths as in numpy.pad."""
    x, shape = array, shape_of(array)
    check_options("pad", constant_values=None if mode == "constant" else constant_values, **options)
    constant_values = 0 if constant_values is None else constant_values
    given = np.asarray(pad_width)
    try:
        widths = np.broadcast_to(given, (len(shape), 2)).tolist() if shape else []
    except ValueError:
        raise OperandError(f"pad: widths {pad_width} do not fit the axes of {describe(x)}") from None
    if given.dtype.kind not in "iu" or any(w < 0 for pair in widths for w in pair):
        raise OperandError(f"pad: widths are integers ≥ 0, got {pad_width}")
    if mode == "constant":
        padded = pad_p(x, widths=tuple(map(tuple, widths))) if widths else x
        if not widths or (np.ndim(constant_values) == 0 and constant_values == 0):
            return padded
        inside = np.pad(np.ones(shape, bool), widths)
        border = np.pad(np.zeros(shape, dtype_of(x)), widths, constant_values=constant_values)
        return where(find_backend(x).from_host(inside), padded, find_backend(x).from_host(border))
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise OperandError(f"pad: mode {mode!r} is unknown; use constant, edge, reflect, symmetric or wrap")
    for axis, width in enumerate(widths):
        x = take(x, np.pad(np.arange(shape[axis]), width, mode=mode), axis)
    return x


def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    """Each element repeated along an axis (of the raveled a by default); `repeats` is a number, or one per element."""
    x, axis = (ravel(a), 0) if axis is None else (a, axis)
    axis = normalise_axis(axis, len(shape_of(x)), "repeat")
    try:
        picks = np.repeat(np.arange(shape_of(x)[axis]), integers(repeats, "repeat: a number of repeats"))
    except ValueError:
        raise OperandError(
            f"repeat: needs an integer ≥ 0, or one for each of the {shape_of(x)[axis]} elements along axis {axis} of "
            f"{describe(x)}, got {repeats!r}"
        ) from None
    return take(x, picks, axis)


def delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    """arr without the slices at `obj` (indices, a slice or a mask) of an axis, or of the raveled arr by default."""
    x, axis = (ravel(arr), 0) if axis is None else (arr, axis)
    axis = normalise_axis(axis, len(shape_of(x)), "delete")
    return take(x, np.delete(np.arange(shape_of(x)[axis]), obj), axis)


def tile(A: Any, reps: Any) -> Any:
    """A repeated as a whole `reps` times along each axis."""
    reps = integers(reps, "tile: a number of repetitions")
    shape = shape_of(A)
    ndim = builtins.max(len(shape), len(reps))
    shape, reps = (1,) * (ndim - len(shape)) + shape, (1,) * (ndim - len(reps)) + reps
    apart = reshape_p(A, shape=tuple(n for s in shape for n in (1, s)))
    spread = broadcast_to_p(apart, shape=tuple(n for pair in zip(reps, shape) for n in pair))
    return reshape_p(spread, shape=tuple(r * s for r, s in zip(reps, shape)))


def tril(m: Any, k: int = 0) -> Any:
    """The lower triangle: zero above the k-th diagonal of the last two axes."""
    return where(_triangle(m, integer(k, "tril: k")), m, False if dtype_of(m).kind == "b" else 0)


def triu(m: Any, k: int = 0) -> Any:
    """The upper triangle: zero below the k-th diagonal of the last two axes."""
    return where(~_triangle(m, integer(k, "triu: k") - 1), m, False if dtype_of(m).kind == "b" else 0)


def _triangle(x, k):
    if len(shape_of(x)) < 2:
        raise OperandError(f"tril and triu need matrices in the last two axes, got {describe(x)}")
    rows, columns = shape_of(x)[-2:]
    return find_backend(x).from_host(np.tri(rows, columns, k, dtype=bool))
