"""Elementwise functions that NumPy lacks, or computes slowly."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minigrad.backends.numpy.elementwise import erf, where


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_erf_agrees_with_the_math_library(dtype):
    x = np.concatenate([np.linspace(-7, 7, 4001), [0.0, -0.0, 1.0, -1.0, 6.0, math.inf, -math.inf]]).astype(dtype)
    expected = np.array([math.erf(v) for v in x.tolist()])
    assert erf(x).dtype == dtype
    assert np.max(np.abs(erf(x) - expected)) <= 2 * np.finfo(dtype).eps
    assert np.array_equal(erf(-x), -erf(x)) and math.isnan(erf(dtype(math.nan)))
    out = np.empty_like(x)
    assert erf(x, out) is out and np.array_equal(out, erf(x))


def test_erf_of_integers_and_of_complex_numbers():
    assert erf(2).dtype == np.float64 and erf(np.array([0])).tolist() == [0]
    with pytest.raises(TypeError, match="real numbers only"):
        erf(1j)


def layouts(x):
    """The same numbers in several layouts."""
    yield x
    yield np.asfortranarray(x)
    yield np.repeat(x, 2, axis=1)[:, ::2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_where_equals_numpys_bit_for_bit(dtype):
    rng = np.random.default_rng(0)
    shape = 70, 90  # large enough for our own code instead of NumPy's
    values = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.5, -2.5, np.finfo(dtype).smallest_subnormal], dtype)
    condition, x1, x2 = rng.random(shape) < 0.5, rng.choice(values, shape), rng.choice(values, shape)
    word = f"i{np.dtype(dtype).itemsize}"
    for first in (*layouts(x1), x1[:1], dtype(3)):
        for second in (*layouts(x2), x2[:, :1], dtype(0), dtype(-0.0)):
            for mask in layouts(condition):
                expected = np.where(condition, first, second)
                out = np.empty(shape, dtype)
                assert where(mask, first, second, out) is out
                for found in (out, where(mask, first, second)):
                    assert np.array_equal(found.view(word), expected.view(word))


def test_where_accepts_all_operands_that_numpy_accepts():
    condition = np.random.default_rng(0).random(5000) < 0.5
    x = np.arange(5000)
    for first, second in ((x, 1.5), (x, -x), (np.float32(1), 2j), (x.astype(np.float16), 0)):
        expected, found = np.where(condition, first, second), where(condition, first, second)
        assert found.dtype == expected.dtype and np.array_equal(found, expected)
    assert where(True, 1, 2) == 1 and where(x, x, -1)[0] == -1
    out = np.empty(5000, np.float32)  # of another dtype than the result
    assert where(condition, x * 0.5, 0.0, out) is out and np.array_equal(out, np.where(condition, x * 0.5, 0))
