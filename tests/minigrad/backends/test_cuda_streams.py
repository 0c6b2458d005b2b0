"""Random draws on a GPU equal those of NumPy, bit for bit."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.backends.cuda import streams as ours
from minigrad.backends.cuda.launch import Kernels
from minigrad.backends.numpy import streams as twin
from tests.support.kernels import DTYPES


@given(
    offset=st.one_of(st.integers(0, 20), st.integers(2**33, 2**40)),
    start=st.integers(0, 9),
    size=st.one_of(st.integers(1, 700), st.integers(16_000, 17_000)),  # the latter needs more counters than threads
    kind=st.sampled_from(["bits", "uniform", "normal"]),
    dtype=DTYPES,
)
def test_draws_are_the_same_bits(device, offset, start, size, kind, dtype):
    key = np.array([12345, 678], np.uint32)
    if kind == "bits":
        expected = twin.random_bits(np, key, size, offset + start)
    else:
        expected = getattr(twin, f"random_{kind}")(np, key, size, dtype, offset + start)
    draw, there = partial(getattr(ours, f"random_{kind}"), Kernels(device.xp, 1)), device.from_host(key)
    for begin in (start, device.from_host(np.array(start))):
        out = device.from_host(np.zeros(size + 1, expected.dtype))
        draw(there, out[1:], offset, begin)  # not aligned for vector stores
        assert np.array_equal(device.to_host(out)[1:].view(np.uint8), expected.view(np.uint8))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ten_to_the_seventh_normals_are_the_same_bits(device, dtype):
    """10⁷ on a GPU, 10⁶ on the stand-in."""
    size = 10**7 if device.name == "cupy" else 10**6
    key = mg.random.key(2026)
    there = mg.random.normal(device.from_host(key), (size,), dtype)
    assert np.array_equal(device.to_host(there), mg.random.normal(key, (size,), dtype))
