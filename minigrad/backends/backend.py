"""The `Backend` record, which lists everything that a device provides, and the errors about devices.

`numpy/backend.py` and `cuda/backend.py` fill in one record each; `minigrad.backends` finds the record of an array.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

NEUTRAL = (bool, int, float, complex, np.generic)  # host scalars, which combine with arrays of any device


class DeviceError(TypeError):
    """Arrays on two devices were combined, or a device was requested that this machine does not have."""


class OutOfMemoryError(MemoryError):
    """An operation needs more memory than its device has left."""


class NotAnArrayError(TypeError):
    """An operation was given something that is neither an array nor a number."""


@dataclass(frozen=True)
class Recorder:
    """How a device records a sequence of operations, and replays it with a single launch."""

    matmul: Callable  # a matrix product that can be recorded
    compile: Callable  # compile(source) -> launch(name, blocks, arrays)
    record: Callable  # record(levels: lists of functions to run in parallel) -> (repeat, bytes that repeat() needs)


@dataclass(frozen=True)
class Backend:
    """The array namespace of a device, and the kernels that NumPy lacks."""

    name: str  # "numpy" or "cupy"
    device: str  # "cpu" or "cuda"
    xp: ModuleType
    array_type: type
    block_bytes: int  # size of the pieces that kernels work on (to fit a cache); large means "all at once"
    threaded: bool  # whether work may be divided over host threads
    bfloat16: bool  # whether its arrays may hold bfloat16
    asynchronous: bool  # whether operations return before they finish; reading a value waits for all of them
    where: Callable  # where(condition, x1, x2, out=None)
    erf: Callable  # erf(x, out=None)
    add_at: Callable  # add_at(target, index, values): repeated indices accumulate
    # The draws fill a flat `out` from offset + start on; with (n, 2) keys and (n,) starts, each row of `out`
    random_bits: Callable  # random_bits(key, out, offset=0, start=0, lane=0)
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
    address: Callable  # address(array) -> the address of its first element
    freeze: Callable  # freeze(array) -> a read-only view or a copy, safe to return to users
    scratch: Callable  # scratch(name, shape, dtype) -> uninitialised array, this thread's until it asks for it again
    scratch_bytes: Callable  # scratch_bytes() -> bytes of scratch memory that all threads keep
    release: Callable  # release() gives the memory back that is kept for later arrays
    fingerprint: Callable  # fingerprint(array) -> hash of its elements and their order
    explain: Callable  # explain(error, doing) -> the OutOfMemoryError or DeviceError to raise instead, or None
    recorder: Recorder | None = None  # None if the device cannot record
    connect: Callable | None = None  # connect(rank, size, share) -> exchange(sent, received) between devices, or None
    guard: Callable | None = None  # guard(array) raises DeviceError if it is on another GPU; None with a single GPU


def store(result: Any, out: Any) -> Any:
    """The result, copied to `out` if that is given and does not hold it already."""
    if out is None or result is out:
        return result
    out[...] = result
    return out
