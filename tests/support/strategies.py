"""Hypothesis strategies: shapes, axes, and arrays of eighths, whose short sums and products are exact."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp


def sides(max_side=3):
    """Lengths of axes, sometimes 0."""
    return st.sampled_from([*range(1, max_side + 1)] * 2 + [0])


@st.composite
def shapes(draw, min_dims=0, max_dims=3, min_side=0, max_side=4):
    """Shapes. If `min_side` is 0, a quarter of them are empty, fewer than independent lengths would give."""
    shape = [draw(st.integers(max(min_side, 1), max_side)) for _ in range(draw(st.integers(min_dims, max_dims)))]
    if shape and min_side == 0 and draw(st.sampled_from([False, False, False, True])):
        shape[draw(st.integers(0, len(shape) - 1))] = 0
    return tuple(shape)


@st.composite
def broadcasting(draw, count, max_side=3):
    """(shapes that broadcast together, the broadcast shape): some lack leading axes, some have axes of length 1."""
    whole = draw(shapes(max_side=max_side))
    several = [
        tuple(draw(st.sampled_from([n, n, 1])) for n in whole)[draw(st.sampled_from([0, 0, *range(len(whole) + 1)])) :]
        for _ in range(count)
    ]
    return several, np.broadcast_shapes(*several)


def arrays(shape, numerators=(-24, 24), dtype=np.float64):
    """Arrays of multiples of ⅛ of either sign."""
    return hnp.arrays(np.int64, shape, elements=st.integers(*numerators)).map(lambda x: np.asarray(x / 8, dtype))


def axes(ndim, negative=True):
    """One axis, maybe negative."""
    return st.integers(-ndim if negative else 0, ndim - 1)


@st.composite
def reduced_axes(draw, ndim):
    """An `axis` argument of a reduction: None, one axis or a tuple, maybe negative."""
    if not ndim or draw(st.booleans()):
        return draw(st.sampled_from([None, ()])) if not ndim or draw(st.booleans()) else draw(axes(ndim))
    chosen = draw(st.lists(st.integers(0, ndim - 1), unique=True))
    return tuple(a - ndim if draw(st.booleans()) else a for a in chosen)


def normal(shape, seed=0):
    """Standard-normal numbers that depend on the seed and the shape only."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def transpose(rearrange, shape, g):
    """The exact transpose, applied to g, of a NumPy function that only rearranges, repeats or drops elements (or pads
    with zeros). Applied to 1, 2, 3, … the function shows where each element of its result comes from.
    """
    size = math.prod(shape)
    source = np.asarray(rearrange(np.arange(1, size + 1).reshape(shape)))
    assert source.shape == g.shape, (source.shape, g.shape)
    totals = np.zeros(size + 1)
    np.add.at(totals, source.ravel(), g.ravel())
    return totals[1:].reshape(shape)
