"""Indexed additions on both devices, against a loop."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg


@pytest.fixture(params=["cpu", "device"])
def where(request):
    """The backend of the host, and that of a device with kernels."""
    return mg.backends.get("cpu") if request.param == "cpu" else request.getfixturevalue("device")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "complex128", "int64"])
def test_repeated_indices_accumulate(where, dtype):
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(0, 4, 30), rng.integers(0, 3, 30)
    values = rng.integers(-9, 9, 30).astype(dtype)
    target = rng.integers(-9, 9, (4, 3)).astype(dtype)
    expected = target.copy()
    for i, j, value in zip(rows, columns, values):
        expected[i, j] += value
    there = where.from_host(target.copy())
    where.add_at(there, (where.from_host(rows), where.from_host(columns)), where.from_host(values))
    assert np.array_equal(where.to_host(there), expected)


def test_float16_sums_do_not_stop_at_2048(where):
    target = where.from_host(np.zeros(2, np.float16))
    where.add_at(target, (where.from_host(np.ones(3000, np.int64)),), where.from_host(np.ones(3000, np.float16)))
    assert where.to_host(target).tolist() == [0, 3000]  # in float16, 2048 + 1 is 2048
