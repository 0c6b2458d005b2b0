"""Convert arrays of images in any of the usual forms to float32 in [0, 1], shape (N, H, W, C).

The range of values is determined for all parts of a set together, and stated in a note. If it is ambiguous, the
arrays are rejected with advice.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .blocks import blocks_of
from .dataset import DataError
from .mapped import MappedImages

CHANNELS = (1, 2, 3, 4)
SLACK = 1e-6  # how far rounding may move a float outside of 0 to 1


def scale_to_unit(array: NDArray) -> NDArray[np.float32]:
    """uint8 / 255 or uint16 / 65535 as float32; shape kept."""
    return np.divide(array, np.iinfo(array.dtype).max, dtype=np.float32)


def to_images(parts: dict[str, NDArray], file: str) -> tuple[dict[str, NDArray[np.float32] | MappedImages], list[str]]:
    """The parts of one set, shaped to (N, H, W, C) and scaled to [0, 1]; and one sentence per decision.

    Values of any dtype: floats from 0 to 1 are kept, and clipped if rounding moved them up to 1e-6 outside; zeros and
    ones are bits; uint8 is divided by 255, and so are whole numbers up to 255 of other dtypes if any is above 127.
    Shapes: (N, H, W), (N, H, W, C) or (N, C, H, W) with C ≤ 4, or (N, D) with D a square number. Arrays that need no
    change are not copied; an np.memmap becomes MappedImages. `parts` is emptied, to free the memory of the others.
    Raises DataError that names file, part and the values found.
    """
    notes: list[str] = []
    for part, x in parts.items():
        if x.dtype.kind not in "biuf":
            raise DataError(f"{file}: {part} has dtype {x.dtype}, expected uint8 (0 to 255), bool or floats (0 to 1)")
    layouts = {part: _lay_out(x, f"{file}: {part}", notes) for part, x in parts.items()}
    divisors = {}
    for kinds in ("b", "iu", "f"):  # one divisor per kind for the whole set
        alike = {part: x for part, x in parts.items() if x.dtype.kind in kinds}
        divisors |= dict.fromkeys(alike, _find_divisor(alike, file, notes)) if alike else {}
    return {part: _convert(parts.pop(part), layouts[part], divisors[part]) for part in list(parts)}, notes


# Shapes


class PixelLayout(NamedTuple):
    """The shape of the images in an array, and where their channels are."""

    shape: tuple[int, int, int]  # (H, W, C) of an image
    channels_first: bool = False


def _lay_out(x: NDArray, label: str, notes: list[str]) -> PixelLayout:
    if 0 in x.shape:
        raise DataError(f"{label} is empty: shape {x.shape}")
    if x.ndim == 2 and math.isqrt(x.shape[1]) ** 2 == x.shape[1]:
        side = math.isqrt(x.shape[1])
        return PixelLayout((side, side, 1))
    if x.ndim == 3:
        n, height, width = x.shape
        if width in (3, 4) and height > 4:
            notes.append(f"{label} has shape {x.shape}: taken as {n} grey images {height}×{width}, not one in colour.")
        return PixelLayout((height, width, 1))
    if x.ndim == 4 and x.shape[3] in CHANNELS:
        return PixelLayout(x.shape[1:])
    if x.ndim == 4 and x.shape[1] in CHANNELS:
        notes.append(f"{label} has shape {x.shape}, taken as (N, C, H, W).")
        return PixelLayout((*x.shape[2:], x.shape[1]), channels_first=True)
    hint = ""
    if x.ndim == 2 and 3 * (side := math.isqrt(x.shape[1] // 3)) ** 2 == x.shape[1]:
        hint = f"; for colours save x.reshape(-1, {side}, {side}, 3), or (-1, 3, {side}, {side}) if they are in planes"
    raise DataError(
        f"{label} has shape {x.shape}, expected (N, H, W), (N, H, W, C) or (N, C, H, W) with at most 4 channels, "
        f"or (N, D) with D a square number{hint}"
    )


# Values


def _find_divisor(parts: dict[str, NDArray], file: str, notes: list[str]) -> int:
    """The divisor that scales the values of all these parts to [0, 1]: 1 or 255."""
    ranges = {part: _find_range(x, f"{file}: {part}") for part, x in parts.items()}
    low, high = min(low for low, _ in ranges.values()), max(high for _, high in ranges.values())
    floats, kinds = [x for x in parts.values() if x.dtype.kind == "f"], {x.dtype.name for x in parts.values()}
    slack = max(SLACK, *(4 * float(np.finfo(x.dtype).eps) for x in floats)) if floats else 0
    if -slack <= low and high <= 1 + slack:
        if low < 0 or high > 1:
            clipped = sum(int(((x[rows] < 0) | (x[rows] > 1)).sum()) for x in floats for rows in blocks_of(x))
            notes.append(f"{file}: values up to {max(-low, high - 1):.1g} outside of 0 to 1, clipped: {clipped}.")
        return 1
    whole = all((np.rint(x[rows]) == x[rows]).all() for x in floats for rows in blocks_of(x))
    if low >= 0 and high <= 255 and (kinds == {"uint8"} or (high > 127 and whole)):
        if kinds != {"uint8"}:
            notes.append(f"{file}: whole numbers up to {high:g} (dtype {', '.join(sorted(kinds))}), divided by 255.")
        notes.extend(note_dim(int(high), 255, file))
        return 255
    part = next(part for part, seen in ranges.items() if seen[0] < -slack or seen[1] > 1 + slack)
    advice = "save (x + 1) / 2 if −1 is black and 1 white" if -1.01 < low < 0 and high < 1.01 else ""
    if not advice and low < 0:
        advice = "shift and rescale it so that black is 0 and white is 1"
    advice = advice or "save x / w, where w is the value of white: 255 for 8 bits, 4095 for 12, 65535 for 16"
    low, high = ranges[part]
    raise DataError(f"{file}: {part} has values from {low:.7g} to {high:.7g}, expected 0 to 1 or uint8: {advice}")


def note_dim(high: int, white: int, file: str) -> list[str]:
    """A sentence if the pixels of a set use less than half of their type's range."""
    if high == 0 or high > white // 2:
        return []
    return [f"{file}: the largest value is {high} of {white}, so images are dark; if {high} is white, rescale them."]


def _find_range(x: NDArray, label: str) -> tuple[float, float]:
    """The (lowest, highest) value. Raises DataError unless all are finite."""
    blocks = [x[rows] for rows in blocks_of(x)]
    low, high = min(b.min() for b in blocks), max(b.max() for b in blocks)
    nans = sum(int(np.isnan(b).sum()) for b in blocks) if x.dtype.kind == "f" else 0
    if nans or not np.isfinite([float(low), float(high)]).all():
        infinite = sum(int(np.isinf(b).sum()) for b in blocks)
        seen = [f"{n} {name}" for n, name in ((nans, "NaN"), (infinite, "infinite values")) if n]
        raise DataError(f"{label} holds {' and '.join(seen)}, expected floats from 0 to 1")
    return float(low), float(high)


def _convert(x: NDArray, layout: PixelLayout, divisor: int) -> NDArray[np.float32] | MappedImages:
    """Float32 images (N, H, W, C); a view of x if no value changes, and MappedImages if x is mapped."""
    convert = partial(_convert_block, layout=layout, divisor=divisor)
    if isinstance(x, np.memmap):
        return MappedImages(x.view(np.ndarray), layout.shape, convert)
    if x.dtype == np.float32 and divisor == 1 and x.flags.c_contiguous and not layout.channels_first:
        if x.min() >= 0 and x.max() <= 1:
            return x.reshape(-1, *layout.shape)
    images = np.empty((len(x), *layout.shape), np.float32)
    for rows in blocks_of(x):
        convert(x[rows], images[rows])
    return images


def _convert_block(block: NDArray, out: NDArray[np.float32], layout: PixelLayout, divisor: int) -> None:
    """Write some rows of an array to `out` as images."""
    block = np.moveaxis(block, 1, -1) if layout.channels_first else block
    np.divide(block.reshape(out.shape), divisor, out=out, dtype=np.float32, casting="same_kind")
    np.clip(out, 0, 1, out=out)
