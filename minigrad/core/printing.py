"""Printing: how a tape or a program is written as text is for `minigrad.show` to say, which stands above both."""

from __future__ import annotations

from functools import singledispatch
from typing import Any


@singledispatch
def as_text(x: Any) -> str:
    """x in lines for people to read; `show` registers a function for each class that is printed this way."""
    return object.__repr__(x)
