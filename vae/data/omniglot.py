"""Omniglot at 28×28: Burda's matrices in chardata.mat, or the published pictures (omniglot_pictures.py).

Published bounds on ln Q(y) are of the matrices: 24,345 + 8,070 images. The pictures are split by alphabet, 19,280 +
13,180, so their numbers are not comparable. If both are there, the matrices are read.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from numpy.typing import NDArray

from minigrad.interrupts import defer_signals

from .assemble import assemble, move_rows
from .dataset import DataError, Dataset
from .matlab import NUMERIC, Headers, read_matlab
from .pixels import SLACK, to_images
from .places import cache_root, expand_home
from .split import TEST, TRAIN, shuffle_rows

SUBFOLDERS = ("omniglot", "omniglot-py", "OMNIGLOT")  # torchvision's is omniglot-py, Burda's OMNIGLOT
SIDE = 28  # pixels
MATRICES = "chardata.mat"
ARRAYS = {"train": ("data", "target"), "test": ("testdata", "testtarget")}  # images and one-hot alphabets
PICTURES = {"train": "images_background", "test": "images_evaluation"}  # folders, or .zip files
MATRIX_COUNTS, PICTURE_COUNTS = {"train": 24345, "test": 8070}, {"train": 19280, "test": 13180}
MOST, MOST_CLASSES = 1 << 17, 1000  # of a matrix, so that a damaged or made-up header cannot fill the memory
ADVICE = (
    f"put {MATRICES} (from github.com/yburda/iwae, datasets/OMNIGLOT) there, or {PICTURES['train']}.zip and "
    f"{PICTURES['test']}.zip (from github.com/brendenlake/omniglot, python), or name the folder that holds them with "
    "data_dir (--data-dir)"
)


def load_omniglot(
    data_dir: str | os.PathLike | None = None,
    seed: int = 0,
    cache_dir: str | os.PathLike | None = None,
) -> Dataset:
    """Load Omniglot as float32 ink in [0, 1], (N, 28, 28, 1); labels are alphabets, named if pictures are read.

    Files are sorted by class, so rows are shuffled by seed: then any prefix is a random sample. The files are looked
    for in data_dir, or else in the cache folder, and are never downloaded. `source` says which were read. Raises
    DataError.
    """
    root = Path(expand_home(data_dir)) if data_dir else cache_root(cache_dir)
    if path := _find(root, os.path.isfile, MATRICES):
        return _load_matrices(path, seed)
    found = {part: _find(root, _is_file_or_folder, f"{name}.zip", name) for part, name in PICTURES.items()}
    missing = [f"{PICTURES[part]}.zip" for part, path in found.items() if path is None]
    if len(missing) == 1:
        (path,) = filter(None, found.values())
        raise DataError(f"{path} is there, but {missing[0]} is not in {root}: Omniglot needs both, so {ADVICE}")
    if missing:
        raise DataError(f"Omniglot is not in {root} or its subfolders {', '.join(SUBFOLDERS)}: {ADVICE}")
    return _load_pictures(found, seed)


def _find(root: Path, exists: Callable[[Path], bool], *names: str) -> Path | None:
    """The first of `names` that exists in root, or else in one of its subfolders, or None."""
    places = (folder / name for folder in (root, *(root / below for below in SUBFOLDERS)) for name in names)
    return next((place for place in places if exists(place)), None)


def _is_file_or_folder(path: Path) -> bool:
    return os.path.isfile(path) or os.path.isdir(path)


def _load_pictures(paths: dict[str, Path], seed: int) -> Dataset:
    with defer_signals():  # a signal during the import would look like a broken module
        from .omniglot_pictures import read_pictures  # needs Pillow

    images, labels, notes = {}, {}, []
    for part, path in paths.items():
        images[part], labels[part], skipped = read_pictures(path, PICTURES[part])
        notes += skipped
    if both := set(labels["train"].tolist()) & set(labels["test"].tolist()):
        raise DataError(f"{paths['train']} and {paths['test']} both hold {min(both)}: their alphabets must differ")
    source = f"Omniglot (Lake, Salakhutdinov, Tenenbaum), split by alphabet, from {paths['train']} and {paths['test']}"
    source += ", inverted and averaged over squares from 105×105 to 28×28"
    return _shuffle(images, labels, source, notes, seed, PICTURE_COUNTS, str(paths["train"]))


def _load_matrices(path: Path, seed: int) -> Dataset:
    arrays = read_matlab(path, lambda headers: _choose_matrices(headers, path))
    images, labels, notes = {}, {}, []
    for part, (name, target) in ARRAYS.items():
        x = arrays.pop(name)  # (784, N)
        low, high = x.min(), x.max()
        if not (low >= -SLACK and high <= 1 + SLACK):  # also NaN
            raise DataError(f"{path}: {name} has values from {low:.7g} to {high:.7g}, expected 0 to 1")
        images[part] = x.T.reshape(-1, SIDE, SIDE).transpose(0, 2, 1)  # each image is stored column by column
        if target in arrays:
            labels[part] = arrays.pop(target).T  # (N, 50)
        else:
            notes.append(f"{path} has no array {target}: {part} has no labels.")
    pixels, more = to_images(images, str(path))
    source = f"Omniglot at 28×28 in Burda's split (Burda, Grosse, Salakhutdinov), {path}"
    return _shuffle(pixels, labels, source, notes + more, seed, MATRIX_COUNTS, str(path))


def _shuffle(
    images: dict[str, NDArray],
    labels: dict[str, NDArray],
    source: str,
    notes: list[str],
    seed: int,
    published: dict[str, int],
    file: str,
) -> Dataset:
    """The Dataset with the rows of each part shuffled by seed; images (N, 28, 28, 1) are reordered in place."""
    if {part: len(x) for part, x in images.items()} != published:
        source += f", not as published ({published['train']} + {published['test']} images)"
    for part, stream in (("train", TRAIN), ("test", TEST)):
        rows = shuffle_rows(len(images[part]), seed, stream)
        move_rows(images[part], rows)
        if part in labels:
            labels[part] = labels[part][rows]
    return assemble("omniglot", images, labels, f"{source}, shuffled by seed {seed}", notes, seed, file)


def _choose_matrices(headers: Headers, path: Path) -> list[str]:
    """The names of the arrays to read. Raises DataError unless all have the right classes and shapes."""
    names = []
    for name, target in ARRAYS.values():
        if name not in headers:
            raise DataError(f"{path} has no array {name}, it has {', '.join(map(repr, sorted(headers))) or 'none'}")
        shape, kind = headers[name]
        if kind not in NUMERIC or len(shape) != 2 or shape[0] != SIDE**2 or not 0 < shape[1] <= MOST:
            hint = ": transpose it, each column is an image" if shape[1:] == (SIDE**2,) else ""
            raise DataError(
                f"{path}: {name} is an array {'×'.join(map(str, shape))} of type {kind}, "
                f"expected numbers of shape 784×N with N from 1 to {MOST}{hint}"
            )
        names.append(name)
        if target not in headers:
            continue
        classes, kind = headers[target]
        if kind not in NUMERIC or len(classes) != 2 or classes[1] != shape[1] or classes[0] > MOST_CLASSES:
            raise DataError(
                f"{path}: {target} is an array {'×'.join(map(str, classes))} of type {kind}, "
                f"expected a column of zeros and one 1 for each of {shape[1]} images"
            )
        names.append(target)
    return names
