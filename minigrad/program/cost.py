"""Cost: how much arithmetic an instruction does, and how much memory it touches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from minigrad.core.traits import Shape
from minigrad.program.graph import Graph, Instruction


class Cost(NamedTuple):
    """Arithmetic and memory traffic of an instruction or a graph."""

    flops: int  # a multiplication and an addition each count as one
    bytes: int  # read and written


def cost_of(instruction: Instruction, graph: Graph) -> Cost:
    """The cost of one instruction of a graph; views cost nothing."""
    if instruction.primitive.view_of is not None:
        return Cost(0, 0)
    operands, result = list(map(graph.kind, instruction.operands)), graph.kinds[instruction.result]
    flops = (instruction.primitive.traits.flops or _count_elements)(
        [kind.shape for kind in operands], result.shape, instruction.params
    )
    return Cost(flops, sum(kind.bytes for kind in operands) + result.bytes)


def total_cost(graph: Graph) -> Cost:
    """The total cost of the instructions of a graph."""
    costs = [cost_of(instruction, graph) for instruction in graph.instructions]
    return Cost(sum(cost.flops for cost in costs), sum(cost.bytes for cost in costs))


def _count_elements(operands: Sequence[Shape], result: Shape, params: dict[str, Any]) -> int:
    """The elements of the largest operand or of the result, whichever are more."""
    return max(map(math.prod, [*operands, result]), default=0)
