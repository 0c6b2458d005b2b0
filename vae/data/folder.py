"""Load a folder of pictures, all of one size, as a Dataset."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .assemble import assemble
from .dataset import DataError, Dataset
from .finding import find_pictures
from .picture import REMARKS, PictureError, PictureFile, measure_picture, read_picture
from .pixels import note_dim, scale_to_unit, to_images

FAINT = 1 / 8  # of the range from black to white: a picture with less contrast to the background is invisible


def load_folder(folder: Path, seed: int = 0) -> Dataset:
    """Load all pictures in the folder and its subfolders; folders train and test are parts, others are classes.

    Files are read in order of their paths. Without a test part about a tenth is held out (split.hold_out). Pictures are
    turned upright by their EXIF orientation. Grey ones have one channel and colour ones three; if there are both, grey
    ones become colour. Transparent ones are composited on one background for the whole folder: white, or black if more
    of them would be invisible on white. 8- and 16-bit values are divided by 255 and 65535, floats as in
    pixels.to_images. `notes` says which of this was done. Raises DataError for unreadable pictures and unequal sizes.
    """
    found = find_pictures(folder)
    pictures = _read_all(folder, [path for files in found.parts.values() for path, _ in files])
    notes = [*found.notes, *_count_remarks(pictures)]
    pixels = _composite(pictures, notes)
    del pictures
    images = _stack(pixels, {part: len(files) for part, files in found.parts.items()}, notes, folder)
    del pixels
    labels, phrase = _make_labels(found.parts)
    source = f"{sum(map(len, found.parts.values()))} pictures{phrase} from {folder}"
    return assemble(folder.resolve().name, images, labels, source, notes, seed, str(folder))


def _read_all(folder: Path, paths: list[Path]) -> list[PictureFile]:
    """Read all pictures. Raises DataError with the number of unreadable ones, or with the sizes if they differ."""
    pictures: list[PictureFile] = []
    sizes: dict[tuple[int, int], list[Path]] = {}
    faults: list[str] = []
    for path in paths:
        try:
            if len(sizes) < 2:
                pictures.append(read_picture(path))
                size = pictures[-1].pixels.shape[:2]
            else:  # the sizes differ: the error needs only them
                size = measure_picture(path)
            sizes.setdefault(size, []).append(path)
        except PictureError as error:
            faults.append(str(error))
    if faults:
        more = f" (and {len(faults) - 1} more of {len(paths)} cannot)" if len(faults) > 1 else ""
        raise DataError(f"{faults[0]}{more}: remove or replace what cannot be read")
    if len(sizes) > 1:
        usual = sorted(sizes, key=lambda size: -len(sizes[size]))
        listed = [f"{len(sizes[h, w])} of {w}×{h} ({sizes[h, w][0].relative_to(folder)}, …)" for h, w in usual[:3]]
        more = [f"{len(usual) - 3} more sizes"] * (len(usual) > 3)
        raise DataError(f"{folder} has pictures of different sizes, {', '.join(listed + more)}: resize all to one size")
    return pictures


def _count_remarks(pictures: list[PictureFile]) -> list[str]:
    """One sentence for each kind of change made by reading, with the number of pictures."""
    counts = Counter(remark for picture in pictures for remark in picture.remarks)
    return [f"{REMARKS[remark]}: {counts[remark]} of {len(pictures)} pictures." for remark in REMARKS if counts[remark]]


def _composite(pictures: list[PictureFile], notes: list[str]) -> list[NDArray]:
    """Pixels on one background for all: white, unless fewer of the transparent pictures are invisible on black."""
    transparent = [picture for picture in pictures if picture.transparency is not None]
    invisible = Counter()
    for pixels, transparency, _ in transparent:
        most = np.iinfo(pixels.dtype).max
        invisible["black"] += bool(pixels.max() < FAINT * most)
        invisible["white"] += bool((pixels + transparency).min() > (1 - FAINT) * most)
    white = invisible["white"] <= invisible["black"]
    if transparent:
        background = "white" if white else "black"
        notes.append(f"Transparent, composited on {background}: {len(transparent)} of {len(pictures)} pictures.")
    return [p.pixels + p.transparency if white and p.transparency is not None else p.pixels for p in pictures]


def _stack(
    pixels: list[NDArray], counts: dict[str, int], notes: list[str], folder: Path
) -> dict[str, NDArray[np.float32]]:
    """The images (N, H, W, C) in [0, 1] of each part; `counts` gives the number of pictures in each."""
    dtypes = {x.dtype for x in pixels}
    ranged = all(dtype.kind == "u" for dtype in dtypes)  # 8 or 16 bits have a known range, others need a common one
    if not ranged and len(dtypes) > 1:
        raise DataError(f"{folder} mixes pictures of {' and '.join(sorted(map(str, dtypes)))}: save all with 8 bits")
    if ranged and len(dtypes) == 1:
        (dtype,) = dtypes
        notes.extend(note_dim(max(int(x.max()) for x in pixels), np.iinfo(dtype).max, str(folder)))
    shape, rest = (*pixels[0].shape[:2], _find_channels(pixels, notes)), iter(pixels)
    images: dict[str, NDArray] = {}
    for part, count in counts.items():
        images[part] = np.empty((count, *shape), np.float32 if ranged else pixels[0].dtype)
        for row in images[part]:
            row[...] = scale_to_unit(next(rest)) if ranged else next(rest)
    if not ranged:
        images, more = to_images(images, str(folder))
        notes.extend(more)
    return images


def _find_channels(pixels: list[NDArray], notes: list[str]) -> int:
    channels = [x.shape[2] for x in pixels]
    grey = channels.count(1)
    if 0 < grey < len(channels):
        notes.append(f"Grey, taken as colour (R = G = B) like the others: {grey} of {len(channels)} pictures.")
    elif not grey and all((x == x[..., :1]).all() for x in pixels):
        notes.append("All pictures are grey but saved as colour (R = G = B): each pixel counts three times.")
    return max(channels)


def _make_labels(parts: dict[str, list[tuple[Path, str]]]) -> tuple[dict[str, NDArray], str]:
    """The class of each picture, for parts with class folders, and a phrase with the number of classes."""
    classes = {label for files in parts.values() for _, label in files}
    if len(classes) < 2:
        return {}, ""
    labels = {part: np.array([label for _, label in files]) for part, files in parts.items()}
    labels = {part: x for part, x in labels.items() if (x != ".").any()}
    return labels, f" of {len(set(np.concatenate(list(labels.values())).tolist()))} classes, one per folder,"
