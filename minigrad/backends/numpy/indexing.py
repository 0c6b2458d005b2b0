"""Indexed additions in NumPy."""

from __future__ import annotations

import numpy as np


def add_at(target: np.ndarray, index: tuple, values: np.ndarray) -> None:
    """target[index] += values, where repeated indices accumulate; float16 in float32, since its 2048 + 1 is 2048."""
    if target.dtype == np.float16:
        wide = target.astype(np.float32)
        np.add.at(wide, index, values)
        target[...] = wide
    else:
        np.add.at(target, index, values)
