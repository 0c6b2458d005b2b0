"""vae/files.py: files and folders are written, or one sentence says why they cannot be."""

import json
import os
from pathlib import Path

import pytest

from vae import files
from vae.errors import UserError


def file_names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_failed_write_raises_one_sentence_and_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.write_bytes(path, b"old")

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(UserError) as caught:
        files.write_bytes(path, b"new")
    assert str(caught.value) == f"cannot write {path}: No space left on device"
    assert path.read_bytes() == b"old" and file_names(tmp_path) == ["file"]


def test_json_and_json_lines_are_written(tmp_path):
    records = [{"epoch": 1, "σ": 0.1}, {"epoch": 2, "name": "a\nb"}]
    files.write_json(tmp_path / "one.json", records[0])
    files.write_lines(tmp_path / "all.jsonl", records)
    assert json.loads((tmp_path / "one.json").read_text()) == records[0]
    assert [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()] == records
    files.write_lines(tmp_path / "all.jsonl", [])
    assert (tmp_path / "all.jsonl").read_bytes() == b""


@pytest.mark.parametrize("make", [files.make_folder, lambda p: files.write_bytes(p / "x", b"")])
def test_folders_that_cannot_be_written_to_are_refused(tmp_path, make):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", Path("/proc/vae")):
        with pytest.raises(UserError, match=f"cannot write( to the folder)? {path}"):
            make(path)
    assert file_names(tmp_path) == ["file"]


def test_a_file_cannot_replace_a_folder(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match=f"cannot write {tmp_path / 'run'}: Is a directory"):
        files.write_bytes(tmp_path / "run", b"")
    assert file_names(tmp_path) == ["run"]


def test_folders_are_created_with_their_parents(tmp_path):
    files.make_folder(tmp_path / "a" / "b")
    files.make_folder(tmp_path / "a" / "b")
    assert file_names(tmp_path / "a" / "b") == []
