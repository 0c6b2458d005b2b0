"""Leaves of trees on their way into a derivative and out of it: checked, converted, and in memory of their own."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backends import NEUTRAL, backend_of
from minigrad.core.arrays import describe, is_inexact, shape_of
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.core.interpreter import Tracer, find_backend
from minigrad.core.vectors import copy_p, zeros_like_p


def check_inexact(x: Any, name: str, instead: str = "leave it out through argnums") -> None:
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


def check_fits(given: Any, shape: tuple, dtype: np.dtype, what: str, whose: str) -> None:
    try:
        fits = shape_of(given) == shape
        inexact = is_inexact(given) or dtype.kind not in "fc"
    except (TypeError, ValueError):
        fits = inexact = False
    if not fits or not (inexact or isinstance(given, int)):
        raise OperandError(f"a {what} must be {dtype}{list(shape)} like {whose}, got {describe(given)}")


def as_array(x: Any, beside: Any) -> Any:
    """A Python number as an array on the device of another array; arrays as they are."""
    return find_backend(beside).xp.asarray(x) if isinstance(x, (bool, int, float, complex)) else x


def separate(gradients: list, inputs: list, given: list) -> list:
    """Gradients in memory of their own: zero where there was none, shared with no array that the user holds."""
    results: list = []
    for gradient, x in zip(gradients, inputs, strict=True):
        gradient = zeros_like_p(x._value) if gradient is None else gradient
        results.append(copy_if_shared(gradient, [*results, *given, *[i._value for i in inputs]]))
    return results


def copy_if_shared(x: Any, others: list) -> Any:
    """x, or a copy if it is a view or one of the others."""
    if isinstance(x, (Tracer, *NEUTRAL)):
        return x
    return copy_p(x) if getattr(x, "base", None) is not None or any(x is other for other in others) else x
