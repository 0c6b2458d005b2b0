"""What pictures have in common: size, colours, the look of axes, labels beside them, and files.

Figures are drawn off-screen, each on its own canvas. Drawing functions have the decorator `default_style`, end with
`save`, and return its path.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from warnings import catch_warnings, filterwarnings

import numpy as np
from matplotlib import rc_context, rcdefaults
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from minigrad import to_device
from vae.files import write_bytes

DPI = 200
INK, GREY, BLUE, VERMILION = "#222222", "#707070", "#0072b2", "#d55e00"  # Okabe and Ito
COLOURS = "#332288 #56b4e9 #44aa99 #117733 #999933 #e69f00 #cc6677 #882255 #aa4499 #777777".split()  # after Paul Tol
MARKERS = "o^sDv<>P"


@contextmanager
def default_style() -> Iterator[None]:
    """Matplotlib's default settings instead of the user's, so that pictures look the same everywhere."""
    with rc_context(), catch_warnings():
        rcdefaults()
        filterwarnings("ignore", "Glyph .* missing from", UserWarning)  # such characters are drawn as boxes
        yield


def to_host(values: Any) -> np.ndarray:
    """An array on any device as one on the host."""
    return np.asarray(to_device(values, "cpu"))


def make_axes(width, height, title, note="", left=0.15, bottom=0.15, right=0.15, parts=None) -> list[Axes]:
    """Axes in an area of width × height inches below the title: one, or one per part (bottom, height)."""
    title = title.encode(errors="replace").decode()  # a path may hold undecodable bytes
    whole = max(left + width + right, 4.0)
    lines = textwrap.wrap(title, int(whole / 0.11)), textwrap.wrap(note, int(whole / 0.072))
    under = bottom + height + 0.08 + 0.16 * len(lines[1])
    top = under + 0.21 * len(lines[0]) + 0.1
    figure = Figure((whole, top), DPI, facecolor="white", layout="none")
    look = dict(va="top", linespacing=1.15, parse_math=False)
    figure.text(0.15 / whole, 1 - 0.1 / top, "\n".join(lines[0]), size=12, weight="bold", color=INK, **look)
    figure.text(0.15 / whole, under / top, "\n".join(lines[1]), size=8.5, color=GREY, **look)
    rows = parts or [(0, height)]
    return [figure.add_axes((left / whole, (bottom + y) / top, width / whole, h / top)) for y, h in rows]


def style(axes: Axes, **look: Any) -> None:
    """A grid, grey ticks and two spines."""
    axes.set(axisbelow=True, **look)
    axes.minorticks_off()
    axes.grid(color="#e6e6e6", lw=0.6)
    axes.tick_params(labelsize=8.5, color=GREY)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)


def write_beside(axes: Axes, labels: list[tuple[float, str, str]], gap: float = 0.15) -> None:
    """Labels (height, text, colour) right of the axes, pushed up where they would be closer than `gap` axes heights."""
    low, high = axes.get_ylim()
    heights: list[float] = []
    for height, text, colour in sorted(labels):
        heights.append(max([height, *(heights[-1:] and [heights[-1] + gap * (high - low)])]))
        place = (1.02, (heights[-1] - low) / (high - low))
        axes.text(*place, text, color=colour, size=8.5, va="center", transform=axes.transAxes, linespacing=1.2)


def save(axes: Axes, path: str | Path) -> Path:
    """Write the figure of these axes, in the format of the suffix. Raises UserError if that fails."""
    path, content = Path(path), io.BytesIO()
    kind = path.suffix[1:].lower() or "png"
    date = {"svg": "Date", "pdf": "CreationDate"}.get(kind)  # left out, so that equal pictures give equal files
    with rc_context({"svg.hashsalt": "vae"}):
        FigureCanvasAgg(axes.figure).print_figure(content, DPI, format=kind, metadata={date: None} if date else None)
    write_bytes(path, content.getvalue())
    return path
