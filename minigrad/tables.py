"""Tables: from one description, aligned text for terminals and logs, and HTML for notebooks."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import NamedTuple

LONGEST, ENDS = 200, 50  # a listing longer than LONGEST shows this many rows of each end
WIDEST = 60  # cells with more characters do not widen their column of the text

STYLE = """
.minigrad-table { overflow-x: auto; }
.minigrad-table table { margin: 0; border-collapse: collapse; border: 0; color: inherit; background: none; }
.minigrad-table caption { caption-side: top; padding: 0.3em 0.7em; text-align: left; white-space: nowrap;
  font-weight: 600; color: inherit; }
.minigrad-table table th, .minigrad-table table td { padding: 0.25em 0.7em; border: 0; text-align: left;
  vertical-align: baseline; white-space: pre-wrap;
  border-bottom: 1px solid rgba(128, 128, 128, 0.25); }
.minigrad-table table th { font-weight: 600; border-bottom-color: rgba(128, 128, 128, 0.75); }
.minigrad-table table .number { text-align: right; white-space: pre; font-variant-numeric: tabular-nums; }
.minigrad-table table .code { max-width: 60ch; overflow-wrap: anywhere; font-size: 0.92em;
  font-family: ui-monospace, SFMono-Regular, Menlo, "DejaVu Sans Mono", "Liberation Mono", monospace; }
.minigrad-table table .line { opacity: 0.75; }
.minigrad-table strong { color: #e5484d; }
"""
"""Fonts, colours and backgrounds are those of the page, light or dark."""


class Column(NamedTuple):
    """A column of a table."""

    heading: str = ""
    number: bool = False  # aligned to the right
    code: bool = False  # in a monospaced font
    before: str = "  "  # in text, between it and the column on its left


class Failed(str):
    """A cell about something that failed, which HTML shows in bold red; its words say so too."""

    __slots__ = ()


class Table(NamedTuple):
    """A title, which only HTML shows, columns, and rows of cells; a row that is a string is a line of its own.

    Columns without content are left out.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str] | str]

    def text(self, headings: bool = True) -> str:
        """Aligned lines, under a line of headings and a rule."""
        shown, rows = self._find_shown()
        lines = [[column.heading for column in shown], *rows] if headings else rows
        widths = [
            max([len(line[i]) for line in lines if not isinstance(line, str) and len(line[i]) <= WIDEST], default=0)
            for i in range(len(shown))
        ]
        texts = [line if isinstance(line, str) else _join(line, shown, widths) for line in lines]
        if headings:
            texts.insert(1, "─" * (sum(widths) + sum(len(column.before) for column in shown[1:])))
        return "\n".join(texts)

    def html(self) -> str:
        """An element that holds its own style sheet, without scripts."""
        shown, rows = self._find_shown()
        head = "".join(_cell("th", column.heading, column._replace(code=False)) for column in shown)
        body = []
        for row in rows:
            if isinstance(row, str):
                body.append(f'<td class="line" colspan="{max(1, len(shown))}">{escape(row)}</td>')
            else:
                body.append("".join(_cell("td", cell, column) for cell, column in zip(row, shown)))
        return "\n".join(
            [
                f'<div class="minigrad-table"><style>{STYLE}</style><table><caption>{escape(self.title)}</caption>',
                f"<thead><tr>{head}</tr></thead><tbody>" if rows else "<tbody>",
                *[f"<tr>{cells}</tr>" for cells in body],
                "</tbody></table></div>",
            ]
        )

    def _find_shown(self) -> tuple[list[Column], list[list[str] | str]]:
        """The columns that have content, and the rows of their cells."""
        full = [row for row in self.rows if not isinstance(row, str)]
        shown = [i for i in range(len(self.columns)) if any(row[i] for row in full)]
        rows = [row if isinstance(row, str) else [row[i] for i in shown] for row in self.rows]
        return [self.columns[i] for i in shown], rows


def _join(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    """Cells as one line of text."""
    words = ""
    for i, (cell, column, width) in enumerate(zip(cells, columns, widths)):
        before = column.before if i else ""
        words += before if cell else " " * len(before)
        words += cell.rjust(width) if column.number else cell.ljust(width)
    return words.rstrip()


def _cell(tag: str, words: str, column: Column) -> str:
    looks = " ".join(look for look in ("number", "code") if getattr(column, look))
    shown = f"<strong>{escape(words)}</strong>" if isinstance(words, Failed) else escape(words)
    return f'<{tag} class="{looks}">{shown}</{tag}>' if looks else f"<{tag}>{shown}</{tag}>"


def both_ends(count: int, what: str) -> list[int | str]:
    """The indices of the rows to show of `count`, with a line for those left out of a long listing."""
    if count <= LONGEST:
        return list(range(count))
    return [*range(ENDS), f"… {count - 2 * ENDS:,} {what} left out …", *range(count - ENDS, count)]


def escape(words: str) -> str:
    """Text for HTML and SVG: escaped, and � for characters that are not printable."""
    return html.escape("".join(c if c == "\n" or c.isprintable() else "�" for c in words))
