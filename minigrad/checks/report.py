"""Results of check_grads, as a table and as a sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from minigrad.checks.table import format_table


class Row(NamedTuple):
    """One comparison: a derivative, its oracle, and the entry where they are furthest apart."""

    order: int
    what: str  # such as "reverse over forward"
    result: str  # dotted name of the result of f, empty if it is one array
    error: float  # relative to the size of the derivative
    allowed: float
    entry: str  # index of the worst entry
    found: float
    expected: float

    @property
    def passed(self) -> bool:
        return self.error <= self.allowed


@dataclass(frozen=True)
class Report:
    """All comparisons of a call of `check_grads`."""

    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        return all(row.passed for row in self.rows)

    @property
    def worst(self) -> Row:
        """The worst failed comparison of the lowest order, preferably one that names an entry."""
        failed = [row for row in self.rows if not row.passed] or list(self.rows)
        return max(failed, key=lambda row: (-row.order, bool(row.entry), _excess(row)))

    def __str__(self) -> str:
        """A table with the worst comparison for each order and combination of modes."""
        ways = dict.fromkeys((row.order, row.what) for row in self.rows)
        worst = [max((r for r in self.rows if (r.order, r.what) == way), key=_excess) for way in ways]
        lines = [
            [str(r.order), r.what, _format(r.error), _format(r.allowed), (r.result + " " + r.entry).strip()]
            + [f"{r.found:.9g}", f"{r.expected:.9g}", "agree" if r.passed else "DIFFER"]
            for r in worst
        ]
        return format_table(["order", "derivative", "error", "allowed", "worst at", "found", "expected", ""], lines)


def _excess(row: Row) -> float:
    return math.inf if math.isnan(row.error) else row.error / (row.allowed or 1.0)


def _format(x: float) -> str:
    return f"{x:.1e}"


def explain(row: Row) -> str:
    """A failed comparison in one sentence."""
    of = f" of result '{row.result}'" if row.result else ""
    at = f" at {row.entry}" if row.entry else ""
    other = "forward mode gives" if row.what.endswith("against forward") else "five-point differences give"
    mode = row.what.removesuffix(", against forward")
    mode = f"{mode} mode" if " over " not in mode else mode
    return (
        f"order {row.order}, {mode}{of}{at}: {row.found:.12g}, {other} {row.expected:.12g}; relative error "
        f"{row.error:.2g}, allowed {row.allowed:.2g}"
    )
