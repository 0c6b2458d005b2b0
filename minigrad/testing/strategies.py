"""Hypothesis strategies: shapes, axes, arrays and trees of arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minigrad.checks import decisions
from minigrad.core import tree
from minigrad.core.interpreter import current
from minigrad.testing.layouts import KEEPING, LAYOUTS

Shape = tuple[int, ...]

# Shapes


def sides(max_side: int = 3) -> st.SearchStrategy[int]:
    """Lengths of axes, sometimes 0."""
    return st.sampled_from([*range(1, max_side + 1)] * 2 + [0])


@st.composite
def shapes(
    draw: Callable, min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 4
) -> tuple[int, ...]:
    """Shapes. If `min_side` is 0, a quarter of them are empty, fewer than independent lengths would give."""
    shape = [draw(st.integers(max(min_side, 1), max_side)) for _ in range(draw(st.integers(min_dims, max_dims)))]
    if shape and min_side == 0 and draw(st.sampled_from([False, False, False, True])):
        shape[draw(st.integers(0, len(shape) - 1))] = 0
    return tuple(shape)


@st.composite
def broadcasting(draw: Callable, count: int, max_side: int = 3) -> tuple[list[Shape], Shape]:
    """(shapes that broadcast together, the broadcast shape): some lack leading axes, some have axes of length 1."""
    whole = draw(shapes(max_side=max_side))
    several = [
        tuple(draw(st.sampled_from([n, n, 1])) for n in whole)[draw(st.sampled_from([0, 0, *range(len(whole) + 1)])) :]
        for _ in range(count)
    ]
    return several, np.broadcast_shapes(*several)


def axes(ndim: int, negative: bool = True) -> st.SearchStrategy[int]:
    """One axis, maybe negative."""
    return st.integers(-ndim if negative else 0, ndim - 1)


@st.composite
def reduced_axes(draw: Callable, ndim: int) -> int | Shape | None:
    """An `axis` argument of a reduction: None, one axis or a tuple, maybe negative."""
    if not ndim or draw(st.booleans()):
        return draw(st.sampled_from([None, ()])) if not ndim or draw(st.booleans()) else draw(axes(ndim))
    chosen = draw(st.lists(st.integers(0, ndim - 1), unique=True))
    return tuple(a - ndim if draw(st.booleans()) else a for a in chosen)


# Arrays


def dtypes(*kinds: str) -> st.SearchStrategy[np.dtype]:
    """Dtypes of these kinds, by default real floating-point ones: "f" (float32, float64), "h" (float16), "c" (complex),
    "i" (signed and unsigned integers), "b" (booleans)."""
    names = {"f": "float64 float32", "h": "float16", "c": "complex128 complex64", "i": "int64 int32 uint8", "b": "bool"}
    return st.sampled_from([np.dtype(name) for kind in kinds or ("f",) for name in names[kind].split()])


def arrays(
    shape: Shape, numerators: tuple[int, int] = (-24, 24), dtype: Any = np.float64, unique: bool = False
) -> st.SearchStrategy[np.ndarray]:
    """Arrays of multiples of ⅛ of either sign, whose short sums and products are exact; `unique`: without ties."""
    elements = st.integers(*numerators)
    return hnp.arrays(np.int64, shape, elements=elements, unique=unique).map(lambda x: np.asarray(x / 8, dtype))


def normal(shape: Shape, seed: int = 0) -> np.ndarray:
    """Standard-normal numbers that depend on the seed and the shape only."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def special_values(dtype: Any = np.float64) -> np.ndarray:
    """0, ±∞, NaN, the smallest, the largest and ordinary numbers of a dtype; combinations of them contain ties."""
    info = np.finfo(dtype)
    sizes = [0.0, 0.5, 1.0, 3.0, 1e4, math.inf, info.smallest_subnormal, info.smallest_normal, info.max]
    return np.array([*sizes, *[-s for s in sizes], 40, -300, math.nan], dtype)


def special_arrays(shape: Shape, dtype: Any = np.float64) -> st.SearchStrategy[np.ndarray]:
    """Arrays of `special_values`."""
    return hnp.arrays(dtype, shape, elements=st.sampled_from(special_values(dtype).tolist()), fill=st.nothing())


def any_layout(x: np.ndarray, ties: bool = False) -> st.SearchStrategy[np.ndarray]:
    """x in any memory layout: in Fortran order, strided, backwards, read-only; `ties`: also with rows repeated by
    strides of 0, which changes the numbers."""
    return st.sampled_from(list((LAYOUTS if ties else KEEPING).values())).map(lambda layout: layout(x))


@st.composite
def away_from_kinks(
    draw: Callable, f: Callable, *strategies: st.SearchStrategy, distance: float = 1e-3, directions: int = 4
) -> tuple:
    """Tuples of arguments of f, one from each strategy, that no kink, tie, jump or comparison of f lies near: f takes
    the same decisions at up to ±`distance` from them, along random directions."""
    args = draw(st.tuples(*strategies))
    leaves, structure = tree.flatten(args)
    rng = np.random.default_rng(0)

    def digest(step: float, along: Sequence[np.ndarray]) -> bytes:
        moved = [x + step * t for x, t in zip(leaves, along)]
        return decisions(lambda: f(*tree.unflatten(structure, list(map(current().lift, moved)))))[1]

    for _ in range(directions):
        along = [rng.uniform(-1, 1, np.shape(x)).astype(np.asarray(x).dtype) for x in leaves]
        assume(digest(-distance, along) == digest(0.0, along) == digest(distance, along))
    return args


def trees(leaves: st.SearchStrategy, max_leaves: int = 5) -> st.SearchStrategy:
    """Nested tuples, lists and dictionaries with these leaves, or one leaf alone."""

    def extend(children: st.SearchStrategy) -> st.SearchStrategy:
        several = st.lists(children, min_size=1, max_size=3)
        return several | several.map(tuple) | st.dictionaries(st.sampled_from("wbxy"), children, min_size=1, max_size=3)

    return st.recursive(leaves, extend, max_leaves=max_leaves)
