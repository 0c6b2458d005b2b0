"""Statistics and decompositions of complex arrays: differences, the equations that define derivatives, JAX, PyTorch."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.checks.catalogue.draws import complex_definite, complex_spaced, hermitian
from minigrad.core import primitives
from tests.support.complex_numbers import check_derivatives, compare_with_jax, normal
from tests.support.oracles import assert_close
from tests.support.peers import PEERS
from tests.support.transfer import to_host

pytestmark = pytest.mark.large  # on the stand-in, NumPy computes these, too

BATCHES = st.sampled_from([(), (2,), (2, 1)])


def adjoint(xp, a):
    return xp.conj(xp.swapaxes(a, -1, -2))


def linalg(xp):
    return mg if xp is mg else xp.linalg


def join(xp, vectors, values, others):
    return xp.matmul(vectors * xp.sin(values)[..., None, :], others)


def of_eigh(xp, z):
    values, vectors = linalg(xp).eigh(z + adjoint(xp, z))
    return join(xp, vectors, values, adjoint(xp, vectors))


def of_svd(xp, z):
    return join(xp, *linalg(xp).svd(z, full_matrices=False))


def of_cholesky(xp, z):
    return linalg(xp).cholesky(xp.matmul(z, adjoint(xp, z)) + np.eye(len(z)))


def of_qr(xp, z):
    q, r = linalg(xp).qr(z)
    return xp.matmul(q, xp.sin(r))


def of_eig(xp, z):
    """Σᵢ λᵢ·|vᵢ|³, in which neither phases nor the order of eigenvalues have an effect."""
    values, vectors = linalg(xp).eig(z)
    return xp.sum(values[..., None, :] * xp.abs(vectors) ** 3, axis=-1)


def of_slogdet(xp, z):
    sign, logarithm = linalg(xp).slogdet(z)
    return sign**2 * logarithm


FUNCTIONS = {  # with the shape of their argument
    "var": ((2, 3), lambda xp, z: xp.var(z, axis=1, ddof=1)),
    "std": ((2, 3), lambda xp, z: xp.std(z, axis=0)),
    "cov": ((2, 4), lambda xp, z: xp.cov(z)),
    "cov, weighted": ((2, 4), lambda xp, z: xp.cov(z, aweights=np.array([0.5, 1.0, 2.0, 0.25]))),
    "corrcoef": ((2, 4), lambda xp, z: xp.corrcoef(z)),
    "average": ((4,), lambda xp, z: xp.average(z, weights=np.array([0.5, 1.0, -2.0, 0.25]))),
    "norm": ((2, 3), lambda xp, z: linalg(xp).norm(z)),
    **{f"norm, {p}": ((2, 3), lambda xp, z, p=p: linalg(xp).norm(z, p, axis=1)) for p in (1, 3, 1.5, math.inf)},
    "nuclear norm": ((3, 2), lambda xp, z: linalg(xp).norm(z, "nuc")),
    "spectral norm": ((2, 3), lambda xp, z: linalg(xp).norm(z, 2)),
    "eigh": ((3, 3), of_eigh),
    "eigvalsh": ((3, 3), lambda xp, z: linalg(xp).eigvalsh(z + adjoint(xp, z))),
    "eigenvectors": ((2, 2, 2), lambda xp, z: xp.abs(linalg(xp).eigh(z + adjoint(xp, z))[1]) ** 2),
    "svd": ((3, 3), of_svd),
    "svd, tall": ((3, 2), of_svd),
    "svd, wide": ((2, 3), of_svd),
    "singular vectors": ((2, 3), lambda xp, z: xp.abs(linalg(xp).svd(z, full_matrices=False)[2]) ** 2),
    "svdvals": ((2, 3), lambda xp, z: linalg(xp).svd(z, compute_uv=False)),
    "qr": ((3, 3), of_qr),
    "qr, wide": ((2, 3), of_qr),
    "cholesky": ((3, 3), of_cholesky),
    "slogdet": ((3, 3), of_slogdet),
    "slogdet of batches": ((2, 2, 2), of_slogdet),
    "pinv": ((3, 2), lambda xp, z: linalg(xp).pinv(z)),
    "pinv, wide": ((2, 3), lambda xp, z: linalg(xp).pinv(z)),
    "lstsq": ((3, 3), lambda xp, z: linalg(xp).lstsq(z[:, :2], z[:, 2:])[0]),
    "residuals": ((3, 3), lambda xp, z: linalg(xp).lstsq(z[:, :2], z[:, 2:])[1]),
    "eig": ((3, 3), of_eig),
    "eig of batches": ((2, 2, 2), of_eig),
    "eigvals": ((3, 3), lambda xp, z: xp.sum(xp.sin(linalg(xp).eigvals(z)))),
}


def points(shape):
    """A point with elements away from 0, and a tangent."""
    rng = np.random.default_rng(7)
    z = normal(shape, rng=rng)
    return z + z / np.abs(z), normal(shape, rng=rng)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_are_linear_over_the_reals(name, on_device):
    shape, function = FUNCTIONS[name]
    check_derivatives(function, *points(shape), on_device)


@pytest.mark.parametrize("name", ["cov, weighted", "norm, 3", "eigh", "svd, tall", "qr", "pinv"])
def test_derivatives_are_those_of_jax(name, on_device):
    """Of complex arguments; the catalogue compares all of these, as functions of real and imaginary parts."""
    shape, function = FUNCTIONS[name]
    compare_with_jax(function, *points(shape), on_device)


@pytest.mark.parametrize("name", ["eigh", "svd, tall", "qr", "cholesky", "pinv", "eigvals", "nuclear norm"])
def test_gradients_are_conjugates_of_those_of_pytorch(name, on_device):
    shape, function = FUNCTIONS[name]
    z, _ = points(shape)
    loss = lambda xp, z: xp.sum(xp.abs(function(xp, z) - 0.3j) ** 2)
    with PEERS["torch"]() as torch:
        there = torch.top.from_numpy(z.copy()).requires_grad_()
        y = torch.top.linalg.cholesky(there @ there.mH + torch.top.eye(3)) if name == "cholesky" else None
        (loss(torch.top, there) if y is None else torch.top.sum(torch.top.abs(y - 0.3j) ** 2)).backward()
        assert_close(np.conj(to_host(mg.grad(partial(loss, mg))(on_device(z)))), there.grad.numpy())


# The equations, and what derivatives keep


def draw(draws, rng, shape):
    x = draws(rng, (2, *shape))
    return x[0] + 1j * x[1]


def tangents_of(f, a, t, on_device):
    """(values, tangents) of all results of f at a along t."""
    values, tangents = mg.jvp(lambda a: tuple(f(a)), (on_device(a),), (on_device(t),))
    return [to_host(x) for x in values], [to_host(x) for x in tangents]


def assert_skew(a, diagonal_is_zero=False):
    assert_close(a, -adjoint(np, a))
    if diagonal_is_zero:
        assert_close(np.einsum("...ii->...i", a), np.zeros(a.shape[:-1]))


@given(n=st.integers(0, 5), batch=BATCHES, seed=st.integers(0, 2**16), triangle=st.sampled_from("LU"))
def test_eigh_by_its_equations(n, batch, seed, triangle, on_device):
    """A = V·diag(λ)·Vᴴ and VᴴV = I; VᴴV̇ has the diagonal 0. One triangle is read."""
    rng = np.random.default_rng(seed)
    a, t = draw(hermitian, rng, (*batch, n, n)), normal((*batch, n, n), rng=rng)
    t = t + adjoint(np, t)
    other = np.triu(normal((n, n), rng=rng), 1) + 1j * np.diag(rng.normal(size=n))  # is not read
    noise = other if triangle == "L" else adjoint(np, other)
    (values, v), (values_dot, v_dot) = tangents_of(lambda a: mg.eigh(a, triangle), a + noise, t + noise, on_device)
    assert values.dtype == values_dot.dtype == float
    assert_close(values, np.linalg.eigvalsh(a))
    product = v_dot * values[..., None, :] @ adjoint(np, v)
    assert_close(product + adjoint(np, product) + v * values_dot[..., None, :] @ adjoint(np, v), t)
    assert_skew(adjoint(np, v) @ v_dot, diagonal_is_zero=True)
    (_,), (alone_dot,) = tangents_of(lambda a: (mg.eigvalsh(a, triangle),), a + noise, t + noise, on_device)
    assert_close(alone_dot, values_dot)


@given(m=st.integers(0, 4), n=st.integers(0, 4), batch=BATCHES, seed=st.integers(0, 2**16))
def test_svd_by_its_equations(m, n, batch, seed, on_device):
    """A = U·diag(s)·Vᴴ, UᴴU = VᴴV = I; UᴴU̇ + VᴴV̇ has the diagonal 0."""
    rng = np.random.default_rng(seed)
    a, t = draw(complex_spaced, rng, (*batch, m, n)), normal((*batch, m, n), rng=rng)
    (u, s, vh), (u_dot, s_dot, vh_dot) = tangents_of(lambda a: mg.svd(a, full_matrices=False), a, t, on_device)
    assert s.dtype == s_dot.dtype == float
    row = s[..., None, :]
    assert_close((u_dot * row) @ vh + (u * s_dot[..., None, :]) @ vh + (u * row) @ vh_dot, t)
    turns_of_u, turns_of_v = adjoint(np, u) @ u_dot, vh @ adjoint(np, vh_dot)
    assert_skew(turns_of_u)
    assert_skew(turns_of_v)
    diagonal = np.einsum("...ii->...i", turns_of_u + turns_of_v)
    assert_close(diagonal, np.zeros(diagonal.shape))


@given(m=st.integers(0, 4), n=st.integers(0, 4), batch=BATCHES, seed=st.integers(0, 2**16))
def test_qr_by_its_equations(m, n, batch, seed, on_device):
    """A = QR, QᴴQ = I, QᴴQ̇ is skew, R and Ṙ are upper triangular, and their diagonals real."""
    rng = np.random.default_rng(seed)
    rest = normal((*batch, m, max(n - m, 0)), rng=rng)
    a = np.concatenate([draw(complex_spaced, rng, (*batch, m, min(m, n))), rest], -1)
    t = normal((*batch, m, n), rng=rng)
    (q, r), (q_dot, r_dot) = tangents_of(mg.qr, a, t, on_device)
    for found, expected in zip((q, r), np.linalg.qr(a)):
        assert_close(found, expected)
    assert_close(q_dot @ r + q @ r_dot, t)
    assert_skew(adjoint(np, q) @ q_dot)
    assert_close(np.tril(r_dot, -1), np.zeros(r.shape))
    diagonals = [np.einsum("...ii->...i", x[..., : min(m, n)]) for x in (r, r_dot)]
    assert_close(np.imag(diagonals), np.zeros(np.shape(diagonals)))


@given(n=st.integers(1, 4), batch=BATCHES, seed=st.integers(0, 2**16), upper=st.booleans())
def test_cholesky_by_its_equations(n, batch, seed, upper, on_device):
    """A = LLᴴ; L and L̇ are triangular with real diagonals."""
    rng = np.random.default_rng(seed)
    a, t = draw(complex_definite, rng, (*batch, n, n)), normal((*batch, n, n), rng=rng)
    t = t + adjoint(np, t)
    (low,), (low_dot,) = tangents_of(lambda a: (mg.cholesky(a, upper=upper),), a, t, on_device)
    assert_close(low, np.linalg.cholesky(a, upper=upper))
    low, low_dot = (adjoint(np, x) if upper else x for x in (low, low_dot))
    assert_close(low_dot @ adjoint(np, low) + low @ adjoint(np, low_dot), t)
    assert_close(np.triu(low_dot, 1), np.zeros(a.shape))
    assert_close(np.imag(np.einsum("...ii->...i", low_dot)), np.zeros(a.shape[:-1]))


def test_cotangents_fill_the_triangle_that_is_read(on_device):
    """The other one is 0, and the diagonal real."""
    rng = np.random.default_rng(3)
    a = draw(complex_definite, rng, (3, 3))
    for f, of in (
        (mg.cholesky, np.tril),
        (lambda a: mg.cholesky(a, upper=True), np.triu),
        (lambda a: mg.eigvalsh(a, "U"), np.triu),
        (lambda a: mg.abs(mg.eigh(a).eigenvectors), np.tril),
    ):
        y, pullback = mg.vjp(f, on_device(a))
        gradient = to_host(pullback(on_device(normal(y.shape, y.dtype, rng)))[0])
        assert gradient.any() and np.array_equal(gradient, of(gradient)) and not np.diag(gradient).imag.any()


@pytest.mark.parametrize("name", ["eigh", "svd"])
def test_the_phases_of_vectors_have_no_effect(name, monkeypatch, on_device):
    """Other phases of the library's vectors change neither values nor derivatives."""
    shape, function = FUNCTIONS[name]
    z, t = points(shape)

    def derivatives():
        f = lambda z: function(mg, z)
        first = lambda z: mg.jvp(f, (z,), (on_device(t),))[1]
        return [to_host(x) for x in (*mg.jvp(first, (on_device(z),), (on_device(t),)), mg.vjp(f, z)[1](t)[0])]

    before, primitive = derivatives(), primitives[name]
    phases, original = np.exp(1j * np.array([0.7, -2.0, 3.0])), primitive.forward

    def turned(b, x, **params):
        y = original(b, x, **params).copy()
        if name == "eigh":
            y[..., 1:, :] *= phases
        else:
            y[..., :3, :] *= phases
            y[..., 4:, :] *= phases.conj()
        return y

    monkeypatch.setattr(primitive, "forward", turned)
    for one, other in zip(derivatives(), before):
        assert_close(one, other)


# Degenerate matrices and zeros


@pytest.mark.parametrize(
    "f",
    [
        lambda a: mg.eigh(a + adjoint(mg, a))[1],
        lambda a: mg.svd(a, full_matrices=False)[0],
        lambda a: mg.svd(a, full_matrices=False)[2],
    ],
)
def test_vectors_of_equal_values_have_no_derivative(f, on_device):
    a = on_device(np.diag([2, 2, 2 + 0j]))
    with pytest.raises(np.linalg.LinAlgError, match="equal"):
        mg.grad(lambda a: mg.sum(mg.abs(f(a)) ** 3))(a)


def test_singular_values_of_zero(on_device):
    """Their vectors turn alone, which has no derivative; the values have one."""
    a = on_device(np.diag([2j, 0]))
    with pytest.raises(np.linalg.LinAlgError, match="singular value 0"):
        mg.grad(lambda a: mg.sum(mg.abs(mg.svd(a).U) ** 3))(a)
    gradient = mg.grad(lambda a: mg.sum(mg.svdvals(a) ** 2))(a)
    assert_close(to_host(gradient), 2 * np.conj(to_host(a)))


@pytest.mark.parametrize("f", [mg.norm, mg.std, lambda z: mg.norm(z[0], 3), lambda z: mg.norm(z, "nuc")])
def test_norms_and_std_have_zero_derivatives_at_zero(f, on_device):
    z, t = on_device(np.zeros((2, 2), complex)), on_device(normal((2, 2)))
    assert not to_host(mg.grad(f)(z)).any()
    assert to_host(mg.jvp(f, (z,), (t,))[1]) == 0


# Values and dtypes


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("name", ["var", "std", "norm", "slogdet", "svdvals"])
def test_values_and_dtypes_are_those_of_numpy(name, dtype, on_device):
    shape, function = FUNCTIONS[name]
    z = normal(shape, dtype)
    found, expected = to_host(function(mg, on_device(z))), function(np, z)
    assert found.dtype == expected.dtype
    assert_close(found, expected, 100 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", ["nansum", "nanvar", "nanstd", "nanmean", "nanmedian"])
def test_what_is_not_a_number_is_left_out(name, on_device):
    z, t = normal((2, 5)), normal((2, 5))
    z[0, 1] = complex(0, math.nan)
    f = lambda z: getattr(mg, name)(z, axis=1)
    y, y_dot = mg.jvp(f, (on_device(z),), (on_device(t),))
    expected = getattr(np, name)(z, axis=1)
    assert y.dtype == expected.dtype
    assert_close(to_host(y), expected)
    kept = [0, 2, 3, 4]
    alone = mg.jvp(f, (on_device(z[:, kept]),), (on_device(t[:, kept]),))[1]
    assert_close(to_host(y_dot)[0], to_host(alone)[0])


def test_the_sign_of_a_complex_determinant(on_device):
    z = normal((2, 3, 3))
    sign, logarithm = mg.slogdet(on_device(z))
    expected = np.linalg.slogdet(z)
    assert_close(to_host(sign), expected.sign)
    assert_close(to_host(logarithm), expected.logabsdet)
    assert mg.slogdet(on_device(np.zeros((2, 2), complex))).sign == 0
