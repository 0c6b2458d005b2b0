"""Compute both sides of claims, one after the other, and draw their pictures."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from vae.drawing import default_style
from vae.lecture.claims import Claim, Setting, Sides

SIZE, DPI, COLOURS = (5.6, 3.2), 144, 96


@dataclass(frozen=True)
class Result:
    """A claim, its computed sides, and its pictures as PNG bytes."""

    claim: Claim
    sides: Sides
    seconds: float
    picture: bytes | None
    frames: tuple[tuple[str, bytes], ...] = ()  # (label, picture) for each value of the slider

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        c, s = self.claim, self.sides
        return {
            "slide": c.slide,
            "name": c.name,
            "claim": c.says,
            "left": s.left,
            "right": s.right,
            "error": s.error,
            "tolerance": s.tolerance,
            "unit": s.unit,
            "passed": s.passed,
        }


def run(
    claims: Sequence[Claim], setting: Setting, on_claim: Callable[[Claim], None] = lambda claim: None
) -> list[Result]:
    """Compute both sides of each claim and draw its picture; `on_claim` is called before each."""
    rows = []
    for claim in claims:
        on_claim(claim)
        began = time.perf_counter()
        sides = claim.compute(setting)
        seconds = time.perf_counter() - began
        slider = sides.slider
        frames = () if slider is None else tuple((f"{v:g}", _draw(_frame(slider, v))) for v in slider.values)
        rows.append(Result(claim, sides, seconds, _draw(sides.draw) if sides.draw else None, frames))
    return rows


def _frame(slider: Any, value: float) -> Callable[[Any], None]:
    return lambda axes: slider.draw(axes, value)


@default_style()
def _draw(draw: Callable[[Any], None]) -> bytes:
    """A picture as PNG bytes; `draw` gets the axes of a new figure."""
    figure = Figure(figsize=SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes)
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    Image.open(drawn).convert("RGB").quantize(COLOURS).save(small, format="png", optimize=True)
    return small.getvalue()
