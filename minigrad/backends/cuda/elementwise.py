"""Elementwise functions that differ in CuPy. Kernels for chains of operations are generated in codegen.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backends.backend import store


def where(cupy: Any, condition: Any, x1: Any, x2: Any, out: Any = None) -> Any:
    """Twin of numpy.elementwise.where."""
    condition = np.bool_(condition) if isinstance(condition, bool) else condition  # CuPy calls its astype
    return store(cupy.where(condition, x1, x2), out)
