"""New arrays from numbers: plain NumPy or CuPy arrays, constants of every derivative.

`minigrad.ops.ranges` has those whose numbers may be traced: `full`, `linspace` and the like.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.core.arguments import check_options, dtype_from, integer, integers
from minigrad.core.arrays import is_inexact
from minigrad.core.errors import OperandTypeError
from minigrad.core.interpreter import Tracer, read_value
from minigrad.ops.placement import place
from minigrad.ops.shape import zeros_like


def arange(
    start_or_stop: Any,
    /,
    stop: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: str | None = None,
    like: Any = None,
) -> Any:
    """The numbers start, start + step, … before stop; with one argument, 0, 1, … before it.

    Raises TypeError for a traced floating-point argument, as the number of elements depends on it.
    """
    check_options("arange", like=like)
    ends = [None if x is None else _read_number(x) for x in (start_or_stop, stop, step)]
    y = np.arange(*ends, dtype=None if dtype is None else dtype_from(dtype, "arange"))
    return place(y, device, "arange")


def _read_number(x):
    if isinstance(x, Tracer) and is_inexact(x):
        raise OperandTypeError("arange: the number of elements would depend on a traced value: use mg.linspace")
    return read_value(x, "arange(x)")


def zeros(shape: Any, dtype: Any = None, order: Any = "C", *, device: str | None = None, like: Any = None) -> Any:
    """Zeros of this shape, float64 by default."""
    return _fill("zeros", np.zeros, shape, dtype, order, device, like)


def ones(shape: Any, dtype: Any = None, order: Any = "C", *, device: str | None = None, like: Any = None) -> Any:
    """Ones of this shape, float64 by default."""
    return _fill("ones", np.ones, shape, dtype, order, device, like)


def empty(shape: Any, dtype: Any = None, order: Any = "C", *, device: str | None = None, like: Any = None) -> Any:
    """An array of this shape to be filled, float64 by default. Its elements are 0."""
    return _fill("empty", np.zeros, shape, dtype, order, device, like)


def _fill(operation, function, shape, dtype, order, device, like):
    check_options(operation, order=None if order == "C" else order, like=like)
    shape = integers(shape, f"{operation}: an entry of the shape")
    return place(function(shape, _dtype(dtype, operation)), device, operation)


def _dtype(dtype, operation):
    return np.dtype(np.float64) if dtype is None else dtype_from(dtype, operation)


def empty_like(
    prototype: Any, /, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None, *, device: Any = None
) -> Any:
    """An array with the shape and device of another, in its dtype or in `dtype`. Its elements are 0."""
    check_options("empty_like", order=order, subok=subok, shape=shape)
    return zeros_like(prototype, dtype, device=device)


def eye(
    N: Any,
    M: Any = None,
    k: Any = 0,
    dtype: Any = float,
    order: Any = "C",
    *,
    device: str | None = None,
    like: Any = None,
) -> Any:
    """The N×M matrix (M = N by default) with ones on its k-th diagonal and zeros elsewhere."""
    check_options("eye", order=None if order == "C" else order, like=like)
    rows, columns, k = integer(N, "eye: N"), None if M is None else integer(M, "eye: M"), integer(k, "eye: k")
    return place(np.eye(rows, columns, k, _dtype(dtype, "eye")), device, "eye")
