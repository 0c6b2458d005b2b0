"""What hypothesis draws: shapes, axes and arrays of eighths, on which sums and products of a few numbers are exact."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp


def shapes(min_dims=0, max_dims=3, min_side=0, max_side=4):
    return hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side)


def arrays(shape, numerators=(-24, 24), dtype=np.float64):
    """Multiples of ⅛ of either sign."""
    return hnp.arrays(np.int64, shape, elements=st.integers(*numerators)).map(lambda x: np.asarray(x / 8, dtype))


def axes(ndim, negative=True):
    """One axis."""
    return st.integers(-ndim if negative else 0, ndim - 1)


@st.composite
def reduced_axes(draw, ndim):
    """None, one axis or some axes, negative ones too."""
    if not ndim or draw(st.booleans()):
        return draw(st.sampled_from([None, ()])) if not ndim or draw(st.booleans()) else draw(axes(ndim))
    chosen = draw(st.lists(st.integers(0, ndim - 1), unique=True))
    return tuple(a - ndim if draw(st.booleans()) else a for a in chosen)


def signed(shape, seed=0):
    """Random signed cotangents, a different one at each place."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def pulled_back(rearrange, shape, g):
    """The exact transpose of a function that only moves elements around (and pads with zeros), from NumPy's version.

    Applied to the numbers 1, 2, 3, … the function tells where each element of its result came from.
    """
    size = math.prod(shape)
    source = np.asarray(rearrange(np.arange(1, size + 1).reshape(shape)))
    assert source.shape == g.shape, (source.shape, g.shape)
    totals = np.zeros(size + 1)
    np.add.at(totals, source.ravel(), g.ravel())
    return totals[1:].reshape(shape)
