"""Sums in NumPy: float16 is summed in float32, columns by BLAS."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.backends.numpy.sums import column_sums, sum


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1), ()])
def test_float16_is_summed_in_float32(axes):
    x = np.ones((3000, 2), np.float16)
    expected = {(0,): [3000, 3000], (1,): [2] * 3000, (0, 1): 6000, (): x.tolist()}[axes]
    out = np.empty(np.shape(expected), np.float16)
    assert sum(x, axes).tolist() == expected and sum(x, axes).dtype == np.float16
    assert sum(x, axes, out) is out and out.tolist() == expected


@given(st.integers(1, 60), st.integers(1, 9), st.integers(0, 99))
def test_column_sums_of_integers_are_exact(rows, columns, seed):
    x = np.random.default_rng(seed).integers(-1000, 1000, (rows, columns)).astype(np.float64)
    expected = [math.fsum(x[:, i]) for i in range(columns)]
    out = np.empty(columns)
    assert column_sums(x).tolist() == expected and column_sums(x, out) is out and out.tolist() == expected
