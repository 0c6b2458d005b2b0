"""Locks and partial files: one process at a time uses a folder, and partial files of killed processes are removed.

The system releases a lock when its process ends, however it ends. Where there are no file locks (Windows, some network
file systems) every process goes ahead as if it were alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:
    fcntl = None

LOCK = ".vae-lock"  # in a folder while it is locked, and afterwards only if the process was killed
PART = re.compile(r"\.(.+)\.\d+\.part", re.DOTALL)


def lock_file(file: int, wait: bool = False) -> bool:
    """Lock an open file until it is closed; False if another process has locked it and not `wait`.

    Raises OSError on file systems without locks.
    """
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
    return True


@contextmanager
def lock_folder(folder: Path, wait: bool = False) -> Iterator[bool]:
    """Lock a folder until the block ends, and yield whether that worked; with `wait`, wait until it does.

    Raises OSError if the folder cannot be written to.
    """
    path = folder / LOCK
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            alone = True
            with suppress(OSError):
                alone = lock_file(file, wait)
            if alone and not _is_at(path, file):  # the process that held the lock has removed the file
                continue
            try:
                yield alone
            finally:
                if alone:
                    with suppress(OSError):
                        path.unlink(missing_ok=True)
            return
        finally:
            os.close(file)


def _is_at(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False


def part_of(path: Path) -> Path:
    """The temporary path of a file while this process writes it."""
    return path.parent / f".{path.name}.{os.getpid()}.part"


def sweep(folder: Path, mine: Callable[[str], bool]) -> None:
    """Remove partial files that no living process is writing, if `mine(name of the finished file)`."""
    with suppress(OSError):
        for name in os.listdir(folder):
            part = PART.fullmatch(name)
            if part and mine(part[1]):
                _remove(folder / name)


def _remove(part: Path) -> None:
    with suppress(OSError):
        with open(part, "rb+") as file:
            abandoned = lock_file(file.fileno())
        if abandoned:
            part.unlink()
