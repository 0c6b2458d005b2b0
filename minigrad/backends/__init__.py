"""Where arrays live. A `Backend` is one record of everything that operations need from a device.

Operations are written once, against `backend.xp` and the few kernels of the record; no code outside this folder asks
which backend it has. A backend is looked up by the *type* of an array, so CuPy is imported only when a CuPy array (or
the word "cuda") first turns up.

`numpy/` and `cuda/` have one file for each family of operations, under the same name in both: `convolution`, `streams`,
`sums`, `indexing`, `fingerprint`. A file of that name in this folder holds what both devices share.
`native/` generates and compiles kernels for the CPU; `loops` and `formulas` describe generated kernels of any device.
"""

from __future__ import annotations

import copyreg
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backends.backend import (
    NEUTRAL,
    Backend,
    DeviceError,
    NotAnArrayError,
    OutOfMemoryError,
    Recorder,
    store,
)
from minigrad.backends.numpy.backend import BACKEND as HOST

__all__ = [
    "NEUTRAL",
    "Backend",
    "DeviceError",
    "NotAnArrayError",
    "OutOfMemoryError",
    "Recorder",
    "backend_of",
    "explain",
    "get",
    "release_memory",
    "store",
]

_by_device: dict[str, Backend] = {"cpu": HOST}
_by_type: dict[type, Backend | None] = {type(None): None, np.ndarray: HOST}


def get(device: str) -> Backend:
    """The backend of a device, "cpu" or "cuda". Raises ValueError for any other name, DeviceError without a GPU."""
    if device not in _by_device:
        if device != "cuda":
            which = "; choose a GPU with CUDA_VISIBLE_DEVICES" if str(device).startswith("cuda:") else ""
            raise ValueError(f"unknown device {device!r}: use 'cpu' or 'cuda'{which}")
        from minigrad.backends.cuda.backend import load

        _by_device[device] = backend = load()
        if backend.guard is None:
            _by_type[backend.array_type] = backend
    return _by_device[device]


copyreg.pickle(Backend, lambda backend: (get, (backend.device,)))  # copies are looked up


def backend_of(arrays: Sequence[Any]) -> Backend:
    """The backend that all `arrays` belong to. Host scalars belong to every backend; without arrays it is NumPy.

    Raises DeviceError for arrays on two devices or on another GPU than the one in use, and TypeError for an object that
    is not an array.
    """
    found = None
    for array in arrays:
        try:
            backend = _by_type[type(array)]
        except KeyError:
            backend = _find_backend(array)
        if backend is None or backend is found:
            continue
        if found is not None:
            raise DeviceError(
                f"arrays on two devices: {_describe_devices(arrays)}; move them together first, "
                "with mg.to_device(x, 'cpu') or mg.to_device(x, 'cuda')"
            )
        found = backend
    return HOST if found is None else found


def _find_backend(array: Any) -> Backend | None:
    """Find the backend of an array whose type is not yet known, and remember it for that type.

    With several GPUs, CuPy's type is not remembered, because every array must be checked for the GPU it is on. Machines
    with one GPU pay nothing for this.
    """
    kind = type(array)
    if isinstance(array, NEUTRAL):
        _by_type[kind] = None
    elif isinstance(array, np.ndarray) and not isinstance(array, (np.matrix, np.ma.MaskedArray)):
        _by_type[kind] = HOST
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


def release_memory() -> None:
    """Give memory back that is kept for later calls: kernels' scratch memory on the CPU, CuPy's free blocks on a GPU.

    It is allocated again when it is needed. A program keeps its own memory for as long as it exists.
    """
    for backend in _by_device.values():
        backend.release()


def _describe_devices(arrays: Sequence[Any]) -> str:
    owners = [(a, _by_type.get(type(a)) or _unremembered_backend(type(a))) for a in arrays]
    return ", ".join(f"{a.dtype}{list(a.shape)} on {b.device} ({b.name})" for a, b in owners if b is not None)


def _unremembered_backend(kind: type) -> Backend | None:
    """The backend of a type that is not remembered (see `_find_backend`)."""
    return next((b for b in _by_device.values() if b.array_type is kind), None)


def explain(error: BaseException, doing: str) -> OutOfMemoryError | DeviceError | None:
    """The error to raise instead of a device's own `error` while `doing` something: out of memory, or a GPU failure.

    None for any other error.
    """
    explained = (backend.explain(error, doing) for backend in reversed(_by_device.values()))  # the host last
    return next((new for new in explained if new is not None), None)
