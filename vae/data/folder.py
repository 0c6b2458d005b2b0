"""A folder of pictures, all of one size, as a dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image  # comes with matplotlib, which needs it

from .dataset import DataError, Dataset, is_binary
from .pixels import scale_to_unit
from .split import hold_out

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


def load_folder(folder: Path, seed: int = 0) -> Dataset:
    """Every picture directly in the folder; about a tenth of them is the test part (split.hold_out).

    Names of files do not matter. Grey pictures keep one channel and colour ones three; alpha is
    dropped. Raises DataError naming the first picture that cannot be read or differs in size from
    the first of all.
    """
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from None
    files = sorted(
        path for path in entries if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    )
    if not files:
        raise DataError(f"{folder} holds no pictures ({', '.join(SUFFIXES)})")
    first = read_picture(files[0])
    images = np.empty((len(files), *first.shape), np.float32)
    for row, path in zip(images, files, strict=True):
        picture = read_picture(path)
        if picture.shape != first.shape:
            raise DataError(
                f"{path} is {_describe(picture)}, but {files[0].name} is {_describe(first)}: "
                "bring all pictures to one size and one kind"
            )
        row[...] = picture
    train, test = hold_out(images, seed, str(folder))
    return Dataset(
        name=folder.resolve().name,
        train=images[train],
        test=images[test],
        binary=is_binary(images),
        source=f"{len(files)} pictures from {folder}, a tenth held out by seed {seed}.",
    )


def read_picture(path: Path) -> NDArray[np.float32]:
    """One picture as float32 in [0, 1], shape (H, W, 1) or (H, W, 3). Raises DataError."""
    try:
        with Image.open(path) as picture:
            pixels = _read_pixels(picture)
    except Exception as error:  # Pillow's readers raise what their formats make them raise
        raise DataError(f"{path} cannot be read as a picture: {error}") from None
    if pixels.dtype not in (np.uint8, np.uint16):
        raise DataError(f"{path} has pixels of dtype {pixels.dtype}: convert it to 8-bit PNG")
    return scale_to_unit(pixels if pixels.ndim == 3 else pixels[..., None])


def _read_pixels(picture: Image.Image) -> NDArray:
    """Grey (H, W) or colour (H, W, 3), alpha dropped, in the picture's own depth if it is grey."""
    if picture.mode in ("1", "L", "LA", "La"):
        picture = picture.convert("L")
    elif picture.mode == "P":  # by way of RGBA, for Pillow warns of losing a palette's alpha
        picture = picture.convert("RGBA").convert("RGB")
    elif not picture.mode.startswith(("I", "F")):
        picture = picture.convert("RGB")
    return np.asarray(picture)


def _describe(picture: NDArray) -> str:
    height, width, channels = picture.shape
    return f"{width}×{height} {'grey' if channels == 1 else 'colour'}"
