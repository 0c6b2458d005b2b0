"""MNIST and Fashion-MNIST: four IDX files each, from the user's folder or downloaded once.

The checksums are of the unzipped files. MNIST's were computed from the files and agree with those
widely published; Fashion-MNIST's are published by several projects, one of which computed them from
archives that have the publisher's own MD5 sums.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from .dataset import DataError, Dataset
from .idx import parse_idx, read_bytes
from .pixels import scale_to_unit
from .places import cache_root, find_file

#: image file and label file of each part; both sets use these names
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


@dataclass(frozen=True)
class Published:
    """A set as its authors published it: base URLs, and the SHA-256 of each unzipped file."""

    title: str
    subfolders: tuple[str, ...]  # of the user's folder that are searched, too: torchvision uses NAME/raw
    mirrors: tuple[str, ...]
    sha256: dict[str, str]


MNIST = Published(
    "MNIST (LeCun, Cortes, Burges)",
    ("mnist", "MNIST/raw", "MNIST", "raw"),
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        "https://storage.googleapis.com/cvdf-datasets/mnist",
    ),
    {
        FILES["train"][0]: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        FILES["train"][1]: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        FILES["test"][0]: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        FILES["test"][1]: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
)
FASHION_MNIST = Published(
    "Fashion-MNIST (Xiao, Rasul, Vollgraf)",
    ("fashion-mnist", "FashionMNIST/raw", "FashionMNIST", "raw"),
    (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
    ),
    {
        FILES["train"][0]: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        FILES["train"][1]: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        FILES["test"][0]: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        FILES["test"][1]: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
)
PUBLISHED = {"mnist": MNIST, "fashion-mnist": FASHION_MNIST}


def load_published(
    name: str,
    published: Published,
    data_dir: str | os.PathLike | None = None,
    cache_dir: str | os.PathLike | None = None,
) -> Dataset:
    """Load the whole set, from data_dir if given and else through the cache; see `load`.

    A file in data_dir must have the right format, but may have another checksum than the published
    one (`source` says so); a downloaded file must have both. Raises DataError.
    """
    arrays, changed = {}, []
    for part, files in FILES.items():
        paths = [_locate(name, published, file, data_dir, cache_dir) for file in files]
        payloads = [read_bytes(path) for path in paths]
        for file, path, payload in zip(files, paths, payloads, strict=True):
            digest = hashlib.sha256(payload).hexdigest()
            if digest != published.sha256[file]:
                changed.append(path.name)
            for other, set_ in PUBLISHED.items():
                if other != name and digest in set_.sha256.values():
                    raise DataError(f"{path} is a file of {other}, not of {name}: use --data {other} or another folder")
        images, labels = parse_idx(payloads[0], 3, paths[0]), parse_idx(payloads[1], 1, paths[1])
        if len(images) != len(labels):
            raise DataError(
                f"{paths[0]} holds {len(images)} images but {paths[1]} holds {len(labels)} "
                "labels: take both from one set"
            )
        arrays[part] = scale_to_unit(images[..., None])  # (N, H, W, 1)
        arrays[f"{part}_labels"] = labels
    source = f"{published.title} from {paths[0].parent}"
    if changed:
        source += f", not as published (SHA-256 differs: {', '.join(changed)})"
    return Dataset(name=name, **arrays, source=f"{source}.")


def _locate(
    name: str,
    published: Published,
    file: str,
    data_dir: str | os.PathLike | None,
    cache_dir: str | os.PathLike | None,
) -> Path:
    if data_dir is not None:
        dotted = file.replace("-idx", ".idx")  # the name in some archives
        return find_file(data_dir, published.subfolders, file, f"{file}.gz", dotted, f"{dotted}.gz")
    folder = cache_root(cache_dir) / name
    from .fetch import fetch  # whose libraries of HTTP take 30 ms to import

    return fetch(f"{file}.gz", published.sha256[file], folder, published.mirrors)
