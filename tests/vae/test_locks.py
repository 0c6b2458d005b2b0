"""vae/locks.py: one process at a time in a folder, whatever became of the one before."""

import errno
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vae import files, locks

pytestmark = pytest.mark.skipif(locks.fcntl is None, reason="locks are those of POSIX")

HOLD = """
import sys
from pathlib import Path
from vae import locks
with locks.lock_folder(Path(sys.argv[1])) as alone, open(locks.part_of(Path(sys.argv[1], "file")), "wb") as part:
    locks.lock_file(part.fileno())
    print(alone, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder and is in the middle of writing `file`."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "True\n"
    yield child
    child.kill()
    child.communicate()


def entries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_folder_belongs_to_one_process_at_a_time(tmp_path, holder):
    with locks.lock_folder(tmp_path) as alone:
        assert not alone
    assert locks.LOCK in entries(tmp_path)  # the other one's
    holder.communicate("\n")
    with locks.lock_folder(tmp_path) as alone:
        assert alone
    assert locks.LOCK not in entries(tmp_path)


def test_a_killed_process_leaves_no_lock_and_its_part_is_swept(tmp_path, holder):
    (part,) = tmp_path.glob(".file.*.part")
    files.write_bytes(tmp_path / "file", b"mine")
    assert part.exists()  # somebody is writing it
    holder.kill()
    holder.wait()
    with locks.lock_folder(tmp_path) as alone:
        assert alone
        locks.sweep(tmp_path, "another".__eq__)
        assert part.exists()
    files.write_bytes(tmp_path / "file", b"mine")
    assert entries(tmp_path) == {"file"}


def test_those_who_wait_come_one_after_the_other(tmp_path):
    """Each has the folder to itself, though whoever had it before has removed the file that is locked."""
    inside, most = [], []

    def work():
        for _ in range(50):
            with locks.lock_folder(tmp_path, wait=True) as alone:
                inside.append(alone)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 200
    assert entries(tmp_path) == set()


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    """Everybody is alone there, and nobody's part is removed, for it may be written right now."""

    def no_locks(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", no_locks)
    (tmp_path / ".file.1.part").touch()
    with locks.lock_folder(tmp_path) as alone:
        assert alone
        locks.sweep(tmp_path, "file".__eq__)
        files.write_bytes(tmp_path / "file", b"mine")
    assert entries(tmp_path) == {"file", ".file.1.part"}


@pytest.mark.parametrize("name", [".file", ".file.part", ".file.x.part", "file.1.part", ".other.1.part"])
def test_only_what_is_left_of_writing_is_swept(tmp_path, name):
    (tmp_path / name).write_text("precious")
    files.write_bytes(tmp_path / "file", b"mine")
    assert (tmp_path / name).read_text() == "precious"
