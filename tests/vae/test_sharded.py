"""vae/sharded.py: a step on shards is the step on the whole batch, and its bits do not depend on who computes them."""

import dataclasses

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import minigrad as mg
from minigrad import collectives
from minigrad.core import tree
from tests.support.vae import truth
from tests.support.vae.training_runs import read_outcome
from vae import training
from vae.config import Config
from vae.errors import TrainingError, UserError
from vae.estimators import bound_and_gradient
from vae.evaluation import mean_elbo_sums, mean_importance_bound, profile_log_sigma
from vae.objectives import Weights, elbo
from vae.runs import load_everywhere
from vae.trainer import make_trainer
from vae.training import train

DATA = truth.small_data(70, 33)
SHARDED = {
    "mlp": Config(latent=2, hidden=8, epochs=2, batch=32, shards=8),  # the last batch has 6 images for 8 shards
    "conv": Config(model="conv", latent=2, epochs=1, batch=40, shards=8, optimiser="sgd", form="sampled"),
    "profiled": Config(latent=2, hidden=8, epochs=2, batch=30, shards=5, decoder="gaussian", sigma="profiled"),
    "learned": Config(latent=2, hidden=8, epochs=1, batch=70, shards=7, decoder="laplace", sigma="learned"),
    "dreg": Config(
        **{"latent": 2, "hidden": (8, 6), "epochs": 1, "batch": 30, "shards": 5, "objective": "dreg", "samples": 3},
        **{"warm_up": 1.0, "schedule": "cosine", "clip": 0.5, "average": 0.9, "optimiser": "adamw"},
        **{"binarise": "dynamic", "output_bias": "data"},
    ),
}


def flat(gradient):
    return np.concatenate([np.ravel(leaf) for leaf in tree.flatten(gradient)[0]])


@pytest.mark.host
@pytest.mark.parametrize("name", SHARDED)
def test_the_sum_over_shards_is_the_gradient_of_the_batch(name):
    trainer = make_trainer(SHARDED[name], (4, 4, 1))
    state, epoch = trainer.initial(), training.shuffle_for(trainer, DATA.train, 0)
    for number in (0, len(epoch.order) - 1):
        batch = epoch.batch(number)
        found = training.make_gradient(trainer)(state.parameters, batch)
        images, noise = trainer.draw(batch)

        def loss(p, images=images, noise=noise):
            return -mg.mean(elbo(trainer.autoencoder(p), images, noise, trainer.config.form))

        if name == "dreg":  # batch j of 3 in the epoch in which the weight of the KL rises
            assert noise.shape == (3, len(images), 2) and set(np.unique(images)) == {0, 1}
            weights = Weights(latents=number / 3)
            common = trainer.autoencoder(state.parameters), images, noise, "dreg", "sampled"
            value, gradient = bound_and_gradient(*common, weights, scale=-1 / len(images))
            value = -mg.mean(value)
        else:
            value, gradient = mg.value_and_grad(loss)(state.parameters)
        assert found[0] == pytest.approx(float(value), rel=2e-6)
        want = flat(gradient)
        np.testing.assert_allclose(flat(found[1]), want, rtol=0, atol=3e-6 * np.abs(want).max())


def run_on(size, config, out, data=DATA, threads=1):
    """Train on a group of threads; the first one writes."""
    out.mkdir(exist_ok=True)

    def work():
        return train(make_trainer(config, data.train.shape[1:]), data, out)

    with threadpool_limits(threads, user_api="blas"):
        return collectives.run_in_threads(work, size)


@pytest.mark.host
@pytest.mark.parametrize("name", SHARDED)
def test_a_run_has_the_same_bits_on_any_number_of_processes(tmp_path, name):
    config, found = SHARDED[name], []
    more = (3, 4) if name == "mlp" else ()  # who gets which shards does not depend on what is trained
    for size in sorted({1, 2, *more, config.shards}):
        states = run_on(size, config, tmp_path / str(size), threads=1 + size % 2)
        found.append(read_outcome(tmp_path / str(size))[0::2])  # arrays and metrics
        first = flat(states[0].parameters)
        assert all(np.array_equal(flat(state.parameters), first) for state in states)
    assert all(other == found[0] for other in found[1:])


@pytest.mark.host
@pytest.mark.parametrize("name", ["mlp", "dreg"])
def test_another_number_of_shards_changes_only_the_last_bits(tmp_path, name):
    """One shard is another program, which draws, weighs and schedules by itself."""
    one, eight = (
        run_on(1, dataclasses.replace(SHARDED[name], shards=shards), tmp_path / str(shards))[0] for shards in (1, 8)
    )
    a, b = flat(one.parameters), flat(eight.parameters)
    assert not np.array_equal(a, b)
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


@pytest.mark.host
def test_a_run_stopped_on_four_processes_goes_on_with_one_or_three(tmp_path):
    config = SHARDED["mlp"]
    run_on(1, config, tmp_path / "whole")
    for size in (1, 3):
        out = tmp_path / f"then-{size}"
        out.mkdir()

        def stop(state, steps, loss):
            if (state.epoch, state.step) == (1, 2):
                raise KeyboardInterrupt

        def interrupted(out=out, stop=stop):
            train(make_trainer(config, (4, 4, 1)), DATA, out, on_step=stop)

        with pytest.raises(KeyboardInterrupt):
            collectives.run_in_threads(interrupted, 4)

        def resumed(out=out):
            trainer = make_trainer(config, (4, 4, 1))
            train(trainer, DATA, out, load_everywhere(trainer, out))

        collectives.run_in_threads(resumed, size)
        assert read_outcome(out)[0::2] == read_outcome(tmp_path / "whole")[0::2]


@pytest.mark.host
def test_a_process_that_is_stopped_alone_stops_the_others_and_nothing_is_lost(tmp_path):
    """The first one saves where it is: after the step that all took, or before it if the other stopped while the first
    was still in the exchange of that step."""
    config = SHARDED["mlp"]

    def work():
        def stop(state, steps, loss):
            if collectives.rank() == 1 and (state.epoch, state.step) == (1, 1):
                raise KeyboardInterrupt

        train(make_trainer(config, (4, 4, 1)), DATA, tmp_path, on_step=stop)

    with pytest.raises(KeyboardInterrupt):
        collectives.run_in_threads(work, 3)
    _, record, lines, _ = read_outcome(tmp_path)
    assert (record["epoch"], record["step"]) in ((1, 0), (1, 1))
    assert len(lines) == 1


@pytest.mark.host
@pytest.mark.parametrize("size", [1, 3])
def test_a_nan_is_diagnosed_alike_on_all_processes(tmp_path, size):
    config = dataclasses.replace(SHARDED["mlp"], batch=16, learning_rate=1e6)
    found = []

    def work():
        try:
            train(make_trainer(config, (4, 4, 1)), DATA, tmp_path)
        except TrainingError as error:
            found.append(str(error))

    collectives.run_in_threads(work, size)
    assert len(found) == size
    assert {*found} == {found[0]}
    assert "the loss became" in found[0]
    assert "the first NaN arose in the" in found[0]
    assert read_outcome(tmp_path)[1]["step"] == 0


@pytest.mark.host
def test_evaluations_have_the_same_bits_on_any_number_of_processes():
    config = SHARDED["profiled"]
    trainer = make_trainer(config, (4, 4, 1))
    autoencoder, key = trainer.autoencoder(trainer.initial().parameters), mg.random.key(3)

    def evaluate():
        common = autoencoder, DATA.test, key
        profiled = profile_log_sigma(*common, size=7)
        sums = mean_elbo_sums(*common, "sampled", profiled, size=7)
        return profiled, sums, mean_importance_bound(*common, 3, profiled, size=7)

    found = {result for size in (1, 2, 3, 8) for result in collectives.run_in_threads(evaluate, size)}
    assert len(found) == 1


@pytest.mark.host
def test_more_processes_than_shards_and_other_images_are_refused(tmp_path):
    with pytest.raises(UserError, match="3 processes cannot share the 2 shards of a batch"):
        run_on(3, dataclasses.replace(SHARDED["mlp"], shards=2), tmp_path)

    def work():
        data = truth.small_data(70 + collectives.rank(), 33)
        train(make_trainer(SHARDED["mlp"], (4, 4, 1)), data, tmp_path)

    with pytest.raises(UserError, match=r"the processes disagree: images is \d+ on process 1 and \d+ on process 0"):
        collectives.run_in_threads(work, 2)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("batch", "shards"), [(1, 1), (31, 1), (32, 2), (100, 6), (128, 8), (4096, 8)])
def test_a_shard_has_sixteen_images_or_more_unless_asked_for(batch, shards):
    assert Config(batch=batch).shards == shards
    assert Config(batch=batch, shards=batch).shards == batch
    with pytest.raises(UserError, match=f"a batch of {batch} images cannot be cut into {batch + 1} shards"):
        Config(batch=batch, shards=batch + 1)


def test_runs_saved_without_shards_had_one():
    saved = Config().to_dict()
    del saved["shards"]
    assert Config.from_dict(saved).shards == 1


@pytest.mark.parametrize("name", ["mlp", "conv", "dreg"])
def test_a_device_trains_on_shards_as_the_cpu_does(tmp_path, name, train_run, backend):
    """Captured as one program where the host runs ahead."""
    config = dataclasses.replace(SHARDED[name], epochs=1)
    state = train_run(config, tmp_path / "device", DATA)
    (same,) = run_on(1, config, tmp_path / "cpu")
    a, b = (flat(mg.to_device(s.parameters, "cpu")) for s in (state, same))
    np.testing.assert_allclose(a, b, rtol=0, atol=2e-5)
