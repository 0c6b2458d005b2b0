"""Compiled convolutions of the CPU (convolution.cpp), for float32 and float64.

They need no columns, take half the time of matrix products with columns or less, and release the GIL. Results differ in
rounding from those of `numpy.convolution`, which convolves the other dtypes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from ctypes import CDLL, c_long, c_void_p
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from minigrad.backends.backend import Backend
from minigrad.backends.convolution import out_size
from minigrad.backends.native import compiler
from minigrad.backends.numpy import convolution
from minigrad.backends.numpy.scratch import address

TYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}


def accelerate(backend: Backend) -> Backend:
    """The backend with compiled convolutions, where they can be had."""
    names = {"conv": _conv, "conv_input": _conv_input, "conv_kernel": _conv_kernel}
    return replace(backend, **{name: partial(_choose, name, compiled, backend) for name, compiled in names.items()})


def has_loop(first: np.dtype, second: np.dtype) -> bool:
    """Whether there is a loop for arrays of these dtypes."""
    return first == second and first in TYPES


def _choose(name: str, compiled: Callable, b: Backend, first: np.ndarray, second: np.ndarray, *args):
    """The compiled convolution of two arrays, or the backend's."""
    library = _load(first.dtype) if has_loop(first.dtype, second.dtype) and first.size and second.size else None
    if library is None:
        return getattr(b, name)(first, second, *args)
    return compiled(b, library, first, second, *args)


@functools.cache
def _load(dtype: np.dtype) -> CDLL | None:
    files = (Path(__file__).with_name(name) for name in ("tiles.h", "convolution.cpp"))
    source = [f"#define REAL {TYPES[dtype]}", *(file.read_text(encoding="utf-8") for file in files)]
    library = compiler.load_or_warn("\n".join(source), "-ffp-contract=fast")
    if library is not None:
        library.conv.restype = library.conv_input.restype = library.conv_kernel.restype = c_long
    return library


def _conv(b, library, x, w, stride, pads, out=None):
    kh, kw, _, features = w.shape
    shape = len(x), *out_size(x.shape[1:3], (kh, kw), stride, pads), features
    out = np.empty(shape, x.dtype) if out is None else out
    return _call(b, library.conv, (x.shape, shape, w.shape), stride, pads, x, w, out)


def _conv_input(b, library, d, w, stride, pads, size, out=None):
    shape = len(d), *size, w.shape[2]
    out = np.empty(shape, d.dtype) if out is None else out
    return _call(b, library.conv_input, (shape, d.shape, w.shape), stride, pads, d, w, out)


def _conv_kernel(b, library, x, d, stride, pads, kernel, out=None):
    sum_products = partial(_sum_products, library)
    if convolution.exchanges(x, d, stride, pads, kernel):
        return convolution.conv_kernel(b, x, d, stride, pads, kernel, out, sum_products)
    return sum_products(b, x, d, stride, pads, kernel, out)


def _sum_products(library, b, x, d, stride, pads, kernel, out=None):
    shape = *kernel, x.shape[3], d.shape[3]
    out = np.empty(shape, x.dtype) if out is None else out
    return _call(b, library.conv_kernel, (x.shape, d.shape, shape), stride, pads, x, d, out)


def _call(b, loop, shapes: Sequence[Sequence[int]], stride, pads, first, second, out):
    """Call a loop on two arrays, for images, results and a kernel of these shapes."""
    (n, h, w, c), (_, ho, wo, f), (kh, kw, *_) = shapes
    (top, _), (left, _) = pads
    numbers = n, h, w, c, ho, wo, f, kh, kw, *stride, top, left
    sizes, to = (c_long * len(numbers))(*numbers), np.ascontiguousarray(out)
    arrays = [np.ascontiguousarray(first), np.ascontiguousarray(second), to]
    pointers = [c_void_p(address(array)) for array in arrays]
    scratch = b.scratch("convolution", (loop(sizes, *pointers, None),), to.dtype)
    loop(sizes, *pointers, c_void_p(address(scratch)))
    if to is not out:
        out[...] = to
    return out
