"""minigrad/ops/matrix_functions.py: pseudoinverses of any rank, least squares, powers and exponentials."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.checks import complex_step
from minigrad.checks.catalogue.draws import regular, spaced
from minigrad.testing import normal
from tests.support.environment import optional
from tests.support.oracles import assert_close
from tests.support.transfer import to_host

pytestmark = pytest.mark.large  # on the stand-in, NumPy computes these, too

# Pseudoinverse and least squares


@given(m=st.integers(1, 4), n=st.integers(1, 4), rank=st.integers(1, 4), seed=st.integers(0, 2**16))
def test_pinv_of_constant_rank(m, n, rank, seed, on_device):
    """A = BC of rank r: A⁺ = Cᵀ(CCᵀ)⁻¹(BᵀB)⁻¹Bᵀ, differentiated by a complex step in B and C, to second order."""
    rank, rng = min(m, n, rank), np.random.default_rng(seed)
    left, right = spaced(rng, (m, rank)), spaced(rng, (rank, n))
    t, s = normal((m, rank)), normal((rank, n))

    def formula(b, c):
        return c.T @ np.linalg.inv(c @ c.T) @ np.linalg.inv(b.T @ b) @ b.T

    f = lambda b, c: mg.pinv(b @ c, rcond=1e-12)
    given, direction = on_device((left, right)), on_device((t, s))
    y, y_dot = mg.jvp(f, given, direction)
    expected = complex_step(formula, (left, right), (t, s))
    assert_close(to_host(y), formula(left, right), 1e-12)
    assert_close(to_host(y_dot), expected, 1e-12)
    u = normal((n, m))
    gradients = mg.vjp(f, *given)[1](on_device(u))
    inner = sum(np.sum(to_host(g) * d) for g, d in zip(gradients, (t, s)))
    assert abs(inner - np.sum(u * expected)) <= 1e-12 * max(1, np.sum(abs(u * expected)))
    along = lambda *x: mg.jvp(f, x, direction)[1]
    second = to_host(mg.jvp(along, given, direction)[1])
    step = 1e-4
    outer = lambda k: complex_step(formula, (left + k * step * t, right + k * step * s), (t, s))
    truth = (outer(-2) - 8 * outer(-1) + 8 * outer(1) - outer(2)) / (12 * step)
    assert_close(second, truth, 1e-8)


def test_which_singular_values_count(on_device):
    a = on_device(np.diag([1.0, 1e-8, 0.0]))
    for found, expected in [
        (mg.pinv(a), [1, 1e8, 0]),
        (mg.pinv(a, 1e-7), [1, 0, 0]),
        (mg.pinv(a, rtol=1e-7), [1, 0, 0]),
        (mg.pinv(a, rtol=None), [1, 1e8, 0]),
        (mg.pinv(mg.astype(a, np.float32), rtol=None), [1, 0, 0]),
        (mg.lstsq(a, on_device(np.eye(3)), 1e-7).x, [1, 0, 0]),
    ]:
        assert_close(to_host(found), np.diag(np.asarray(expected, float)), 1e-6)
    assert [int(mg.lstsq(a, on_device(np.ones(3)), rcond).rank) for rcond in (None, 1e-7)] == [2, 1]
    with pytest.raises(ValueError, match="pinv: give either rcond or rtol, not both"):
        mg.pinv(a, 1e-7, rtol=1e-7)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)])
@pytest.mark.parametrize("right", [(), (2,), (0,)])
def test_lstsq_against_numpy(shape, right, on_device):
    a, b = normal(shape), normal((shape[0], *right))
    found, expected = mg.lstsq(on_device(a), on_device(b)), np.linalg.lstsq(a, b)
    for one, other in zip(found, expected, strict=True):
        assert_close(to_host(one), other, 1e-12)
        assert to_host(one).dtype == np.asarray(other).dtype
    stack = mg.lstsq(on_device(np.stack([a, -a])), on_device(np.stack([b, b])) if right else on_device(b))
    for sign, x in zip((1, -1), to_host(stack.x)):
        assert_close(x, sign * expected[0], 1e-12)
    assert to_host(stack.rank).tolist() == [expected[2]] * 2


def test_lstsq_of_a_rank_deficient_matrix(on_device):
    """The solution of least norm, and residuals also here, where NumPy returns none."""
    a, b = normal((5, 2)) @ normal((2, 3)), normal((5, 2))
    found, expected = mg.lstsq(on_device(a), on_device(b)), np.linalg.lstsq(a, b)
    assert_close(to_host(found.x), expected[0], 1e-12)
    assert int(found.rank) == expected[2] == 2
    assert_close(to_host(found.residuals), np.sum((a @ expected[0] - b) ** 2, 0), 1e-12)


def test_derivatives_of_a_regression(on_device):
    """The gradient of the residual is 2(Ax − b)xᵀ: x itself moves it only to second order."""
    a, b = normal((6, 3)), normal((6,))
    x = np.linalg.lstsq(a, b)[0]
    gradients = mg.grad(lambda a, b: mg.sum(mg.lstsq(a, b).residuals), (0, 1))(on_device(a), on_device(b))
    assert_close(to_host(gradients[0]), 2 * np.outer(a @ x - b, x))
    assert_close(to_host(gradients[1]), -2 * (a @ x - b))
    t = normal((6,), 1)
    assert_close(to_host(mg.jvp(lambda b: mg.lstsq(on_device(a), b).x, (on_device(b),), (on_device(t),))[1]),
                 np.linalg.lstsq(a, t)[0])  # fmt: skip


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mg.lstsq(np.ones((3, 2)), np.ones(2)), r"lstsq: float64\[3, 2\] and float64\[2\] must have the same"),
        (lambda: mg.lstsq(np.ones(3), np.ones(3)), "lstsq: needs matrices"),
        (lambda: mg.pinv(np.eye(2), hermitian=True), "pinv: hermitian=True is not supported"),
        (lambda: mg.matrix_power(np.ones((2, 3)), 2), "matrix_power: needs square matrices"),
        (lambda: mg.matrix_power(np.eye(2), 0.5), "matrix_power: n must be an integer"),
        (lambda: mg.expm(np.ones((2, 3))), "expm: needs square matrices"),
    ],
)
def test_wrong_calls_are_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


# Powers


@given(n=st.integers(1, 7), seed=st.integers(0, 2**16))
def test_derivatives_of_powers(n, seed, on_device):
    """d(Aⁿ) = Σ AⁱȦAⁿ⁻¹⁻ⁱ, and A⁻ⁿ is the inverse of Aⁿ."""
    rng = np.random.default_rng(seed)
    a, t = regular(rng, (2, 3, 3)), normal((2, 3, 3))
    y, y_dot = mg.jvp(lambda a: mg.matrix_power(a, n), (on_device(a),), (on_device(t),))
    power = np.linalg.matrix_power
    assert_close(to_host(y), power(a, n))
    assert_close(to_host(y_dot), sum(power(a, i) @ t @ power(a, n - 1 - i) for i in range(n)))
    assert_close(to_host(mg.matrix_power(on_device(a), -n)) @ power(a, n), np.broadcast_to(np.eye(3), a.shape), 1e-11)


def test_the_power_zero_is_the_identity(on_device):
    a = on_device(np.zeros((2, 2)))
    y, y_dot = mg.jvp(lambda a: mg.matrix_power(a, 0), (a,), (a + 1,))
    assert np.array_equal(to_host(y), np.eye(2)) and not to_host(y_dot).any()
    assert mg.matrix_power(np.eye(2, dtype=int), 0).dtype == mg.matrix_power(np.eye(2, dtype=int), 3).dtype == int


# Exponential


def exact(a):
    """exp A to 40 digits, rounded."""
    with mp.workdps(40):
        found = mp.expm(mp.matrix(a.tolist())).tolist() if len(a) else []
        return np.array(found, dtype=float).reshape(a.shape)


@pytest.mark.parametrize("size", [1e-3, 0.1, 1, 5.3, 5.4, 10, 30])
@pytest.mark.parametrize("kind", ["general", "skew", "triangular"])
def test_expm_against_mpmath_and_scipy(size, kind, on_device):
    """Values to 1e-12 of the largest element for norms from 1e-3 to 30; derivatives, which SciPy computes, to 1e-11."""
    linalg = optional("scipy.linalg", extra="test")
    for n in (1, 4, 7):
        a = normal((n, n), n)
        a = {"general": a, "skew": a - a.T, "triangular": np.triu(a) * 10.0 ** normal((n, n), 2)}[kind]
        a *= size / max(np.linalg.norm(a, 1), 1e-30)
        t = normal((n, n), 1)
        y, y_dot = mg.jvp(mg.expm, (on_device(a),), (on_device(t),))
        scale = np.max(abs(exact(a)))
        assert_close(to_host(y) / scale, exact(a) / scale, 1e-12)
        expected = linalg.expm_frechet(a, t, compute_expm=False)
        scale = np.max(abs(expected))
        assert_close(to_host(y_dot) / scale, expected / scale, 1e-11)
        gradient = to_host(mg.vjp(mg.expm, on_device(a))[1](on_device(t))[0])
        expected = linalg.expm_frechet(a.T, t, compute_expm=False)
        assert_close(gradient / scale, expected / scale, 1e-11)


def test_expm_in_closed_form(on_device):
    """Rotations; nilpotent matrices; ln det exp A = tr A, with gradient I; stacks of matrices of different norms."""
    spin = np.array([[0.0, -1.0], [1.0, 0.0]])
    angle = 1.3
    y, y_dot = mg.jvp(lambda x: mg.expm(x * on_device(spin)), (angle,), (1.0,))
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    assert_close(to_host(y), rotation)
    assert_close(to_host(y_dot), spin @ rotation)
    nilpotent = np.triu(normal((3, 3)), 1)
    assert_close(to_host(mg.expm(on_device(nilpotent))), np.eye(3) + nilpotent + nilpotent @ nilpotent / 2)
    a = normal((3, 3))
    gradient = mg.grad(lambda a: mg.slogdet(mg.expm(a)).logabsdet)(on_device(a))
    assert_close(to_host(gradient), np.eye(3), 1e-12)
    stack = np.stack([a * 1e-3, a, 20 * a])
    for one, x in zip(to_host(mg.expm(on_device(stack))), stack):
        assert_close(one / np.max(abs(one)), exact(x) / np.max(abs(exact(x))), 1e-12)
    assert_close(to_host(mg.expm(on_device(1j * np.diag([0.5, 2.0])))), np.diag(np.exp([0.5j, 2j])))


@pytest.mark.parametrize("scale", [1e-200, 1e-8, 1e8, 1e200])
def test_the_derivative_of_expm_is_linear_in_tangents_of_any_size(scale, on_device):
    """The block [[A, Ȧ], [0, A]] of a large Ȧ would need many halvings, which lose digits."""
    a, t = normal((3, 3)), normal((3, 3), 1)
    derive = lambda t: to_host(mg.jvp(mg.expm, (on_device(a),), (on_device(t),))[1])
    assert_close(derive(scale * t) / scale, derive(t))
    assert not derive(0 * t).any()
    pull = mg.vjp(mg.expm, on_device(a))[1]
    assert_close(to_host(pull(on_device(scale * t))[0]) / scale, to_host(pull(on_device(t))[0]))


def test_programs_of_functions_of_matrices(on_device):
    """The number of squarings depends on values, inside of one primitive."""
    f = lambda a, b: (mg.expm(a), mg.pinv(a), *mg.lstsq(a, b), mg.matrix_power(a, -2))
    total = lambda a, b: mg.sum(f(a, b)[0]) + mg.sum(f(a, b)[2] ** 2)
    both = lambda a, b: (*f(a, b), *mg.grad(total, (0, 1))(a, b))
    program = mg.jit(both)
    for scale in (0.1, 1, 30):
        a, b = on_device((scale * normal((3, 3)), normal((3,))))
        for one, other in zip(program(a, b), both(a, b), strict=True):
            assert_close(to_host(one), to_host(other))
