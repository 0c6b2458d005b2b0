"""Passes: the same program with less to do. Each takes a program and returns one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from minigrad.backends import NEUTRAL
from minigrad.program.graph import Constant, Instruction
from minigrad.program.program import Program


def simplified(program: Program) -> Program:
    """All passes."""
    return without_dead_code(without_repetition(folded(program)))


LARGEST = 1 << 16  # bytes of a constant worth keeping


def folded(program: Program) -> Program:
    """Compute now what is the same in every run: a gradient begins with some of that.

    An array of equal elements is one element, broadcast; such are zeros_like of anything, views of such arrays and
    arithmetic with them.
    """
    known: dict[int, Constant] = {}
    kept: list[Instruction] = []
    for instruction in program.instructions:
        operands = tuple(known.get(o, o) if isinstance(o, int) else o for o in instruction.operands)
        instruction = instruction._replace(operands=operands)
        value = _value_of(instruction, program)
        if value is None:
            kept.append(instruction)
        else:
            known[instruction.result] = Constant(value)
    outputs = tuple(known.get(o, o) if isinstance(o, int) else o for o in program.outputs)
    return replace(program, instructions=tuple(kept), outputs=outputs)


def _value_of(instruction: Instruction, program: Program) -> Any:
    """What an instruction gives in every run; None where that varies, or would take much memory."""
    primitive, kind, xp = instruction.primitive, program.kinds[instruction.result], program.backend.xp
    if primitive.name == "zeros_like":
        return xp.broadcast_to(xp.zeros((), kind.dtype), kind.shape)
    if any(isinstance(operand, int) for operand in instruction.operands):
        return None
    values = [operand.value for operand in instruction.operands]
    one = [_element(value) for value in values]
    if all(element is not None for element in one) and (primitive.traits.exact or primitive.view_of is not None):
        element = one[0] if primitive.view_of is not None else primitive.forward(program.backend, *one)
        return xp.broadcast_to(xp.asarray(element, kind.dtype), kind.shape)
    return instruction.run(program.backend, values) if kind.bytes <= LARGEST else None


def _element(value: Any) -> Any:
    """The element that all of a constant consists of; None if there are several."""
    if isinstance(value, NEUTRAL):
        return value
    return value[(0,) * value.ndim] if value.size and not any(value.strides) else None


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
