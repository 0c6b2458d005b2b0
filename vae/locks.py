"""Folder locks: one process at a time uses a folder.

The operating system releases a lock when its process ends, however it ends. Without file locks (Windows, some network
file systems) every process proceeds as if it were alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from minigrad.files import lock_file

LOCK = ".vae-lock"  # in a folder while it is locked, and afterwards only if the process was killed


@contextmanager
def lock_folder(folder: Path, wait: bool = False) -> Iterator[bool]:
    """Lock a folder until the block ends, and yield whether that succeeded; with `wait`, wait for the lock.

    Raises OSError if the folder cannot be written to.
    """
    path = folder / LOCK
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            alone = True
            with suppress(OSError):
                alone = lock_file(file, wait)
            if alone and not _is_open_at(path, file):  # the process that held the lock has removed the file
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


def _is_open_at(path: Path, file: int) -> bool:
    """Whether the path still names the open file."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False
