"""Launches: every kernel with threads in several orders; grids beyond CUDA's limits."""

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


def run_every_kernel(device, dtype, processors):
    """(bytes of the results of every kernel, names of the kernels that were launched)."""
    kernels, rng, results = Kernels(device.xp, processors), np.random.default_rng(0), []
    draw = lambda *shape: device.from_host(rng.standard_normal(shape).astype(dtype))
    for c, f in ((6, 70), (8, 8), (1, 5), (9, 4)):
        x, w, strides, pads = draw(3, 7, 6, c), draw(3, 3, c, f), (2, 1), ((1, 1), (0, 1))
        y = convolution.conv(kernels, x, w, strides, pads, bias=draw(f), relu=True)
        results += [
            y,
            convolution.conv_input(kernels, y, w, strides, pads, (7, 6)),
            convolution.conv_kernel(kernels, x, y, strides, pads, (3, 3)),
        ]
    x1, x2 = draw(70, 300), draw(300, 80)
    to_column_major = lambda x: device.xp.ascontiguousarray(x.T).T
    results += [products.matmul(kernels, a, b) for a in (x1, to_column_major(x1)) for b in (x2, to_column_major(x2))]
    results += [
        sums.column_sums(kernels, draw(500, 40)),
        sums.sum(kernels, draw(2, 5000), (1,)),
        sums.sum(kernels, draw(3, 3), (0, 1)),
    ]
    key = device.from_host(np.array([1, 2], np.uint32))
    for kind, out in (("bits", np.uint32), ("uniform", dtype), ("normal", dtype)):
        results.append(device.xp.empty(1000, out))
        getattr(streams, f"random_{kind}")(kernels, key, results[-1], 3)
    return [device.to_host(array).tobytes() for array in results], set(kernels.functions)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("processors", [2, 132], ids=["few processors", "many processors"])
def test_results_do_not_depend_on_the_order_of_threads(device, dtype, processors):
    """A race makes results depend on the order; on a GPU, compute-sanitizer's racecheck finds the others."""
    first, names = run_every_kernel(device, dtype, processors)
    suffix = "f32" if dtype is np.float32 else "f64"
    ours = "conv conv_input conv_kernel matmul_nn matmul_nt matmul_tn matmul_tt conv_few conv_input_few conv_kernel_few"
    ours += " sum_columns sum_rows random_uniform random_normal"
    assert names == {*(f"{name}_{suffix}" for name in ours.split()), "random_bits"}
    for order in cuda_shim.ORDERS:
        with cuda_shim.in_order(order):
            assert run_every_kernel(device, dtype, processors)[0] == first
