"""minigrad/ops/nans.py: masked elements add no NaN to derivatives, and slices of NaN alone."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import arrays, axes, normal, shapes
from tests.support.transfer import to_host

INF, NAN = math.inf, math.nan
PLAIN = {f"nan{name}": getattr(mg, name) for name in "sum prod max min mean var std cumsum cumprod median".split()}


@pytest.mark.parametrize("name", PLAIN)
def test_derivatives_are_those_of_the_elements_that_are_left(name, on_device):
    """To second order; and a NaN that is skipped gets 0."""
    f, plain = getattr(mg, name), PLAIN[name]
    full, left = np.array([2.0, NAN, -1.5, 0.5, NAN, 3.0]), np.array([2.0, -1.5, 0.5, 3.0])
    keep = ~np.isnan(full)
    if "cum" in name:
        total = lambda x: mg.sum(f(x)[on_device(np.flatnonzero(keep))] ** 2)
    else:
        total = lambda x: f(x) ** 2
    other = lambda x: mg.sum(plain(x) ** 2)
    x, y = on_device((full, left))
    np.testing.assert_allclose(to_host(total(x)), to_host(other(y)))
    gradient = to_host(mg.grad(total)(x))
    assert not gradient[~keep].any()
    np.testing.assert_allclose(gradient[keep], to_host(mg.grad(other)(y)), rtol=1e-13)
    hessian = to_host(mg.hessian(total)(x))
    assert not hessian[~keep].any() and not hessian[:, ~keep].any()
    np.testing.assert_allclose(hessian[np.ix_(keep, keep)], to_host(mg.hessian(other)(y)), rtol=1e-12, atol=1e-12)


@given(data=st.data())
def test_values_as_in_numpy(data, on_device):
    x = data.draw(arrays(data.draw(shapes(1, 3, min_side=1))))
    x[data.draw(arrays(x.shape)) > 0.5] = NAN
    axis, keepdims = data.draw(st.one_of(st.none(), axes(x.ndim))), data.draw(st.booleans())
    for name in PLAIN:
        named = {"axis": axis} if "cum" in name else {"axis": axis, "keepdims": keepdims}
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # NumPy warns about slices of NaN alone
            expected = getattr(np, name)(x, **named)
            found = getattr(mg, name)(on_device(x), **named)
        np.testing.assert_allclose(to_host(found), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["nanmax", "nanmin", "nanmean", "nanvar", "nanstd", "nanmedian"])
def test_a_slice_of_nan_alone_gives_nan_and_changes_no_other_derivative(name, on_device):
    x = on_device(np.array([[NAN, NAN, NAN], [1.0, NAN, 3.0]]))
    with np.errstate(invalid="ignore"):
        y, pullback = mg.vjp(lambda x: getattr(mg, name)(x, axis=1), x)
        gradient = to_host(pullback(on_device(np.array([1.0, 2.0])))[0])
    expected = to_host(mg.grad(lambda x: 2.0 * getattr(mg, name)(x))(x[1]))
    assert np.isnan(to_host(y)[0]) and np.array_equal(gradient[1], expected) and not gradient[1, 1]


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64])
def test_integers_have_no_nan(dtype):
    x = np.array([[1, 0, 1], [0, 1, 1]], dtype)
    for name in PLAIN:
        expected, found = getattr(np, name)(x, axis=1), getattr(mg, name)(x, axis=1)
        assert found.dtype == expected.dtype or expected.dtype.kind == "f"
        np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_numbers_in_place_of_nan_and_infinities(dtype, on_device):
    x = np.array([NAN, INF, -INF, 1.5], dtype)
    assert to_host(mg.nan_to_num(on_device(x))).tolist() == np.nan_to_num(x).tolist()
    f = lambda x: mg.nan_to_num(x, nan=2, posinf=4, neginf=-8)
    y, pullback = mg.vjp(f, on_device(x))
    gradient = pullback(on_device(normal((4,)).astype(dtype)))[0]
    assert to_host(y).tolist() == [2, 4, -8, 1.5] and y.dtype == gradient.dtype == dtype
    assert (to_host(gradient) != 0).tolist() == [False, False, False, True]
    assert mg.nan_to_num(np.array([1, 2])).tolist() == [1, 2]
