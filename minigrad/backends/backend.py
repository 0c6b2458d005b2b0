"""What a device offers: the `Backend` record, and the errors that are about devices.

`numpy/backend.py` and `cuda/backend.py` fill in a record each; `minigrad.backends` finds the one of an array.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

NEUTRAL = (bool, int, float, complex, np.generic)  # host scalars may meet arrays of any device


class DeviceError(TypeError):
    """Arrays of two devices met, or a device was asked for that this machine does not have."""


class OutOfMemoryError(MemoryError):
    """An operation needs more memory than its device has left."""


class NotAnArrayError(TypeError):
    """Something that is no array, and no number, was given to an operation."""


@dataclass(frozen=True)
class Recorder:
    """How a device repeats a sequence of operations without being given each of them again."""

    matmul: Callable  # the one that can be recorded
    compile: Callable  # compile(source) -> launch(name, blocks, arrays)
    record: Callable  # record(levels of functions, those of one side by side) -> (repeat, bytes that repeat() needs)


@dataclass(frozen=True)
class Backend:
    """The array namespace of a device, and the kernels that NumPy's vocabulary lacks."""

    name: str  # "numpy" or "cupy"
    device: str  # "cpu" or "cuda"
    xp: ModuleType
    array_type: type
    block_bytes: int  # work on pieces of about this size (a cache); large means "all at once"
    threaded: bool  # whether work may be divided over threads of the host
    asynchronous: bool  # whether operations return before they are done: reading a value waits for all of them
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
    scratch_bytes: Callable  # scratch_bytes() -> bytes that scratch of all threads takes
    fingerprint: Callable  # fingerprint(array) -> number that changes when any element or the order does
    explain: Callable  # explain(error, doing) -> the OutOfMemoryError or DeviceError that its own error means, or None
    recorder: Recorder | None = None  # where there is one
    guard: Callable | None = None  # guard(array) raises DeviceError for an array of another GPU; None if there is one


def store(result: Any, out: Any) -> Any:
    """A result, in `out` where one is given and it is not there already."""
    if out is None or result is out:
        return result
    out[...] = result
    return out
