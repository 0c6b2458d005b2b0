"""Splitting: hold a test part out, or take a smaller random sample of a set.

Both choose rows at random from a seed and never a prefix, since files are often sorted by class.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .dataset import DataError, Dataset

Size = tuple[int | None, int | None]
TRAIN, TEST, VALID, HELD_OUT = range(4)  # independent streams of one seed
HELD_OUT_PART = 10  # one image in ten


def shuffled(count: int, seed: int, stream: int) -> NDArray[np.int64]:
    """A permutation of range(count), a pure function of its arguments."""
    source = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(stream,)))
    return np.random.Generator(source).permutation(count)


def hold_out(count: int, seed: int, file: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers (train, test) with a tenth of the rows, at least one, in test; both shuffled."""
    if count < 2:
        raise DataError(f"{file} has {count} image and no test part: at least 2 are needed")
    rows = shuffled(count, seed, HELD_OUT)
    test = max(1, count // HELD_OUT_PART)
    return rows[test:], rows[:test]


def sample(dataset: Dataset, size: Size | None, seed: int) -> Dataset:
    """`size` = (train, test) random rows of a dataset; None keeps a part whole and in its order.

    A larger sample begins with the smaller one. valid is cut to the size of test. Raises DataError
    if more images are asked for than there are.
    """
    if size is None:
        return dataset
    changes = {}
    for part, stream, wanted in (("train", TRAIN, size[0]), ("test", TEST, size[1])):
        images, labels = getattr(dataset, part), getattr(dataset, f"{part}_labels")
        if wanted is None:
            continue
        if wanted > len(images):
            raise DataError(f"{dataset.name} has {len(images)} {part} images, {wanted} were asked for")
        rows = shuffled(len(images), seed, stream)[:wanted]
        changes[part] = images[rows]
        if labels is not None:
            changes[f"{part}_labels"] = labels[rows]
    if dataset.valid is not None and size[1] is not None:
        changes["valid"] = dataset.valid[shuffled(len(dataset.valid), seed, VALID)[: size[1]]]
    return replace(dataset, **changes)


def check_size(size: Size | None) -> None:
    """Raises DataError unless size is None or two of: a count of at least 1, or None."""
    if size is None:
        return
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise DataError(f"size must be a pair (train, test) or None, got {size!r}")
    for count in size:
        whole = isinstance(count, (int, np.integer)) and not isinstance(count, bool)
        if count is not None and not (whole and count >= 1):
            raise DataError(f"size must count at least 1 image in each part, got {size!r}")
