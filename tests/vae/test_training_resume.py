"""vae/training.py: a run that stops and resumes ends as one that never stopped; checkpoints that do not fit raise."""

import dataclasses
import os

import pytest

from tests.support.vae import truth
from tests.support.vae.training_runs import CONFIGS, DATA, EVERY_CONFIG, STEPS, outcome
from vae import checkpoints, training
from vae.data import Dataset
from vae.errors import CheckpointError, TrainingError, UserError
from vae.runs import CHECKPOINT, CONFIG, METRICS, load_state
from vae.training import train

# Stopping and going on


@EVERY_CONFIG
def test_a_run_stopped_between_epochs_goes_on_bit_for_bit(tmp_path, name, whole, resume, run):
    run(dataclasses.replace(CONFIGS[name], epochs=1), tmp_path)
    resume(tmp_path, epochs=2)
    assert outcome(tmp_path) == whole[name]


def interrupt(run, out, config, at: int) -> None:
    """Ctrl-C right after step number `at` of the whole run."""
    left = [at]

    def on_step(state, steps, loss):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, out, on_step=on_step)


@EVERY_CONFIG
@pytest.mark.parametrize(
    "at", [*range(1, STEPS + 2), *(pytest.param(at, marks=pytest.mark.large) for at in range(STEPS + 2, 2 * STEPS + 1))]
)
def test_ctrl_c_after_any_step_goes_on_bit_for_bit(tmp_path, name, at, whole, resume, run):
    interrupt(run, tmp_path, CONFIGS[name], at)
    _, record = checkpoints.load(tmp_path / CHECKPOINT)
    assert (record["epoch"], record["step"]) == ((at - 1) // STEPS, (at - 1) % STEPS + 1)
    assert len((tmp_path / METRICS).read_text().splitlines()) == record["epoch"]
    resume(tmp_path)
    assert outcome(tmp_path) == whole[name]


@pytest.mark.parametrize("where", ["step", "mean_elbo", "profile_log_sigma", "save_checkpoint", "on_epoch", "again"])
def test_ctrl_c_anywhere_goes_on_bit_for_bit(tmp_path, monkeypatch, where, whole, backend, make_trainer, resume):
    """In the middle of a step, a measurement or a write; and a second time while the first one is dealt with."""
    if where == "step" and backend.recorder:
        pytest.skip("a recorded step has no middle")
    config, calls = CONFIGS["profiled"], []
    trainer = make_trainer(config, (4, 4, 1))

    def interrupted(function, times):
        def wrapped(*args, **kwargs):
            calls.append(where)
            if len(calls) in times:
                raise KeyboardInterrupt
            return function(*args, **kwargs)

        return wrapped

    with monkeypatch.context() as patch:
        on_epoch = interrupted(lambda record: None, {1}) if where == "on_epoch" else (lambda record: None)
        if where == "step":
            trainer = trainer._replace(step=interrupted(trainer.step, {6}))
        elif where in ("mean_elbo", "profile_log_sigma"):
            patch.setattr(training, where, interrupted(getattr(training, where), {1}))
        elif where in ("save_checkpoint", "again"):  # the second write, and the one that Ctrl-C asks for
            times = {2} if where == "save_checkpoint" else {2, 3}
            patch.setattr(checkpoints, "save", interrupted(checkpoints.save, times))
        with pytest.raises(KeyboardInterrupt):
            train(trainer, DATA, tmp_path, on_epoch=on_epoch)
    assert calls
    resume(tmp_path)
    assert outcome(tmp_path) == whole["profiled"]


def test_going_on_again_and_again(tmp_path, whole, load_trainer, run):
    """Stopped after every single step."""
    interrupt(run, tmp_path, CONFIGS["mlp"], 1)
    for _ in range(2 * STEPS):
        trainer = load_trainer(tmp_path)

        def stop(state, steps, loss):
            raise KeyboardInterrupt

        try:
            train(trainer, DATA, tmp_path, load_state(trainer, tmp_path), on_step=stop)
        except KeyboardInterrupt:
            continue
    assert outcome(tmp_path) == whole["mlp"]


def test_a_finished_run_goes_on_to_nothing(tmp_path, whole, resume, run):
    run(CONFIGS["mlp"], tmp_path)
    resume(tmp_path)
    assert outcome(tmp_path) == whole["mlp"]


def test_other_images_do_not_go_on(tmp_path, resume, run):
    """Same shapes, other pixels: an order and a mean over other images than those of the epochs before."""
    interrupt(run, tmp_path, CONFIGS["mlp"], 6)
    before = outcome(tmp_path)
    for other in (
        truth.small_data(seed=1),
        truth.small_data(train=60),
        Dataset("other test", DATA.train, DATA.test[::-1]),
    ):
        with pytest.raises(TrainingError, match="these are not the images of the run"):
            resume(tmp_path, other)
    assert outcome(tmp_path) == before


# Nothing lost


def test_a_write_that_fails_leaves_the_last_checkpoint(tmp_path, monkeypatch, whole, resume, run):
    run(dataclasses.replace(CONFIGS["mlp"], epochs=1), tmp_path)
    before, writes, real = outcome(tmp_path), [], os.replace

    def full(source, target):
        writes.append(target)
        if len(writes) > 3:  # the three files that are written when it goes on
            raise OSError(28, "No space left on device")
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(UserError, match=r"cannot write .*: No space left on device"):
            resume(tmp_path, epochs=2)
    assert outcome(tmp_path)[:1] == before[:1]
    assert len(list(tmp_path.iterdir())) == 3
    resume(tmp_path, epochs=2)
    assert outcome(tmp_path) == whole["mlp"]


# Checkpoints that do not fit


def rewrite(out, change) -> None:
    """Save the checkpoint anew with a changed record."""
    arrays, record = checkpoints.load(out / CHECKPOINT)
    change(record)
    nested = {}
    for name, x in arrays.items():
        top, _, rest = name.partition(".")
        nested.setdefault(top, {})[rest] = x
    nested["trained"] = nested["trained"][""]
    checkpoints.save(out / CHECKPOINT, nested, record)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r["config"].update(hidden=9), "belongs to another model: .*'parameters.encoder.hidden.0.w'"),
        (lambda r: r["config"].update(latent=3), "belongs to another model"),
        (lambda r: r["config"].update(optimiser="sgd"), "belongs to another model: 'optimiser.velocity"),
        (lambda r: r["config"].update(model="gan"), "has no valid configuration: unknown model 'gan'"),
        (lambda r: r["config"].update(learning_rate="fast"), "has no valid configuration"),
        (lambda r: r["config"].pop("seed"), "has no valid configuration: a configuration must have the settings"),
        (lambda r: r.pop("config"), "has no valid configuration"),
        (lambda r: r.update(image_shape=[4, 4]), "has no valid configuration: a model needs images"),
        (lambda r: r.pop("step"), "lacks part of the training state"),
        (lambda r: r.update(history=None), "lacks part of the training state"),
    ],
)
def test_records_that_do_not_fit(tmp_path, change, said, load_trainer, run):
    run(dataclasses.replace(CONFIGS["mlp"], epochs=1), tmp_path)
    rewrite(tmp_path, change)
    with pytest.raises(CheckpointError, match=said):
        load_state(load_trainer(tmp_path), tmp_path)


def test_a_run_goes_on_from_its_checkpoint_alone(tmp_path, whole, resume, run):
    """Config and metrics are for people; they are written again from the checkpoint."""
    run(dataclasses.replace(CONFIGS["mlp"], epochs=1), tmp_path)
    (tmp_path / CONFIG).unlink()
    (tmp_path / METRICS).write_text("{half a li")
    resume(tmp_path, epochs=2)
    assert outcome(tmp_path) == whole["mlp"]
