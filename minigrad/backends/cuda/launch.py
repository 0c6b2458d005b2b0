"""Compiles and launches the kernels of the .cu files in this folder.

Except for products, each kernel has a twin in the file of the same name in `backends/numpy/`: what it must compute.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

Array = Any
FILES = "streams.cu", "epilogue.cu", "sums.cu", "products.cu", "convolution.cu"  # each uses what those before it define
OPTIONS = ("-std=c++17",)
SUFFIX = {np.dtype(np.float32): "f32", np.dtype(np.float64): "f64"}  # the dtypes that kernels are compiled for
THREADS = 256  # of a block, unless it computes a tile of a product


def read_source(*names: str) -> str:
    """The CUDA C++ of these files of this folder, concatenated."""
    return "\n".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in names)


def blocks_of(count: int) -> int:
    """How many blocks give each of `count` numbers a thread."""
    return -(-count // THREADS)


def ints(*values: int) -> tuple[np.int32, ...]:
    """The values as int arguments of a kernel."""
    return tuple(map(np.int32, values))


class Kernels:
    """The compiled kernels of a device with this many multiprocessors (`processors`). `xp` is CuPy or its replacement.

    `numpy.convolution` uses `xp`, `scratch` and `block_bytes`, for dtypes without a kernel.
    """

    block_bytes = 1 << 28

    def __init__(self, xp: Any, processors: int):
        self.xp, self.processors = xp, processors
        self.functions: dict[str, Any] = {}  # those launched so far, by name

    @cached_property
    def _module(self) -> Any:
        return self.xp.RawModule(code=read_source(*FILES), options=OPTIONS)

    def launch(self, name: str, grid: Sequence[int], args: Sequence[Any], threads: int = THREADS) -> None:
        """Launch a kernel on a grid of blocks of `threads` each. Raises ValueError for a grid beyond CUDA's limits."""
        grid = (*grid, 1, 1)[:3]
        if max(grid[1:]) > 65535 or grid[0] >= 2**31:
            raise ValueError(
                f"{name}: arrays are too large for one launch, a grid of {grid} blocks: use smaller batches"
            )
        if name not in self.functions:
            self.functions[name] = self._module.get_function(name)
        self.functions[name](grid, (threads, 1, 1), tuple(args))

    def splits(self, each: int, blocks: Sequence[int]) -> int:
        """The factor by which to multiply the number of blocks so that every multiprocessor gets `each` of them."""
        return each * self.processors // math.prod(blocks)

    # Memory

    @cached_property
    def zero(self) -> Array:
        """One int64 zero on the device, which is never written to."""
        return self.xp.zeros(1, np.int64)

    def scratch(self, name: str, shape: tuple[int, ...], dtype: Any) -> Array:
        """An uninitialised array from CuPy's memory pool."""
        return self.xp.empty(shape, dtype)

    def result(self, shape: Any, dtype: np.dtype, out: Array | None) -> Array:
        """The array that a kernel writes to: `out` if it is contiguous, otherwise a new one."""
        return out if out is not None and out.flags.c_contiguous else self.xp.empty(shape, dtype)

    def operand(self, x: Array, dtype: np.dtype) -> Array:
        """x in the form that kernels read: contiguous, of this dtype."""
        return self.xp.ascontiguousarray(x, dtype)
