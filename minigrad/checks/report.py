"""Results of check_grads, as a table (in text or in a notebook) and as a sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from minigrad.tables import Column, Failed, Table

MOST = 10  # failed comparisons that the table shows besides the worst, for each combination of modes
COLUMNS = (
    Column("order", number=True),
    Column("derivative"),
    Column("error", number=True),
    Column("allowed", number=True),
    Column("worst at", code=True),
    Column("found", number=True),
    Column("expected", number=True),
    Column(),
)


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

    def table(self) -> Table:
        """The worst comparison for each order and combination of modes, and those that failed."""
        rows: list[list[str] | str] = []
        for way in dict.fromkeys((row.order, row.what) for row in self.rows):
            worst, *others = sorted((r for r in self.rows if (r.order, r.what) == way), key=_excess, reverse=True)
            failed = [row for row in others if not row.passed]
            rows += [_cells(row) for row in [worst, *failed[:MOST]]]
            if len(failed) > MOST:
                rows.append(f"… {len(failed) - MOST:,} more of {worst.what} differ …")
        failed = sum(not row.passed for row in self.rows)
        title = f"Gradients: {failed} of {len(self.rows)} comparisons differ"
        return Table(title if failed else f"Gradients: all {len(self.rows)} comparisons agree", COLUMNS, rows)

    def __str__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()


def _cells(row: Row) -> list[str]:
    place = f"{row.result} {row.entry}".strip()
    numbers = [f"{row.error:.1e}", f"{row.allowed:.1e}", place, f"{row.found:.9g}", f"{row.expected:.9g}"]
    return [str(row.order), row.what, *numbers, "agree" if row.passed else Failed("DIFFER")]


def _excess(row: Row) -> float:
    return math.inf if math.isnan(row.error) else row.error / (row.allowed or 1.0)


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
