"""Printing: the hooks through which `minigrad.show`, a layer above, defines how tapes and programs are shown."""

from __future__ import annotations

from functools import singledispatch
from typing import Any


@singledispatch
def as_text(x: Any) -> str:
    """x as text with one line per entry. `minigrad.show` registers a function for each class."""
    return object.__repr__(x)


@singledispatch
def as_html(x: Any) -> str:
    """The same as HTML, for notebooks."""
    raise NotImplementedError(type(x).__name__)
