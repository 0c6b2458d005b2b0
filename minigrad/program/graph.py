"""Instructions: one primitive each, from slots and constants to a slot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.backends import NEUTRAL, Backend
from minigrad.core.arrays import dtype_of, shape_of
from minigrad.core.interpreter import EXPLAINED, Primitive, Tracer, explained
from minigrad.core.origin import Origin
from minigrad.show.text import constant


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


def is_dynamic(leaf: Any) -> bool:
    """Whether a leaf of the arguments is data: arrays of numbers are; Python numbers and other things are code."""
    dtype = getattr(leaf, "dtype", None)
    return isinstance(dtype, np.dtype) and dtype.kind in "biufc"


def is_array(x: Any) -> bool:
    """Whether x is an array of numbers, which somebody may change; not a number, and not a traced value."""
    return is_dynamic(x) and not isinstance(x, (Tracer, *NEUTRAL))


def exact(x: Any) -> Any:
    """Equal for what no function tells apart: 1, 1.0 and True differ, and so do 0.0 and -0.0; a NaN is itself."""
    if isinstance(x, (float, complex)):
        return type(x), repr(x)
    if isinstance(x, (tuple, frozenset)):
        return type(x), (tuple if isinstance(x, tuple) else frozenset)(map(exact, x))
    return type(x), x


class Constant(NamedTuple):
    """An operand that is the same in every run."""

    value: Any

    def __str__(self) -> str:
        return constant(self.value)


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

    def run(self, backend: Backend, args: Sequence[Any], **changed: Any) -> Any:
        """The formula on arrays; `changed` are `out` and other parameters. Errors say what was computed on what."""
        try:
            return self.primitive.forward(backend, *args, **{**self.params, **changed})
        except EXPLAINED as error:
            raise explained(error, self.primitive, args, self.params) from error
