"""Comparing results of programs, and tunings that tile small programs too."""

from __future__ import annotations

import numpy as np

from minigrad import backends
from minigrad.core import tree
from minigrad.program.gpu.executor import GpuExecutor
from minigrad.program.tuning import Tuning
from tests.support.transfer import to_host


def same(left, right):
    """Whether two trees are equal bit for bit (NaN equals NaN); within rounding on a device with our own kernels."""
    return _compare(left, right, lambda x, y: np.array_equal(x, y, equal_nan=True))


ROW_BY_ROW = {"worth_region": 0, "part": 1, "shortest_product": 1}
WAYS = {"whole": Tuning(), "in regions": Tuning(worth_region=0), "in regions, row by row": Tuning(**ROW_BY_ROW)}


def agree(left, right, way, rounds=False):
    """Whether two trees are equal bit for bit; within rounding if `rounds`, or if `way` compiles or cuts rows.

    Cut rows change a sum of n terms by at most n roundings of their size; n < 64 here, and sizes are about 1.
    """
    rounds = rounds or way.part == 1 or way.worth_compiling == 0
    return _compare(left, right, close) if rounds else same(left, right)


def _compare(left, right, equal):
    a, b = tree.flatten(left), tree.flatten(right)
    records = any(backends.backend_of((x,)).recorder for x in b[0] if hasattr(x, "shape"))
    pairs = [[np.asarray(to_host(x)) for x in pair] for pair in zip(a[0], b[0], strict=True)]
    return a[1] == b[1] and all(x.dtype == y.dtype and (close if records else equal)(x, y) for x, y in pairs)


def close(x, y):
    """Whether arrays agree to 64 roundings of the largest finite element; exactly if they are not floating-point."""
    if np.asarray(x).dtype.kind not in "fc":
        return np.array_equal(x, y)
    size = max(1.0, float(np.max(np.abs(y), initial=0.0, where=np.isfinite(y))))
    return np.allclose(x, y, rtol=0, atol=64 * np.finfo(np.asarray(x).dtype).eps * size, equal_nan=True)


def cut_everything(threads=1):
    """A tuning that cuts even small arrays, into parts of one row, on this many threads."""
    return Tuning(**ROW_BY_ROW, worth_threads=0, threads=threads)


def executor_of(jitted, *args) -> GpuExecutor:
    """The executor of the program for arguments of this kind."""
    return jitted.program(*args)._executor
