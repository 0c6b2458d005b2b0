"""The array namespace of a GPU: CuPy, with replacements for functions that differ from NumPy's (in CuPy 14.2)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any

import numpy as np

from minigrad.backends.backend import store


def namespace(cupy: Any, raising: Callable[[], AbstractContextManager]) -> ModuleType:
    """CuPy with NumPy's behaviour. Inside `raising()`, cuSOLVER failures raise LinAlgError, as in NumPy."""

    def support_out(function):  # CuPy's `min` refuses `out` (cupy#9032), and its scans do not return `out`
        return lambda x, axis=None, out=None, **options: store(function(x, axis=axis, **options), out)

    def raise_failures(function):
        def call(*args):
            with raising():
                return function(*args)

        return call

    def solve(a, b):  # CuPy's does not broadcast stacks
        stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = (cupy.broadcast_to(x, (*stack, *x.shape[-2:])) for x in (a, b))
        with raising():
            return cupy.linalg.solve(a, b)

    def clip(x, low, high, out=None):  # CuPy's takes neither numbers nor complex arrays
        if isinstance(x, cupy.ndarray) and x.dtype.kind != "c":
            return cupy.clip(x, low, high, out=out)
        return cupy.minimum(cupy.maximum(x, low), high, out=out)

    def concatenate(arrays, axis=0, out=None):  # CuPy's copies addresses from the host, which CUDA graphs cannot record
        if out is None:
            return cupy.concatenate(arrays, axis)
        begin = 0
        for x in arrays:
            out[(slice(None),) * axis + (slice(begin, begin + x.shape[axis]),)] = x
            begin += x.shape[axis]
        return out

    xp, linalg = ModuleType("cupy"), ModuleType("cupy.linalg")
    linalg.__dict__.update(vars(cupy.linalg))
    linalg.inv, linalg.cholesky, linalg.solve = *map(raise_failures, (cupy.linalg.inv, cupy.linalg.cholesky)), solve
    xp.__dict__.update(vars(cupy))
    xp.min, xp.cumsum, xp.cumprod = map(support_out, (cupy.min, cupy.cumsum, cupy.cumprod))
    xp.clip, xp.concatenate, xp.linalg = clip, concatenate, linalg
    return xp
