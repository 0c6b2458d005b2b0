"""Names of test cases whose parameter is a lambda: the text of its body, which pytest calls `<lambda>`."""

from __future__ import annotations

import linecache
from types import FunctionType


def body_of(function: FunctionType) -> str | None:
    """The text of a lambda's body, on one line; None where the interpreter keeps no columns."""
    places = [p for p in function.__code__.co_positions() if None not in p and p[2:] != (0, 0)]
    if not places:
        return None
    (first, start), (last, end) = min((p[0], p[2]) for p in places), max((p[1], p[3]) for p in places)
    lines = [line.encode() for line in linecache.getlines(function.__code__.co_filename)[first - 1 : last]]
    if not lines:
        return None
    lines[-1] = lines[-1][:end]  # first the end: both may be in one line
    lines[0] = lines[0][start:]
    return " ".join(b" ".join(lines).decode().split())


def name_of(value: object) -> str | None:
    """The name of a parameter, where it is a lambda; None to leave it to pytest."""
    return body_of(value) if isinstance(value, FunctionType) and value.__name__ == "<lambda>" else None
