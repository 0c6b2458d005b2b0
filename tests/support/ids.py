"""Names for test cases whose parameter is a lambda: the text of its body instead of `<lambda>`."""

from __future__ import annotations

import linecache
from types import FunctionType


def body_of(function: FunctionType) -> str | None:
    """The source text of a lambda's body on one line; None if Python keeps no column numbers or no source."""
    places = [p for p in function.__code__.co_positions() if None not in p and p[2:] != (0, 0)]
    if not places:
        return None
    (first, start), (last, end) = min((p[0], p[2]) for p in places), max((p[1], p[3]) for p in places)
    lines = [line.encode() for line in linecache.getlines(function.__code__.co_filename)[first - 1 : last]]
    if not lines:
        return None
    lines[-1] = lines[-1][:end]  # cut the end first: both may be on one line
    lines[0] = lines[0][start:]
    return " ".join(b" ".join(lines).decode().split())


def name_of(value: object) -> str | None:
    """The name of a parameter that is a lambda; None for others, which pytest names."""
    return body_of(value) if isinstance(value, FunctionType) and value.__name__ == "<lambda>" else None
