"""minigrad/ops/order_statistics.py: ties, infinities, NaN, derivatives in q, and errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import arrays, shapes
from tests.support.oracles import assert_close
from tests.support.transfer import to_host

INF, NAN = math.inf, math.nan
METHODS = ["linear", "lower", "higher", "midpoint", "nearest"]


@given(data=st.data())
def test_quantiles_as_in_numpy(data, on_device):
    x = data.draw(arrays(data.draw(shapes(1, 3, min_side=1))))
    q = data.draw(st.one_of(st.sampled_from([0, 1, 0.5]), st.floats(0, 1), st.lists(st.floats(0, 1)).map(np.array)))
    axis = data.draw(st.sampled_from([None, 0, -1, tuple(range(x.ndim))]))
    named = {"axis": axis, "keepdims": data.draw(st.booleans()), "method": data.draw(st.sampled_from(METHODS))}
    given_q = on_device(q) if isinstance(q, np.ndarray) else q
    for name in ("quantile", "nanquantile"):
        found = to_host(getattr(mg, name)(on_device(x), given_q, **named))
        assert_close(found, getattr(np, name)(x, q, **named))


@given(data=st.data())
def test_the_kth_element_of_a_partition_divides_it(data, on_device):
    x = data.draw(arrays(data.draw(shapes(1, 2, min_side=1)), (-4, 4)))
    k = data.draw(st.integers(-x.shape[-1], x.shape[-1] - 1))
    y = to_host(mg.partition(on_device(x), k))
    assert np.array_equal(np.sort(y), np.sort(x)) and np.array_equal(y[..., k], np.partition(x, k)[..., k])
    place = k % x.shape[-1]
    assert np.all(y[..., :place] <= y[..., [place]]) and np.all(y[..., place:] >= y[..., [place]])


@pytest.mark.parametrize(
    ("x", "median"),
    [([1, 2, INF], 2), ([-INF, 1, 2, INF], 1.5), ([INF, INF, 1], INF), ([-INF, 3], -INF), ([INF, INF], INF)],
)
def test_infinite_elements(x, median, on_device):
    """A weight of 0 for an infinite neighbour makes no NaN, in the value or in derivatives."""
    x = on_device(np.array(x, float))
    value, slope = mg.value_and_grad(mg.median)(x)
    assert float(value) == float(mg.nanmedian(x)) == median
    assert_close(np.sum(to_host(slope)), 1.0)


@pytest.mark.parametrize("f", [mg.median, lambda x: mg.quantile(x, 0.3), lambda x: mg.percentile(x, 70)])
def test_a_nan_is_the_result_and_gets_its_derivative(f, on_device):
    x = on_device(np.array([3.0, NAN, 1.0]))
    value, slope = mg.value_and_grad(f)(x)
    assert np.isnan(float(value)) and to_host(slope).tolist() == [0, 1, 0]


def test_quantiles_are_differentiable_in_q(on_device):
    """dy/dq is (n − 1) times the gap between neighbours; the sum of both derivatives agrees with NumPy's values."""
    x, q = np.array([4.0, 1.0, 2.0, 8.0]), np.array([0.2, 0.5, 0.9])
    f = lambda q: mg.quantile(on_device(x), q)
    y, y_dot = mg.jvp(f, (on_device(q),), (on_device(np.ones(3)),))
    assert_close(to_host(y), np.quantile(x, q))
    assert_close(to_host(y_dot), 3 * np.array([1.0, 2.0, 4.0]))
    assert_close(np.diagonal(to_host(mg.jacobian(f)(on_device(q)))), to_host(y_dot))
    assert_close(to_host(mg.jit(f)(on_device(q))), to_host(y))
    step = 1e-6
    percent = lambda p: mg.percentile(on_device(x), p)
    slope = float(mg.grad(percent)(on_device(np.array(20.0))))
    assert slope == pytest.approx((np.percentile(x, 20 + step) - np.percentile(x, 20 - step)) / (2 * step), rel=1e-6)


def test_equal_elements_share_no_derivative(on_device):
    """The elements that the stable sort puts in the middle get it, whatever their order."""
    for x in ([1.0, 2.0, 2.0, 2.0, 3.0], [2.0, 3.0, 2.0, 1.0, 2.0]):
        slope = to_host(mg.grad(mg.median)(on_device(np.array(x))))
        assert sorted(slope.tolist()) == [0, 0, 0, 0, 1] and slope[np.argsort(x, kind="stable")[2]] == 1


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_positions_in_a_long_array_are_exact(dtype, on_device):
    """In float16 the positions above 2048 are not."""
    x = on_device((np.arange(40_001) % 201).astype(dtype))
    for f in (mg.median, mg.nanmedian, lambda x: mg.nanquantile(x, 0.5)):
        y = f(x)
        assert float(y) == 100 and y.dtype == dtype


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mg.quantile(np.ones(3), 1.5), "quantile: q must be between 0 and 1"),
        (lambda: mg.percentile(np.ones(3), [50.0, 101.0]), "percentile: q must be between 0 and 100"),
        (
            lambda: mg.quantile(np.ones(3), 0.5, method="weibull"),
            "method='weibull' is not supported; use one of",
        ),
        (lambda: mg.median(np.ones((2, 0)), 1), r"median: float64\[2, 0\] has no elements along axes \(1,\)"),
        (lambda: mg.partition(np.ones(3), 3), r"kth=3 is out of range for axis 0 of float64\[3\]"),
        (lambda: mg.partition(np.ones(3), 1, kind="bubble"), "partition: kind 'bubble' is unknown"),
    ],
)
def test_wrong_calls_are_refused(call, message):
    with pytest.raises((ValueError, IndexError), match=message):
        call()
