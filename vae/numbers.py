"""Check numbers that users give, Python's or NumPy's, and convert them to Python's, for shapes and JSON;
write factors of formulas."""

from __future__ import annotations

from numbers import Real
from operator import index
from typing import Any

from vae.errors import UserError


def to_int(x: Any, name: str, least: int = 0, error: type[ValueError] = UserError) -> int:
    """An int, NumPy integer or zero-dimensional integer array as an int. Raises `error` for others or below `least`."""
    try:
        number = None if isinstance(x, bool) else index(x)
    except TypeError:
        number = None
    if number is None or number < least:
        raise error(f"{name} must be a whole number of at least {least}, got {x}")
    return number


def to_float(x: Any, name: str) -> float:
    """An int or float, Python's or NumPy's, as a float. Raises UserError for others."""
    if isinstance(x, bool) or not isinstance(x, Real):
        raise UserError(f"{name} must be a number, got {x!r}")
    return float(x)


def write_factor(factor: float) -> str:
    """A factor before a formula: `0.5·`, and nothing for 1."""
    return "" if f"{factor:.4g}" == "1" else f"{factor:.4g}·"
