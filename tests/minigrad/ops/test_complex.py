"""minigrad/ops/complex.py, and complex numbers in derivatives: the pairing Re Σ g·t, closed forms, and JAX.

JAX has the same convention. PyTorch's gradients are conjugates of these.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import minigrad as mg
from tests.support.complex_numbers import check_derivatives, compare_with_jax, normal
from tests.support.oracles import assert_close, rounding
from tests.support.peers import PEERS
from tests.support.transfer import to_host

FUNCTIONS = {  # of an array of four numbers
    "real": lambda xp, z: xp.real(z),
    "imag": lambda xp, z: xp.imag(z),
    "conj": lambda xp, z: xp.conj(z),
    "abs": lambda xp, z: xp.abs(z),
    "angle": lambda xp, z: xp.angle(z),
    "holomorphic": lambda xp, z: xp.sin(z) * z / (3 + z * z),
    "times i": lambda xp, z: z * (0.5 + 2j),
    "a real factor": lambda xp, z: xp.abs(z) * z,
    "powers": lambda xp, z: xp.real(z * xp.conj(z)) + xp.abs(z) ** 3 + xp.imag(z) * xp.real(z) ** 2,
    "polar and back": lambda xp, z: xp.abs(z) * xp.exp(1j * xp.angle(z)),
    "a matrix product": lambda xp, z: xp.conj(xp.matmul(z[:, None] + xp.real(z), z)) * xp.real(z),
    "sums and broadcasting": lambda xp, z: xp.sum(xp.real(z)) * z[None] + xp.abs(z[:, None]),
    "methods": lambda xp, z: z.real * z.conj() + z.imag,
    "a real loss": lambda xp, z: xp.sum(xp.abs(xp.exp(z) - 1j) ** 2),
}
DTYPES = {"of complex numbers": np.complex128, "of real numbers": np.float64}


def points(kind):
    """A point and a tangent."""
    rng = np.random.default_rng(7)
    return normal(4, DTYPES[kind], rng), normal(4, DTYPES[kind], rng)


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_are_linear_over_the_reals(name, kind, on_device):
    check_derivatives(FUNCTIONS[name], *points(kind), on_device)


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_are_those_of_jax(name, kind, on_device):
    compare_with_jax(FUNCTIONS[name], *points(kind), on_device)


def test_gradients_are_conjugates_of_those_of_pytorch(on_device):
    with PEERS["torch"]() as torch:
        z = normal(5)
        there = torch.top.from_numpy(z.copy()).requires_grad_()
        (torch.top.abs(torch.top.exp(there) - 1j) ** 2 + torch.top.angle(there)).sum().backward()
        loss = lambda z: mg.sum(mg.abs(mg.exp(z) - 1j) ** 2 + mg.angle(z))
        assert_close(np.conj(to_host(mg.grad(loss)(on_device(z)))), there.grad.numpy())


# Closed forms


def test_transposes_by_hand(on_device):
    z, g, h = normal(3), normal(3, float), normal(3)
    truths = {
        mg.real: (g, g.astype(complex)),
        mg.imag: (g, -1j * g),
        mg.conj: (h, h.conj()),
        mg.abs: (g, g * z.conj() / np.abs(z)),
        mg.angle: (g, -1j * g / z),
    }
    for f, (cotangent, truth) in truths.items():
        assert_close(to_host(mg.vjp(f, on_device(z))[1](on_device(cotangent))[0]), truth, what=f.__name__)
    assert_close(to_host(mg.vjp(lambda x: x * 1j, on_device(g))[1](on_device(h))[0]), -h.imag)


def test_descent_along_the_conjugate_of_the_gradient(on_device):
    """|z − c|² falls to 0 in one step of ½ along −conj(gradient) = −2(z − c)."""
    z, c = normal(4), on_device(normal(4))
    loss = lambda z: mg.sum(mg.real(z - c) ** 2 + mg.imag(z - c) ** 2)
    gradient = mg.grad(loss)(on_device(z))
    assert_close(to_host(gradient), 2 * np.conj(z - to_host(c)))
    assert to_host(loss(on_device(z) - 0.5 * mg.conj(gradient))) <= 1e-30


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_at_0_modulus_and_angle_have_no_slope(dtype, on_device):
    """To every order, in both modes."""
    z, t = np.array([0, 3 - 4j], dtype), np.ones(2, dtype)
    for f, slope in ((mg.abs, 0.6 + 0.8j), (mg.angle, -1j / (3 - 4j))):
        gradient = lambda z, f=f: mg.grad(lambda z: mg.sum(f(z)))(z)
        found = to_host(gradient(on_device(z)))  # of 3 − 4i, (3 + 4i)/5 and −i/(3 − 4i)
        assert found.dtype == dtype
        assert_close(found, [0, slope], rounding(np.dtype(dtype)))
        assert to_host(mg.jvp(f, (on_device(z),), (on_device(t),))[1])[0] == 0
        assert to_host(mg.jvp(gradient, (on_device(z),), (on_device(t),))[1])[0] == 0


def test_jacobians_with_one_complex_side(on_device):
    a, x, z = normal((3, 4)), normal(4, float), normal(3)
    moved = on_device(a)
    found = mg.jacobian(lambda x: mg.matmul(moved, x), mode="forward")(on_device(x))
    assert_close(to_host(found), a)
    found = mg.jacobian(mg.abs)(on_device(z))
    assert_close(to_host(found), np.diag(z.conj() / np.abs(z)))
    for mode in ("forward", "reverse"):
        assert_close(to_host(mg.jacobian(mg.exp, mode=mode)(on_device(z))), np.diag(np.exp(z)))


def test_hvp_of_a_complex_argument(on_device):
    """The loss |z|⁴ = (z·z̄)² has the gradient 2|z|²·2z̄."""
    z, t = normal(3), normal(3)
    found = mg.hvp(lambda z: mg.sum((mg.real(z) ** 2 + mg.imag(z) ** 2) ** 2), on_device(z), on_device(t))
    assert_close(to_host(found), 8 * np.real(z * t.conj()) * z.conj() + 4 * np.abs(z) ** 2 * t.conj())


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_linearize_and_vmap(name, kind, on_device):
    """The transpose of the pullback is J; a batch of examples gives what each gives alone."""
    z, t = points(kind)
    f, given, moved = partial(FUNCTIONS[name], mg), on_device(z), on_device(t)
    truth = to_host(mg.jvp(f, (given,), (moved,))[1])
    assert_close(to_host(mg.linearize(f, given)[1](moved)), truth)
    both = mg.vmap(lambda z, t: mg.jvp(f, (z,), (t,))[1])(on_device(np.stack([z, t])), on_device(np.stack([t, z])))
    assert_close(to_host(both), np.stack([truth, to_host(mg.jvp(f, (moved,), (given,))[1])]))


# Values, dtypes and programs


@pytest.mark.parametrize("dtype", [np.int32, np.float16, np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("name", ["real", "imag", "conj", "abs", "angle"])
def test_values_and_dtypes_are_those_of_numpy(name, dtype, on_device):
    x = (3 * normal((2, 3))).astype(dtype) if np.dtype(dtype).kind == "c" else (3 * normal((2, 3), float)).astype(dtype)
    found, expected = to_host(getattr(mg, name)(on_device(x))), getattr(np, name)(x)
    assert found.dtype == expected.dtype
    assert_close(found, expected, rounding(expected.dtype) if expected.dtype.kind in "fc" else 0)
    assert_close(to_host(mg.jit(getattr(mg, name))(on_device(x))), expected, rounding(np.float16))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_programs_of_gradients(name, on_device):
    z, _ = points("of complex numbers")
    f, y = partial(FUNCTIONS[name], mg), np.asarray(FUNCTIONS[name](np, z))
    g = on_device(normal(y.shape, y.dtype))
    gradient = lambda z: mg.vjp(f, z)[1](g)[0]
    assert_close(to_host(mg.jit(gradient)(on_device(z))), to_host(gradient(on_device(z))))


def test_numpy_functions_and_properties_of_traced_values():
    z = normal(3)
    for ours, numpys in ((mg.real, np.real), (mg.imag, np.imag), (mg.conj, np.conj), (mg.angle, np.angle)):
        y, pullback = mg.vjp(ours, z)
        again, same = mg.vjp(numpys, z)
        assert np.array_equal(y, again) and np.array_equal(pullback(y)[0], same(y)[0])
    x = normal(3, float)
    assert np.array_equal(mg.grad(lambda x: mg.sum(x.real * x.conjugate() + x.imag))(x), 2 * x)


def test_real_if_close(on_device):
    z = on_device(np.array([1 + 1e-15j, -2 + 2e-15j]))
    for tol in (100, 1e-14):
        y, pullback = mg.vjp(lambda z, tol=tol: mg.real_if_close(z, tol), z)
        assert y.dtype == float and to_host(y).tolist() == [1, -2]
        assert to_host(pullback(on_device(np.array([3.0, -4.0])))[0]).tolist() == [3, -4]
    for tol in (8, 1.5e-15):
        y, pullback = mg.vjp(lambda z, tol=tol: mg.real_if_close(z, tol), z)
        assert y.dtype == complex and np.array_equal(to_host(y), to_host(z)) and y is not z
        assert to_host(pullback(on_device(np.array([3.0, 4j])))[0]).tolist() == [3, 4j]
    assert mg.real_if_close(on_device(np.ones(2))).dtype == float
    assert mg.vjp(np.real_if_close, np.array([2 + 0j]))[0].dtype == float
    for wrapped in (mg.jit, mg.vmap):
        with pytest.raises((mg.CaptureError, TypeError), match=r"real_if_close\(x\)"):
            wrapped(lambda z: mg.real_if_close(2 * z))(z)


def test_lists_and_numbers():
    assert mg.real([1 + 2j, 3.0]).tolist() == [1, 3] and mg.imag([1 + 2j, 3.0]).tolist() == [2, 0]
    assert mg.real([1, 2]).tolist() == [1, 2] and not mg.imag([1, 2]).any()
    assert (mg.real(2j), mg.imag(2j), mg.conj(2j), mg.abs(3 - 4j), mg.real(1.5)) == (0, 2, -2j, 5, 1.5)
    assert_close(mg.grad(mg.abs)(3 - 4j), 0.6 + 0.8j)
