"""What to say when an operation on a GPU fails: its memory is short, or the GPU itself no longer works."""

from __future__ import annotations

import re
from typing import Any

from minigrad.backends.backend import DeviceError, OutOfMemoryError
from minigrad.backends.memory import amount, out_of_memory, reason

OURS = ("cupy", "cupy_backends")  # the packages whose errors are about a GPU
WORDS = ("out of memory", "OUT_OF_MEMORY", "ALLOC_FAILED")  # about memory, in errors that are no MemoryError


def explain(cupy: Any, error: BaseException, doing: str) -> OutOfMemoryError | DeviceError | None:
    """What an error of CuPy means, for something done; None for errors of others and about something else."""
    if type(error).__module__.split(".")[0] not in OURS:
        return None
    if is_short(error):
        asked = _number(r"allocating ([\d,]+) bytes", error)
        limit = _number(r"limit set to: ([\d,]+) bytes", error)
        what = f"asked for {amount(asked)}" if asked else reason(error)
        return out_of_memory(
            doing, "on the GPU", what, free_memory(cupy), f"CuPy may take {amount(limit)}" if limit else ""
        )
    return DeviceError(f"{doing}: {error}; the GPU failed, start anew") if isinstance(error, RuntimeError) else None


def is_short(error: BaseException) -> bool:
    """Whether an error of CuPy says that memory is short."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in WORDS)


def free_memory(cupy: Any) -> str:
    """How much of the GPU's memory is free, or nothing where it does not say."""
    try:
        free, total = cupy.cuda.runtime.memGetInfo()
    except Exception:  # this may be just what fails
        return ""
    return f"{amount(free)} of {amount(total)} free"


def _number(pattern: str, error: BaseException) -> int | None:
    found = re.search(pattern, str(error))
    return int(found[1].replace(",", "")) if found else None
