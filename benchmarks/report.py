"""Benchmark results as JSON, a table and a plot.

Results are `{"machine": facts, case: {competitor: statistics, …, "ratio": number or null}, …}`. The entry of a
competitor that did not run has a reason instead of "median_ms".
"""

from __future__ import annotations

import argparse
import json
import sys
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console, RenderableType
from rich.table import Table

from minigrad.files import replace_file


def report(name: str, title: str, results: dict[str, Any], options: argparse.Namespace) -> None:
    """Write `name`.json and `name`.png into `options.out`, and print the table, or the JSON with --json."""
    cases = {key: case for key, case in results.items() if key != "machine"}
    publish(name, results, draw(title, cases), table(title, cases), options)


def publish(
    name: str, results: dict[str, Any], figure: Figure, table: RenderableType, options: argparse.Namespace
) -> None:
    """The same, for a given figure and table."""
    text = json.dumps(results, indent=2, ensure_ascii=False)
    replace_file(options.out / f"{name}.json", f"{text}\n".encode())
    picture = BytesIO()
    figure.savefig(picture, dpi=130)
    replace_file(options.out / f"{name}.png", picture.getvalue())
    if options.json:
        print(text)
    else:
        Console(width=None if sys.stdout.isatty() else 120).print(table)
        print(f"Written to {options.out}: {name}.json, {name}.png")


def competitors(case: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The entries of a case that are competitors."""
    return {who: entry for who, entry in case.items() if isinstance(entry, dict)}


def table(title: str, cases: dict[str, Any]) -> Table:
    """A row per competitor; ours have their ratios: to the usual peer, and to the fastest."""
    per_operation = any("us_per_operation" in e for case in cases.values() for e in competitors(case).values())
    grid = Table(title=f"{title}, in milliseconds")
    for column in ("case", "library"):
        grid.add_column(column)
    two = any("ratio_fastest" in case for case in cases.values())
    last = *["µs/operation"] * per_operation, "ratio, to the fastest" if two else "ratio"
    for column in ("median", "quartiles", "minimum", *last):
        grid.add_column(column, justify="right")
    for key, case in cases.items():
        for i, (who, entry) in enumerate(competitors(case).items()):
            grid.add_row("" if i else key, who, *_cells(entry, per_operation), _ratios(case, who, i == 0))
        grid.add_section()
    return grid


def _ratios(case: dict[str, Any], who: str, first: bool) -> str:
    """The ratios of a competitor of ours, separated by commas: of the first one, and of a user's own step."""
    names = (
        ("ratio", "ratio_fastest") if first else ("ratio_user", "ratio_user_fastest") if who == "minigrad user" else ()
    )
    ratios = [case[name] for name in names if name in case]
    return ", ".join("none" if r is None else f"{r:.2f}" for r in ratios)


def _cells(entry: dict[str, Any], per_operation: bool) -> list[str]:
    if "median_ms" not in entry:
        return [next(iter(entry)), "", "", *[""] * per_operation]
    cells = [
        f"{entry['median_ms']:.3f}",
        f"{entry['lower_quartile_ms']:.3f} – {entry['upper_quartile_ms']:.3f}",
        f"{entry['minimum_ms']:.3f}",
    ]
    return cells + [f"{entry['us_per_operation']:.2f}"] if per_operation else cells


def draw(title: str, cases: dict[str, Any]) -> Figure:
    """A panel per case and a bar per competitor: the median, with quartiles."""
    everyone = list(dict.fromkeys(who for case in cases.values() for who in competitors(case)))
    across = 2 if len(cases) == 4 else min(3, len(cases))
    down = -(-len(cases) // across)
    figure = Figure(figsize=(1 + 4.2 * across, 0.7 + down * (0.8 + 0.35 * len(everyone))), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{title}, in milliseconds: median and quartiles")
    panels = list(figure.subplots(down, across, squeeze=False).flat)
    for axes, (key, case) in zip(panels, cases.items(), strict=False):
        ran = {who: entry for who, entry in competitors(case).items() if "median_ms" in entry}
        median, low, high = (
            np.array([entry[name] for entry in ran.values()])
            for name in ("median_ms", "lower_quartile_ms", "upper_quartile_ms")
        )
        colours = [colormaps["tab10"](everyone.index(who) % 10) for who in ran]
        axes.barh(list(ran), median, xerr=[median - low, high - median], color=colours, capsize=3)
        for row, (edge, value) in enumerate(zip(high, median, strict=True)):
            axes.annotate(f"{value:.3g}", (edge, row), (6, 0), textcoords="offset points", va="center")
        ratios = _ratios(case, "", first=True)
        axes.set(title=f"{key}\nratio {ratios}" if ratios else key, xlim=(0, 1.25 * high.max()))
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(cases) :]:
        axes.remove()
    return figure
