"""Convolutions by im2col against loops, with blocks of several sizes, and the memory that they take."""

from __future__ import annotations

import gc
import math
import threading
import tracemalloc
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


def compute_by_loops(x, w, d, stride, pads):
    """The convolution of x and w, its adjoint in x and its adjoint in w, for the cotangent d."""
    y, dx, dw = np.zeros_like(d), np.zeros_like(x), np.zeros_like(w)
    for tap, pixel, at in pairs(x, d, w.shape[:2], stride, pads):
        y[at] += x[pixel] @ w[tap]
        dx[pixel] += d[at] @ w[tap].T
        dw[tap] += x[pixel].T @ d[at]
    return y, dx, dw


def compute(b, x, w, d, stride, pads, outs=(None,) * 3):
    """The same by matrix products."""
    return (
        convolution.conv(b, x, w, stride, pads, outs[0]),
        convolution.conv_input(b, d, w, stride, pads, x.shape[1:3], outs[1]),
        convolution.conv_kernel(b, x, d, stride, pads, w.shape[:2], outs[2]),
    )


@pytest.mark.parametrize("block_bytes", [1, 100, 2000, 1 << 20])
@given(problem=problems())
def test_the_three_convolutions_agree_with_loops(block_bytes, problem):
    b, expected = replace(BACKEND, block_bytes=block_bytes), compute_by_loops(*problem)
    outs = [np.full_like(e, np.nan) for e in expected]
    assert all(map(np.array_equal, compute(b, *problem), expected))
    assert all(found is out for found, out in zip(compute(b, *problem, outs), outs))
    assert all(map(np.array_equal, outs, expected))


@pytest.mark.parametrize("size", [(23, 19), (1, 70), (70, 1)])
@pytest.mark.parametrize(("channels", "features"), [(8, 1), (2, 8), (3, 3)])
def test_tiles_of_larger_images_agree_with_loops(size, channels, features):
    """With 8 channels and 1 feature, products are shifted, in tiles that overlap."""
    kernel, pads = tuple(min(n, 2) for n in size), ((0, 1), (1, 0))
    draw = lambda *shape: np.random.default_rng(0).integers(-9, 9, shape).astype(np.float64)
    d = draw(2, *out_size(size, kernel, (1, 1), pads), features)
    problem = draw(2, *size, channels), draw(*kernel, channels, features), d, (1, 1), pads
    b = replace(BACKEND, block_bytes=3800)
    assert all(map(np.array_equal, compute(b, *problem), compute_by_loops(*problem)))


def memory_of(images, size, channels, features, stride):
    """Bytes that the three convolutions with a 7×7 kernel allocate in a new thread, and the bytes of scratch kept.

    Checks that they are adjoint: numbers are small integers, so sums are exact.
    """
    pads, found = ((3, 3), (3, 3)), []
    draw = lambda *shape: np.random.default_rng(0).integers(-9, 9, shape).astype(np.float64)
    d = draw(images, *out_size((size, size), (7, 7), stride, pads), features)
    x, w = draw(images, size, size, channels), draw(7, 7, channels, features)
    outs = np.empty_like(d), np.empty_like(x), np.empty_like(w)

    def work():
        kept = BACKEND.scratch_bytes()
        tracemalloc.start()
        compute(BACKEND, x, w, d, stride, pads, outs)
        found.extend((tracemalloc.get_traced_memory()[1], BACKEND.scratch_bytes() - kept))
        tracemalloc.stop()

    gc.collect()  # drops memory kept by threads of other tests
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    inner = {math.fsum((a * b).ravel()) for a, b in zip(outs, (d, x, w), strict=True)}
    assert len(inner) == 1
    return found


@pytest.mark.parametrize("stride", [(1, 1), (2, 2)])
@pytest.mark.parametrize(("channels", "features"), [(3, 2), (8, 2)])
def test_memory_is_bounded_however_large_an_image_is(channels, features, stride):
    """The columns of one image of 512² would take 300 MB and more; a cut image takes what small ones take."""
    one, many = (memory_of(n, size, channels, features, stride) for n, size in ((1, 512), (16, 128)))
    for peak, kept in (one, many):
        assert kept <= 8 << 20
        assert peak <= 12 << 20
