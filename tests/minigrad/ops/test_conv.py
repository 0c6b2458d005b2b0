"""minigrad/ops/conv.py: convolutions, depth to space, deconvolution (slide 16), against loops and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.checks.catalogue.conv import any_problem
from minigrad.checks.catalogue.formulas import (
    convolve,
    convolve_input,
    convolve_kernel,
    phases_to_kernel,
    shuffle,
    unshuffle,
)
from minigrad.core.interpreter import Interpreter, primitives
from minigrad.testing import normal
from tests.support.calls import draw_choices
from tests.support.environment import optional
from tests.support.oracles import assert_close, inner, rounding
from tests.support.transfer import to_host


@given(problem=draw_choices(any_problem))
def test_the_three_primitives_are_adjoint(problem, on_device):
    """⟨conv(x, w), g⟩ = ⟨x, conv_input(g, w)⟩ = ⟨w, conv_kernel(x, g)⟩, for the primitives themselves."""
    x, w, how = normal(problem.x, 1), normal(problem.w, 2), problem.how
    y = to_host(primitives["conv"](*on_device((x, w)), **how))
    g = normal(y.shape, 3)
    gx = to_host(primitives["conv_input"](*on_device((g, w)), **how, size=x.shape[1:3]))
    gw = to_host(primitives["conv_kernel"](*on_device((x, g)), **how, kernel=w.shape[:2]))
    scale = max(1.0, float(np.sum(np.abs(y * g))))
    assert abs(inner([y], [g]) - inner([x], [gx])) <= rounding() * scale
    assert abs(inner([y], [g]) - inner([w], [gw])) <= rounding() * scale


def test_derivatives_of_convolutions_use_only_the_three_primitives(on_device):
    """To third order, no derivative uses matmul, einsum, gather, scatter, pad or slice."""

    class Names(Interpreter):
        def __init__(self):
            self.seen = set()

        def process(self, primitive, args, params):
            self.seen.add(primitive.name)
            return self.parent.process(primitive, args, params)

    x, w = on_device((normal((2, 4, 4, 2)), normal((3, 3, 2, 2), 1)))
    with Names() as names:
        mg.hvp(lambda w: mg.sum(mg.grad(lambda x, w: mg.sum(mg.conv2d(x, w, 2) ** 2))(x, w) ** 2), w, w)
    products = {name for name in names.seen if name in ("matmul", "einsum", "gather", "scatter_add", "pad", "slice")}
    assert not products and {"conv", "conv_input", "conv_kernel"} <= names.seen


@pytest.mark.parametrize("stride", [1, 2])
def test_third_derivative_of_a_convolution_squared(stride, on_device):
    """‖conv(x, w)‖² is quadratic in each argument: ∂²/∂w² along t twice is 2‖conv(x, t)‖², exactly."""
    x, w, t = normal((2, 5, 4, 2)), normal((3, 3, 2, 3), 1), normal((3, 3, 2, 3), 2)
    moved = on_device((x, w, t))
    f = lambda x, w: mg.sum(mg.conv2d(x, w, stride) ** 2)
    h = mg.hvp(lambda w: f(moved[0], w), moved[1], moved[2])
    assert_close(inner([to_host(h)], [t]), 2 * np.sum(to_host(mg.conv2d(moved[0], moved[2], stride)) ** 2))
    third = mg.grad(lambda x: mg.sum(mg.hvp(lambda w: f(x, w), moved[1], moved[2]) * moved[2]))(moved[0])
    y = mg.conv2d(moved[0], moved[2], stride)
    expected = mg.vjp(lambda x: mg.conv2d(x, moved[2], stride), moved[0])[1](4 * y)[0]
    assert_close(to_host(third), to_host(expected))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [(5, 6), (1, 7), (8, 4)])
def test_same_padding_gives_one_output_per_stride(k, stride, size, on_device):
    """⌈n/s⌉ rows; if the padding is odd, the extra row is at the end."""
    x, w = normal((1, *size, 2)), normal((k, k, 2, 1), 1)
    totals = [max((-(-n // stride) - 1) * stride + k - n, 0) for n in size]
    expected = convolve(x, w, (stride, stride), tuple((t // 2, t - t // 2) for t in totals))
    y = to_host(mg.conv2d(*on_device((x, w)), stride))
    assert y.shape[1:3] == tuple(-(-n // stride) for n in size)
    assert_close(y, expected)


def test_padding_spellings_agree(on_device):
    x, w = on_device((normal((1, 5, 5, 2)), normal((3, 3, 2, 2), 1)))
    same = to_host(mg.conv2d(x, w))
    assert np.array_equal(to_host(mg.conv2d(x, w, 1, 1)), same)
    assert np.array_equal(to_host(mg.conv2d(x, w, (1, 1), ((1, 1), (1, 1)))), same)
    assert_close(to_host(mg.conv2d(x, w, padding="valid")), same[:, 1:-1, 1:-1])


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
def test_dtypes(dtype, on_device):
    x, w = normal((2, 4, 4, 3)).astype(dtype), normal((3, 3, 3, 2), 1).astype(dtype)
    y, pullback = mg.vjp(mg.conv2d, *on_device((x, w)))
    assert y.dtype == dtype and all(g.dtype == dtype for g in pullback(y))
    assert_close(to_host(y), convolve(x, w, (1, 1), ((1, 1), (1, 1))), rounding(np.dtype(dtype).type(0).real.dtype))


def test_odd_layouts(backend):
    """Channels-first images viewed as channels-last, and a kernel with negative strides."""
    if backend.name != "numpy":
        pytest.skip("the layouts need NumPy's strides")
    x, w = normal((2, 3, 6, 5)).transpose(0, 2, 3, 1), normal((3, 3, 3, 2), 1)[::-1, :, :, ::-1]
    even = x.copy(), w.copy()
    for stride in (1, 2):
        y, pullback = mg.vjp(lambda x, w, s=stride: mg.conv2d(x, w, s), x, w)
        z, expected = mg.vjp(lambda x, w, s=stride: mg.conv2d(x, w, s), *even)
        assert_close(y, z)
        g = normal(y.shape).transpose(0, 2, 1, 3).copy().transpose(0, 2, 1, 3)
        for a, b in zip(pullback(g), expected(g.copy())):
            assert_close(a, b)


@pytest.mark.parametrize("batch", [1, 7])
def test_large_batches(batch, on_device):
    """The batch is processed in cache-sized pieces, and results do not depend on them."""
    x, w = normal((batch, 40, 40, 8)), normal((3, 3, 8, 8), 1)
    y, pullback = mg.vjp(mg.conv2d, *on_device((x, w)))
    assert_close(to_host(y), convolve(x, w, (1, 1), ((1, 1), (1, 1))))
    g = normal(y.shape)
    gx, gw = (to_host(v) for v in pullback(on_device(g)))
    assert_close(gx, convolve_input(g, w, (1, 1), ((1, 1), (1, 1)), (40, 40)))
    assert_close(gw, convolve_kernel(x, g, (1, 1), ((1, 1), (1, 1)), (3, 3)))


# Depth to space


@given(data=st.data(), factor=st.integers(1, 3))
def test_depth_to_space(data, factor, on_device):
    """Channels go to the documented pixels; space_to_depth is the inverse, and each is the transpose of the other."""
    n, h, w, c = (data.draw(st.integers(0 if i == 0 else 1, 3)) for i in range(4))
    x = normal((n, h, w, factor**2 * c))
    up = to_host(mg.depth_to_space(on_device(x), factor))
    assert np.array_equal(up, shuffle(x, factor))
    down = to_host(mg.space_to_depth(on_device(up), factor))
    assert np.array_equal(down, x) and np.array_equal(down, unshuffle(up, factor))
    _, pullback = mg.vjp(lambda x: mg.depth_to_space(x, factor), on_device(x))
    assert np.array_equal(to_host(pullback(on_device(up))[0]), x)
    _, pullback = mg.vjp(lambda x: mg.space_to_depth(x, factor), on_device(up))
    assert np.array_equal(to_host(pullback(on_device(x))[0]), up)


def test_a_row_major_reshape_alone_scrambles_the_image():
    """The "simple reshape" of slide 16 needs a transpose, too."""
    x = np.arange(16.0).reshape(1, 2, 2, 4)
    assert not np.array_equal(x.reshape(1, 4, 4, 1), mg.depth_to_space(x, 2))
    assert mg.depth_to_space(x, 2)[0, :2, :2, 0].tolist() == [[0, 1], [2, 3]]


# Deconvolution


@pytest.mark.parametrize("k", [1, 3, 5])
def test_deconvolution_equals_a_transposed_convolution(k, on_device):
    """Kernel 2k, stride 2, padding k−1: the transpose of a stride-2 convolution, exactly for odd k (slide 16)."""
    x, w = normal((2, 4, 3, 2)), normal((k, k, 2, 12), 1)
    y = to_host(mg.deconv2d(*on_device((x, w))))
    whole = phases_to_kernel(w, k).transpose(0, 1, 3, 2)  # conv_input maps features to channels
    pads = ((k - 1, k - 1), (k - 1, k - 1))
    assert_close(y, convolve_input(x, whole, (2, 2), pads, (8, 6)))
    moved = on_device((x, whole))
    assert_close(to_host(primitives["conv_input"](*moved, stride=(2, 2), pads=pads, size=(8, 6))), y)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_deconvolution_equals_torch(k):
    torch = optional("torch", extra="bench")
    x, w = normal((2, 4, 3, 2)), normal((k, k, 2, 12), 1)
    whole = torch.from_numpy(phases_to_kernel(w, k).transpose(2, 3, 0, 1).copy())  # (C, F, 2k, 2k)
    theirs = torch.nn.functional.conv_transpose2d(
        torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), whole, stride=2, padding=k - 1
    )
    assert_close(mg.deconv2d(x, w), theirs.numpy().transpose(0, 2, 3, 1))


@given(problem=draw_choices(any_problem))
def test_convolution_equals_torch(problem):
    torch = optional("torch", extra="bench")
    x, w, how = normal(problem.x, 1), normal(problem.w, 2), problem.how
    if not len(x):
        return
    (top, bottom), (left, right) = how["pads"]
    theirs = [torch.from_numpy(v.copy()).requires_grad_() for v in (x.transpose(0, 3, 1, 2), w.transpose(3, 2, 0, 1))]
    padded = torch.nn.functional.pad(theirs[0], (left, right, top, bottom))
    y = torch.nn.functional.conv2d(padded, theirs[1], stride=how["stride"])
    ours, pullback = mg.vjp(lambda x, w: mg.conv2d(x, w, how["stride"], how["pads"]), x, w)
    assert_close(ours, y.detach().numpy().transpose(0, 2, 3, 1))
    g = normal(ours.shape)
    y.backward(torch.from_numpy(g.transpose(0, 3, 1, 2).copy()))
    gx, gw = pullback(g)
    assert_close(gx, theirs[0].grad.numpy().transpose(0, 2, 3, 1))
    assert_close(gw, theirs[1].grad.numpy().transpose(2, 3, 1, 0))
