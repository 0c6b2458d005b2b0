"""Read one picture: upright, grey or colour, premultiplied by alpha, with its transparency as a second array."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from .dataset import DataError

ORIENTATION = 0x0112  # in EXIF; 5 to 8 swap height and width
LEVELS = {"1": 255, "L;2": 85, "L;4": 17}  # step between grey levels of 1, 2 or 4 bits, in 255ths
SIXTEEN = ("I;16", "I;16L", "I;16B", "I;16N")
REMARKS = {
    "turned": "Turned upright by their EXIF orientation",
    "frames": "Reduced to the first frame or page, or an icon's largest size",
    "reduced": "Read with 8 of their 16 bits per channel",
}


class PictureFile(NamedTuple):
    """Pixels (H, W, C), C = 1 for grey and 3 for colour: uint8, uint16, or int32 and float32 without a fixed range."""

    pixels: NDArray  # multiplied by alpha, as on a black background
    transparency: NDArray | None = None  # (H, W, 1), 1 − alpha in the units of pixels: what a white background adds
    remarks: tuple[str, ...] = ()  # keys of REMARKS


class PictureError(DataError):
    """A file cannot be read as a picture."""


def read_picture(path: Path) -> PictureFile:
    """Read the picture's first frame, upright. Raises PictureError."""
    with _open(path) as picture:
        return _read(picture)


def measure_picture(path: Path) -> tuple[int, int]:
    """(height, width) of a picture when upright, without reading its pixels. Raises PictureError."""
    with _open(path) as picture:
        swapped = picture.getexif().get(ORIENTATION) in (5, 6, 7, 8) and picture.format != "TIFF"  # swapped by Pillow
        return picture.size if swapped else picture.size[::-1]


@contextmanager
def _open(path: Path) -> Iterator[Image.Image]:
    """Open a picture; whatever Pillow raises for its format becomes a PictureError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                yield picture
        return
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        reason = f"it has more than {Image.MAX_IMAGE_PIXELS} pixels"
    except UnidentifiedImageError:
        reason = "its format is unknown" if path.stat().st_size else "it is empty"
    except OSError as error:
        reason = error.strerror or str(error)
    except MemoryError:
        raise
    except Exception as error:
        reason = str(error) or type(error).__name__
    raise PictureError(f"{path} cannot be read as a picture: {reason}")


def _read(picture: Image.Image) -> PictureFile:
    coded = [(coder, args) for coder, _, _, args in picture.tile]  # the file's encodings, which reading discards
    deep = any(";16" in str(args) or (coder == "ppm" and args[-1] > 255) for coder, args in coded)
    perhaps_grey = picture.mode in ("P", "PA") or any("LA;16" in str(args) for _, args in coded)  # opened as colour
    kind, turned = picture.format, picture.getexif().get(ORIENTATION)
    clear = _find_transparent_value(picture.info, coded[0][1] if coded else None)
    frames = max(getattr(picture, "n_frames", 1), len(picture.info.get("sizes", ())))  # icons have sizes
    remarks = {"turned": turned in range(2, 9), "frames": frames > 1}
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in SIXTEEN:
        pixels = np.asarray(picture).astype(np.uint16)[..., None]
        alpha = np.where(pixels == clear, 0, 65535).astype(np.uint16) if isinstance(clear, int) else None
    elif picture.mode.startswith(("I", "F")):
        pixels, alpha = np.asarray(picture)[..., None], None
        if pixels.dtype == np.int32 and kind in ("PNG", "PPM"):
            pixels = pixels.astype(np.uint16)
    else:
        pixels, alpha = _split_alpha(picture)
        remarks["reduced"] = deep
    remarks = tuple(name for name, holds in remarks.items() if holds)
    if alpha is not None and (alpha == np.iinfo(alpha.dtype).max).all():
        alpha = None
    if alpha is not None:
        white = np.iinfo(alpha.dtype).max
        pixels = np.rint(pixels.astype(np.float64) * alpha / white).astype(alpha.dtype)
        alpha = white - alpha
    if perhaps_grey and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., :1]
    return PictureFile(np.ascontiguousarray(pixels), alpha, remarks)  # a view would keep all channels in memory


def _find_transparent_value(info: dict, coded: Any) -> Any:
    """The pixel value that means transparent, converted from the file's units to those of pixels, also in `info`."""
    clear = info.get("transparency")
    if isinstance(coded, str) and coded in LEVELS and isinstance(clear, int):
        clear = info["transparency"] = min(clear * LEVELS[coded], 255)
    elif coded == "RGB;16B" and isinstance(clear, tuple):
        clear = info["transparency"] = tuple(value >> 8 for value in clear)
    return clear


def _split_alpha(picture: Image.Image) -> tuple[NDArray, NDArray | None]:
    """Grey (H, W, 1) or colour (H, W, 3), and alpha (H, W, 1) if there is one: 8 bits."""
    grey = picture.mode in ("1", "L", "LA", "La")
    if picture.mode in ("La", "RGBa"):  # already multiplied by alpha
        picture = picture.convert({"La": "LA", "RGBa": "RGBA"}[picture.mode])
    clear = picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info
    pixels = np.asarray(picture.convert("RGBA" if clear else "RGB"))
    return pixels[..., : 1 if grey else 3], pixels[..., 3:] if clear else None
