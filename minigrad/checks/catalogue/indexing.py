"""Basic and advanced indexing, and their transposes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.checks.catalogue.choose import Choose
from minigrad.checks.catalogue.operation import Example, at, call, movement, operation


def item(what: str, shape: tuple[int, ...], index: Any, **how: Any) -> Example:
    """x[index] of an array of this shape."""
    return at(what, shape, spelled=lambda xp, x: x[index], **how)


def any_slice(choose: Choose) -> Example:
    shape = choose.any_shape()
    index = choose.index(shape)
    return item(str(index), shape, index)


movement(
    "slice",
    any_slice,
    item("", (4,), slice(1, None)),
    item("negative step", (5, 3), (slice(None, None, -2), None, 1)),
    item("ellipsis", (2, 3, 4), (..., -1)),
    item("one element", (3, 4), (1, 2)),
    item("0-d", (), ()),
    item("empty", (4, 2), slice(3, 1)),
)


def put(x: np.ndarray, index: tuple, shape: tuple[int, ...]) -> np.ndarray:
    """Zeros of this shape, with x added at an index."""
    y = np.zeros(shape, x.dtype)
    np.add.at(y, index, x)
    return y


def any_unslice(choose: Choose) -> Example:
    shape = choose.any_shape()
    index = choose.index(shape)
    index = index if isinstance(index, tuple) else (index,)
    return call(np.zeros(shape)[index].shape, index=index, shape=shape)


movement(
    "unslice",
    any_unslice,
    at("", (3,), named={"index": (slice(None, None, 2), 1), "shape": (5, 3)}),
    at("rows", (3, 2), named={"index": (slice(1, None),), "shape": (4, 2)}),
    formula=put,
)

# Integer arrays and masks


def any_advanced(choose: Choose, shape: tuple[int, ...]) -> tuple:
    """Integer arrays that broadcast, masks, lists, integers, slices, None and one ellipsis, in any order."""
    result, entries = choose.shape(0, 2, min_side=1, max_side=3), []
    for n in shape:
        kind = choose.one_of(["array", "number", "slice", "mask", "list"] if n else ["slice"])
        if kind == "array":
            entries.append(choose.integers(result, -n, n - 1))
        elif kind == "number":
            entries.append(choose.integer(-n, n - 1))
        elif kind == "mask":
            mask = np.zeros(n, bool)
            mask[choose.integer(0, n - 1)] = True  # a single True, which broadcasts with every other array
            entries.append(mask)
        elif kind == "list":
            entries.append([choose.integer(-n, n - 1)])
        else:
            entries.append(choose.slice(n))
        if choose.integer(0, 5) == 0:
            entries.append(None)
    if choose.boolean():  # replace some entries by an ellipsis
        begin = choose.integer(0, len(entries))
        entries[begin : choose.integer(begin, len(entries))] = [Ellipsis]
    return tuple(entries)


def any_item(choose: Choose) -> tuple[tuple[int, ...], tuple]:
    """A shape, and any index with arrays or masks that NumPy allows; positions may be repeated."""
    if choose.boolean():
        shape = choose.shape(1, 3, max_side=3)  # a mask of several axes
        before = choose.integer(0, len(shape) - 1)
        mask = choose.mask(shape[before : choose.integer(before + 1, len(shape))])
        lead = (slice(None),) * before
        forms = [(*lead, mask), (None, *lead, mask, None), (*lead, mask, ...)]
        index = choose.one_of([*forms, (*[0] * before, mask)] if 0 not in shape else forms)
    else:
        shape = choose.shape(1, 4, min_side=1, max_side=3)
        index = any_advanced(choose, shape)
    return shape, index


def any_getitem(choose: Choose) -> Example:
    """A call with any index; the gradients of repeated positions add up."""
    shape, index = any_item(choose)
    arrays = tuple(i for i in index if isinstance(i, np.ndarray))

    def pick(xp: Any, x: Any, *arrays: Any) -> Any:
        return x[with_arrays(index, arrays)]

    return at(str(index), shape, spelled=pick, constants=arrays)


def with_arrays(index: Any, arrays: tuple) -> Any:
    """An index in which other arrays, such as those of a device, take the place of NumPy's, in this order."""
    if not isinstance(index, tuple):
        return arrays[0] if isinstance(index, np.ndarray) else index
    left = iter(arrays)
    return tuple(next(left) if isinstance(i, np.ndarray) else i for i in index)


REPEATED = np.array([0, 0, 2, 0])
MASK = [[True, False], [False, True], [True, True]]
movement(
    "getitem",
    any_getitem,
    item("repeated", (3, 2), [0, 0, 1]),
    item("apart", (3, 2, 2), ([0, -1], slice(None), [1, 1])),
    item("mask", (3, 2, 2), MASK),
    item("mask after a new axis", (3, 2), (None, [True, False, True], slice(1, None))),
    item("tuple in a tuple", (3, 2), ((0, 0, 1),)),
    item("nothing", (3, 2), []),
    compared=(
        at("slices", (3, 2, 3), spelled=lambda xp, x: x[1:, None, ..., -1] * x[0, 1:, :2, None]),
        item("step", (5, 3), (slice(None, None, -2), 1), torch=lambda torch, x: torch.flip(x, (0,))[::2, 1]),
        at("array", (3, 4), spelled=lambda xp, x, i: x[i], constants=(REPEATED,)),
        at("pairs", (3, 2, 3), spelled=lambda xp, x, i: x[i, :, i - 1], constants=(REPEATED,)),
        at("mask array", (3, 2, 2), spelled=lambda xp, x, mask: x[mask], constants=(np.array(MASK),)),
    ),
)


def any_positions(choose: Choose) -> tuple:
    """A shape, consecutive axes of it, an integer array with a row of positions for each, and the result's shape."""
    shape = choose.shape(1, 3, min_side=1, max_side=3)
    first = choose.axis(len(shape), negative=False)
    over = tuple(range(first, choose.integer(first + 1, len(shape))))
    picked = choose.shape(0, 2, max_side=3)
    rows = np.stack([choose.integers(picked, -shape[a], shape[a] - 1) for a in over])
    return shape, over, rows, (*shape[:first], *picked, *shape[over[-1] + 1 :])


def index_along(rows: np.ndarray, axes: tuple[int, ...]) -> tuple:
    return (slice(None),) * axes[0] + tuple(rows)


def any_gather(choose: Choose) -> Example:
    shape, over, rows, _ = any_positions(choose)
    return at("", shape, constants=(rows,), named={"axes": over})


def any_scatter_add(choose: Choose) -> Example:
    shape, over, rows, picked = any_positions(choose)
    return at("", picked, constants=(rows,), named={"axes": over, "shape": shape})


ROWS = (np.array([[0, 2, 0], [1, 1, 1]]),)
movement(
    "gather",
    any_gather,
    at("", (3, 2, 2), constants=ROWS, named={"axes": (0, 1)}),
    formula=lambda x, rows, axes: x[index_along(rows, axes)],
)
operation(
    "scatter_add",
    any_scatter_add,
    at("", (3, 2), constants=ROWS, named={"axes": (0, 1), "shape": (3, 2, 2)}),
    formula=lambda x, rows, axes, shape: put(x, index_along(rows, axes), shape),
)

# Along axes


def any_take(choose: Choose) -> Example:
    shape = choose.shape(0, 3, min_side=1)
    axis = choose.axis(len(shape)) if shape and choose.boolean() else None
    length = math.prod(shape) if axis is None else shape[axis]
    picks = choose.integers(choose.shape(0, 2, max_side=3), -length, length - 1)
    return at("", shape, params=(axis,), constants=(picks,))


ORDER = np.array([[2, 0, 0], [1, 1, 0]])
PLACES = np.array([[2, 0, 0], [1, 1, 0], [3, 0, 3]])
movement(
    "take",
    any_take,
    at("", (2, 3), params=([[0, 0], [2, 1]],), named={"axis": 1}),
    at("one", (2, 3), params=(1,), named={"axis": 0}),
    at("raveled", (2, 3), params=([5, 0, 0],)),
    autograd=None,
    compared=(
        at(
            "array",
            (3, 4),
            constants=(REPEATED,),
            params=(1,),
            torch=lambda torch, x, i, axis: torch.index_select(x, axis, i),
        ),
        at("array, raveled", (3, 4), constants=(PLACES,)),
    ),
)


def any_positions_along(choose: Choose) -> tuple:
    """A shape, an axis, and positions along it: one for each element, or broadcast along other axes."""
    shape = choose.shape(1, 3, min_side=1, max_side=3)
    axis = choose.axis(len(shape), negative=False)
    wide = [choose.one_of([1, n]) for n in shape]
    wide[axis] = choose.side()
    return shape, axis, choose.integers(tuple(wide), -shape[axis], shape[axis] - 1)


def any_take_along_axis(choose: Choose) -> Example:
    shape, axis, picks = any_positions_along(choose)
    axis = choose.one_of([axis, axis - len(shape)])
    return at("", shape, params=(axis,), constants=(picks,))


movement(
    "take_along_axis",
    any_take_along_axis,
    at("", (2, 3), params=(1,), constants=(ORDER,)),
    at("broadcast", (3, 2), params=(0,), constants=(np.array([[2], [0]]),)),
    torch="take_along_dim",
    autograd=None,
    compared=("", at("more places", (3, 4), params=(1,), constants=(PLACES,))),
)


def any_add_along_axis(choose: Choose) -> Example:
    shape, axis, picks = any_positions_along(choose)
    given = tuple(picks.shape[i] if i == axis else n for i, n in enumerate(shape))
    return at("", given, constants=(picks,), named={"axis": axis, "shape": shape})


def add_along_axis(x, picks, axis, shape):
    y, picks = np.zeros(shape, x.dtype), np.broadcast_to(picks, x.shape)
    for place in np.ndindex(x.shape):
        y[(*place[:axis], picks[place], *place[axis + 1 :])] += x[place]
    return y


operation(
    "add_along_axis",
    any_add_along_axis,
    at("", (2, 3), constants=(ORDER,), named={"axis": 1, "shape": (2, 4)}),
    formula=add_along_axis,
)

# Diagonals


def any_diag(choose: Choose) -> Example:
    ndim = choose.integer(1, 2)
    return call(choose.shape(ndim, ndim), choose.integer(-3, 3))


def any_diagonal(choose: Choose) -> Example:
    shape = choose.shape(min_dims=2, max_dims=4, max_side=3)
    first, second = choose.order(range(len(shape)))[:2]
    return call(shape, choose.integer(-3, 3), first, choose.one_of([second, second - len(shape)]))


movement(
    "diag",
    any_diag,
    at("", (3,)),
    at("below", (2,), params=(-1,)),
    at("of a matrix that is not square", (2, 4), params=(1,)),
    compared=("", "below", at("of a matrix", (3, 3), params=(1,)), at("of a matrix that is not square", autograd=None)),
)
movement(
    "diagonal",
    any_diagonal,
    at("", (3, 2, 4), params=(-1, -1, 0)),
    at("of the last two axes", (2, 3, 4), spelled="linalg.diagonal", named={"offset": 1}),
    compared=(at("", autograd=None), at("of a matrix", (3, 3), params=(0, -1, -2))),
)
operation(
    "trace",
    any_diagonal,
    at("", (3, 4, 2), params=(1,)),
    at("of the last two axes", (2, 3, 4), spelled="linalg.trace", named={"offset": -1}),
    spelled="trace",
    compared=(at("of a matrix", (3, 4)),),
)
