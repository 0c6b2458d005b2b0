"""What to say when memory is short: what was being done, how much was asked for, what is left, and what to do."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from minigrad.backends import OutOfMemoryError, _by_device
from minigrad.backends.cuda.machine import amount

OURS = ("cupy", "cupy_backends")  # whose errors may be about a GPU's memory
WORDS = ("out of memory", "OUT_OF_MEMORY", "ALLOC_FAILED")  # in those that are no MemoryError


def of_cupy(error: BaseException) -> bool:
    """Whether CuPy raised it."""
    return type(error).__module__.split(".")[0] in OURS


def short(error: BaseException) -> bool:
    """Whether an error says that memory is short."""
    return isinstance(error, MemoryError) or (of_cupy(error) and any(words in str(error) for words in WORDS))


def out_of_memory(error: BaseException, doing: str) -> OutOfMemoryError:
    """The error in our words, for something done, as messages print it."""
    asked = getattr(error, "_total_size", None) or _number(r"allocating ([\d,]+) bytes", error)  # NumPy's, or CuPy's
    limit = _number(r"limit set to: ([\d,]+) bytes", error)
    what = f"asked for {amount(asked)}" if asked else reason(error)
    capped = f", CuPy may take {amount(limit)}" if limit else ""
    gpu = _by_device.get("cuda")
    left = spare(gpu.xp) if gpu and of_cupy(error) else ""
    where = "on the GPU" if of_cupy(error) else "here"
    return OutOfMemoryError(f"{doing}: not enough memory {where} ({what}{left}{capped}): use a smaller batch")


def spare(cupy: Any) -> str:
    """How much of a GPU's memory is free, or nothing where it does not say."""
    try:
        free, total = cupy.cuda.runtime.memGetInfo()
    except Exception:  # this may be just what fails
        return ""
    return f", {amount(free)} of {amount(total)} free"


def _number(pattern: str, error: BaseException) -> int | None:
    found = re.search(pattern, str(error))
    return int(found[1].replace(",", "")) if found else None


def reason(error: BaseException) -> str:
    """The line of an error that says something: CuPy frames the original of an ImportError in advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" =|-")]
    told = [after for line, after in pairwise(lines) if line == "Original error:"] or lines[:1]
    return (told or [type(error).__name__])[0].rstrip(".:,")[:300]
