"""How tapes and programs are printed: a function that `minigrad.show`, which is above them, registers the text with."""

from __future__ import annotations

from functools import singledispatch
from typing import Any


@singledispatch
def lines_of(x: Any) -> str:
    """x as text for people to read, one line for each thing that was done."""
    return repr(x)
