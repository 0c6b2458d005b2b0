"""minigrad/ops/decompositions.py: derivatives by the equations that define them, to third order against PyTorch and
mpmath; equal, close and zero values; one factorisation for everything."""

from __future__ import annotations

from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.checks.catalogue.draws import spaced, symmetric
from minigrad.core import primitives
from minigrad.testing import normal
from tests.support.environment import optional
from tests.support.oracles import EPS, ROUNDINGS, assert_close, rounding
from tests.support.transfer import to_host

pytestmark = pytest.mark.large  # on the stand-in, NumPy computes these, too

BATCHES = st.sampled_from([(), (2,), (2, 1)])


def transpose(a):
    return np.swapaxes(a, -1, -2)


def tangents_of(f, a, t, on_device):
    """(values, tangents) of all results of f at a along t."""
    values, tangents = mg.jvp(lambda a: tuple(f(a)), (on_device(a),), (on_device(t),))
    return [to_host(x) for x in values], [to_host(x) for x in tangents]


def assert_skew(a):
    assert_close(a, -transpose(a))


# The equations


@given(n=st.integers(0, 6), batch=BATCHES, seed=st.integers(0, 2**16))
def test_eigh_by_its_equations(n, batch, seed, on_device):
    """A = V·diag(λ)·Vᵀ and VᵀV = I determine both derivatives, as VᵀV̇ is skew and has a zero diagonal."""
    rng = np.random.default_rng(seed)
    a, t = symmetric(rng, (*batch, n, n)), normal((*batch, n, n))
    t = t + transpose(t)
    (values, v), (values_dot, v_dot) = tangents_of(mg.eigh, a, t, on_device)
    assert_close(values, np.linalg.eigvalsh(a))
    product = v_dot * values[..., None, :] @ transpose(v)
    assert_close(product + transpose(product) + v * values_dot[..., None, :] @ transpose(v), t)
    assert_skew(transpose(v) @ v_dot)
    (alone,), (alone_dot,) = tangents_of(lambda a: (mg.eigvalsh(a),), a, t, on_device)
    assert_close(alone, values)
    assert_close(alone_dot, values_dot)


@given(m=st.integers(0, 5), n=st.integers(0, 5), batch=BATCHES, seed=st.integers(0, 2**16))
def test_svd_by_its_equations(m, n, batch, seed, on_device):
    """A = U·diag(s)·Vᵀ, UᵀU = VᵀV = I, and UᵀU̇ and VᵀV̇ are skew."""
    rng = np.random.default_rng(seed)
    a, t = spaced(rng, (*batch, m, n)), normal((*batch, m, n))
    (u, s, vh), (u_dot, s_dot, vh_dot) = tangents_of(lambda a: mg.svd(a, full_matrices=False), a, t, on_device)
    assert_close(s, np.linalg.svdvals(a))
    row = s[..., None, :]
    assert_close((u_dot * row) @ vh + (u * s_dot[..., None, :]) @ vh + (u * row) @ vh_dot, t)
    assert_skew(transpose(u) @ u_dot)
    assert_skew(vh_dot @ transpose(vh))
    (alone,), (alone_dot,) = tangents_of(lambda a: (mg.svdvals(a),), a, t, on_device)
    assert_close(alone, s)
    assert_close(alone_dot, s_dot)


@given(m=st.integers(0, 5), n=st.integers(0, 5), batch=BATCHES, seed=st.integers(0, 2**16))
def test_qr_by_its_equations(m, n, batch, seed, on_device):
    """A = QR, QᵀQ = I, QᵀQ̇ is skew, and R and Ṙ are upper triangular."""
    rng = np.random.default_rng(seed)
    rest = normal((*batch, m, max(n - m, 0)))
    a, t = np.concatenate([spaced(rng, (*batch, m, min(m, n))), rest], -1), normal((*batch, m, n))
    (q, r), (q_dot, r_dot) = tangents_of(mg.qr, a, t, on_device)
    for found, expected in zip((q, r), np.linalg.qr(a)):
        assert_close(found, expected)
    assert_close(q_dot @ r + q @ r_dot, t)
    assert_skew(transpose(q) @ q_dot)
    assert not np.tril(r, -1).any() and not np.tril(r_dot, -1).any()


# Higher orders


def test_eigenvalues_of_two_by_two_to_third_order(on_device):
    """λ = (a + c)/2 ± √((a − c)²/4 + b²), differentiated by mpmath along a line."""
    a, t = np.array([[1.0, 0.0], [0.4, -0.7]]), np.array([[0.3, 0.0], [-1.1, 0.8]])

    def eigenvalue(sign):
        def along(x):
            p, b, q = (mp.mpf(a[i]) + x * mp.mpf(t[i]) for i in ((0, 0), (1, 0), (1, 1)))
            return (p + q) / 2 + sign * mp.sqrt(((p - q) / 2) ** 2 + b * b)

        return along

    moved, direction = on_device(a), on_device(t)
    for values in (mg.eigvalsh, lambda a: mg.eigh(a).eigenvalues):
        f = lambda x, values=values: values(moved + x * direction)
        for order in range(4):
            found = to_host(f(on_device(np.zeros(()))))
            with mp.workdps(60):
                expected = [float(mp.diff(eigenvalue(sign), 0, order)) for sign in (-1, 1)]
            assert_close(found, expected)
            f = lambda x, f=f: mg.jvp(f, (x,), (mg.ones_like(x),))[1]


THIRD = {
    "eigh": ((3, 3), lambda xp, linalg, a: sum_of_outer(xp, *linalg.eigh(a + xp.swapaxes(a, -1, -2))[::-1])),
    "svd, tall": ((4, 3), lambda xp, linalg, a: of_svd(xp, *linalg.svd(a, full_matrices=False))),
    "svd, wide": ((2, 4), lambda xp, linalg, a: of_svd(xp, *linalg.svd(a, full_matrices=False))),
    "svd, square": ((3, 3), lambda xp, linalg, a: of_svd(xp, *linalg.svd(a, full_matrices=False))),
    "svdvals": ((2, 3, 3), lambda xp, linalg, a: xp.sin(linalg.svdvals(a))),
    "qr, tall": ((4, 3), lambda xp, linalg, a: of_qr(xp, *linalg.qr(a))),
    "qr, wide": ((2, 4), lambda xp, linalg, a: of_qr(xp, *linalg.qr(a))),
    "pinv": ((4, 3), lambda xp, linalg, a: linalg.pinv(a)),
    "expm": ((3, 3), lambda xp, linalg, a: (xp.expm if xp is mg else linalg.matrix_exp)(a)),
    "matrix_power": ((3, 3), lambda xp, linalg, a: linalg.matrix_power(a, -3)),
    "nuclear norm": ((3, 2), lambda xp, linalg, a: linalg.matrix_norm(a, ord="nuc")),
}


def sum_of_outer(xp, vectors, values):
    return xp.matmul(vectors * xp.sin(values)[..., None, :], xp.swapaxes(vectors, -1, -2))


def of_svd(xp, u, s, vh):
    return xp.matmul(u * xp.sin(s)[..., None, :], vh)


def of_qr(xp, q, r):
    return xp.matmul(q, xp.sin(r))


@pytest.mark.parametrize("name", THIRD)
def test_third_derivatives_agree_with_pytorch(name):
    """⟨u, f⟩ along v, w and the gradient of that: reverse thrice, in both libraries; and forward over forward first."""
    torch = optional("torch", extra="bench")
    shape, f = THIRD[name]
    a = spaced(np.random.default_rng(len(name)), shape)
    u, v, w = (normal(s, seed) for seed, s in enumerate((np.shape(f(mg, mg, a)), shape, shape)))

    x, directions = torch.tensor(a, requires_grad=True), [torch.tensor(t) for t in (v, w)]
    y = (f(torch, torch.linalg, x) * torch.tensor(u)).sum()
    for t in directions:
        (gradient,) = torch.autograd.grad(y, x, create_graph=True)
        y = (gradient * t).sum()
    expected = torch.autograd.grad(y, x)[0].numpy()

    value = lambda a: mg.sum(u * f(mg, mg, a))
    once = lambda a: mg.sum(v * mg.grad(value)(a))
    twice = lambda a: mg.sum(w * mg.grad(once)(a))
    assert_close(mg.grad(twice)(a), expected, 1e-11)
    forward = lambda a: mg.jvp(lambda a: mg.jvp(value, (a,), (v,))[1], (a,), (w,))[1]
    assert_close(mg.grad(forward)(a), expected, 1e-11)


# Equal, close and zero values


def degenerate(n=4, seed=1):
    """A symmetric matrix with the eigenvalue 2 three times, equal only to rounding, and -1."""
    q = np.linalg.qr(normal((n, n), seed))[0]
    a = (q * np.array([2.0] * (n - 1) + [-1.0])) @ q.T
    return (a + a.T) / 2


@pytest.mark.parametrize("a", [degenerate(), np.eye(3), np.zeros((2, 2))], ids=["rotated", "identity", "zero"])
def test_symmetric_functions_of_equal_eigenvalues_have_exact_gradients(a, on_device):
    """The gradient of tr sin A is cos A, also where eigenvalues are equal, in both modes, with or without vectors."""
    values, v = np.linalg.eigh(a)
    expected = (v * np.cos(values)) @ v.T
    t = normal(a.shape)
    t, moved = t + t.T, on_device(a)
    total = lambda a: mg.sum(mg.sin(mg.eigvalsh(a)))
    for f in (total, lambda a: mg.sum(mg.sin(mg.eigh(a)[0])), mg.jit(total)):
        gradient = to_host(mg.grad(f)(moved))
        assert_close((gradient + gradient.T) / 2, expected)
    assert_close(to_host(mg.jvp(total, (moved,), (on_device(t),))[1]), np.sum(expected * t))
    squares = to_host(mg.grad(lambda a: mg.sum(mg.svdvals(a) ** 2))(moved))
    assert_close(squares, 2 * a)
    assert_close(to_host(mg.grad(lambda a: mg.sum(mg.svd(a)[1] ** 2))(moved)), 2 * a)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("f", [lambda a: mg.eigh(a)[1], lambda a: mg.svd(a)[0], lambda a: mg.svd(a)[2]])
def test_vectors_of_equal_values_have_no_derivative(f, dtype, on_device):
    a, t = on_device(degenerate().astype(dtype)), on_device(normal((4, 4)).astype(dtype))
    message = r"inverse_gaps\(.*equal"
    with pytest.raises(np.linalg.LinAlgError, match=message):
        mg.vjp(f, a)[1](t)
    with pytest.raises(np.linalg.LinAlgError, match=message):
        mg.jvp(f, (a,), (t,))
    with pytest.raises(np.linalg.LinAlgError, match=message):
        mg.jit(lambda a: mg.vjp(f, a)[1](t))(on_device(spaced(np.random.default_rng(0), (4, 4)).astype(dtype)) * 0 + a)
    with pytest.raises(np.linalg.LinAlgError, match=message):  # in one matrix of a batch
        mg.jvp(f, (mg.stack([a + a[0], a]),), (mg.stack([t, t]),))


@given(n=st.integers(2, 8), more=st.integers(0, 3), seed=st.integers(0, 2**16))
def test_values_that_are_equal_to_rounding_are_found(n, more, seed, on_device):
    """In matrices with two equal values in random directions, and among columns of which one depends on others."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(n)
    values[0] = values[1]
    left, right = (np.linalg.qr(rng.standard_normal((m, n)))[0] for m in (n + more, n))
    even, dependent = (right * values) @ right.T, rng.standard_normal((n + more, n))
    dependent[:, -1] = dependent[:, :-1] @ rng.standard_normal(n - 1)
    for f, a in (
        (lambda a: mg.eigh(a)[1], (even + even.T) / 2),
        (lambda a: mg.svd(a, full_matrices=False)[0], (left * values) @ right.T),
        (lambda a: mg.qr(a)[0], dependent),
    ):
        with pytest.raises(np.linalg.LinAlgError, match=r"have no derivative"):
            mg.jvp(f, (on_device(a),), (on_device(normal(a.shape)),))


def test_leaving_out_the_terms_of_equal_eigenvalues_would_be_wrong(monkeypatch):
    """V·log λ·Vᵀ is well defined at I, where its derivative is the identity; no cotangent of V or λ tells."""
    f = lambda a: mg.sum(normal((2, 2)) * sum_of_outer_log(*mg.eigh(a + mg.swapaxes(a, 0, 1))))
    monkeypatch.setattr(primitives["inverse_gaps"], "forward", lambda b, x, out=None: np.zeros((2, 2)))
    assert not np.allclose(mg.grad(f)(np.eye(2) / 2), normal((2, 2)) + normal((2, 2)).T)


def sum_of_outer_log(values, vectors):
    return mg.matmul(vectors * mg.log(values)[..., None, :], mg.swapaxes(vectors, -1, -2))


def test_the_largest_of_equal_eigenvalues_gets_a_generalised_gradient(on_device):
    """v·vᵀ for a unit vector v of the space of the largest eigenvalue: trace 1, no negative eigenvalue."""
    a = degenerate()
    gradient = to_host(mg.grad(lambda a: mg.eigvalsh(a)[-1])(on_device(a)))
    gradient = (gradient + gradient.T) / 2
    assert_close(np.linalg.eigvalsh(gradient), [0, 0, 0, 1])
    assert_close(a @ gradient, 2 * gradient)
    gradient = to_host(mg.grad(lambda a: mg.norm(a, 2))(on_device(np.eye(3))))
    assert_close(np.linalg.svdvals(gradient), [1, 0, 0])
    assert_close(np.trace(gradient), 1)


SPECIAL = {
    "zero": np.zeros((3, 3)),
    "identity": np.eye(3),
    "opposite": np.diag([1.0, -1.0, 0.0]),
    "ones": np.ones((3, 3)),
    "equal to rounding": degenerate(3),
    "nilpotent": np.triu(np.ones((3, 3)), 1),
    "tall zero": np.zeros((3, 2)),
    "tall orthogonal": np.eye(3)[:, :2],
    "tall of rank 1": np.outer([1.0, 2.0, 3.0], [1.0, -1.0]),
    "wide of rank 1": np.outer([1.0, -1.0], [1.0, 2.0, 3.0]),
    "number zero": np.zeros((1, 1)),
    "column zero": np.zeros((3, 1)),
    "empty": np.zeros((0, 0)),
    "no rows": np.zeros((0, 3)),
    "no columns": np.zeros((3, 0)),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_no_derivative_is_nan(name, on_device):
    """Derivatives of every result at special matrices, in both modes to second order: finite, or LinAlgError."""
    a = SPECIAL[name]
    square = a.shape[0] == a.shape[1]
    functions = [
        *[lambda a, i=i: mg.svd(a, full_matrices=False)[i] for i in range(3)],
        *[lambda a, i=i: mg.qr(a)[i] for i in range(2)],
        *[lambda a, i=i: mg.eigh(a)[i] for i in range(2) if square],
        *[lambda a, n=n: mg.matrix_power(a, n) for n in (0, 2) if square],
        *[f for f in (mg.eigvalsh, mg.expm) if square],
        *[lambda a, order=order: mg.norm(a, order) for order in ("nuc", 2, -2) if a.size],
        *[lambda a, i=i: mg.lstsq(a, mg.ones_like(a[:, :1]) if a.shape[1] else a)[i] for i in (0, 1, 3) if a.shape[1]],
        *[mg.svdvals, mg.pinv],
    ]
    moved, t = on_device(a), on_device(normal(a.shape))
    finite = 0
    for f in functions:
        u = on_device(normal(np.shape(f(moved))))
        gradient = lambda a, f=f, u=u: mg.vjp(f, a)[1](u)[0]
        along = lambda a, f=f: mg.jvp(f, (a,), (t,))[1]
        for derive in (
            gradient,
            along,
            lambda a, g=gradient: mg.jvp(g, (a,), (t,))[1],
            lambda a, g=along: mg.jvp(g, (a,), (t,))[1],
        ):
            try:
                found = to_host(derive(moved))
            except np.linalg.LinAlgError:
                continue
            assert np.isfinite(found).all()
            finite += 1
    assert finite > 8


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9, 1e-12])
def test_the_error_between_close_eigenvalues(gap, on_device):
    """V·sin λ·Vᵀ is smooth; through V its gradient has the relative error ε·max|λ|/gap, as promised."""
    q = np.linalg.qr(normal((3, 3)))[0]
    values = np.array([1.0, 1.0 + gap, 3.0])
    a = (q * values) @ q.T
    u = normal((3, 3))
    gradient = to_host(
        mg.grad(lambda a: mg.sum(on_device(u) * sum_of_outer(mg, *mg.eigh(a)[::-1])))(on_device((a + a.T) / 2))
    )
    values, v = np.linalg.eigh((a + a.T) / 2)  # Daletskii and Krein: divided differences of sin
    mean, half = (values[:, None] + values) / 2, (values[:, None] - values) / 2
    divided = np.cos(mean) * np.sinc(half / np.pi)
    expected = v @ (divided * (v.T @ (u + u.T) @ v)) @ v.T / 2
    assert_close((gradient + gradient.T) / 2, expected, ROUNDINGS * EPS * 3 / gap)


def test_a_rank_deficient_matrix(on_device):
    """Square: singular vectors keep their derivatives. Not square: there is no derivative of those beside 0."""
    a = normal((3, 2)) @ normal((2, 3))
    t = normal((3, 3))
    f = lambda a: mg.svd(a, full_matrices=False)
    (u, s, vh), (u_dot, s_dot, vh_dot) = tangents_of(f, a, t, on_device)
    assert_close((u_dot * s) @ vh + (u * s_dot) @ vh + (u * s) @ vh_dot, t)
    tall, t = on_device(normal((4, 1)) @ normal((1, 2))), on_device(normal((4, 2)))
    with pytest.raises(np.linalg.LinAlgError, match="singular value 0"):
        mg.jvp(lambda a: f(a)[0], (tall,), (t,))
    gradient = mg.grad(lambda a: mg.sum(mg.svdvals(a) ** 2))(tall)
    assert_close(to_host(gradient), 2 * to_host(tall))


def test_columns_of_a_qr_that_depend_on_others_are_found(on_device):
    """Relative to their own size: scaled columns keep their derivatives."""
    a, u = normal((4, 3)), normal((4, 3))
    scales = np.array([1.0, 1e-30, 1e20])
    gradients = [to_host(mg.grad(lambda a: mg.sum(on_device(u) * mg.qr(a)[0]))(on_device(b))) for b in (a, a * scales)]
    assert_close(gradients[1] * scales, gradients[0])
    a[:, 2] = a[:, 0] - 3 * a[:, 1]
    for f in (lambda a: mg.qr(a)[0], lambda a: mg.qr(a)[1]):
        with pytest.raises(np.linalg.LinAlgError, match="linearly dependent"):
            mg.jvp(f, (on_device(a),), (on_device(u),))


# What is computed, and what is read


@pytest.mark.parametrize(
    ("name", "f"),
    [
        ("eigh", lambda a: sum(map(mg.sum, mg.eigh(a)))),
        ("svd", lambda a: sum(map(mg.sum, mg.svd(a)))),
        ("qr", lambda a: sum(map(mg.sum, mg.qr(a)))),
        ("svd", lambda a: mg.sum(mg.lstsq(a, a[0])[0]) + mg.sum(mg.lstsq(a, a[0])[3])),
    ],
)
def test_a_matrix_is_factorised_once(name, f, monkeypatch):
    """For the value, the gradient and a second derivative together; in a program even for two calls."""
    a = spaced(np.random.default_rng(0), (4, 4))
    primitive, calls = primitives[name], []
    original = primitive.forward
    monkeypatch.setattr(primitive, "forward", lambda b, x, **how: calls.append(x) or original(b, x, **how))
    once = 2 if "lstsq" in f.__code__.co_names else 1
    mg.value_and_grad(f)(a)
    mg.hvp(f, a, a)
    assert len(calls) == 2 * once
    program = mg.jit(lambda a: (f(a), mg.grad(f)(a), mg.hvp(f, a, a)))
    program(a)
    calls.clear()
    program(a)
    assert len(calls) == 1


def test_values_alone_are_computed_without_vectors(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("vectors were computed")

    a = spaced(np.random.default_rng(0), (3, 3))
    for name in ("eigh", "svd"):
        monkeypatch.setattr(primitives[name], "forward", refuse)
    mg.eigvalsh(a)
    mg.svd(a, compute_uv=False)
    with pytest.raises(AssertionError):
        mg.grad(lambda a: mg.sum(mg.svdvals(a)))(a)


def test_one_triangle_is_read_and_differentiated(on_device):
    a, g = normal((3, 3)), normal((3,))
    for triangle, of in (("L", np.tril), ("U", np.triu)):
        for f in (mg.eigvalsh, lambda a, t: mg.eigh(a, t)[0]):
            values, pullback = mg.vjp(lambda a, f=f, triangle=triangle: f(a, triangle), on_device(a))
            assert_close(to_host(values), np.linalg.eigvalsh(a, triangle))
            gradient = to_host(pullback(on_device(g))[0])
            assert np.array_equal(gradient, of(gradient)) and gradient.any()


@pytest.mark.parametrize("function", [mg.eigh, mg.svd, mg.qr])
def test_numpys_functions_take_traced_values(function):
    """np.linalg.eigh(traced) and the like, with the fields of NumPy's results."""
    a = symmetric(np.random.default_rng(0), (3, 3))
    theirs = getattr(np.linalg, function.__name__)
    expected = theirs(a)
    found = []
    mg.vjp(lambda a: found.append(theirs(a)) or mg.sum(a), a)
    assert found[0]._fields == expected._fields == type(function(a))._fields
    for one, other in zip(found[0], expected):
        assert_close(abs(mg.core.concrete(one)), abs(other))


def test_programs_on_new_matrices(on_device):
    f = lambda a: (*mg.svd(a, full_matrices=False), *mg.qr(a), mg.grad(lambda a: mg.sum(mg.qr(a)[0] ** 3))(a))
    program = mg.jit(f)
    for seed in range(3):
        a = on_device(normal((4, 3), seed))
        for one, other in zip(program(a), f(a), strict=True):
            assert_close(to_host(one), to_host(other))


def test_float32_results_have_the_accuracy_of_float32(on_device):
    """In an ill-conditioned matrix, too: values to ε·max s."""
    q, r = (np.linalg.qr(normal((5, 5), seed))[0] for seed in (1, 2))
    a = (q * 10.0 ** -np.arange(5)) @ r
    s, s_dot = mg.jvp(mg.svdvals, (on_device(a.astype(np.float32)),), (on_device(np.ones((5, 5), np.float32)),))
    u, _, vh = np.linalg.svd(a)
    assert s.dtype == s_dot.dtype == np.float32
    assert_close(to_host(s), 10.0 ** -np.arange(5), rounding(np.float32))
    assert_close(to_host(s_dot)[:2], np.einsum("ik,ij,kj->k", u, np.ones((5, 5)), vh)[:2], rounding(np.float32) * 10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mg.eigh(np.ones((2, 3))), r"eigh: needs square matrices .*, got float64\[2, 3\]"),
        (lambda: mg.eigh(np.eye(2), "X"), "eigh: UPLO='X' is unknown: use 'L'"),
        (lambda: mg.svd(np.ones(3)), r"svd: needs matrices in the last two axes, got float64\[3\]"),
        (
            lambda: mg.svd(np.ones((3, 2))),
            r"svd: full_matrices=True of float64\[3, 2\], .*: use full_matrices=False",
        ),
        (lambda: mg.svd(np.eye(2), hermitian=True), "svd: hermitian=True is not supported: .* mg.eigh"),
        (lambda: mg.qr(np.eye(2), "complete"), "qr: mode='complete' is not supported: use 'reduced'"),
        (lambda: mg.svdvals(np.ones(2)), "svdvals: needs matrices"),
    ],
)
def test_what_is_not_supported_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_singular_values_descend_and_eigenvalues_ascend(on_device):
    a = normal((2, 4, 4))
    assert all(np.all(x >= y) for x, y in pairwise(np.moveaxis(to_host(mg.svdvals(on_device(a))), -1, 0)))
    assert all(np.all(x <= y) for x, y in pairwise(np.moveaxis(to_host(mg.eigvalsh(on_device(a))), -1, 0)))
