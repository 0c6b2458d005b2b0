"""Convolutions on a GPU against their twins in NumPy. Tiles are 64 or 128 wide: most shapes leave them partly empty."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.backends.convolution import out_size
from minigrad.backends.cuda import convolution as ours
from minigrad.backends.numpy import convolution as twin
from minigrad.backends.numpy.backend import BACKEND as HOST
from tests.support.kernels import DTYPES, agree


@st.composite
def convolutions(draw):
    """(images, kernel, cotangent, stride, pads), with few or many channels, and padding on one side or both."""
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    pads = tuple((draw(st.integers(0, k)), draw(st.integers(0, k))) for k in kernel)
    size = tuple(draw(st.integers(max(1, k - sum(p)), 9)) for k, p in zip(kernel, pads))
    channels = st.one_of(st.integers(1, 12), st.sampled_from([16, 33, 64, 70, 130]))
    n, c, f = draw(st.integers(1, 4)), draw(channels), draw(channels)
    rng, dtype = np.random.default_rng(draw(st.integers(0, 99))), draw(DTYPES)
    x, w = rng.standard_normal((n, *size, c)).astype(dtype), rng.standard_normal((*kernel, c, f)).astype(dtype)
    d = rng.standard_normal((n, *out_size(size, kernel, stride, pads), f)).astype(dtype)
    return x, w, d, stride, pads


@given(problem=convolutions())
@settings(max_examples=120)
def test_convolutions(kernels, device, problem):
    x, w, d, stride, pads = problem
    x_there, w_there, d_there = map(device.from_host, (x, w, d))
    there = ours.conv(kernels, x_there, w_there, stride, pads)
    agree(device.to_host(there), twin.conv(HOST, x, w, stride, pads), w[..., 0].size)
    there = ours.conv_input(kernels, d_there, w_there, stride, pads, x.shape[1:3])
    agree(device.to_host(there), twin.conv_input(HOST, d, w, stride, pads, x.shape[1:3]), w[:, :, 0].size)
    there = ours.conv_kernel(kernels, x_there, d_there, stride, pads, w.shape[:2])
    agree(device.to_host(there), twin.conv_kernel(HOST, x, d, stride, pads, w.shape[:2]), 4 + d[..., 0].size)


@given(problem=convolutions(), relu=st.booleans(), biased=st.booleans(), factor=st.integers(1, 3))
def test_convolutions_with_epilogues(kernels, device, problem, relu, biased, factor):
    x, w, _, stride, pads = problem
    w = np.repeat(w, factor**2, axis=3)
    bias = np.random.default_rng(0).standard_normal(w.shape[3]).astype(w.dtype) if biased else None
    there = ours.conv(
        kernels,
        device.from_host(x),
        device.from_host(w),
        stride,
        pads,
        bias=None if bias is None else device.from_host(bias),
        relu=relu,
        factor=factor,
    )
    y = twin.conv(HOST, x, w, stride, pads)
    y = y if bias is None else y + bias
    y = mg.depth_to_space(np.maximum(y, 0) if relu else y, factor)
    agree(device.to_host(there), y, w[..., 0].size)


def test_convolutions_write_to_out_of_any_layout(kernels, device):
    """The operands have two dtypes."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 5, 5, 6)), rng.standard_normal((3, 3, 6, 7)).astype(np.float32)
    expected = twin.conv(HOST, x, w, (1, 1), ((1, 1), (1, 1)))
    for out in (np.empty((2, 5, 5, 7)), np.empty((7, 5, 5, 2)).T):
        there = device.from_host(out) if out.flags.c_contiguous else device.from_host(out.T).T
        problem = ours.conv(kernels, device.from_host(x), device.from_host(w), (1, 1), ((1, 1), (1, 1)), there)
        assert problem is there
        agree(device.to_host(problem), expected, 54)
