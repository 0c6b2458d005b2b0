"""Arrays on disk: any .npy, .npz or IDX file of images, and the statically binarised MNIST."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .assemble import assemble, move_rows
from .dataset import DataError, Dataset, is_binary
from .idx import parse_idx, read_bytes
from .pixels import to_images
from .places import cache_root, find_file
from .split import TEST, TRAIN, VALID, shuffled

#: what the arrays of each part may be called in an .npz, in capitals or not
IMAGES = {
    "train": ("train", "x_train", "train_x", "train_images", "images_train"),
    "test": ("test", "x_test", "test_x", "test_images", "images_test"),
    "valid": ("valid", "x_valid", "valid_x", "valid_images", "val", "x_val", "val_x", "val_images", "images_val"),
}
LABELS = {
    "train": ("train_labels", "y_train", "train_y", "labels_train"),
    "test": ("test_labels", "y_test", "test_y", "labels_test"),
    "valid": ("valid_labels", "y_valid", "valid_y", "val_labels", "y_val", "val_y", "labels_val"),
}
WHOLE = ("images", "x", "data")
WHOLE_LABELS = ("labels", "label", "y", "target", "targets")
IDX = re.compile(r"(?P<kind>images|labels)?[-.]?idx[1-4][-.]ubyte(\.gz)?$")


def load_arrays(path: Path, seed: int = 0) -> Dataset:
    """Images from an .npy or IDX file (one array) or an .npz (train and test, x_train and x_test, …, or one).

    Values and shapes as pixels.to_images takes them; labels (y_train or train_labels, …) as labels.to_codes takes them,
    if present. Without a test part about a tenth is held out (split.hold_out). Arrays with other names are
    left out, which `notes` says. Pickled objects are never loaded. Raises DataError.
    """
    arrays = read_arrays(path)
    seen = ", ".join(arrays) or "(none)"
    images = {part: x for part, names in IMAGES.items() if (x := _take(arrays, names)) is not None}
    names = LABELS
    if not images:
        whole = arrays.popitem()[1] if len(arrays) == 1 else _take(arrays, WHOLE)
        images |= {} if whole is None else {"train": whole}
        names = {"train": (*WHOLE_LABELS, *LABELS["train"])}
    if "train" not in images:
        raise DataError(
            f"{path} holds arrays {seen}: name the images train and test, "
            "or x_train and x_test, or keep a single array in the file"
        )
    labels = {part: x for part in images if (x := _take(arrays, names[part])) is not None}
    images, notes = to_images(images, str(path))
    if arrays:
        left = ", ".join(f"{name} {x.shape}" for name, x in arrays.items())
        notes.append(f"{path}: not used: {left}.")
    return assemble(path.stem, images, labels, f"Read from {path}", notes, seed, str(path))


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
    path = find_file(data_dir or cache_root(cache_dir), ("binarized_mnist",), "binarized_mnist.npz")
    arrays = read_arrays(path)
    for part in IMAGES:
        if part not in arrays:
            raise DataError(f"{path} has no array {part}, it has {', '.join(arrays) or 'none'}")
        x = arrays[part]
        if x.ndim != 2 or x.shape[1] != 784 or not is_binary(x):
            raise DataError(
                f"{path}: {part} has shape {x.shape} and dtype {x.dtype}, expected rows of 784 zeros and ones"
            )
    images, _ = to_images({part: arrays.pop(part) for part in IMAGES}, str(path))
    for part, stream in (("train", TRAIN), ("test", TEST), ("valid", VALID)):
        move_rows(images[part], shuffled(len(images[part]), seed, stream))
    return Dataset(
        name="binarized-mnist",
        **images,
        binary=True,
        source=f"MNIST binarised by Larochelle and Murray, {path}, shuffled by seed {seed}.",
    )


def read_arrays(path: Path) -> dict[str, NDArray]:
    """Every array of an .npz by name, the one of an .npy as "images", that of an IDX file with its labels beside it."""
    if IDX.search(path.name):
        return _read_idx(path)
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


def _read_idx(path: Path) -> dict[str, NDArray]:
    payload = read_bytes(path)
    images = parse_idx(payload, payload[3] if len(payload) > 3 else 0, path)
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    if beside == path or not beside.is_file():
        return {"images": images}
    return {"images": images, "labels": parse_idx(read_bytes(beside), 1, beside)}


def _take(arrays: dict[str, NDArray], names: tuple[str, ...]) -> NDArray | None:
    """The first array there is of these names, in capitals or not, taken out of `arrays`."""
    lower = {name.lower(): name for name in reversed(arrays)}
    return next((arrays.pop(lower[name]) for name in names if name in lower), None)
