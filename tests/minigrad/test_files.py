"""minigrad/files.py: after an interruption at any moment, a file is the old one or the complete new one."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from minigrad import files
from minigrad.files import replace_by_blocks, replace_file

WRITE = """
import sys
from pathlib import Path
from minigrad.files import replace_by_blocks
def blocks():
    yield b"half"
    print(flush=True)
    sys.stdin.readline()
replace_by_blocks(Path(sys.argv[1], "file"), blocks())
"""


def names_in(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("at", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, at, error):
    path = tmp_path / "file"
    replace_file(path, b"old")

    def fail(*args):
        raise error

    monkeypatch.setattr(os, at, fail)
    with pytest.raises(type(error)):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["file"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # an interrupt between open() and `with`
def test_the_next_write_cleans_up_after_an_interrupt_at_any_moment(tmp_path):
    """The signal comes between any two instructions, even during cleanup. (After Ctrl-C a checkpoint is written.)"""

    def stop(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    try:
        for delay in np.random.default_rng(0).uniform(1e-4, 4e-3, 100):
            with pytest.raises(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, delay)
                while True:
                    replace_file(tmp_path / "file", b"new")
            replace_file(tmp_path / "file", b"last")
            assert names_in(tmp_path) == ["file"]
    finally:
        signal.signal(signal.SIGALRM, before)


def test_readers_never_see_half_a_file(tmp_path):
    """While one thread alternates between a megabyte of a's and one of b's, every read finds a complete one."""
    path, size = tmp_path / "file", 1 << 20
    replace_file(path, b"a" * size)
    seen, done = set(), threading.Event()

    def read():
        while not done.is_set():
            content = path.read_bytes()
            seen.add((len(content), content[:1], content[-1:]))

    reader = threading.Thread(target=read)
    reader.start()
    for letter in (b"b", b"a") * 10:
        replace_file(path, letter * size)
    done.set()
    reader.join()
    assert seen <= {(size, b"a", b"a"), (size, b"b", b"b")}


def test_blocks_are_written_one_by_one_and_an_error_leaves_the_old_file(tmp_path):
    path, seen = tmp_path / "file", []

    def blocks(last):
        yield b"one "
        yield b"two"
        seen.append(files.part_path(path).read_bytes())
        yield b" 3" if last is None else 1 / last

    replace_by_blocks(path, blocks(None))
    assert path.read_bytes() == b"one two 3"
    with pytest.raises(ZeroDivisionError):
        replace_by_blocks(path, blocks(0))
    assert path.read_bytes() == b"one two 3" and seen == [b"one two"] * 2
    assert names_in(tmp_path) == ["file"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX pipes")
def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    """The same holds for devices: /dev/null must not become a regular file."""
    path, found = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: found.append(path.read_bytes()))
    reader.start()
    replace_file(path, b"content")
    reader.join()
    assert found == [b"content"]
    assert path.is_fifo() and names_in(tmp_path) == ["pipe"]


def test_a_folder_and_a_missing_folder_are_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    for path, error in (
        (tmp_path / "folder", IsADirectoryError),
        (tmp_path / "missing" / "file", FileNotFoundError),
        (tmp_path / "nul\0", ValueError),
    ):
        with pytest.raises(error):
            replace_file(path, b"")
    assert names_in(tmp_path) == ["folder"] and names_in(tmp_path / "folder") == []


# Leftovers of killed processes


@pytest.mark.skipif(files.fcntl is None, reason="POSIX locks")
def test_a_partial_file_is_removed_only_after_its_process_was_killed(tmp_path):
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", WRITE, str(tmp_path)], **streams) as child:
        assert child.stdout.readline() == "\n"
        (part,) = tmp_path.glob(".file.*.part")
        replace_file(tmp_path / "file", b"mine")
        assert part.read_bytes() == b"half"
        child.kill()
        child.wait()
    files.remove_abandoned(tmp_path, "another".__eq__)
    assert part.exists()
    replace_file(tmp_path / "file", b"mine")
    assert names_in(tmp_path) == ["file"]


@pytest.mark.skipif(files.fcntl is None, reason="POSIX locks")
def test_a_file_system_without_locks(tmp_path, monkeypatch):
    """Partial files stay there: without locks, another process may be writing them."""

    def no_locks(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", no_locks)
    (tmp_path / ".file.1.part").touch()
    files.remove_abandoned(tmp_path, "file".__eq__)
    replace_file(tmp_path / "file", b"mine")
    assert names_in(tmp_path) == [".file.1.part", "file"]


@pytest.mark.parametrize("name", [".file", ".file.part", ".file.x.part", "file.1.part", ".other.1.part"])
def test_only_partial_files_are_removed(tmp_path, name):
    (tmp_path / name).write_text("precious")
    replace_file(tmp_path / "file", b"mine")
    assert (tmp_path / name).read_text() == "precious"
