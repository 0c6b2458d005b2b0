"""vae/training.py: what a run writes, what each step computes, and what is reported."""

import dataclasses
import json
import math
import tracemalloc
from functools import partial

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import minigrad as mg
from minigrad.core import tree
from tests.support.oracles import assert_close, rounding
from tests.support.vae import truth
from tests.support.vae.training_runs import CONFIGS, DATA, EVERY_CONFIG, STEPS, VALIDATED, drop_seconds, read_outcome
from vae import checkpoints, evaluation, training
from vae.config import Config
from vae.data import DataError, Dataset, digests
from vae.errors import UserError
from vae.estimators import bound_and_gradient
from vae.importance import BLOCK, block_key
from vae.objectives import Weights
from vae.runs import CHECKPOINT, CONFIG, METRICS, load_state
from vae.trainer import TEST, make_key
from vae.training import train
from vae.validation import best_epoch

# What a run writes


@EVERY_CONFIG
def test_a_run_writes_its_files(tmp_path, name, train_run):
    state = train_run(CONFIGS[name], tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([CHECKPOINT, CONFIG, METRICS])
    assert json.loads((tmp_path / CONFIG).read_text()) == CONFIGS[name].to_dict()
    records = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    score = "bound" if name in ("dreg", "iwae") else "elbo"
    validated = [f"valid_{score}"] * (name in ("dreg", "iwae"))
    assert [list(r) for r in records] == [["epoch", f"train_{score}", *validated, "test_elbo", "seconds"]] * 2
    assert [r["epoch"] for r in records] == [1, 2]
    assert records == list(state.history)
    assert all(r["seconds"] >= 0 for r in records)
    arrays, record = checkpoints.load(tmp_path / CHECKPOINT)
    best = {"best"} if CONFIGS[name].keep == "best" else set()
    assert {n.split(".")[0] for n in arrays} == {"parameters", "optimiser", "trained"} | best
    assert np.array_equal(arrays["trained"], np.unique(digests(DATA.train)))
    for leaf_name, leaf in zip(
        tree.names({"parameters": state.parameters}), tree.flatten(state.parameters)[0], strict=True
    ):
        assert np.array_equal(arrays[leaf_name], leaf)
        assert arrays[leaf_name].dtype == np.float32
    assert (record["epoch"], record["step"], record["image_shape"]) == (2, 0, [4, 4, 1])
    assert ("parameters.log_sigma" in arrays) == (CONFIGS[name].sigma == "learned")
    assert (record["log_sigma"] is not None) == (name == "profiled")


def test_the_same_seed_gives_the_same_numbers_and_another_seed_different_ones(tmp_path, uninterrupted, train_run):
    train_run(CONFIGS["mlp"], tmp_path / "again")
    assert read_outcome(tmp_path / "again") == uninterrupted["mlp"]
    train_run(dataclasses.replace(CONFIGS["mlp"], seed=1), tmp_path / "other")
    bits, _, lines, _ = read_outcome(tmp_path / "other")
    assert all(bits[n] != uninterrupted["mlp"][0][n] for n in bits if n.startswith("parameters"))
    assert lines[0]["train_elbo"] != uninterrupted["mlp"][2][0]["train_elbo"]


@EVERY_CONFIG
def test_training_raises_the_test_elbo(name, tmp_path, train_run):
    """On identical images the test ELBO rises within a few epochs."""
    one = np.tile(np.linspace(0.1, 0.9, 16, dtype=np.float32).reshape(1, 4, 4, 1), (50, 1, 1, 1))
    config = dataclasses.replace(CONFIGS[name], epochs=8, learning_rate=0.01 if name != "conv-sgd" else 1e-3)
    history = train_run(config, tmp_path, Dataset("alike", one, one[:20], valid=one[:10])).history
    assert history[-1]["test_elbo"] > history[0]["test_elbo"]


# One epoch, step by step


def record_steps(trainer, seen: list):
    """The trainer with steps that append their images and noise to `seen`; on the CPU, where steps are not captured."""

    def step(parameters, state, y, noise, time):
        seen.append((y.copy(), noise.copy()))
        return trainer.step(parameters, state, y, noise, time)

    return trainer._replace(step=step)


def test_an_epoch_sees_every_image_once_in_a_new_order_with_new_noise(tmp_path, make_trainer):
    seen = []
    train(record_steps(make_trainer(CONFIGS["mlp"], (4, 4, 1), "cpu"), seen), DATA, tmp_path)
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


def test_noise_does_not_depend_on_the_batch_size(tmp_path, make_trainer):
    """ε is drawn by position in the epoch, so twice the batch size gets the same numbers."""
    noise = []
    for batch in (8, 16):
        seen, config = [], dataclasses.replace(CONFIGS["mlp"], batch=batch, epochs=1)
        (tmp_path / str(batch)).mkdir()
        train(record_steps(make_trainer(config, (4, 4, 1), "cpu"), seen), DATA, tmp_path / str(batch))
        noise.append(np.concatenate([e for _, e in seen]))
    assert np.array_equal(*noise)


def test_the_loss_is_the_mean_over_images_of_minus_the_elbo(tmp_path, make_trainer):
    """And one step of SGD without momentum moves by −α times the complex-step gradient of that mean."""
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
        size = math.sqrt(sum(d.size for d in tree.flatten(direction)[0]))  # rounding errors of that many signed terms
        assert_close(moved, -0.5 * slope, rounding(np.float32) * size)


def test_the_elbo_is_reported_whatever_the_weights_of_the_loss(tmp_path, train_run):
    """With a learning rate near zero, a loss with other weights reports the same nats."""
    found = []
    for name, more in (("plain", {}), ("weighed", {"reduction": "mean", "beta": 40.0})):
        config = dataclasses.replace(CONFIGS["mlp"], epochs=1, learning_rate=1e-12, **more)
        (tmp_path / name).mkdir()
        found.append(train_run(config, tmp_path / name).history[0])
    plain, weighed = ((r["train_elbo"], r["test_elbo"]) for r in found)
    assert_close(weighed, plain, rounding(np.float32))


def test_a_batch_larger_than_the_set_takes_no_more_memory(tmp_path, train_run):
    """10⁸ row numbers would take 0.8 GB; the run equals one whose batch is all images."""
    config = dataclasses.replace(CONFIGS["mlp"], batch=len(DATA.train))
    whole = train_run(config, tmp_path / "whole")
    tracemalloc.start()
    try:
        beyond = train_run(dataclasses.replace(config, batch=10**8), tmp_path / "beyond")
        assert tracemalloc.get_traced_memory()[1] < 2e8
    finally:
        tracemalloc.stop()
    assert drop_seconds(list(beyond.history)) == drop_seconds(list(whole.history))
    for a, b in zip(tree.flatten(beyond.parameters)[0], tree.flatten(whole.parameters)[0], strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_train_elbo_averages_images_not_batches(tmp_path, monkeypatch, train_run):
    """The last batch has 2 images and counts 2/50."""
    monkeypatch.setattr(training, "READ_EVERY", 1)  # at every loss, on a device too
    losses = []
    state = train_run(CONFIGS["mlp"], tmp_path, on_step=lambda state, steps, loss: losses.append(loss))
    assert len(losses) == 2 * STEPS
    for epoch in range(2):
        of_epoch = losses[epoch * STEPS : (epoch + 1) * STEPS]
        expected = -np.average(of_epoch, weights=[16, 16, 16, 2])
        assert_close(state.history[epoch]["train_elbo"], expected)


def test_a_loss_is_reported_from_the_first_step_on(tmp_path, train_run):
    """On a device not every loss is read; each step reports the last one that was."""
    losses = []
    train_run(CONFIGS["mlp"], tmp_path, on_step=lambda state, steps, loss: losses.append(loss))
    assert len(losses) == 2 * STEPS and np.isfinite(losses).all()


def test_the_test_elbo_covers_the_whole_test_set_after_the_epoch(tmp_path, monkeypatch, train_run):
    monkeypatch.setattr(
        training, "mean_elbo", partial(evaluation.mean_elbo, size=7)
    )  # 20 images in batches of 7, 7 and 6
    config = dataclasses.replace(CONFIGS["mlp"], epochs=1)
    state = train_run(config, tmp_path)
    key = make_key(config, TEST, 0)
    noise = mg.random.normal(key, (20, 2))
    wide = tree.map(lambda x: np.asarray(x, np.float64), (state.parameters, DATA.test, noise))
    expected = np.mean(truth.elbo("mlp", config.make_likelihood(), *wide, "closed"))
    assert_close(state.history[0]["test_elbo"], expected, rounding(np.float32))


def test_a_profiled_sigma_is_not_profiled_on_test_images(tmp_path, make_trainer, train_run):
    """σ is the optimum for the training images and is used for the test images: other test images, the same σ."""
    config = dataclasses.replace(CONFIGS["profiled"], epochs=1)
    a = train_run(config, tmp_path / "a")
    b = train_run(config, tmp_path / "b", Dataset("b", DATA.train, DATA.test**3))
    assert a.log_sigma == b.log_sigma
    trained = make_trainer(config, (4, 4, 1)).autoencoder(a.parameters)
    best = evaluation.profile_log_sigma(trained, DATA.train, mg.random.key(0))
    assert abs(a.log_sigma - best) < 0.05  # the draws of ε differ


def test_a_profiled_sigma_follows_from_all_classes(tmp_path, train_run):
    """4000 images sorted by class, first grey, then black or white: the first 2000 would give σ near 0."""
    half = np.full((2000, 4, 4, 1), 0.5, np.float32)
    noisy = (np.random.default_rng(0).random((2000, 4, 4, 1)) < 0.5).astype(np.float32)
    data = Dataset("sorted", np.concatenate([half, noisy]), half[:2])
    config = dataclasses.replace(CONFIGS["profiled"], epochs=1, batch=4000, learning_rate=1e-6)
    state = train_run(config, tmp_path, data)
    # the untrained decoder stays near ½: (y−ŷ)² is about 0 in one half and about ¼ in the other
    assert abs(math.exp(2 * state.log_sigma) - 1 / 8) < 0.02


@pytest.mark.host
@pytest.mark.parametrize(
    ("model", "more"), [("mlp", {"hidden": 300}), ("mlp", {"hidden": 300, "shards": 1}), ("conv", {})]
)
def test_a_run_has_the_same_bits_on_any_number_of_threads(tmp_path, train_run, model, more):
    """Large enough for its step to be compiled, and for threads to share the shards of a batch."""
    data, found = truth.small_data(230, 70, (28, 28, 1)), []
    for threads in (1, 2, 3):
        with threadpool_limits(threads, user_api="blas"):
            train_run(Config(model=model, epochs=1, batch=100, **more), tmp_path / str(threads), data)
        bits, _, metrics, _ = read_outcome(tmp_path / str(threads))
        found.append((bits, metrics))
    assert found[0] == found[1] == found[2]


# The weight of the KL


def test_the_weight_of_the_kl_rises_with_the_time_and_the_bound_is_reported_without_it(make_trainer):
    """One step of SGD at rate 1 moves by the gradient in which the KL has weight β·min(t/E, 1)."""
    config = Config(
        **{"latent": 2, "hidden": 8, "optimiser": "sgd", "momentum": 0.0, "learning_rate": 1.0, "beta": 0.7},
        **{"warm_up": 4.0, "objective": "iwae", "samples": 3},
    )
    trainer = make_trainer(config, (4, 4, 1), "cpu")
    y, noise = DATA.train[:5], np.random.default_rng(0).standard_normal((3, 5, 2), np.float32)
    reported = []
    for t, weight in ((0.0, 0.0), (1.0, 0.175), (3.0, 0.525), (4.0, 0.7), (9.0, 0.7)):
        before, begun = trainer.initial(), trainer.initial()
        loss, after, _ = trainer.step(begun.parameters, begun.optimiser, y, noise, np.asarray(t))
        reported.append(float(loss))
        wide = tree.map(lambda x: x.astype(np.float64), (before.parameters, y, noise))
        autoencoder = trainer.autoencoder(wide[0])
        bound, slopes = bound_and_gradient(autoencoder, *wide[1:], "iwae", "sampled", Weights(1.0, weight))
        assert_close(loss, -np.mean(bound), rounding(np.float32))
        leaves = (tree.flatten(values)[0] for values in (before.parameters, after, slopes))
        for a, b, g in zip(*leaves, strict=True):
            assert_close(b.astype(np.float64) - a, g / 5, rounding(np.float32))
    assert len(set(reported)) == 1


# Validation: the best epoch, and stopping early

KEPT = Config(latent=2, hidden=8, epochs=9, batch=16, keep="best", patience=2)
PLANTED = [-5.0, -3.0, -4.0, -3.0, -1.0]  # epoch 4 is as good as the second, but no better


def plant(monkeypatch, bounds):
    """Makes validation report these bounds, one an epoch."""
    left = list(bounds)
    monkeypatch.setattr(training, "measure_objective", lambda *given: left.pop(0))


@pytest.mark.parametrize("more", [{}, {"average": 0.9}], ids=["last", "average"])
def test_training_stops_early_and_keeps_the_first_of_the_best_epochs(
    tmp_path, monkeypatch, more, train_run, make_trainer, load_trainer
):
    config = dataclasses.replace(KEPT, **more)
    plant(monkeypatch, PLANTED)
    state = train_run(config, tmp_path / "kept")
    assert [r["valid_elbo"] for r in state.history] == PLANTED[:4]
    assert (state.epoch, state.step) == (4, 0)
    plant(monkeypatch, PLANTED)
    second = train_run(dataclasses.replace(config, epochs=2, keep="last", patience=None), tmp_path / "two", VALIDATED)
    expected = second.optimiser.mean if more else second.parameters
    trainer = make_trainer(config, (4, 4, 1))
    for found in (state.best, trainer.trained(state).parameters):
        for a, b in zip(*(tree.flatten(mg.to_device(p, "cpu"))[0] for p in (found, expected)), strict=True):
            assert np.array_equal(a, b)
    saved = load_state(load_trainer(tmp_path / "kept"), tmp_path / "kept").best
    for a, b in zip(*(tree.flatten(mg.to_device(p, "cpu"))[0] for p in (saved, expected)), strict=True):
        assert np.array_equal(a, b)
    last = trainer.after_epoch(state).parameters
    assert not np.array_equal(
        mg.to_device(last, "cpu").decoder.pixels.w, mg.to_device(state.best, "cpu").decoder.pixels.w
    )


def test_a_run_that_stopped_early_stays_as_it_is_and_an_interrupted_one_stops_there(
    tmp_path, monkeypatch, train_run, resume_run
):
    plant(monkeypatch, PLANTED)
    train_run(KEPT, tmp_path / "whole")
    whole = read_outcome(tmp_path / "whole")
    resume_run(tmp_path / "whole")  # nothing more is planted: another epoch would fail
    assert read_outcome(tmp_path / "whole") == whole
    plant(monkeypatch, PLANTED)

    def stop(state, steps, loss):
        if (state.epoch, state.step) == (3, 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_run(KEPT, tmp_path / "parts", on_step=stop)
    resume_run(tmp_path / "parts")
    assert read_outcome(tmp_path / "parts") == whole


def test_without_patience_all_epochs_are_trained(tmp_path, monkeypatch, train_run):
    plant(monkeypatch, [-1.0, -2.0, -3.0, -2.5])
    state = train_run(dataclasses.replace(KEPT, epochs=4, patience=None), tmp_path)
    assert state.epoch == 4 and best_epoch(KEPT, state.history) == 1


def test_a_profiled_sigma_is_that_of_the_parameters_that_are_kept(tmp_path, monkeypatch, train_run, load_trainer):
    config = dataclasses.replace(
        KEPT, epochs=1, decoder="gaussian", sigma="profiled", patience=None, learning_rate=0.05
    )
    plant(monkeypatch, [-1.0])
    first = train_run(config, tmp_path / "one")
    plant(monkeypatch, [-1.0, -2.0, -3.0])
    kept = train_run(dataclasses.replace(config, epochs=3), tmp_path / "kept")
    plant(monkeypatch, [-3.0, -2.0, -1.0])
    last = train_run(dataclasses.replace(config, epochs=3), tmp_path / "last")
    assert kept.log_sigma == first.log_sigma != last.log_sigma
    assert load_state(load_trainer(tmp_path / "kept"), tmp_path / "kept").log_sigma == first.log_sigma


@pytest.mark.parametrize("name", ["mlp", "iwae"])
def test_validation_measures_what_is_trained_with_the_same_noise_in_every_epoch(tmp_path, name, train_run):
    """And with KL weight 1: beside plain NumPy on the whole part."""
    objective = {"objective": "iwae", "samples": 3} if name == "iwae" else {}
    config = Config(latent=2, hidden=8, epochs=2, batch=16, warm_up=2.0, beta=3.0, learning_rate=1e-12, **objective)
    state = train_run(config, tmp_path, VALIDATED)
    first, second = state.history
    assert first[f"valid_{config.score}"] == second[f"valid_{config.score}"]
    assert first["test_elbo"] != second["test_elbo"]
    key, y = make_key(config, TEST, 0), VALIDATED.valid
    draws = [mg.random.normal(key, (15, 2))]
    if name == "iwae":
        block = mg.random.normal(block_key(key, 0), (15, BLOCK, 2))
        draws = [block[:, i] for i in range(3)]
    parameters, y, draws = tree.map(lambda x: np.asarray(x, np.float64), (state.parameters, y, draws))
    logs = [truth.elbo("mlp", config.make_likelihood(), parameters, y, e, config.form) for e in draws]
    expected = np.mean(np.log(np.mean(np.exp(logs), axis=0)))
    assert_close(first[f"valid_{config.score}"], expected, rounding(np.float32))


@pytest.mark.parametrize("more", [{"patience": None}, {"keep": "last"}], ids=["keep", "patience"])
def test_without_a_validation_part_nothing_is_begun(tmp_path, more, train_run):
    with pytest.raises(UserError, match="small has no validation part, which --keep best and --patience need"):
        train_run(dataclasses.replace(KEPT, **more), tmp_path, DATA)
    assert not any(tmp_path.iterdir())


# Binary pixels


def test_training_images_that_are_no_probabilities_are_refused(tmp_path, train_run):
    wrong = dataclasses.replace(DATA, train=DATA.train * 1.5)
    for how in ("static", "dynamic"):
        with pytest.raises(DataError, match=r"only images in \[0, 1\] can be binarised"):
            train_run(dataclasses.replace(CONFIGS["mlp"], binarise=how), tmp_path, wrong)


def test_training_images_are_binarised_anew_and_others_once(tmp_path, make_trainer):
    """The steps of two epochs see other pixels of the same images, and validation and test see theirs."""
    seen, found = [], {}
    config = dataclasses.replace(CONFIGS["mlp"], binarise="dynamic")
    trainer = record_steps(make_trainer(config, (4, 4, 1), "cpu"), seen)
    state = train(trainer, VALIDATED, tmp_path)
    for part, epoch in (("valid", 0), ("test", 1)):  # the validation part has the noise of the first epoch
        y = trainer.seen(getattr(VALIDATED, part), part)
        noise = mg.random.normal(make_key(config, TEST, epoch), (len(y), 2))
        wide = tree.map(lambda x: np.asarray(x, np.float64), (state.parameters, y, noise))
        expected = np.mean(truth.elbo("mlp", trainer.likelihood, *wide, "closed"))
        assert_close(state.history[-1][f"{part}_elbo"], expected, rounding(np.float32))
    assert all(set(np.unique(y)) == {0, 1} for y, _ in seen)
    epochs = [np.concatenate([y for y, _ in seen[i : i + STEPS]]) for i in (0, STEPS)]
    assert len({y.tobytes() for epoch in epochs for y in epoch}) > 90  # of 100 images of 16 pixels
    for part in ("train", "valid", "test"):
        images = getattr(VALIDATED, part)
        for binarise in ("none", "static", "dynamic"):
            found[part, binarise] = trainer._replace(config=dataclasses.replace(config, binarise=binarise)).seen(
                images, part
            )
        assert found[part, "none"] is images
        assert set(np.unique(found[part, "static"])) == {0, 1}
    assert found["train", "dynamic"] is VALIDATED.train
    for part in ("valid", "test"):
        assert np.array_equal(found[part, "static"], found[part, "dynamic"])
    same = [
        trainer._replace(config=dataclasses.replace(config, binarise="static")).seen(DATA.test, p)
        for p in ("test", "valid")
    ]
    assert not np.array_equal(*same)  # each part has its own pixels


def test_every_step_gets_the_time_and_every_epoch_has_keys_of_its_own(tmp_path, make_trainer):
    """t = e + j/4 for the four batches of epoch e: schedules and warm-ups go on where the last epoch ended."""
    config = dataclasses.replace(CONFIGS["mlp"], binarise="dynamic", epochs=3)
    trainer, times = make_trainer(config, (4, 4, 1), "cpu"), []

    def step(*given):
        times.append(float(given[-1]))
        return trainer.step(*given)

    train(trainer._replace(step=step), DATA, tmp_path)
    assert times == [i / STEPS for i in range(3 * STEPS)]
    epochs = [training.shuffle_for(trainer, DATA.train, number) for number in range(3)]
    keys = [key.tobytes() for epoch in epochs for key in (epoch.key, epoch.pixel_key)]
    assert len(set(keys)) == 6
