"""minigrad/ops/statistics.py: square roots of 0, and dtypes that would overflow."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import arrays, axes, shapes
from tests.support.oracles import assert_close
from tests.support.transfer import to_host

INF = math.inf


@pytest.mark.parametrize(
    "f",
    [
        mg.norm,
        mg.std,
        lambda x: mg.norm(x, 3),
        lambda x: mg.norm(x, 1.5),
        lambda x: mg.norm(x, 1),
        lambda x: mg.norm(x, INF),
    ],
    ids=["norm", "std", "norm 3", "norm 1.5", "norm 1", "norm inf"],
)
def test_derivatives_of_norms_and_std_at_zero_are_zero_at_every_order(f, xp):
    x, ones = xp.zeros(3), xp.ones(3)
    assert not to_host(mg.grad(f)(x)).any()
    assert not to_host(mg.hessian(f)(x)).any()
    assert not to_host(mg.jacobian(mg.grad(f))(x)).any()
    along = lambda x: mg.jvp(f, (x,), (ones,))[1]
    assert not to_host(mg.grad(lambda x: mg.jvp(along, (x,), (ones,))[1])(x)).any()


@pytest.mark.parametrize("value", [1.0, -3.5, 0.1, 1e8, 1e-300])
def test_var_and_std_of_equal_elements_have_zero_gradient(value, xp):
    x = xp.asarray([value] * 3)
    for f in (mg.var, mg.std):
        assert_close(to_host(mg.grad(f)(x)), np.zeros(3))


def test_norm_along_an_axis_with_a_zero_row(xp):
    x = xp.asarray([[0.0, 0.0], [3.0, 4.0]])
    _, pullback = mg.vjp(lambda x: mg.norm(x, axis=1), x)
    assert_close(to_host(pullback(xp.asarray([2.0, -1.0]))[0]), [[0, 0], [-0.6, -0.8]])
    _, pullback = mg.vjp(lambda x: mg.norm(x, 3, axis=1), x)
    assert not to_host(pullback(xp.asarray([2.0, -1.0]))[0])[0].any()


@given(data=st.data())
def test_norms_against_numpy(data, on_device):
    x = data.draw(arrays(data.draw(shapes(1, 2, min_side=1))))
    axis = data.draw(axes(x.ndim))
    for p in (None, 1, 2, 3, INF, -INF):
        found = mg.norm(on_device(x), p, axis=axis, keepdims=True)
        assert_close(to_host(found), np.linalg.norm(x, p, axis=axis, keepdims=True))
    assert_close(to_host(mg.norm(on_device(x))), np.linalg.norm(x))


def test_integers_are_averaged_as_floats(on_device):
    x = on_device(np.arange(4))
    assert float(mg.mean(x)) == 1.5 and mg.sum(x).dtype == x.dtype
    assert float(mg.std(x)) == np.std(np.arange(4)) and float(mg.logsumexp(x)) == pytest.approx(3.44018969856)


def test_means_of_float16_are_summed_in_float32():
    assert mg.mean(np.ones(70000, np.float16)) == 1 and mg.mean(np.ones(3, np.float16)).dtype == np.float16
    assert mg.mean(np.full(2, 60000, np.float16)) == 60000


def test_norms_of_integers_do_not_overflow():
    assert mg.norm(np.full(100, 4, np.int8)) == 40 and mg.norm(np.array([2**32, 0])) == 2.0**32
    assert mg.norm(np.array([-128, 1], np.int8), 1) == 129


@pytest.mark.parametrize("p", [0.5, 1.5])
def test_a_zero_component_does_not_affect_a_norm_of_order_below_two(p):
    """|xᵢ|ᵖ has a kink or cusp at 0; the derivatives of the other components are the same without it."""
    x = np.array([1.0, 0.0, 4.0])
    gradient = mg.grad(lambda x: mg.norm(x, p))(x)
    alone = mg.grad(lambda x: mg.norm(x, p))(x[[0, 2]])
    np.testing.assert_allclose(gradient, [alone[0], 0, alone[1]], rtol=1e-14)
    assert np.isfinite(mg.hessian(lambda x: mg.norm(x, p))(x)).all()


@pytest.mark.parametrize("p", [0.5, 1.5])
def test_norms_below_two_keep_float32(p, xp):
    x = xp.asarray([3.0, 0.0, -4.0], np.float32)
    y, pullback = mg.vjp(lambda x: mg.norm(x, p), x)
    assert y.dtype == pullback(y)[0].dtype == np.float32


# Norms of matrices


@pytest.mark.parametrize("order", ["nuc", 2, -2, 1, -1, INF, -INF])
@given(data=st.data())
def test_norms_of_matrices_against_numpy(order, data, on_device):
    x = data.draw(arrays(data.draw(shapes(2, 3, min_side=1))))
    first, second = data.draw(st.permutations(range(x.ndim)))[:2]
    axes = (first, data.draw(st.sampled_from([second, second - x.ndim])))
    for keepdims in (False, True):
        found = mg.norm(on_device(x), order, axes, keepdims)
        assert_close(to_host(found), np.linalg.norm(x, order, axes, keepdims))
        found = mg.matrix_norm(on_device(x), ord=order, keepdims=keepdims)
        assert_close(to_host(found), np.linalg.matrix_norm(x, ord=order, keepdims=keepdims))
    if x.ndim == 2:
        assert_close(to_host(mg.norm(on_device(x), order)), np.linalg.norm(x, order))


def test_gradients_of_norms_of_a_matrix_of_low_rank(on_device):
    """The sum of singular values of a = s·u·vᵀ has the gradient u·vᵀ, its smallest subgradient; so has the largest."""
    u, v = np.array([0.6, 0.0, 0.8]), np.array([0.28, -0.96])
    a = on_device(3 * np.outer(u, v))
    for order, expected in (("nuc", np.outer(u, v)), (2, np.outer(u, v)), (-2, np.zeros((3, 2)))):
        assert_close(to_host(mg.grad(lambda a, order=order: mg.norm(a, order))(a)), expected)
    assert_close(to_host(mg.grad(lambda a: mg.norm(a, 1))(a)), np.sign(to_host(a)) * [0, 1])
    assert mg.matrix_norm(np.ones((2, 2), np.float16), ord=2).dtype == np.float16


def test_norms_that_are_not_supported_are_refused():
    with pytest.raises(ValueError, match="norm: ord=3 of a matrix is not supported; use None, 'fro', 'nuc', ±1, ±2"):
        mg.norm(np.eye(2), 3)
    with pytest.raises(ValueError, match="norm: ord=2 needs one axis or two, got 3"):
        mg.norm(np.ones((2, 2, 2)), 2)
    with pytest.raises(ValueError, match="norm: ord='nuc' is not supported"):
        mg.norm(np.ones(2), "nuc")
