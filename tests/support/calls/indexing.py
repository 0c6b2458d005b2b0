"""Calls of indexing, and of what puts back."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minigrad.checks.cases import Case
from minigrad.checks.cases.registry import signed
from minigrad.core.interpreter import primitives
from tests.support.calls.registry import SHAPES, alike, calls, spelled
from tests.support.strategies import axes, shapes, sides


@calls("slice")
def _slice(draw, name):
    """Integers, slices, new axes and an ellipsis."""
    shape = draw(SHAPES)
    index = draw(hnp.basic_indices(shape, allow_newaxis=True))
    return alike(name, lambda xp, x: x[index], shape, what=index)


@calls("unslice")
def _unslice(draw, name):
    shape = draw(SHAPES)
    index = draw(hnp.basic_indices(shape, allow_newaxis=True))
    index = index if isinstance(index, tuple) else (index,)

    def formula(x):
        y = np.zeros(shape, x.dtype)
        y[index] = x
        return y

    function = lambda x: primitives[name](x, index=index, shape=shape)
    return Case(f"{name}/{index} of {shape}", function, formula, (np.zeros(shape)[index].shape,), (signed,))


@st.composite
def advanced(draw, shape):
    """Integer arrays that broadcast, masks, lists, integers, slices, None and one ellipsis, in any order."""
    result, entries = draw(shapes(0, 2, min_side=1, max_side=3)), []
    for n in shape:
        kind = draw(st.sampled_from(["array", "number", "slice", "mask", "list"] if n else ["slice"]))
        if kind == "array":
            entries.append(draw(hnp.arrays(np.int64, result, elements=st.integers(-n, n - 1))))
        elif kind == "number":
            entries.append(draw(st.integers(-n, n - 1)))
        elif kind == "mask":
            mask = np.zeros(n, bool)
            mask[draw(st.integers(0, n - 1))] = True  # one True, which broadcasts with any other array
            entries.append(mask)
        elif kind == "list":
            entries.append([draw(st.integers(-n, n - 1))])
        else:
            entries.append(draw(st.slices(n)))
        if draw(st.integers(0, 5)) == 0:
            entries.append(None)
    if draw(st.booleans()):  # an ellipsis in place of some of them
        begin = draw(st.integers(0, len(entries)))
        entries[begin : draw(st.integers(begin, len(entries)))] = [Ellipsis]
    return tuple(entries)


@calls("getitem")
def _getitem(draw, name):
    """Whatever NumPy allows between the brackets. Duplicates add up in the gradient."""
    if draw(st.booleans()):
        shape = draw(shapes(1, 3, max_side=3))  # a mask of several axes
        before = draw(st.integers(0, len(shape) - 1))
        mask = draw(hnp.arrays(bool, shape[before : draw(st.integers(before + 1, len(shape)))]))
        lead = (slice(None),) * before
        forms = [(*lead, mask), (None, *lead, mask, None), (*lead, mask, ...)]
        index = draw(st.sampled_from([*forms, (*[0] * before, mask)] if 0 not in shape else forms))
    else:
        shape = draw(shapes(1, 4, min_side=1, max_side=3))
        index = draw(advanced(shape))
    arrays = tuple(i for i in index if isinstance(i, np.ndarray))

    def pick(xp, x, *arrays):
        left = iter(arrays)
        return x[tuple(next(left) if isinstance(i, np.ndarray) else i for i in index)]

    return alike(name, pick, shape, what=index, constants=arrays)


def gathered(draw):
    """A shape, axes of it that follow each other, an integer array with positions for each, and the picked shape."""
    shape = draw(shapes(1, 3, min_side=1, max_side=3))
    first = draw(axes(len(shape), negative=False))
    over = tuple(range(first, draw(st.integers(first + 1, len(shape)))))
    picked = draw(shapes(0, 2, max_side=3))
    rows = [draw(hnp.arrays(np.int64, picked, elements=st.integers(-shape[a], shape[a] - 1))) for a in over]
    return shape, over, np.stack(rows), (*shape[:first], *picked, *shape[over[-1] + 1 :])


def _where(rows, over):
    return (slice(None),) * over[0] + tuple(rows)


@calls("gather")
def _gather(draw, name):
    shape, over, rows, _ = gathered(draw)
    return Case(
        f"{name}/axes={over}",
        lambda x, rows: primitives[name](x, rows, axes=over),
        lambda x, rows: x[_where(rows, over)],
        (shape,),
        (signed,),
        (rows,),
    )


@calls("scatter_add")
def _scatter_add(draw, name):
    shape, over, rows, picked = gathered(draw)

    def formula(x, rows):
        y = np.zeros(shape, x.dtype)
        np.add.at(y, _where(rows, over), x)
        return y

    function = lambda x, rows: primitives[name](x, rows, axes=over, shape=shape)
    return Case(f"{name}/axes={over}", function, formula, (picked,), (signed,), (rows,))


@calls("take")
def _take(draw, name):
    shape = draw(shapes(0, 3, min_side=1))
    axis = draw(st.one_of(st.none(), axes(len(shape))) if shape else st.none())
    length = int(np.prod(shape)) if axis is None else shape[axis]
    picks = draw(hnp.arrays(np.int64, draw(shapes(0, 2, max_side=3)), elements=st.integers(-length, length - 1)))
    return alike(name, lambda xp, x, i: xp.take(x, i, axis), shape, what=f"axis {axis}", constants=(picks,))


def along(draw):
    """A shape, an axis, and positions on it: one for each element, or broadcast along other axes."""
    shape = draw(shapes(1, 3, min_side=1, max_side=3))
    axis = draw(axes(len(shape), negative=False))
    wide = [draw(st.sampled_from([1, n])) for n in shape]
    wide[axis] = draw(sides())
    n = shape[axis]
    return shape, axis, draw(hnp.arrays(np.int64, tuple(wide), elements=st.integers(-n, n - 1)))


@calls("take_along_axis")
def _take_along_axis(draw, name):
    shape, axis, picks = along(draw)
    axis = draw(st.sampled_from([axis, axis - len(shape)]))
    take = lambda xp, x, i: xp.take_along_axis(x, i, axis)
    return alike(name, take, shape, what=f"axis {axis}", constants=(picks,))


@calls("add_along_axis")
def _add_along_axis(draw, name):
    shape, axis, picks = along(draw)
    given = tuple(picks.shape[i] if i == axis else n for i, n in enumerate(shape))

    def formula(x, picks):
        y, picks = np.zeros(shape, x.dtype), np.broadcast_to(picks, x.shape)
        for place in np.ndindex(x.shape):
            y[(*place[:axis], picks[place], *place[axis + 1 :])] += x[place]
        return y

    function = lambda x, i: primitives[name](x, i, axis=axis, shape=shape)
    return Case(f"{name}/axis {axis}", function, formula, (given,), (signed,), (picks,))


@calls("diag")
def _diag(draw, name):
    return spelled(name, draw(st.one_of(shapes(1, 1), shapes(2, 2))), draw(st.integers(-3, 3)))


@calls("diagonal", "trace")
def _diagonal(draw, name):
    shape = draw(shapes(min_dims=2, max_dims=4, max_side=3))
    first, second = draw(st.permutations(range(len(shape))))[:2]
    return spelled(name, shape, draw(st.integers(-3, 3)), first, draw(st.sampled_from([second, second - len(shape)])))
