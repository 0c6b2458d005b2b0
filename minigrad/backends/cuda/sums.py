"""Sums, in an order that depends only on shapes (sums.cu), so that two runs give the same bits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from minigrad.backends.backend import store
from minigrad.backends.cuda import epilogue
from minigrad.backends.cuda.launch import SUFFIX, THREADS, Array, Kernels, blocks_of, ints

MOST_PARTS = 128  # of a sum, because its partial sums are added one by one


def sum(kernels: Kernels, x: Array, axes: tuple[int, ...], out: Array | None = None) -> Array:
    """Twin of numpy.sums.sum: a kernel where the axes are the last ones, CuPy's otherwise."""
    kept = x.ndim - len(axes)
    if x.dtype == np.float16:  # in which 2048 + 1 is 2048
        return store(kernels.xp.sum(x, axis=axes, dtype=np.float32).astype(np.float16), out)
    if x.dtype not in SUFFIX or not x.size or not axes or set(axes) != set(range(kept, x.ndim)):
        return kernels.xp.sum(x, axis=axes, out=out)
    x = kernels.operand(x, x.dtype)
    y = kernels.result(x.shape[:kept], x.dtype, out)
    rows, columns = math.prod(x.shape[:kept]), math.prod(x.shape[kept:])
    splits = max(1, min(MOST_PARTS, columns // 1024, kernels.splits(2, (rows,))))
    name = f"sum_rows_{SUFFIX[x.dtype]}"
    threads = min(THREADS, max(32, 1 << (columns - 1).bit_length()))  # a power of two, and no more than are needed

    def launch(to: Array, ending: tuple) -> None:
        kernels.launch(name, (rows, splits), (x, to, np.int64(columns)), threads)

    launch_in_parts(kernels, launch, splits, y, epilogue.arguments(kernels, y), (1, 1, rows))
    return store(y, out)


def column_sums(kernels: Kernels, x: Array, out: Array | None = None) -> Array:
    """Twin of numpy.sums.column_sums."""
    if x.dtype not in SUFFIX:
        return kernels.xp.sum(x, axis=0, out=out)
    x = kernels.operand(x, x.dtype)
    rows, count = x.shape
    y = kernels.result(count, x.dtype, out)
    if not x.size:
        y[...] = 0
        return store(y, out)
    splits = max(1, min(MOST_PARTS, rows // 64, kernels.splits(4, (-(-count // 32),))))
    ending, last = epilogue.arguments(kernels, y), (1, 1, count)

    def launch(to: Array, ending: tuple) -> None:
        _add_rows(kernels, x, splits, to, ending, last)

    launch_in_parts(kernels, launch, splits, y, ending, last)
    return store(y, out)


def launch_in_parts(
    kernels: Kernels,
    launch: Callable[[Array, tuple], None],
    splits: int,
    y: Array,
    ending: tuple,
    last: Sequence[int],
) -> None:
    """Call `launch(memory, ending)` to write y, or `splits` partial sums of it, which are then added up.

    `ending` holds the arguments of the epilogue, `last` the h, w and f by which it indexes y.
    """
    if splits == 1:
        launch(y, ending)
        return
    partial = kernels.xp.empty((splits, y.size), y.dtype)
    launch(partial, epilogue.arguments(kernels, partial))
    _add_rows(kernels, partial, 1, y, ending, last)


def _add_rows(kernels: Kernels, x: Array, parts: int, y: Array, ending: tuple, last: Sequence[int]) -> None:
    """Add up the rows of x in `parts` parts, with several threads for each column if it is long."""
    rows, columns = x.shape
    each = 8 if rows >= 16 * parts else 1
    sizes = np.int64(rows), np.int64(columns), np.int32(each)
    grid = blocks_of(columns * each), parts
    kernels.launch(f"sum_columns_{SUFFIX[x.dtype]}", grid, (x, *sizes, y, *ending, *ints(*last)))
