"""A tape as a table, in text or in a notebook: one entry a row.

A row has the operation and its operands, the dtype and shape of the result, its value if the tape keeps it (because a
rule reads it), and the line of the user's program.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad.core.arrays import Shaped
from minigrad.core.printing import as_html, as_text
from minigrad.core.reverse import Entry, Node
from minigrad.core.tape import Tape
from minigrad.show.text import constant, function_name, kind, parameters, place, summary
from minigrad.tables import Column, Table, both_ends

COLUMNS = (
    Column("", number=True, code=True),
    Column("operation", code=True, before=" = "),
    Column("result", code=True, before=" : "),
    Column("kept value", code=True),
    Column("line", code=True),
)


@as_text.register
def tape_text(tape: Tape) -> str:
    """Aligned columns, one line an entry; a long tape shows both ends and how many lines are left out."""
    return _make_table(tape).text(headings=False)


@as_html.register
def tape_html(tape: Tape) -> str:
    """The same columns, with headings."""
    return _make_table(tape).html()


def _make_table(tape: Tape) -> Table:
    entries = tape.entries
    kept = _find_kept_values(entries)

    def cells(i: int) -> tuple[str, ...]:
        return f"%{i}", _call(entries[i]), *_result(entries[i], kept.get(i)), place(entries[i].origin)

    shown = both_ends(len(entries), "entries")
    return Table(f"Tape: {len(entries):,} entries", COLUMNS, [i if isinstance(i, str) else cells(i) for i in shown])


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
    return kind(entry.result), "" if value is None else summary(value)
