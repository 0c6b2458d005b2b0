"""Out-of-memory messages: what was being done, how much memory it asked for, how much is left, and what to do."""

from __future__ import annotations

from itertools import pairwise

from minigrad.backends.backend import OutOfMemoryError


def explain(error: BaseException, doing: str) -> OutOfMemoryError | None:
    """The error to raise instead of a MemoryError of the host while `doing` something; None for any other error."""
    if not isinstance(error, MemoryError):
        return None
    asked = getattr(error, "_total_size", None)  # NumPy's
    return out_of_memory(doing, "here", f"asked for {amount(asked)}" if asked else reason(error))


def out_of_memory(doing: str, where: str, *facts: str) -> OutOfMemoryError:
    """The error that users see, with the facts that are known; empty ones are left out."""
    return OutOfMemoryError(
        f"{doing}: not enough memory {where} ({', '.join(filter(None, facts))}): use a smaller batch"
    )


def amount(count: float) -> str:
    """A number of bytes in readable units.

    >>> amount(0), amount(1536), amount(2**31)
    ('0 bytes', '1.5 KiB', '2 GiB')
    """
    units = iter(("bytes", "KiB", "MiB", "GiB"))
    for unit in units:
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:,.3g} TiB" if count < 1000 else f"{count:,.0f} TiB"


def reason(error: BaseException) -> str:
    """The informative line of an error: CuPy surrounds the original message of an ImportError with advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" =|-")]
    found = [after for line, after in pairwise(lines) if line == "Original error:"] or lines[:1]
    return (found or [type(error).__name__])[0].rstrip(".:,")[:300]
