"""minigrad/ops/reduce.py: reductions over any axes, and the methods of the same names."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import arrays, axes, normal, reduced_axes, shapes
from tests.support.oracles import assert_close
from tests.support.transfer import to_host

INF = math.inf


def positive_axes(axis, ndim):
    """The axes as a tuple of numbers ≥ 0."""
    axis = tuple(range(ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return tuple(a % ndim for a in axis)


def reduced_groups(x, axis):
    """(index of the elements, index of the result with kept dimensions) of every group that is reduced together."""
    axis = positive_axes(axis, x.ndim)
    for place in np.ndindex(*[1 if i in axis else n for i, n in enumerate(x.shape)]):
        yield tuple(slice(None) if i in axis else slice(p, p + 1) for i, p in enumerate(place)), place


GRADIENTS = {
    "sum": lambda x: np.ones_like(x),
    "mean": lambda x: np.full_like(x, 1 / max(x.size, 1)),
    "max": lambda x: (x == x.max()) / np.sum(x == x.max()),
    "min": lambda x: (x == x.min()) / np.sum(x == x.min()),
    "prod": lambda x: np.array([np.prod(np.delete(x.ravel(), i)) for i in range(x.size)]).reshape(x.shape),
    "var": lambda x: 2 * (x - x.mean()) / x.size,
}


@pytest.mark.parametrize("name", GRADIENTS)
@given(data=st.data())
def test_reduction(name, data, on_device):
    """Values are NumPy's; the gradient of each group is that of the group alone, including ties and zeros."""
    x = data.draw(arrays(data.draw(shapes(min_side=1 if name in ("max", "min", "mean", "var") else 0)), (-16, 16)))
    axis, keepdims = data.draw(reduced_axes(x.ndim)), data.draw(st.booleans())
    expected = getattr(np, name)(x, axis=axis, keepdims=keepdims)
    y, pullback = mg.vjp(lambda x: getattr(mg, name)(x, axis, keepdims=keepdims), on_device(x))
    assert_close(to_host(y), expected)
    g = normal(np.shape(expected))
    truth = np.zeros_like(x)
    kept = g.reshape([1 if i in positive_axes(axis, x.ndim) else n for i, n in enumerate(x.shape)])
    for group, place in reduced_groups(x, axis):
        truth[group] = GRADIENTS[name](x[group]) * kept[place]
    assert_close(to_host(pullback(on_device(g))[0]), truth)


@given(data=st.data())
def test_methods_agree_with_numpys(data, on_device):
    x = data.draw(arrays(data.draw(shapes(1, 3, min_side=1))))
    axis = data.draw(axes(x.ndim))
    for name in ("sum", "mean", "max", "min", "prod", "var", "std", "cumsum", "cumprod"):
        y, _ = mg.vjp(lambda x, name=name: getattr(x, name)(axis), on_device(x))
        assert_close(to_host(y), getattr(x, name)(axis))
