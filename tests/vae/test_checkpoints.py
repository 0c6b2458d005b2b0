"""vae/checkpoints.py: a checkpoint loads exactly as it was saved, or raises an error."""

import os
import pickle
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save_file

from minigrad.core import tree
from vae import checkpoints
from vae.errors import CheckpointError


class Pair(NamedTuple):
    w: object
    b: object = None


TREES = {"parameters": Pair(np.arange(6, dtype=np.float32).reshape(2, 3), (np.float32(0.5),)), "optimiser": Pair(7)}
RECORD = {"epoch": 3, "total": -0.1, "history": [{"epoch": 1}], "log_sigma": None}
NAMES = {"parameters.w", "parameters.b.0", "optimiser.w"}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    checkpoints.save(path, TREES, RECORD)
    return path


def file_names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def same(a, b) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def test_a_checkpoint_loads_as_it_was_saved(saved):
    arrays, record = checkpoints.load(saved)
    assert record == RECORD
    assert set(arrays) == NAMES
    leaves = dict(zip(tree.names(TREES), tree.flatten(TREES)[0], strict=True))
    assert all(same(arrays[name], leaves[name]) for name in NAMES)
    assert file_names(saved.parent) == [saved.name]
    filled = checkpoints.fill(TREES["parameters"], "parameters", arrays, saved)
    assert tree.flatten(filled)[1] == tree.flatten(TREES["parameters"])[1]


FLOATS = hnp.arrays(st.sampled_from([np.float32, np.float64]), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0))


@given(values=st.lists(FLOATS, max_size=3), total=st.floats(allow_nan=False, allow_infinity=False))
def test_any_arrays_and_numbers_survive_bit_for_bit(tmp_path_factory, values, total):
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    turned = [x.T for x in values]  # arrays that are not contiguous
    checkpoints.save(path, {"a": values, "b": turned}, {"total": total})
    arrays, record = checkpoints.load(path)
    assert record["total"] == total
    for i, x in enumerate(values):
        assert same(arrays[f"a.{i}"], x)
        assert same(arrays[f"b.{i}"], np.ascontiguousarray(x.T).reshape(x.T.shape))


def test_every_truncation_is_detected(saved):
    whole = saved.read_bytes()
    for length in range(len(whole)):
        saved.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=f"{saved} is damaged or not a checkpoint"):
            checkpoints.load(saved)


def test_every_changed_bit_is_detected(saved):
    """Except where it changes nothing: a space in the header's padding that becomes other white space."""
    whole = saved.read_bytes()
    before = checkpoints.load(saved)
    harmless = 0
    for at in range(len(whole)):
        for bit in range(8):
            saved.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
            try:
                arrays, record = checkpoints.load(saved)
            except CheckpointError as error:
                assert str(saved) in str(error)
                assert "\n" not in str(error)
            else:
                harmless += 1
                assert record == before[1]
                assert all(same(arrays[name], before[0][name]) for name in NAMES)
    assert harmless <= 8


def test_bytes_added_at_the_end_are_detected(saved):
    saved.write_bytes(saved.read_bytes() + b"\0")
    with pytest.raises(CheckpointError, match="is damaged or not a checkpoint"):
        checkpoints.load(saved)


class Trap:
    """Unpickling it would create a file."""

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
    with pytest.raises(CheckpointError, match=f"{path} is damaged or not a checkpoint .*; train again, or restore it"):
        checkpoints.load(path)
    assert not trace.exists()


def test_safetensors_of_another_program_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    for metadata in (None, {"format": "pt"}):
        save_file({"w": np.ones(3)}, path, metadata=metadata)
        with pytest.raises(CheckpointError, match="is a safetensors file, but not a checkpoint of vae train"):
            checkpoints.load(path)
    save_file({"w": np.ones(3)}, path, metadata={checkpoints.RECORD: "{}"})
    with pytest.raises(CheckpointError, match="is damaged"):
        checkpoints.load(path)


def test_an_unreadable_file_is_not_called_damaged(saved, monkeypatch):
    def refuse(*given):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checkpoints, "open", refuse, raising=False)
    with pytest.raises(CheckpointError, match=r"cannot be read: Permission denied$"):
        checkpoints.load(saved)


def test_a_missing_checkpoint_is_refused(tmp_path):
    places = [tmp_path / "none", tmp_path, Path("x" * 300)]
    if sys.platform == "linux":
        places.append(Path("/dev/null"))
    for path in places:
        with pytest.raises(CheckpointError, match=f"no checkpoint at {path}; train first"):
            checkpoints.load(path)


@pytest.mark.parametrize(
    ("like", "said"),
    [
        (Pair(np.zeros((2, 4)), (np.float32(0),)), r"'parameters.w' has shape \(2, 3\), expected shape \(2, 4\)"),
        (Pair(np.zeros((2, 3)), Pair(np.zeros(1))), r"'parameters.b.w' is missing, expected shape \(1,\)"),
    ],
)
def test_checkpoints_of_another_model_are_refused(saved, like, said):
    with pytest.raises(CheckpointError, match=f"{saved} belongs to another model: {said}"):
        checkpoints.fill(like, "parameters", checkpoints.load(saved)[0], saved)
