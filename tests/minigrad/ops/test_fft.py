"""minigrad/ops/fft.py: values and errors of NumPy, closed forms, and derivatives of JAX and PyTorch."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.errors import OperandError, OperandIndexError, OperandTypeError
from minigrad.core.interpreter import Tracer
from minigrad.program.cpu.schedule import find_regions
from minigrad.program.views import find_views
from tests.support.oracles import assert_close, rounding
from tests.support.peers import PEERS
from tests.support.programs import cut_everything
from tests.support.transfer import to_host

pytestmark = pytest.mark.large  # on the stand-in, NumPy computes these, too

TRANSFORMS = [name for name in mg.fft.__all__ if "shift" not in name and "freq" not in name]
OF_REAL = ("rfft", "ihfft", "rfft2", "rfftn")
CALLS = {  # of an array of shape (3, 4, 5)
    1: [(), (None, 0, "ortho"), (3, 1, "forward"), (7, -1, "backward"), (1, 0), (2, -2, "ortho"), (8, 0)],
    2: [(), ((4, 3), (0, 2), "ortho"), (None, (2, 0), "forward"), ((-1, 6), (1, 2)), ((1, 1), (0, 1))],
    3: [(), ((4, 3), (0, 2), "ortho"), (None, (1,), "forward"), ((2, -1, 4), (2, 0, 1)), (None, (0, 1))],
}
EVERY = [(name, params) for name in TRANSFORMS for params in CALLS[{"2": 2, "n": 3}.get(name[-1], 1)]]
each = pytest.mark.parametrize(("name", "params"), EVERY, ids=lambda value: str(value))


def normal(shape, dtype, seed=0):
    """Random signed numbers, complex if the dtype is."""
    rng, dtype = np.random.default_rng(seed), np.dtype(dtype)
    values = 3 * rng.normal(size=shape)
    return np.asarray(values + 3j * rng.normal(size=shape) if dtype.kind == "c" else values).astype(dtype)


def array_for(name, double=True):
    """An array of shape (3, 4, 5) that the transform takes."""
    dtype = "float64" if name in OF_REAL else "complex128"
    return normal((3, 4, 5), dtype if double else {"float64": "float32"}.get(dtype, "complex64"))


def pair(g, t):
    """Re Σ g·t."""
    return float(np.sum(g * t).real)


# Values, dtypes and signatures of NumPy


def test_every_function_of_numpy_is_here_with_its_signature():
    assert set(mg.fft.__all__) == set(np.fft.__all__)
    for name in np.fft.__all__:
        ours, theirs = inspect.signature(getattr(mg.fft, name)), inspect.signature(getattr(np.fft, name))
        own = {"dtype"} if name.endswith("freq") else set()  # of the array API standard
        assert [p for p in ours.parameters.values() if p.name not in own] == [*theirs.parameters.values()]


@each
@pytest.mark.parametrize("dtype", ["bool", "int8", "int32", "float16", "float32", "float64", "complex64", "complex128"])
def test_values_and_dtypes(name, params, dtype, on_device):
    if name in OF_REAL and dtype.startswith("complex"):
        return
    x = normal((3, 4, 5), dtype)
    found, expected = to_host(getattr(mg.fft, name)(on_device(x), *params)), getattr(np.fft, name)(x, *params)
    assert found.dtype == expected.dtype
    assert_close(found, expected, 0 if isinstance(on_device(x), np.ndarray) else rounding(expected.dtype))


@pytest.mark.parametrize("name", ["fftn", "ifftn", "rfftn", "irfftn"])
@pytest.mark.parametrize("call", [((4, 2), (0, 0)), ((1, 3, 2), (0, 0, 1)), ((2, 3, 4), (0, 1, 1)), (None, (1, 1, 0))])
def test_an_axis_that_is_named_twice_is_transformed_twice(name, call, on_device):
    x = array_for(name)
    f = getattr(mg.fft, name)
    y, pullback = mg.vjp(lambda x: f(x, *call), on_device(x))
    assert_close(to_host(y), getattr(np.fft, name)(x, *call))
    g, t = normal(y.shape, y.dtype, 1), normal(x.shape, x.dtype, 2)
    left = pair(g, to_host(mg.jvp(lambda x: f(x, *call), (on_device(x),), (on_device(t),))[1]))
    assert left == pytest.approx(pair(to_host(pullback(on_device(g))[0]), t), rel=1e-12)


def test_no_axes_leave_an_array_as_it_is():
    x = normal((2, 3), float)
    assert mg.fft.fftn(x, axes=()) is x and mg.fft.ifftn(np.float64(2.0)) == 2


def test_zeros_are_added_to_an_axis_without_points():
    """NumPy 2.4 leaves the result of irfft uninitialised here."""
    for name in ("fft", "rfft", "irfft", "hfft"):
        assert not np.any(getattr(mg.fft, name)(np.ones((2, 0)), 4))


def test_lists_of_numbers():
    assert_close(mg.fft.fft([1, 2, 4j], 4), np.fft.fft([1, 2, 4j], 4))
    assert_close(mg.fft.rfftn([[1, 2], [3, 5]]), np.fft.rfftn([[1, 2], [3, 5]]))


def test_frequencies():
    for n in (1, 2, 5, 8):
        assert np.array_equal(mg.fft.fftfreq(n, 0.3), np.fft.fftfreq(n, 0.3))
        assert np.array_equal(mg.fft.rfftfreq(n, d=0.3), np.fft.rfftfreq(n, d=0.3))
    slope = mg.grad(lambda d: mg.sum(mg.fft.fftfreq(5, d) ** 2))(2.0)
    assert slope == pytest.approx(-np.sum(np.fft.fftfreq(5, 2.0) ** 2))  # frequencies are proportional to 1/d


@pytest.mark.parametrize("name", [*TRANSFORMS, "fftshift", "ifftshift"])
def test_numpys_functions_of_traced_values_are_ours(name):
    x, traced = array_for(name), []
    y, pullback = mg.vjp(lambda x: traced.append(getattr(np.fft, name)(x)) or traced[0], x)
    expected, other = mg.vjp(getattr(mg.fft, name), x)
    assert isinstance(traced[0], Tracer)
    assert np.array_equal(y, expected) and np.array_equal(pullback(y)[0], other(y)[0])


# Errors

X = np.ones((2, 3))


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: mg.fft.fft(X, 0), OperandError, "fft: n must be at least 1, got 0"),
        (lambda: mg.fft.irfft(X, -1), OperandError, "irfft: n must be at least 1, got -1"),
        (lambda: mg.fft.rfft(X, 2.5), OperandTypeError, "rfft: n must be an integer, got 2.5"),
        (lambda: mg.fft.fft(np.ones((2, 0))), OperandError, r"fft: .* along axis 1, got n=0 for float64\[2, 0\]"),
        (lambda: mg.fft.hfft(X[:, :1]), OperandError, r"hfft: .* along axis 1, got n=0 for float64\[2, 1\]"),
        (lambda: mg.fft.ifft2(X, (0, 2)), OperandError, r"ifft2: .* along axis 0, got n=0 for float64\[2, 3\]"),
        (lambda: mg.fft.fft(X, axis=2), OperandIndexError, "fft: axis 2 is out of range for an array of 2 dimensions"),
        (lambda: mg.fft.fft(1.0), OperandIndexError, "fft: axis -1 is out of range"),
        (lambda: mg.fft.ifft(X, axis=(0, 1)), OperandTypeError, "ifft: an axis must be an integer"),
        (lambda: mg.fft.fft2(np.ones(3)), OperandIndexError, "fft2: axis -2 is out of range"),
        (lambda: mg.fft.rfftn(X, axes=()), OperandIndexError, "rfftn: needs at least one axis"),
        (lambda: mg.fft.irfftn(1.0), OperandIndexError, "irfftn: needs at least one axis"),
        (lambda: mg.fft.fftn(X, (2,), (0, 1)), OperandError, r"fftn: s=\(2,\) and axes=\(0, 1\) differ in length"),
        (lambda: mg.fft.fftn(X, (2, None), (0, 1)), OperandTypeError, "fftn: a size must be an integer, got None"),
        (lambda: mg.fft.fft(X, norm="both"), OperandError, "fft: norm='both' is unknown; use 'backward', 'ortho' or"),
        (lambda: mg.fft.hfft(X, norm="both"), OperandError, "hfft: norm='both' is unknown"),
        (
            lambda: mg.fft.rfft(X * 1j),
            OperandTypeError,
            r"rfft: real arrays only, got complex128\[2, 3\]: use mg.fft.fft",
        ),
        (lambda: mg.fft.fft(X, out=X), OperandTypeError, "fft: out=.* is not supported"),
        (lambda: mg.fft.fftshift(X, 2), OperandIndexError, "fftshift: axis 2 is out of range"),
        (lambda: mg.fft.fftfreq(0), OperandError, "fftfreq: n must be at least 1, got 0"),
        (lambda: mg.fft.rfftfreq(3, device="tpu"), ValueError, "unknown device 'tpu'"),
        (lambda: mg.fft.rfftfreq(3, dtype=str), OperandTypeError, "rfftfreq: dtype=.* is not a numeric dtype"),
    ],
)
def test_wrong_calls_raise(call, kind, message):
    with pytest.raises(kind, match=f"^{message}"):
        call()


# Closed forms


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_parseval(n, on_device):
    """Σ|y|² = n·Σ|x|², so its gradient is 2n·x̄, and its Hessian 2n times the identity."""
    for dtype in ("float64", "complex128", "float32"):
        x = normal(n, dtype)
        power = lambda x: mg.sum(mg.abs(mg.fft.fft(x)) ** 2)
        gradient = to_host(mg.grad(power)(on_device(x)))
        assert gradient.dtype == x.dtype
        assert_close(gradient, 2 * n * np.conj(x), rounding(x.dtype))
        for norm, factor in (("ortho", 1), ("forward", 1 / n)):
            scaled = lambda x, norm=norm: mg.sum(mg.abs(mg.fft.fft(x, norm=norm)) ** 2)
            assert_close(to_host(mg.grad(scaled)(on_device(x))), 2 * factor * np.conj(x), rounding(x.dtype))
    x = normal(n, float)
    assert_close(to_host(mg.hessian(power)(on_device(x))), 2 * n * np.eye(n))


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_parseval_of_half_the_bins(n, on_device):
    """Σ|rfft x|² is half of n·Σx², and half of bin 0, and of bin n/2 of an even n."""
    x = normal(n, float)
    truth = n * x + np.sum(x)
    if n % 2 == 0:
        signs = (-1.0) ** np.arange(n)
        truth = truth + signs * np.sum(signs * x)
    gradient = mg.grad(lambda x: mg.sum(mg.abs(mg.fft.rfft(x)) ** 2))(on_device(x))
    assert_close(to_host(gradient), truth)


@pytest.mark.parametrize("n", [1, 4, 5])
def test_a_convolution(n, on_device):
    """irfft(rfft(x)·rfft(w)) is the circular convolution: its transposes are circular correlations."""
    x, w, g = normal(n, float, 1), normal(n, float, 2), normal(n, float, 3)
    shifts = (np.arange(n)[:, None] - np.arange(n)) % n
    f = lambda x, w: mg.fft.irfft(mg.fft.rfft(x) * mg.fft.rfft(w), n)
    y, pullback = mg.vjp(f, on_device(x), on_device(w))
    assert_close(to_host(y), w[shifts] @ x, 1e-12)
    for found, other in zip(pullback(on_device(g)), (w, x)):
        assert_close(to_host(found), other[shifts].T @ g, 1e-12)


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_jacobians_are_columns_of_the_transform(n, on_device):
    """In forward mode, of real numbers too; in reverse mode, of complex ones."""
    matrix = np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n)
    x = normal(n, float)
    assert_close(to_host(mg.jacobian(mg.fft.fft, mode="forward")(on_device(x))), matrix)
    assert_close(to_host(mg.jacobian(mg.fft.rfft, mode="forward")(on_device(x))), matrix[: n // 2 + 1])
    assert_close(to_host(mg.jacobian(mg.fft.fft)(on_device(x + 1j))), matrix)
    assert_close(to_host(mg.jacobian(mg.fft.ifft, mode="forward")(on_device(x + 1j))), matrix.conj() / n)


# Derivatives


@each
@pytest.mark.parametrize("double", [True, False], ids=["double", "single"])
def test_adjoint_identity(name, params, double, on_device):
    """Re Σ g·Jt = Re Σ Jᵀg·t for complex cotangents and tangents; J is the transform itself."""
    f = lambda x: getattr(mg.fft, name)(x, *params)
    x = array_for(name, double)
    y, pullback = mg.vjp(f, on_device(x))
    g, t = normal(y.shape, y.dtype, 1), normal(x.shape, x.dtype, 2)
    y_dot, back = to_host(mg.jvp(f, (on_device(x),), (on_device(t),))[1]), to_host(pullback(on_device(g))[0])
    assert (y_dot.dtype, back.dtype) == (y.dtype, x.dtype)
    assert_close(y_dot, to_host(f(on_device(t))), 0)
    size = float(np.sum(np.abs(g * y_dot)))
    assert abs(pair(g, y_dot) - pair(back, t)) <= rounding(y.dtype) * size


def loss(xp, name, params):
    """A real function with derivatives of any order, of complex intermediate results."""

    def f(x):
        y = getattr(xp.fft, name)(x, *params)
        return xp.sum(xp.abs(xp.tanh(y / 20) + 1) ** 2 + xp.real(y * y * y) / 900)

    return f


@pytest.mark.parametrize("real", [False, True], ids=["complex", "real"])
@each
def test_derivatives_are_those_of_jax(name, params, real):
    if (real and name in OF_REAL) or (params and params[0] and -1 in np.atleast_1d(params[0])):
        return  # the same call again, or a size of −1, which JAX refuses
    with PEERS["jax"]() as jax:
        x = array_for(name)
        x = x.real.copy() if real else x
        f, theirs = (lambda x, xp=xp: getattr(xp.fft, name)(x, *params) for xp in (mg, jax.numpy))
        shape, dtype = np.shape(f(x)), f(x).dtype
        g, t = normal(shape, dtype, 1), normal(x.shape, x.dtype, 2)
        ours, truth = loss(mg, name, params), loss(jax.numpy, name, params)

        @jax.top.jit
        def expected(x, g, t):
            first, second = jax.top.jvp(jax.top.grad(truth), (x,), (t,))
            mixed = jax.top.grad(lambda x: jax.top.jvp(truth, (x,), (t,))[1])(x)
            return jax.top.vjp(theirs, x)[1](g)[0], first, second, mixed

        found = mg.vjp(f, x)[1](g)[0], *mg.jvp(mg.grad(ours), (x,), (t,))
        mixed = mg.grad(lambda x: mg.jvp(ours, (x,), (t,))[1])(x)
        for mine, truth in zip((*found, mixed), expected(x, g, t), strict=True):
            assert_close(mine, truth)


@each
def test_gradients_are_conjugates_of_those_of_pytorch(name, params):
    with PEERS["torch"]() as torch:
        x = array_for(name)
        there = torch.top.from_numpy(x.copy()).requires_grad_()
        loss(torch.top, name, params)(there).backward()
        assert_close(mg.grad(loss(mg, name, params))(x), there.grad.resolve_conj().numpy().conj())


# Programs


@pytest.mark.parametrize("name", TRANSFORMS)
def test_programs(name, on_device):
    params = CALLS[{"2": 2, "n": 3}.get(name[-1], 1)][1]
    x = on_device(array_for(name))
    for f in (lambda x: getattr(mg.fft, name)(x, *params), mg.grad(loss(mg, name, params))):
        program = mg.jit(f)
        for _ in range(2):
            assert_close(to_host(program(x)), to_host(f(x)))


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("threads", [1, 2])
def test_programs_in_parts(name, threads):
    """Rows of a transform have the same bits as the whole, on any number of threads."""
    x = array_for(name)
    params = {"2": (None, (1, 2)), "n": (None, (2,))}.get(name[-1], (None, 2))
    f = lambda x: getattr(mg.fft, name)(2 * x, *params)
    jitted, tuning = mg.jit(f, tuning=cut_everything(threads)), cut_everything(threads)
    graph = jitted.program(x).graph
    regions, _ = find_regions(graph, find_views(graph), tuning)
    assert any(region.rows == 3 for region in regions)
    assert np.array_equal(jitted(x), f(x))
