"""Convolutions by im2col against loops, with blocks of several sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.backends.convolution import out_size
from minigrad.backends.numpy import convolution
from minigrad.backends.numpy.backend import BACKEND


@st.composite
def problems(draw):
    """Images, a kernel and a cotangent of small integers, for which sums are exact; stride and padding."""
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    stride = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (3, 2)]))
    pads = tuple((draw(st.integers(0, k)), draw(st.integers(0, k))) for k in kernel)
    size = tuple(draw(st.integers(max(1, k - sum(p)), 6)) for k, p in zip(kernel, pads))
    n, channels, features = draw(st.integers(1, 4)), draw(st.sampled_from([1, 2, 9])), draw(st.sampled_from([1, 2, 9]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    draw_array = lambda *shape: rng.integers(-9, 9, shape).astype(np.float64)
    d = draw_array(n, *out_size(size, kernel, stride, pads), features)
    return draw_array(n, *size, channels), draw_array(*kernel, channels, features), d, stride, pads


def pairs(x, d, kernel, stride, pads):
    """All (tap, image pixel, result pixel) that are multiplied in the convolution."""
    for tap in np.ndindex(kernel):
        for at in np.ndindex(d.shape[1:3]):
            pixel = tuple(s * a + t - p for s, a, t, (p, _) in zip(stride, at, tap, pads))
            if all(0 <= i < n for i, n in zip(pixel, x.shape[1:3])):
                yield tap, (slice(None), *pixel), (slice(None), *at)


@pytest.mark.parametrize("block_bytes", [1, 2000, 1 << 20])
@given(problem=problems())
def test_the_three_convolutions_agree_with_loops(block_bytes, problem):
    x, w, d, stride, pads = problem
    y, dx, dw = np.zeros_like(d), np.zeros_like(x), np.zeros_like(w)
    for tap, pixel, at in pairs(x, d, w.shape[:2], stride, pads):
        y[at] += x[pixel] @ w[tap]
        dx[pixel] += d[at] @ w[tap].T
        dw[tap] += x[pixel].T @ d[at]
    b = replace(BACKEND, block_bytes=block_bytes)
    for function, operands, rest, expected in (
        (convolution.conv, (x, w), (), y),
        (convolution.conv_input, (d, w), (x.shape[1:3],), dx),
        (convolution.conv_kernel, (x, d), (w.shape[:2],), dw),
    ):
        assert np.array_equal(function(b, *operands, stride, pads, *rest), expected)
        out = np.full_like(expected, np.nan)
        assert np.array_equal(function(b, *operands, stride, pads, *rest, out), expected)
        assert np.array_equal(out, expected)
