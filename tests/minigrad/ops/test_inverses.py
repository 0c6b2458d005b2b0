"""minigrad/ops/inverses.py: inv, solve, det and cholesky, checked by their defining identities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.checks.catalogue.draws import definite, regular
from minigrad.testing import normal
from tests.support.oracles import assert_close
from tests.support.transfer import to_host


@given(n=st.integers(1, 4), seed=st.integers(0, 2**16))
def test_inverse_solve_and_determinants_by_their_identities(n, seed, on_device):
    """d(A⁻¹) = −A⁻¹ dA A⁻¹, d ln|det A| = tr(A⁻¹dA), and solve(A, Ab) = b for every A."""
    rng = np.random.default_rng(seed)
    a, t, b = regular(rng, (n, n)), rng.standard_normal((n, n)), rng.standard_normal((n, 2))
    moved, direction = on_device(a), on_device(t)
    inverse, inverse_dot = mg.jvp(mg.inv, (moved,), (direction,))
    assert_close(to_host(inverse) @ a, np.eye(n))
    assert_close(to_host(inverse_dot), -to_host(inverse) @ t @ to_host(inverse))
    assert_close(to_host(mg.grad(lambda a: mg.slogdet(a).logabsdet)(moved)), to_host(inverse).T)
    assert_close(to_host(mg.grad(mg.det)(moved)), np.linalg.det(a) * to_host(inverse).T)
    _, pullback = mg.vjp(lambda a: mg.solve(a, a @ on_device(b)), moved)
    assert_close(to_host(pullback(on_device(normal((n, 2))))[0]), np.zeros((n, n)))
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


def test_the_gradient_of_det_of_a_singular_matrix_raises():
    a = np.zeros((2, 2))
    assert float(mg.det(a)) == 0
    with pytest.raises(np.linalg.LinAlgError, match=r"inv\(float64\[2, 2\]\): Singular"):
        mg.grad(mg.det)(a)
