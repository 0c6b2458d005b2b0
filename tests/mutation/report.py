"""Outcomes of the mutants: counts, a printed table, JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Column, Table

from minigrad.files import replace_file

from .equivalent import reason, unused_patterns
from .mutants import KINDS
from .suite import Verdict


class Count(NamedTuple):
    """Numbers of mutants by outcome; equivalent ones are counted separately."""

    mutants: int
    judged: int  # killed by an assertion of a test
    errors: int  # killed by an error: an exception, a crash, a timeout
    survived: int
    equivalent: int

    @property
    def score(self) -> float:
        """The share of mutants that were killed."""
        return _share(self.judged + self.errors, self.survived)

    @property
    def silent_score(self) -> float:
        """The share that assertions killed, without mutants that raise errors, which any call would show."""
        return _share(self.judged, self.survived)


def _share(killed: int, survived: int) -> float:
    return killed / (killed + survived) if killed + survived else 1.0


def count(verdicts: Sequence[Verdict]) -> Count:
    """Counts verdicts by outcome."""
    counted = [v for v in verdicts if not reason(v.mutant)]
    judged = sum(v.outcome == "test" for v in counted)
    survived = sum(not v.killed for v in counted)
    return Count(len(verdicts), judged, len(counted) - judged - survived, survived, len(verdicts) - len(counted))


def find_mistakes(verdicts: Sequence[Verdict], everything: bool) -> list[str]:
    """Errors in the list of equivalent mutants: killed ones and, if `everything` was run, patterns without a mutant."""
    wrong = [v for v in verdicts if v.killed and reason(v.mutant)]
    killed = [f"{v.mutant.name} is not equivalent: {v.test} kills it" for v in wrong]
    unmatched = unused_patterns([v.mutant for v in verdicts]) if everything else []
    return killed + [f"{pattern} matches no mutant" for pattern in unmatched]


def show(console: Console, verdicts: Sequence[Verdict], mistakes: Sequence[str]) -> None:
    """Prints the table by kind of damage, timeouts, survivors and mistakes."""
    columns = [Column(name, justify="right") for name in ("mutants", "killed by a test", "by an error", "survived")]
    table = Table("damage", *columns, Column("equivalent", justify="right"), Column("score", justify="right"))
    for kind in KINDS:
        mine = [v for v in verdicts if v.mutant.kind == kind]
        if mine:
            table.add_row(kind, *_cells(count(mine)))
    total = count(verdicts)
    table.add_section()
    table.add_row("total", *_cells(total))
    console.print(table)
    plain = {"markup": False, "highlight": False, "soft_wrap": True}
    timeouts = [v.mutant.name for v in verdicts if v.outcome == "timeout"]
    for name in timeouts:
        console.print(f"timeout: {name}", **plain)
    for v in verdicts:
        if not v.killed and not reason(v.mutant):
            console.print(f"survived: {v.mutant.place}: {v.mutant.name}: {v.detail}", **plain)
    for mistake in mistakes:
        console.print(f"wrong in tests/mutation/equivalent.py: {mistake}", **plain)
    console.print(
        f"{total.judged + total.errors} of {total.mutants - total.equivalent} mutants killed "
        f"({_percent(total.score)}); of the {total.judged + total.survived} that raise no error "
        f"{_percent(total.silent_score)}",
        highlight=False,
    )


def _cells(c: Count) -> list[str]:
    numbers = (c.mutants, c.judged, c.errors, c.survived, c.equivalent)
    return [*map(str, numbers), _percent(c.score)]


def _percent(share: float) -> str:
    return f"{int(share * 1000) / 10:.1f} %"  # rounded down: 100 % means all


def write(path: Path, verdicts: Sequence[Verdict], tests: int, seconds: float) -> None:
    """Writes all verdicts as JSON."""
    total = count(verdicts)
    record = {
        "tests": tests,
        "seconds": round(seconds, 1),
        "score": total.score,
        "silent_score": total.silent_score,
        "total": total._asdict(),
        "kinds": {k: count([v for v in verdicts if v.mutant.kind == k])._asdict() for k in KINDS},
        "mutants": [
            {
                "name": v.mutant.name,
                "kind": v.mutant.kind,
                "operations": v.mutant.owners,
                "place": v.mutant.place,
                "outcome": v.outcome,
                "test": v.test,
                "detail": v.detail,
                "tests": v.tests,
                "seconds": round(v.seconds, 3),
                "equivalent": reason(v.mutant),
            }
            for v in verdicts
        ],
    }
    replace_file(path, f"{json.dumps(record, indent=1, ensure_ascii=False)}\n".encode())
