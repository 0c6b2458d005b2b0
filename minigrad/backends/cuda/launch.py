"""Launching the kernels of the .cu files here: which one, on how many blocks, with what memory.

Every function here has a twin for NumPy, in `streams` and `convolution`, that says what it computes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigrad.backends.backend import NEUTRAL, stored
from minigrad.backends.numpy import convolution

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


FILES = "streams.cu", "epilogue.cu", "sums.cu", "products.cu", "convolution.cu"  # each uses what those before it define


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
        """Memory for `convolution`."""
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
        blocks = max(min(-(-counters // THREADS), 16 * self.processors), -(-counters // (8 * THREADS)))
        key, start = self.xp.ascontiguousarray(key), self.xp.ascontiguousarray(start, np.int64)
        self._launch(name, (blocks,), (key, out, np.uint64(offset), start, np.int64(out.size), np.uint32(lane)))

    # Convolution

    def conv(self, x: Array, w: Array, stride: Any, pads: Any, out: Array | None = None, **epilogue: Any) -> Array:
        """Twin of convolution.conv. `epilogue`: see `_ending`."""
        dtype = self.xp.result_type(x, w)
        if dtype not in SUFFIX:
            return convolution.conv(self, x, w, stride, pads, out)
        x, w, g = self._given(dtype, x), self._given(dtype, w), _geometry(x.shape, w.shape, stride, pads)
        n, _, _, c, ho, wo, f, kh, kw = g[:9]
        factor = epilogue.get("factor", 1)
        shape = n, ho * factor, wo * factor, f // factor**2
        y = self._room(shape, dtype, out)
        rows, depth, ending = n * ho * wo, kh * kw * c, self._ending(w, **epilogue)
        if y.size and min(c, f) <= FEW:
            self._many(f"conv_few_{SUFFIX[dtype]}", rows * f, (x, w, y, *ending, *_ints(*g)))
        elif y.size:
            tile = TILES[dtype]
            blocks = tile.over(rows, f)
            splits = self._splits(tile, blocks, depth)
            self._in_parts(
                lambda to, ending: self._tiles("conv", dtype, (*blocks, splits), (x, w, to, *ending, *_ints(*g))),
                splits,
                y,
                ending,
                (ho, wo, f),
            )
        return stored(y, out)

    def conv_input(self, d: Array, w: Array, stride: Any, pads: Any, size: Any, out: Array | None = None) -> Array:
        """Twin of convolution.conv_input."""
        dtype = self.xp.result_type(d, w)
        if dtype not in SUFFIX:
            return convolution.conv_input(self, d, w, stride, pads, size, out)
        d, w = self._given(dtype, d), self._given(dtype, w)
        shape = len(d), *size, w.shape[2]
        g = (*shape, *d.shape[1:], *w.shape[:2], *stride, pads[0][0], pads[1][0])
        n, h, width, c, _, _, f, kh, kw, sh, sw = g[:11]
        x = self._room(shape, dtype, out)
        if x.size and min(c, f) <= FEW:
            self._many(f"conv_input_few_{SUFFIX[dtype]}", x.size, (d, w, x, *_ints(*g)))
        elif x.size:
            rows = n * -(-h // sh) * -(-width // sw)  # of the first phase, which has the most
            tile = TILES[dtype]
            blocks = tile.over(rows, c)
            splits = self._splits(tile, (*blocks, sh * sw), f * -(-kh // sh) * -(-kw // sw))
            grid = *blocks, splits * sh * sw
            self._in_parts(
                lambda to, _: self._tiles("conv_input", dtype, grid, (d, w, to, *_ints(*g))),
                splits,
                x,
                self._ending(x),
                (1, 1, c),
            )
        return stored(x, out)

    def conv_kernel(self, x: Array, d: Array, stride: Any, pads: Any, kernel: Any, out: Array | None = None) -> Array:
        """Twin of convolution.conv_kernel."""
        dtype = self.xp.result_type(x, d)
        if dtype not in SUFFIX:
            return convolution.conv_kernel(self, x, d, stride, pads, kernel, out)
        x, d = self._given(dtype, x), self._given(dtype, d)
        shape = *kernel, x.shape[3], d.shape[3]
        g = (*x.shape, *d.shape[1:], *kernel, *stride, pads[0][0], pads[1][0])
        n, _, _, c, ho, wo, f = g[:7]
        w = self._room(shape, dtype, out)
        if not x.size or not d.size:
            w[...] = 0
        else:
            lines = math.prod(kernel) * c
            if min(c, f) <= FEW:
                blocks = (-(-lines * f // THREADS),)
                splits = min(n * ho, 65535, max(1, 4 * self.processors // blocks[0]))
                made = functools.partial(self._launch, f"conv_kernel_few_{SUFFIX[dtype]}")
            else:
                tile = TILES[dtype]
                blocks = tile.over(lines, f)
                splits = self._splits(tile, blocks, n * ho * wo)
                made = functools.partial(self._tiles, "conv_kernel", dtype)
            self._in_parts(
                lambda to, _: made((*blocks, splits), (x, d, to, *_ints(*g))), splits, w, self._ending(w), (1, 1, f)
            )
        return stored(w, out)

    # Products and sums

    def matmul(self, x1: Array, x2: Array, out: Array | None = None, **epilogue: Any) -> Array:
        """xp.matmul without the BLAS library, which CUDA graphs cannot record."""
        dtype = self.xp.result_type(x1, x2)
        if dtype not in SUFFIX or x1.ndim < 2 or x2.ndim < 2:
            return self.xp.matmul(x1, x2, out=out)
        shape = *np.broadcast_shapes(x1.shape[:-2], x2.shape[:-2]), x1.shape[-2], x2.shape[-1]
        y = self._room(shape, dtype, out)
        if len(shape) == 2 and y.size:
            self._matmul(dtype, x1, x2, y, epilogue)
        elif y.size:
            x1, x2 = (self.xp.broadcast_to(x, (*shape[:-2], *x.shape[-2:])) for x in (x1, x2))
            for i in np.ndindex(shape[:-2]):
                self._matmul(dtype, x1[i], x2[i], y[i], epilogue)
        return stored(y, out)

    def _matmul(self, dtype: np.dtype, x1: Array, x2: Array, y: Array, epilogue: dict[str, Any]) -> None:
        (m, depth), n = x1.shape, x2.shape[1]
        (x1, turned1, stride1), (x2, turned2, stride2) = self._oriented(dtype, x1), self._oriented(dtype, x2)
        which = ("t" if turned1 else "n") + ("t" if turned2 else "n")
        tile = TILES[dtype]
        blocks = tile.over(m, n)
        grid = *blocks, (splits := self._splits(tile, blocks, depth))
        sizes = *_ints(m, n, depth), np.int64(stride1), np.int64(stride2)
        self._in_parts(
            lambda to, ending: self._tiles(f"matmul_{which}", dtype, grid, (x1, x2, to, *ending[:3], *sizes)),
            splits,
            y,
            self._ending(x1, **epilogue),
            (1, 1, n),
        )

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
        """Twin of convolution.column_sums."""
        if x.dtype not in SUFFIX:
            return self.xp.sum(x, axis=0, out=out)
        x = self._given(x.dtype, x)
        rows, count = x.shape
        y = self._room(count, x.dtype, out)
        splits = max(1, min(MOST_PARTS, rows // 64, 4 * self.processors // max(1, -(-count // 32))))
        if x.size:
            ending, last = self._ending(y), (1, 1, count)
            self._in_parts(lambda to, ending: self._add_up(x, splits, to, ending, last), splits, y, ending, last)
        else:
            y[...] = 0
        return stored(y, out)

    def sum(self, x: Array, axes: tuple[int, ...], out: Array | None = None) -> Array:
        """xp.sum over axes; over the last ones by a kernel that adds in the same order every time."""
        kept = x.ndim - len(axes)
        if x.dtype == np.float16:  # where 2048 + 1 is 2048
            return stored(self.xp.sum(x, axis=axes, dtype=np.float32).astype(np.float16), out)
        if x.dtype not in SUFFIX or not x.size or not axes or set(axes) != set(range(kept, x.ndim)):
            return self.xp.sum(x, axis=axes, out=out)
        x = self._given(x.dtype, x)
        y = self._room(x.shape[:kept], x.dtype, out)
        rows, columns = math.prod(x.shape[:kept]), math.prod(x.shape[kept:])
        splits = max(1, min(MOST_PARTS, columns // 1024, 2 * self.processors // rows))
        name = f"sum_rows_{SUFFIX[x.dtype]}"
        self._in_parts(
            lambda to, _: self._launch(name, (rows, splits), (x, to, np.int64(columns))),
            splits,
            y,
            self._ending(y),
            (1, 1, rows),
        )
        return stored(y, out)

    def _in_parts(
        self, launch: Callable[[Array, tuple], None], splits: int, y: Array, ending: tuple, last: Sequence[int]
    ) -> None:
        """Let `launch(memory, ending)` write y, or so many partial sums of it, which are then added up.

        `last` are the h, w and f by which y's numbers are told apart (see epilogue.cu).
        """
        if splits == 1:
            launch(y, ending)
            return
        partial = self.xp.empty((splits, y.size), y.dtype)
        launch(partial, self._ending(partial))
        self._add_up(partial, 1, y, ending, last)

    def _add_up(self, x: Array, parts: int, y: Array, ending: tuple, last: Sequence[int]) -> None:
        """The column sums of so many parts of a matrix: several threads for each column where it is long."""
        rows, columns = x.shape
        each = 8 if rows >= 16 * parts else 1
        sizes = np.int64(rows), np.int64(columns), np.int32(each)
        grid = -(-columns * each // THREADS), parts
        self._launch(f"sum_columns_{SUFFIX[x.dtype]}", grid, (x, *sizes, y, *ending, *_ints(*last)))

    # How many blocks

    def _splits(self, tile: Tile, blocks: Sequence[int], depth: int) -> int:
        """Over how many blocks to split a sum, so that every multiprocessor is busy."""
        return max(1, min(tile.blocks * self.processors // math.prod(blocks), depth // SHORTEST))

    # Arguments

    def _room(self, shape: Any, dtype: np.dtype, out: Array | None) -> Array:
        """Where a kernel writes: `out` if it lies in one piece, else new memory."""
        return out if out is not None and out.flags.c_contiguous else self.xp.empty(shape, dtype)

    def _given(self, dtype: np.dtype, x: Array) -> Array:
        return self.xp.ascontiguousarray(x, dtype)

    def _ending(self, anything: Array, bias: Array | None = None, relu: bool = False, factor: int = 1) -> tuple:
        """What happens to a sum before it is stored: + bias, relu, depth-to-space. `anything` stands for no bias."""
        given = self.xp.ascontiguousarray(bias) if bias is not None else anything
        return given, np.int32(bias is not None), np.int32(relu), np.int32(factor)


def _geometry(x: Sequence[int], w: Sequence[int], stride: Any, pads: Any) -> tuple[int, ...]:
    """The numbers of `struct Geometry` for images and kernels of these shapes."""
    out = convolution.out_size(x[1:3], w[:2], stride, pads)
    if max(x[0] * math.prod(x[1:3]), x[0] * math.prod(out)) >= 2**31:
        raise ValueError(f"images {tuple(x)} have 2**31 pixels or more: use smaller batches")
    return (*x, *out, w[3], *w[:2], *stride, pads[0][0], pads[1][0])


def _ints(*values: int) -> tuple[np.int32, ...]:
    return tuple(map(np.int32, values))
