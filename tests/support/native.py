"""Compiling and calling kernels of loops on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ctypes import c_long, c_void_p
from functools import partial

import numpy as np
import pytest

from minigrad.backends.loops import Loop
from minigrad.backends.native import codegen, compiler

Chain = tuple[Sequence[Loop], Sequence[np.dtype], int]
"""The loops of a kernel, the dtypes of its arguments, and its rows."""


def need_compiler() -> None:
    """Skip the test if there is no C++ compiler."""
    try:
        compiler.find()
    except compiler.CompilerError as error:
        pytest.skip(str(error))


def compile_kernels(chains: Sequence[Chain]) -> list[Callable]:
    """Kernels, compiled as one library; each is called with the arrays and the rows to begin and to end with."""
    need_compiler()
    sources = [codegen.kernel_source(f"kernel_{n}", *chain) for n, chain in enumerate(chains)]
    library = compiler.load(codegen.library_source(sources))
    return [partial(_call, compiler.get_function(library, f"kernel_{n}")) for n in range(len(chains))]


def _call(kernel: Callable, arrays: Sequence[np.ndarray], begin: int, end: int) -> None:
    assert all(array.flags.c_contiguous for array in arrays)
    kernel((c_void_p * len(arrays))(*[array.ctypes.data for array in arrays]), c_long(begin), c_long(end))
