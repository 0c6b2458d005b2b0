"""What the checker found, as a table and as a sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from minigrad.checks.table import table


class Row(NamedTuple):
    """One comparison: a derivative, its oracle, and the entry where they are furthest apart."""

    order: int
    what: str  # as "reverse over forward"
    result: str  # dotted name of the result of f, empty if it is one array
    error: float  # of the derivative's size
    allowed: float
    entry: str  # where the worst entry is
    found: float
    expected: float

    @property
    def passed(self) -> bool:
        return self.error <= self.allowed


@dataclass(frozen=True)
class Report:
    """What `check_grads` compared."""

    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        return all(row.passed for row in self.rows)

    @property
    def worst(self) -> Row:
        """The failed comparison of the lowest order that is furthest off, one that names an entry if there is one."""
        failed = [row for row in self.rows if not row.passed] or list(self.rows)
        return max(failed, key=lambda row: (-row.order, bool(row.entry), _badness(row)))

    def __str__(self) -> str:
        """A line for each order and way through the modes: its worst comparison."""
        ways = dict.fromkeys((row.order, row.what) for row in self.rows)
        worst = [max((r for r in self.rows if (r.order, r.what) == way), key=_badness) for way in ways]
        lines = [
            [str(r.order), r.what, _scientific(r.error), _scientific(r.allowed), (r.result + " " + r.entry).strip()]
            + [f"{r.found:.9g}", f"{r.expected:.9g}", "agree" if r.passed else "DIFFER"]
            for r in worst
        ]
        return table(["order", "derivative", "error", "allowed", "worst at", "found", "expected", ""], lines)


def _badness(row: Row) -> float:
    return math.inf if math.isnan(row.error) else row.error / (row.allowed or 1.0)


def _scientific(x: float) -> str:
    return f"{x:.1e}"


def sentence(row: Row) -> str:
    """What went wrong, in one sentence."""
    of = f" of result '{row.result}'" if row.result else ""
    at = f" at {row.entry}" if row.entry else ""
    other = "forward mode gives" if row.what.endswith("against forward") else "five-point differences give"
    mode = row.what.removesuffix(", against forward")
    mode = f"{mode} mode" if " over " not in mode else mode
    return (
        f"order {row.order}, {mode}{of}{at}: {row.found:.12g}, {other} {row.expected:.12g}; off by {row.error:.2g} of "
        f"the derivative's size, allowed {row.allowed:.2g}"
    )
