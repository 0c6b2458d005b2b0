"""Loops: chains of elementwise operations, from which kernels are generated for every kind of device.

A loop computes `count` elements. For element i it takes all its steps in turn, in registers, and stores results at the
end. Steps refer to earlier steps by their position in the list:

    Index    an index other than i, to read a transposed, broadcast or sliced array
    Load     an element in memory
    Number   a constant
    Noise    a random number drawn where it is used, from its key and its position in the stream
    Apply    a primitive applied to earlier steps
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minigrad.backends.formulas import TYPES, Formula


class Index(NamedTuple):
    """offset + Σ (at / inner % length)·stride over (inner, length, stride) in `axes`; `at` is an Index step or i."""

    at: int | None
    axes: tuple[tuple[int, int, int], ...]
    offset: int


class Load(NamedTuple):
    """The element of an argument at an Index step (or i)."""

    argument: int
    at: int | None
    dtype: np.dtype


class Number(NamedTuple):
    """A constant; without a dtype it takes that of the other operands."""

    value: bool | int | float
    dtype: np.dtype | None


class Noise(NamedTuple):
    """Number offset + start + index of a stream: `name` is "normal" or "uniform", `key` an argument, `start` a step."""

    name: str
    key: int
    key_offset: int
    start: int | None
    offset: int
    at: int | None
    dtype: np.dtype


class Apply(NamedTuple):
    """An elementwise operation; `within` is the dtype that it computes in."""

    formula: Formula
    steps: tuple[int, ...]
    within: np.dtype
    dtype: np.dtype


Step = Index | Load | Number | Noise | Apply


class Loop(NamedTuple):
    """The steps for each of `count` elements, and the arguments that results are stored in."""

    count: int
    steps: tuple[Step, ...]
    stores: tuple[tuple[int, int], ...]  # (step, argument)


def apply_source(number: int, step: Apply) -> str:
    """The C++ statement that applies a formula; step n is the variable v<n>."""
    within, values = TYPES[step.within], list(step.steps)
    condition = [f"const bool c = v{values.pop(0)}"] if step.formula.selects else []
    operands = [f"const {within} {name} = ({within})v{v}" for name, v in zip("abc", values)]
    value = re.sub(r"\breal\b", within, step.formula.source(step.within, step.dtype))
    return f"{TYPES[step.dtype]} v{number}; {{ {'; '.join(condition + operands)}; v{number} = {value}; }}"


def number_source(number: int, step: Number, special: Callable[[float], str]) -> str:
    """The C++ statement of a constant; `special` writes infinities and NaN, which C++ has no literals for."""
    return f"const {TYPES[step.dtype]} v{number} = {_literal(step.value, special)};"


def _literal(value: bool | int | float, special: Callable[[float], str]) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value}ll" if value != -(2**63) else f"({value + 1}ll - 1)"  # C++ has no negative literals
    return value.hex() if math.isfinite(value) else special(value)
