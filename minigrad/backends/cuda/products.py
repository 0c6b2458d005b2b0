"""Matrix products: each block computes one tile of the result (products.cu).

CUDA graphs could record cuBLAS, but CuPy does not allow it (cupy#6290). These products can be recorded, and they have
an epilogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.backends.backend import store
from minigrad.backends.cuda import epilogue
from minigrad.backends.cuda.launch import SUFFIX, Array, Kernels, ints
from minigrad.backends.cuda.sums import launch_in_parts

SHORTEST = 64  # length of k that is worth a block of its own


class Tile(NamedTuple):
    """The part of a product that a block of `threads` computes; a multiprocessor runs `blocks` of them at once."""

    rows: int
    columns: int
    threads: int
    blocks: int

    def grid(self, m: int, n: int) -> tuple[int, int]:
        """How many tiles cover an m × n result, along each axis."""
        return -(-m // self.rows), -(-n // self.columns)


TILES = {np.dtype(np.float32): Tile(128, 64, 128, 3), np.dtype(np.float64): Tile(64, 64, 256, 2)}
"""As in products.cu (FLOATS, DOUBLES)."""


def matmul(kernels: Kernels, x1: Array, x2: Array, out: Array | None = None, **ending: Any) -> Array:
    """np.matmul, with an epilogue: `ending` is bias, relu (see `epilogue.arguments`)."""
    dtype = kernels.xp.result_type(x1, x2)
    if dtype not in SUFFIX or x1.ndim < 2 or x2.ndim < 2:
        return kernels.xp.matmul(x1, x2, out=out)
    shape = *np.broadcast_shapes(x1.shape[:-2], x2.shape[:-2]), x1.shape[-2], x2.shape[-1]
    y = kernels.result(shape, dtype, out)
    if len(shape) == 2 and y.size:
        _matmul(kernels, dtype, x1, x2, y, ending)
    elif y.size:
        x1, x2 = (kernels.xp.broadcast_to(x, (*shape[:-2], *x.shape[-2:])) for x in (x1, x2))
        for i in np.ndindex(shape[:-2]):
            _matmul(kernels, dtype, x1[i], x2[i], y[i], ending)
    return store(y, out)


def _matmul(kernels: Kernels, dtype: np.dtype, x1: Array, x2: Array, y: Array, ending: dict[str, Any]) -> None:
    (m, depth), n = x1.shape, x2.shape[1]
    (x1, transposed1, stride1), (x2, transposed2, stride2) = (_orient(kernels, dtype, x) for x in (x1, x2))
    which = ("t" if transposed1 else "n") + ("t" if transposed2 else "n")
    blocks = TILES[dtype].grid(m, n)
    grid = *blocks, (splits := count_splits(kernels, dtype, blocks, depth))
    sizes = *ints(m, n, depth), np.int64(stride1), np.int64(stride2)

    def launch(to: Array, ending: tuple) -> None:
        launch_tiles(kernels, f"matmul_{which}", dtype, grid, (x1, x2, to, *ending[:3], *sizes))

    launch_in_parts(kernels, launch, splits, y, epilogue.arguments(kernels, x1, **ending), (1, 1, n))


def _orient(kernels: Kernels, dtype: np.dtype, x: Array) -> tuple[Array, bool, int]:
    """x with a contiguous axis (copied if it has none), whether that is the first axis, and the stride of the other."""
    item = dtype.itemsize
    steps = x.strides if x.dtype == dtype else (0, 0)
    for transposed in (False, True):
        contiguous, other = (0, 1) if transposed else (1, 0)
        if x.shape[contiguous] == 1 or steps[contiguous] == item:
            if steps[other] % item == 0 and steps[other] >= 0 and x.dtype == dtype:
                return x, transposed, steps[other] // item
    return kernels.operand(x, dtype), False, x.shape[1]


def launch_tiles(kernels: Kernels, name: str, dtype: np.dtype, grid: Sequence[int], args: Sequence[Any]) -> None:
    """Launch a kernel whose blocks compute one tile each."""
    kernels.launch(f"{name}_{SUFFIX[dtype]}", grid, args, TILES[dtype].threads)


def count_splits(kernels: Kernels, dtype: np.dtype, blocks: Sequence[int], depth: int) -> int:
    """Over how many blocks to split each sum over k, of length `depth`, so that every multiprocessor is busy."""
    return max(1, min(kernels.splits(TILES[dtype].blocks, blocks), depth // SHORTEST))
