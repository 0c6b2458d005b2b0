"""vae/training.py: a run that stops and resumes ends as one that never stopped; checkpoints that do not fit raise."""

import dataclasses
import os
import shutil

import pytest

from tests.support.vae import truth
from tests.support.vae.training_runs import CONFIGS, DATA, EVERY_CONFIG, STEPS, read_outcome
from vae import checkpoints, training
from vae.data import Dataset
from vae.errors import CheckpointError, TrainingError, UserError
from vae.runs import CHECKPOINT, CONFIG, METRICS, load_config, load_state
from vae.training import train

# Stopping and resuming


@EVERY_CONFIG
def test_a_run_stopped_between_epochs_resumes_bit_for_bit(tmp_path, name, uninterrupted, resume_run, train_run):
    if CONFIGS[name].schedule == "cosine":  # it ends with the last epoch, which must stay the same

        def stop(record):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train_run(CONFIGS[name], tmp_path, on_epoch=stop)
        resume_run(tmp_path)
    else:
        train_run(dataclasses.replace(CONFIGS[name], epochs=1), tmp_path)
        resume_run(tmp_path, epochs=2)
    assert read_outcome(tmp_path) == uninterrupted[name]


def interrupt(train_run, out, config, at: int) -> None:
    """Trains until Ctrl-C comes right after step number `at`, counted over all epochs from 1."""
    left = [at]

    def on_step(state, steps, loss):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_run(config, out, on_step=on_step)


STOPS = [  # after every step of one configuration; what others save differs, but not in which step
    pytest.param(name, at, marks=[pytest.mark.large] if at > STEPS + 1 else [])
    for name in CONFIGS
    for at in (range(1, 2 * STEPS + 1) if name == "mlp" else (1, STEPS, STEPS + 3))
]


@pytest.mark.parametrize(("name", "at"), STOPS)
def test_a_run_stopped_after_any_step_resumes_bit_for_bit(tmp_path, name, at, uninterrupted, resume_run, train_run):
    interrupt(train_run, tmp_path, CONFIGS[name], at)
    _, record = checkpoints.load(tmp_path / CHECKPOINT)
    assert (record["epoch"], record["step"]) == ((at - 1) // STEPS, (at - 1) % STEPS + 1)
    assert len((tmp_path / METRICS).read_text().splitlines()) == record["epoch"]
    resume_run(tmp_path)
    assert read_outcome(tmp_path) == uninterrupted[name]


@pytest.mark.parametrize("where", ["step", "mean_elbo", "profile_log_sigma", "save_checkpoint", "on_epoch", "again"])
def test_a_run_stopped_anywhere_resumes_bit_for_bit(
    tmp_path, monkeypatch, where, uninterrupted, backend, make_trainer, resume_run
):
    """In the middle of a step, an evaluation or a write; or a second time while the first Ctrl-C is handled."""
    if where == "step" and backend.recorder:
        pytest.skip("a recorded step cannot be interrupted halfway")
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
        elif where in ("save_checkpoint", "again"):  # the second write, and the write after Ctrl-C
            times = {2} if where == "save_checkpoint" else {2, 3}
            patch.setattr(checkpoints, "save", interrupted(checkpoints.save, times))
        with pytest.raises(KeyboardInterrupt):
            train(trainer, DATA, tmp_path, on_epoch=on_epoch)
    assert calls
    resume_run(tmp_path)
    assert read_outcome(tmp_path) == uninterrupted["profiled"]


def test_a_run_stopped_after_every_step_resumes_bit_for_bit(tmp_path, uninterrupted, load_trainer, train_run):
    interrupt(train_run, tmp_path, CONFIGS["mlp"], 1)
    for _ in range(2 * STEPS):
        trainer = load_trainer(tmp_path)

        def stop(state, steps, loss):
            raise KeyboardInterrupt

        try:
            train(trainer, DATA, tmp_path, load_state(trainer, tmp_path), on_step=stop)
        except KeyboardInterrupt:
            continue
    assert read_outcome(tmp_path) == uninterrupted["mlp"]


def test_resuming_a_finished_run_changes_nothing(tmp_path, uninterrupted, resume_run, train_run):
    train_run(CONFIGS["mlp"], tmp_path)
    resume_run(tmp_path)
    assert read_outcome(tmp_path) == uninterrupted["mlp"]


def test_a_run_does_not_resume_with_other_images(tmp_path, resume_run, train_run):
    """With other pixels in the same shapes, one epoch's order and mean would mix two sets of images."""
    interrupt(train_run, tmp_path, CONFIGS["mlp"], 6)
    before = read_outcome(tmp_path)
    for other in (
        truth.small_data(seed=1),
        truth.small_data(train=60),
        Dataset("other test", DATA.train, DATA.test[::-1]),
    ):
        with pytest.raises(TrainingError, match="these are not the images of the run"):
            resume_run(tmp_path, other)
    assert read_outcome(tmp_path) == before


# Nothing is lost


def test_a_failed_write_keeps_the_last_checkpoint(tmp_path, monkeypatch, uninterrupted, resume_run, train_run):
    train_run(dataclasses.replace(CONFIGS["mlp"], epochs=1), tmp_path)
    before, writes, real = read_outcome(tmp_path), [], os.replace

    def fail_when_full(source, target):
        writes.append(target)
        if len(writes) > 3:  # resuming writes three files first
            raise OSError(28, "No space left on device")
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail_when_full)
        with pytest.raises(UserError, match=r"cannot write .*: No space left on device"):
            resume_run(tmp_path, epochs=2)
    assert read_outcome(tmp_path)[:1] == before[:1]
    assert len(list(tmp_path.iterdir())) == 3
    resume_run(tmp_path, epochs=2)
    assert read_outcome(tmp_path) == uninterrupted["mlp"]


# Checkpoints that do not fit


def rewrite(out, change) -> None:
    """Saves the checkpoint again with a changed record."""
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
def test_a_record_that_does_not_fit_is_refused(tmp_path, change, said, load_trainer, train_run):
    train_run(dataclasses.replace(CONFIGS["mlp"], epochs=1), tmp_path)
    rewrite(tmp_path, change)
    with pytest.raises(CheckpointError, match=said):
        load_state(load_trainer(tmp_path), tmp_path)


def test_a_run_resumes_from_its_checkpoint_alone(tmp_path, uninterrupted, resume_run, train_run):
    """config.json and metrics.jsonl are for people; both are written again from the checkpoint."""
    train_run(dataclasses.replace(CONFIGS["mlp"], epochs=1), tmp_path)
    (tmp_path / CONFIG).unlink()
    (tmp_path / METRICS).write_text("{half a li")
    resume_run(tmp_path, epochs=2)
    assert read_outcome(tmp_path) == uninterrupted["mlp"]


# Older runs


@pytest.mark.parametrize("name", ["mlp", "weighted", "profiled"])
def test_a_run_saved_before_there_were_some_settings_goes_on(tmp_path, name, resume_run, train_run):
    """A record as it was written then: one width, one limit, one shard, and none of the settings in `config.LATER`."""
    config = dataclasses.replace(CONFIGS[name], epochs=1, shards=1)
    train_run(config, tmp_path)
    resumed = tmp_path / "new"
    shutil.copytree(tmp_path, resumed)

    def make_old(record):
        old = record["config"]
        for setting in (*NEW_SETTINGS, "shards"):
            del old[setting]
        (old["hidden"],) = old["hidden"]
        if old["clamp"] is not None:
            (old["clamp"],) = old["clamp"]

    rewrite(tmp_path, make_old)
    assert load_config(tmp_path) == (config, (4, 4, 1))
    for out in (tmp_path, resumed):
        resume_run(out, epochs=2)
    assert read_outcome(tmp_path) == read_outcome(resumed)


NEW_SETTINGS = (
    *("valid_size", "binarise", "features", "activation", "output_bias", "objective", "samples", "warm_up", "keep"),
    *("weight_decay", "schedule", "final_rate", "milestones", "decay", "clip", "average", "patience"),
)
