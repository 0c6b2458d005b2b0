"""Find the pictures of a folder, with the part and the class of each."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from PIL import Image  # comes with matplotlib, which needs it

from vae.folders import is_run

from .dataset import DataError

#: accepted folder names of each part, ignoring case
PARTS = {"train": ("train", "training"), "test": ("test", "testing"), "valid": ("valid", "val", "validation")}
NOT_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}  # documents, films, and formats that need other programs
SYSTEM_FILES = {"__macosx", "thumbs.db", "desktop.ini"}  # left in folders by operating systems, like hidden files


class Found(NamedTuple):
    """The pictures of a folder by part, each with its class: the path of folders it lies in, or "."."""

    parts: dict[str, list[tuple[Path, str]]]
    notes: list[str]


def find_pictures(folder: Path) -> Found:
    """All pictures in the folder and its subfolders, in order of their paths. Raises DataError.

    Folders train and test (or validation) are parts if both have pictures; other folders are classes. Hidden files are
    ignored; other files that are not pictures, and pictures outside the parts, are counted in `notes`.
    """
    files, suffixes = list(_walk(folder)), picture_suffixes()
    pictures = [path for path in files if path.suffix.lower() in suffixes]
    others = Counter(path.suffix.lower() or "without suffix" for path in files if path.suffix.lower() not in suffixes)
    counts = [f"{n} {suffix}" for suffix, n in sorted(others.items(), key=lambda item: (-item[1], item[0]))]
    listed = ", ".join(counts[:8] + ["…"] * (len(counts) > 8))
    if not pictures:
        idx = any("-ubyte" in path.name for path in files)
        hint = f"; for MNIST's files use --data mnist --data-dir {shlex.quote(str(folder))}" if idx else ""
        hint = hint or ("; name one of its .npy or .npz files itself" if {".npy", ".npz"} & set(others) else "")
        raise DataError(f"{folder} holds no readable pictures; it has {listed or 'no files'}{hint}")
    parts = _split_by_folder(folder, pictures)
    notes = [f"Skipped in {folder}: {listed}."] if others else []
    if left := len(pictures) - sum(map(len, parts.values())):
        notes.append(f"Skipped in {folder}: {left} pictures outside the folders {', '.join(parts)}.")
    return Found(parts, notes)


def picture_suffixes() -> set[str]:
    """The suffixes of all picture formats that Pillow reads."""
    suffixes = Image.registered_extensions()
    read = {*Image.OPEN, "MPO"} - NOT_PICTURES  # MPO: JPEGs that contain more pictures
    return {suffix for suffix, kind in suffixes.items() if kind in read}


def _walk(folder: Path, above: tuple[tuple[int, int], ...] = ()) -> Iterator[Path]:
    """All files except hidden ones and those of runs, sorted; links are followed, except to a parent folder."""
    try:
        status, paths = os.stat(folder), sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from None
    here = status.st_dev, status.st_ino
    if here in above or (above and is_run(folder)):
        return
    for path in paths:
        if path.name.startswith(".") or path.name.lower() in SYSTEM_FILES:
            continue
        if path.is_dir():
            yield from _walk(path, (*above, here))
        elif path.is_file() or path.is_symlink():  # a broken link is reported when it is read
            yield path


def _split_by_folder(folder: Path, pictures: list[Path]) -> dict[str, list[tuple[Path, str]]]:
    folders = [path.relative_to(folder).parts[:-1] for path in pictures]
    shared = sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, zip(*folders, strict=False)))
    folders = [names[shared:] for names in folders]
    part_of = {name: part for part, names in PARTS.items() for name in names}
    tops = [part_of.get(names[0].lower()) if names else None for names in folders]
    present = {top for top in tops if top}
    if "train" not in present or len(present) < 2:
        return {"train": [(path, "/".join(names) or ".") for path, names in zip(pictures, folders, strict=True)]}
    parts: dict[str, list[tuple[Path, str]]] = {part: [] for part in PARTS if part in present}
    for path, names, top in zip(pictures, folders, tops, strict=True):
        if top:
            parts[top].append((path, "/".join(names[1:]) or "."))
    return parts
