"""The device of an array: the arguments `device=` of functions that create, convert or move arrays."""

from __future__ import annotations

from typing import Any

from minigrad import backends
from minigrad.backends.dtypes import is_bfloat16
from minigrad.core.arrays import describe
from minigrad.core.errors import OperandTypeError
from minigrad.core.interpreter import Tracer, find_backend


def place(x: Any, device: Any, operation: str) -> Any:
    """x on `device` ("cpu", "cuda" or None for where it is), copied only if it is elsewhere; host scalars stay.

    Raises ValueError for any other name, DeviceError if there is no usable GPU, TypeError for a traced value that is
    elsewhere.
    """
    if device is None:
        return x
    target = backends.get(device)
    if isinstance(x, backends.NEUTRAL) or (source := find_backend(x)) is target:
        return x
    if isinstance(x, Tracer):
        raise OperandTypeError(
            f"{operation}: cannot move a traced value from {source.device!r} to {device!r}: move arrays before tracing"
        )
    if is_bfloat16(x.dtype) and not target.bfloat16:
        raise OperandTypeError(
            f"{operation}: {target.name} has no bfloat16, got {describe(x)}: convert it with x.astype(np.float32)"
        )
    try:
        return target.from_host(source.to_host(x))
    except (MemoryError, RuntimeError) as error:
        raise (backends.explain(error, f"{operation}({describe(x)}, {device!r})") or error) from None
