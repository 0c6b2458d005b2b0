"""Dataset, which every loader returns, and DataError, which every loader raises."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .blocks import blocks_of
from .mapped import MappedImages


class DataError(ValueError):
    """The requested data cannot be loaded; one sentence names the file and says what to do."""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images split into two (or three) parts. Immutable, and so are its arrays.

    - train, test, valid: float32 in [0, 1], shape (N, H, W, C), C-contiguous, read-only; or MappedImages, which are
      used like such an array and stay in their file.
    - train_labels, test_labels: int64, shape (N,), or None if the source has no labels.
    - binary: every pixel is exactly 0 or 1 (statically binarised), so a Bernoulli likelihood is a likelihood of the
      data and not only a bound.
    - source: one sentence saying where the images came from.
    - notes: sentences on what a loader changed, left out, or found unusual in the images.
    - classes: the name of each label, if the source has names: label i is classes[i].
    - factors: for the built-in digits, the factors each image was drawn from: `factors["train"]` and `factors["test"]`
      are structured arrays, one row per image (see digits.FACTORS); so is `factors["valid"]` if images were held out
      for validation (split.hold_valid).

    >>> images = np.zeros((3, 8, 8, 1), np.float32)
    >>> Dataset("blank", images, images[:1])
    Dataset('blank', train 3×8×8×1, test 1×8×8×1)
    """

    name: str
    train: NDArray[np.float32] | MappedImages
    test: NDArray[np.float32] | MappedImages
    train_labels: NDArray[np.int64] | None = None
    test_labels: NDArray[np.int64] | None = None
    binary: bool = False
    source: str = ""
    factors: dict[str, NDArray] | None = None
    valid: NDArray[np.float32] | MappedImages | None = None
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for part in ("train", "test", "valid"):
            images = getattr(self, part)
            if images is None and part == "valid":
                continue
            if images.ndim != 4 or 0 in images.shape:
                raise DataError(f"{self.name}: {part} has shape {images.shape}, expected non-empty (N, H, W, C)")
            if images.shape[1:] != self.train.shape[1:]:
                raise DataError(
                    f"{self.name}: {part} images have (H, W, C) = {images.shape[1:]}, "
                    f"train images have {self.train.shape[1:]}; they must agree"
                )
            if not isinstance(images, MappedImages):
                object.__setattr__(self, part, _freeze(images, np.float32))
        for part in ("train", "test"):
            labels = getattr(self, f"{part}_labels")
            if labels is None:
                continue
            count = len(getattr(self, part))
            if labels.shape != (count,):
                raise DataError(f"{self.name}: {part} has {count} images but labels of shape {labels.shape}")
            object.__setattr__(self, f"{part}_labels", _freeze(labels, np.int64))
        for part, factors in (self.factors or {}).items():
            count = len(getattr(self, part))
            if factors.shape != (count,):
                raise DataError(f"{self.name}: {part} has {count} images but factors of shape {factors.shape}")

    def __repr__(self) -> str:
        """Name and shapes: the images themselves would fill the screen."""
        parts = {"train": self.train, "test": self.test, "valid": self.valid}
        shapes = [f"{part} {'×'.join(map(str, x.shape))}" for part, x in parts.items() if x is not None]
        return f"Dataset({', '.join([repr(self.name), *shapes])})"


def _freeze(array: NDArray, dtype: type) -> NDArray:
    """A C-contiguous read-only view (the caller's own array is unchanged)."""
    view = np.ascontiguousarray(array, dtype=dtype).view()
    view.flags.writeable = False
    return view


def is_binary(*parts: NDArray | MappedImages | None) -> bool:
    """Whether every pixel of every part (None counts as empty) is exactly 0 or 1."""
    blocks = (x[rows] for x in parts if x is not None for rows in blocks_of(x))
    return all(bool(((x == 0) | (x == 1)).all()) for x in blocks)


def find_oddities(dataset: Dataset) -> tuple[str, ...]:
    """A sentence, in a tuple, if images are blank (of a single value) or all the same."""
    parts = [x for x in (dataset.train, dataset.test, dataset.valid) if x is not None]
    count, blank = sum(map(len, parts)), sum(int((x.min(1) == x.max(1)).sum()) for x in _flat_blocks(parts))
    first = parts[0][0].reshape(-1)
    if all((x == first).all() for x in _flat_blocks(parts)):
        return (f"All {count} images are the same{', and blank' if blank else ''}: there is nothing to learn.",)
    if blank:
        return (f"Blank, with a single value: {blank} of {count} images.",)
    return ()


def _flat_blocks(parts: list[NDArray | MappedImages]) -> Iterator[NDArray]:
    """All images of all parts, a few at a time, as rows of values."""
    return (x[rows].reshape(-1, math.prod(x.shape[1:])) for x in parts for rows in blocks_of(x))
