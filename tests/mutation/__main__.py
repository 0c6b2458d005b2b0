"""The command line. Exit codes: 0 done, 1 too many survivors, 2 the input is wrong or the tests fail, 130 Ctrl-C."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from minigrad.commandline import Parser

from . import __doc__ as ABOUT
from . import report
from .equivalent import reason
from .mutants import KINDS, MACHINERY, Mutant, all_mutants, owners
from .suite import Control, SuiteError, judge, test_files


def share(text: str) -> float:
    """A number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, got {text}")
    return value


def positive_integer(text: str) -> int:
    """A whole number from 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text}")
    return value


def make_parser() -> Parser:
    """The options."""
    kinds = "\n".join(f"  {kind:11} {what}" for kind, what in KINDS.items())
    parser = Parser(
        prog="python -m tests.mutation",
        description=ABOUT,
        epilog=f"kinds of damage:\n{kinds}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--op", nargs="+", metavar="NAME", help=f"only rules of these operations ('{MACHINERY}': rules.py itself)")
    add("--damage", nargs="+", metavar="KIND", help="only these kinds of damage")
    add("--tests", nargs="+", type=Path, metavar="FILE", help="files or folders of tests (default: tests/minigrad)")
    add("--min-kill", type=share, default=0.99, metavar="SHARE", help="exit with 1 below this score (%(default)s)")
    add("--jobs", type=positive_integer, default=os.cpu_count() or 1, metavar="N", help="processes (%(default)s)")
    add("--json", type=Path, metavar="FILE", help="write every mutant and its outcome")
    add("--thorough", action="store_true", help="run all tests on equivalent mutants too, not a few seconds of them")
    add("--list", action="store_true", help="list the mutants without running tests")
    return parser


def select_mutants(parser: Parser, options: argparse.Namespace) -> list[Mutant]:
    """The mutants selected by the options."""
    for name in options.op or ():
        if name not in owners():
            parser.error(f"there is no derivative rule of '{name}': use one of {', '.join(sorted(owners()))}")
    for kind in options.damage or ():
        if kind not in KINDS:
            parser.error(f"there is no damage '{kind}': use one of {', '.join(KINDS)}")
    for path in options.tests or ():
        if not path.exists():
            parser.error(f"there is no file or folder of tests {path}")
    if not hasattr(os, "fork"):
        parser.error("mutants run in forked processes, which this system does not support")
    if options.json and (options.json.is_dir() or not os.access(options.json.parent, os.W_OK)):
        parser.error(f"cannot write {options.json}: choose another file with --json")
    selected = [m for m in all_mutants(options.op or ()) if not options.damage or m.kind in options.damage]
    if not selected:
        parser.error("no mutant matches these operations and kinds of damage")
    return selected


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    mutants = select_mutants(parser, options)
    if options.list:
        for mutant in mutants:
            why = reason(mutant)
            print(f"{mutant.place}: {mutant.name}" + (f"  (equivalent: {why})" if why else ""))
        return 0
    start, tests, flaky, skipped = time.monotonic(), 0, [], {}
    with _progress() as progress:
        task = progress.add_task("tests on undamaged rules", total=None)
        progress.refresh()

        def begin(control: Control, count: int) -> None:
            nonlocal tests, flaky, skipped
            tests, flaky, skipped = count, control.flaky, control.skipped
            progress.reset(task, description=f"mutants, {count} tests", total=len(mutants))

        def report_verdict(_: object) -> None:
            progress.advance(task)
            progress.refresh()

        try:
            briefly = (lambda mutant: False) if options.thorough else reason
            verdicts = judge(mutants, test_files(options.tests or ()), options.jobs, begin, report_verdict, briefly)
        except SuiteError as error:
            progress.stop()
            parser.exit(2, f"{parser.prog}: {error}\n")
        except KeyboardInterrupt:
            return 130
    order = {mutant.name: i for i, mutant in enumerate(mutants)}
    verdicts.sort(key=lambda v: order[v.mutant.name])
    seconds = time.monotonic() - start
    mistakes = report.find_mistakes(verdicts, everything=not (options.op or options.damage or options.tests))
    if options.json:
        report.write(options.json, verdicts, tests, seconds)
    report.show(Console(width=max(Console().width, 100)), verdicts, mistakes)
    for test in flaky:
        print(f"excluded, because it failed once and passed once on undamaged rules: {test}")
    for why, number in sorted(skipped.items()):
        print(f"{number} skipped: {why}")
    print(f"{tests} tests, {options.jobs} processes, {seconds:.0f} s")
    return 0 if report.count(verdicts).silent_score >= options.min_kill and not mistakes else 1


def _progress() -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(
        TextColumn("{task.description}"),
        *columns,
        console=Console(stderr=True),
        auto_refresh=False,  # no refresh thread, because of the forks
        redirect_stdout=False,
        redirect_stderr=False,
    )


if __name__ == "__main__":
    sys.exit(main())
