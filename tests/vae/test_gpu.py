"""The autoencoder on a device against the host: gradients, training, waiting, memory.

With `pytest --backend cupy` on a GPU, at the sizes of the lecture; otherwise smaller, on the stand-in.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager

import numpy as np
import pytest

import minigrad as mg
from minigrad import backends
from minigrad.core import tree
from tests.support import stand_in
from tests.support.cuda_shim import GXX, runtime
from vae import training
from vae.config import Config
from vae.data import Dataset
from vae.models import MODELS
from vae.objectives import elbo_sums
from vae.trainer import make_trainer


@pytest.fixture(scope="module")
def device(request) -> str:
    """ "cuda" if the tests run on CuPy, else the stand-in that compiles kernels with g++."""
    if request.config.getoption("--backend") != "cupy":
        if GXX is None:
            pytest.skip("running kernels on the host needs g++, which was not found")
        return "stand-in"
    try:
        return backends.get("cuda").device
    except backends.DeviceError as error:
        pytest.skip(f"--backend cupy needs a GPU: {error}")


@pytest.fixture(scope="module")
def data(device) -> Dataset:
    """Blobs in images of 8 × 8, or 28 × 28 on a GPU; the last batch of an epoch is short."""
    side, train, test = (28, 1900, 100) if device == "cuda" else (8, 50, 20)
    centres = np.random.default_rng(0).uniform(0.3, 0.7, (train + test, 2, 1, 1)) * side
    i, j = np.mgrid[:side, :side]
    squares = (i - centres[:, 0]) ** 2 + (j - centres[:, 1]) ** 2
    images = np.exp(-squares / (side / 6) ** 2)[..., None].astype(np.float32)
    return Dataset("blobs", images[:train], images[train:])


def make_config(device: str, model: str, **changes) -> Config:
    size = {"batch": 128, "epochs": 1} if device == "cuda" else {"latent": 2, "hidden": 8, "batch": 16, "epochs": 1}
    return Config(model=model, **{**size, **changes})


EVERY_MODEL = pytest.mark.parametrize("model", MODELS)


@EVERY_MODEL
def test_gradients_agree_with_the_host(device, data, model):
    trainer = make_trainer(make_config(device, model), data.train.shape[1:])
    parameters, images = trainer.initial().parameters, data.train[:32]
    noise = mg.random.normal(mg.random.key(1), (len(images), trainer.model.latent))

    def loss(parameters, images, noise):
        pixels, latents = elbo_sums(trainer.autoencoder(parameters), images, noise, "closed")
        return -mg.mean(pixels + latents)

    expected = mg.grad(loss)(parameters, images, noise)
    there = mg.to_device((parameters, images, noise), device)
    recorded = mg.jit(mg.grad(loss))
    for gradients in (mg.grad(loss)(*there), *(recorded(*there) for _ in range(4))):
        for ours, theirs in zip(
            tree.flatten(mg.to_device(gradients, "cpu"))[0], tree.flatten(expected)[0], strict=True
        ):
            assert ours.dtype == theirs.dtype == np.float32
            assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()


@EVERY_MODEL
def test_training_agrees_with_the_host(device, data, model, tmp_path):
    elbos = {}
    for where in ("cpu", device):
        out = tmp_path / where
        out.mkdir()
        trainer = make_trainer(make_config(device, model), data.train.shape[1:], where)
        elbos[where] = training.train(trainer, data, out).history[-1]
    for measured in ("train_elbo", "test_elbo"):
        assert abs(elbos["cpu"][measured] - elbos[device][measured]) < 0.1


# What a step costs the host


def make_stepper(device, data, model):
    """A function that takes `count` steps; five steps before have compiled, loaded and recorded everything."""
    trainer = make_trainer(make_config(device, model), data.train.shape[1:], device)
    images, state = mg.to_device(data.train, device), trainer.initial()
    draws, advance = training.shuffle_for(trainer, images, 0).batch, training.make_whole_step(trainer)
    whole = len(images) // trainer.config.batch

    def step(count):
        nonlocal state
        for number in range(count):
            state, _ = training.advance_state(advance, state, draws(number % whole))

    step(5)
    return step


@contextmanager
def forbid_waiting(device, monkeypatch):
    """Fails if the host waits for the device."""
    if device == "cuda":
        import cupyx

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # CuPy may remove this; the test then needs another way
            with cupyx.allow_synchronize(False):
                yield
    else:
        waits = []
        monkeypatch.setattr(runtime, "refuse_while_capturing", waits.append)
        yield
        assert waits == ["Graph.launch"] * len(waits)


@EVERY_MODEL
def test_the_host_does_not_wait_for_steps(device, data, model, monkeypatch):
    step = make_stepper(device, data, model)
    with forbid_waiting(device, monkeypatch):
        step(10)


@EVERY_MODEL
def test_steps_allocate_no_further_memory(device, data, model):
    step, pool = make_stepper(device, data, model), backends.get(device).xp.get_default_memory_pool()
    used = []
    for _ in range(6):
        step(3)
        used.append((pool.used_bytes(), pool.total_bytes()))
    assert len(set(used)) == 1


# Where CuPy differs from NumPy (minigrad/backends/cuda/)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: mg.min(x, 0),
        lambda x: mg.min(x),
        lambda x: mg.cumsum(x, 1),
        lambda x: mg.cumsum(x),
        lambda x: mg.cumprod(x, 0),
        lambda x: mg.grad(lambda x: mg.sum(mg.cumprod(x, 0) * x))(x),
        lambda x: mg.where(True, x, 0),
        lambda x: mg.clip(1.0, x, 1.2),
        lambda x: mg.solve(x[:, :3] + 3 * mg.reshape(x[0, :1] ** 0, (1, 1)), mg.reshape(x, (2, 3, 2))),
    ],
)
def test_operations_in_which_cupy_differs_from_numpy(device, f):
    x = np.random.default_rng(0).uniform(0.5, 1.5, (3, 4))
    there, run = mg.to_device(x, device), mg.jit(f)
    for y in (f(there), *(run(there) for _ in range(4))):
        np.testing.assert_allclose(mg.to_device(y, "cpu"), f(x), rtol=1e-12)


def test_complex_cotangents_are_added_to_the_right_rows(device):
    x, rows = np.random.default_rng(0).standard_normal(4) + 1j, np.array([0, 2, 0, 1])
    back = lambda x, rows: mg.vjp(lambda x: mg.take(x, rows), x)[1](x[::-1] * 1j)[0]
    ours = back(*mg.to_device((x, rows), device))
    np.testing.assert_allclose(mg.to_device(ours, "cpu"), back(x, rows), rtol=1e-12)


def test_an_index_may_be_a_scalar_on_the_device(device):
    x = np.arange(6.0).reshape(2, 3)
    there, one = mg.to_device((x, np.array(1)), device)
    assert float(mg.sum(mg.jit(lambda x: x[one, None])(there))) == 12


def test_a_program_of_constants_runs_on_the_device(device):
    key = mg.to_device(mg.random.key(0), device)
    draw = mg.jit(lambda: mg.random.normal(key, (3,)))
    assert mg.device_of(draw()) == device
    assert np.array_equal(mg.to_device(draw(), "cpu"), mg.random.normal(mg.random.key(0), (3,)))


def test_singular_matrices_raise(device):
    for f in (mg.inv, lambda a: mg.solve(a, a), lambda a: mg.cholesky(-a - 1)):
        with pytest.raises(np.linalg.LinAlgError):
            f(mg.to_device(np.zeros((2, 2)), device))


def test_the_stand_in_is_the_registered_backend(device):
    assert device != "stand-in" or stand_in.BACKEND is backends.get(device)
