"""The built-in set: grey 28×28 digits drawn from fonts, with the factors each was drawn from.

Image i of a split depends on (seed, split, i) alone. Eight uniform numbers choose the font, the
digit, an affine map and a stroke weight; the glyph's distance field is sampled through the inverse
map at the pixel centres, and distance becomes grey over about one pixel. So, unlike those of
handwritten digits, the factors of variation are known exactly.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .dataset import Dataset
from .glyphs import CELLS, FONTS, REACH, distance_fields

SIDE = 28  # pixels
DEFAULT_SIZE = (10_000, 2_000)
SOFTNESS = 1.2  # width of an edge from black to white, in pixels
CHUNK = 256  # images drawn at a time, so that the working arrays stay in cache

#: name, lowest, highest of each continuous factor
RANGES = (
    ("rotation", -15.0, 15.0),  # degrees, clockwise
    ("shear", -0.1, 0.25),  # columns to the right per row up
    ("scale", 16.0, 19.5),  # pixels along the glyph's longer side
    ("dx", -1.25, 1.25),  # pixels to the right
    ("dy", -1.25, 1.25),  # pixels down
    ("weight", 0.0, 0.8),  # pixels the outline is moved outwards
)
#: one row per image: `font` indexes glyphs.FONTS, `digit` is the label
FACTORS = np.dtype([("font", np.int64), ("digit", np.int64)] + [(n, np.float64) for n, *_ in RANGES])


def draw_factors(count: int, seed: int, split: int) -> NDArray:
    """Structured array (count,) of dtype FACTORS; a longer array begins with the shorter one.

    split 0 is train, 1 is test: two independent streams.
    """
    stream = np.random.SeedSequence(seed, spawn_key=(split,))
    generator = np.random.Generator(np.random.PCG64(stream))
    uniform = generator.random((count, len(FACTORS.names)))  # filled row by row
    factors = np.empty(count, FACTORS)
    factors["font"] = (uniform[:, 0] * len(FONTS)).astype(np.int64)
    factors["digit"] = (uniform[:, 1] * 10).astype(np.int64)
    for column, (name, low, high) in enumerate(RANGES, start=2):
        factors[name] = low + (high - low) * uniform[:, column]
    return factors


def render(factors: NDArray) -> NDArray[np.float32]:
    """Images (N, 28, 28, 1), float32 in [0, 1], white on black, of structured factors (N,).

    The factors need not come from draw_factors: change one column and render the row again to see
    what that factor does. Raises ValueError for a font or digit that does not exist.

    >>> factors = draw_factors(5, seed=0, split=0)
    >>> render(factors).shape
    (5, 28, 28, 1)
    """
    for name, count in (("font", len(FONTS)), ("digit", 10)):
        if ((factors[name] < 0) | (factors[name] >= count)).any():
            raise ValueError(f"{name} must lie in 0…{count - 1}, got {np.unique(factors[name])}")
    images = np.empty((len(factors), SIDE, SIDE, 1), np.float32)
    for start in range(0, len(factors), CHUNK):
        rows = slice(start, start + CHUNK)
        images[rows, :, :, 0] = _render_chunk(factors[rows])
    return images


def _render_chunk(factors: NDArray) -> NDArray[np.float32]:
    # math, not numpy: a vector loop may round its last few elements differently from the rest,
    # and an image must not depend on how many are drawn with it.
    angle = [math.radians(degrees) for degrees in factors["rotation"]]
    column = (-1, 1, 1)  # (N, 1, 1), to broadcast against (rows, columns)
    cos = np.array([math.cos(a) for a in angle], np.float32).reshape(column)
    sin = np.array([math.sin(a) for a in angle], np.float32).reshape(column)
    shear, scale, dx, dy, weight = (
        factors[name].astype(np.float32).reshape(column) for name in ("shear", "scale", "dx", "dy", "weight")
    )
    # Pixel centre -> glyph: undo the translation, the rotation, the scale, then the shear.
    centre = np.arange(SIDE, dtype=np.float32) - np.float32((SIDE - 1) / 2)
    x, y = centre[None, None, :] - dx, centre[None, :, None] - dy
    u, v = (cos * x + sin * y) / scale, (cos * y - sin * x) / scale  # (N, 28, 28)
    u += shear * v
    field = _sample(factors["font"] * 10 + factors["digit"], u, v)
    return np.clip(0.5 + (field * scale + weight) / np.float32(SOFTNESS), 0, 1)


def _sample(glyph: NDArray, u: NDArray, v: NDArray) -> NDArray[np.float32]:
    """Bilinear samples of the fields of glyphs (N,) at coordinates u, v (N, rows, columns)."""
    fields = distance_fields().reshape(-1)
    to_cell = np.float32((CELLS - 1) / (2 * REACH))
    u = np.clip((u + np.float32(REACH)) * to_cell, 0, np.float32(CELLS - 1.001))
    v = np.clip((v + np.float32(REACH)) * to_cell, 0, np.float32(CELLS - 1.001))
    i, j = v.astype(np.int32), u.astype(np.int32)
    corner = glyph.astype(np.int32)[:, None, None] * (CELLS * CELLS) + i * CELLS + j
    u, v = u - j, v - i
    top = fields[corner] * (1 - u) + fields[corner + 1] * u
    bottom = fields[corner + CELLS] * (1 - u) + fields[corner + CELLS + 1] * u
    return top * (1 - v) + bottom * v


def make_digits(size: tuple[int | None, int | None] | None = None, seed: int = 0) -> Dataset:
    """The built-in Dataset of `size` = (train, test) images; None means DEFAULT_SIZE."""
    wanted = [n or default for n, default in zip(size or DEFAULT_SIZE, DEFAULT_SIZE, strict=True)]
    train, test = (draw_factors(count, seed, split) for split, count in enumerate(wanted))
    return Dataset(
        name="digits",
        train=render(train),
        test=render(test),
        train_labels=train["digit"],
        test_labels=test["digit"],
        source=f"Drawn from {len(FONTS)} fonts that come with matplotlib (seed {seed}).",
        factors={"train": train, "test": test},
    )
