"""Hold out a test or a validation part of a data set, or take a smaller random sample of it.

All choose at random by seed, never a prefix, since files are often sorted by class. Whether an image is held out for
the test part depends on its own pixels, so that a training image stays one when others are added, removed or renamed.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae.numbers import to_int

from .blocks import blocks_of
from .dataset import DataError, Dataset
from .mapped import MappedImages, select

Size = tuple[int | None, int | None]
TRAIN, TEST, VALID = range(3)  # independent streams of one seed
HELD_OUT = 2**64 // 10  # images with a hash below this, a tenth of all 2⁶⁴


def shuffle_rows(count: int, seed: int, stream: int) -> NDArray[np.int64]:
    """A permutation of range(count), a pure function of its arguments."""
    source = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(stream,)))
    return np.random.Generator(source).permutation(count)


def digests(images: NDArray | MappedImages) -> NDArray[np.uint64]:
    """A 64-bit BLAKE2b hash of each image (N, …), as uint64 (N,): equal pixels have equal hashes."""
    if isinstance(images, MappedImages) and images.hashes is not None:
        return images.hashes
    found = _hash(np.add(image, 0.0).reshape(-1) for image in images)  # −0.0 is 0.0
    if isinstance(images, MappedImages):
        images.hashes = found  # reading the file again takes long
    return found


def checksum_of(*parts: NDArray | MappedImages) -> int:
    """The CRC-32 of the bytes of all parts, each (N, …), one after the other."""
    found = 0
    for images in parts:
        for rows in blocks_of(images):
            found = zlib.crc32(images[rows], found)
    return found


def hold_out(images: NDArray | MappedImages, seed: int, file: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers (train, test) of images (N, …): about a tenth in test, and at least one image in each.

    An image's part depends on its pixels and the seed alone, unless the set is so small that a part would be empty;
    so does the order within each part. Copies of an image go to one part, unless all images are copies of one: then
    every tenth is held out. Raises DataError for a single image.
    """
    if len(images) < 2:
        raise DataError(f"{file} has 1 image and no test part: at least 2 are needed")
    key = hashlib.blake2b(str(seed).encode()).digest()
    hashes = _hash(digests(images), key)
    rows = np.argsort(hashes, kind="stable")
    first, last = hashes[rows[[0, -1]]]
    if first == last:
        test = rows % 10 == 1
        return rows[~test], rows[test]
    test = hashes[rows] < HELD_OUT
    test = (test | (hashes[rows] == first)) & (hashes[rows] != last)
    return rows[~test], rows[test]


def hold_valid(dataset: Dataset, size: int, seed: int) -> Dataset:
    """A dataset with a validation part of `size` images, in random order, which are no longer in train.

    They are chosen at random by seed; the other images stay in train, in their order. Copies of an image stay together
    if at least `size` images have no copy; else those of one image may be divided. Labels and factors of train lose the
    same rows; the factors go to factors["valid"], the labels are dropped (a Dataset has none for valid). A set that
    already has a validation part keeps its train; valid becomes a random sample of `size` of its images, or stays as it
    is if it has just as many. Raises DataError if there are too few images, or if size is below 1.
    """
    size, seed = to_int(size, "size of the validation part", 1, DataError), to_int(seed, "seed", error=DataError)
    images = dataset.train if dataset.valid is None else dataset.valid
    if dataset.valid is not None:
        if size > len(images):
            raise DataError(f"{dataset.name} has {len(images)} validation images, {size} were asked for")
        if size == len(images):
            return dataset
        rows = shuffle_rows(len(images), seed, VALID)[:size]
        return replace(dataset, valid=select(images, rows), factors=_keep_rows(dataset.factors, "valid", rows))
    if size >= len(images):
        raise DataError(
            f"{dataset.name} has {len(images)} training images: with {size} for validation, none is left to train on"
        )
    rows = _choose_groups(_hash(digests(images), hashlib.blake2b(f"valid {seed}".encode()).digest()), size)
    kept = np.ones(len(images), bool)
    kept[rows] = False
    labels, factors = dataset.train_labels, dataset.factors
    if factors is not None and "train" in factors:
        factors = {**factors, "train": factors["train"][kept], "valid": factors["train"][rows]}
    return replace(
        dataset,
        train=select(images, kept),
        valid=select(images, rows),
        train_labels=None if labels is None else labels[kept],
        factors=factors,
        notes=(*dataset.notes, f"Validation part: {size} of {len(images)} training images, chosen with seed {seed}."),
    )


def _choose_groups(hashes: NDArray[np.uint64], size: int) -> NDArray[np.int64]:
    """`size` row numbers in order of their hashes: all rows of a hash or none, as long as they fit."""
    order = np.argsort(hashes, kind="stable")
    _, first = np.unique(hashes[order], return_index=True)
    chosen, passed, left = [], [], size
    for group in np.split(order, first[1:]):
        (chosen if len(group) <= left else passed).append(group)
        left -= len(group) if len(group) <= left else 0
        if not left:
            break
    return np.concatenate([*chosen, *passed])[:size]


def _hash(parts: Iterable[Any], key: bytes = b"") -> NDArray[np.uint64]:
    found = b"".join(hashlib.blake2b(part, digest_size=8, key=key).digest() for part in parts)
    return np.frombuffer(found, np.uint64)


def drop_trained(dataset: Dataset, trained: NDArray[np.uint64]) -> tuple[Dataset, str]:
    """(dataset without the test images whose digests are in `trained`; a sentence about them, or "").

    `trained` are the digests of the images that a model was trained on. If they all belong to this set's own training
    part, the test part is kept as published, and copies in it are only counted. Raises DataError if no image is left.
    """
    seen = np.isin(digests(dataset.test), trained)
    count, of = seen.sum(), f"of {len(seen)} test images of {dataset.name}"
    if not count:
        return dataset, ""
    if np.isin(trained, digests(dataset.train)).all():
        return dataset, f"{count} {of} are copies of training images"
    if seen.all():
        raise DataError(f"the model was trained on all {of[3:]}: name other images with --data")
    labels = None if dataset.test_labels is None else dataset.test_labels[~seen]
    factors = _keep_rows(dataset.factors, "test", ~seen)
    rest = replace(dataset, test=select(dataset.test, ~seen), test_labels=labels, factors=factors)
    return rest, f"{count} {of} are left out: the model was trained on them"


def _keep_rows(factors: dict[str, NDArray] | None, part: str, rows: NDArray) -> dict[str, NDArray] | None:
    """The factors with those of a part that keeps only these rows."""
    return factors if factors is None or part not in factors else {**factors, part: factors[part][rows]}


def sample(dataset: Dataset, size: Size | None, seed: int) -> Dataset:
    """`size` = (train, test) random rows of a dataset; None keeps a part and its order.

    A larger sample begins with the smaller one. valid is cut to the size of test. Raises DataError if
    a part has fewer images.
    """
    if size is None:
        return dataset
    changes, factors = {}, dataset.factors
    for part, stream, wanted in (("train", TRAIN, size[0]), ("test", TEST, size[1])):
        images, labels = getattr(dataset, part), getattr(dataset, f"{part}_labels")
        if wanted is None:
            continue
        if wanted > len(images):
            raise DataError(f"{dataset.name} has {len(images)} {part} images, {wanted} were asked for")
        rows = shuffle_rows(len(images), seed, stream)[:wanted]
        changes[part], factors = select(images, rows), _keep_rows(factors, part, rows)
        if labels is not None:
            changes[f"{part}_labels"] = labels[rows]
    if dataset.valid is not None and size[1] is not None:
        rows = shuffle_rows(len(dataset.valid), seed, VALID)[: size[1]]
        changes["valid"], factors = select(dataset.valid, rows), _keep_rows(factors, "valid", rows)
    return replace(dataset, **changes, factors=factors)


def check_size(size: Size | None) -> Size | None:
    """The size as Python ints. Raises DataError unless it is None or a pair, each a count of at least 1 or None."""
    if size is None:
        return None
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise DataError(f"size must be a pair (train, test) or None, got {size!r}")
    train, test = (n if n is None else to_int(n, "size", 1, DataError) for n in size)
    return train, test
