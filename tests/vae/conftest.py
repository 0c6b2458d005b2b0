"""With `--backend` other than numpy, modules that ask for it train, evaluate, draw and check on that device."""

from __future__ import annotations

import pytest

from tests.support.vae.small_runs import SMALL, save_images
from vae import cli, gradients
from vae.cli import check, runs, train
from vae.runs import load_trainer
from vae.trainer import make_trainer


@pytest.fixture(scope="module")
def on_the_device_of_this_run(backend):
    """The default device of functions that take one, and of the command line."""
    if backend.name == "numpy":
        yield
        return
    usual = runs.choose_device
    with pytest.MonkeyPatch.context() as patch:
        for function in (make_trainer, load_trainer, gradients.check):
            patch.setattr(function, "__defaults__", (*function.__defaults__[:-1], backend.device))
        for module in (check, runs, train):
            patch.setattr(module, "choose_device", lambda name: backend.device if name == "cpu" else usual(name))
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A file with 50 + 20 images of 4×4."""
    return save_images(tmp_path_factory.mktemp("images") / "images.npz")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, images):
    """A finished run."""
    out = tmp_path_factory.mktemp("runs") / "trained"
    assert cli.main(["train", "--data", images, *SMALL, "--out", str(out)]) == 0
    return out


@pytest.fixture
def vae(capsys, monkeypatch, tmp_path):
    """Runs a command line in an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VAE_DATA", str(tmp_path / "no-cache"))

    def call(*arguments):
        capsys.readouterr()
        try:
            code = cli.main([str(a) for a in arguments])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return call
