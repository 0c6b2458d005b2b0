"""Sums on a GPU against NumPy's."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minigrad.backends.cuda import sums as ours
from tests.support.kernels import DTYPES, agree


@given(rows=st.integers(0, 700), count=st.sampled_from([1, 3, 31, 32, 33, 100]), dtype=DTYPES)
def test_column_sums(kernels, device, rows, count, dtype):
    x = np.random.default_rng(rows).standard_normal((rows, count)).astype(dtype)
    agree(device.to_host(ours.column_sums(kernels, device.from_host(x))), x.sum(0, dtype=dtype), 10 + rows)


@given(
    shape=st.lists(st.sampled_from([1, 2, 5, 300, 2100]), min_size=1, max_size=3).filter(lambda s: np.prod(s) < 10**5),
    count=st.integers(0, 3),
    dtype=DTYPES,
)
def test_sums_over_the_last_axes(kernels, device, shape, count, dtype):
    x = np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)
    axes = tuple(range(max(0, len(shape) - count), len(shape)))
    total = device.to_host(ours.sum(kernels, device.from_host(x), axes))
    agree(np.asarray(total), np.asarray(x.sum(axes, dtype=dtype)), 10 + x.size)
