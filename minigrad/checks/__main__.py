"""`python -m minigrad.checks`: every operation against every oracle, as a table.

Exit codes: 0 all agree, 1 a check failed, 2 the input is wrong or the disk full (one sentence on stderr), 141 the
output was closed by its reader.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from difflib import get_close_matches
from typing import Any

from minigrad import DeviceError, OutOfMemoryError, to_device
from minigrad.checks import suite
from minigrad.checks.conventions import conventions
from minigrad.checks.table import table
from minigrad.commandline import Parser, finish, run

DEVICES = {"numpy": "cpu", "cupy": "cuda"}


def make_parser() -> Parser:
    parser = Parser(
        prog="python -m minigrad.checks",
        description="Check the derivatives of every operation with oracles that use no rule. Columns: the value "
        "against a plain NumPy formula; first derivatives, both modes, against the complex step of that formula and "
        "against five-point differences; ⟨Jv,u⟩ = ⟨v,Jᵀu⟩; the slopes of Taylor's remainders (2 and 3 if the first "
        "and second derivative are right; exact if nothing but rounding is left); all ways through two modes against "
        "each other; float32 against float64 in ulps. Errors are relative to the largest entry.",
    )
    parser.add_argument("--op", nargs="+", metavar="NAME", help="only these operations (all by default)")
    parser.add_argument("--backend", choices=DEVICES, default="numpy", help="where arrays live (numpy by default)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--conventions", action="store_true", help="print what derivatives are at kinks and ties")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; the exit code."""
    parser = make_parser()
    return finish(parser.prog, _run(parser, arguments))


def _run(parser: Parser, arguments: list[str] | None) -> int:
    options = parser.parse_args(arguments)
    if options.conventions and options.op:
        parser.error("--conventions prints all of them: leave --op out")
    if options.conventions:
        print(json.dumps([row._asdict() for row in conventions()]) if options.json else _conventions())
        return 0
    known = suite.operations()
    for name in options.op or ():
        if name not in known:
            near = get_close_matches(name, known, 3)
            parser.error(f"there is no operation '{name}'" + (f"; did you mean {' or '.join(near)}?" if near else ""))
    try:
        to_device(0.0, DEVICES[options.backend])
        findings = _findings(options.op or known, options)
    except (DeviceError, OutOfMemoryError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, f"{parser.prog}: stopped\n")
    missing = [] if options.op else suite.without_case()
    passed = all(finding.passed for finding in findings) and not missing
    if options.json:
        print(json.dumps({"primitives": [_record(f) for f in findings], "without_case": missing, "passed": passed}))
    else:
        failed = [finding.name for finding in findings if not finding.passed]
        for name in missing:
            print(f"{name}: no case, so nothing is known about it")
        print(f"{len(findings)} operations, {len(failed)} failed" + (f": {', '.join(failed)}" if failed else ""))
    return 0 if passed else 1


def _findings(names: list[str], options: argparse.Namespace) -> list[suite.Finding]:
    """All findings; while they are made, a line on a terminal says which is being looked at."""
    findings = []
    watched = sys.stderr.isatty()
    for finding in suite.examine_all(names, DEVICES[options.backend]):
        findings.append(finding)
        if watched:
            print(f"\r\x1b[K{len(findings)}/{len(names)} {finding.name}", end="", file=sys.stderr, flush=True)
    if watched:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    if not options.json:
        headings = ["operation", "cases", *suite.ORACLES, ""]
        print(table(headings, [[f.name, str(f.cases), *map(_cell, f.oracles.values()), _verdict(f)] for f in findings]))
    return findings


def _cell(verdict: suite.Verdict | None) -> str:
    if verdict is None:
        return "–"
    mark = "" if verdict.passed else "!"
    if verdict.bound in suite.SLOPES:
        return "exact" if math.isinf(verdict.value) else f"{verdict.value:.2f}{mark}"
    return f"{verdict.value:.1f}{mark}" if verdict.bound == suite.ULPS else f"{verdict.value:.1e}{mark}"


def _verdict(finding: suite.Finding) -> str:
    return "agree" if finding.passed else "FAILED"


def _record(finding: suite.Finding) -> dict[str, Any]:
    """JSON has no ∞: an exact Taylor formula has no slope (null)."""

    def number(x: float) -> float | None:
        return x if math.isfinite(x) else None

    verdicts = {
        oracle: {"slope" if v.bound in suite.SLOPES else "error": number(v.value), "bound": v.bound, "passed": v.passed}
        for oracle, v in finding.oracles.items()
        if v is not None
    }
    return {"name": finding.name, "cases": finding.cases, "oracles": verdicts, "passed": finding.passed}


def _conventions() -> str:
    return table(["function", "at", "derivative", "convention"], [list(row)[1:] for row in conventions()])


if __name__ == "__main__":
    run(main)
