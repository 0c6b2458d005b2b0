"""Known bugs of other libraries, one test each, named in the docstring: wrong gradients, shapes, dtypes.

Expected values are closed forms, naive loops or exact polynomials; cotangents are random and signed. The test file of
each operation has longer tests.
"""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.checks import GradientError, check_grads
from minigrad.testing import normal
from tests.support.oracles import assert_close
from tests.support.transfer import to_host


def gradient_of(f, x, g, on_device):
    """The gradient of ⟨g, f(x)⟩, on the host."""
    return to_host(mg.vjp(f, on_device(x))[1](on_device(g))[0])


# All-ones cotangents hide wrong gradients


def test_the_gradient_of_repeat_along_the_last_axis_is_not_permuted(on_device):
    """HIPS/autograd 1.9.1: silently wrong for repeat(x, k, axis=-1)."""
    x, g = normal((2, 3)), normal((2, 6), 1)
    expected = [[g[i, 2 * j] + g[i, 2 * j + 1] for j in range(3)] for i in range(2)]
    assert_close(gradient_of(lambda x: mg.repeat(x, 2, axis=-1), x, g, on_device), expected)


def test_tile_of_a_matrix_has_a_gradient(on_device):
    """HIPS/autograd 1.9.1: tile(x, 2) of a matrix raises or gives a wrong gradient."""
    x, g = normal((2, 3)), normal((2, 6), 1)
    expected = [[g[i, j] + g[i, j + 3] for j in range(3)] for i in range(2)]
    assert_close(gradient_of(lambda x: mg.tile(x, 2), x, g, on_device), expected)
    g = normal((4, 3), 1)
    assert_close(gradient_of(lambda x: mg.tile(x, (2, 1)), x, g, on_device), g[:2] + g[2:])


def test_check_grads_finds_an_error_that_ones_as_cotangents_hide(make_primitive):
    """tinygrad, needle and minitorch test gradients of .sum(): autograd's wrong rule for repeat would pass there."""
    repeat = lambda b, x, out=None: b.xp.repeat(x, 2, axis=-1)
    jvp = lambda t: mg.repeat(t, 2, axis=-1)
    right = make_primitive(repeat, jvp, lambda g: mg.sum(g.reshape(2, 3, 2), 2))
    wrong = make_primitive(repeat, jvp, lambda g: mg.sum(g.reshape(2, 2, 3), 1))
    x = normal((2, 3))
    assert np.array_equal(mg.grad(lambda x: mg.sum(wrong(x)))(x), mg.grad(lambda x: mg.sum(right(x)))(x))
    check_grads(right, (x,))
    with pytest.raises(GradientError, match="reverse mode"):
        check_grads(wrong, (x,))


# Wrong shapes and values


def test_transpose_takes_negative_axes(on_device):
    """HIPS/autograd: the gradient has a wrong shape."""
    x, g = normal((2, 3, 4)), normal((4, 2, 3), 1)
    expected = np.zeros(x.shape)
    for i, j, k in np.ndindex(x.shape):
        expected[i, j, k] = g[k, i, j]
    assert np.array_equal(gradient_of(lambda x: mg.transpose(x, (-1, 0, -2)), x, g, on_device), expected)


@pytest.mark.parametrize("shape", [(2, 4), (4, 2)])
@pytest.mark.parametrize("k", [-1, 0, 1])
def test_diag_of_a_rectangular_matrix_has_a_gradient_of_its_shape(shape, k, on_device):
    """HIPS/autograd: the gradient is square."""
    x = normal(shape)
    places = [(i, i + k) for i in range(shape[0]) if 0 <= i + k < shape[1]]
    g, expected = normal((len(places),), 1), np.zeros(shape)
    for place, value in zip(places, g, strict=True):
        expected[place] = value
    assert np.array_equal(gradient_of(lambda x: mg.diag(x, k), x, g, on_device), expected)


def test_einsum_that_broadcasts_gives_each_operand_a_gradient_of_its_shape(on_device):
    """HIPS/autograd#376: the gradients keep the broadcast shape."""
    x, w, g = normal((1, 2, 3)), normal((4, 3, 2), 1), normal((4, 2, 2), 2)
    y, pullback = mg.vjp(lambda x, w: mg.einsum("...ij,...jk->...ik", x, w), *on_device((x, w)))
    x_bar, w_bar = np.zeros(x.shape), np.zeros(w.shape)
    for n, i, j, k in np.ndindex(4, 2, 3, 2):
        x_bar[0, i, j] += g[n, i, k] * w[n, j, k]
        w_bar[n, j, k] += g[n, i, k] * x[0, i, j]
    for found, expected in zip(pullback(on_device(g)), (x_bar, w_bar), strict=True):
        assert_close(to_host(found), expected)
    assert y.shape == g.shape


def test_the_gradient_of_moveaxis_moves_several_axes_back(on_device):
    """A rule that applies the permutation again instead of its inverse."""
    x, g = normal((2, 3, 4)), normal((4, 3, 2), 1)
    expected = np.zeros(x.shape)
    for i, j, k in np.ndindex(x.shape):
        expected[i, j, k] = g[k, j, i]
    assert np.array_equal(gradient_of(lambda x: mg.moveaxis(x, (0, 1), (-1, -2)), x, g, on_device), expected)


def test_the_gradient_of_einsum_ii_is_on_the_diagonal(on_device):
    """HIPS/autograd: raises."""
    x, g = normal((3, 3)), normal((), 1)
    assert np.array_equal(gradient_of(lambda x: mg.einsum("ii", x), x, g, on_device), g * np.eye(3))
    g = normal((3,), 1)
    assert np.array_equal(gradient_of(lambda x: mg.einsum("ii->i", x), x, g, on_device), np.diag(g))


def test_duplicate_indices_add_up(on_device):
    """A rule that assigns, x̄[i] = g, keeps only the last cotangent."""
    x, g = normal((3, 2)), normal((3, 2), 1)
    expected = [g[0] + g[1], g[2], [0, 0]]
    assert_close(gradient_of(lambda x: x[[0, 0, 1]], x, g, on_device), expected)


# Dtypes and layouts

FLOAT32 = {
    "arithmetic": lambda x: 2 * x / 3 - 1.5 + x**2 + 2.0**x,
    "numbers of NumPy": lambda x: x * np.pi + mg.hypot(x, 1),
    "functions": lambda x: mg.gelu(x) + mg.logsumexp(x, 0, keepdims=True) * mg.softmax(x),
    "reductions": lambda x: mg.mean(x) + mg.std(x, 0) + mg.var(x) * mg.norm(x) + mg.prod(x, 1, keepdims=True),
    "extremes": lambda x: mg.max(x, 1, keepdims=True) + mg.sort(x) + mg.clip(x, -0.5, 0.5) + mg.maximum(x, 0),
    "linear algebra": lambda x: mg.inv(x.T @ x + mg.diag(mg.ones_like(x[0]))) @ mg.einsum("ij->ji", x),
    "indexing": lambda x: x[[0, 0, 1]] + x[:1] * mg.where(x[:1] > 0, x[:1], 0),
    "joining": lambda x: mg.pad(mg.concatenate([x, x]), 1, constant_values=1) * 2,
}


@pytest.mark.parametrize("name", FLOAT32)
def test_float32_stays_float32(name, on_device):
    """HIPS/autograd#163 and #671: gradients of float32 functions are float64."""
    f, x = FLOAT32[name], on_device(normal((2, 3)).astype(np.float32))
    y, pullback = mg.vjp(f, x)
    (gradient,) = pullback(mg.ones_like(y))
    _, y_dot = mg.jvp(f, (x,), (x,))
    assert y.dtype == gradient.dtype == y_dot.dtype == np.float32
    assert mg.hvp(lambda x: mg.sum(f(x)), x, x).dtype == np.float32


def test_a_float32_argument_has_a_float32_gradient_in_a_float64_function(on_device):
    """HIPS/autograd#163, #671: the gradient is float64."""
    x, c = on_device((np.ones(3, np.float32), normal((3,))))
    gradient = mg.grad(lambda x: mg.sum(x * c))(x)
    assert gradient.dtype == np.float32 and np.array_equal(to_host(gradient), to_host(c).astype(np.float32))


@pytest.mark.parametrize("x", [2, np.array([1, 2]), np.int32(3), True], ids=repr)
def test_integer_arguments_are_refused_with_advice(x):
    """HIPS/autograd#229, #482: derivatives at integers are truncated."""
    with pytest.raises(TypeError, match=r"derivatives need floating-point arguments, got .*: convert it with"):
        mg.grad(lambda x: mg.sum(x * x))(x)


def test_integer_constants_do_not_truncate_derivatives(on_device):
    """HIPS/autograd#229, #482: an integer constant makes derivatives integers."""
    n, x = on_device((np.array([3, 0, -2]), normal((3,))))
    gradient = mg.grad(lambda x: mg.sum(n * x / 2 + x**n * 0 + mg.where(n > 0, x, 0) / 4))(mg.abs(x) + 1)
    assert gradient.dtype == np.float64 and to_host(gradient).tolist() == [1.75, 0, -1]
    with pytest.raises(ValueError, match=r"a cotangent must be float64\[3\].*got int64"):
        mg.vjp(mg.sin, x)[1](n)


LAYOUTS = {
    "0-d": lambda xp, x: x[1, 2, ...],
    "size 0": lambda xp, x: x[:0],
    "stride 0": lambda xp, x: xp.broadcast_to(x[:1], (3, 4)),
    "negative strides": lambda xp, x: x[::-1, ::-1],
    "every other column": lambda xp, x: x[:, ::2],
    "transposed": lambda xp, x: x.T,
    "transposed and sliced": lambda xp, x: x.T[::-2, 1:],
    "read-only": lambda xp, x: mg.stop_gradient(x),
}
FORMULAS = {  # (function of an array, the same in NumPy, its gradient for a cotangent g)
    "sin": (mg.sin, np.sin, lambda x, g: g * np.cos(x)),
    "a multiple": (lambda x: x * 2.5, lambda x: x * 2.5, lambda x, g: 2.5 * g),
    "square": (lambda x: x * x, lambda x: x * x, lambda x, g: 2 * x * g),
    "sum": (mg.sum, np.sum, lambda x, g: g + 0 * x),
    "ravel": (lambda x: mg.ravel(x) ** 2, lambda x: x.ravel() ** 2, lambda x, g: 2 * x * g.reshape(x.shape)),
    "transpose": (lambda x: mg.exp(x.T), lambda x: np.exp(x.T), lambda x, g: np.exp(x) * g.T),
    "flip": (lambda x: mg.flip(x) * 3.0, lambda x: np.flip(x) * 3.0, lambda x, g: 3.0 * np.flip(g)),
    "running sum": (lambda x: mg.cumsum(x), np.cumsum, lambda x, g: np.cumsum(g[::-1])[::-1].reshape(x.shape)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("formula", FORMULAS)
def test_gradients_do_not_depend_on_memory_layout(layout, formula, on_device, xp):
    """chainer#816, pytorch#30303, tinygrad#16571: 0-d, empty, stride-0, backward and non-contiguous arrays."""
    f, plain, gradient = FORMULAS[formula]
    x = LAYOUTS[layout](xp, on_device(normal((3, 4))))
    x_host = np.array(to_host(x))
    y, pullback = mg.vjp(f, x)
    assert_close(to_host(y), plain(x_host))
    for how in LAYOUTS.values() if y.ndim == 2 and 0 not in y.shape else [lambda xp, g: g]:
        g = how(xp, on_device(normal((3, 4), 1))) if y.ndim == 2 and 0 not in y.shape else on_device(normal(y.shape, 1))
        if g.shape == y.shape:
            (found,) = pullback(g)
            assert found.dtype == np.float64 and found.shape == x.shape
            assert_close(to_host(found), gradient(x_host, np.array(to_host(g))))
