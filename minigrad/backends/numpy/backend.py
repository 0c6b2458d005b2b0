"""NumPy: the host."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.backends.backend import Backend, stored
from minigrad.backends.memory import explain
from minigrad.backends.numpy import convolution, streams
from minigrad.backends.numpy.elementwise import erf


def _where(condition: Any, x1: Any, x2: Any, out: Any = None) -> Any:
    """np.where on the bits of numbers: x₂ ^ ((x₁ ^ x₂) & mask).

    np.where branches on every element, and a branch that follows a random mask (a ReLU's, say) is mispredicted every
    other time; this is about ten times as fast on large arrays and the same to the bit.
    """
    dtype = np.result_type(x1, x2)
    mask = np.asarray(condition)
    if mask.dtype != bool or dtype not in (np.float32, np.float64) or mask.size < 4096:
        return stored(np.where(condition, x1, x2), out)
    word = np.dtype(f"i{dtype.itemsize}")
    first, second = (np.asarray(x, dtype).view(word) for x in (x1, x2))
    bits = np.negative(mask.view(np.int8), dtype=word, out=_scratch("where", mask.shape, word))  # all ones where true
    shape = np.broadcast_shapes(mask.shape, first.shape, second.shape)
    fits = out is not None and out.shape == shape and out.dtype == dtype
    y = out if fits else np.empty(shape, dtype)
    if np.ndim(x2) == 0 and not second:
        np.bitwise_and(bits, first, out=y.view(word))
    else:
        np.bitwise_xor(np.bitwise_and(bits, np.bitwise_xor(first, second)), second, out=y.view(word))
    return stored(y, None if fits else out)


def _add_at(target: np.ndarray, index: tuple, values: np.ndarray) -> None:
    if target.dtype == np.float16:
        wide = target.astype(np.float32)
        np.add.at(wide, index, values)
        target[...] = wide
    else:
        np.add.at(target, index, values)


def _sum(x: Any, axes: tuple[int, ...], out: Any = None) -> Any:
    """float16 is added up in float32, as CuPy does: in its own, 2048 + 1 is 2048."""
    if getattr(x, "dtype", None) == np.float16:
        return stored(np.sum(x, axis=axes, dtype=np.float32).astype(np.float16), out)
    return np.sum(x, axis=axes, out=out)


def _freeze(x: Any) -> Any:
    """A read-only view: it shows changes made through x but allows none."""
    if not isinstance(x, np.ndarray):
        return x
    view = x.view()
    view.flags.writeable = False
    return view


def _address(x: np.ndarray) -> int:
    return x.__array_interface__["data"][0]


_LINE = 64  # bytes: a cache line, from whose beginning memory is faster
_kept = threading.local()
_everywhere: weakref.WeakValueDictionary = weakref.WeakValueDictionary()  # what all threads keep, by id


def _scratch(name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Memory of this thread under a name, used over and over: pages are fetched from the system once."""
    size, dtype = math.prod(shape), np.dtype(dtype)
    found = getattr(_kept, name, None)
    if found is None or found.size < size * dtype.itemsize:
        raw = np.empty(size * dtype.itemsize + _LINE, np.uint8)
        found = raw[-_address(raw) % _LINE :]
        setattr(_kept, name, found)
        _everywhere[id(found)] = found
    return found[: size * dtype.itemsize].view(dtype).reshape(shape)


def _held() -> int:
    return sum(array.nbytes for array in list(_everywhere.values()))


_WORDS = 4096
_WEIGHTS = np.random.Generator(np.random.PCG64(0)).integers(1, 2**63, _WORDS, dtype=np.uint64) * 2 + 1


def _fingerprint(x: np.ndarray) -> int:
    """Σᵢⱼ w[i,j]·a[j]·b[i] mod 2⁶⁴ of the 32-bit words w of an array, in blocks, with fixed random odd a and b.

    One changed word always shows: its difference, times odd numbers, is not 0 mod 2⁶⁴. Several changes cancel with a
    chance of about 2⁻³³ or less, also when only the top bits of words change (signs): words fill half of the 64 bits.
    """
    once = tuple(slice(0, 1) if stride == 0 else slice(None) for stride in x.strides)  # a broadcast axis, once
    x = x[once].T if x.flags.f_contiguous else np.ascontiguousarray(x[once])
    raw = x.reshape(-1).view(np.uint8)
    words = raw[: len(raw) // 4 * 4].view(np.uint32)
    blocks = len(words) // _WORDS
    sums = np.einsum("ij,j->i", words[: blocks * _WORDS].reshape(blocks, _WORDS), _WEIGHTS)
    tail = words[blocks * _WORDS :]
    total = int(tail @ _WEIGHTS[: len(tail)]) + 3 * int.from_bytes(raw[len(words) * 4 :].tobytes(), "little")
    for i in range(0, blocks, _WORDS):
        part = sums[i : i + _WORDS]
        total = total * 0x9E3779B97F4A7C15 + int(part @ _WEIGHTS[: len(part)])
    return total & (2**64 - 1)


def _position(offset: int, start: Any) -> int:
    if offset + int(start) < 0:
        raise ValueError(f"a draw cannot begin at position {offset + int(start)} of its stream: the first is 0")
    return offset + int(start)


def _random_bits(key: np.ndarray, out: np.ndarray, offset: int = 0, start: Any = 0, lane: int = 0) -> None:
    streams.random_bits(np, key, out.size, _position(offset, start), lane=lane, out=out)


def _random(draw: Callable) -> Callable:
    def fill(key: np.ndarray, out: np.ndarray, offset: int = 0, start: Any = 0) -> None:
        draw(np, key, out.size, out.dtype, _position(offset, start), out=out)

    return fill


BACKEND = Backend(
    name="numpy",
    device="cpu",
    xp=np,
    array_type=np.ndarray,
    block_bytes=1 << 20,
    threaded=True,
    asynchronous=False,
    where=_where,
    erf=erf,
    add_at=_add_at,
    random_bits=_random_bits,
    random_uniform=_random(streams.random_uniform),
    random_normal=_random(streams.random_normal),
    matmul=np.matmul,
    sum=_sum,
    column_sums=lambda x, out=None: convolution.column_sums(BACKEND, x, out),
    conv=lambda *args: convolution.conv(BACKEND, *args),
    conv_input=lambda *args: convolution.conv_input(BACKEND, *args),
    conv_kernel=lambda *args: convolution.conv_kernel(BACKEND, *args),
    from_host=np.asarray,
    to_host=np.asarray,
    address=_address,
    freeze=_freeze,
    scratch=_scratch,
    held=_held,
    fingerprint=_fingerprint,
    explain=explain,
)
