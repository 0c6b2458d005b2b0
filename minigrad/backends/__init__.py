"""Where arrays live. A `Backend` is one record of everything an operation may ask of a device.

Operations are written once, against `backend.xp` and the few kernels of the record; nothing above this folder asks
which backend it has. Backends are found by the *type* of an array, so CuPy is imported only when a CuPy array (or the
word "cuda") first turns up.

`numpy/` and `cuda/` have one file for each family of operations, under the same name in both: `convolution`, `streams`,
`sums`, `indexing`, `fingerprint`. A file of that name in this folder holds what belongs to both devices.
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
    "store",
]

_by_device: dict[str, Backend] = {"cpu": HOST}
_by_type: dict[type, Backend | None] = {type(None): None, np.ndarray: HOST}


def get(device: str) -> Backend:
    """The backend of a device, "cpu" or "cuda". Raises ValueError for another word, DeviceError without a GPU."""
    if device not in _by_device:
        if device != "cuda":
            which = "; choose a GPU with CUDA_VISIBLE_DEVICES" if str(device).startswith("cuda:") else ""
            raise ValueError(f"unknown device {device!r}: use 'cpu' or 'cuda'{which}")
        from minigrad.backends.cuda.backend import load

        _by_device[device] = backend = load()
        if backend.guard is None:
            _by_type[backend.array_type] = backend
    return _by_device[device]


copyreg.pickle(Backend, lambda backend: (get, (backend.device,)))  # copies are the one backend of that device


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
    return HOST if found is None else found


def _learn(array: Any) -> Backend | None:
    """Find the backend of a type met for the first time, and remember it.

    Where there are several GPUs, the type of their arrays is not remembered: each array is looked at, at no cost to
    other machines.
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


def _located(arrays: Sequence[Any]) -> str:
    owners = [(a, _by_type.get(type(a)) or _of_several_gpus(type(a))) for a in arrays]
    return ", ".join(f"{a.dtype}{list(a.shape)} on {b.device} ({b.name})" for a, b in owners if b is not None)


def _of_several_gpus(kind: type) -> Backend | None:
    """The backend of a type that is not remembered (see `_learn`)."""
    return next((b for b in _by_device.values() if b.array_type is kind), None)


def explain(error: BaseException, doing: str) -> OutOfMemoryError | DeviceError | None:
    """What an error means that a device raised while `doing` something: short memory, or a GPU that failed.

    None for any other error.
    """
    answers = (backend.explain(error, doing) for backend in reversed(_by_device.values()))  # the host's comes last
    return next((answer for answer in answers if answer is not None), None)
