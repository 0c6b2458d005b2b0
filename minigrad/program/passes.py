"""Passes: the same program with less to do. Each takes a program and returns one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from minigrad.backends import NEUTRAL
from minigrad.program.instructions import Constant, Instruction
from minigrad.program.program import Program


def simplified(program: Program) -> Program:
    """All passes."""
    return without_dead_code(without_repetition(program))


def without_dead_code(program: Program) -> Program:
    """Leave out what no output depends on."""
    needed = {output for output in program.outputs if isinstance(output, int)}
    kept: list[Instruction] = []
    for instruction in reversed(program.instructions):
        if instruction.result in needed:
            kept.append(instruction)
            needed.update(instruction.reads())
    return replace(program, instructions=tuple(reversed(kept)))


def without_repetition(program: Program) -> Program:
    """Compute each thing once: the same primitive of the same operands gives the same result."""
    same: dict[int, int] = {}
    seen: dict[Any, int] = {}
    kept: list[Instruction] = []
    for instruction in program.instructions:
        operands = tuple(same.get(o, o) if isinstance(o, int) else o for o in instruction.operands)
        key = instruction.primitive.name, tuple(map(_identity, operands)), repr(sorted(instruction.params.items()))
        if key in seen:
            same[instruction.result] = seen[key]
        else:
            seen[key] = instruction.result
            kept.append(instruction._replace(operands=operands))
    outputs = tuple(same.get(o, o) if isinstance(o, int) else o for o in program.outputs)
    return replace(program, instructions=tuple(kept), outputs=outputs)


def _identity(operand: int | Constant) -> Any:
    """Equal for operands that are the same in every run; 1, 1.0 and −0.0 are not the same."""
    if isinstance(operand, int):
        return operand
    value = operand.value
    return (type(value), repr(value)) if isinstance(value, NEUTRAL) else ("array", id(value))
