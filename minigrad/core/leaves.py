"""Leaves of trees: checked where they enter a derivative, and copied where results would share memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backends import NEUTRAL, backend_of, dtypes
from minigrad.core.arrays import describe, dtype_of, is_inexact, shape_of
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.core.interpreter import Tracer, find_backend
from minigrad.core.vectors import copy_p, zeros_like_p


def check_inexact(x: Any, name: str, instead: str = "use it through a closure: lambda x: f(x, n)") -> None:
    """Raise OperandTypeError unless x is a floating-point or complex array, number or traced value."""
    if not isinstance(x, Tracer):
        try:
            backend_of((x,))
        except TypeError as error:
            raise OperandTypeError(
                f"{name}: a leaf to differentiate is {error}, or register its class with mg.tree.register"
            ) from None
    if not is_inexact(x):
        raise OperandTypeError(
            f"{name}: derivatives need floating-point arguments, got {describe(x)}: convert it with "
            f"x.astype(float), or {instead}"
        )


def check_fits(given: Any, shape: tuple, dtype: np.dtype, what: str, like: str) -> None:
    """Raise OperandError unless a tangent or cotangent (`what`) fits the value with this shape and dtype (`like`)."""
    try:
        fits = shape_of(given) == shape and (dtype.kind == "c" or dtype_of(given).kind != "c")
        inexact = is_inexact(given) or not dtypes.is_inexact(dtype)
    except (TypeError, ValueError):
        fits = inexact = False
    if not fits or not (inexact or isinstance(given, int)):
        raise OperandError(f"a {what} must be {dtype}{list(shape)} like {like}, got {describe(given)}")


def as_array(x: Any, like: Any) -> Any:
    """A Python number as an array on the device of `like`; arrays unchanged."""
    return find_backend(like).xp.asarray(x) if isinstance(x, (bool, int, float, complex)) else x


def separate(gradients: list, inputs: list, given: list) -> list:
    """The gradients: zeros for None, copies of those that share memory with each other or with the user's arrays."""
    results: list = []
    for gradient, x in zip(gradients, inputs, strict=True):
        gradient = zeros_like_p(x._value) if gradient is None else gradient
        results.append(copy_if_shared(gradient, [*results, *given, *[i._value for i in inputs]]))
    return results


def copy_if_shared(x: Any, others: list) -> Any:
    """x, or a copy of it if it is a view or one of `others`."""
    if isinstance(x, (Tracer, *NEUTRAL)):
        return x
    return copy_p(x) if getattr(x, "base", None) is not None or any(x is other for other in others) else x
