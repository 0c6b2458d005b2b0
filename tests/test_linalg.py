"""Linear algebra: products of any shapes, einsum in any spelling, solves and factorisations by their identities."""

from __future__ import annotations

import math
import string

import numpy as np
import pytest
from conftest import to_host
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_close
from strategies import arrays, shapes, signed

import minigrad as mg
from minigrad.checks.cases.registry import definite, regular


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


# Products


@given(data=st.data())
def test_matmul_of_any_shapes(data, on_device):
    n, k, m = (data.draw(st.integers(0, 3)) for _ in range(3))
    batch = data.draw(shapes(0, 2, min_side=1, max_side=2))
    left = tuple(data.draw(st.sampled_from([1, b])) for b in batch)[data.draw(st.integers(0, len(batch))) :]
    a_shape = data.draw(st.sampled_from([(k,), (n, k), (*left, n, k)]))
    b_shape = data.draw(st.sampled_from([(k,), (k, m), (*batch, k, m)]))
    a, b = data.draw(arrays(a_shape)), data.draw(arrays(b_shape))
    check(mg.matmul, np.matmul, (a, b), on_device)
    check(lambda a, b: a @ b, np.matmul, (a, b), on_device)


@given(data=st.data())
def test_dot_outer_and_tensordot(data, on_device):
    k = data.draw(st.integers(0, 3))
    a = data.draw(arrays((*data.draw(shapes(0, 2, min_side=1, max_side=3)), k)))
    b = data.draw(arrays(data.draw(st.sampled_from([(k,), (k, 2), (2, k, 3)]))))
    check(mg.dot, np.dot, (a, b), on_device)
    check(mg.outer, np.outer, (a, b), on_device)
    pair = (-1, max(b.ndim - 2, 0))
    check(lambda a, b: mg.tensordot(a, b, pair), lambda a, b: np.tensordot(a, b, pair), (a, b), on_device)
    check(lambda a, b: mg.tensordot(a, b, 0), lambda a, b: np.tensordot(a, b, 0), (a, b), on_device)


# Einsum


@st.composite
def einsums(draw):
    """Up to three operands: repeated letters, sums, ellipses, broadcasting, implicit results."""
    letters = draw(st.permutations("ijkA"))[: draw(st.integers(1, 3))]
    sizes = {c: draw(st.integers(0, 3)) for c in letters}
    dots = draw(shapes(0, 2, min_side=1, max_side=2))
    terms, operands = [], []
    for _ in range(draw(st.integers(1, 3))):
        term = draw(st.lists(st.sampled_from(letters), max_size=3))
        ones = {c for c in term if draw(st.integers(0, 4)) == 0}  # axes of length 1, which broadcast
        shape = [1 if c in ones else sizes[c] for c in term]
        if draw(st.booleans()):
            place = draw(st.integers(0, len(term)))
            tail = dots[draw(st.integers(0, len(dots))) :]
            shape[place:place] = [draw(st.sampled_from([1, n])) for n in tail]
            term[place:place] = ["..."]
        terms.append("".join(term))
        operands.append(draw(arrays(tuple(shape), (-8, 8))))
    present = sorted({c for term in terms for c in term if c in string.ascii_letters})
    subscripts = ",".join(terms)
    if draw(st.booleans()):
        result = list(draw(st.permutations(present)))[: draw(st.integers(0, len(present)))]
        if any("..." in term for term in terms):
            result.insert(draw(st.integers(0, len(result))), "...")
        subscripts += "->" + "".join(result)
    return subscripts, operands


@given(case=einsums())
def test_einsum(case, on_device):
    subscripts, operands = case
    check(lambda *xs: mg.einsum(subscripts, *xs), lambda *xs: np.einsum(subscripts, *xs), operands, on_device)


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
