"""Moving arrays between devices and between libraries."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import backends
from minigrad.backends.dtypes import is_numeric
from minigrad.core import tree
from minigrad.core.arguments import check_options, dtype_from
from minigrad.core.arrays import describe
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.core.interpreter import Tracer, find_backend
from minigrad.ops.arrange import stack
from minigrad.ops.placement import place
from minigrad.ops.shape import astype
from minigrad.ops.shape import copy as copy_array


def device_of(x: Any) -> str:
    """The device of the array x, traced or not: "cpu" or "cuda"."""
    return find_backend(x).device


def is_asynchronous(device: str) -> bool:
    """Whether operations on "cpu" or "cuda" return before they are complete, so that the host runs ahead of the device.

    Raises ValueError for any other name, DeviceError if there is no usable GPU.
    """
    return backends.get(device).asynchronous


def to_device(values: Any, device: str) -> Any:
    """The tree with its arrays on "cpu" or "cuda"; arrays that are already there are not copied.

    Raises DeviceError, saying what to install, if there is no usable GPU; OutOfMemoryError; TypeError for a traced
    value that is elsewhere, and for a bfloat16 array on its way to a GPU, which has none.
    """
    backends.get(device)
    return tree.map(lambda x: place(x, device, "to_device"), values)


def from_dlpack(x: Any, /, *, device: str | None = None, copy: bool | None = None) -> Any:
    """The array of another library (PyTorch, JAX, …) as a NumPy or CuPy array, sharing its memory where possible; with
    `copy`, in new memory.

    In the other direction, pass a NumPy or CuPy array to the other library, as in torch.from_dlpack(array). Raises
    TypeError for objects that do not support DLPack, are on other devices or hold bfloat16.
    """
    if not hasattr(x, "__dlpack_device__"):
        raise OperandTypeError(f"from_dlpack: {type(x).__name__} does not support DLPack")
    kind = int(x.__dlpack_device__()[0])
    if kind not in (1, 2):  # kDLCPU, kDLCUDA
        raise OperandTypeError(f"from_dlpack: DLPack device type {kind} is neither CPU (1) nor CUDA (2)")
    if str(getattr(x, "dtype", "")).endswith("bfloat16"):
        raise OperandTypeError(
            f"from_dlpack: {type(x).__name__} holds bfloat16, which NumPy and CuPy do not take: convert it to float32 "
            "there, and back with mg.astype(x, 'bfloat16') here"
        )
    y = place(backends.get("cpu" if kind == 1 else "cuda").xp.from_dlpack(x), device, "from_dlpack")
    return copy_array(y) if copy else y


def asarray(
    a: Any,
    dtype: Any = None,
    order: Any = None,
    *,
    device: str | None = None,
    copy: bool | None = None,
    like: Any = None,
) -> Any:
    """a as an array (of `dtype`): traced values and arrays unchanged, lists and numbers converted by NumPy, arrays of
    other libraries by DLPack; with `copy`, in new memory; with copy=False, raises ValueError if it would be.
    Nested lists that contain traced values are stacked.

    >>> import minigrad as mg
    >>> mg.jacobian(lambda x: mg.asarray([[x, 2 * x], [1.0, x**2]]))(3.0)
    array([[1., 2.],
           [0., 6.]])
    """
    check_options("asarray", order=order, like=like)
    array = _array(a)
    found = array if dtype is None else astype(array, dtype_from(dtype, "asarray"), copy=False)
    found = place(found, device, "asarray")
    if copy is False and not (found is array and hasattr(a, "__dlpack_device__")):
        raise OperandError(f"asarray: {describe(a)} becomes {describe(found)} only as a copy: leave copy=False out")
    return copy_array(found) if copy and found is array else found


def _find_traced(x: Any) -> Any:
    """A traced value in nested lists or tuples, or None."""
    if isinstance(x, Tracer):
        return x
    found = map(_find_traced, x) if isinstance(x, (list, tuple)) else ()
    return next((item for item in found if item is not None), None)


def _array_beside(x: Any, traced: Any) -> Any:
    """x as an array; numbers and lists of them, on the device of the traced value."""
    array, is_plain = _array(x), isinstance(x, (*backends.NEUTRAL, list, tuple))
    return find_backend(traced).from_host(array) if is_plain and isinstance(array, np.ndarray) else array


def _array(x: Any) -> Any:
    if isinstance(x, Tracer):
        return x
    if (traced := _find_traced(x)) is not None:
        return stack([_array_beside(item, traced) for item in x])
    try:
        backends.backend_of((x,))
    except TypeError:
        if hasattr(x, "__dlpack_device__"):
            return from_dlpack(x)
        try:
            array = np.asarray(x)
        except ValueError:
            array = None
        if array is None or not is_numeric(array.dtype):
            raise OperandTypeError(f"asarray: {type(x).__name__} {x!r} is not an array of numbers") from None
        return array
    return np.asarray(x) if isinstance(x, backends.NEUTRAL) else x
