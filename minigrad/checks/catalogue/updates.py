"""Functional updates, at(x)[index].set(v) and the like, and their primitives."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
from minigrad.checks.catalogue.choose import Choose
from minigrad.checks.catalogue.draws import Draw, apart, between, signed
from minigrad.checks.catalogue.indexing import MASK, REPEATED, any_item, any_positions, index_along, with_arrays
from minigrad.checks.catalogue.operation import Example, at, constant, movement, operation

UFUNCS = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "power": np.power,
    "max": np.maximum,
    "min": np.minimum,
}
APART, POSITIVE = (apart(0), apart(0.14)), between(0.5, 1.5)
DRAWS: dict[str, Draw | tuple[Draw, Draw]] = {"power": POSITIVE, "max": APART, "min": APART}


def change(x: np.ndarray, index: Any, method: str, v: np.ndarray) -> np.ndarray:
    """A copy of x in which every v is applied to its element of x[index], one after the other."""
    y = np.array(x)
    if method == "set":
        y[index] = v
    else:
        UFUNCS[method].at(y, index, v)
    return y


def without_lists(index: Any) -> Any:
    """An index with arrays in place of lists, which JAX does not take."""
    return tuple(np.asarray(i) if isinstance(i, list) else i for i in index) if isinstance(index, tuple) else index


def update(what: str, method: str, shape: tuple[int, ...], index: Any, v: tuple[int, ...], **how: Any) -> Example:
    """at(x)[index].method(v) for an x of this shape and a v of the shape `v`."""
    arrays = tuple(i for i in (index if isinstance(index, tuple) else (index,)) if isinstance(i, np.ndarray))
    is_smooth = method not in ("max", "min")
    return {
        **at(f"{method}, {what}", shape, v, constants=arrays, draws=DRAWS.get(method, signed)),
        "function": lambda x, v, *arrays: getattr(mg.at(x)[with_arrays(index, arrays)], method)(v),
        "formula": lambda x, v, *arrays: change(x, with_arrays(index, arrays), method, v),
        "jax": lambda jax, x, v, *arrays: getattr(x.at[without_lists(with_arrays(index, arrays))], method)(v),
        "ties": is_smooth,
        "holomorphic": is_smooth and method != "power",
        "oracle": "complex step" if is_smooth else "differences",
        "exact": method == "set",
        **how,
    }


def any_update(choose: Choose) -> Example:
    if choose.boolean():
        shape = choose.any_shape()
        index = choose.index(shape)
    else:
        shape, index = any_item(choose)
    picked = np.zeros(shape)[index].shape
    wide = tuple(choose.one_of([n, n, 1]) for n in picked)[choose.integer(0, len(picked)) if choose.boolean() else 0 :]
    return update(str(index), choose.one_of(["set", *UFUNCS]), shape, index, wide)


COLUMNS = (slice(1, None), np.array([2, 0, 2]))
TWO_AXES = (np.array([1, 0]), slice(None), np.array([-1, 0]))
operation(
    "at",
    any_update,
    update("a slice", "set", (4, 3), (slice(None, None, -2), None, 1), (2, 1)),
    update("one element", "set", (2, 3), (1, -1), ()),
    update("repeated", "set", (3, 4), REPEATED, (4, 4)),
    update("axes apart", "set", (2, 3, 2), TWO_AXES, (2, 3)),
    update("mask", "set", (3, 2), np.array(MASK), (4,)),
    *[update("a slice", method, (2, 4), (slice(None), slice(1, 3)), (2,)) for method in UFUNCS],
    *[update("repeated columns", method, (3, 3), COLUMNS, (2, 3)) for method in UFUNCS],
    like_first=True,
    torch=None,
    autograd=None,
    compared=(
        "set, a slice",
        "set, one element",
        "set, repeated",
        "set, axes apart",
        *[f"{method}, a slice" for method in UFUNCS],
        "add, repeated columns",
        "subtract, repeated columns",
    ),
)


def any_slice_update(choose: Choose) -> Example:
    shape = choose.any_shape()
    index = choose.index(shape)
    index = index if isinstance(index, tuple) else (index,)
    return at("", shape, np.zeros(shape)[index].shape, named={"index": index})


movement(
    "update",
    any_slice_update,
    at("", (4, 3), (2,), named={"index": (slice(None, None, 2), 1)}),
    at("everything", (3,), (3,), named={"index": (...,)}),
    formula=lambda x, v, index: change(x, index, "set", v),
    like_first=True,
)


def any_put(choose: Choose) -> Example:
    shape, over, rows, picked = any_positions(choose)
    return at("", shape, picked, constants=(rows,), named={"axes": over, "add": choose.boolean()})


ROWS = (np.array([[0, 2, 0], [1, 1, 1]]),)
operation(
    "put",
    any_put,
    at("", (3, 2, 2), (3, 2), constants=ROWS, named={"axes": (0, 1)}),
    at("add", (3, 2, 2), (3, 2), constants=ROWS, named={"axes": (0, 1), "add": True}),
    formula=lambda x, v, rows, axes, add=False: change(x, index_along(rows, axes), "add" if add else "set", v),
    like_first=True,
)


def any_repeats(choose: Choose) -> Example:
    shape, over, rows, _ = any_positions(choose)
    return at("", constants=(rows,), named={"lengths": tuple(shape[axis] for axis in over)})


def is_last(rows: np.ndarray, lengths: tuple[int, ...]) -> np.ndarray:
    places = (rows % np.reshape(lengths, (-1, *[1] * (rows.ndim - 1)))).reshape(len(lengths), -1).T.tolist()
    return np.reshape([place not in places[i + 1 :] for i, place in enumerate(places)], rows.shape[1:]).astype(bool)


constant("is_last", any_repeats, at("", constants=ROWS, named={"lengths": (3, 2)}), formula=is_last)
