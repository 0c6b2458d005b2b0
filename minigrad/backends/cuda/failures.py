"""Messages for failed GPU operations: out of memory, or a GPU that no longer works."""

from __future__ import annotations

import re
from typing import Any

from minigrad.backends.backend import DeviceError, OutOfMemoryError
from minigrad.backends.memory import amount, out_of_memory, reason

PACKAGES = ("cupy", "cupy_backends")  # whose errors are about a GPU
PHRASES = ("out of memory", "OUT_OF_MEMORY", "ALLOC_FAILED")  # in out-of-memory errors that are not MemoryErrors


def explain(cupy: Any, error: BaseException, doing: str) -> OutOfMemoryError | DeviceError | None:
    """The error to raise instead of one of CuPy's while `doing` something; None for errors about other things."""
    if type(error).__module__.split(".")[0] not in PACKAGES:
        return None
    if is_out_of_memory(error):
        asked = _find_number(r"allocating ([\d,]+) bytes", error)
        limit = _find_number(r"limit set to: ([\d,]+) bytes", error)
        what = f"asked for {amount(asked)}" if asked else reason(error)
        return out_of_memory(
            doing, "on the GPU", what, free_memory(cupy), f"CuPy may take {amount(limit)}" if limit else ""
        )
    if isinstance(error, RuntimeError):
        return DeviceError(f"{doing}: {error}; the GPU failed, restart the process")
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of CuPy says that the GPU is out of memory."""
    return isinstance(error, MemoryError) or any(phrase in str(error) for phrase in PHRASES)


def free_memory(cupy: Any) -> str:
    """How much of the GPU's memory is free, as text; empty if CUDA does not say."""
    try:
        free, total = cupy.cuda.runtime.memGetInfo()
    except Exception:  # the GPU may have failed
        return ""
    return f"{amount(free)} of {amount(total)} free"


def _find_number(pattern: str, error: BaseException) -> int | None:
    found = re.search(pattern, str(error))
    return int(found[1].replace(",", "")) if found else None
