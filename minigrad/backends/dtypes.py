"""What kind of numbers a dtype holds, and computing with bfloat16, which NumPy knows only through ml_dtypes.

A bfloat16 is a float32 without its last 16 bits. NumPy does not count it among floating-point dtypes, and has sums and
products that round to its 8 bits at every step. So an operation on bfloat16 arrays runs in float32, and its result is
rounded once. Dtypes are promoted as in JAX: with Python numbers, integers and booleans bfloat16 stays bfloat16, with
float16 it gives float32, and with any other dtype that dtype.

ml_dtypes is imported when "bfloat16" is first asked for by name; whoever has such an array has imported it already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from sys import modules
from typing import Any

import numpy as np

FLOAT32 = np.dtype(np.float32)


# Kinds of dtypes


def is_bfloat16(dtype: np.dtype) -> bool:
    """Whether this is the bfloat16 of ml_dtypes."""
    return dtype.kind == "V" and dtype.type.__name__ == "bfloat16"


def is_real(dtype: np.dtype) -> bool:
    """Whether a dtype holds real floating-point numbers."""
    return dtype.kind == "f" or is_bfloat16(dtype)


def is_inexact(dtype: np.dtype) -> bool:
    """Whether a dtype holds floating-point or complex numbers."""
    return dtype.kind in "fc" or is_bfloat16(dtype)


def is_numeric(dtype: np.dtype) -> bool:
    """Whether a dtype holds booleans or numbers."""
    return dtype.kind in "biufc" or is_bfloat16(dtype)


def is_half(dtype: np.dtype) -> bool:
    """Whether a dtype holds floating-point numbers of 16 bits, whose sums and squares are computed in float32."""
    return dtype == np.float16 or is_bfloat16(dtype)


def find_dtype(name: Any) -> np.dtype:
    """np.dtype(name), also for "bfloat16". Raises ModuleNotFoundError, saying what to install, without ml_dtypes."""
    if isinstance(name, str) and name == "bfloat16":
        try:
            import ml_dtypes
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "bfloat16 needs the package ml_dtypes: pip install 'minigrad-autodiff[bfloat16]'"
            ) from None
        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def finfo(dtype: np.dtype) -> Any:
    """The limits of a floating-point or complex dtype, as np.finfo gives them."""
    return modules["ml_dtypes"].finfo(dtype) if is_bfloat16(dtype) else np.finfo(dtype)


# Promotion


def result_type(*operands: Any) -> np.dtype:
    """The dtype of an operation on these dtypes, arrays and numbers; Python numbers are weak."""
    dtypes = [x if isinstance(x, np.dtype) else getattr(x, "dtype", None) for x in operands]
    narrow = [d is not None and is_bfloat16(d) for d in dtypes]
    if True not in narrow:
        return np.result_type(*operands)
    return narrow_dtype(np.result_type(*[FLOAT32 if short else x for x, short in zip(operands, narrow)]), dtypes)


def narrow_dtype(found: np.dtype, dtypes: Sequence[np.dtype | None]) -> np.dtype:
    """The dtype of an operation on these dtypes (None for Python numbers) that gave `found` with float32 in place of
    bfloat16: bfloat16 where nothing else is floating-point."""
    if found.kind != "f" or any(d is not None and d.kind in "fc" for d in dtypes):
        return found
    return next(d for d in dtypes if d is not None and is_bfloat16(d))


# Computing


def needs_float32(arrays: Sequence[Any]) -> bool:
    """Whether one of these arrays and numbers is bfloat16. Raises TypeError for ml_dtypes' other dtypes."""
    found = False
    for x in arrays:
        dtype = getattr(x, "dtype", FLOAT32)
        if dtype.kind == "V":
            found = found or is_bfloat16(dtype)
            if dtype.type.__module__ == "ml_dtypes" and not is_bfloat16(dtype):
                raise TypeError(f"{dtype} is not supported: convert it with x.astype(np.float32)")
    return found


def compute(forward: Callable, backend: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
    """forward(backend, *args, **params) with its bfloat16 arguments in float32, and a result of bfloat16 rounded."""
    dtypes = [getattr(x, "dtype", None) for x in args]
    narrow = [dtype is not None and is_bfloat16(dtype) for dtype in dtypes]
    wide = [x.astype(FLOAT32) if short else x for x, short in zip(args, narrow)]
    y = forward(backend, *wide, **params)
    return y if "dtype" in params else y.astype(narrow_dtype(y.dtype, dtypes), copy=False)
