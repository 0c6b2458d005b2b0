"""minigrad/backends/native/windows.py: convolutions with compiled windows have the bits of those with NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.backends.native import compiler, windows
from minigrad.backends.numpy.backend import BACKEND

FAST = windows.accelerate(BACKEND)
pytestmark = pytest.mark.skipif(FAST is BACKEND, reason="no C++ compiler here")


@st.composite
def problems(draw):
    """Images, a kernel, cotangents, stride and pads, small enough for every edge to matter."""
    n, c, f = draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(1, 9))
    kernel = draw(st.tuples(*[st.integers(1, 4)] * 2))
    stride = draw(st.tuples(*[st.integers(1, 3)] * 2))
    pads = draw(st.tuples(*[st.tuples(*[st.integers(0, 4)] * 2)] * 2))
    size = [draw(st.integers(max(1, k - sum(pad)), 9)) for k, pad in zip(kernel, pads)]
    out = [(n + sum(pad) - k) // s + 1 for n, k, s, pad in zip(size, kernel, stride, pads)]
    random = np.random.default_rng(draw(st.integers(0, 99)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    x, w, d = (random.normal(size=shape).astype(dtype) for shape in ((n, *size, c), (*kernel, c, f), (n, *out, f)))
    return x, w, d, stride, pads


@given(problem=problems())
def test_convolutions_have_the_same_bits(problem):
    x, w, d, stride, pads = problem
    for arguments, name in (
        ((x, w, stride, pads), "conv"),
        ((d, w, stride, pads, x.shape[1:3]), "conv_input"),
        ((x, d, stride, pads, w.shape[:2]), "conv_kernel"),
    ):
        expected, found = (getattr(b, name)(*arguments) for b in (BACKEND, FAST))
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", [np.complex128, np.longdouble, np.float16, np.int64])
def test_other_dtypes_and_layouts_use_numpy(dtype):
    random = np.random.default_rng(0)
    x, w = random.integers(-3, 4, (2, 5, 6, 3)).astype(dtype), random.integers(-3, 4, (3, 3, 3, 2)).astype(dtype)
    for images in (x, x[:, ::-1], np.asfortranarray(x)):
        arguments = images, w, (1, 2), ((1, 1), (0, 2))
        np.testing.assert_array_equal(FAST.conv(*arguments), BACKEND.conv(*arguments))


def test_layouts_that_are_not_contiguous_use_numpy():
    x, w = np.random.default_rng(0).normal(size=(2, 8, 6, 3)), np.ones((3, 3, 3, 2))
    for images in (x[:, ::-1], x[:, ::2], np.asfortranarray(x)):
        arguments = images, w, (1, 1), ((1, 1), (1, 1))
        np.testing.assert_array_equal(FAST.conv(*arguments), BACKEND.conv(*arguments))


def test_without_a_compiler_the_backend_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(compiler, "load_or_warn", lambda source: None)
    windows._load.cache_clear()
    try:
        assert windows.accelerate(BACKEND) is BACKEND
    finally:
        windows._load.cache_clear()
