"""Scratch memory of the host: kept by each thread under names, so that the system hands out its pages once."""

from __future__ import annotations

import math
import threading
import weakref
from typing import Any

import numpy as np

LINE = 64  # bytes of a cache line: memory is faster from its beginning on
_kept = threading.local()
_everywhere: weakref.WeakValueDictionary = weakref.WeakValueDictionary()  # what all threads keep, by id


def scratch(name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array with any content, in memory that this thread keeps under a name and gets again when it asks again."""
    size, dtype = math.prod(shape), np.dtype(dtype)
    found = getattr(_kept, name, None)
    if found is None or found.size < size * dtype.itemsize:
        raw = np.empty(size * dtype.itemsize + LINE, np.uint8)
        found = raw[-address(raw) % LINE :]
        setattr(_kept, name, found)
        _everywhere[id(found)] = found
    return found[: size * dtype.itemsize].view(dtype).reshape(shape)


def scratch_bytes() -> int:
    """Bytes that the scratch memory of all threads takes."""
    return sum(array.nbytes for array in list(_everywhere.values()))


def address(x: np.ndarray) -> int:
    """Where the first element of an array is."""
    return x.__array_interface__["data"][0]
