"""Launching the kernels of the .cu files here: which one, on how many blocks, with what memory.

Every function here has a twin for NumPy, in `streams` and `columns`, that says what it computes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigrad.backends import NEUTRAL, columns, stored

Array = Any
SUFFIX = {np.dtype(np.float32): "f32", np.dtype(np.float64): "f64"}
FEW = 4  # channels or features: with no more, one thread makes one number
SHORTEST = 64  # numbers of k that are worth a block of their own
THREADS = 256  # of a block that makes no tile
MOST_PARTS = 128  # of a sum without a product, which are added up one by one


class Tile(NamedTuple):
    """What a block of so many threads makes of a product, and how many blocks a multiprocessor runs at once."""

    rows: int
    columns: int
    threads: int
    blocks: int

    def over(self, m: int, n: int) -> tuple[int, int]:
        """How many cover m × n numbers."""
        return -(-m // self.rows), -(-n // self.columns)


TILES = {np.dtype(np.float32): Tile(128, 64, 128, 3), np.dtype(np.float64): Tile(64, 64, 256, 2)}
"""As in products.cu (FLOATS, DOUBLES)."""


FILES = "streams.cu", "products.cu", "convolutions.cu", "sums.cu"  # in this order: some use what others define


def source(*names: str) -> str:
    """CUDA C++ of the files in this folder, one after the other."""
    return "\n".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in names)


class Kernels:
    """The kernels on arrays of the namespace `xp`, which is CuPy or stands in for it.

    `processors` is how many multiprocessors the device has.
    """

    block_bytes = 1 << 28  # of columns, where there is no kernel for a dtype

    def __init__(self, xp: Any, processors: int):
        self.xp, self.processors = xp, processors
        self._functions: dict[str, Any] = {}

    def scratch(self, name: str, shape: tuple[int, ...], dtype: Any) -> Array:
        """Memory for `columns`."""
        return self.xp.empty(shape, dtype)

    @cached_property
    def _module(self) -> Any:
        return self.xp.RawModule(code=source(*FILES), options=("-std=c++17",))

    def _launch(self, name: str, grid: Sequence[int], args: Sequence[Any], threads: int = THREADS) -> None:
        grid = (*grid, 1, 1)[:3]
        if max(grid[1:]) > 65535 or grid[0] >= 2**31:
            raise ValueError(
                f"{name}: arrays are too large for one launch, a grid of {grid} blocks: use smaller batches"
            )
        if name not in self._functions:
            self._functions[name] = self._module.get_function(name)
        self._functions[name](grid, (threads, 1, 1), tuple(args))

    def _tiles(self, name: str, dtype: np.dtype, grid: Sequence[int], args: Sequence[Any]) -> None:
        """A product, of a tile for each block."""
        self._launch(f"{name}_{SUFFIX[dtype]}", grid, args, TILES[dtype].threads)

    def _many(self, name: str, count: int, args: Sequence[Any]) -> None:
        """One thread for each of `count` numbers."""
        self._launch(name, (-(-count // THREADS),), args)

    # Random numbers: `out` is filled with those from position offset + start on

    @cached_property
    def _zero(self) -> Array:
        return self.xp.zeros(1, np.int64)

    def random_bits(self, key: Array, out: Array, offset: int = 0, start: Any = 0, lane: int = 0) -> None:
        """Twin of streams.random_bits."""
        self._draw("random_bits", key, out, offset, start, lane)

    def random_uniform(self, key: Array, out: Array, offset: int = 0, start: Any = 0) -> None:
        """Twin of streams.random_uniform."""
        self._draw(f"random_uniform_{SUFFIX[out.dtype]}", key, out, offset, start, 0)

    def random_normal(self, key: Array, out: Array, offset: int = 0, start: Any = 0) -> None:
        """Twin of streams.random_normal."""
        self._draw(f"random_normal_{SUFFIX[out.dtype]}", key, out, offset, start, 0)

    def _draw(self, name: str, key: Array, out: Array, offset: int, start: Any, lane: int) -> None:
        if not out.size:
            return
        if isinstance(start, NEUTRAL):
            offset, start = offset + int(start), self._zero
        counters = out.size // (16 // out.dtype.itemsize) + 2  # wherever among a counter's numbers it begins
        key, start = self.xp.ascontiguousarray(key), self.xp.ascontiguousarray(start, np.int64)
        sizes = np.uint64(out.size), np.uint32(lane)
        self._many(name, counters, (key, out, np.uint64(offset), start, *sizes))

    # Convolution

    def conv(self, x: Array, w: Array, stride: Any, pads: Any, out: Array | None = None, **epilogue: Any) -> Array:
        """Twin of columns.conv. `epilogue`: see `_ending`."""
        dtype = self.xp.result_type(x, w)
        if dtype not in SUFFIX:
            return columns.conv(self, x, w, stride, pads, out)
        x, w, g = self._given(dtype, x), self._given(dtype, w), _geometry(x.shape, w.shape, stride, pads)
        n, _, _, c, ho, wo, f, kh, kw = g[:9]
        factor = epilogue.get("factor", 1)
        shape = n, ho * factor, wo * factor, f // factor**2
        y = self.xp.empty(shape, dtype) if out is None or not out.flags.c_contiguous else out
        rows, depth, ending = n * ho * wo, kh * kw * c, self._ending(w, **epilogue)
        if y.size and min(c, f) <= FEW:
            self._many(f"conv_few_{SUFFIX[dtype]}", rows * f, (x, w, y, *ending, *_ints(*g)))
        elif y.size:
            tile = TILES[dtype]
            blocks = tile.over(rows, f)
            splits = self._splits(tile, blocks, depth)
            partial = y if splits == 1 else self.xp.empty((splits, rows, f), dtype)
            first = ending if splits == 1 else self._ending(w)
            self._tiles("conv", dtype, (*blocks, splits), (x, w, partial, *first, *_ints(*g)))
            if splits > 1:
                self._add_up(partial, y, (*ending, *_ints(ho, wo, f)))
        return y if out is None or y is out else stored(y, out)

    def conv_input(self, d: Array, w: Array, stride: Any, pads: Any, size: Any, out: Array | None = None) -> Array:
        """Twin of columns.conv_input."""
        dtype = self.xp.result_type(d, w)
        if dtype not in SUFFIX:
            return columns.conv_input(self, d, w, stride, pads, size, out)
        d, w = self._given(dtype, d), self._given(dtype, w)
        shape = len(d), *size, w.shape[2]
        g = (*shape, *d.shape[1:], *w.shape[:2], *stride, pads[0][0], pads[1][0])
        n, h, width, c, _, _, f, kh, kw, sh, sw = g[:11]
        x = self.xp.empty(shape, dtype) if out is None or not out.flags.c_contiguous else out
        if x.size and min(c, f) <= FEW:
            self._many(f"conv_input_few_{SUFFIX[dtype]}", x.size, (d, w, x, *_ints(*g)))
        elif x.size:
            rows = n * -(-h // sh) * -(-width // sw)  # of the first phase, which has the most
            tile = TILES[dtype]
            blocks = tile.over(rows, c)
            splits = self._splits(tile, (*blocks, sh * sw), f * -(-kh // sh) * -(-kw // sw))
            partial = x if splits == 1 else self.xp.empty((splits, *shape), dtype)
            self._tiles("conv_input", dtype, (*blocks, splits * sh * sw), (d, w, partial, *_ints(*g)))
            if splits > 1:
                self._add_up(partial, x, (*self._ending(x), *_ints(1, 1, c)))
        return x if out is None or x is out else stored(x, out)

    def conv_kernel(self, x: Array, d: Array, stride: Any, pads: Any, kernel: Any, out: Array | None = None) -> Array:
        """Twin of columns.conv_kernel."""
        dtype = self.xp.result_type(x, d)
        if dtype not in SUFFIX:
            return columns.conv_kernel(self, x, d, stride, pads, kernel, out)
        x, d = self._given(dtype, x), self._given(dtype, d)
        shape = *kernel, x.shape[3], d.shape[3]
        g = (*x.shape, *d.shape[1:], *kernel, *stride, pads[0][0], pads[1][0])
        n, _, _, c, ho, wo, f = g[:7]
        w = self.xp.empty(shape, dtype) if out is None or not out.flags.c_contiguous else out
        if not x.size or not d.size:
            w[...] = 0
        else:
            lines = math.prod(kernel) * c
            if min(c, f) <= FEW:
                blocks = (-(-lines * f // THREADS),)
                splits = min(n * ho, 65535, max(1, 4 * self.processors // blocks[0]))
                launch = functools.partial(self._launch, f"conv_kernel_few_{SUFFIX[dtype]}")
            else:
                tile = TILES[dtype]
                blocks = tile.over(lines, f)
                splits = self._splits(tile, blocks, n * ho * wo)
                launch = functools.partial(self._tiles, "conv_kernel", dtype)
            partial = w if splits == 1 else self.xp.empty((splits, *shape), dtype)
            launch((*blocks, splits), (x, d, partial, *_ints(*g)))
            if splits > 1:
                self._add_up(partial, w, (*self._ending(w), *_ints(1, 1, f)))
        return w if out is None or w is out else stored(w, out)

    # Products and sums

    def matmul(self, x1: Array, x2: Array, out: Array | None = None, **epilogue: Any) -> Array:
        """xp.matmul without the BLAS library, which CUDA graphs cannot record."""
        dtype = self.xp.result_type(x1, x2)
        if dtype not in SUFFIX or x1.ndim < 2 or x2.ndim < 2:
            return self.xp.matmul(x1, x2, out=out)
        shape = *np.broadcast_shapes(x1.shape[:-2], x2.shape[:-2]), x1.shape[-2], x2.shape[-1]
        y = self.xp.empty(shape, dtype) if out is None or not out.flags.c_contiguous else out
        if len(shape) == 2 and y.size:
            self._matmul(dtype, x1, x2, y, epilogue)
        elif y.size:
            x1, x2 = (self.xp.broadcast_to(x, (*shape[:-2], *x.shape[-2:])) for x in (x1, x2))
            for i in np.ndindex(shape[:-2]):
                self._matmul(dtype, x1[i], x2[i], y[i], epilogue)
        return y if out is None or y is out else stored(y, out)

    def _matmul(self, dtype: np.dtype, x1: Array, x2: Array, y: Array, epilogue: dict[str, Any]) -> None:
        (m, depth), n = x1.shape, x2.shape[1]
        (x1, turned1, stride1), (x2, turned2, stride2) = self._oriented(dtype, x1), self._oriented(dtype, x2)
        which = ("t" if turned1 else "n") + ("t" if turned2 else "n")
        tile = TILES[dtype]
        blocks = tile.over(m, n)
        splits, ending = self._splits(tile, blocks, depth), self._ending(x1, **epilogue)
        partial = y if splits == 1 else self.xp.empty((splits, m, n), dtype)
        first = ending[:3] if splits == 1 else self._ending(x1)[:3]
        sizes = np.int32(m), np.int32(n), np.int32(depth), np.int64(stride1), np.int64(stride2)
        self._tiles(f"matmul_{which}", dtype, (*blocks, splits), (x1, x2, partial, *first, *sizes))
        if splits > 1:
            self._add_up(partial, y, (*ending, *_ints(1, 1, n)))

    def _oriented(self, dtype: np.dtype, x: Array) -> tuple[Array, bool, int]:
        """A matrix of which one axis is contiguous, whether that is the first, and the step along the other."""
        item = dtype.itemsize
        steps = x.strides if x.dtype == dtype else (0, 0)
        for turned in (False, True):
            contiguous, other = (0, 1) if turned else (1, 0)
            if x.shape[contiguous] == 1 or steps[contiguous] == item:
                if steps[other] % item == 0 and steps[other] >= 0 and x.dtype == dtype:
                    return x, turned, steps[other] // item
        return self._given(dtype, x), False, x.shape[1]

    def column_sums(self, x: Array, out: Array | None = None) -> Array:
        """Twin of columns.column_sums."""
        if x.dtype not in SUFFIX:
            return self.xp.sum(x, axis=0, out=out)
        x = self._given(x.dtype, x)
        rows, count = x.shape
        y = self.xp.empty(count, x.dtype) if out is None or not out.flags.c_contiguous else out
        blocks = -(-count // 32)
        splits = max(1, min(MOST_PARTS, rows // 64, 4 * self.processors // max(1, blocks)))
        partial = y if splits == 1 else self.xp.empty((splits, count), x.dtype)
        if x.size:
            sizes = np.int64(rows), np.int32(count)
            self._launch(f"sum_columns_{SUFFIX[x.dtype]}", (blocks, splits), (x, partial, *sizes))
            if splits > 1:
                self._add_up(partial, y, (*self._ending(y), *_ints(1, 1, count)))
        else:
            y[...] = 0
        return y if out is None or y is out else stored(y, out)

    def sum(self, x: Array, axes: tuple[int, ...], out: Array | None = None) -> Array:
        """xp.sum over axes; over the last ones by a kernel that adds in the same order every time."""
        kept = x.ndim - len(axes)
        if x.dtype not in SUFFIX or not x.size or not axes or set(axes) != set(range(kept, x.ndim)):
            return self.xp.sum(x, axis=axes, out=out)
        x = self._given(x.dtype, x)
        y = self.xp.empty(x.shape[:kept], x.dtype) if out is None or not out.flags.c_contiguous else out
        rows, columns = math.prod(x.shape[:kept]), math.prod(x.shape[kept:])
        splits = max(1, min(MOST_PARTS, columns // 1024, 2 * self.processors // rows))
        partial = y if splits == 1 else self.xp.empty((splits, rows), x.dtype)
        self._launch(f"sum_rows_{SUFFIX[x.dtype]}", (rows, splits), (x, partial, np.int64(columns)))
        if splits > 1:
            self._add_up(partial, y, (*self._ending(y), *_ints(1, 1, rows)))
        return y if out is None or y is out else stored(y, out)

    def _add_up(self, partial: Array, y: Array, ending: Sequence[Any]) -> None:
        count = np.int32(len(partial))
        self._many(f"add_up_{SUFFIX[y.dtype]}", y.size, (partial, count, np.int64(y.size), y, *ending))

    # How many blocks

    def _splits(self, tile: Tile, blocks: Sequence[int], depth: int) -> int:
        """Over how many blocks to split a sum, so that every multiprocessor is busy."""
        return max(1, min(tile.blocks * self.processors // math.prod(blocks), depth // SHORTEST))

    # Arguments

    def _given(self, dtype: np.dtype, x: Array) -> Array:
        return self.xp.ascontiguousarray(x, dtype)

    def _ending(self, anything: Array, bias: Array | None = None, relu: bool = False, factor: int = 1) -> tuple:
        """What happens to a sum before it is stored: + bias, relu, depth-to-space. `anything` stands for no bias."""
        given = self.xp.ascontiguousarray(bias) if bias is not None else anything
        return given, np.int32(bias is not None), np.int32(relu), np.int32(factor)


def _geometry(x: Sequence[int], w: Sequence[int], stride: Any, pads: Any) -> tuple[int, ...]:
    """The numbers of `struct Geometry` for images and kernels of these shapes."""
    out = columns.out_size(x[1:3], w[:2], stride, pads)
    if max(x[0] * math.prod(x[1:3]), x[0] * math.prod(out)) >= 2**31:
        raise ValueError(f"images {tuple(x)} have 2**31 pixels or more: use smaller batches")
    return (*x, *out, w[3], *w[:2], *stride, pads[0][0], pads[1][0])


def _ints(*values: int) -> tuple[np.int32, ...]:
    return tuple(map(np.int32, values))
