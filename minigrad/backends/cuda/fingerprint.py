"""Fingerprints: hashes that show whether an array has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.backends.numpy.fingerprint import WEIGHTS


def make_fingerprint(cupy: Any) -> Callable[[Any], int]:
    """Make the twin of numpy.fingerprint.fingerprint on the device; its values differ from NumPy's."""
    weights = cupy.asarray(WEIGHTS)

    def fingerprint(x: Any) -> int:
        raw = cupy.ascontiguousarray(x).reshape(-1).view(cupy.uint8)
        words = cupy.pad(raw, (0, -len(raw) % (4 * len(weights)))).view(cupy.uint32).reshape(-1, len(weights))
        rows = (words * weights).sum(axis=1)  # uint32 · uint64: see the twin
        weights_of_rows = cupy.arange(1, 2 * len(rows), 2, dtype=cupy.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return int((rows * (weights_of_rows | np.uint64(1))).sum())

    return fingerprint
