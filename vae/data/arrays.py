"""Read images from .npy, .npz and IDX files, and the statically binarised MNIST."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .assemble import assemble, move_rows
from .dataset import DataError, Dataset, is_binary
from .idx import parse_idx, read_bytes
from .mapped import map_large
from .pixels import to_images
from .places import cache_root, find_file
from .split import TEST, TRAIN, VALID, shuffle_rows

#: accepted array names of each part in an .npz, ignoring case
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
WHOLE = ("images", "imgs", "x", "data")
WHOLE_LABELS = ("labels", "label", "y", "target", "targets")
IDX = re.compile(r"idx[1-4][-.]ubyte(\.gz)?$")  # ending of an IDX file's name


def load_arrays(path: Path, seed: int = 0) -> Dataset:
    """Load images from an .npy or IDX file (one array) or an .npz (train and test, x_train and x_test, …, or one).

    pixels.to_images lists the accepted values and shapes, labels.to_codes the labels (y_train or train_labels, …;
    optional). Without a test part about a tenth is held out (split.hold_out). Arrays with other names are ignored, with
    a note. Pickled objects are never loaded. The images of a large .npy file stay in it (mapped.MappedImages). Raises
    DataError.
    """
    names = list_arrays(path)
    images = {part: name for part, known in IMAGES.items() if (name := _find(names, known))}
    labels = {part: name for part in images if (name := _find(names, LABELS[part]))}
    if not images and (whole := names[0] if len(names) == 1 else _find(names, WHOLE)):
        images = {"train": whole}
        labels = {"train": name} if (name := _find(names, (*WHOLE_LABELS, *LABELS["train"]))) else {}
    if "train" not in images:
        raise DataError(
            f"{path} holds arrays {', '.join(names) or '(none)'}: name the images train and test, "
            "or x_train and x_test, or images, or keep a single array in the file"
        )
    used = {*images.values(), *labels.values()}
    arrays = read_arrays(path, used)
    labels = {part: arrays.pop(name) for part, name in labels.items()}
    pixels, notes = to_images({part: arrays.pop(name) for part, name in images.items()}, str(path))
    if left := [name for name in names if name not in used]:
        notes.append(f"{path}: unused arrays: {', '.join(left)}.")
    return assemble(path.stem, pixels, labels, f"Read from {path}", notes, seed, str(path))


def load_binarized_mnist(
    data_dir: str | os.PathLike | None = None,
    seed: int = 0,
    cache_dir: str | os.PathLike | None = None,
) -> Dataset:
    """Load Larochelle and Murray's binarised MNIST from binarized_mnist.npz: train, valid, test of bits.

    The file is sorted by class, so its rows are shuffled by seed: then any prefix is a random sample.
    The file is looked for in data_dir, or else in the cache folder, and is never downloaded. Raises
    DataError.
    """
    path = find_file(data_dir or cache_root(cache_dir), ("binarized_mnist",), "binarized_mnist.npz")
    names = list_arrays(path)
    for part in IMAGES:
        if part not in names:
            raise DataError(f"{path} has no array {part}, it has {', '.join(names) or 'none'}")
    arrays = read_arrays(path, IMAGES)
    for part, x in arrays.items():
        if x.ndim != 2 or x.shape[1] != 784 or not is_binary(x):
            raise DataError(
                f"{path}: {part} has shape {x.shape} and dtype {x.dtype}, expected rows of 784 zeros and ones"
            )
    images, _ = to_images({part: arrays.pop(part) for part in IMAGES}, str(path))
    for part, stream in (("train", TRAIN), ("test", TEST), ("valid", VALID)):
        move_rows(images[part], shuffle_rows(len(images[part]), seed, stream))
    return Dataset(
        name="binarized-mnist",
        **images,
        binary=True,
        source=f"MNIST binarised by Larochelle and Murray, {path}, shuffled by seed {seed}.",
    )


def list_arrays(path: Path) -> list[str]:
    """The names of the arrays that `read_arrays` can read."""
    if IDX.search(path.name):
        return ["images", "labels"] if _find_label_file(path) else ["images"]
    with _open(path) as loaded:
        if isinstance(loaded, np.ndarray):
            return ["images"]
        members = set(loaded.zip.namelist())
        return [name for name in loaded.files if f"{name}.npy" in members]


def read_arrays(path: Path, names: Iterable[str]) -> dict[str, NDArray]:
    """The arrays of these names: "images" in an .npy or IDX file, "labels" in the label file beside an IDX file.

    A large .npy file is mapped, not read (mapped.map_large). Raises DataError.
    """
    if IDX.search(path.name):
        payload, beside = read_bytes(path), _find_label_file(path)
        arrays = {"images": parse_idx(payload, payload[3] if len(payload) > 3 else 0, path)}
        return arrays | ({"labels": parse_idx(read_bytes(beside), 1, beside)} if beside else {})
    with _open(path) as loaded:
        if isinstance(loaded, np.ndarray):
            return {"images": loaded}
        return {name: loaded[name] for name in names}


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """Open the file with np.load, or map it if it is large; whatever that raises becomes a DataError."""
    try:
        file = open(path, "rb")  # np.load itself leaves a damaged file open
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    try:
        with file:
            loaded = map_large(path)
            if loaded is None:
                loaded = np.load(file, allow_pickle=False)
            with loaded if hasattr(loaded, "files") else nullcontext():
                yield loaded
    except MemoryError as error:
        raise DataError(f"{path} is damaged, or does not fit into memory (an .npy file need not): {error}") from None
    except Exception as error:  # zipfile, zlib, tokenize and NumPy raise their own kinds
        reason = str(error).split(". ")[0] or type(error).__name__  # without NumPy's advice to allow pickle
        if reason.startswith("Object arrays"):
            reason = "it holds Python objects, which are never loaded; save strings as x.astype(str)"
        raise DataError(f"{path} is not a NumPy file of plain arrays: {reason}") from None


def _find_label_file(path: Path) -> Path | None:
    """The label file that belongs to an IDX file of images, or None."""
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    return beside if beside != path and beside.is_file() else None


def _find(names: list[str], known: tuple[str, ...]) -> str | None:
    """The first known name among `names`, ignoring case, or None."""
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[name] for name in known if name in lower), None)
