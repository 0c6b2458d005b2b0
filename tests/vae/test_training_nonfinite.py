"""vae/training.py: a loss, parameters or a test ELBO that are infinite or NaN stop training, and are never saved."""

import dataclasses
import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import tree
from tests.support.vae.training_runs import CONFIGS, DATA, STEPS
from vae import checkpoints, training
from vae.autoencoder import Autoencoder
from vae.errors import TrainingError
from vae.objectives import elbo
from vae.runs import CHECKPOINT, METRICS, load_state
from vae.training import train


def change_step(trainer, at: int, change):
    """The trainer whose step number `at` (from 1) returns change(loss, parameters, state)."""
    count = [0]

    def step(parameters, state, y, noise, time):
        count[0] += 1
        found = trainer.step(parameters, state, y, noise, time)
        return change(*found) if count[0] == at else found

    return trainer._replace(step=step)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_nonfinite_loss_stops_training(tmp_path, value, make_trainer):
    trainer = change_step(
        make_trainer(CONFIGS["mlp"], (4, 4, 1), "cpu"), 6, lambda loss, p, s: (np.float32(value), p, s)
    )
    with pytest.raises(TrainingError, match=f"the loss became {value} in epoch 2, batch 2: .*last checkpoint is kept"):
        train(trainer, DATA, tmp_path)
    _, record = checkpoints.load(tmp_path / CHECKPOINT)
    assert (record["epoch"], record["step"]) == (1, 0)
    assert len((tmp_path / METRICS).read_text().splitlines()) == 1


def test_the_operation_that_made_the_nan_is_named(tmp_path, load_trainer, train_run):
    """A learning rate of 1e6 makes the numbers overflow; one sentence says where."""
    config = dataclasses.replace(CONFIGS["mlp"], learning_rate=1e6)
    with pytest.raises(TrainingError) as caught:
        train_run(config, tmp_path)
    said = str(caught.value)
    assert "the loss became" in said
    assert "in epoch 1, batch " in said
    assert "the first NaN arose in the" in said
    assert "/vae/" in said
    assert "\n" not in said
    state = load_state(load_trainer(tmp_path), tmp_path)
    assert all(np.isfinite(leaf).all() for leaf in tree.flatten(state.parameters)[0])


def plant_hidden_nan(trainer, at: int):
    """The trainer whose loss contains 0·√(0·w) from step `at` on: it is finite, its gradient is 0·∞ = NaN."""
    model, likelihood = trainer.model, trainer.likelihood
    optimiser = trainer.config.make_optimiser()

    def step(parameters, state, y, noise, time):
        trap = state.step + 1 >= at

        def loss(p):
            bad = mg.sum(mg.sqrt(0 * p.encoder.mean.b)) if trap else 0.0
            return -mg.mean(elbo(Autoencoder(model, likelihood, p), y, noise)) + 0 * bad

        value, gradients = mg.value_and_grad(loss)(parameters)
        return value, *optimiser.update(parameters, gradients, state)

    return trainer._replace(step=step)


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (2, "the loss became nan in epoch 1, batch 3: .* backward pass of 'sqrt' .*, one batch earlier"),
        (STEPS, "parameters became infinite or NaN in epoch 1, batch 4: .* backward pass of 'sqrt'"),
    ],
)
def test_a_nan_of_the_backward_pass_is_traced_to_its_operation(tmp_path, at, said, make_trainer):
    """That step's loss is finite. The NaN shows in the next loss or, after an epoch's last step, in the parameters."""
    trainer = plant_hidden_nan(make_trainer(CONFIGS["mlp"], (4, 4, 1), "cpu"), at)
    with pytest.raises(TrainingError, match=said):
        train(trainer, DATA, tmp_path)
    arrays, record = checkpoints.load(tmp_path / CHECKPOINT)
    assert (record["epoch"], record["step"]) == (0, 0)
    assert all(np.isfinite(x).all() for x in arrays.values())


def test_ctrl_c_does_not_save_nonfinite_parameters(tmp_path, make_trainer):
    trainer = plant_hidden_nan(make_trainer(CONFIGS["mlp"], (4, 4, 1), "cpu"), 2)

    def on_step(state, steps, loss):
        if state.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(trainer, DATA, tmp_path, on_step=on_step)
    arrays, _ = checkpoints.load(tmp_path / CHECKPOINT)
    assert all(np.isfinite(x).all() for x in arrays.values())


def test_a_nonfinite_test_elbo_stops_training(tmp_path, monkeypatch, train_run):
    """A run that cannot be evaluated has diverged, and JSON has no infinity."""
    monkeypatch.setattr(training, "mean_elbo", lambda *args: -math.inf)
    with pytest.raises(TrainingError, match="the test ELBO became -inf after epoch 1; lower the learning rate"):
        train_run(CONFIGS["mlp"], tmp_path)
    assert (tmp_path / METRICS).read_text() == ""
    assert checkpoints.load(tmp_path / CHECKPOINT)[1]["epoch"] == 0
