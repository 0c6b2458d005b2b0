"""Run folders: one command at a time writes to a folder, and only files that commands write are ever removed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from minigrad.files import PART, remove_abandoned
from vae.errors import UserError
from vae.files import make_folder
from vae.locks import LOCK, lock_folder

WRITTEN = (
    *("checkpoint.safetensors", "config.json", "metrics.jsonl", "result.json", "bounds.png"),
    *("annealing.png", "latents.png", "information.png"),  # of evaluate, as bounds.png
    *("curves.png", "reconstructions.png", "samples.png", "latent-plane.png", "latent-means.png"),
    *("gradients-mlp.png", "gradients-conv.png"),  # of the main job
    *("lecture.html", "slide-[0-9][0-9]-*.png"),
)


@contextmanager
def lock(out: Path) -> Iterator[None]:
    """Lock an existing folder for this command until the block ends, and remove partial files of killed commands.

    Raises UserError if another command has locked it, or if it cannot be written to.
    """
    with ExitStack() as stack:
        try:
            alone = stack.enter_context(lock_folder(out))
        except OSError as error:
            raise UserError(f"cannot write to the folder {out}: {error.strerror or error}") from None
        if not alone:
            raise UserError(f"another command is writing to {out}: wait until it is done, or choose another folder")
        remove_abandoned(out, is_run_file)
        yield


@contextmanager
def claim(out: Path | None, default: Path, force: bool) -> Iterator[Path]:
    """Lock and yield the folder to write to: `out`, which must be new or empty unless `force`, or a new folder named
    after `default` if `out` is None. Raises UserError."""
    if out is None:
        out = _create_new(default)
    elif os.path.exists(out) and not os.path.isdir(out):
        raise UserError(f"{out} is a file, not a folder")
    make_folder(out)
    with lock(out):
        if not force and holds_files(out):
            raise UserError(f"{out} already holds files: choose another --out, or use --force to overwrite them")
        yield out


def _create_new(default: Path) -> Path:
    """Create `default`, or `default`-2, -3, … if it exists. Commands that start together each create their own."""
    make_folder(default.parent)
    out, number = default, 1
    while True:
        try:
            out.mkdir()
            return out
        except FileExistsError:
            number += 1
            out = default.with_name(f"{default.name}-{number}")
        except OSError as error:
            raise UserError(f"cannot write to the folder {out}: {error.strerror or error}") from None


def is_run_file(name: str) -> bool:
    """Whether commands write files of this name."""
    return any(fnmatchcase(name, pattern) for pattern in WRITTEN)


def holds_files(folder: Path) -> bool:
    """Whether anything is in the folder or below that a new run must not mix with."""
    return any(map(_is_content, folder.rglob("*")))


def _is_content(path: Path) -> bool:
    """Whether this makes a folder non-empty; folders, locks and partial files of killed runs do not count."""
    part = PART.fullmatch(path.name)
    left_over = path.name == LOCK or (part is not None and is_run_file(part[1]))
    return path.is_symlink() or not (path.is_dir() or left_over)


def is_run(folder: Path) -> bool:
    """Whether this folder belongs to a run, whose pictures are results, not data."""
    return any((folder / name).exists() for name in ("checkpoint.safetensors", "gradients-mlp.png", "lecture.html"))


def clear(out: Path) -> None:
    """Remove the files of an earlier run and nothing else."""
    for path in out.iterdir():
        if is_run_file(path.name) and (path.is_file() or path.is_symlink()):
            path.unlink()


def files_in(out: Path) -> list[Path]:
    """All files in the folder and its subfolders except hidden ones, sorted."""
    return sorted(path for path in out.rglob("*") if path.is_file() and not path.name.startswith("."))
