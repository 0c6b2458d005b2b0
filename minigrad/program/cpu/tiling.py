"""Tiling: how one instruction becomes several, each on a part of its arrays along a cut (`minigrad.core.traits`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad.backends.dtypes import is_bfloat16
from minigrad.core.rules import Elementwise
from minigrad.core.traits import Cut, Shape, along_any_axis
from minigrad.program.graph import Graph, Instruction


def find_cuts(instruction: Instruction, graph: Graph) -> list[Cut]:
    """All ways to cut an instruction along an axis of length 2 or more; many instructions have none, and those on
    bfloat16 arrays run whole: terms of a sum would be rounded."""
    primitive = instruction.primitive
    ways = primitive.traits.cuts or (along_any_axis if isinstance(primitive.rule, Elementwise) else None)
    kinds, result = [graph.kind(operand) for operand in instruction.operands], graph.kinds[instruction.result]
    if ways is None or any(is_bfloat16(kind.dtype) for kind in (*kinds, result)):
        return []
    shapes, result = [kind.shape for kind in kinds], result.shape
    return [cut for cut in ways(shapes, result, instruction.params) if length_of(cut, shapes, result) > 1]


def length_of(cut: Cut, operands: Sequence[Shape], result: Shape) -> int:
    """The length of the axis that is cut."""
    if cut.result is not None:
        return result[cut.result]
    return next(shape[axis] for shape, axis in zip(operands, cut.operands) if axis is not None)


def params_of(instruction: Instruction, cut: Cut, result: Shape, rows: slice) -> dict[str, Any]:
    """The parameters of an instruction on one part."""
    params, part = instruction.params, instruction.primitive.traits.part
    if cut.result is None:
        return params
    if part is not None:
        return part(params, result, rows)
    if "shape" not in params:
        return params
    return {**params, "shape": (*result[: cut.result], rows.stop - rows.start, *result[cut.result + 1 :])}
