"""Memory layouts: functions that return an array with other strides, for NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def strided(x: np.ndarray) -> np.ndarray:
    """The same numbers as every other element of a larger array, along each axis."""
    large = np.zeros([2 * n for n in x.shape], x.dtype)
    view = large[(..., *[slice(None, None, 2)] * x.ndim)]
    view[...] = x
    return view


def backwards(x: np.ndarray) -> np.ndarray:
    """The same numbers with negative strides."""
    turn = (..., *[slice(None, None, -1)] * x.ndim)
    return x[turn].copy()[turn]


def read_only(x: np.ndarray) -> np.ndarray:
    """The same numbers in a read-only array."""
    x = x.copy()
    x.flags.writeable = False
    return x


def repeated(x: np.ndarray) -> np.ndarray:
    """The first row repeated, with stride 0 and read-only."""
    return np.broadcast_to(x[:1], x.shape) if x.ndim and len(x) else x


def uniform(x: np.ndarray) -> np.ndarray:
    """The first element repeated, with all strides 0 and read-only."""
    return np.broadcast_to(x[(slice(1),) * x.ndim], x.shape) if x.size else x


KEEPING: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "C": lambda x: x,
    "Fortran": lambda x: np.asarray(x, order="F"),
    "strided": strided,
    "backwards": backwards,
    "read-only": read_only,
}
"""By name, the layouts that keep all numbers."""

LAYOUTS = KEEPING | {"stride 0": repeated, "all strides 0": uniform}
"""All layouts; two of them repeat numbers."""
