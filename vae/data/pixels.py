"""Pixels: arrays as users keep them -> float32 in [0, 1], shape (N, H, W, C)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .dataset import DataError

CHANNELS = (1, 2, 3, 4)


def scale_to_unit(array: NDArray) -> NDArray[np.float32]:
    """uint8 / 255 or uint16 / 65535 as float32; shape kept."""
    return np.divide(array, np.iinfo(array.dtype).max, dtype=np.float32)


def to_images(parts: dict[str, NDArray], file: str) -> dict[str, NDArray[np.float32]]:
    """The parts of one set, shaped to (N, H, W, C) and scaled to [0, 1].

    Values: uint8 0…255 is divided by 255, unless no part exceeds 1, which means bits; bool becomes
    0 and 1; floats must lie in [0, 1] already. Shapes: (N, H, W), (N, H, W, C) with C ≤ 4, or
    (N, D) with D a square number. Raises DataError naming file, part, and what was seen.
    """
    bits = all(x.max(initial=0) <= 1 for x in parts.values() if x.dtype == np.uint8)
    return {part: _to_unit(_to_nhwc(x, f"{file}: {part}"), f"{file}: {part}", bits) for part, x in parts.items()}


def _to_nhwc(x: NDArray, label: str) -> NDArray:
    if 0 in x.shape:
        raise DataError(f"{label} is empty: shape {x.shape}")
    if x.ndim == 2 and math.isqrt(x.shape[1]) ** 2 == x.shape[1]:
        side = math.isqrt(x.shape[1])
        return x.reshape(-1, side, side, 1)
    if x.ndim == 3:
        return x[..., None]
    if x.ndim == 4 and x.shape[3] in CHANNELS:
        return x
    channels_first = x.ndim == 4 and x.shape[1] in CHANNELS
    hint = "; move the channels last" if channels_first else ""
    raise DataError(
        f"{label} has shape {x.shape}, expected (N, H, W), (N, H, W, C) with at most 4 channels, "
        f"or (N, D) with D a square number{hint}"
    )


def _to_unit(x: NDArray, label: str, bits: bool) -> NDArray[np.float32]:
    if x.dtype == np.uint8 and not bits:
        return scale_to_unit(x)
    if x.dtype == np.bool_ or x.dtype == np.uint8:
        return x.astype(np.float32)
    if x.dtype.kind != "f":
        raise DataError(f"{label} has dtype {x.dtype}, expected uint8 (0 to 255), bool or floats (0 to 1)")
    if np.isnan(x).any():
        raise DataError(f"{label} holds {np.isnan(x).sum()} NaN, expected floats from 0 to 1")
    low, high = x.min(), x.max()
    if low < 0 or high > 1:
        raise DataError(f"{label} has values from {low:g} to {high:g}, expected 0 to 1: rescale it")
    return x.astype(np.float32)
