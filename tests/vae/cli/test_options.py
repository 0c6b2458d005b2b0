"""vae/cli/options.py: home folders, and names that shells, terminals and pathlib take for something else."""

import json
import pwd
from pathlib import Path

import pytest

from tests.support.vae.small_runs import WITHOUT_PLANE as SMALL
from tests.support.vae.small_runs import assert_refused, save_images
from vae import pictures  # noqa: F401  (Matplotlib makes folders in the home where it is first imported)
from vae.config import Config
from vae.data import DataError, load
from vae.data.places import cache_root, expand_home

pytestmark = pytest.mark.host


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder that is not the working folder."""
    folder = tmp_path / "home"
    folder.mkdir()
    save_images(folder / "images.npz")
    monkeypatch.setenv("HOME", str(folder))
    return folder


def test_every_path_may_begin_at_home(vae, home, tmp_path):
    assert vae("train", "--data", "~/images.npz", *SMALL, "--out=~/run")[::2] == (0, "")
    assert json.loads((home / "run/config.json").read_text())["data"] == str(home / "images.npz")
    assert vae("train", "--resume", "--out", "~/run", "--epochs", "3")[::2] == (0, "")
    assert vae("train", "--data", "images.npz", "--data-dir=~", *SMALL, "--out=~/second")[::2] == (0, "")
    for command in (["evaluate"], ["sample", "--out=~/s.png"], ["reconstruct", "--out", "~/r.png"]):
        assert vae(*command, "--checkpoint=~/run")[::2] == (0, "")
    check = ["check", "--checkpoint", "~/run", "--images", "2", "--coordinates", "2"]
    assert vae(*check, "--picture=~/new/c.png")[::2] == (0, "")
    written = {path.name for path in home.iterdir()} - {".cache"}  # of compiled kernels
    assert written == {"images.npz", "run", "second", "s.png", "r.png", "new"}
    assert list(tmp_path.iterdir()) == [home]


def test_home_itself_and_the_home_of_somebody(vae, home, tmp_path):
    assert_refused(vae("--out", "~"), f"{home} already holds files")
    root = pwd.getpwuid(0)
    assert expand_home(f"~{root.pw_name}/x") == f"{root.pw_dir}/x"


@pytest.mark.parametrize("option", ["--out", "--data", "--data-dir"])
def test_a_home_that_nobody_has(vae, home, tmp_path, option):
    assert_refused(vae("train", f"{option}=~nobody-of-this-name/x"), "there is no home folder for ~nobody-of-this-name")
    assert list(tmp_path.iterdir()) == [home]


def test_nobody_knows_where_home_is(vae, tmp_path, monkeypatch):
    """As in a container whose user has no name."""

    def nobody(number):
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for name in ("HOME", "VAE_DATA"):
        monkeypatch.delenv(name, raising=False)
    assert_refused(vae("--out", "~/run"), "there is no home folder for ~")
    assert_refused(vae("train", "--data", "mnist", "--out", "run"), "there is no home folder for ~")
    assert list(tmp_path.iterdir()) == []


def test_in_python_and_in_the_environment(home, monkeypatch):
    config = Config(data="~/images.npz")
    assert load(config.data).train.shape == load("images.npz", data_dir=Path("~")).train.shape == (50, 4, 4, 1)
    monkeypatch.setenv("VAE_DATA", "~/cache")
    assert cache_root() == home / "cache"
    with pytest.raises(DataError, match="there is no home folder for ~nobody-of-this-name"):
        load("~nobody-of-this-name/x.npz")


@pytest.mark.parametrize("arguments", [["train", "--out", ""], ["train", "--data", ""], ["evaluate", "--checkpoint="]])
def test_an_empty_path_is_not_the_working_folder(vae, tmp_path, arguments):
    assert_refused(vae(*arguments), "a path must not be empty")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a b  c", "~", "~x", "-x", "line\nbreak"])
def test_names_of_any_kind(vae, images, tmp_path, name):
    assert vae("train", "--data", images, *SMALL, "--epochs", "1", f"--out=./{name}")[::2] == (0, "")
    assert (tmp_path / name / "config.json").exists()
    assert vae("evaluate", f"--checkpoint=./{name}")[::2] == (0, "")
