"""Formats tables as text, for terminals and logs."""

from __future__ import annotations

from collections.abc import Sequence


def format_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as text; columns of numbers (or of "–" and the like) are aligned to the right."""
    lines = [list(headings), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    right = [all(not row[i] or row[i][0] in "-−–+.0123456789∞n" for row in rows) for i in range(len(headings))]
    texts = ["  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right)) for line in lines]
    return "\n".join(line.rstrip() for line in [texts[0], "─" * (sum(widths) + 2 * len(widths) - 2), *texts[1:]])
