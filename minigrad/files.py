"""Files that are replaced in one step: whoever reads one finds the old content or all of the new.

New content goes to a partial file beside the old one, `.NAME.PROCESS.part`, which then takes its name. The partial file
is locked while it is written, and the system releases the lock when the process ends, however it ends: a partial file
that is not locked was left by a process that was killed, and the next write of that name removes it.
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
    """Replace a file in one step; a device or a pipe is written to. Raises OSError."""
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as device:
            device.write(content)
    else:
        replace_by_blocks(path, [content])


def replace_by_blocks(path: Path, blocks: Iterable[bytes]) -> None:
    """Replace a file in one step, by bytes that come one block at a time; if they raise an error, it stays as it was.

    When the next block is asked for, those before it are in `part_path(path)`. Raises OSError.
    """
    part = part_path(path)  # known before it exists, so that Ctrl-C leaves no trace
    try:
        remove_abandoned(path.parent, path.name.__eq__)
        file = os.open(part, CREATE, 0o666)  # a number: Ctrl-C leaves no object open
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
        with suppress(OSError, ValueError):  # ValueError: of a name with a null byte
            part.unlink(missing_ok=True)


def part_path(path: Path) -> Path:
    """The partial file of a file that this process writes."""
    return path.parent / f".{path.name}.{os.getpid()}.part"


def remove_abandoned(folder: Path, mine: Callable[[str], bool]) -> None:
    """Remove partial files that no living process is writing, if `mine(name of the whole file)`."""
    with suppress(OSError, ValueError):
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


def lock_file(file: int, wait: bool = False) -> bool:
    """Lock an open file until it is closed; False if another process has locked it and not `wait`.

    On Windows every process goes ahead. Raises OSError on file systems without locks.
    """
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
    return True
