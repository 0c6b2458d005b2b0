"""Binary images, drawn from grey ones: the grey value of a pixel is its probability of being 1.

"Dynamic" binarisation draws a training image anew in every epoch (Salakhutdinov and Murray 2008). A pixel depends on
the key and on its position in the set alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import minigrad as mg

from .blocks import blocks_of
from .dataset import DataError


def draw_pixels(key: Any, images: Any, place: Any = 0) -> Any:
    """Binary images, of the shape and dtype of `images` (N, H, W, C) in [0, 1], which are rows `place` and following
    of a set."""
    pixels = math.prod(images.shape[1:])
    return mg.random.bernoulli(key, images.shape, images.dtype, p=images, offset=place * pixels)


def binarise(images: Any, key: Any) -> np.ndarray:
    """The whole set as binary images (N, H, W, C), in memory. Raises DataError unless all values lie in [0, 1]."""
    require_probabilities(images)
    found = np.empty(images.shape, np.float32)
    for rows in blocks_of(images):
        found[rows] = draw_pixels(key, np.asarray(images[rows]), rows.start)
    return found


def require_probabilities(images: Any) -> None:
    """Raises DataError unless all values of the images lie in [0, 1]."""
    for rows in blocks_of(images):
        block = np.asarray(images[rows])
        if not (block.min() >= 0 and block.max() <= 1):  # also for NaN
            raise DataError(
                f"only images in [0, 1] can be binarised: a pixel is 1 with its grey value as probability, got "
                f"{block.min():g} to {block.max():g}"
            )
