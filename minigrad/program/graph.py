"""Graph: what a program computes, as pure data. Numbered slots, and instructions that fill one slot each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minigrad.backends import NEUTRAL, Backend
from minigrad.backends.dtypes import is_numeric
from minigrad.core.arrays import dtype_of, shape_of
from minigrad.core.interpreter import EXPLAINED, Primitive, Tracer, evaluate, explain_error
from minigrad.core.origin import Origin
from minigrad.core.printing import as_text


class Kind(NamedTuple):
    """Shape and dtype of what a slot holds."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, eq=False)
class Constant:
    """An operand that is the same in every run. Numbers with the same bits are equal; an array equals only itself.

    `units` says that it is an array of unit tangents or cotangents, with which a Jacobian begins."""

    value: Any
    units: bool = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> Any:
        value = self.value
        return (type(value), repr(value)) if isinstance(value, NEUTRAL) else id(value)

    def __str__(self) -> str:
        return as_text(self)


class Instruction(NamedTuple):
    """One primitive: operands are slot numbers or constants, the result goes to a slot."""

    primitive: Primitive
    operands: tuple[int | Constant, ...]
    params: dict[str, Any]
    result: int
    origin: Origin
    awaits: tuple[int | Constant, ...] = ()
    """What has to be there before, though it is not read: in the second run of a checkpointed call, the cotangents it
    is for; for an operation between processes, the result of the one before."""

    def reads(self) -> list[int]:
        """The slots it reads."""
        return [operand for operand in self.operands if isinstance(operand, int)]

    @property
    def results(self) -> tuple[int]:
        """The slot that it fills."""
        return (self.result,)

    @property
    def instructions(self) -> tuple[Instruction]:
        """Itself, as a chain of one."""
        return (self,)

    def run(self, backend: Backend, args: Sequence[Any]) -> Any:
        """The result for these arrays. Errors name the primitive and its operands."""
        try:
            return evaluate(self.primitive, backend, args, self.params)
        except EXPLAINED as error:
            raise explain_error(error, self.primitive, args, self.params) from error


@dataclass(frozen=True, eq=False)
class Graph:
    """Instructions from `inputs` to `outputs`, in an order in which they can run."""

    backend: Backend
    kinds: tuple[Kind, ...]  # by slot
    inputs: tuple[int, ...]  # slots
    instructions: tuple[Instruction, ...]
    outputs: tuple[int | Constant, ...]
    donated: tuple[int, ...] = ()  # inputs that a run may overwrite with results

    def kind(self, operand: int | Constant) -> Kind:
        """Shape and dtype of a slot or a constant."""
        return self.kinds[operand] if isinstance(operand, int) else kind_of(operand.value)

    def constant_arrays(self) -> Iterator[Any]:
        """The arrays among the constants that a run reads or returns."""
        for operand in (*self.outputs, *(operand for i in self.instructions for operand in i.operands)):
            if isinstance(operand, Constant) and is_array(operand.value):
                yield operand.value


def kind_of(x: Any) -> Kind:
    """Shape and dtype of an array or number."""
    return Kind(tuple(shape_of(x)), dtype_of(x))


def is_dynamic(leaf: Any) -> bool:
    """Whether a leaf of the arguments is data (an array of numbers); Python numbers and all else belong to the code."""
    dtype = getattr(leaf, "dtype", None)
    return isinstance(dtype, np.dtype) and is_numeric(dtype)


def is_array(x: Any) -> bool:
    """Whether x is an array of numbers, whose elements may change; NumPy scalars and traced values are not."""
    return is_dynamic(x) and not isinstance(x, (Tracer, *NEUTRAL))
