"""What the oracles say about operations, as a table."""

from __future__ import annotations

import math
from typing import NamedTuple

from minigrad.tables import Column, Failed, Table

ULPS = 2.0**8
SLOPES = (1.9, 2.9)


class Verdict(NamedTuple):
    """The result of an oracle: an error and the largest allowed, or a slope and the smallest allowed."""

    value: float
    bound: float
    passed: bool

    def cell(self) -> str:
        """The number, with an exclamation mark if it is out of bounds."""
        if self.bound in SLOPES and math.isinf(self.value):
            return "exact"
        plain = self.bound in (*SLOPES, ULPS)
        words = f"{self.value:.{2 if self.bound in SLOPES else 1}{'f' if plain else 'e'}}"
        return words if self.passed else Failed(f"{words}!")


class Finding(NamedTuple):
    """The results of an operation: the worst verdict of each oracle over its cases."""

    name: str
    cases: int
    oracles: dict[str, Verdict | None]  # None: the oracle does not apply

    @property
    def passed(self) -> bool:
        return all(verdict is None or verdict.passed for verdict in self.oracles.values())


class Findings(tuple[Finding, ...]):
    """The results of several operations; print them, or show them in a notebook."""

    __slots__ = ()

    @property
    def passed(self) -> bool:
        return all(finding.passed for finding in self)

    @property
    def summary(self) -> str:
        """`3 operations, 1 failed: tanh`."""
        failed = [finding.name for finding in self if not finding.passed]
        return f"{len(self)} operations, {len(failed)} failed" + (f": {', '.join(failed)}" if failed else "")

    def table(self) -> Table:
        """One row an operation, one column an oracle."""
        oracles = list(self[0].oracles) if self else []
        columns = [Column("operation", code=True), Column("cases", number=True)]
        columns += [*[Column(oracle, number=True) for oracle in oracles], Column()]
        rows = [
            [
                finding.name,
                str(finding.cases),
                *["–" if verdict is None else verdict.cell() for verdict in finding.oracles.values()],
                "agree" if finding.passed else Failed("FAILED"),
            ]
            for finding in self
        ]
        return Table(self.summary, columns, rows)

    def __str__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()
