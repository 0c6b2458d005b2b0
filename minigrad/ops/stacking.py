"""Stacking and splitting by name (vstack, hsplit, …), after giving arrays the axes they lack; composed of `arrange`."""

from __future__ import annotations

from typing import Any

from minigrad.core.arguments import check_options, integer, is_several
from minigrad.core.arrays import describe, shape_of
from minigrad.core.errors import OperandError
from minigrad.ops.arrange import concatenate, split
from minigrad.ops.indexing import getitem
from minigrad.ops.shape import normalise_axis, reshape

# At least one, two or three axes


def atleast_1d(*arys: Any) -> Any:
    """An array with at least one axis, or a tuple of them for several arguments."""
    return _view_each(arys, {0: lambda shape: (1,)})


def atleast_2d(*arys: Any) -> Any:
    """An array with at least two axes (a vector becomes a row), or a tuple of them for several arguments."""
    return _view_each(arys, {0: lambda shape: (1, 1), 1: lambda shape: (1, *shape)})


def atleast_3d(*arys: Any) -> Any:
    """An array with at least three axes, or a tuple: (n,) becomes (1, n, 1), and (m, n) becomes (m, n, 1)."""
    wider = {0: lambda shape: (1, 1, 1), 1: lambda shape: (1, *shape, 1), 2: lambda shape: (*shape, 1)}
    return _view_each(arys, wider)


def _view_each(arrays, wider):
    """Each array in the shape that `wider` gives for its number of axes; unchanged if there is none."""
    found = []
    for x in arrays:
        widen = wider.get(len(shape_of(x)))
        found.append(reshape(x, widen(shape_of(x)) if widen else shape_of(x)))
    return found[0] if len(found) == 1 else tuple(found)


# Stacking


def vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Arrays stacked as rows: vectors become rows, others are joined along the first axis."""
    check_options("vstack", dtype=dtype, casting=casting)
    return concatenate([atleast_2d(x) for x in tup], 0)


def hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Arrays joined along the second axis; vectors along their only one."""
    check_options("hstack", dtype=dtype, casting=casting)
    arrays = [atleast_1d(x) for x in tup]
    return concatenate(arrays, 0 if arrays and len(shape_of(arrays[0])) == 1 else 1)


def dstack(tup: Any) -> Any:
    """Arrays joined along the third axis, after vectors became (1, n, 1) and matrices (m, n, 1)."""
    return concatenate([atleast_3d(x) for x in tup], 2)


def column_stack(tup: Any) -> Any:
    """Vectors as the columns of a matrix, beside the columns of matrices."""
    return concatenate([x if len(shape_of(x)) > 1 else reshape(x, (-1, 1)) for x in tup], 1)


def append(arr: Any, values: Any, axis: Any = None) -> Any:
    """Values joined to the end of arr along an axis; both are raveled by default."""
    return concatenate([arr, values], axis)


def block(arrays: Any) -> Any:
    """An array from nested lists of blocks: the innermost lists are joined along the last axis, and so on outwards."""
    depth = _find_depth(arrays)
    ndim = max(depth, max(len(shape_of(x)) for x in _iterate_blocks(arrays)))
    return _join_blocks(arrays, ndim, ndim - depth)


def _find_depth(blocks):
    return 1 + _find_depth(blocks[0]) if isinstance(blocks, list) and blocks else 0


def _iterate_blocks(blocks):
    if isinstance(blocks, list):
        if not blocks:
            raise OperandError("block: a list of blocks is empty")
        for inner in blocks:
            yield from _iterate_blocks(inner)
    else:
        yield blocks


def _join_blocks(blocks, ndim, axis):
    """The nested lists joined; the outermost along `axis`."""
    if not isinstance(blocks, list):
        return reshape(blocks, (1,) * (ndim - len(shape_of(blocks))) + shape_of(blocks))
    return concatenate([_join_blocks(inner, ndim, axis + 1) for inner in blocks], axis)


# Splitting


def array_split(ary: Any, indices_or_sections: Any, axis: Any = 0) -> Any:
    """As `split`, but a number of pieces need not divide the axis: the first pieces are longer by one then."""
    if not is_several(indices_or_sections):
        parts = integer(indices_or_sections, "array_split: the number of parts")
        axis = normalise_axis(axis, len(shape_of(ary)), "array_split")
        if parts < 1:
            raise OperandError(f"array_split: the number of parts must be positive, got {parts}")
        length, longer = divmod(shape_of(ary)[axis], parts)
        indices_or_sections = [length * i + min(i, longer) for i in range(1, parts)]
    return split(ary, indices_or_sections, axis)


def vsplit(ary: Any, indices_or_sections: Any) -> Any:
    """As `split`, along the first of at least two axes."""
    return _split_wide("vsplit", ary, indices_or_sections, 2, 0)


def hsplit(ary: Any, indices_or_sections: Any) -> Any:
    """As `split`, along the second axis; a vector along its only one."""
    return _split_wide("hsplit", ary, indices_or_sections, 1, min(1, len(shape_of(ary)) - 1))


def dsplit(ary: Any, indices_or_sections: Any) -> Any:
    """As `split`, along the third of at least three axes."""
    return _split_wide("dsplit", ary, indices_or_sections, 3, 2)


def _split_wide(operation, ary, indices_or_sections, ndim, axis):
    if len(shape_of(ary)) < ndim:
        raise OperandError(f"{operation}: needs an array of at least {ndim} dimensions, got {describe(ary)}")
    return split(ary, indices_or_sections, axis)


def unstack(x: Any, /, *, axis: Any = 0) -> Any:
    """The slices of x along an axis, as a tuple."""
    if not shape_of(x):
        raise OperandError(f"unstack: needs an array of at least 1 dimension, got {describe(x)}")
    axis = normalise_axis(axis, len(shape_of(x)), "unstack")
    return tuple(getitem(x, (slice(None),) * axis + (i,)) for i in range(shape_of(x)[axis]))
