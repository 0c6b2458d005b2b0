"""Fixtures of the vae tests: functions that compute on the tested device (see `--backend`), images, trained runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from unittest import mock

import pytest

import minigrad as mg
from minigrad import backends
from tests.support import stand_in
from tests.support.vae.small_runs import SMALL, assert_refused, save_images, snapshot
from tests.support.vae.training_runs import CONFIGS, data_for, read_outcome
from vae import cli, gradients, runs, trainer
from vae.config import Config
from vae.data import Dataset
from vae.runs import load_state
from vae.trainer import State
from vae.training import train

COMPUTING = ("check", "train", "evaluate", "sample", "reconstruct", "reproduce")  # the commands that take --device


@pytest.fixture(scope="session")
def make_trainer(backend) -> Callable:
    """`trainer.make_trainer` on the tested device, unless another one is given."""
    return lambda config, image_shape, device=backend.device: trainer.make_trainer(config, image_shape, device)


@pytest.fixture(scope="session")
def load_trainer(backend) -> Callable:
    """`runs.load_trainer` on the tested device."""
    return lambda out: runs.load_trainer(out, backend.device)


@pytest.fixture(scope="session")
def check(backend) -> Callable:
    """`gradients.check` on the tested device."""
    return lambda *given, **more: gradients.check(*given, device=backend.device, **more)


@pytest.fixture(scope="session")
def pretend_gpu() -> Callable:
    """A context manager in which the device "cuda" is the stand-in, which refuses host arrays."""

    @contextmanager
    def pretend() -> Iterator[None]:
        device = replace(stand_in.BACKEND, device="cuda")
        with (
            mock.patch.dict(backends._by_device, cuda=device),
            mock.patch.dict(backends._by_type, {stand_in.Array: device}),
        ):
            yield

    return pretend


@pytest.fixture(scope="session")
def run_command(backend, pretend_gpu) -> Callable:
    """`cli.main` on the tested device, unless the arguments name a device; returns the exit code."""

    def call(*arguments: object) -> int:
        words = list(map(str, arguments))
        if backend.name == "numpy" or "--device" in words or not set(words) & set(COMPUTING):
            return cli.main(words)
        with nullcontext() if backend.device == "cuda" else pretend_gpu():
            return cli.main([*words, "--device", "cuda"])

    return call


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """A file with 50 + 20 images of 4×4."""
    return save_images(tmp_path_factory.mktemp("images") / "images.npz")


@pytest.fixture(scope="session")
def trained(tmp_path_factory, images, run_command):
    """The folder of a finished run; tests may add pictures to it."""
    out = tmp_path_factory.mktemp("runs") / "trained"
    assert run_command("train", "--data", images, *SMALL, "--out", out) == 0
    return out


@pytest.fixture
def no_pictures(monkeypatch) -> None:
    """Runs end without pictures, for tests of something else."""
    monkeypatch.setattr("vae.cli.train._draw_pictures", lambda *given: None)


@pytest.fixture
def vae(capsys, monkeypatch, tmp_path, run_command):
    """Runs a command line in an empty folder; returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VAE_DATA", str(tmp_path / "no-cache"))

    def call(*arguments):
        capsys.readouterr()
        try:
            code = run_command(*arguments)
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def refuse(vae, images, trained, tmp_path):
    """Asserts that a command line is refused in one sentence with these parts, and that nothing is written.

    IMAGES stands for a file of images, TRAINED for the folder of a run.
    """
    fill = lambda text: text.replace("IMAGES", images).replace("TRAINED", str(trained))

    def call(arguments, said):
        before = snapshot(trained)
        assert_refused(vae(*map(fill, arguments)), *map(fill, said))
        assert snapshot(trained) == before
        assert list(tmp_path.iterdir()) == []

    return call


@pytest.fixture(scope="session")
def train_run(make_trainer):
    """Trains a configuration in a folder; returns the final state with its parameters on the host."""

    def call(config: Config, out, data: Dataset | None = None, **more) -> State:
        out.mkdir(exist_ok=True)
        data = data_for(config) if data is None else data
        state = train(make_trainer(config, data.train.shape[1:]), data, out, **more)
        return state._replace(parameters=mg.to_device(state.parameters, "cpu"))

    return call


@pytest.fixture(scope="session")
def resume_run(load_trainer, make_trainer):
    """Resumes the run in a folder, with some settings changed; returns the final state."""

    def call(out, data: Dataset | None = None, **changes) -> State:
        trainer = load_trainer(out)
        data = data_for(trainer.config) if data is None else data
        trainer = make_trainer(dataclasses.replace(trainer.config, **changes), trainer.model.image_shape)
        return train(trainer, data, out, load_state(trainer, out))

    return call


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory, train_run):
    """What each configuration writes when it is trained without interruption."""
    found = {}
    for name, config in CONFIGS.items():
        out = tmp_path_factory.mktemp("uninterrupted") / name
        train_run(config, out)
        found[name] = read_outcome(out)
    return found
