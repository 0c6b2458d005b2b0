"""Numbers of many images, computed group by group on all processes and threads.

Each group is computed alike wherever that is, and all are put back in the order of the images, so the numbers and their
means have the same bits however the groups are divided.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import collectives
from minigrad.program.cpu import threads

PIECE = 500  # images at a time


def pieces_of(count: int, length: int) -> list[slice]:
    """Slices of `length` that together cover range(count); the last may be shorter."""
    return [slice(i, min(i + length, count)) for i in range(0, count, length)]


def together(images: Any) -> int:
    """How many groups of images are computed at the same time."""
    return 1 if mg.device.is_asynchronous(mg.device_of(images[:1])) else threads.count()


def per_image(images: Any, size: int, compute: Callable[[slice], Any]) -> np.ndarray:
    """What `compute` returns for every group of `size` images, numbers (…, group) on any device, for all images:
    (…, N), in float64."""
    group, pieces = collectives.current(), pieces_of(len(images), size)
    mine, found = pieces[group.rank :: group.size], {}

    def work(piece: slice) -> None:
        found[piece.start] = np.ascontiguousarray(mg.to_device(compute(piece), "cpu"), np.float64)

    step = together(images)
    with threads.single_blas:
        for i in range(0, len(mine), step):
            threads.run_all([partial(work, piece) for piece in mine[i : i + step]])
    everywhere = {start: values for some in group.share(found) for start, values in some.items()}
    return np.concatenate([everywhere[piece.start] for piece in pieces], axis=-1)
