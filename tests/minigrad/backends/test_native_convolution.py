"""Compiled convolutions (native/convolution.py and .cpp) against loops and those of NumPy, on small integers, for which
sums are exact."""

from __future__ import annotations

import platform
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.backends.convolution import out_size
from minigrad.backends.native import compiler, convolution
from minigrad.backends.numpy.backend import BACKEND
from tests.minigrad.backends.test_numpy_convolution import compute_by_loops
from tests.minigrad.backends.test_numpy_convolution import problems as small_problems

FAST = convolution.accelerate(BACKEND)
pytestmark = pytest.mark.skipif(convolution._load(np.dtype(np.float32)) is None, reason="no C++ compiler here")


@st.composite
def problems(draw):
    """Images, a kernel, cotangents, stride and pads: every remainder of tiles, vectors and strides."""
    n, c, f = draw(st.integers(1, 3)), draw(st.integers(1, 14)), draw(st.integers(1, 70))
    kernel = draw(st.tuples(*[st.integers(1, 4)] * 2))
    stride = draw(st.tuples(*[st.integers(1, 3)] * 2))
    pads = draw(st.tuples(*[st.tuples(*[st.integers(0, 4)] * 2)] * 2))
    size = tuple(draw(st.integers(max(1, k - sum(pad)), 17)) for k, pad in zip(kernel, pads))
    if draw(st.booleans()):
        c, f = f, c
    return make_problem(n, size, c, f, kernel, stride, pads, draw(st.sampled_from([np.float32, np.float64])))


def make_problem(n, size, c, f, kernel, stride, pads, dtype):
    shapes = (n, *size, c), (*kernel, c, f), (n, *out_size(size, kernel, stride, pads), f)
    random = np.random.default_rng(n + c + f)
    x, w, d = (random.integers(-3, 4, shape).astype(dtype) for shape in shapes)
    return x, w, d, stride, pads


def compute(b, x, w, d, stride, pads, outs=(None,) * 3):
    """The three convolutions of a backend."""
    return (
        b.conv(x, w, stride, pads, outs[0]),
        b.conv_input(d, w, stride, pads, x.shape[1:3], outs[1]),
        b.conv_kernel(x, d, stride, pads, w.shape[:2], outs[2]),
    )


def assert_equal(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@given(problem=small_problems())
def test_the_three_convolutions_agree_with_loops(problem):
    expected = compute_by_loops(*problem)
    assert_equal(compute(FAST, *problem), expected)


@given(problem=problems())
def test_the_three_convolutions_agree_with_numpy(problem):
    expected = compute(BACKEND, *problem)
    outs = [np.full_like(e, np.nan) for e in expected]
    assert_equal(compute(FAST, *problem), expected)
    assert all(found is out for found, out in zip(compute(FAST, *problem, outs), outs))
    assert_equal(outs, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_round_about_as_little_as_those_of_numpy(dtype):
    random, rest = np.random.default_rng(0), ((1, 1), ((1, 1), (1, 1)))
    arrays = [random.normal(size=s).astype(dtype) for s in ((3, 7, 7, 40), (3, 3, 40, 70), (3, 7, 7, 70))]
    exact = compute(BACKEND, *(a.astype(np.longdouble) for a in arrays), *rest)
    for found, numpys, true in zip(compute(FAST, *arrays, *rest), compute(BACKEND, *arrays, *rest), exact):
        error, allowed = (np.sqrt(np.mean((a - true) ** 2)) for a in (found, numpys))
        assert error < 3 * allowed


def load_changed(*arguments):
    """The library of a source in which bands are a few rows long."""
    *flags, source, contract = arguments
    band = "BAND = (1 << 17) / sizeof(REAL);"
    assert band in source
    return compiler.load(source.replace(band, "BAND = 500;"), contract, *flags)


@pytest.mark.parametrize("size", [(23, 19), (1, 70), (70, 1), (9, 9)])
@pytest.mark.parametrize("flags", [(), ("-mno-avx512f",), ("-mno-avx",)], ids=["widest", "no AVX-512", "no AVX"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bands_and_all_lengths_of_vectors(monkeypatch, dtype, flags, size):
    """A band of a few rows, and code for processors with shorter vectors."""
    if flags and platform.machine() != "x86_64":
        pytest.skip("these flags are those of x86-64")
    monkeypatch.setattr(compiler, "load_or_warn", partial(load_changed, *flags))
    library = convolution._load.__wrapped__(np.dtype(dtype))
    monkeypatch.setattr(convolution, "_load", lambda dtype: library)
    for c, f, stride in ((1, 3, (1, 1)), (5, 70, (2, 1)), (20, 33, (1, 1)), (3, 8, (3, 2)), (40, 4, (1, 1))):
        kernel = tuple(min(n, 3) for n in size)
        problem = make_problem(2, size, c, f, kernel, stride, ((1, 0), (0, 1)), dtype)
        assert_equal(compute(FAST, *problem), compute(BACKEND, *problem))


def test_the_bits_of_an_image_do_not_depend_on_the_others():
    random = np.random.default_rng(0)
    x, w, d = (random.normal(size=s).astype("f") for s in ((7, 14, 14, 9), (3, 3, 9, 33), (7, 7, 7, 33)))
    arguments = (2, 2), ((1, 0), (0, 1))
    together = FAST.conv(x, w, *arguments), FAST.conv_input(d, w, *arguments, (14, 14))
    for i in range(7):
        alone = FAST.conv(x[i : i + 1], w, *arguments), FAST.conv_input(d[i : i + 1], w, *arguments, (14, 14))
        assert_equal([a[0] for a in alone], [a[i] for a in together])


def test_layouts_that_are_not_contiguous_are_copied():
    x, w, d, *rest = make_problem(2, (8, 6), 3, 5, (3, 3), (1, 1), ((1, 1), (1, 1)), np.float64)
    expected = compute(BACKEND, x, w, d, *rest)
    for change in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=-1)[..., ::2]):
        outs = [change(np.full_like(e, np.nan)) for e in expected]
        assert_equal(compute(FAST, *map(change, (x, w, d)), *rest, outs), expected)
        assert_equal(outs, expected)


@pytest.mark.parametrize("dtype", [np.complex128, np.longdouble, np.float16, np.int64])
def test_other_dtypes_use_numpy(dtype):
    problem = make_problem(2, (5, 6), 3, 2, (3, 3), (1, 2), ((1, 1), (0, 2)), dtype)
    assert_equal(compute(FAST, *problem), compute(BACKEND, *problem))


@pytest.mark.parametrize("shape", [(0, 5, 5, 2), (2, 5, 5, 0)])
def test_empty_arrays(shape):
    x, w = np.ones(shape), np.ones((2, 2, shape[3], 3))
    d = np.ones((shape[0], *out_size(shape[1:3], (2, 2), (1, 1), ((0, 0),) * 2), 3))
    assert_equal(*(compute(b, x, w, d, (1, 1), ((0, 0),) * 2) for b in (FAST, BACKEND)))


def test_without_a_compiler_numpy_computes(monkeypatch):
    monkeypatch.setattr(compiler, "load_or_warn", lambda *_: None)
    convolution._load.cache_clear()
    try:
        problem = make_problem(2, (5, 6), 3, 2, (3, 3), (1, 2), ((1, 1), (0, 2)), np.float32)
        assert_equal(compute(FAST, *problem), compute(BACKEND, *problem))
    finally:
        convolution._load.cache_clear()
