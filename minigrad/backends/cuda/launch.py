"""Compiling and launching the kernels of the .cu files here: on how many blocks, with what memory.

What each of them computes is said by its twin for NumPy, in the file of the same name in `backends/numpy/`.
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
THREADS = 256  # of a block that computes no tile of a product


def source(*names: str) -> str:
    """CUDA C++ of the files in this folder, one after the other."""
    return "\n".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in names)


def blocks_of(count: int) -> int:
    """How many blocks have a thread for each of `count` numbers."""
    return -(-count // THREADS)


def ints(*values: int) -> tuple[np.int32, ...]:
    """Arguments of a kernel that are ints."""
    return tuple(map(np.int32, values))


class Kernels:
    """The compiled kernels of a device with so many multiprocessors, and its array namespace `xp`: CuPy, or what stands
    in for it.

    `xp`, `scratch` and `block_bytes` are what `numpy.convolution` needs, for dtypes without a kernel.
    """

    block_bytes = 1 << 28

    def __init__(self, xp: Any, processors: int):
        self.xp, self.processors = xp, processors
        self.functions: dict[str, Any] = {}  # those launched so far, by name

    @cached_property
    def _module(self) -> Any:
        return self.xp.RawModule(code=source(*FILES), options=OPTIONS)

    def launch(self, name: str, grid: Sequence[int], args: Sequence[Any], threads: int = THREADS) -> None:
        """Start a kernel on a grid of blocks of so many threads. Raises ValueError for a grid beyond CUDA's limits."""
        grid = (*grid, 1, 1)[:3]
        if max(grid[1:]) > 65535 or grid[0] >= 2**31:
            raise ValueError(
                f"{name}: arrays are too large for one launch, a grid of {grid} blocks: use smaller batches"
            )
        if name not in self.functions:
            self.functions[name] = self._module.get_function(name)
        self.functions[name](grid, (threads, 1, 1), tuple(args))

    def splits(self, each: int, blocks: Sequence[int]) -> int:
        """Over how many times as many blocks to divide work, so that every multiprocessor has `each`."""
        return each * self.processors // math.prod(blocks)

    # Memory

    @cached_property
    def zero(self) -> Array:
        """One int64 on the device, which is 0 and stays so."""
        return self.xp.zeros(1, np.int64)

    def scratch(self, name: str, shape: tuple[int, ...], dtype: Any) -> Array:
        """An array with any content. CuPy's own pool keeps the memory."""
        return self.xp.empty(shape, dtype)

    def result(self, shape: Any, dtype: np.dtype, out: Array | None) -> Array:
        """Where a kernel writes: `out` if it is contiguous, else new memory."""
        return out if out is not None and out.flags.c_contiguous else self.xp.empty(shape, dtype)

    def operand(self, x: Array, dtype: np.dtype) -> Array:
        """x as a kernel reads it: contiguous, of this dtype."""
        return self.xp.ascontiguousarray(x, dtype)
