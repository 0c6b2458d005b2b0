"""minigrad/ops/softmax.py: infinities, and arguments that would overflow."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import arrays
from tests.support.oracles import assert_close
from tests.support.transfer import to_host

INF = math.inf


@given(x=st.integers(1, 5).flatmap(lambda n: arrays((n,), (-24, 24))), data=st.data())
def test_logsumexp_with_minus_infinity(x, data, on_device):
    """The gradient of −∞, and its row and column of the Hessian, are 0, even if all elements are −∞."""
    out = data.draw(st.lists(st.booleans(), min_size=len(x), max_size=len(x)))
    x = np.where(out, -INF, x)
    moved = on_device(x)
    weights = np.zeros(len(x)) if all(out) else np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x)))
    assert_close(to_host(mg.grad(mg.logsumexp)(moved)), weights)
    hessian = np.diag(weights) - np.outer(weights, weights)
    assert_close(to_host(mg.hessian(mg.logsumexp)(moved)), hessian)
    assert_close(to_host(mg.jacobian(mg.grad(mg.logsumexp))(moved)), hessian)
    expected = -INF if all(out) else math.log(np.sum(np.exp(x)))
    assert float(mg.logsumexp(moved)) == pytest.approx(expected, rel=1e-14, abs=1e-14)


@pytest.mark.parametrize("shift", [-1e4, 0.0, 1e4, 1e300])
def test_softmax_does_not_overflow(shift, xp):
    x = xp.asarray([shift, shift, -INF])
    assert to_host(mg.softmax(x)).tolist() == [0.5, 0.5, 0]
    assert_close(to_host(mg.jacobian(mg.softmax)(x)), [[0.25, -0.25, 0], [-0.25, 0.25, 0], [0, 0, 0]])
    assert_close(to_host(mg.grad(lambda x: mg.log_softmax(x)[0])(x)), [0.5, -0.5, 0])
    assert mg.softmax(xp.zeros((2, 0))).shape == mg.log_softmax(xp.zeros((2, 0))).shape == (2, 0)
    assert float(mg.logsumexp(x)) == pytest.approx(shift + math.log(2))
    tolerance = 4 * np.finfo(float).eps * max(1, abs(shift))  # y has an error of ε|y|, and the weights are e^(x−y)
    if shift < 1e5:
        assert_close(to_host(mg.grad(mg.logsumexp)(x)), [0.5, 0.5, 0], tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logsumexp_of_an_empty_array_is_minus_infinity(dtype, xp):
    y, pullback = mg.vjp(lambda x: mg.logsumexp(x, -1), xp.zeros((2, 0), dtype))
    assert y.dtype == dtype and to_host(y).tolist() == [-INF, -INF]
    assert pullback(y)[0].shape == (2, 0) and pullback(y)[0].dtype == dtype
