"""Indexed additions in CuPy."""

from __future__ import annotations

from typing import Any

import numpy as np


def add_at(cupy: Any, target: Any, index: tuple, values: Any) -> None:
    """Twin of numpy.indexing.add_at."""
    if target.dtype.kind == "c":  # complex numbers have no atomic addition
        cupy.add.at(target.real, index, cupy.real(values))
        cupy.add.at(target.imag, index, cupy.imag(values))
    elif target.dtype == np.float16:  # in which 2048 + 1 is 2048
        wide = target.astype(np.float32)
        cupy.add.at(wide, index, cupy.asarray(values, np.float32))
        target[...] = wide
    else:
        cupy.add.at(target, index, values)
