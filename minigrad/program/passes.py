"""Passes: constants, common subexpressions, equal views and dead code. Each takes a graph and returns a simpler one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from minigrad.backends import NEUTRAL
from minigrad.core.interpreter import evaluate
from minigrad.core.vectors import zeros_like_p
from minigrad.program.graph import Constant, Graph, Instruction
from minigrad.program.tuning import Tuning
from minigrad.program.views import find_views


def simplify(graph: Graph, tuning: Tuning) -> Graph:
    """Apply all passes."""
    return remove_dead_code(share_views(share_subexpressions(fold_constants(graph, tuning))))


def fold_constants(graph: Graph, tuning: Tuning) -> Graph:
    """Replace results that are the same in every run by constants, and those that equal an operand by that operand;
    gradients begin with several such results.

    An array of equal elements is stored as one element, broadcast: zeros_like of anything, views of such arrays, and
    arithmetic on them.
    """
    known: dict[int, int | Constant] = {}
    kept: list[Instruction] = []
    for instruction in graph.instructions:
        instruction = _substitute_in(instruction, known)
        value, copied = _value_of(instruction, graph, tuning), _find_copied(instruction, graph)
        if value is not None:
            known[instruction.result] = Constant(value)
        elif copied is not None:
            known[instruction.result] = copied
        else:
            kept.append(instruction)
    return replace(graph, instructions=tuple(kept), outputs=substitute(graph.outputs, known))


def share_subexpressions(graph: Graph) -> Graph:
    """Compute each common subexpression once: the same primitive on the same operands with the same parameters.

    A checkpointed call that runs again, which saves memory, shares nothing with what does not wait for the same values.
    """
    same: dict[int, int] = {}
    seen: dict[Any, int] = {}
    kept: list[Instruction] = []
    for instruction in graph.instructions:
        instruction = _substitute_in(instruction, same)
        params = repr(sorted(instruction.params.items()))
        key = instruction.primitive, instruction.operands, params, instruction.awaits
        if key in seen:
            same[instruction.result] = seen[key]
        else:
            seen[key] = instruction.result
            kept.append(instruction)
    return replace(graph, instructions=tuple(kept), outputs=substitute(graph.outputs, same))


def share_views(graph: Graph) -> Graph:
    """Use the first of several values that show the same elements in the same shape: x for x.T.T, for a slice of all of
    it, or for a reshape there and back.

    Views with a derivative of their own, such as `stop_gradient`, are values like any other.
    """
    views = find_views(graph)
    owners = {slot: slot for slot in graph.inputs}  # the value that a slot is a view of
    first: dict[Any, int] = {}
    same: dict[int, int] = {}
    for i in graph.instructions:
        operand = (
            i.operands[i.primitive.view_of] if i.result in views.slots and i.primitive.traits.transparent else None
        )
        owners[i.result] = owners[operand] if isinstance(operand, int) else i.result
    for slot, owner in owners.items():
        same[slot] = first.setdefault((owner, views.shown[slot].normalised()), slot)
    kept = tuple(_substitute_in(i, same) for i in graph.instructions if same[i.result] == i.result)
    return replace(graph, instructions=kept, outputs=substitute(graph.outputs, same))


def remove_dead_code(graph: Graph) -> Graph:
    """Remove instructions that no output depends on; nothing waits for them any more. Operations between processes are
    kept: the output of another process may depend on them."""
    needed = {output for output in graph.outputs if isinstance(output, int)}
    kept: list[Instruction] = []
    for instruction in reversed(graph.instructions):
        if instruction.result in needed or instruction.primitive.traits.collective:
            kept.append(instruction)
            needed.update(instruction.reads())
    there = {*graph.inputs, *(instruction.result for instruction in kept)}
    for i, instruction in enumerate(kept):
        awaits = tuple(x for x in instruction.awaits if isinstance(x, Constant) or x in there)
        kept[i] = instruction._replace(awaits=awaits)
    return replace(graph, instructions=tuple(reversed(kept)))


def _substitute_in(instruction: Instruction, known: Mapping[int, int | Constant]) -> Instruction:
    """An instruction, in which slots are replaced by what they are known to equal."""
    operands, awaits = substitute(instruction.operands, known), substitute(instruction.awaits, known)
    return instruction._replace(operands=operands, awaits=awaits)


def substitute(operands: Iterable[int | Constant], known: Mapping[int, int | Constant]) -> tuple[int | Constant, ...]:
    """Operands, in which slots are replaced by what they are known to equal."""
    return tuple(known.get(o, o) if isinstance(o, int) else o for o in operands)


def _value_of(instruction: Instruction, graph: Graph, tuning: Tuning) -> Any:
    """The result of an instruction if it is the same in every run; None if it varies or would take much memory."""
    primitive, kind, xp = instruction.primitive, graph.kinds[instruction.result], graph.backend.xp
    if primitive is zeros_like_p:
        return xp.broadcast_to(xp.zeros((), kind.dtype), kind.shape)
    if instruction.reads() or primitive.traits.collective:
        return None
    values = [operand.value for operand in instruction.operands]
    one = [_element_of(value) for value in values]
    if all(element is not None for element in one) and (primitive.traits.exact or primitive.view_of is not None):
        element = one[0] if primitive.view_of is not None else evaluate(primitive, graph.backend, one, {})
        return xp.broadcast_to(xp.asarray(element, kind.dtype), kind.shape)
    return instruction.run(graph.backend, values) if kind.bytes <= tuning.largest_constant else None


def _find_copied(instruction: Instruction, graph: Graph) -> int | None:
    """The operand that the result equals; None if it computes something. Complex 1·z may differ from z: NumPy computes
    x − 0·y, which makes 0 of −0, and NaN of an infinity."""
    copies, values = instruction.primitive.traits.copies, [_constant_of(x) for x in instruction.operands]
    kind = graph.kinds[instruction.result]
    if copies is None or all(x is None for x in values) or kind.dtype.kind == "c":
        return None
    position = copies(values)
    operand = None if position is None else instruction.operands[position]
    return operand if isinstance(operand, int) and graph.kinds[operand] == kind else None


def _constant_of(operand: int | Constant) -> Any:
    """A constant whose elements are all equal as that element, and units as they are; None for other operands."""
    if isinstance(operand, int):
        return None
    element = _element_of(operand.value)
    return operand.value if element is None and operand.units else element


def _element_of(value: Any) -> Any:
    """The element of a constant that is a number or one element, broadcast; None for other arrays."""
    if isinstance(value, NEUTRAL):
        return value
    return value[(0,) * value.ndim] if value.size and not any(value.strides) else None
