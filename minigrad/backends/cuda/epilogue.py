"""Epilogues, applied to a product or a sum before it is stored: + bias, ReLU, depth-to-space (epilogue.cu)."""

from __future__ import annotations

import numpy as np

from minigrad.backends.cuda.launch import Array, Kernels


def arguments(
    kernels: Kernels, placeholder: Array, bias: Array | None = None, relu: bool = False, factor: int = 1
) -> tuple[Array, np.int32, np.int32, np.int32]:
    """The kernel arguments that describe an epilogue. `placeholder` is any array, passed if there is no bias."""
    array = kernels.xp.ascontiguousarray(bias) if bias is not None else placeholder
    return array, np.int32(bias is not None), np.int32(relu), np.int32(factor)
