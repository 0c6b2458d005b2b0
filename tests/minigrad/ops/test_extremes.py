"""minigrad/ops/extremes.py: ties, infinities and NaN."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import arrays, axes, normal, shapes
from tests.support.transfer import to_host

INF = math.inf


@given(data=st.data())
def test_max_of_many_ties(data, on_device):
    """Each of n tied elements gets 1/n, for any n and dtype (a count in float16 would stop at 2048)."""
    n = data.draw(st.sampled_from([1, 2, 7, 3000, 70_000]))
    dtype = data.draw(st.sampled_from([np.float16, np.float32, np.float64]))
    x = on_device(np.full(n, 2, dtype))
    gradient = to_host(mg.grad(mg.max)(x))
    assert gradient.dtype == dtype and np.all(gradient == np.asarray(1 / n, dtype))


def test_extremes_agree_with_maximum_at_a_tie(xp):
    x = xp.asarray([1.0, 1.0])
    for whole, pair in ((mg.max, mg.maximum), (mg.min, mg.minimum)):
        apart = mg.grad(lambda x, pair=pair: pair(x[0], x[1]))(x)
        assert np.array_equal(to_host(mg.grad(whole)(x)), to_host(apart))


def test_extreme_of_infinities(xp):
    x = xp.asarray([-INF, INF, 0.0])
    assert to_host(mg.grad(mg.max)(x)).tolist() == [0, 1, 0]
    assert to_host(mg.grad(mg.min)(x)).tolist() == [1, 0, 0]
    assert not to_host(mg.hessian(mg.max)(x)).any()


@given(data=st.data())
def test_sort_and_argsort_keep_the_order_of_ties(data, on_device):
    x = data.draw(arrays(data.draw(shapes(1, 3)), (-2, 2)))
    axis = data.draw(axes(x.ndim))
    order = np.argsort(x, axis=axis, kind="stable")
    assert np.array_equal(to_host(mg.argsort(on_device(x), axis)), order)
    y, pullback = mg.vjp(lambda x: mg.sort(x, axis), on_device(x))
    assert np.array_equal(to_host(y), np.sort(x, axis=axis))
    g, truth = normal(x.shape), np.zeros_like(x)
    np.put_along_axis(truth, order, g, axis)
    assert np.array_equal(to_host(pullback(on_device(g))[0]), truth)


@pytest.mark.parametrize("extreme", [mg.max, mg.min])
def test_the_derivative_of_an_extreme_that_is_nan_is_nan(extreme):
    gradient = mg.grad(lambda x: mg.sum(extreme(x, axis=1)))(np.array([[1.0, np.nan], [2.0, 3.0]]))
    assert np.isnan(gradient[0]).all() and sorted(gradient[1]) == [0.0, 1.0]
