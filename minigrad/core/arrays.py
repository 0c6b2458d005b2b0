"""Shape and dtype of an array, a traced value or a number, and how messages print them."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backends import dtypes


class Shaped:
    """Stands in for an array of which only the shape and dtype are needed."""

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype):
        self.shape, self.dtype = shape, dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of an array, traced value or number."""
    try:
        return x.shape
    except AttributeError:
        return np.shape(x)


def dtype_of(x: Any) -> np.dtype:
    """The dtype of an array, traced value or number (a Python float counts as float64 on its own)."""
    try:
        return x.dtype
    except AttributeError:
        return np.asarray(x).dtype


def real_dtype_of(x: Any) -> np.dtype:
    """The dtype of the real part of x."""
    return np.empty(0, dtype_of(x)).real.dtype


def is_inexact(x: Any) -> bool:
    """Whether x is a floating-point or complex number or array, and so can be differentiated."""
    return dtypes.is_inexact(dtype_of(x))


def is_real(x: Any) -> bool:
    """Whether x is a real floating-point number or array."""
    return dtypes.is_real(dtype_of(x))


def describe(x: Any) -> str:
    """Text for messages: `float32[2, 3]` for an array, the value of a number, the type of anything else."""
    if isinstance(x, (bool, int, float, complex)) or x is None:
        return repr(x)
    if isinstance(x, (str, bytes)):
        return f"{type(x).__name__} {x!r}"
    try:
        return f"{dtype_of(x)}{list(shape_of(x))}"
    except (TypeError, ValueError):
        return type(x).__name__
