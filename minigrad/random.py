"""Randomness as data: keys, and draws that are pure functions of (key, position).

A key is two uint32 words. `normal(key, shape)` is positions 0, 1, 2, … of that key's stream, so the same key gives the
same numbers on any machine, in any batch split (`offset`), on CPU and GPU, and again when a backward pass needs them.
Two uses of one key give the same numbers: derive fresh ones with `split` and `fold_in`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from minigrad.backends import NEUTRAL, store
from minigrad.backends.streams import FOLD_IN, SPLIT
from minigrad.core.arguments import integer, integers
from minigrad.core.arrays import describe, dtype_of, shape_of
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.core.interpreter import primitive
from minigrad.core.rules import constant
from minigrad.core.traits import Cut, traits
from minigrad.ops.comparisons import less

__all__ = ["bernoulli", "bits", "fold_in", "key", "normal", "split", "uniform"]


def key(seed: int) -> np.ndarray:
    """The key of a seed in [0, 2⁶⁴): a uint32 array of shape (2,).

    >>> from minigrad import random
    >>> random.key(1)
    array([1, 0], dtype=uint32)
    """
    seed = integer(seed, "random.key: a seed")
    if not 0 <= seed < 2**64:
        raise OperandError(f"random.key: a seed lies in 0 … 2**64 − 1, got {seed}")
    return np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint32)


def _check_key(key: Any, operation: str) -> Any:
    if shape_of(key) != (2,) or dtype_of(key) != np.uint32:
        raise OperandTypeError(
            f"random.{operation}: a key is uint32[2], from random.key, split or fold_in, not {describe(key)}"
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
        raise OperandError(f"random.fold_in: the number lies in 0 … 2**32 − 1, got {int(number)}")
    start = 4 * (int(number) if isinstance(number, NEUTRAL) else number.astype(np.int64))  # one counter a number
    return _fill(b, (2,), np.uint32, out, lambda new: b.random_bits(key, new, 0, start, FOLD_IN))


traits(split_p, recordable=True)
traits(fold_in_p, recordable=True)


def split(key: Any, n: int = 2) -> Any:
    """n new keys, uint32[n, 2], independent of each other and of this one."""
    n = integer(n, "random.split: the number of keys")
    if n < 0:
        raise OperandError(f"random.split: the number of keys is an integer ≥ 0, got {n!r}")
    return split_p(_check_key(key, "split"), count=n)


def fold_in(key: Any, i: int) -> Any:
    """The key of this one and a number in [0, 2³²): a step, an epoch, a layer."""
    if shape_of(i) != () or dtype_of(i).kind not in "iu":
        raise OperandTypeError(f"random.fold_in: needs one integer, got {describe(i)}")
    return fold_in_p(_check_key(key, "fold_in"), i)


def _fill(b: Any, shape: tuple[int, ...], dtype: Any, out: Any, fill: Any) -> Any:
    """An array that `fill` has filled, in `out` where that is given."""
    y = b.xp.empty(shape, dtype) if out is None or not out.flags.c_contiguous else out
    fill(y.reshape(-1))
    return store(y, out)


def _define_draw(name: str) -> Any:
    @constant
    @primitive(f"random_{name}")
    def draw_p(b, key, start, *, shape, dtype, offset, out=None):
        draw = getattr(b, f"random_{name}")
        return _fill(b, shape, dtype, out, lambda numbers: draw(key, numbers, offset, start))

    return traits(draw_p, cuts=_cuts_of_draw, part=_rows_of_draw, recordable=True)


def _cuts_of_draw(operands: Any, result: tuple[int, ...], params: dict[str, Any]) -> Iterator[Cut]:
    if result:
        yield Cut((None,) * len(operands), 0)


def _rows_of_draw(params: dict[str, Any], shape: tuple[int, ...], rows: slice) -> dict[str, Any]:
    """Rows a…b of a draw begin at position a·(numbers in a row) of its stream."""
    shape = (rows.stop - rows.start, *shape[1:])
    return {**params, "shape": shape, "offset": params["offset"] + rows.start * math.prod(shape[1:])}


bits_p, uniform_p, normal_p = map(_define_draw, ("bits", "uniform", "normal"))
traits(uniform_p, stream="uniform")  # computed where they are used: see streams.cu
traits(normal_p, stream="normal")


def _draw(draw_p: Any, key: Any, shape: Any, dtype: Any, offset: Any, operation: str) -> Any:
    shape = integers(shape, f"random.{operation}: an entry of the shape")
    start = 0
    if not isinstance(offset, NEUTRAL) and shape_of(offset) == () and dtype_of(offset).kind in "iu":
        start, offset = offset, 0  # known only when the numbers are drawn
    offset = integer(offset, f"random.{operation}: offset")
    if min((*shape, offset)) < 0:
        raise OperandError(f"random.{operation}: shape and offset are integers ≥ 0, got {shape} and {offset}")
    params = {"shape": shape, "dtype": np.dtype(dtype), "offset": offset}
    return draw_p(_check_key(key, operation), start, **params)


def bits(key: Any, shape: Any, dtype: Any = np.uint32, offset: int = 0) -> Any:
    """Random uint32 words."""
    if np.dtype(dtype) != np.uint32:
        raise OperandTypeError(f"random.bits: words are uint32, not {np.dtype(dtype)}")
    return _draw(bits_p, key, shape, dtype, offset, "bits")


def uniform(key: Any, shape: Any, dtype: Any = np.float32, offset: int = 0) -> Any:
    """Uniform in [0, 1): 24 random bits for float32, 53 for float64."""
    return _draw(uniform_p, key, shape, _check_float(dtype, "uniform"), offset, "uniform")


def normal(key: Any, shape: Any, dtype: Any = np.float32, offset: int = 0) -> Any:
    """Standard normals; `offset` starts at that position of the stream, so parts of a batch can be drawn apart.

    It may be an array of one integer, so that a captured program begins somewhere else in every run.

    >>> import numpy as np
    >>> from minigrad import random
    >>> k = random.key(0)
    >>> whole = random.normal(k, (4, 3))
    >>> bool(np.array_equal(whole[2:], random.normal(k, (2, 3), offset=6)))
    True
    """
    return _draw(normal_p, key, shape, _check_float(dtype, "normal"), offset, "normal")


def bernoulli(key: Any, shape: Any, dtype: Any = bool, p: Any = 0.5, offset: int = 0) -> Any:
    """1 with probability p (a number, or an array that broadcasts to the shape), else 0, in this dtype."""
    numbers = _draw(uniform_p, key, shape, np.float32, offset, "bernoulli")
    drawn = less(numbers, p)
    if drawn.shape != numbers.shape:
        raise OperandError(f"random.bernoulli: p {describe(p)} does not broadcast to the shape {shape}")
    return drawn if np.dtype(dtype) == bool else drawn.astype(dtype)


def _check_float(dtype: Any, operation: str) -> np.dtype:
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise OperandTypeError(f"random.{operation}: the dtype is float32 or float64, not {dtype}")
    return dtype
