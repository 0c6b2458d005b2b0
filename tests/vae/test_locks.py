"""vae/locks.py: one process at a time in a folder; a killed process leaves no lock."""

import errno
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from minigrad import files
from vae import locks

pytestmark = pytest.mark.skipif(files.fcntl is None, reason="locks are those of POSIX")

HOLD = """
import sys
from pathlib import Path
from vae import locks
with locks.lock_folder(Path(sys.argv[1])) as alone:
    print(alone, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of the folder."""
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
    assert locks.LOCK in entries(tmp_path)  # held by the other process
    holder.communicate("\n")
    with locks.lock_folder(tmp_path) as alone:
        assert alone
    assert locks.LOCK not in entries(tmp_path)


def test_a_killed_process_leaves_no_lock(tmp_path, holder):
    holder.kill()
    holder.wait()
    with locks.lock_folder(tmp_path) as alone:
        assert alone
    assert entries(tmp_path) == set()


def test_waiting_threads_enter_one_at_a_time(tmp_path):
    """Each has the folder to itself, although the holder before it removed the lock file."""
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


def test_a_file_system_without_locks_keeps_nobody_out(tmp_path, monkeypatch):
    def no_locks(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", no_locks)
    with locks.lock_folder(tmp_path) as alone:
        assert alone
    assert entries(tmp_path) == set()
