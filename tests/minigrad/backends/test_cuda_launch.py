"""Launches: every kernel, with threads in whatever order; grids beyond CUDA's limits."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.backends.cuda import convolution, products, streams, sums
from minigrad.backends.cuda.launch import Kernels
from tests.support import cuda_shim


def test_a_grid_beyond_the_limits_is_refused(device):
    kernels = Kernels(device.xp, 1)
    for grid in ((2**31,), (1, 65536), (1, 1, 65536)):
        with pytest.raises(ValueError, match=rf"^f: arrays are too large for one launch, a grid of \({grid[0]}, "):
            kernels.launch("f", grid, ())
    assert not kernels.functions


def everything(device, dtype, processors):
    """Bytes of what every kernel makes, and the names of the kernels that were launched."""
    kernels, rng, made = Kernels(device.xp, processors), np.random.default_rng(0), []
    new = lambda *shape: device.from_host(rng.standard_normal(shape).astype(dtype))
    for c, f in ((6, 70), (8, 8), (1, 5), (9, 4)):
        x, w, strides, pads = new(3, 7, 6, c), new(3, 3, c, f), (2, 1), ((1, 1), (0, 1))
        y = convolution.conv(kernels, x, w, strides, pads, bias=new(f), relu=True)
        made += [
            y,
            convolution.conv_input(kernels, y, w, strides, pads, (7, 6)),
            convolution.conv_kernel(kernels, x, y, strides, pads, (3, 3)),
        ]
    x1, x2 = new(70, 300), new(300, 80)
    copied = lambda x: device.xp.ascontiguousarray(x.T).T
    made += [products.matmul(kernels, a, b) for a in (x1, copied(x1)) for b in (x2, copied(x2))]
    made += [
        sums.column_sums(kernels, new(500, 40)),
        sums.sum(kernels, new(2, 5000), (1,)),
        sums.sum(kernels, new(3, 3), (0, 1)),
    ]
    key = device.from_host(np.array([1, 2], np.uint32))
    for kind, out in (("bits", np.uint32), ("uniform", dtype), ("normal", dtype)):
        made.append(device.xp.empty(1000, out))
        getattr(streams, f"random_{kind}")(kernels, key, made[-1], 3)
    return [device.to_host(array).tobytes() for array in made], set(kernels.functions)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("processors", [2, 132], ids=["few processors", "many processors"])
def test_two_runs_give_the_same_bits_in_whatever_order_threads_run(device, dtype, processors):
    """A race shows where the order matters; on a GPU, compute-sanitizer's racecheck sees those that do not show."""
    first, names = everything(device, dtype, processors)
    suffix = "f32" if dtype is np.float32 else "f64"
    ours = "conv conv_input conv_kernel matmul_nn matmul_nt matmul_tn matmul_tt conv_few conv_input_few conv_kernel_few"
    ours += " sum_columns sum_rows random_uniform random_normal"
    assert names == {*(f"{name}_{suffix}" for name in ours.split()), "random_bits"}
    for order in cuda_shim.ORDERS:
        with cuda_shim.in_order(order):
            assert everything(device, dtype, processors)[0] == first
