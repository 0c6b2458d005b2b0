"""Questions about dtypes and shapes, answered by NumPy; a traced value counts as an array of its dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backends import dtypes
from minigrad.core.arrays import dtype_of
from minigrad.core.errors import OperandError
from minigrad.core.interpreter import concrete


def broadcast_shapes(*args: Any) -> tuple[int, ...]:
    """The shape that arrays of these shapes have together. Raises ValueError if they do not broadcast."""
    try:
        return np.broadcast_shapes(*args)
    except ValueError:
        raise OperandError(f"broadcast_shapes: {', '.join(map(str, args))} do not broadcast together") from None


def can_cast(from_: Any, to: Any, casting: Any = "safe") -> bool:
    """Whether a dtype, or the dtype of an array, can be cast to another under the rule `casting`."""
    return np.can_cast(_dtype(from_), to, casting)


def finfo(dtype: Any, /) -> np.finfo:
    """The limits of a floating-point dtype, or that of an array; of a complex one, those of its parts."""
    return dtypes.finfo(dtypes.find_dtype(_dtype(dtype)))


def iinfo(int_type: Any, /) -> np.iinfo:
    """The limits of an integer dtype, or that of an array."""
    return np.iinfo(_dtype(int_type))


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is of a kind: "bool", "signed integer", "unsigned integer", "integral", "real floating", "complex
    floating", "numeric", another dtype, or one of a tuple of these.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    found = [k if isinstance(k, str) else np.dtype(k) for k in kinds]  # NumPy takes its own dtypes only
    if not dtypes.is_bfloat16(np.dtype(dtype)):
        return np.isdtype(dtype, tuple(k for k in found if isinstance(k, str) or not dtypes.is_bfloat16(k)))
    return any(np.isdtype(np.float32, k) if isinstance(k, str) else k == dtype for k in found)


def result_type(*arrays_and_dtypes: Any) -> np.dtype:
    """The dtype of the result of arithmetic with these arrays, Python numbers (whose dtype is weak) and dtypes."""
    return dtypes.result_type(*map(_dtype, arrays_and_dtypes))


def _dtype(x):
    """The dtype of an array or traced value, or of a name; Python numbers unchanged."""
    if isinstance(x, (type, np.dtype, str)) or x is None:
        return dtypes.find_dtype(x)
    return number if type(number := concrete(x)) in (bool, int, float, complex) else dtype_of(x)
