"""minigrad/ops/eigenvalues.py: derivatives by the equations that define them and in closed form; norms and phases;
equal eigenvalues and dependent eigenvectors."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.checks.catalogue.draws import complex_general, general
from minigrad.core import primitives
from tests.support.complex_numbers import normal
from tests.support.oracles import assert_close
from tests.support.transfer import to_host

pytestmark = pytest.mark.large  # on the stand-in, NumPy computes these, too

BATCHES = st.sampled_from([(), (2,), (2, 1)])


def draw(rng, shape, of_reals):
    if of_reals:
        return general(rng, shape), normal(shape, float, rng)
    x = complex_general(rng, (2, *shape))
    return x[0] + 1j * x[1], normal(shape, rng=rng)


def tangents_of(f, a, t, on_device):
    """(values, tangents) of all results of f at a along t."""
    values, tangents = mg.jvp(lambda a: tuple(f(a)), (on_device(a),), (on_device(t),))
    return [to_host(x) for x in values], [to_host(x) for x in tangents]


@given(n=st.integers(0, 5), batch=BATCHES, of_reals=st.booleans(), seed=st.integers(0, 2**16))
def test_eig_by_its_equations(n, batch, of_reals, seed, on_device):
    """A·V = V·diag(λ) and columns of norm 1 determine both derivatives, as VᴴV̇ has the diagonal 0."""
    a, t = draw(np.random.default_rng(seed), (*batch, n, n), of_reals)
    (values, v), (values_dot, v_dot) = tangents_of(mg.eig, a, t, on_device)
    assert all(x.dtype == complex for x in (values, v, values_dot, v_dot))
    assert_close(values, np.linalg.eig(a)[0])
    assert_close(v, np.linalg.eig(a)[1])
    row = values[..., None, :]
    assert_close(a @ v_dot + t @ v, v_dot * row + v * values_dot[..., None, :], 1e-12)
    assert_close(np.sum(v.conj() * v_dot, -2), np.zeros(values.shape), 1e-12)
    (alone,), (alone_dot,) = tangents_of(lambda a: (mg.eigvals(a),), a, t, on_device)
    assert_close(alone, values)
    assert_close(alone_dot, values_dot)


def test_eigenvalues_of_two_by_two_to_third_order(on_device):
    """λ = tr/2 ± √(tr²/4 − det), differentiated by mpmath along a line."""
    a, t = np.array([[0.3, -1.2], [0.9, -0.7]]), np.array([[0.3, 0.5], [-1.1, 0.8]])

    def eigenvalue(sign):
        def along(x):
            p, q, r, s = (mp.mpf(u) + x * mp.mpf(v) for u, v in zip(a.ravel(), t.ravel(), strict=True))
            half = (p + s) / 2
            return half + sign * mp.sqrt(half**2 - p * s + q * r)

        return along

    moved, direction = on_device(a), on_device(t)
    first = to_host(mg.eigvals(moved))[0]
    f = lambda x: mg.eigvals(moved + x * direction)
    for order in range(4):
        found = to_host(f(on_device(np.zeros(()))))
        with mp.workdps(60):
            expected = [complex(mp.diff(eigenvalue(sign), 0, order)) for sign in (1, -1)]
        assert_close(found, expected if first.imag > 0 else expected[::-1], 1e-12)
        f = lambda x, f=f: mg.jvp(f, (x,), (mg.ones_like(x),))[1]


@given(n=st.integers(1, 4), seed=st.integers(0, 2**16))
def test_traces_of_powers(n, seed, on_device):
    """Σλᵏ = tr Aᵏ has the gradient k·(Aᵏ⁻¹)ᵀ, real for a real matrix, and the Hessian along T is that of the trace."""
    a, t = draw(np.random.default_rng(seed), (n, n), of_reals=True)
    cubes = mg.grad(lambda a: mg.real(mg.sum(mg.eigvals(a) ** 3)))
    gradient, slope = mg.jvp(cubes, (on_device(a),), (on_device(t),))
    assert gradient.dtype == float
    assert_close(to_host(gradient), 3 * (a @ a).T, 1e-12)
    assert_close(to_host(slope), 3 * (a @ t + t @ a).T, 1e-11)


def test_eigenvectors_of_a_symmetric_matrix_are_those_of_eigh(on_device):
    a, t = normal((4, 4), float), normal((4, 4), float)
    a, t = on_device(a + a.T), on_device(t + t.T)
    outer = lambda v: mg.abs(v[:, :, None] * mg.conj(v[:, None])).sum(0)
    (general_y, general_dot), (y, y_dot) = (
        mg.jvp(lambda a, f=f: mg.sum(outer(f(a)[1]) ** 2), (a,), (t,)) for f in (mg.eig, mg.eigh)
    )
    assert_close(to_host(general_y), to_host(y))
    assert_close(to_host(general_dot), to_host(y_dot), 1e-12)


def test_phases_and_order_have_no_effect(monkeypatch, on_device):
    """Other phases and another order of the library's vectors do not change Σᵢ λᵢ²·|vᵢ|⁴ or its derivatives."""
    a, t = (on_device(x) for x in draw(np.random.default_rng(2), (3, 3), of_reals=True))

    def f(a):
        values, vectors = mg.eig(a)
        return mg.real(mg.sum(values**2 * mg.abs(vectors) ** 4, -1))

    def derivatives():
        first = lambda a: mg.jvp(f, (a,), (t,))[1]
        return [to_host(x) for x in (*mg.jvp(first, (a,), (t,)), mg.vjp(f, a)[1](on_device(np.array([1.0, -2, 3])))[0])]

    before, primitive = derivatives(), primitives["eig"]
    original = primitive.forward

    def turned(b, x, out=None):
        y = original(b, x).copy()
        y[..., 1:, :] *= b.from_host(np.exp(1j * np.array([0.7, -2.0, 3.0])))
        return b.xp.concatenate([y[..., 1:], y[..., :1]], y.ndim - 1)

    monkeypatch.setattr(primitive, "forward", turned)
    for one, other in zip(derivatives(), before):
        assert_close(one, other, 1e-12)


# Equal eigenvalues


@pytest.mark.parametrize("a", [np.eye(3), np.zeros((2, 2)), np.diag([2.0, -1, 2]), 1j * np.eye(2)])
def test_equal_eigenvalues(a, on_device):
    """Symmetric functions of values have exact gradients; vectors, and second derivatives, have none."""
    squares = lambda a: mg.real(mg.sum(mg.eigvals(a) ** 2))
    assert_close(to_host(mg.grad(squares)(on_device(a))), 2 * a.T)
    with pytest.raises(np.linalg.LinAlgError, match="equal eigenvalues"):
        mg.grad(lambda a: mg.sum(mg.abs(mg.eig(a).eigenvectors) ** 3))(on_device(a))
    with pytest.raises(np.linalg.LinAlgError, match="equal eigenvalues"):
        mg.jvp(mg.grad(squares), (on_device(a),), (on_device(np.ones_like(a)),))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_dependent_eigenvectors_are_found(dtype, on_device):
    """In a batch, too."""
    blocks = on_device(np.array([[[1, 0], [0, 2]], [[3, 1], [0, 3]]], dtype))
    assert to_host(mg.eigvals(blocks)).tolist() == [[1, 2], [3, 3]]
    with pytest.raises(np.linalg.LinAlgError, match=r"linearly dependent; differentiate .*mg.expm"):
        mg.grad(lambda a: mg.sum(mg.abs(mg.eigvals(a))))(blocks)
    zero = on_device(np.array([[0, 1], [0, 0]], dtype))
    with pytest.raises(np.linalg.LinAlgError, match="linearly dependent"):
        mg.grad(lambda a: mg.sum(mg.abs(mg.eigvals(a))))(zero)


def test_a_matrix_is_factorised_once(monkeypatch):
    a, primitive, calls = general(np.random.default_rng(0), (4, 4)), primitives["eig"], []
    original = primitive.forward
    monkeypatch.setattr(primitive, "forward", lambda b, x, out=None: calls.append(x) or original(b, x, out=out))
    f = lambda a: mg.sum(mg.abs(mg.eig(a)[0])) + mg.sum(mg.abs(mg.eig(a)[1]) ** 3)
    program = mg.jit(mg.value_and_grad(f))
    program(a)
    calls.clear()
    _, gradient = program(a)
    assert len(calls) == 1
    assert_close(gradient, mg.grad(f)(a))


# Dtypes and refusals


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(int, np.complex128), (np.float32, np.complex64), (float, np.complex128), (np.complex64, np.complex64)],
)
def test_results_are_complex(dtype, expected, on_device):
    a = on_device(np.diag([1, 2]).astype(dtype))
    assert {x.dtype for x in (*mg.eig(a), mg.eigvals(a))} == {np.dtype(expected)}
    assert mg.jit(mg.eigvals)(a).dtype == expected


def test_numpys_functions_take_traced_values():
    a = general(np.random.default_rng(0), (3, 3))
    found = []
    mg.vjp(lambda a: found.append((np.linalg.eig(a), np.linalg.eigvals(a))) or mg.sum(a), a)
    assert found[0][0]._fields == np.linalg.eig(a)._fields
    assert_close(mg.core.concrete(found[0][1]), np.linalg.eig(a)[0])


@pytest.mark.parametrize("f", [mg.eig, mg.eigvals])
def test_wrong_shapes_are_refused(f):
    with pytest.raises(ValueError, match=rf"{f.__name__}: needs square matrices .*, got float64\[2, 3\]"):
        f(np.ones((2, 3)))
