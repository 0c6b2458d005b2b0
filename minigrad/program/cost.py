"""Listing: a program as text, with what each instruction costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from minigrad.core.traits import Shape
from minigrad.program.graph import Constant, Instruction, Kind, kind_of
from minigrad.show.text import parameters, place


class Cost(NamedTuple):
    """What an instruction takes."""

    flops: int
    bytes: int


def cost(instruction: Instruction, kinds: Sequence[Kind]) -> Cost:
    """Floating-point operations and bytes read and written by one instruction."""
    operands = [kinds[o] if isinstance(o, int) else kind_of(o.value) for o in instruction.operands]
    result = kinds[instruction.result]
    if instruction.primitive.view_of is not None:
        return Cost(0, 0)
    count = instruction.primitive.traits.flops or _one_each
    flops = count([kind.shape for kind in operands], result.shape, instruction.params)
    return Cost(flops, sum(kind.bytes for kind in operands) + result.bytes)


def _one_each(operands: Sequence[Shape], result: Shape, params: dict) -> int:
    """One for each element read; a multiplication and an addition each count as one."""
    return max(map(math.prod, [*operands, result]), default=0)


def listing(
    inputs: Sequence[int],
    instructions: Sequence[Instruction],
    outputs: Sequence[int | Constant],
    kinds: Sequence[Kind],
) -> str:
    """One instruction a line: result, operation, operands, kind, FLOPs, bytes touched, and the user's line."""
    rows = [[f"%{slot} = input", str(kinds[slot]), "", "", ""] for slot in inputs]
    for instruction in instructions:
        shown = [f"%{o}" if isinstance(o, int) else str(o) for o in instruction.operands]
        shown += parameters(instruction.params)
        took = cost(instruction, kinds)
        rows.append(
            [
                f"%{instruction.result} = {instruction.primitive.name}({', '.join(shown)})",
                str(kinds[instruction.result]),
                f"{_short(took.flops)}FLOP" if took.flops else "",
                "view" if instruction.primitive.view_of is not None else f"{_short(took.bytes)}B",
                place(instruction.origin),
            ]
        )
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(4)]
    lines = ["  ".join([*(cell.ljust(w) for cell, w in zip(row, widths)), row[4]]).rstrip() for row in rows]
    returned = ", ".join(f"%{o}" if isinstance(o, int) else str(o) for o in outputs)
    return "\n".join([*lines, f"return {returned}"])


def _short(count: int) -> str:
    for unit in ("", "k", "M", "G"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} T"
