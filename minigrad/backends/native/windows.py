"""Windows of images, gathered and scattered by compiled loops: one call instead of one for each tap of a kernel, which
releases the GIL, so that threads do not wait for each other. Results have the same bits as with `numpy.convolution`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from ctypes import CDLL, c_long, c_void_p
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from minigrad.backends.backend import Backend
from minigrad.backends.native import compiler
from minigrad.backends.numpy import convolution
from minigrad.backends.numpy.scratch import address


class Windows:
    """The loops of windows.cpp, on contiguous arrays of one dtype of `dtypes`."""

    dtypes = np.dtype(np.float32), np.dtype(np.float64)

    def __init__(self, library: CDLL):
        self._library = library

    def gather(self, x: np.ndarray, columns: np.ndarray, sizes: Sequence[int]) -> None:
        """columns ← the windows of the images x."""
        self._call("gather_windows", x, columns, sizes)

    def scatter(self, columns: np.ndarray, x: np.ndarray, sizes: Sequence[int]) -> None:
        """x ← the sums of all windows over a pixel."""
        self._call("scatter_windows", columns, x, sizes)

    def _call(self, name: str, source: np.ndarray, target: np.ndarray, sizes: Sequence[int]) -> None:
        loop = getattr(self._library, f"{name}_{target.dtype}")
        loop(c_void_p(address(source)), c_void_p(address(target)), (c_long * len(sizes))(*sizes))


def accelerate(backend: Backend) -> Backend:
    """A backend whose convolutions use compiled windows; the same one where they cannot be had."""
    windows = _load()
    if windows is None:
        return backend
    fast = replace(backend, windows=windows)
    names = "conv", "conv_input", "conv_kernel"
    return replace(fast, **{name: partial(getattr(convolution, name), fast) for name in names})


@functools.cache
def _load() -> Windows | None:
    library = compiler.load_or_warn(Path(__file__).with_name("windows.cpp").read_text(encoding="utf-8"))
    return None if library is None else Windows(library)
