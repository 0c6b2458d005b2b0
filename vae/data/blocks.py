"""Work through many images in blocks of bounded size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

BLOCK = 1 << 20  # values per block


def blocks_of(x: Any) -> Iterator[slice]:
    """Slices of a few rows each that together cover x (N, …); working on one at a time needs little memory."""
    step = max(1, BLOCK // max(1, math.prod(x.shape[1:])))
    return (slice(start, start + step) for start in range(0, len(x), step))
