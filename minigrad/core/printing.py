"""Printing: the hook through which `minigrad.show`, a layer above, defines how tapes and programs are printed."""

from __future__ import annotations

from functools import singledispatch
from typing import Any


@singledispatch
def as_text(x: Any) -> str:
    """x as text with one line per entry. `minigrad.show` registers a function for each class."""
    return object.__repr__(x)
