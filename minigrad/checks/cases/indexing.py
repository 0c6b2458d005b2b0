"""Basic and advanced indexing."""

from __future__ import annotations

import numpy as np

import minigrad as mg
from minigrad.checks.cases.registry import case, same, signed
from minigrad.core.interpreter import primitives

same("slice", lambda xp, x: x[1:], (4,))
same("slice", lambda xp, x: x[::-2, None, 1], (5, 3), what="negative step")
same("slice", lambda xp, x: x[..., -1], (2, 3, 4), what="ellipsis")
same("slice", lambda xp, x: x[1, 2], (3, 4), what="one element")
same("slice", lambda xp, x: x[()], (), what="0-d")
same("slice", lambda xp, x: x[3:1], (4, 2), what="empty")


def _put(shape: tuple[int, ...], index: tuple, x: np.ndarray, add: bool = False) -> np.ndarray:
    y = np.zeros(shape, x.dtype)
    np.add.at(y, index, x) if add else y.__setitem__(index, x)
    return y


_STEP = (slice(None, None, 2), 1)
case(
    "unslice",
    lambda x: primitives["unslice"](x, index=_STEP, shape=(5, 3)),
    lambda x: _put((5, 3), _STEP, x),
    ((3,), signed),
)
case(
    "unslice/rows",
    lambda x: primitives["unslice"](x, index=(slice(1, None),), shape=(4, 2)),
    lambda x: _put((4, 2), (slice(1, None),), x),
    ((3, 2), signed),
)
_ROWS = np.array([[0, 2, 0], [1, 1, 1]])
case(
    "gather",
    lambda x, rows: primitives["gather"](x, rows, axes=(0, 1)),
    lambda x, rows: x[rows[0], rows[1]],
    ((3, 2, 2), signed),
    constants=(_ROWS,),
)
case(
    "scatter_add",
    lambda x, rows: primitives["scatter_add"](x, rows, axes=(0, 1), shape=(3, 2, 2)),
    lambda x, rows: _put((3, 2, 2), (rows[0], rows[1]), x, add=True),
    ((3, 2), signed),
    constants=(_ROWS,),
)
same("getitem", lambda xp, x: x[[0, 0, 1]], (3, 2), what="repeated")
same("getitem", lambda xp, x: x[[0, -1], :, [1, 1]], (3, 2, 2), what="apart")
same("getitem", lambda xp, x: x[[[True, False], [False, True], [True, True]]], (3, 2, 2), what="mask")
same("getitem", lambda xp, x: x[None, [True, False, True], 1:], (3, 2), what="mask after a new axis")
same("getitem", lambda xp, x: x[(0, 0, 1),], (3, 2), what="tuple in a tuple")
same("getitem", lambda xp, x: x[[]], (3, 2), what="nothing")
same("take", lambda xp, x: xp.take(x, [[0, 0], [2, 1]], axis=1), (2, 3))
same("take", lambda xp, x: xp.take(x, 1, axis=0), (2, 3), what="one")
same("take", lambda xp, x: xp.take(x, [5, 0, 0]), (2, 3), what="raveled")
_ORDER = np.array([[2, 0, 0], [1, 1, 0]])
case(
    "take_along_axis",
    lambda x, i: mg.take_along_axis(x, i, 1),
    lambda x, i: np.take_along_axis(x, i, 1),
    ((2, 3), signed),
    constants=(_ORDER,),
)
case(
    "take_along_axis/broadcast",
    lambda x, i: mg.take_along_axis(x, i, 0),
    lambda x, i: np.take_along_axis(x, i, 0),
    ((3, 2), signed),
    constants=(np.array([[2], [0]]),),
)
case(
    "add_along_axis",
    lambda x, i: primitives["add_along_axis"](x, i, axis=1, shape=(2, 4)),
    lambda x, i: _put((2, 4), (np.arange(2)[:, None], i), x, add=True),
    ((2, 3), signed),
    constants=(_ORDER,),
)
same("diag", lambda xp, x: xp.diag(x), (3,))
same("diag", lambda xp, x: xp.diag(x, -1), (2,), what="below")
same("diag", lambda xp, x: xp.diag(x, 1), (2, 4), what="of a matrix that is not square")
same("diagonal", lambda xp, x: xp.diagonal(x, -1, -1, 0), (3, 2, 4))
same("trace", lambda xp, x: xp.trace(x, 1), (3, 4, 2))
