"""Random streams: the same bits as NumPy's (streams.cu). `out` is filled with numbers from offset + start on."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backends.backend import NEUTRAL
from minigrad.backends.cuda.launch import SUFFIX, Array, Kernels, blocks_of
from minigrad.backends.streams import DRAW


def random_bits(kernels: Kernels, key: Array, out: Array, offset: int = 0, start: Any = 0, lane: int = DRAW) -> None:
    """Twin of numpy.streams.random_bits."""
    _draw(kernels, "random_bits", key, out, offset, start, lane)


def random_uniform(kernels: Kernels, key: Array, out: Array, offset: int = 0, start: Any = 0) -> None:
    """Twin of numpy.streams.random_uniform."""
    _draw(kernels, f"random_uniform_{SUFFIX[out.dtype]}", key, out, offset, start, DRAW)


def random_normal(kernels: Kernels, key: Array, out: Array, offset: int = 0, start: Any = 0) -> None:
    """Twin of numpy.streams.random_normal."""
    _draw(kernels, f"random_normal_{SUFFIX[out.dtype]}", key, out, offset, start, DRAW)


def _draw(kernels: Kernels, name: str, key: Array, out: Array, offset: int, start: Any, lane: int) -> None:
    if not out.size:
        return
    if key.ndim == 2:  # a stream for each row
        for row in range(len(key)):
            _draw(kernels, name, key[row], out[row], offset, start[row], lane)
        return
    if isinstance(start, NEUTRAL):
        offset, start = offset + int(start), kernels.zero
    counters = out.size // (16 // out.dtype.itemsize) + 2  # + 2: a draw may begin and end inside a counter
    blocks = max(min(blocks_of(counters), 16 * kernels.processors), blocks_of(-(-counters // 8)))
    key, start = kernels.xp.ascontiguousarray(key), kernels.operand(start, np.int64)
    kernels.launch(name, (blocks,), (key, out, np.uint64(offset), start, np.int64(out.size), np.uint32(lane)))
