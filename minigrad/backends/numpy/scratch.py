"""Scratch memory of the host: each thread keeps arrays by name, so that the system allocates their pages only once."""

from __future__ import annotations

import math
import threading
import weakref
from typing import Any

import numpy as np

LINE = 64  # bytes of a cache line: arrays that start on one are faster
_kept = threading.local()
_everywhere: weakref.WeakValueDictionary = weakref.WeakValueDictionary()  # scratch of all threads, by id


def scratch(name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An uninitialised array in memory that this thread keeps under a name and reuses for the next one of that name."""
    size, dtype = math.prod(shape), np.dtype(dtype)
    found = getattr(_kept, name, None)
    if found is None or found.size < size * dtype.itemsize:
        raw = np.empty(size * dtype.itemsize + LINE, np.uint8)
        found = raw[-address(raw) % LINE :]
        setattr(_kept, name, found)
        _everywhere[id(found)] = found
    return found[: size * dtype.itemsize].view(dtype).reshape(shape)


def scratch_bytes() -> int:
    """Bytes of scratch memory, of all threads."""
    return sum(array.nbytes for array in list(_everywhere.values()))


def address(x: np.ndarray) -> int:
    """The address of an array's first element."""
    return x.__array_interface__["data"][0]
