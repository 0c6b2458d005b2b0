"""vae/folders.py: which folder a command writes to, and what it removes there."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.vae.small_runs import SMALL, assert_refused, snapshot
from vae import folders, locks
from vae.errors import UserError

LEFTOVERS = [".checkpoint.safetensors.4711.part", ".latent-plane.png.1.part", locks.LOCK]


def test_commands_started_together_get_separate_folders(tmp_path):
    default = tmp_path / "runs" / "train"
    with ExitStack() as stack:
        found = [stack.enter_context(folders.claim(None, default, False)) for _ in range(3)]
    assert [path.name for path in found] == ["train", "train-2", "train-3"]


def test_a_folder_belongs_to_one_command_at_a_time(tmp_path):
    out = tmp_path / "run"
    with folders.claim(out, tmp_path, False):
        for force in (False, True):
            with pytest.raises(UserError, match=f"another command is writing to {out}"):
                with folders.claim(out, tmp_path, force):
                    pass
    with folders.claim(out, tmp_path, False):
        pass
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("left", [*LEFTOVERS, None])
def test_leftovers_of_a_killed_run_are_removed(tmp_path, left):
    for name in LEFTOVERS if left is None else [left]:
        (tmp_path / name).touch()
    with folders.claim(tmp_path, tmp_path, False):
        assert [path.name for path in tmp_path.iterdir()] == [locks.LOCK]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [".hidden", ".thesis.tex.12.part", ".lock", "config.json"])
def test_any_other_file_blocks_the_folder(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(UserError, match="already holds files"):
        with folders.claim(tmp_path, tmp_path, False):
            pass
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_empty_subfolders_do_not_block_the_folder(tmp_path):
    """A main job stopped before training leaves two empty folders, perhaps with temporary files in them."""
    (tmp_path / "conv").mkdir()
    (tmp_path / "plane").mkdir()
    (tmp_path / "plane/.config.json.3.part").touch()
    with folders.claim(tmp_path, tmp_path, False):
        pass
    (tmp_path / "conv/link").symlink_to(tmp_path)
    with pytest.raises(UserError, match="already holds files"), folders.claim(tmp_path, tmp_path, False):
        pass


def test_pictures_that_runs_write_are_no_training_images(vae, tmp_path):
    """Training inside a folder of pictures writes the run, with its plots, below that folder."""
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (40, 4, 4), np.uint8)):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    assert vae("train", "--data", ".", *SMALL, "--epochs", "1")[0] == 0
    (tmp_path / "runs/lecture").mkdir()
    for name in ("lecture.html", "slide-07-elbo.png"):
        (tmp_path / "runs/lecture" / name).touch()
    assert vae("evaluate", "--checkpoint", "runs/train")[::2] == (0, "")
    assert vae("train", "--resume", "--out", "runs/train", "--epochs", "2")[::2] == (0, "")


def test_only_files_that_runs_write_are_cleared(tmp_path):
    theirs = ["notes.txt", "my-samples.png", "slide-x.png", "config.json.bak", "conv/config.json"]
    ours = ["config.json", "samples.png", "slide-07-elbo.png", "gradients-mlp.png", "lecture.html"]
    for name in (*theirs, *ours):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "curves.png").mkdir()  # a folder: no run wrote it
    folders.clear(tmp_path)
    assert set(snapshot(tmp_path)) == set(theirs)


def test_every_file_that_runs_write_is_recognised(vae, images, trained, tmp_path):
    assert vae("lecture", "--slide", "7", "--out", "lecture")[0] == 0
    for folder in (trained, tmp_path / "lecture"):
        names = [path.name for path in folder.iterdir()]
        assert names and all(map(folders.is_run_file, names)), names


def test_force_removes_files_of_the_earlier_run_and_keeps_all_others(vae, images, tmp_path):
    assert vae("train", "--data", images, *SMALL, "--epochs", "1", "--out", "run")[0] == 0
    assert (tmp_path / "run/latent-plane.png").exists()
    (tmp_path / "run/notes.txt").write_text("precious")
    again = ["train", "--data", images, *SMALL, "--epochs", "1", "--latent", "3", "--out", "run", "--force"]
    assert vae(*again)[0] == 0
    assert not (tmp_path / "run/latent-plane.png").exists()
    assert (tmp_path / "run/notes.txt").read_text() == "precious"


def test_a_run_in_training_can_be_read_but_not_written(vae, trained):
    """Other commands cannot write to it; evaluate and sample still work."""
    before = snapshot(trained)
    with folders.lock(trained):
        for command in (
            ["train", "--resume"],
            ["train", "--force"],
            ["lecture", "--force", "--slide", "7"],
            ["--force"],
        ):
            assert_refused(vae(*command, "--out", trained), f"another command is writing to {trained}")
        assert vae("evaluate", "--checkpoint", trained)[::2] == (0, "")
        assert vae("sample", "--checkpoint", trained, "--out", "s.png")[::2] == (0, "")
    assert snapshot(trained) == before


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path):
    for path in (Path("/proc/vae"), tmp_path / ("x" * 300)):
        with pytest.raises(UserError, match="cannot write to the folder"):
            with folders.claim(path, tmp_path, False):
                pass
