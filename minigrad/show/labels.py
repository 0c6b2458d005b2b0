"""The text of a picture: the lines of every box, the labels of every edge, the legend.

The font is monospaced, so the width of a text is known before it is drawn; `ADVANCE` is that of the widest font in the
list. The tooltip has the full text of lines that are truncated.
"""

from __future__ import annotations

import linecache
import os
import unicodedata
from typing import Any, NamedTuple

from minigrad.backends import NEUTRAL
from minigrad.core.arrays import describe, shape_of
from minigrad.core.origin import Origin
from minigrad.show.calls import Place
from minigrad.show.graph import BROADCAST, CALL, CONSTANT, LABEL, Box, Drawing, Edge, Quantity
from minigrad.show.text import kind, number, summary

ADVANCE = 0.62  # width / font size of SF Mono; 0.60 for DejaVu Sans Mono, Menlo and Liberation Mono
COLUMNS, WIDE = 42, 46  # most characters in a line of code, and of numbers
FONTS = {  # sizes in pixels, by class
    "path": 12,
    "heading": 17,
    "title": 13,
    "note": 12,
    "value": 12,
    "bar": 12,
    "kind": 11,
    "sent": 11,
    "where": 10.5,
    "slope": 10.5,
}


class Text(NamedTuple):
    """A piece of text in one of the classes of FONTS."""

    words: str
    look: str

    @property
    def width(self) -> float:
        return ADVANCE * FONTS[self.look] * columns(self.words)


Line = tuple[Text, ...]  # one text on the left, and perhaps one on the right


def columns(words: str) -> int:
    """The width of a text in characters: combining marks take none, East Asian wide characters two."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in words)


def heading(drawing: Drawing) -> list[Text]:
    """The title, and a legend of the symbols that occur."""
    slopes = {edge.slope for edge in drawing.edges}
    head = [
        Text(_truncate(drawing.title, 60), "heading"),
        Text(drawing.note, "note"),
        Text("v  a value, computed from top to bottom", "value"),
        Text("v̄  its cotangent ∂result/∂v: the sum over its outgoing edges (↑)", "bar"),
    ]
    if any(slope.startswith("∂") for slope in slopes):
        head.append(Text("∂  the derivative of an elementwise operation: its edge carries ∂·v̄", "note"))
    if BROADCAST in slopes:
        head.append(Text(f"{BROADCAST}  the same, summed over the axes that were broadcast", "note"))
    if any(slope.endswith("ᵀ") for slope in slopes):
        head.append(Text("fᵀ  the transpose of a linear operation f: its edge carries fᵀ(v̄)", "note"))
    if any(box.role == CALL for box in drawing.boxes):
        head.append(Text("▸  a call of a function: click it to see what is inside", "note"))
    return head


def path_of(drawing: Drawing) -> list[tuple[int, Text]]:
    """Numbers and titles of the drawings around one inside a call; of many, the first and the last two."""
    path = drawing.path if len(drawing.path) < 4 else (drawing.path[0], *drawing.path[-2:])
    marks = ["‹ ", *["› "] * (len(path) - 1)]
    if path != drawing.path:
        marks[1] = "› … › "
    return [(number, Text(mark + _truncate(title, 24), "path")) for mark, (number, title) in zip(marks, path)]


def lines_of(drawing: Drawing, i: int, edges: list[Edge]) -> list[Line]:
    """The lines of a box; `edges` in the order in which to write their cotangents as a sum."""
    box = drawing.boxes[i]
    if box.role == CONSTANT:
        return _constant_lines(box.quantities[0].value)
    one = len(box.quantities) == 1
    title = Text(_truncate(box.title), "title")
    lines: list[Line] = [(title, Text(kind(box.quantities[0].value), "kind")) if one else (title,)]
    if box.params:
        lines.append((Text(_truncate(", ".join(box.params)), "kind"),))
    if box.note:
        lines.append((Text(_truncate(box.note), "kind"),))
    for j, quantity in enumerate(box.quantities):
        if quantity.symbol:
            right = () if one else (Text(kind(quantity.value), "kind"),)
            lines += _number_lines(f"{quantity.symbol} ", quantity.value, "value", right)
            terms = [e.sent for e in edges if (e.source, e.quantity) == (i, j) and e.sent is not None]
            lines += _cotangent_lines(quantity, terms)
    if box.origin is not None:
        lines.append((Text(_truncate(_code_line(box.origin)), "where"),))
    return lines


def _constant_lines(value: Any) -> list[Line]:
    if isinstance(value, NEUTRAL):
        return [(Text(_minus(number(value)), "value"),)]
    lines: list[Line] = [(Text(_truncate(describe(value)), "kind"),)]
    return lines + _number_lines("", value, "value") if _is_numeric(value) else lines


def _is_numeric(value: Any) -> bool:
    """Whether a constant is a number or an array: a checkpointed call may have arguments of any type."""
    return isinstance(value, NEUTRAL) or hasattr(value, "dtype")


def _number_lines(name: str, x: Any, look: str, right: Line = ()) -> list[Line]:
    """`x = …`, a small matrix row by row; if that is too wide, the range of the numbers."""
    words = name + _minus(summary(x))
    rows = words.split("], ") if columns(words) > WIDE / 2 else [words]
    rows = [f"{row}]," for row in rows[:-1]] + rows[-1:]
    rows = [row if i == 0 else " " * (columns(name) + 3) + row for i, row in enumerate(rows)]
    if max(map(columns, rows)) > WIDE:
        rows = [name + _minus(summary(x, small=1))]
    return [(Text(rows[0], look), *right), *[(Text(row, look),) for row in rows[1:]]]


def _cotangent_lines(quantity: Quantity, terms: list[Any]) -> list[Line]:
    """`x̄ = 0.14 + 2.97 = 3.11`: the terms on the edges, and their sum."""
    bar = quantity.symbol[0] + "̄" + quantity.symbol[1:]
    if quantity.cotangent is None:
        return [(Text(f"{bar} = 0: the result does not depend on it", "bar"),)]
    if len(terms) > 1 and shape_of(quantity.cotangent) == ():
        written = " + ".join(summary(term)[2:] for term in terms).replace("+ -", "- ")
        words = f"{bar} = {_minus(f'{written} {summary(quantity.cotangent)}')}"
        if columns(words) <= WIDE:
            return [(Text(words, "bar"),)]
    right = (Text(f"Σ {len(terms)} edges", "kind"),) if len(terms) > 1 else ()
    return _number_lines(f"{bar} ", quantity.cotangent, "bar", right)


def _code_line(origin: Origin | Place) -> str:
    """`file.py:3  the code there`."""
    linecache.checkcache(origin.file)
    code = linecache.getline(origin.file, origin.line).strip()
    return f"{os.path.basename(origin.file)}:{origin.line}  {code}".strip()


def tooltip_of_box(box: Box) -> str:
    """The tooltip of a box: its text, not truncated."""
    lines = [box.title + (f"({', '.join(box.params)})" if box.params else ""), *filter(None, [box.note])]
    for q in box.quantities:
        lines.append(
            f"{q.symbol} {_minus(summary(q.value))}, {kind(q.value)}" if _is_numeric(q.value) else describe(q.value)
        )
        if q.cotangent is not None:
            lines.append(f"its cotangent {_minus(summary(q.cotangent))}")
    return "\n".join(lines + ([_code_line(box.origin)] if box.origin else []))


def label_of(edge: Edge) -> list[Text]:
    """The text beside the lower end of an edge."""
    if edge.sent is None:
        return []
    words = summary(edge.sent, *LABEL)
    slope = [Text(_minus(edge.slope), "slope")] if edge.slope else []
    return [*slope, Text(_minus(f"↑ {words.removeprefix('= ')}"), "sent")]


def tooltip_of_edge(drawing: Drawing, edge: Edge) -> str:
    """The tooltip of an edge."""
    source, target = drawing.boxes[edge.source], drawing.boxes[edge.target]
    use = f"{source.quantities[edge.quantity].symbol or source.title} → {target.title}"
    use += f", as {edge.argument}" if edge.argument else ""
    return use if edge.sent is None else f"{use}\ncotangent {_minus(summary(edge.sent))}, {kind(edge.sent)}"


def _truncate(words: str, width: int = COLUMNS) -> str:
    if columns(words) <= width:
        return words
    while columns(words) >= width:
        words = words[:-1]
    return words.rstrip() + "…"


def _minus(words: str) -> str:
    return words.replace("-", "−")
