"""CuPy: an NVIDIA GPU. The only file that imports cupy, and only when a CuPy array or the word "cuda" turns up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from minigrad.backends import Backend, DeviceError, stored, trouble


def load() -> Backend:
    """The CuPy backend, for the GPU that is current now and has just compiled and run two kernels.

    Raises DeviceError, saying what to install or change, where there is none that can.
    """
    wheel = trouble.the_wheel()
    try:
        import cupy

        trouble.check(cupy, wheel)
    except DeviceError:
        raise
    except Exception as error:  # a broken package may raise anything
        raise DeviceError(trouble.of_cupy(error, wheel)) from None
    backend, runtime = _backend(cupy), cupy.cuda.runtime
    return backend if runtime.getDeviceCount() == 1 else replace(backend, guard=_guard(runtime.getDevice()))


def _guard(home: int) -> Callable[[Any], None]:
    """A function that refuses arrays of other GPUs than number `home`."""

    def guard(array: Any) -> None:
        if array.device.id != home:
            raise DeviceError(
                f"{array.dtype}{list(array.shape)} is on cuda:{array.device.id} and minigrad computes on one GPU at a "
                f"time, here cuda:{home}: copy it there with x.copy() while that is CuPy's current device, or choose "
                "the GPU for everything with CUDA_VISIBLE_DEVICES"
            )

    return guard


def _backend(cupy: Any) -> Backend:
    from cupyx.scipy.special import erf

    weights = cupy.asarray(np.random.Generator(np.random.PCG64(0)).integers(1, 2**63, 4096, dtype=np.uint64) * 2 + 1)

    def add_at(target, index, values):
        cupy.add.at(target, index, values)

    def freeze(x):
        return x.copy() if isinstance(x, cupy.ndarray) else x  # CuPy has no read-only arrays

    def fingerprint(x):
        raw = cupy.ascontiguousarray(x).reshape(-1).view(cupy.uint8)
        words = cupy.pad(raw, (0, -len(raw) % (4 * len(weights)))).view(cupy.uint32).reshape(-1, len(weights))
        rows = (words * weights).sum(axis=1)  # uint32 · uint64: see the NumPy twin
        turns = cupy.arange(1, 2 * len(rows), 2, dtype=cupy.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return int((rows * (turns | np.uint64(1))).sum())

    return Backend(
        name="cupy",
        device="cuda",
        xp=cupy,
        array_type=cupy.ndarray,
        block_bytes=1 << 28,
        threaded=False,
        draw_block=1 << 22,
        where=lambda condition, x1, x2, out=None: stored(cupy.where(condition, x1, x2), out),
        erf=lambda x, out=None: erf(x, out=out),
        add_at=add_at,
        from_host=cupy.asarray,
        to_host=cupy.asnumpy,
        address=lambda x: x.data.ptr,
        freeze=freeze,
        scratch=lambda name, shape, dtype: cupy.empty(shape, dtype),  # its own pool keeps memory
        held=lambda: 0,
        fingerprint=fingerprint,
    )
