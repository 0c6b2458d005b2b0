"""Matrix products on a GPU against NumPy's. Tiles are 64 or 128 wide: most shapes leave them partly empty."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minigrad.backends.cuda import products
from tests.support.kernels import DTYPES, agree


@given(
    m=st.sampled_from([1, 3, 63, 64, 65, 130]),
    n=st.sampled_from([1, 2, 64, 97, 131]),
    k=st.sampled_from([1, 7, 8, 9, 200, 333]),
    transposed=st.tuples(st.booleans(), st.booleans()),
    dtype=DTYPES,
    begin=st.integers(0, 3),
)
def test_products_of_matrices_of_any_layout(kernels, device, m, n, k, transposed, dtype, begin):
    rng = np.random.default_rng(m * n * k)
    shapes = [(m, k), (k, n)]
    arrays = [rng.standard_normal(s[::-1] if t else s).astype(dtype) for s, t in zip(shapes, transposed)]
    there = [device.from_host(a) for a in arrays]
    arrays, there = ([a.T if t else a for a, t in zip(some, transposed)] for some in (arrays, there))
    inner = slice(min(begin, k - 1), None)  # a slice, whose rows are not aligned for vector loads
    product = products.matmul(kernels, there[0][:, inner], there[1][inner])
    agree(device.to_host(product), arrays[0][:, inner] @ arrays[1][inner], 4 + k)


def test_products_of_stacks_and_of_empty_matrices(kernels, device):
    rng = np.random.default_rng(0)
    for a, b in [((3, 4, 5), (5, 6)), ((4, 5), (2, 1, 5, 3)), ((0, 4), (4, 2)), ((3, 0), (0, 2)), ((2, 3), (3, 0))]:
        x1, x2 = rng.standard_normal(a), rng.standard_normal(b)
        agree(device.to_host(products.matmul(kernels, device.from_host(x1), device.from_host(x2))), x1 @ x2, 20)
