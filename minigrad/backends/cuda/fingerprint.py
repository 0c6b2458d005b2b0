"""Fingerprints: has an array changed since?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.backends.numpy.fingerprint import WEIGHTS


def make_fingerprint(cupy: Any) -> Callable[[Any], int]:
    """A function that does on the device what numpy.fingerprint.fingerprint does; the numbers are others."""
    weights = cupy.asarray(WEIGHTS)

    def fingerprint(x: Any) -> int:
        raw = cupy.ascontiguousarray(x).reshape(-1).view(cupy.uint8)
        words = cupy.pad(raw, (0, -len(raw) % (4 * len(weights)))).view(cupy.uint32).reshape(-1, len(weights))
        rows = (words * weights).sum(axis=1)  # uint32 · uint64: see the twin
        turns = cupy.arange(1, 2 * len(rows), 2, dtype=cupy.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return int((rows * (turns | np.uint64(1))).sum())

    return fingerprint
