"""Atomic replacement of files: a reader finds either the old content or all of the new content.

New content is written to a partial file beside the old one, `.NAME.PROCESS.part`, which is then renamed. The partial
file is locked while it is written, and the system releases the lock when the process ends, even if it is killed. So a
partial file that is not locked is abandoned, and the next write to the same name removes it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

PART = re.compile(r"\.(.+)\.\d+\.part", re.DOTALL)
CREATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file atomically; write to a device or a pipe directly. Raises OSError."""
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as device:
            device.write(content)
    else:
        replace_by_blocks(path, [content])


def replace_by_blocks(path: Path, blocks: Iterable[bytes]) -> None:
    """Replace a file atomically by an iterable of blocks. If the iterable raises an error, the file is unchanged.

    When a block is requested, the previous ones have been written to `part_path(path)`. Raises OSError.
    """
    part = part_path(path)  # named before it is created, so that Ctrl-C cannot leave it behind
    try:
        remove_abandoned(path.parent, path.name.__eq__)
        file = os.open(part, CREATE, 0o666)  # a file descriptor, since Ctrl-C could leave a file object open
        try:
            with suppress(OSError):
                lock_file(file)
            for block in blocks:
                rest = memoryview(block)
                while rest:
                    rest = rest[os.write(file, rest) :]
            os.fsync(file)
        finally:
            os.close(file)
        os.replace(part, path)
    finally:
        with suppress(OSError, ValueError):  # ValueError: the name contains a null byte
            part.unlink(missing_ok=True)


def part_path(path: Path) -> Path:
    """The partial file to which this process writes the new content of a file."""
    return path.parent / f".{path.name}.{os.getpid()}.part"


def remove_abandoned(folder: Path, selects: Callable[[str], bool]) -> None:
    """Remove partial files that no running process is writing and whose file name (`NAME`) `selects` accepts."""
    with suppress(OSError, ValueError):
        for name in os.listdir(folder):
            part = PART.fullmatch(name)
            if part and selects(part[1]):
                _remove_if_abandoned(folder / name)


def _remove_if_abandoned(part: Path) -> None:
    with suppress(OSError):
        with open(part, "rb+") as file:
            abandoned = lock_file(file.fileno())
        if abandoned:
            part.unlink()


def lock_file(file: int, wait: bool = False) -> bool:
    """Lock an open file until it is closed. Returns False if another process holds the lock, unless `wait`.

    Does nothing on Windows, and returns True. Raises OSError on file systems without locks.
    """
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
    return True
