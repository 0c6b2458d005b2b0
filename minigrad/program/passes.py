"""Passes: constant folding, common subexpressions and dead code. Each takes a graph and returns one with less to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from minigrad.backends import NEUTRAL
from minigrad.core.vectors import zeros_like_p
from minigrad.program.graph import Constant, Graph, Instruction
from minigrad.program.tuning import Tuning


def simplify(graph: Graph, tuning: Tuning) -> Graph:
    """All passes."""
    return remove_dead_code(share_subexpressions(fold_constants(graph, tuning)))


def fold_constants(graph: Graph, tuning: Tuning) -> Graph:
    """Compute now what is the same in every run: a gradient begins with some of that.

    An array of equal elements is one element, broadcast; such are zeros_like of anything, views of such arrays and
    arithmetic with them.
    """
    known: dict[int, Constant] = {}
    kept: list[Instruction] = []
    for instruction in graph.instructions:
        instruction = instruction._replace(operands=_substitute(instruction.operands, known))
        value = _value_of(instruction, graph, tuning)
        if value is None:
            kept.append(instruction)
        else:
            known[instruction.result] = Constant(value)
    return replace(graph, instructions=tuple(kept), outputs=_substitute(graph.outputs, known))


def share_subexpressions(graph: Graph) -> Graph:
    """Compute each thing once: the same primitive of the same operands gives the same result."""
    same: dict[int, int] = {}
    seen: dict[Any, int] = {}
    kept: list[Instruction] = []
    for instruction in graph.instructions:
        instruction = instruction._replace(operands=_substitute(instruction.operands, same))
        params = repr(sorted(instruction.params.items()))
        key = instruction.primitive, instruction.operands, params
        if key in seen:
            same[instruction.result] = seen[key]
        else:
            seen[key] = instruction.result
            kept.append(instruction)
    return replace(graph, instructions=tuple(kept), outputs=_substitute(graph.outputs, same))


def remove_dead_code(graph: Graph) -> Graph:
    """Leave out what no output depends on."""
    needed = {output for output in graph.outputs if isinstance(output, int)}
    kept: list[Instruction] = []
    for instruction in reversed(graph.instructions):
        if instruction.result in needed:
            kept.append(instruction)
            needed.update(instruction.reads())
    return replace(graph, instructions=tuple(reversed(kept)))


def _substitute(operands: Iterable[int | Constant], known: Mapping[int, int | Constant]) -> tuple[int | Constant, ...]:
    """Operands, with what is known to equal a slot in place of it."""
    return tuple(known.get(o, o) if isinstance(o, int) else o for o in operands)


def _value_of(instruction: Instruction, graph: Graph, tuning: Tuning) -> Any:
    """What an instruction gives in every run; None where that varies, or would take much memory."""
    primitive, kind, xp = instruction.primitive, graph.kinds[instruction.result], graph.backend.xp
    if primitive is zeros_like_p:
        return xp.broadcast_to(xp.zeros((), kind.dtype), kind.shape)
    if instruction.reads():
        return None
    values = [operand.value for operand in instruction.operands]
    one = [_element_of(value) for value in values]
    if all(element is not None for element in one) and (primitive.traits.exact or primitive.view_of is not None):
        element = one[0] if primitive.view_of is not None else primitive.forward(graph.backend, *one)
        return xp.broadcast_to(xp.asarray(element, kind.dtype), kind.shape)
    return instruction.run(graph.backend, values) if kind.bytes <= tuning.largest_constant else None


def _element_of(value: Any) -> Any:
    """The element that all of a constant consists of; None if there are several."""
    if isinstance(value, NEUTRAL):
        return value
    return value[(0,) * value.ndim] if value.size and not any(value.strides) else None
