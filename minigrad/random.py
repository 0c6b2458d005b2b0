"""Randomness as data: keys, and draws that are pure functions of (key, position).

A key is two uint32 words. `normal(key, shape)` returns positions 0, 1, 2, … of the key's stream, so a key gives the
same numbers on any machine, for any split of a batch (`offset`), on CPU and GPU, and when a backward pass draws them
again. Using a key twice gives the same numbers twice: derive new keys with `split` and `fold_in`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from minigrad.backends import NEUTRAL, store
from minigrad.backends.dtypes import is_bfloat16
from minigrad.backends.streams import DRAW, FOLD_IN, SPLIT
from minigrad.core.arguments import dtype_from, integer
from minigrad.core.arguments import integers as _integers  # not a draw, as numpy.random's is
from minigrad.core.arrays import describe, dtype_of, shape_of
from minigrad.core.batching import batched, repeat
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.core.interpreter import primitive
from minigrad.core.rules import constant
from minigrad.core.traits import Cut, traits
from minigrad.core.vectors import reshape_p
from minigrad.ops.comparisons import floor, less
from minigrad.ops.shape import astype

__all__ = ["bernoulli", "bits", "fold_in", "key", "normal", "split", "uniform"]


def key(seed: int) -> np.ndarray:
    """The key of a seed in [0, 2⁶⁴): a uint32 array of shape (2,).

    >>> from minigrad import random
    >>> random.key(1)
    array([1, 0], dtype=uint32)
    """
    seed = integer(seed, "random.key: a seed")
    if not 0 <= seed < 2**64:
        raise OperandError(f"random.key: a seed must be in 0 … 2**64 − 1, got {seed}")
    return np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint32)


def _check_key(key: Any, operation: str) -> Any:
    if shape_of(key) != (2,) or dtype_of(key) != np.uint32:
        raise OperandTypeError(
            f"random.{operation}: a key must be uint32[2], from random.key, split or fold_in, got {describe(key)}"
        )
    return key


@constant
@primitive("random_split")
def split_p(b, key, *, count, out=None):
    return _fill(b, (count, 2), np.uint32, out, lambda keys: b.random_bits(key, keys, lane=SPLIT))


@constant
@primitive("random_fold_in")
def fold_in_p(b, key, number, out=None):
    if isinstance(number, NEUTRAL) and not 0 <= int(number) < 2**32:
        raise OperandError(f"random.fold_in: the number must be in 0 … 2**32 − 1, got {int(number)}")
    number = int(number) if isinstance(number, NEUTRAL) else number.astype(np.int64)
    start = 4 * number  # one counter (four words) per number
    return _fill(b, (2,), np.uint32, out, lambda new: b.random_bits(key, new, 0, start, FOLD_IN))


traits(split_p, recordable=True)
traits(fold_in_p, recordable=True)


@constant
@primitive("random_rows")
def rows_p(b, keys, starts, *, draw, shape, dtype, offset, lane, out=None):
    """For each key, what `draw` (bits, uniform or normal) gives from its start on: (keys, *shape)."""
    rows = b.xp.empty((len(keys), math.prod(shape)), dtype)
    lane = {"lane": lane} if draw == "bits" else {}
    getattr(b, f"random_{draw}")(keys, rows, offset, b.xp.asarray(starts, np.int64), **lane)
    return store(rows.reshape(len(keys), *shape), out)


def _draw_rows(size: int, args: Any, is_batched: Any, **params: Any) -> Any:
    """A draw with a key or a start for each example. They may themselves lack the axes of an outer vmap."""
    keys, starts = repeat(size, args, is_batched)
    return rows_p(keys, starts, **params)


@partial(batched, rows_p)
def _batch_rows(size: int, args: Any, is_batched: Any, **params: Any) -> Any:
    keys, starts = repeat(size, args, is_batched)
    count = shape_of(keys)[1]
    rows = rows_p(reshape_p(keys, shape=(size * count, 2)), reshape_p(starts, shape=(size * count,)), **params)
    return reshape_p(rows, shape=(size, count, *shape_of(rows)[1:]))


_KEYS = {"draw": "bits", "dtype": np.dtype(np.uint32), "offset": 0}


@partial(batched, split_p)
def _batch_split(size: int, args: Any, is_batched: Any, *, count: int) -> Any:
    return _draw_rows(size, (args[0], 0), (True, False), shape=(count, 2), lane=SPLIT, **_KEYS)


@partial(batched, fold_in_p)
def _batch_fold_in(size: int, args: Any, is_batched: Any) -> Any:
    keys, numbers = args
    return _draw_rows(size, (keys, 4 * astype(numbers, np.int64)), is_batched, shape=(2,), lane=FOLD_IN, **_KEYS)


def split(key: Any, n: int = 2) -> Any:
    """n new keys, uint32[n, 2], independent of each other and of `key`."""
    n = integer(n, "random.split: the number of keys")
    if n < 0:
        raise OperandError(f"random.split: the number of keys must be an integer ≥ 0, got {n!r}")
    return split_p(_check_key(key, "split"), count=n)


def fold_in(key: Any, i: int) -> Any:
    """A new key derived from `key` and an integer in [0, 2³²), such as a step, an epoch or a layer."""
    if shape_of(i) != () or dtype_of(i).kind not in "iu":
        raise OperandTypeError(f"random.fold_in: the number must be one integer, got {describe(i)}")
    return fold_in_p(_check_key(key, "fold_in"), i)


def _fill(b: Any, shape: tuple[int, ...], dtype: Any, out: Any, write: Any) -> Any:
    """An array (`out`, if given) whose elements `write` has written."""
    y = b.xp.empty(shape, dtype) if out is None or not out.flags.c_contiguous else out
    write(y.reshape(-1))
    return store(y, out)


def _define_draw(name: str) -> Any:
    @constant
    @primitive(f"random_{name}")
    def draw_p(b, key, start, *, shape, dtype, offset, out=None):
        draw = getattr(b, f"random_{name}")
        return _fill(b, shape, dtype, out, lambda numbers: draw(key, numbers, offset, start))

    batched(draw_p, partial(_draw_rows, draw=name, lane=DRAW))
    return traits(draw_p, cuts=_cuts_of_draw, part=_rows_of_draw, recordable=True)


def _cuts_of_draw(operands: Any, result: tuple[int, ...], params: dict[str, Any]) -> Iterator[Cut]:
    if result:
        yield Cut((None,) * len(operands), 0)


def _rows_of_draw(params: dict[str, Any], shape: tuple[int, ...], rows: slice) -> dict[str, Any]:
    """The parameters for some rows: row a begins at position a·(numbers per row) of the stream."""
    shape = (rows.stop - rows.start, *shape[1:])
    return {**params, "shape": shape, "offset": params["offset"] + rows.start * math.prod(shape[1:])}


bits_p, uniform_p, normal_p = map(_define_draw, ("bits", "uniform", "normal"))
traits(uniform_p, stream="uniform")  # drawn inside fused kernels, by functions of streams.cu
traits(normal_p, stream="normal")


def _draw(draw_p: Any, key: Any, shape: Any, dtype: Any, offset: Any, operation: str) -> Any:
    shape = _integers(shape, f"random.{operation}: an entry of the shape")
    start = 0
    if not isinstance(offset, NEUTRAL) and shape_of(offset) == () and dtype_of(offset).kind in "iu":
        start, offset = offset, 0  # its value is known only when the numbers are drawn
    offset = integer(offset, f"random.{operation}: offset")
    if min((*shape, offset)) < 0:
        raise OperandError(f"random.{operation}: shape and offset must be integers ≥ 0, got {shape} and {offset}")
    params = {"shape": shape, "dtype": np.dtype(dtype), "offset": offset}
    return draw_p(_check_key(key, operation), start, **params)


def bits(key: Any, shape: Any, dtype: Any = np.uint32, offset: int = 0) -> Any:
    """Uniform random uint32 words."""
    if np.dtype(dtype) != np.uint32:
        raise OperandTypeError(f"random.bits: the dtype must be uint32, got {np.dtype(dtype)}")
    return _draw(bits_p, key, shape, dtype, offset, "bits")


def uniform(key: Any, shape: Any, dtype: Any = np.float32, offset: int = 0) -> Any:
    """Uniform numbers in [0, 1), with 24 random bits for float32, of which bfloat16 has the first 8, and 53 for
    float64.
    """
    dtype = _check_float(dtype, "uniform")
    if is_bfloat16(dtype):
        return astype(floor(uniform(key, shape, np.float32, offset) * 256) * (1 / 256), dtype)
    return _draw(uniform_p, key, shape, dtype, offset, "uniform")


def normal(key: Any, shape: Any, dtype: Any = np.float32, offset: int = 0) -> Any:
    """Standard normal numbers from position `offset` of the stream on, so that a batch can be drawn in parts.

    `offset` may be a zero-dimensional integer array, so that a captured program can start elsewhere in every run.
    bfloat16 numbers are the float32 numbers, rounded.

    >>> import numpy as np
    >>> from minigrad import random
    >>> k = random.key(0)
    >>> whole = random.normal(k, (4, 3))
    >>> bool(np.array_equal(whole[2:], random.normal(k, (2, 3), offset=6)))
    True
    """
    dtype = _check_float(dtype, "normal")
    if is_bfloat16(dtype):
        return astype(normal(key, shape, np.float32, offset), dtype)
    return _draw(normal_p, key, shape, dtype, offset, "normal")


def bernoulli(key: Any, shape: Any, dtype: Any = bool, p: Any = 0.5, offset: int = 0) -> Any:
    """1 with probability p (a number, or an array that broadcasts to the shape), else 0."""
    numbers = _draw(uniform_p, key, shape, np.float32, offset, "bernoulli")
    drawn = less(numbers, p)
    if drawn.shape != numbers.shape:
        raise OperandError(f"random.bernoulli: p {describe(p)} does not broadcast to the shape {shape}")
    dtype = dtype_from(dtype, "random.bernoulli")
    return drawn if dtype.kind == "b" else drawn.astype(dtype)


def _check_float(dtype: Any, operation: str) -> np.dtype:
    dtype = dtype_from(dtype, f"random.{operation}")
    if dtype not in (np.float32, np.float64) and not is_bfloat16(dtype):
        raise OperandTypeError(f"random.{operation}: the dtype must be float32, float64 or bfloat16, got {dtype}")
    return dtype
