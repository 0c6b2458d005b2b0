"""Where arrays live. A `Backend` is one record of everything an operation may ask of a device.

Operations are written once, against `backend.xp` and the few kernels below; nothing above this folder asks
which backend it has. Backends are found by the *type* of an array, so CuPy is imported only when a CuPy array
(or the word "cuda") first turns up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np


class DeviceError(TypeError):
    """Arrays of two devices met, or a device was asked for that this machine does not have."""


class OutOfMemoryError(MemoryError):
    """An operation needs more memory than its device has left."""


class NotAnArrayError(TypeError):
    """Something that is no array, and no number, was given to an operation."""


@dataclass(frozen=True)
class Recorder:
    """How a device repeats work without being told each piece of it again."""

    matmul: Callable  # the one that can be recorded
    compiled: Callable  # compiled(source) -> launch(name, blocks, arrays)
    record: Callable  # record(levels of functions, those of one side by side) -> (again, bytes that again() needs)


@dataclass(frozen=True)
class Backend:
    """The array namespace of a device and the kernels NumPy's vocabulary lacks."""

    name: str  # "numpy" or "cupy"
    device: str  # "cpu" or "cuda"
    xp: ModuleType
    array_type: type
    block_bytes: int  # work on pieces of about this size (a cache); large means "all at once"
    threaded: bool  # whether work may be shared out over threads of the host
    where: Callable  # where(condition, x1, x2, out=None)
    erf: Callable  # erf(x, out=None)
    add_at: Callable  # add_at(target, index, values): repeated indices accumulate
    random_bits: Callable  # random_bits(key, out, offset=0, start=0, lane=0): fills a flat `out` from offset + start on
    random_uniform: Callable  # random_uniform(key, out, offset=0, start=0); start may be an array of one integer
    random_normal: Callable  # random_normal(key, out, offset=0, start=0)
    matmul: Callable  # matmul(x1, x2, out=None)
    sum: Callable  # sum(x, axes, out=None)
    column_sums: Callable  # column_sums(x, out=None): of a matrix
    conv: Callable  # conv(x, w, stride, pads, out=None): see `numpy.convolution`
    conv_input: Callable  # conv_input(d, w, stride, pads, size, out=None)
    conv_kernel: Callable  # conv_kernel(x, d, stride, pads, kernel, out=None)
    from_host: Callable  # from_host(numpy array) -> array of this backend
    to_host: Callable  # to_host(array) -> numpy array
    address: Callable  # address(array) -> where its first element is, as a number
    freeze: Callable  # freeze(array) -> the same values, safe to hand out
    scratch: Callable  # scratch(name, shape, dtype) -> array with any content, this thread's until it asks again
    held: Callable  # held() -> bytes that scratch of all threads takes
    fingerprint: Callable  # fingerprint(array) -> number that changes when any element or the order does
    recorder: Recorder | None = None  # where there is one
    guard: Callable | None = None  # guard(array) raises DeviceError for an array of another GPU; None if there is one

    def __reduce__(self) -> tuple:
        return get, (self.device,)  # copying and unpickling give the one backend of that device


NEUTRAL = (bool, int, float, complex, np.generic)  # host scalars may meet arrays of any device
_by_type: dict[type, Backend | None] = {type(None): None}
_by_device: dict[str, Backend] = {}


def get(device: str) -> Backend:
    """The backend of a device, "cpu" or "cuda". Raises ValueError for another word, DeviceError without a GPU."""
    if device not in _by_device:
        if device == "cpu":
            from minigrad.backends.numpy.backend import BACKEND
        elif device == "cuda":
            from minigrad.backends.cuda.backend import load

            BACKEND = load()
        else:
            which = "; choose a GPU with CUDA_VISIBLE_DEVICES" if str(device).startswith("cuda:") else ""
            raise ValueError(f"unknown device {device!r}: use 'cpu' or 'cuda'{which}")
        _by_device[device] = BACKEND
        if BACKEND.guard is None:
            _by_type[BACKEND.array_type] = BACKEND
    return _by_device[device]


def stored(result: Any, out: Any) -> Any:
    """A result, in `out` where one is given and it is not there already."""
    if out is None or result is out:
        return result
    out[...] = result
    return out


def backend_of(arrays: Sequence[Any]) -> Backend:
    """The one backend all `arrays` belong to; host scalars belong everywhere, nothing at all means NumPy.

    Raises DeviceError where two devices meet or an array is on another GPU than the one in use, and TypeError for
    something that is no array.
    """
    found = None
    for array in arrays:
        try:
            backend = _by_type[type(array)]
        except KeyError:
            backend = _learn(array)
        if backend is None or backend is found:
            continue
        if found is not None:
            raise DeviceError(
                f"arrays on two devices: {_located(arrays)}; move them together first, "
                "with mg.to_device(x, 'cpu') or mg.to_device(x, 'cuda')"
            )
        found = backend
    return get("cpu") if found is None else found


def _learn(array: Any) -> Backend | None:
    """Find the backend of a type met for the first time, and remember it.

    Where there are several GPUs, the type of their arrays is not remembered: each array is looked at, at no cost to
    other machines.
    """
    kind = type(array)
    if isinstance(array, NEUTRAL):
        _by_type[kind] = None
    elif isinstance(array, np.ndarray) and not isinstance(array, (np.matrix, np.ma.MaskedArray)):
        _by_type[kind] = get("cpu")
    elif kind.__module__.split(".")[0] == "cupy" and isinstance(array, (gpu := get("cuda")).array_type):
        if gpu.guard is not None:
            gpu.guard(array)
            return gpu
        _by_type[kind] = gpu
    else:
        raise NotAnArrayError(
            f"not an array: {kind.__module__}.{kind.__qualname__}; pass a NumPy or CuPy array or a number"
        )
    return _by_type[kind]


def _located(arrays: Sequence[Any]) -> str:
    owners = [(a, _by_type.get(type(a)) or _learned(type(a))) for a in arrays]
    return ", ".join(f"{a.dtype}{list(a.shape)} on {b.device} ({b.name})" for a, b in owners if b is not None)


def _learned(kind: type) -> Backend | None:
    """The backend of a type that is not remembered (see `_learn`)."""
    return next((b for b in _by_device.values() if b.array_type is kind), None)
