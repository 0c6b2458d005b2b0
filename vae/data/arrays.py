"""Arrays on disk: any .npy or .npz of images, and the statically binarised MNIST."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .dataset import DataError, Dataset, is_binary
from .pixels import to_images
from .places import cache_root, find_file
from .split import TEST, TRAIN, VALID, hold_out, shuffled

#: what each part may be called in an .npz
IMAGES = {
    "train": ("train", "x_train"),
    "test": ("test", "x_test"),
    "valid": ("valid", "x_valid"),
}
LABELS = {"train": ("train_labels", "y_train"), "test": ("test_labels", "y_test")}


def load_arrays(path: Path, seed: int = 0) -> Dataset:
    """Images from an .npy (one array) or .npz file (train and test, x_train and x_test, or one).

    Values and shapes as pixels.to_images takes them; labels (y_train or train_labels, …) are used
    if present. Without a test part about a tenth is held out (split.hold_out). Pickled
    objects are never loaded. Raises DataError.
    """
    arrays = read_arrays(path)
    parts = {part: _pick(arrays, names) for part, names in IMAGES.items()}
    labels = {part: _pick(arrays, names) for part, names in LABELS.items()}
    if parts["train"] is None and len(arrays) == 1:
        (parts["train"],) = arrays.values()
        parts["test"] = None
    if parts["train"] is None:
        raise DataError(
            f"{path} holds arrays {', '.join(arrays) or '(none)'}: name the images train and test, "
            "or x_train and x_test, or keep a single array in the file"
        )
    images = to_images({part: x for part, x in parts.items() if x is not None}, str(path))
    labels = {part: _check_labels(x, path, part) for part, x in labels.items()}
    source = f"Read from {path}."
    if "test" not in images:
        whole, marks = images["train"], labels["train"]
        if marks is not None and len(marks) != len(whole):
            raise DataError(f"{path} holds {len(whole)} images but {len(marks)} labels")
        train, test = hold_out(whole, seed, str(path))
        images |= {"train": whole[train], "test": whole[test]}
        if marks is not None:
            labels = {"train": marks[train], "test": marks[test]}
        source = f"Read from {path}, a tenth held out by seed {seed}."
    return Dataset(
        name=path.stem,
        train=images["train"],
        test=images["test"],
        valid=images.get("valid"),
        train_labels=labels["train"],
        test_labels=labels["test"],
        binary=is_binary(*images.values()),
        source=source,
    )


def load_binarized_mnist(
    data_dir: str | os.PathLike | None = None,
    seed: int = 0,
    cache_dir: str | os.PathLike | None = None,
) -> Dataset:
    """Larochelle and Murray's binarised MNIST from binarized_mnist.npz: train, valid, test of bits.

    The file is sorted by class, so rows come in an order drawn by seed: then even a prefix taken
    later is a fair sample. It is looked for in data_dir, or else in the cache folder, and is never
    fetched. Raises DataError.
    """
    path = find_file(data_dir or cache_root(cache_dir), "binarized_mnist", "binarized_mnist.npz")
    arrays = read_arrays(path)
    for part in IMAGES:
        if part not in arrays:
            raise DataError(f"{path} has no array {part}, it has {', '.join(arrays) or 'none'}")
        x = arrays[part]
        if x.ndim != 2 or x.shape[1] != 784 or not is_binary(x):
            raise DataError(
                f"{path}: {part} has shape {x.shape} and dtype {x.dtype}, expected rows of 784 zeros and ones"
            )
    images = {}
    for part, stream in (("train", TRAIN), ("test", TEST), ("valid", VALID)):
        rows = shuffled(len(arrays[part]), seed, stream)
        images[part] = arrays[part][rows].reshape(-1, 28, 28, 1)
    return Dataset(
        name="binarized-mnist",
        **images,
        binary=True,
        source=f"MNIST binarised by Larochelle and Murray, {path}, shuffled by seed {seed}.",
    )


def read_arrays(path: Path) -> dict[str, NDArray]:
    """Every array of an .npz by name, or the one of an .npy under the name "images"."""
    try:
        with open(path, "rb") as file:  # np.load itself leaves a damaged file open
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {"images": loaded}
            with loaded:
                arrays = {name: loaded[name] for name in loaded.files}
    except Exception as error:  # zipfile, zlib, tokenize and NumPy each raise kinds of their own
        reason = str(error).split(". ")[0] or type(error).__name__  # no advice to load it unsafely
        raise DataError(f"{path} is not a NumPy file of plain arrays: {reason}") from None
    return {name: x for name, x in arrays.items() if isinstance(x, np.ndarray)}


def _pick(arrays: dict[str, NDArray], names: tuple[str, ...]) -> NDArray | None:
    return next((arrays[name] for name in names if name in arrays), None)


def _check_labels(labels: NDArray | None, path: Path, part: str) -> NDArray | None:
    if labels is not None and (labels.dtype.kind not in "iu" or labels.ndim != 1):
        raise DataError(
            f"{path}: {part} labels have shape {labels.shape} and dtype {labels.dtype}, expected one integer per image"
        )
    return labels
