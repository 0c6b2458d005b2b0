"""Linear algebra: einsum where others went wrong, solves and factorisations by their identities."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.checks.catalogue.draws import definite, regular
from tests.support.host import to_host
from tests.support.oracles import assert_close
from tests.support.strategies import signed


def check(ours, numpys, xs, on_device):
    """Value and gradients of a multilinear function: each gradient by perturbing each element, exact for eighths."""
    expected = np.asarray(numpys(*xs))
    y, pullback = mg.vjp(ours, *on_device(tuple(xs)))
    assert_close(to_host(y), expected)
    g = signed(expected.shape)
    for i, gradient in enumerate(pullback(on_device(g))):
        truth = np.zeros(xs[i].shape)
        for place in np.ndindex(xs[i].shape):
            unit = np.zeros(xs[i].shape)
            unit[place] = 1
            truth[place] = np.sum(g * numpys(*xs[:i], unit, *xs[i + 1 :]))
        assert_close(to_host(gradient), truth)


# Einsum


def test_einsum_of_a_diagonal(on_device):
    """einsum('ii') is the trace: its gradient is the identity, not a matrix of ones."""
    x = np.arange(9.0).reshape(3, 3)
    assert np.array_equal(to_host(mg.grad(lambda x: mg.einsum("ii", x))(on_device(x))), np.eye(3))
    assert np.array_equal(to_host(mg.einsum("ii->i", on_device(x))), np.diagonal(x))


def test_einsum_that_broadcasts_keeps_shapes(on_device):
    """The gradient of an operand with a length-1 axis has that axis (HIPS/autograd#376)."""
    x, w = np.ones((1, 3)), np.arange(6.0).reshape(2, 3)
    check(lambda x, w: mg.einsum("ij,ij->ij", x, w), lambda x, w: np.einsum("ij,ij->ij", x, w), (x, w), on_device)


# Solving


@given(n=st.integers(1, 4), seed=st.integers(0, 2**16))
def test_inverse_solve_and_determinants_by_their_identities(n, seed, on_device):
    """d(A⁻¹) = −A⁻¹ dA A⁻¹, d ln|det A| = tr(A⁻¹dA), and solve(A, Ab) = b whatever A is."""
    rng = np.random.default_rng(seed)
    a, t, b = regular(rng, (n, n)), rng.standard_normal((n, n)), rng.standard_normal((n, 2))
    moved, direction = on_device(a), on_device(t)
    inverse, inverse_dot = mg.jvp(mg.inv, (moved,), (direction,))
    assert_close(to_host(inverse) @ a, np.eye(n))
    assert_close(to_host(inverse_dot), -to_host(inverse) @ t @ to_host(inverse))
    assert_close(to_host(mg.grad(lambda a: mg.slogdet(a).logabsdet)(moved)), to_host(inverse).T)
    assert_close(to_host(mg.grad(mg.det)(moved)), np.linalg.det(a) * to_host(inverse).T)
    _, pullback = mg.vjp(lambda a: mg.solve(a, a @ on_device(b)), moved)
    assert_close(to_host(pullback(on_device(signed((n, 2))))[0]), np.zeros((n, n)))
    sign, logabsdet = np.linalg.slogdet(a)
    assert float(mg.slogdet(moved).sign) == sign
    assert float(mg.slogdet(moved).logabsdet) == pytest.approx(logabsdet, abs=1e-13)


@given(n=st.integers(1, 4), seed=st.integers(0, 2**16))
def test_cholesky_by_its_identities(n, seed, on_device):
    """Σ ln Lᵢᵢ = ½ ln det A, and L̇Lᵀ + LL̇ᵀ = Ȧ for a symmetric Ȧ."""
    rng = np.random.default_rng(seed)
    a, t = definite(rng, (n, n)), rng.standard_normal((n, n))
    t = t + t.T
    low, low_dot = (to_host(x) for x in mg.jvp(mg.cholesky, (on_device(a),), (on_device(t),)))
    assert_close(low @ low.T, a)
    assert_close(low_dot @ low.T + low @ low_dot.T, t)
    gradient = to_host(mg.grad(lambda a: mg.sum(mg.log(mg.diagonal(mg.cholesky(a)))))(on_device(a)))
    assert_close(gradient + gradient.T, np.linalg.inv(a) * (1 + 0 * a) / 1)
    assert not np.triu(gradient, 1).any()


def test_cholesky_reads_and_differentiates_the_lower_triangle_only(on_device):
    a = np.array([[4.0, 99.0], [2.0, 3.0]])
    _, pullback = mg.vjp(mg.cholesky, on_device(a))
    assert float(pullback(on_device(np.array([[0.3, -2.0], [1.1, 0.7]])))[0][0, 1]) == 0
    _, low_dot = mg.jvp(mg.cholesky, (on_device(a),), (on_device(np.array([[0.0, 1.0], [0.0, 0.0]])),))
    assert not to_host(low_dot).any()


def test_determinant_of_a_singular_matrix_says_so():
    a = np.zeros((2, 2))
    assert float(mg.det(a)) == 0
    with pytest.raises(np.linalg.LinAlgError, match=r"inv\(float64\[2, 2\]\): Singular"):
        mg.grad(mg.det)(a)


def test_a_model_with_everything(on_device):
    """−ln N(y; 0, K) with K = s·XXᵀ + I: gradient in closed form, ½(s-derivative of quadratic and determinant)."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((5, 2)), rng.standard_normal(5)
    moved_x, moved_y = on_device(x), on_device(y)

    def loss(s):
        k = s * (moved_x @ moved_x.T) + on_device(np.eye(5))
        low = mg.cholesky(k)
        z = mg.solve(low, moved_y)
        return 0.5 * mg.sum(z * z) + mg.sum(mg.log(mg.diagonal(low))) + 0.5 * 5 * math.log(2 * math.pi)

    k, dk = 0.7 * x @ x.T + np.eye(5), x @ x.T
    inverse = np.linalg.inv(k)
    first = 0.5 * (np.trace(inverse @ dk) - y @ inverse @ dk @ inverse @ y)
    second = -0.5 * np.trace(inverse @ dk @ inverse @ dk) + y @ inverse @ dk @ inverse @ dk @ inverse @ y
    s = on_device(np.array(0.7))
    assert_close(to_host(mg.grad(loss)(s)), first)
    assert_close(to_host(mg.grad(mg.grad(loss))(s)), second)
    assert_close(to_host(mg.hvp(loss, s, on_device(np.array(1.0)))), second)
