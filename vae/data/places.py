"""Where data lives: the folder that the user names, or the cache of downloaded files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .dataset import DataError


def expand_home(path: str | os.PathLike) -> str:
    """The path with a leading ~ or ~NAME replaced by the home folder. Raises DataError if there is no such home."""
    text = os.path.expanduser(path)
    if text.startswith("~"):
        raise DataError(f"there is no home folder for {text.split(os.sep)[0]}: write ./{text} if that is its name")
    return text


def cache_root(cache_dir: str | os.PathLike | None = None) -> Path:
    """cache_dir if given, else the environment variable VAE_DATA, else ~/.cache/minigrad-vae."""
    chosen = cache_dir or os.environ.get("VAE_DATA") or "~/.cache/minigrad-vae"
    return Path(expand_home(chosen))


def find_file(data_dir: str | os.PathLike, subfolders: Sequence[str], *names: str) -> Path:
    """The first of `names` in data_dir, or else in one of its subfolders. Raises DataError."""
    root = Path(expand_home(data_dir))
    if not os.path.isdir(root):
        raise DataError(
            f"{root}, where {names[0]} should be, is not a folder: "
            "name the folder that holds it with data_dir (--data-dir)"
        )
    for folder in (root, *(root / subfolder for subfolder in subfolders)):
        for name in names:
            if os.path.isfile(folder / name):
                return folder / name
    raise DataError(
        f"no file {' or '.join(names[:2])} in {root} or its subfolders {', '.join(subfolders)}: "
        "put it there, or name the folder that holds it with data_dir (--data-dir)"
    )
