"""Glyphs: the ten digits of a font, as fields of signed distance to their outline.

A field d(p) is positive inside the ink, negative outside, and |d| is the distance to the nearest
point of the outline. Thresholding d at 0 gives the glyph, thresholding at −w a glyph bolder by w on
all sides, and because d is smooth it can be scaled, rotated and sampled at a few pixels, where a
bitmap would alias. The outlines come from fonts that ship with matplotlib, so nothing has to be
downloaded or installed.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath
from numpy.typing import NDArray

from .dataset import DataError

#: Upright and true italic cuts whose digits differ in shape. Left out are the oblique cuts (shear
#: makes them), DejaVuSansMono (its 0 has a dot) and fonts with old-style digits or none.
FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralItalic",
    "STIXGeneralBolIta",
    "cmb10",
    "cmr10",
    "cmss10",
    "cmti10",
    "cmtt10",
)

REACH = 0.75  # a field covers [−REACH, REACH]² around a glyph whose longer side is 1
CELLS = 64  # samples along each side of a field: at least two per pixel of a 28×28 image
PIECES = 5  # straight pieces per Bézier curve
BLOCK = 512  # points per batch, so that (points, segments) arrays stay in cache: 4× faster


def trace_outline(font: str, digit: int) -> NDArray[np.float32]:
    """Straight segments around one digit, centred on 0 with its longer side scaled to 1.

    Returns shape (segments, 2 ends, 2 coordinates), x to the right and y down like image rows.
    Raises DataError if this matplotlib does not have the font.
    """
    file = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{font}.ttf")
    if not file.is_file():
        raise DataError(f"{file} is missing: reinstall matplotlib, which contains the font")
    path = TextPath((0, 0), str(digit), size=100, prop=FontProperties(fname=str(file)))
    t = np.linspace(0, 1, PIECES + 1)
    segments = []
    for bezier, code in path.iter_bezier():
        if code == Outline.MOVETO:
            continue
        straight = len(bezier.control_points) == 2
        points = bezier(t[[0, -1]] if straight else t)
        segments.append(np.stack([points[:-1], points[1:]], axis=1))
    outline = np.concatenate(segments)
    low, high = outline.min(axis=(0, 1)), outline.max(axis=(0, 1))
    outline = (outline - (low + high) / 2) / (high - low).max()
    return (outline * [1, -1]).astype(np.float32)


def measure_distance(points: NDArray, segments: NDArray) -> NDArray[np.float32]:
    """Signed distance of points (P, 2) to the outline made of segments (S, 2, 2): (P,), inside > 0.

    Inside means that a ray to the right crosses the outline an odd number of times.
    """
    x, y = points[:, :1], points[:, 1:]  # (P, 1), broadcast against (S,) below
    (ax, ay), (bx, by) = segments[:, 0].T, segments[:, 1].T
    ux, uy = bx - ax, by - ay
    length2 = np.maximum(ux * ux + uy * uy, np.float32(1e-12))
    px, py = x - ax, y - ay  # (P, S)
    along = np.clip((px * ux + py * uy) / length2, 0, 1)  # nearest point of each segment
    distance = np.sqrt(((px - along * ux) ** 2 + (py - along * uy) ** 2).min(axis=1))
    spans = (ay > y) != (by > y)  # (P, S)
    rise = np.where(uy == 0, np.float32(1), uy)
    crossings = spans & (px < py * (ux / rise))
    inside = np.count_nonzero(crossings, axis=1) % 2 == 1
    return np.where(inside, distance, -distance)


@cache
def distance_fields() -> NDArray[np.float32]:
    """The fields of every font and digit: shape (fonts, 10, CELLS, CELLS), rows are y; read-only.

    Takes half a second the first time and is kept for the life of the process.
    """
    axis = np.linspace(-REACH, REACH, CELLS, dtype=np.float32)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    fields = np.empty((len(FONTS), 10, CELLS, CELLS), np.float32)
    for i, font in enumerate(FONTS):
        for digit in range(10):
            outline, field = trace_outline(font, digit), fields[i, digit].reshape(-1)
            for start in range(0, len(points), BLOCK):
                block = slice(start, start + BLOCK)
                field[block] = measure_distance(points[block], outline)
    fields.flags.writeable = False
    return fields
