"""A program as a table, in text or in a notebook: one instruction a row, with its cost."""

from __future__ import annotations

from collections.abc import Sequence

from minigrad.core.printing import as_html, as_text
from minigrad.program.cost import cost_of, total_cost
from minigrad.program.graph import Constant, Graph, Instruction
from minigrad.program.program import Program
from minigrad.show.text import constant, parameters, place
from minigrad.tables import Column, Table, both_ends

COLUMNS = (
    Column("", number=True, code=True),
    Column("operation", code=True, before=" = "),
    Column("result", code=True),
    Column("arithmetic", number=True),
    Column("memory traffic", number=True),
    Column("line", code=True),
)


@as_text.register
def program_text(program: Program) -> str:
    """One instruction a line: result, operation, operands, kind, FLOPs, bytes touched, and the user's line."""
    return _make_table(program, [*range(len(program.inputs) + len(program))]).text(headings=False)


@as_html.register
def program_html(program: Program) -> str:
    """The same columns, with headings and a summary; of a long program both ends."""
    return _make_table(program, both_ends(len(program.inputs) + len(program), "instructions")).html()


def _make_table(program: Program, shown: Sequence[int | str]) -> Table:
    """The rows of `shown`, counted from the first input, or lines of their own."""
    graph, inputs = program.graph, program.inputs

    def cells(i: int) -> list[str]:
        if i < len(inputs):
            return [f"%{inputs[i]}", "input", str(graph.kinds[inputs[i]]), "", "", ""]
        return _cells(program.instructions[i - len(inputs)], graph)

    rows = [i if isinstance(i, str) else cells(i) for i in shown]
    return Table(_summary(program), COLUMNS, [*rows, f"return {', '.join(map(_operand, graph.outputs))}"])


def _summary(program: Program) -> str:
    cost = total_cost(program.graph)
    words = f"Program: {len(program):,} instructions, {_short(cost.flops)}FLOP, {_short(cost.bytes)}B read and written"
    return words + (f", {_short(program.memory().total)}B besides the arguments" if program.is_planned else "")


@as_text.register
def constant_text(operand: Constant) -> str:
    """A number as itself, an array by its dtype and shape."""
    return constant(operand.value)


def _cells(instruction: Instruction, graph: Graph) -> list[str]:
    arguments = [*map(_operand, instruction.operands), *parameters(instruction.params)]
    cost = cost_of(instruction, graph)
    return [
        f"%{instruction.result}",
        f"{instruction.primitive.name}({', '.join(arguments)})",
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
