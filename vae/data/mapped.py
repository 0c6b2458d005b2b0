"""Images that stay in their file: it is mapped into memory, and rows are read and converted when they are indexed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

import minigrad as mg

from .blocks import blocks_of

LARGE = 1 << 28  # bytes as float32: images that take more are mapped, others are read into memory


def map_large(path: str | os.PathLike) -> np.memmap | None:
    """The array of an .npy file, mapped, if its images take more than LARGE bytes as float32.

    None for a smaller array, and for whatever cannot be mapped: np.load then says what is wrong with it.
    """
    try:
        mapped = np.lib.format.open_memmap(path, mode="r")
    except Exception:  # .npz, damaged, cut short, Python objects
        return None
    return mapped if mapped.size * np.dtype(np.float32).itemsize > LARGE else None


class MappedImages:
    """Images in a mapped file. They act as a read-only float32 array (N, H, W, C), which need not fit into memory.

    `x[rows]` reads and converts only these images, into a new float32 array, with the same bits as if the whole file
    had been read. `rows` is a number, a slice, or an array of numbers or bools, never a tuple. `select` takes rows
    without reading them. Iteration yields the images (H, W, C) one by one, and np.asarray(x) is all of them.

    The file must not change while it is in use. Arrays in Fortran order work, but every image is spread over the file.
    """

    dtype, ndim = np.dtype(np.float32), 4

    def __init__(
        self,
        stored: NDArray,
        image_shape: tuple[int, int, int],
        convert: Callable[[NDArray, NDArray[np.float32]], None],
        rows: NDArray[np.int64] | None = None,
        hashes: NDArray[np.uint64] | None = None,
    ) -> None:
        """Images of shape (H, W, C): `convert(stored[rows], out)` writes float32 images to `out`.

        rows: which of the stored images these are, in order; None for all. hashes: see `hashes`.
        """
        self._stored, self._convert = stored, convert
        self._rows = np.arange(len(stored)) if rows is None else rows
        self.shape = (len(self._rows), *image_shape)
        self.hashes = hashes  # of each image, if split.digests has computed them

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"MappedImages({'×'.join(map(str, self.shape))})"

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        chosen = self._choose(rows)
        images = np.empty((chosen.size, *self.shape[1:]), np.float32)
        for some in blocks_of(images):
            self._convert(self._stored[chosen.reshape(-1)[some]], images[some])
        return images.reshape(*chosen.shape, *self.shape[1:])

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (image for rows in blocks_of(self) for image in self[rows])

    def __array__(self, dtype: DTypeLike = None, copy: bool | None = None) -> NDArray:
        """All images in memory. Raises ValueError for copy=False, and MemoryError."""
        if copy is False:
            raise ValueError("mapped images cannot become an array without a copy")
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def select(self, rows: Any) -> MappedImages:
        """The images x[rows] for a slice or an array of numbers or bools, still in the file."""
        hashes = None if self.hashes is None else self.hashes[rows]
        return MappedImages(self._stored, self.shape[1:], self._convert, self._choose(rows), hashes)

    def _choose(self, rows: Any) -> NDArray[np.int64]:
        """The rows of the stored array that correspond to `rows` of these images."""
        if isinstance(rows, tuple):
            raise TypeError("mapped images are indexed by their rows alone: take x[rows] first, then index the result")
        return np.asarray(self._rows[rows])


def select(images: Any, rows: Any) -> Any:
    """images[rows] for a slice or an array; mapped images stay in their file."""
    return images.select(rows) if isinstance(images, MappedImages) else images[rows]


def place(images: Any, device: str) -> Any:
    """Images (N, H, W, C) on "cpu" or "cuda". Mapped ones stay in their file for the CPU; a GPU needs all of them.

    Raises OutOfMemoryError if they do not fit into memory there or here, and whatever else mg.to_device raises.
    """
    if not isinstance(images, MappedImages):
        return mg.to_device(images, device)
    if device == "cpu":
        return images
    try:
        whole = np.asarray(images)
    except MemoryError:
        size = 4 * np.prod(images.shape, dtype=float) / 2**30
        raise mg.OutOfMemoryError(
            f"{len(images)} images take {size:.1f} GiB, which do not fit into memory, and a GPU needs all of them: "
            "use --device cpu, or fewer images (--train-size, --test-size)"
        ) from None
    return mg.to_device(whole, device)
