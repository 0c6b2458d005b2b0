"""Load a Dataset by name or path."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from minigrad.interrupts import defer_signals
from vae.numbers import to_int

from .arrays import IDX, load_arrays, load_binarized_mnist
from .dataset import DataError, Dataset, find_oddities
from .mnist import PUBLISHED, load_published
from .omniglot import load_omniglot
from .places import expand_home
from .split import Size, check_size, sample

NAMES = ("digits", "mnist", "fashion-mnist", "binarized-mnist", "omniglot")
ARRAY_SUFFIXES = (".npy", ".npz")


def load(
    name: str | os.PathLike,
    data_dir: str | os.PathLike | None = None,
    size: Size | None = None,
    seed: int = 0,
    cache_dir: str | os.PathLike | None = None,
) -> Dataset:
    """Load a dataset by name (see NAMES), or from a path to an .npy, .npz or IDX file or a folder of pictures.

        digits            built in: 10,000 + 2,000 grey 28×28 digits, or as many as size says
        mnist             60,000 + 10,000 grey 28×28 digits
        fashion-mnist     60,000 + 10,000 grey 28×28 garments
        binarized-mnist   50,000 + 10,000 + 10,000 (valid) black and white 28×28 digits
        omniglot          24,345 + 8,070 grey 28×28 characters of 50 alphabets in Burda's split,
                          from chardata.mat (needs SciPy); or 19,280 + 13,180 in the split by
                          alphabet, from images_background.zip and images_evaluation.zip, or both
                          unzipped

        a file            see arrays.load_arrays for the accepted names, shapes, dtypes and labels;
                          the images of a large .npy file stay in it, as mapped.MappedImages
        a folder          see folder.load_folder; folders in it are classes, or train and test

    - data_dir: the folder with the set's files, or with a subfolder mnist, fashion-mnist, binarized_mnist or omniglot
      that has them, or torchvision's MNIST/raw. Without it mnist and fashion-mnist are downloaded once into cache_dir,
      or else the folder in the environment variable VAE_DATA, or else ~/.cache/minigrad-vae; binarized-mnist and
      omniglot are looked for there but never downloaded.
    - size: numbers of (train, test) images, None for all. From files these are a random sample by seed, never a prefix;
      digits are generated. A larger set begins with the smaller one.
    - seed: also determines the digits, and the test part of files that have none.

    `Dataset.notes` says what was changed, left out, or unusual in the images.

    Raises DataError, one sentence, for an unknown name, a missing, damaged or unsuitable file, a
    failed download, or an impossible size.

    >>> load("digits", size=(4, 2)).train.shape
    (4, 28, 28, 1)
    """
    size, seed = check_size(size), to_int(seed, "seed", error=DataError)
    name = os.fspath(name)
    if name == "digits":
        if data_dir is not None:
            raise DataError(
                f"the digits are built in, so nothing would be read from {os.fspath(data_dir)}: name the data set to "
                "read from it as well, as in --data mnist"
            )
        with defer_signals():  # a signal during the import would look like a broken module
            from .digits import make_digits  # needs matplotlib, which is slow to import

        return make_digits(size, seed)
    dataset = sample(_load_files(name, data_dir, seed, cache_dir), size, seed)
    return replace(dataset, notes=(*dataset.notes, *find_oddities(dataset)))


def _load_files(
    name: str,
    data_dir: str | os.PathLike | None,
    seed: int,
    cache_dir: str | os.PathLike | None,
) -> Dataset:
    if name in PUBLISHED:
        return load_published(name, PUBLISHED[name], data_dir, cache_dir)
    if name == "binarized-mnist":
        return load_binarized_mnist(data_dir, seed, cache_dir)
    if name == "omniglot":
        return load_omniglot(data_dir, seed, cache_dir)
    places = [Path(expand_home(name))]
    if data_dir is not None:
        places.append(Path(expand_home(data_dir), name))
    path = next((place for place in places if os.path.exists(place)), places[0])
    if name and os.path.isdir(path):
        with defer_signals():
            from .folder import load_folder  # needs Pillow

        return load_folder(path, seed)
    if os.path.isfile(path):
        if path.suffix.lower() in ARRAY_SUFFIXES or IDX.search(path.name):
            return load_arrays(path, seed)
        raise DataError(f"{path} is neither an .npy, .npz or IDX file nor a folder of pictures")
    if path.suffix.lower() in ARRAY_SUFFIXES or os.sep in name:
        raise DataError(f"there is no file or folder {' or '.join(map(str, places))}")
    raise DataError(
        f"unknown dataset {name!r}: choose {', '.join(NAMES[:-1])} or {NAMES[-1]}, "
        "or give the path of an .npy, .npz or IDX file or of a folder of pictures"
    )
