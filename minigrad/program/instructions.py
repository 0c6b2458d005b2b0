"""Instructions: one primitive each, from slots and constants to a slot."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from minigrad.core import Origin, Primitive, describe, dtype_of, shape_of


class Kind(NamedTuple):
    """Shape and dtype of what a slot holds."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


def kind_of(x: Any) -> Kind:
    """Shape and dtype of an array or number."""
    return Kind(tuple(shape_of(x)), dtype_of(x))


class Constant(NamedTuple):
    """An operand that is the same in every run."""

    value: Any

    def __str__(self) -> str:
        return (
            describe(self.value)
            if shape_of(self.value)
            else f"{self.value:.6g}"
            if _real(self.value)
            else str(self.value)
        )


def _real(x: Any) -> bool:
    return isinstance(x, (float, np.floating))


class Instruction(NamedTuple):
    """One primitive: operands are slot numbers or constants, the result goes to a slot."""

    primitive: Primitive
    operands: tuple[int | Constant, ...]
    params: dict[str, Any]
    result: int
    origin: Origin

    def reads(self) -> list[int]:
        """The slots it reads."""
        return [operand for operand in self.operands if isinstance(operand, int)]
