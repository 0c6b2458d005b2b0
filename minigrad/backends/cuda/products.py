"""Matrix products, one tile of the result for each block (products.cu).

CUDA graphs can record a BLAS library, but CuPy does not let us (cupy#6290). These can be recorded, and they have an
epilogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.backends.backend import store
from minigrad.backends.cuda import epilogue
from minigrad.backends.cuda.launch import SUFFIX, Array, Kernels, ints
from minigrad.backends.cuda.sums import in_parts

SHORTEST = 64  # numbers of k that are worth a block of their own


class Tile(NamedTuple):
    """The part of a product that a block of so many threads computes, and how many blocks a multiprocessor runs at
    once."""

    rows: int
    columns: int
    threads: int
    blocks: int

    def over(self, m: int, n: int) -> tuple[int, int]:
        """How many cover m × n numbers."""
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
    (x1, turned1, stride1), (x2, turned2, stride2) = _orient(kernels, dtype, x1), _orient(kernels, dtype, x2)
    which = ("t" if turned1 else "n") + ("t" if turned2 else "n")
    blocks = TILES[dtype].over(m, n)
    grid = *blocks, (splits := splits_of(kernels, dtype, blocks, depth))
    sizes = *ints(m, n, depth), np.int64(stride1), np.int64(stride2)

    def launch(to: Array, ending: tuple) -> None:
        launch_tiles(kernels, f"matmul_{which}", dtype, grid, (x1, x2, to, *ending[:3], *sizes))

    in_parts(kernels, launch, splits, y, epilogue.arguments(kernels, x1, **ending), (1, 1, n))


def _orient(kernels: Kernels, dtype: np.dtype, x: Array) -> tuple[Array, bool, int]:
    """A matrix of which one axis is contiguous, whether that is the first, and the step along the other."""
    item = dtype.itemsize
    steps = x.strides if x.dtype == dtype else (0, 0)
    for turned in (False, True):
        contiguous, other = (0, 1) if turned else (1, 0)
        if x.shape[contiguous] == 1 or steps[contiguous] == item:
            if steps[other] % item == 0 and steps[other] >= 0 and x.dtype == dtype:
                return x, turned, steps[other] // item
    return kernels.operand(x, dtype), False, x.shape[1]


def launch_tiles(kernels: Kernels, name: str, dtype: np.dtype, grid: Sequence[int], args: Sequence[Any]) -> None:
    """Start a kernel that computes a tile in each block."""
    kernels.launch(f"{name}_{SUFFIX[dtype]}", grid, args, TILES[dtype].threads)


def splits_of(kernels: Kernels, dtype: np.dtype, blocks: Sequence[int], depth: int) -> int:
    """Over how many blocks to divide each sum over k, `depth` long, so that every multiprocessor is busy."""
    return max(1, min(kernels.splits(TILES[dtype].blocks, blocks), depth // SHORTEST))
