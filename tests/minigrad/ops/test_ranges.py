"""minigrad/ops/ranges.py: ends that are exact, dtypes, grids and filled arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from tests.support.transfer import to_host


@given(start=st.floats(-1e6, 1e6), stop=st.floats(-1e6, 1e6), num=st.integers(0, 9), endpoint=st.booleans())
def test_evenly_spaced_numbers_as_in_numpy(start, stop, num, endpoint):
    y = mg.linspace(start, stop, num, endpoint)
    expected = np.linspace(start, stop, num, endpoint)
    np.testing.assert_allclose(y, expected, rtol=1e-14, atol=1e-14 * max(abs(start), abs(stop)))
    if num > 1:
        assert y[0] == start and (y[-1] == stop or not endpoint)


def test_derivatives_in_both_ends_are_weights_that_sum_to_one(on_device):
    a, b = on_device((np.array(2.0), np.array(5.0)))
    for endpoint in (True, False):
        last = 4 if endpoint else 5
        weights = np.arange(5) / last
        left, right = (mg.jacobian(lambda a, b, e=endpoint: mg.linspace(a, b, 5, e), i)(a, b) for i in (0, 1))
        np.testing.assert_allclose(to_host(left), 1 - weights, rtol=1e-15)
        np.testing.assert_allclose(to_host(right), weights, rtol=1e-15)


def test_steps_and_their_derivative(on_device):
    f = lambda a: mg.linspace(a, 3.0, 5, retstep=True)[1]
    assert float(f(on_device(np.array(1.0)))) == 0.5 and float(mg.grad(f)(on_device(np.array(1.0)))) == -0.25
    assert np.isnan(mg.linspace(0.0, 1.0, 1, retstep=True)[1])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex64])
@pytest.mark.parametrize("name", ["linspace", "logspace"])
def test_ranges_keep_the_dtype_of_their_ends(name, dtype, on_device):
    ends = on_device((np.ones(2, dtype), 2 * np.ones(2, dtype)))
    assert getattr(mg, name)(*ends, 3).dtype == dtype


def test_integer_ranges_round_down():
    assert mg.linspace(-3, 3, 5, dtype=int).tolist() == np.linspace(-3, 3, 5, dtype=int).tolist() == [-3, -2, 0, 1, 3]
    assert mg.linspace(1, 2, 3).dtype == np.float64


def test_geometric_ranges_of_negative_numbers_and_of_arrays(on_device):
    assert to_host(mg.geomspace(on_device(np.array(-1.0)), -8.0, 4)) == pytest.approx([-1, -2, -4, -8])
    a, b = np.array([1.0, -2.0]), np.array([100.0, -32.0])
    for axis in (0, -1):
        found = mg.geomspace(*on_device((a, b)), 5, axis=axis)
        np.testing.assert_allclose(to_host(found), np.geomspace(a, b, 5, axis=axis), rtol=1e-14)


@pytest.mark.parametrize("options", [{}, {"indexing": "ij"}, {"sparse": True}, {"copy": False}])
def test_grids_as_in_numpy(options, on_device):
    vectors = [np.arange(2.0), np.arange(3.0), np.arange(4.0)]
    for count in range(4):
        found = mg.meshgrid(*map(on_device, vectors[:count]), **options)
        for ours, theirs in zip(found, np.meshgrid(*vectors[:count], **options), strict=True):
            assert np.array_equal(to_host(ours), theirs)


def test_copies_of_a_grid_share_no_memory_with_its_vectors():
    x = np.arange(3.0)
    assert not any(np.shares_memory(x, one) for one in mg.meshgrid(x, x))


def test_the_derivative_of_a_filled_array_is_a_sum(on_device):
    x, g = on_device((np.array([1.0, 2.0]), np.array([[1.0, -2.0], [5.0, 0.5]])))
    for f in (lambda x: mg.full((2, 2), x), lambda x: mg.full_like(g, x)):
        y, pullback = mg.vjp(f, x)
        assert to_host(y).tolist() == [[1, 2], [1, 2]] and to_host(pullback(g)[0]).tolist() == [6, -1.5]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mg.linspace(0, 1, -1), "the number of samples must not be negative, got -1"),
        (lambda: mg.logspace(0, 1, base=np.ones(2)), r"base must be one number, got float64\[2\]"),
        (lambda: mg.meshgrid([1.0], indexing="yx"), "indexing='yx' is unknown"),
    ],
)
def test_wrong_calls_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
