"""vae/files.py: a file is the old one or the whole new one, and a checkpoint is what was saved or an error."""

import json
import os
import pickle
import signal
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save_file

from minigrad.core import tree
from vae import files
from vae.errors import CheckpointError, UserError


class Pair(NamedTuple):
    w: object
    b: object = None


TREES = {"parameters": Pair(np.arange(6, dtype=np.float32).reshape(2, 3), (np.float32(0.5),)), "optimiser": Pair(7)}
RECORD = {"epoch": 3, "total": -0.1, "history": [{"epoch": 1}], "log_sigma": None}
NAMES = {"parameters.w", "parameters.b.0", "optimiser.w"}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    files.save_checkpoint(path, TREES, RECORD)
    return path


def only(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


# Writing


@pytest.mark.parametrize("at", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, at, error):
    path = tmp_path / "file"
    files.write_bytes(path, b"old")

    def fail(*args):
        raise error

    monkeypatch.setattr(os, at, fail)
    expected = UserError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        files.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert only(tmp_path) == ["file"]
    if expected is UserError:
        assert str(caught.value) == f"cannot write {path}: No space left on device"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a file opened, not yet in its `with`
def test_an_interrupt_at_any_moment_leaves_nothing_once_the_next_write_is_done(tmp_path):
    """The signal comes between any two instructions, also those that clean up; Ctrl-C is followed by a checkpoint."""

    def stop(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    try:
        for delay in np.random.default_rng(0).uniform(1e-4, 4e-3, 100):
            with pytest.raises(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, delay)
                while True:
                    files.write_bytes(tmp_path / "file", b"new")
            files.write_bytes(tmp_path / "file", b"last")
            assert only(tmp_path) == ["file"]
    finally:
        signal.signal(signal.SIGALRM, before)


def test_readers_never_see_half_a_file(tmp_path):
    """While one thread replaces a megabyte of a's by one of b's and back, every read finds a whole one."""
    path, size = tmp_path / "file", 1 << 20
    files.write_bytes(path, b"a" * size)
    seen, done = set(), threading.Event()

    def read():
        while not done.is_set():
            content = path.read_bytes()
            seen.add((len(content), content[:1], content[-1:]))

    reader = threading.Thread(target=read)
    reader.start()
    for letter in (b"b", b"a") * 10:
        files.write_bytes(path, letter * size)
    done.set()
    reader.join()
    assert seen <= {(size, b"a", b"a"), (size, b"b", b"b")}


def test_json_and_lines(tmp_path):
    records = [{"epoch": 1, "σ": 0.1}, {"epoch": 2, "name": "a\nb"}]
    files.write_json(tmp_path / "one.json", records[0])
    files.write_lines(tmp_path / "all.jsonl", records)
    assert json.loads((tmp_path / "one.json").read_text()) == records[0]
    assert [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()] == records
    files.write_lines(tmp_path / "all.jsonl", [])
    assert (tmp_path / "all.jsonl").read_bytes() == b""


@pytest.mark.parametrize("make", [files.make_folder, lambda p: files.write_bytes(p / "x", b"")])
def test_folders_that_cannot_be_written_to(tmp_path, make):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", Path("/proc/vae")):
        with pytest.raises(UserError, match=f"cannot write( to the folder)? {path}"):
            make(path)
    assert only(tmp_path) == ["file"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX pipes")
def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    """As a device does: replacing /dev/null by a picture would harm everybody."""
    path, found = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: found.append(path.read_bytes()))
    reader.start()
    files.write_bytes(path, b"content")
    reader.join()
    assert found == [b"content"]
    assert path.is_fifo() and only(tmp_path) == ["pipe"]


def test_a_folder_takes_the_place_of_a_file(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match=f"cannot write {tmp_path / 'run'}: Is a directory"):
        files.write_bytes(tmp_path / "run", b"")
    assert only(tmp_path) == ["run"]


def test_folders_are_made_with_their_parents(tmp_path):
    files.make_folder(tmp_path / "a" / "b")
    files.make_folder(tmp_path / "a" / "b")
    assert only(tmp_path / "a" / "b") == []


# Checkpoints


def same(a, b) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def test_a_checkpoint_is_what_was_saved(saved):
    arrays, record = files.load_checkpoint(saved)
    assert record == RECORD
    assert set(arrays) == NAMES
    leaves = dict(zip(tree.names(TREES), tree.flatten(TREES)[0], strict=True))
    assert all(same(arrays[name], leaves[name]) for name in NAMES)
    assert only(saved.parent) == [saved.name]
    filled = files.fill(TREES["parameters"], "parameters", arrays, saved)
    assert tree.flatten(filled)[1] == tree.flatten(TREES["parameters"])[1]


FLOATS = hnp.arrays(st.sampled_from([np.float32, np.float64]), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0))


@given(values=st.lists(FLOATS, max_size=3), total=st.floats(allow_nan=False, allow_infinity=False))
def test_any_arrays_and_numbers_survive_bit_for_bit(tmp_path_factory, values, total):
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    turned = [x.T for x in values]  # not contiguous, too
    files.save_checkpoint(path, {"a": values, "b": turned}, {"total": total})
    arrays, record = files.load_checkpoint(path)
    assert record["total"] == total
    for i, x in enumerate(values):
        assert same(arrays[f"a.{i}"], x)
        assert same(arrays[f"b.{i}"], np.ascontiguousarray(x.T).reshape(x.T.shape))


def test_every_truncation_is_noticed(saved):
    whole = saved.read_bytes()
    for length in range(len(whole)):
        saved.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=f"{saved} is damaged or no checkpoint"):
            files.load_checkpoint(saved)


def test_every_changed_bit_is_noticed(saved):
    """Or it makes no difference: a space of the header's padding that became another kind of space."""
    whole = saved.read_bytes()
    before = files.load_checkpoint(saved)
    harmless = 0
    for at in range(len(whole)):
        for bit in range(8):
            saved.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
            try:
                arrays, record = files.load_checkpoint(saved)
            except CheckpointError as error:
                assert str(saved) in str(error)
                assert "\n" not in str(error)
            else:
                harmless += 1
                assert record == before[1]
                assert all(same(arrays[name], before[0][name]) for name in NAMES)
    assert harmless <= 8


def test_bytes_added_at_the_end_are_noticed(saved):
    saved.write_bytes(saved.read_bytes() + b"\0")
    with pytest.raises(CheckpointError, match="is damaged or no checkpoint"):
        files.load_checkpoint(saved)


class Trap:
    """Unpickling it would leave a file behind."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", ["empty", "text", "zip", "pickle", "npz of objects"])
def test_other_files_are_refused_and_nothing_in_them_runs(tmp_path, kind):
    path, trace = tmp_path / "checkpoint.safetensors", tmp_path / "ran"
    if kind == "npz of objects":
        np.savez(path.with_suffix(".npz"), a=np.array([Trap(trace)], object))
        os.replace(path.with_suffix(".npz"), path)
    else:
        contents = {"empty": b"", "text": b"not a checkpoint\n" * 99, "zip": b"PK\3\4" + bytes(99)}
        path.write_bytes(contents.get(kind) or (pickle.dumps(Trap(trace)) if kind == "pickle" else b""))
    with pytest.raises(CheckpointError, match=f"{path} is damaged or no checkpoint .*; train again, or restore it"):
        files.load_checkpoint(path)
    assert not trace.exists()


def test_safetensors_of_another_program(tmp_path):
    path = tmp_path / "model.safetensors"
    for metadata in (None, {"format": "pt"}):
        save_file({"w": np.ones(3)}, path, metadata=metadata)
        with pytest.raises(CheckpointError, match="is a safetensors file, but no checkpoint of vae train"):
            files.load_checkpoint(path)
    save_file({"w": np.ones(3)}, path, metadata={files.RECORD: "{}"})
    with pytest.raises(CheckpointError, match="is damaged"):
        files.load_checkpoint(path)


def test_what_may_not_be_read_is_not_called_damaged(saved, monkeypatch):
    def refuse(*given):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "open", refuse, raising=False)
    with pytest.raises(CheckpointError, match=r"cannot be read: Permission denied$"):
        files.load_checkpoint(saved)


def test_what_is_not_there(tmp_path):
    places = [tmp_path / "none", tmp_path, Path("x" * 300)]
    if sys.platform == "linux":
        places.append(Path("/dev/null"))
    for path in places:
        with pytest.raises(CheckpointError, match=f"no checkpoint at {path}; train first"):
            files.load_checkpoint(path)


@pytest.mark.parametrize(
    ("like", "said"),
    [
        (Pair(np.zeros((2, 4)), (np.float32(0),)), r"'parameters.w' should have shape \(2, 4\), it has shape \(2, 3\)"),
        (Pair(np.zeros((2, 3)), Pair(np.zeros(1))), r"'parameters.b.w' should have shape \(1,\), it has nothing"),
    ],
)
def test_checkpoints_of_another_model(saved, like, said):
    with pytest.raises(CheckpointError, match=f"{saved} is of another model: {said}"):
        files.fill(like, "parameters", files.load_checkpoint(saved)[0], saved)
