"""Functions of CuPy's namespace behave like NumPy's."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def same(device):
    """A function that asserts that a function of (namespace, arrays) gives the same on the device as with NumPy."""

    def check(function, *arrays):
        expected = function(np, *[x.copy() for x in arrays])
        found = device.to_host(function(device.xp, *[device.from_host(x) for x in arrays]))
        assert found.dtype == expected.dtype and found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-12)

    return check


X = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]])


@pytest.mark.parametrize("name", ["min", "cumsum", "cumprod"])
def test_results_are_written_to_out(same, device, name):
    def write_to_out(xp, x):
        y = getattr(xp, name)(x, axis=1)
        out = xp.zeros_like(y)
        assert getattr(xp, name)(x, axis=1, out=out) is out
        return out

    same(write_to_out, X)


def test_clip_takes_numbers_and_complex_arrays(same):
    same(lambda xp, x: xp.clip(x, -1.0, 2.0), X)
    same(lambda xp, x: xp.clip(x, -1.0, 2.0, out=xp.zeros_like(x)), X)
    same(lambda xp, x, low: xp.clip(x, low, low + 1), X, X[:1])
    same(lambda xp, z: xp.clip(z, -1 + 0j, 2 + 0j), X + 1j)
    same(lambda xp, low: xp.clip(0.5, low, low + 1), X)


@pytest.mark.parametrize("axis", [0, 1])
def test_concatenate(same, axis):
    parts = X, X[:, ::-1].copy(), X + 1
    same(lambda xp, *arrays: xp.concatenate(arrays, axis), *parts)

    def write_to_out(xp, *arrays):
        out = xp.empty((6, 3) if axis == 0 else (2, 9))
        assert xp.concatenate(arrays, axis, out) is out
        return out

    same(write_to_out, *parts)


def test_solve_broadcasts_stacks(same):
    a = np.random.default_rng(0).standard_normal((2, 1, 3, 3)) + 3 * np.eye(3)
    b = np.random.default_rng(1).standard_normal((4, 3, 2))
    same(lambda xp, a, b: xp.linalg.solve(a, b), a, b)
