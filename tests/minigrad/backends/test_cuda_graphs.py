"""CUDA graphs: recorded work is replayed in order, on the same memory."""

from __future__ import annotations

import gc

import numpy as np
import pytest


def test_levels_are_replayed_in_order(device, to_gpu):
    x, y, z, w = to_gpu([np.ones(5), np.zeros(5), np.zeros(5), np.zeros(5)])

    def add(a, b, out):
        return lambda: device.xp.add(a, b, out=out)

    replay, held = device.recorder.record([[add(x, x, y), add(x, 1.0, z)], [add(y, z, w)]])
    for number in (2.0, -3.0):
        x[...] = number
        replay()
        assert device.to_host(w).tolist() == [3 * number + 1] * 5
    assert held >= 0


def test_matmul_can_be_recorded_and_its_workspace_is_counted(device, to_gpu):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((8, 300)), rng.standard_normal((300, 8))
    x1, x2, y = to_gpu([a, b, np.zeros((8, 8))])
    replay, held = device.recorder.record([[lambda: device.recorder.matmul(x1, x2, y)]])
    replay()
    np.testing.assert_allclose(device.to_host(y), a @ b, atol=1e-12 * 300)
    x1 *= 2
    replay()
    np.testing.assert_allclose(device.to_host(y), 2 * a @ b, atol=1e-12 * 600)
    assert held >= 4 * y.nbytes  # partial sums: k = 300 is split over four blocks


def test_an_error_ends_the_recording(device, to_gpu):
    x, y = to_gpu([np.ones(3), np.zeros(3)])

    def fail():
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        device.recorder.record([[lambda: device.xp.add(x, x, out=y), fail]])
    assert gc.isenabled()
    assert float(device.xp.add(x, x).sum()) == 6  # outside a recording, work runs at once
    replay, _ = device.recorder.record([[lambda: device.xp.add(x, 2.0, out=y)]])
    replay()
    assert device.to_host(y).tolist() == [3, 3, 3]


def test_generated_kernels_are_launched_by_name(device, to_gpu):
    source = """
extern "C" __global__ void twice(double* p0, double* p1) {
    const int i = blockIdx.x * 256 + threadIdx.x;
    if (i < 300) p1[i] = 2 * p0[i];
}
"""
    x, y = to_gpu([np.arange(300.0), np.zeros(300)])
    device.recorder.compile(source)("twice", 2, [x, y])
    assert device.to_host(y).tolist() == (2 * np.arange(300.0)).tolist()
