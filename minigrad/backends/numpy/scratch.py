"""Scratch memory of the host: each thread keeps arrays by name, so that the system allocates their pages only once."""

from __future__ import annotations

import math
import threading
import weakref
from typing import Any

import numpy as np

LINE = 64  # bytes of a cache line: arrays that start on one are faster
KEPT = 1 << 24  # bytes of the largest array that is kept


class _Arrays(dict):
    """The arrays that a thread keeps, by name."""


_kept = threading.local()
_everywhere: weakref.WeakValueDictionary = weakref.WeakValueDictionary()  # the arrays of each thread, by id


def scratch(name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An uninitialised array in memory that this thread keeps under a name and reuses for the next one of that name.

    Arrays of more than `KEPT` bytes are not kept.
    """
    size, dtype = math.prod(shape), np.dtype(dtype)
    arrays = _arrays_of_thread()
    found = arrays.get(name)
    if found is None or found.size < size * dtype.itemsize:
        raw = np.empty(size * dtype.itemsize + LINE, np.uint8)
        found = raw[-address(raw) % LINE :]
        if found.nbytes <= KEPT:
            arrays[name] = found
    return found[: size * dtype.itemsize].view(dtype).reshape(shape)


def _arrays_of_thread() -> _Arrays:
    if not hasattr(_kept, "arrays"):
        _kept.arrays = arrays = _Arrays()
        _everywhere[id(arrays)] = arrays
    return _kept.arrays


def scratch_bytes() -> int:
    """Bytes of scratch memory that all threads keep."""
    return sum(array.nbytes for arrays in list(_everywhere.values()) for array in list(arrays.values()))


def release_scratch() -> None:
    """Free the scratch memory of all threads; an array in use is freed after it."""
    for arrays in list(_everywhere.values()):
        arrays.clear()


def address(x: np.ndarray) -> int:
    """The address of an array's first element."""
    return x.__array_interface__["data"][0]
