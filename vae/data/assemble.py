"""Assemble a Dataset from the parts that were read; without a test part, hold one out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .dataset import DataError, Dataset, is_binary
from .labels import to_codes
from .mapped import MappedImages
from .split import hold_out

SHOWN = 24  # class names in the note, as many as a picture's legend has


def assemble(
    name: str,
    images: dict[str, NDArray[np.float32] | MappedImages],
    labels: dict[str, NDArray],
    source: str,
    notes: Sequence[str],
    seed: int,
    file: str,
) -> Dataset:
    """Build a Dataset from parts train, test and valid; the rows of `images` may be reordered in place.

    Without test, valid takes its place; without both, about a tenth is held out (split.hold_out). Labels that cannot be
    used are left out, with a note. Raises DataError, naming `file`.
    """
    notes = list(notes)
    try:
        codes, classes = to_codes(labels, file)
    except DataError as error:  # training does not need labels
        codes, classes = {}, None
        notes.append(f"Labels are not used: {error}.")
    for part, x in codes.items():
        if len(x) != len(images[part]):
            raise DataError(f"{file}: {part} holds {len(images[part])} images but {len(x)} labels")
    if classes:
        named = [f"{code} {name}" for code, name in enumerate(classes[:SHOWN])] + ["…"] * (len(classes) > SHOWN)
        notes.append(f"Labels: {', '.join(named)}.".encode(errors="replace").decode())  # folder names may be any bytes
    if "test" not in images and "valid" in images:
        notes.append("There is no test part: the validation part is used as test part.")
        images["test"] = images.pop("valid")
        if "valid" in codes:
            codes["test"] = codes.pop("valid")
    if "test" not in images:
        whole = images["train"]
        train, test = hold_out(whole, seed, file)
        if isinstance(whole, MappedImages):
            images = {"train": whole.select(train), "test": whole.select(test)}
        else:
            move_rows(whole, np.concatenate([train, test]))
            images = {"train": whole[: len(train)], "test": whole[len(train) :]}
        codes = {part: codes["train"][rows] for part, rows in (("train", train), ("test", test)) if "train" in codes}
        source += f", about a tenth held out with seed {seed}"
    return Dataset(
        name=name,
        train=images["train"],
        test=images["test"],
        valid=images.get("valid"),
        train_labels=codes.get("train"),
        test_labels=codes.get("test"),
        binary=is_binary(*images.values()),
        source=f"{source}.",
        notes=tuple(notes),
        classes=classes,
    )


def move_rows(x: NDArray, order: NDArray) -> None:
    """x[...] = x[order] for a permutation of rows, in place, with memory for one more row."""
    order = order.copy()
    for start in range(len(x)):
        if order[start] == start:
            continue
        first, here = x[start].copy(), start
        while order[here] != start:
            x[here] = x[order[here]]
            order[here], here = here, order[here]
        x[here], order[here] = first, here
