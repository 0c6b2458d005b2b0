"""`python -m minigrad.checks`: every operation against every oracle, as a table.

Exit codes: 0 all agree, 1 a check failed, 2 invalid input or a full disk (one sentence on stderr), 141 the reader
closed the output.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from textwrap import fill
from typing import Any

from minigrad import DeviceError, OutOfMemoryError, __array_api_version__, __version__, to_device
from minigrad.checks import suite
from minigrad.checks.array_api import DIFFERENCES
from minigrad.checks.conventions import conventions
from minigrad.checks.findings import SLOPES, Finding, Findings
from minigrad.checks.numpy_names import STATUSES, Row, compare_names
from minigrad.commandline import Parser, finish, run
from minigrad.tables import Column, Table

DEVICES = {"numpy": "cpu", "cupy": "cuda"}


def make_parser() -> Parser:
    parser = Parser(
        prog="python -m minigrad.checks",
        description="Check the derivatives of every operation with oracles that use no derivative rule. Columns: the "
        "value against a plain NumPy formula; first derivatives in both modes against the complex step of that formula "
        "and against five-point differences; ⟨Jv,u⟩ = ⟨v,Jᵀu⟩; the convergence orders of Taylor remainders (2 and 3 if "
        "the first and second derivatives are right; exact if only rounding is left); second derivatives by every "
        "combination of modes against each other; float32 against float64 in ulps. Errors are relative to the largest "
        "entry.",
    )
    parser.add_argument("--op", nargs="+", metavar="NAME", help="only these operations (all by default)")
    parser.add_argument("--backend", choices=DEVICES, default="numpy", help="the array library (numpy by default)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--conventions", action="store_true", help="print the derivatives at kinks and ties")
    parser.add_argument("--numpy", action="store_true", help="print NumPy's functions: here, refused, …")
    parser.add_argument("--array-api", action="store_true", help="print the differences from the array API standard")
    parser.add_argument("--version", action="version", version=f"minigrad {__version__}")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    parser = make_parser()
    return finish(parser.prog, _run(parser, arguments))


def _run(parser: Parser, arguments: list[str] | None) -> int:
    options = parser.parse_args(arguments)
    for option in ("conventions", "numpy", "array_api"):
        if getattr(options, option) and options.op:
            parser.error(f"--{option.replace('_', '-')} prints all of them: leave --op out")
    if options.conventions:
        print(json.dumps([row._asdict() for row in conventions()]) if options.json else _format_conventions())
        return 0
    if options.numpy:
        rows = compare_names()
        print(json.dumps([row._asdict() for row in rows]) if options.json else _format_names(rows))
        return 1 if any(row.status == "unknown" for row in rows) else 0
    if options.array_api:
        print(json.dumps(DIFFERENCES) if options.json else _format_differences())
        return 0
    try:
        suite.check_names(options.op or ())
    except ValueError as error:
        parser.error(str(error))
    try:
        to_device(0.0, DEVICES[options.backend])
        findings = _examine(options.op or suite.operations(), options)
    except (DeviceError, OutOfMemoryError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, f"{parser.prog}: stopped\n")
    missing = [] if options.op else suite.list_uncovered()
    passed = findings.passed and not missing
    if options.json:
        print(json.dumps({"primitives": [_to_json(f) for f in findings], "without_case": missing, "passed": passed}))
    else:
        for name in missing:
            print(f"{name}: no case in the catalogue, so it was not checked")
        print(findings.summary)
    return 0 if passed else 1


def _examine(names: list[str], options: argparse.Namespace) -> Findings:
    """Check the operations and print the table unless --json; on a terminal, show the progress meanwhile."""
    findings = []
    on_terminal = sys.stderr.isatty()
    for finding in suite.examine_all(names, DEVICES[options.backend]):
        findings.append(finding)
        if on_terminal:
            print(f"\r\x1b[K{len(findings)}/{len(names)} {finding.name}", end="", file=sys.stderr, flush=True)
    if on_terminal:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    if not options.json:
        print(Findings(findings))
    return Findings(findings)


def _to_json(finding: Finding) -> dict[str, Any]:
    """A finding as JSON, which has no ∞: the infinite slope of an exact Taylor expansion becomes null."""

    def number(x: float) -> float | None:
        return x if math.isfinite(x) else None

    verdicts = {
        oracle: {"slope" if v.bound in SLOPES else "error": number(v.value), "bound": v.bound, "passed": v.passed}
        for oracle, v in finding.oracles.items()
        if v is not None
    }
    return {"name": finding.name, "cases": finding.cases, "oracles": verdicts, "passed": finding.passed}


def _format_names(rows: list[Row]) -> str:
    """The refused functions with advice as a table, and the names of all others by status."""
    refused = [[f"np.{row.name}", row.advice] for row in rows if row.status == "refused"]
    paragraphs = [Table("", [Column("refused"), Column("use instead")], refused).text()]
    for status in STATUSES:
        names = [row.name for row in rows if row.status == status]
        if names and status != "refused":
            paragraphs.append(fill(f"{status} ({len(names)}): {' '.join(names)}", 120, break_on_hyphens=False))
    return "\n\n".join(paragraphs)


def _format_differences() -> str:
    difference = f"difference from version {__array_api_version__} of the array API standard"
    return Table("", [Column("function or expression"), Column(difference)], list(DIFFERENCES.items())).text()


def _format_conventions() -> str:
    columns = [Column(heading) for heading in ("function", "at", "derivative", "convention")]
    return Table("", columns, [row[1:] for row in conventions()]).text()


if __name__ == "__main__":
    run(main)
