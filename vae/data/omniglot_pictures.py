"""Read Omniglot's pictures as they were published: one-bit PNG files of 105×105 pixels in two zip files, or unzipped.

Few-shot work usually reduces them to 28×28 with Pillow's Lanczos filter. Here each pixel is the share of ink in its
square of 3.75×3.75 pixels: it needs no clipping, and is exact. No published bound on ln Q(y) uses either.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from .dataset import DataError

SIDE, REDUCED = 105, 28  # pixels
FINE = 4  # parts of a pixel's side: 15 of them are the side of a square of 3.75 pixels
LIMIT = 1 << 12  # bytes of a file: the pixels of a picture are 1470 without compression
HIDDEN = re.compile(r"(.*/)?(\.|__MACOSX/)")  # left by operating systems

Files = Iterator[tuple[str, int, Callable[[], bytes]]]  # path in the archive, bytes, read


def read_pictures(path: Path, name: str) -> tuple[NDArray[np.float32], NDArray[np.str_], list[str]]:
    """(share of ink (N, 28, 28, 1) in [0, 1]; the alphabet of each picture (N,); notes) of a zip file or a folder.

    name: images_background or images_evaluation, the folder that may enclose those of the alphabets. Pictures are
    ALPHABET/characterNN/XXXX_YY.png, in order of their paths; other files are counted in the notes. Raises DataError.
    """
    picture = re.compile(rf"(?:{name}/)?([\w()\-]+)/character\d+/\d+_\d+\.png")
    images, labels, others = [], [], 0
    try:
        with nullcontext(path) if path.is_dir() else zipfile.ZipFile(path) as opened:
            for inner, size, read in _list_folder(path) if path.is_dir() else _list_zip(opened):
                if found := picture.fullmatch(inner):
                    images.append(_read(read, size, f"{path}: {inner}"))
                    labels.append(found[1])
                else:
                    others += not HIDDEN.match(inner)
    except (DataError, MemoryError):
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # zipfile raises several kinds
        raise DataError(f"{path} is not a zip file, or is damaged: {error}") from None
    if not images:
        raise DataError(
            f"{path} holds no pictures ALPHABET/character01/0709_01.png but {others or 'no'} other files: "
            f"take {name}.zip from github.com/brendenlake/omniglot, python"
        )
    notes = [f"Skipped in {path}: {others} files that are not ALPHABET/character01/0709_01.png."] if others else []
    whole = (FINE * SIDE // REDUCED) ** 2  # parts of a square: 225
    return np.divide(np.stack(images)[..., None], whole, dtype=np.float32), np.array(labels), notes


def _list_zip(archive: zipfile.ZipFile) -> Files:
    for info in sorted(archive.infolist(), key=lambda info: info.filename):
        if not info.is_dir():
            yield info.filename, info.file_size, partial(archive.read, info)


def _list_folder(folder: Path) -> Files:
    inside = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    for inner, path in sorted(inside.items()):
        if path.is_file():
            yield inner, path.stat().st_size, path.read_bytes


def _read(read: Callable[[], bytes], size: int, label: str) -> NDArray[np.uint8]:
    """The ink of one file, as `_reduce` counts it. Raises DataError that starts with `label`."""
    if size > LIMIT:
        raise DataError(f"{label} has {size} bytes, more than a black and white picture of {SIDE}×{SIDE} pixels needs")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the size is checked before decompression
            picture = Image.open(BytesIO(read()), formats=("PNG",))
        with picture:
            shape, mode = picture.size, picture.mode
            if shape == (SIDE, SIDE) and mode == "1":
                return _reduce(~np.asarray(picture))
    except MemoryError:
        raise
    except Exception as error:  # Pillow, zipfile and zlib raise their own kinds
        reason = "its format is unknown" if isinstance(error, UnidentifiedImageError) else error
        raise DataError(f"{label} cannot be read as a PNG picture: {reason or type(error).__name__}") from None
    raise DataError(
        f"{label} has {shape[0]}×{shape[1]} pixels of Pillow's mode {mode}, "
        f"expected {SIDE}×{SIDE} in black and white (mode 1), as published"
    )


def _reduce(ink: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """How many of the 15×15 parts of each square have ink: (105, 105) to (28, 28), at most 225."""
    rows = np.repeat(ink, FINE, 0).reshape(REDUCED, -1, SIDE).sum(1, dtype=np.uint8)  # (28, 105)
    return np.repeat(rows, FINE, 1).reshape(REDUCED, REDUCED, -1).sum(2, dtype=np.uint8)
