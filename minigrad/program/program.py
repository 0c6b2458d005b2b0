"""A program: what a function did to arrays, as a flat list of instructions in an order that can be run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minigrad import tree
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


@dataclass(frozen=True)
class Program:
    """Instructions from `inputs` (slots) to `outputs` (slots or constants, in a tree)."""

    kinds: tuple[Kind, ...]  # by slot
    inputs: tuple[int, ...]
    instructions: tuple[Instruction, ...]
    outputs: tuple[int | Constant, ...]
    structure: tree.Structure

    def __len__(self) -> int:
        return len(self.instructions)

    def __str__(self) -> str:
        """One instruction a line: result, operation, operands, kind, FLOPs, bytes touched, and the user's line."""
        rows = [[f"%{slot} = input", str(self.kinds[slot]), "", "", ""] for slot in self.inputs]
        for instruction in self.instructions:
            shown = [f"%{o}" if isinstance(o, int) else str(o) for o in instruction.operands]
            shown += [f"{name}={value!r}" for name, value in instruction.params.items() if value is not None]
            cost = self.cost(instruction)
            rows.append(
                [
                    f"%{instruction.result} = {instruction.primitive.name}({', '.join(shown)})",
                    str(self.kinds[instruction.result]),
                    f"{_short(cost.flops)}FLOP" if cost.flops else "",
                    "view" if instruction.primitive.view_of is not None else f"{_short(cost.bytes)}B",
                    f"{instruction.origin.file}:{instruction.origin.line}",
                ]
            )
        widths = [max((len(row[i]) for row in rows), default=0) for i in range(4)]
        lines = ["  ".join([*(cell.ljust(w) for cell, w in zip(row, widths)), row[4]]).rstrip() for row in rows]
        returned = ", ".join(f"%{o}" if isinstance(o, int) else str(o) for o in self.outputs)
        return "\n".join([*lines, f"return {returned}"])

    def cost(self, instruction: Instruction) -> Cost:
        """Floating-point operations and bytes read and written by one instruction."""
        kinds = [self.kinds[o] if isinstance(o, int) else kind_of(o.value) for o in instruction.operands]
        result = self.kinds[instruction.result]
        if instruction.primitive.view_of is not None:
            return Cost(0, 0)
        flops = FLOPS.get(instruction.primitive.name, _one_each)(kinds, result, instruction.params)
        return Cost(flops, sum(kind.bytes for kind in kinds) + result.bytes)

    @property
    def flops(self) -> int:
        """Floating-point operations of one run."""
        return sum(self.cost(instruction).flops for instruction in self.instructions)


class Cost(NamedTuple):
    """What an instruction takes."""

    flops: int
    bytes: int


def _one_each(kinds: list[Kind], result: Kind, params: dict) -> int:
    return max([math.prod(kind.shape) for kind in [*kinds, result]], default=0)


def _none(kinds: list[Kind], result: Kind, params: dict) -> int:
    return 0


FLOPS = {
    "matmul": lambda kinds, result, params: 2 * math.prod(result.shape) * kinds[0].shape[-1],
    "conv": lambda kinds, result, params: 2 * math.prod(result.shape) * math.prod(kinds[1].shape[:3]),
    "conv_input": lambda kinds, result, params: 2 * math.prod(kinds[0].shape) * math.prod(kinds[1].shape[:3]),
    "conv_kernel": lambda kinds, result, params: 2 * math.prod(kinds[1].shape) * math.prod(result.shape[:3]),
    **dict.fromkeys(("copy", "pad", "unslice", "gather", "concatenate", "zeros_like", "astype"), _none),
}
"""A multiplication and an addition each count as one; what is not here counts one for each element it reads."""


def _short(count: int) -> str:
    for unit in ("", "k", "M", "G"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} T"
