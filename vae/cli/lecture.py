"""python -m vae lecture: compute both sides of every claim of the lecture, and write a page."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from rich.table import Column, Table

from minigrad.commandline import Parser
from minigrad.interrupts import defer_signals
from vae import files, folders, terminal
from vae.cli.options import add_images, add_out, count, seed
from vae.errors import UserError

ABOUT = "Compute both sides of every claim of the lecture; write a page."


def add_options(parser: Parser) -> None:
    """The options of the command."""
    parser.add_argument("--slide", type=count, nargs="+", default=None, metavar="N", help="only these slides")
    parser.add_argument("--exact", action="store_true", default=False, help="only claims that need no images")
    parser.add_argument("--json", action="store_true", default=False, help="print the claims as JSON")
    parser.add_argument("--seed", type=seed, help="seed of models, noise and images (0)")
    add_images(parser)
    add_out(parser, "runs/lecture")


def run(options: Namespace, given: dict[str, Any]) -> int:
    """Compute both sides of every claim of the lecture and write a page; exit code 1 if a claim fails."""
    with defer_signals():
        from vae.lecture import CLAIMS, Setting
        from vae.lecture.page import page
        from vae.lecture.run import run as compute

    claims = _choose(CLAIMS, options, given)
    size = given.get("train_size"), given.get("test_size")
    places = {name: given[name] for name in ("data", "data_dir") if name in given}
    setting = Setting(options.seed, **places, size=None if size == (None, None) else size)
    source = "no images needed"
    if any(claim.images for claim in claims):  # load them now: an error should come before the computation
        source = " ".join((setting.images.source, *setting.images.notes))
    out = options.held.enter_context(folders.claim(options.out, Path("runs/lecture"), options.force))
    console = terminal.console(stderr=options.json)
    if not options.json:
        console.print(f"{len(claims)} claims; the whole lecture takes four to five CPU minutes")
    with terminal.progress(console) as progress:
        bar = progress.add_task("", total=len(claims))

        def on_claim(claim: Any) -> None:
            progress.update(bar, advance=0 if not progress.tasks[0].description else 1)
            progress.update(bar, description=f"slide {claim.slide}: {claim.says}")

        rows = compute(claims, setting, on_claim)
    folders.clear(out)
    for row in rows:
        if row.picture is not None:
            files.write_bytes(out / f"slide-{row.claim.slide:02d}-{row.claim.name.replace('_', '-')}.png", row.picture)
    files.write_bytes(out / "lecture.html", page(rows, options.seed, source).encode())
    passed = all(row.sides.passed for row in rows)
    if options.json:
        print(json.dumps({"claims": [row.to_dict() for row in rows], "passed": passed}, allow_nan=False))
    else:
        terminal.print_table(console, _make_table(rows, options.seed))
        console.print(f"{'every claim holds' if passed else 'A CLAIM FAILS'}; the page is {out / 'lecture.html'}")
    return 0 if passed else 1


def _choose(claims: list[Any], options: Namespace, given: dict[str, Any]) -> list[Any]:
    """The claims of the slides asked for, in the order of the slides. Raises UserError if there are none."""
    slides = sorted({claim.slide for claim in claims})
    unknown = [number for number in options.slide or () if number not in slides]
    if unknown:
        raise UserError(f"there is no claim on slide {unknown[0]}: choose from {', '.join(map(str, slides))}")
    chosen = [claim for claim in claims if claim.slide in (options.slide or slides)]
    chosen = sorted((claim for claim in chosen if not (options.exact and claim.images)), key=lambda claim: claim.slide)
    if not chosen:
        raise UserError("the claims of these slides need images: leave out --exact")
    unread = {"data", "data_dir", "train_size", "test_size"} & set(given)
    if unread and not any(claim.images for claim in chosen):
        options_given = ", ".join("--" + name.replace("_", "-") for name in sorted(unread))
        raise UserError(f"none of these claims needs images: leave out {options_given}")
    return chosen


def _make_table(rows: list[Any], seed: int) -> Table:
    """One row per claim: its two sides, their difference and the tolerance."""
    table = Table(
        Column("slide", justify="right"),
        Column("claim", ratio=1, min_width=24),
        Column("left", justify="right", no_wrap=True),
        Column("", no_wrap=True),
        Column("right", justify="right", no_wrap=True),
        Column("error / allowed", no_wrap=True),
        "",
        title=f"both sides of {len(rows)} claims, seed {seed}",
        caption="errors are relative to the largest entry, or to 1; se: in standard errors of the draws",
    )
    for row in rows:
        s = row.sides
        allowed = (
            f"{s.error:.1f} / {s.tolerance:.1f} se"
            if s.unit == "standard errors"
            else f"{s.error:.0e} / {s.tolerance:.0e}"
        )
        numbers = f"{s.left:.6g}", s.relation, f"{s.right:.6g}", allowed
        table.add_row(str(row.claim.slide), row.claim.says, *numbers, "holds" if s.passed else "FAILS")
    return table
