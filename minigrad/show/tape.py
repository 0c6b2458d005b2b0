"""A tape as text: one entry a line.

A line has the operation and its operands, the dtype and shape of the result, its value if the tape keeps it (because a
rule reads it), and the line of the user's program.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad.core.arrays import Shaped
from minigrad.core.printing import as_text
from minigrad.core.reverse import Entry, Node
from minigrad.core.tape import Tape
from minigrad.show.text import constant, function_name, kind, parameters, place, summary

LONGEST, ENDS = 200, 50  # a tape longer than LONGEST shows this many lines of each end
COLUMN = 60  # wider cells do not widen their column


@as_text.register
def tape_text(tape: Tape) -> str:
    """Aligned columns, one line an entry; a long tape shows both ends and how many lines are left out."""
    entries = tape.entries
    shown = list(range(len(entries)))
    if len(entries) > LONGEST:
        shown = shown[:ENDS] + shown[-ENDS:]
    kept = _find_kept_values(entries)
    rows = [(f"%{i}", _call(entries[i]), *_result(entries[i], kept.get(i)), place(entries[i].origin)) for i in shown]
    widths = [max([len(row[c]) for row in rows if len(row[c]) <= COLUMN], default=0) for c in range(4)]
    lines = []
    for index, call, dtype, value, where in rows:
        line = f"{index:>{widths[0]}} = {call:<{widths[1]}} {dtype:<{widths[2]}}  {value:<{widths[3]}}"
        lines.append(f"{line}  {where}" if widths[3] else f"{line.rstrip()}  {where}")
    if len(entries) > LONGEST:
        lines.insert(ENDS, f"… {len(entries) - 2 * ENDS:,} entries left out …")
    return "\n".join(lines)


def _find_kept_values(entries: Sequence[Node | Entry]) -> dict[int, Any]:
    """The values that the tape holds, by entry: as its result or as an argument of another entry."""
    kept: dict[int, Any] = {}
    for index, entry in enumerate(entries):
        values = entry.args if isinstance(entry, Node) else entry.leaves
        for parent, value in zip(entry.parents, values):
            if parent is not None and not isinstance(value, Shaped):
                kept[parent] = value
        if isinstance(entry, Node) and not isinstance(entry.result, Shaped):
            kept[index] = entry.result
    return kept


def _call(entry: Node | Entry) -> str:
    """`multiply(%0, 2, axis=1)`."""
    if not isinstance(entry, Node):
        functions = map(function_name, entry.details)
        return f"{entry.title}({', '.join([*functions, *_arguments(entry.parents, entry.leaves)])})"
    if entry.primitive is None:
        return f"result(%{entry.parents[0]})" if entry.parents else f"input({_printable(entry.params.get('name', ''))})"
    return f"{entry.primitive.name}({', '.join(_arguments(entry.parents, entry.args) + parameters(entry.params))})"


def _printable(name: str) -> str:
    return name if name.isprintable() else repr(name)[1:-1]


def _arguments(parents: Sequence[int | None], values: Sequence[Any]) -> list[str]:
    return [constant(value) if parent is None else f"%{parent}" for parent, value in zip(parents, values)]


def _result(entry: Node | Entry, value: Any) -> tuple[str, str]:
    """The last columns: dtype and shape, and the value if it is kept."""
    if not isinstance(entry, Node):
        return "", ""
    return f": {kind(entry.result)}", "" if value is None else summary(value)
