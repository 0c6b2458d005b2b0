"""A program as text: one instruction a line, with its cost."""

from __future__ import annotations

from minigrad.core.printing import as_text
from minigrad.program.cost import cost_of
from minigrad.program.graph import Constant, Graph, Instruction
from minigrad.program.program import Program
from minigrad.show.text import constant, parameters, place


@as_text.register
def program_text(program: Program) -> str:
    """One instruction a line: result, operation, operands, kind, FLOPs, bytes touched, and the user's line."""
    graph = program.graph
    rows = [[f"%{slot} = input", str(graph.kinds[slot]), "", "", ""] for slot in graph.inputs]
    rows += [_row(instruction, graph) for instruction in graph.instructions]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(4)]
    lines = ["  ".join([*(cell.ljust(w) for cell, w in zip(row, widths)), row[4]]).rstrip() for row in rows]
    return "\n".join([*lines, f"return {', '.join(map(_operand, graph.outputs))}"])


@as_text.register
def constant_text(operand: Constant) -> str:
    """A number as itself, an array by its dtype and shape."""
    return constant(operand.value)


def _row(instruction: Instruction, graph: Graph) -> list[str]:
    arguments = [*map(_operand, instruction.operands), *parameters(instruction.params)]
    cost = cost_of(instruction, graph)
    return [
        f"%{instruction.result} = {instruction.primitive.name}({', '.join(arguments)})",
        str(graph.kinds[instruction.result]),
        f"{_short(cost.flops)}FLOP" if cost.flops else "",
        "view" if instruction.primitive.view_of is not None else f"{_short(cost.bytes)}B",
        place(instruction.origin),
    ]


def _operand(operand: int | Constant) -> str:
    return f"%{operand}" if isinstance(operand, int) else str(operand)


def _short(count: float) -> str:
    """A count in three significant digits, with a prefix and a space: `1.5 M`."""
    for unit in ("", "k", "M", "G"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} T"
