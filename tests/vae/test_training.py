"""vae/training.py: the same numbers however often a run stops, each image once an epoch, and nothing lost."""

import dataclasses
import json
import math
import os
import tracemalloc
from functools import partial

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import tree
from tests.support.oracles import assert_close, rounding
from tests.support.vae import truth
from vae import checkpoints, evaluation, training
from vae.autoencoder import Autoencoder
from vae.config import Config
from vae.data import Dataset, digests
from vae.errors import CheckpointError, TrainingError, UserError
from vae.objectives import elbo
from vae.runs import CHECKPOINT, CONFIG, METRICS, load_state
from vae.trainer import TEST, State, make_key
from vae.training import train

DATA = truth.small_data()  # 50 + 20 images: with batches of 16, three whole ones and one of two
STEPS = 4
CONFIGS = {
    "mlp": Config(latent=2, hidden=8, epochs=2, batch=16),
    "conv-sgd": Config(model="conv", latent=2, epochs=2, batch=16, optimiser="sgd", form="sampled"),
    "profiled": Config(latent=2, hidden=8, epochs=2, batch=16, decoder="gaussian", sigma="profiled"),
    "learned": Config(latent=2, hidden=8, epochs=2, batch=16, decoder="laplace", sigma="learned"),
    "weighed": Config(latent=2, hidden=8, epochs=2, batch=16, reduction="mean", beta=0.1, clamp=3.0),
}
EVERY_CONFIG = pytest.mark.parametrize("name", CONFIGS)


@pytest.fixture(scope="module")
def run(make_trainer):
    """Trains a configuration in a folder; the state it ends with, its parameters on the host."""

    def call(config: Config, out, data: Dataset = DATA, **more) -> State:
        out.mkdir(exist_ok=True)
        state = train(make_trainer(config, data.train.shape[1:]), data, out, **more)
        return state._replace(parameters=mg.to_device(state.parameters, "cpu"))

    return call


@pytest.fixture(scope="module")
def resume(load_trainer, make_trainer):
    """Goes on with the run in a folder, with some settings changed."""

    def call(out, data: Dataset = DATA, **changes) -> State:
        trainer = load_trainer(out)
        trainer = make_trainer(dataclasses.replace(trainer.config, **changes), trainer.model.image_shape)
        return train(trainer, data, out, load_state(trainer, out))

    return call


def timeless(value):
    """Without seconds, which are nobody's to repeat."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k != "seconds"}
    return [timeless(v) for v in value] if isinstance(value, list) else value


def outcome(out) -> tuple:
    """Everything a run leaves, as bytes and plain values."""
    arrays, record = checkpoints.load(out / CHECKPOINT)
    bits = {name: (x.dtype.str, x.shape, x.tobytes()) for name, x in arrays.items()}
    lines = [timeless(json.loads(line)) for line in (out / METRICS).read_text().splitlines()]
    return bits, timeless(record), lines, json.loads((out / CONFIG).read_text())


@pytest.fixture(scope="module")
def whole(tmp_path_factory, run):
    """The outcome of each configuration trained in one go."""
    found = {}
    for name, config in CONFIGS.items():
        out = tmp_path_factory.mktemp("whole") / name
        run(config, out)
        found[name] = outcome(out)
    return found


# What a run leaves


@EVERY_CONFIG
def test_files_of_a_run(tmp_path, name, run):
    state = run(CONFIGS[name], tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([CHECKPOINT, CONFIG, METRICS])
    assert json.loads((tmp_path / CONFIG).read_text()) == CONFIGS[name].to_dict()
    records = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    assert [set(r) for r in records] == [{"epoch", "train_elbo", "test_elbo", "seconds"}] * 2
    assert [r["epoch"] for r in records] == [1, 2]
    assert records == list(state.history)
    assert all(r["seconds"] >= 0 for r in records)
    arrays, record = checkpoints.load(tmp_path / CHECKPOINT)
    assert {n.split(".")[0] for n in arrays} == {"parameters", "optimiser", "trained"}
    assert np.array_equal(arrays["trained"], np.unique(digests(DATA.train)))
    for leaf_name, leaf in zip(
        tree.names({"parameters": state.parameters}), tree.flatten(state.parameters)[0], strict=True
    ):
        assert np.array_equal(arrays[leaf_name], leaf)
        assert arrays[leaf_name].dtype == np.float32
    assert (record["epoch"], record["step"], record["image_shape"]) == (2, 0, [4, 4, 1])
    assert ("parameters.log_sigma" in arrays) == (name == "learned")
    assert (record["log_sigma"] is not None) == (name == "profiled")


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(tmp_path, whole, run):
    run(CONFIGS["mlp"], tmp_path / "again")
    assert outcome(tmp_path / "again") == whole["mlp"]
    run(dataclasses.replace(CONFIGS["mlp"], seed=1), tmp_path / "other")
    bits, _, lines, _ = outcome(tmp_path / "other")
    assert all(bits[n] != whole["mlp"][0][n] for n in bits if n.startswith("parameters"))
    assert lines[0]["train_elbo"] != whole["mlp"][2][0]["train_elbo"]


@EVERY_CONFIG
def test_training_helps(name, tmp_path, run):
    """Images that are all alike: a few epochs later the test ELBO is higher."""
    one = np.tile(np.linspace(0.1, 0.9, 16, dtype=np.float32).reshape(1, 4, 4, 1), (50, 1, 1, 1))
    config = dataclasses.replace(CONFIGS[name], epochs=8, learning_rate=0.01 if name != "conv-sgd" else 1e-3)
    history = run(config, tmp_path, Dataset("alike", one, one[:20])).history
    assert history[-1]["test_elbo"] > history[0]["test_elbo"]


# One epoch, step by step


def spying(trainer, seen: list):
    """The trainer, noting images and noise of each step; on the host, where steps are not captured whole."""

    def step(parameters, state, y, noise):
        seen.append((y.copy(), noise.copy()))
        return trainer.step(parameters, state, y, noise)

    return trainer._replace(step=step)


def test_every_image_is_seen_once_an_epoch_in_another_order_with_other_noise(tmp_path, make_trainer):
    seen = []
    train(spying(make_trainer(CONFIGS["mlp"], (4, 4, 1), "cpu"), seen), DATA, tmp_path)
    assert [len(y) for y, _ in seen] == [16, 16, 16, 2] * 2
    orders = []
    for epoch in (seen[:STEPS], seen[STEPS:]):
        images = np.concatenate([y for y, _ in epoch])
        rows = [int(np.flatnonzero((DATA.train == image).all(axis=(1, 2, 3)))[0]) for image in images]
        assert sorted(rows) == list(range(50))
        orders.append(rows)
    assert orders[0] != orders[1]
    assert list(range(50)) not in orders
    noise = np.concatenate([e.ravel() for _, e in seen])
    assert noise.size == len(np.unique(noise)) == 2 * 50 * 2
    assert abs(noise.mean()) <= 5 / math.sqrt(noise.size)
    assert abs(noise.var() - 1) <= 5 * math.sqrt(2 / noise.size)


def test_noise_does_not_depend_on_the_batch(tmp_path, make_trainer):
    """ε is drawn by position in the epoch, so a batch twice as large gets the same numbers."""
    noise = []
    for batch in (8, 16):
        seen, config = [], dataclasses.replace(CONFIGS["mlp"], batch=batch, epochs=1)
        (tmp_path / str(batch)).mkdir()
        train(spying(make_trainer(config, (4, 4, 1), "cpu"), seen), DATA, tmp_path / str(batch))
        noise.append(np.concatenate([e for _, e in seen]))
    assert np.array_equal(*noise)


def test_the_loss_is_the_mean_over_images_of_minus_the_elbo(tmp_path, make_trainer):
    """And one step of SGD without momentum is α times the complex-step gradient of just that."""
    config = dataclasses.replace(CONFIGS["mlp"], optimiser="sgd", momentum=0.0, learning_rate=0.5)
    trainer, likelihood = make_trainer(config, (4, 4, 1), "cpu"), config.make_likelihood()
    state, begun = trainer.initial(), trainer.initial()
    y, noise = DATA.train[:5], np.random.default_rng(0).standard_normal((5, 2), np.float32)
    loss, after, _ = trainer.step(begun.parameters, begun.optimiser, y, noise)
    wide = tree.map(lambda x: x.astype(np.float64), (state.parameters, y, noise))
    assert_close(loss, -np.mean(truth.elbo("mlp", likelihood, *wide, "closed")), rounding(np.float32))
    random = np.random.default_rng(1)
    for _ in range(3):
        direction = truth.like(wide[0], random)
        stepped = truth.elbo("mlp", likelihood, truth.along(wide[0], direction), *wide[1:], "closed")
        slope = -np.mean(np.imag(stepped)) / 1e-20
        parts = zip(*(tree.flatten(t)[0] for t in (state.parameters, after, direction)), strict=True)
        moved = sum(np.sum((a.astype(np.float64) - b) * d) for b, a, d in parts)
        size = math.sqrt(sum(d.size for d in tree.flatten(direction)[0]))  # roundings of as many signed terms
        assert_close(moved, -0.5 * slope, rounding(np.float32) * size)


def test_reported_is_the_elbo_whatever_the_loss(tmp_path, run):
    """Before anything moves, a loss with other weights reports the same nats."""
    found = []
    for name, more in (("plain", {}), ("weighed", {"reduction": "mean", "beta": 40.0})):
        config = dataclasses.replace(CONFIGS["mlp"], epochs=1, learning_rate=1e-12, **more)
        (tmp_path / name).mkdir()
        found.append(run(config, tmp_path / name).history[0])
    plain, weighed = ((r["train_elbo"], r["test_elbo"]) for r in found)
    assert_close(weighed, plain, rounding(np.float32))


def test_a_batch_beyond_all_images_takes_no_more_memory_than_they(tmp_path, run):
    """10⁸ row numbers would be 0.8 GB; the run is that of a batch of all images."""
    config = dataclasses.replace(CONFIGS["mlp"], batch=len(DATA.train))
    whole = run(config, tmp_path / "whole")
    tracemalloc.start()
    try:
        beyond = run(dataclasses.replace(config, batch=10**8), tmp_path / "beyond")
        assert tracemalloc.get_traced_memory()[1] < 2e8
    finally:
        tracemalloc.stop()
    assert timeless(list(beyond.history)) == timeless(list(whole.history))
    for a, b in zip(tree.flatten(beyond.parameters)[0], tree.flatten(whole.parameters)[0], strict=True):
        np.testing.assert_array_equal(a, b)


def test_train_elbo_averages_images_not_batches(tmp_path, monkeypatch, run):
    """The last batch has 2 images and counts 2/50."""
    monkeypatch.setattr(training, "LOOK", 1)  # at every loss, on a device too
    losses = []
    state = run(CONFIGS["mlp"], tmp_path, on_step=lambda state, steps, loss: losses.append(loss))
    assert len(losses) == 2 * STEPS
    for epoch in range(2):
        of_epoch = losses[epoch * STEPS : (epoch + 1) * STEPS]
        expected = -np.average(of_epoch, weights=[16, 16, 16, 2])
        assert_close(state.history[epoch]["train_elbo"], expected)


def test_a_loss_is_told_from_the_first_step_on(tmp_path, run):
    """On a device not every loss is looked at; what is told is the last one that was."""
    losses = []
    run(CONFIGS["mlp"], tmp_path, on_step=lambda state, steps, loss: losses.append(loss))
    assert len(losses) == 2 * STEPS and np.isfinite(losses).all()


def test_test_elbo_is_that_of_the_whole_test_set_after_the_epoch(tmp_path, monkeypatch, run):
    monkeypatch.setattr(
        training, "mean_elbo", partial(evaluation.mean_elbo, size=7)
    )  # 20 images in pieces of 7, 7 and 6
    config = dataclasses.replace(CONFIGS["mlp"], epochs=1)
    state = run(config, tmp_path)
    key = make_key(config, TEST, 0)
    noise = mg.random.normal(key, (20, 2))
    wide = tree.map(lambda x: np.asarray(x, np.float64), (state.parameters, DATA.test, noise))
    expected = np.mean(truth.elbo("mlp", config.make_likelihood(), *wide, "closed"))
    assert_close(state.history[0]["test_elbo"], expected, rounding(np.float32))


def test_a_profiled_sigma_is_not_profiled_on_test_images(tmp_path, make_trainer, run):
    """It is the optimum for training images, and what test images are measured with: other test images, the same σ."""
    config = dataclasses.replace(CONFIGS["profiled"], epochs=1)
    a = run(config, tmp_path / "a")
    b = run(config, tmp_path / "b", Dataset("b", DATA.train, DATA.test**3))
    assert a.log_sigma == b.log_sigma
    trained = make_trainer(config, (4, 4, 1)).autoencoder(a.parameters)
    best = evaluation.profile_log_sigma(trained, DATA.train, mg.random.key(0))
    assert abs(a.log_sigma - best) < 0.05  # another ε


def test_a_profiled_sigma_is_not_that_of_the_first_class(tmp_path, run):
    """4000 images sorted by class, grey then black or white: a prefix of 2000 knows nothing of the second half."""
    half = np.full((2000, 4, 4, 1), 0.5, np.float32)
    noisy = (np.random.default_rng(0).random((2000, 4, 4, 1)) < 0.5).astype(np.float32)
    data = Dataset("sorted", np.concatenate([half, noisy]), half[:2])
    config = dataclasses.replace(CONFIGS["profiled"], epochs=1, batch=4000, learning_rate=1e-6)
    state = run(config, tmp_path, data)
    # the untrained decoder stays near ½: (y−ŷ)² is about 0 in one half and about ¼ in the other
    assert abs(math.exp(2 * state.log_sigma) - 1 / 8) < 0.02


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
@pytest.mark.parametrize("at", range(1, 2 * STEPS + 1))
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
        with pytest.raises(TrainingError, match="these are not the images the run began with"):
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


def spoilt(trainer, at: int, spoil):
    """The trainer whose step number `at` (from 1) gives spoil(loss, parameters, state)."""
    count = [0]

    def step(parameters, state, y, noise):
        count[0] += 1
        found = trainer.step(parameters, state, y, noise)
        return spoil(*found) if count[0] == at else found

    return trainer._replace(step=step)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_stops_training(tmp_path, value, make_trainer):
    trainer = spoilt(make_trainer(CONFIGS["mlp"], (4, 4, 1), "cpu"), 6, lambda loss, p, s: (np.float32(value), p, s))
    with pytest.raises(TrainingError, match=f"the loss became {value} in epoch 2, batch 2: .*last checkpoint is kept"):
        train(trainer, DATA, tmp_path)
    _, record = checkpoints.load(tmp_path / CHECKPOINT)
    assert (record["epoch"], record["step"]) == (1, 0)
    assert len((tmp_path / METRICS).read_text().splitlines()) == 1


def test_the_operation_that_made_the_nan_is_named(tmp_path, load_trainer, run):
    """A learning rate of 1e6 blows the numbers up; the sentence says where, and is one sentence."""
    config = dataclasses.replace(CONFIGS["mlp"], learning_rate=1e6)
    with pytest.raises(TrainingError) as caught:
        run(config, tmp_path)
    said = str(caught.value)
    assert "the loss became" in said
    assert "in epoch 1, batch " in said
    assert "the first NaN arose in the" in said
    assert "/vae/" in said
    assert "\n" not in said
    state = load_state(load_trainer(tmp_path), tmp_path)
    assert all(np.isfinite(leaf).all() for leaf in tree.flatten(state.parameters)[0])


def with_hidden_nan(trainer, at: int):
    """A loss with 0·√(0·w) in it from step `at` on: finite, with a gradient of 0·∞ = NaN."""
    model, likelihood = trainer.model, trainer.likelihood
    optimiser = trainer.config.make_optimiser()

    def step(parameters, state, y, noise):
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
def test_a_nan_of_the_backward_pass_is_traced_to_where_it_arose(tmp_path, at, said, make_trainer):
    """Its loss is finite; the next one is not, or there is none before parameters are measured and saved."""
    trainer = with_hidden_nan(make_trainer(CONFIGS["mlp"], (4, 4, 1), "cpu"), at)
    with pytest.raises(TrainingError, match=said):
        train(trainer, DATA, tmp_path)
    arrays, record = checkpoints.load(tmp_path / CHECKPOINT)
    assert (record["epoch"], record["step"]) == (0, 0)
    assert all(np.isfinite(x).all() for x in arrays.values())


def test_ctrl_c_does_not_save_parameters_that_are_no_numbers(tmp_path, make_trainer):
    trainer = with_hidden_nan(make_trainer(CONFIGS["mlp"], (4, 4, 1), "cpu"), 2)

    def on_step(state, steps, loss):
        if state.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(trainer, DATA, tmp_path, on_step=on_step)
    arrays, _ = checkpoints.load(tmp_path / CHECKPOINT)
    assert all(np.isfinite(x).all() for x in arrays.values())


def test_a_test_elbo_that_is_no_number_stops_training(tmp_path, monkeypatch, run):
    """JSON has no NaN, and a run that cannot be measured has gone wrong."""
    monkeypatch.setattr(training, "mean_elbo", lambda *args: -math.inf)
    with pytest.raises(TrainingError, match="the test ELBO became -inf after epoch 1; lower the learning rate"):
        run(CONFIGS["mlp"], tmp_path)
    assert (tmp_path / METRICS).read_text() == ""
    assert checkpoints.load(tmp_path / CHECKPOINT)[1]["epoch"] == 0


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
        (lambda r: r["config"].update(hidden=9), "is of another model: .*'parameters.encoder.hidden.0.w'"),
        (lambda r: r["config"].update(latent=3), "is of another model"),
        (lambda r: r["config"].update(optimiser="sgd"), "is of another model: 'optimiser.velocity"),
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
