"""Mistakes that other autoencoders made in training and decoding, each as a test that names whose bug it was."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

import minigrad as mg
from tests.support.oracles import assert_close
from tests.support.vae import truth
from vae import training
from vae.autoencoder import Autoencoder
from vae.config import Config
from vae.errors import TrainingError
from vae.likelihoods import Bernoulli
from vae.models import conv, mlp
from vae.objectives import elbo


def normal(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


# Variances that run away


def make_runaway(make_trainer, config, log_std=300.0):
    """A trainer, images, and a state whose encoder gives ln σ = 300, σ² = e^600, for every image."""
    data = truth.small_data(200, 20)
    trainer = make_trainer(config, (4, 4, 1))
    start = trainer.initial()
    head = start.parameters.encoder.log_std
    encoder = start.parameters.encoder._replace(log_std=head._replace(b=np.full_like(head.b, log_std)))
    return trainer, data, start._replace(parameters=start.parameters._replace(encoder=encoder))


def test_an_exploded_log_variance_stops_training_with_a_message(tmp_path, make_trainer):
    """Others saved NaN parameters, or went on training with them: synthcity#331, WorldModels#2."""
    trainer, data, state = make_runaway(make_trainer, Config(latent=2, hidden=8, batch=50))
    with pytest.raises(TrainingError, match=r"in epoch 1, batch 1: .*the last checkpoint is kept"):
        training.train(trainer, data, tmp_path, state)


def test_a_clamped_log_variance_is_finite_and_recovers(tmp_path, make_trainer):
    """A clamp needs a slope beyond its limits. `clip` has none there, so σ would never come back."""
    trainer, data, state = make_runaway(
        make_trainer, Config(latent=2, hidden=8, batch=50, epochs=3, clamp=10.0, learning_rate=0.1)
    )
    parameters = mg.to_device(state.parameters, "cpu")
    y, noise = data.train[:5], normal(5, 2).astype(np.float32)

    def loss(bias, model):
        head = parameters.encoder.log_std
        encoder = parameters.encoder._replace(log_std=head._replace(b=bias))
        return -mg.mean(elbo(Autoencoder(model, Bernoulli(), parameters._replace(encoder=encoder)), y, noise))

    value, slope = mg.value_and_grad(lambda b: loss(b, trainer.model))(parameters.encoder.log_std.b)
    assert np.isfinite(value)
    assert np.all(slope > 0)  # a step downhill lowers ln σ
    # 2 ln σ is clamped to almost 10. The KL pulls with its slope σ²−1 in ln σ times the clamp's; pixels add a little.
    u = math.pi * 300 / 10
    pull = (math.exp(2 * 10 / math.pi * math.atan(u)) - 1) / (1 + u * u)
    assert np.all(np.abs(slope - pull) < 0.1 * pull)

    free = mlp((4, 4, 1), 2, 8)

    def cut_off(encoder, y):
        mean, log_std = free.encode(encoder, y)
        return mean, mg.clip(log_std, -5, 5)

    cut = replace(free, encode=cut_off)
    assert np.all(mg.grad(lambda b: loss(b, cut))(parameters.encoder.log_std.b) == 0)

    after = training.train(trainer, data, tmp_path, state)
    _, log_std = trainer.model.encode(parameters.encoder, data.test)
    _, came_back = trainer.model.encode(mg.to_device(after.parameters.encoder, "cpu"), data.test)
    assert np.all(came_back < log_std)
    assert after.history[-1]["train_elbo"] > after.history[0]["train_elbo"]


# Checkerboards


def test_every_phase_of_a_deconvolution_has_the_same_number_of_taps():
    """A transposed convolution with K = 3 and stride 2, which does not divide 3, adds to its pixels 1, 2, 2 or 4 times.

    A loop counts that. Ours, a stride-1 convolution and a reshape, adds to each pixel 9 times, except at the border.
    """
    hits = np.zeros((8, 8), int)
    for i, j, a, b in itertools.product(range(3), range(3), range(3), range(3)):
        hits[2 * i + a, 2 * j + b] += 1
    assert sorted(hits[2:4, 2:4].ravel()) == [1, 2, 2, 4]
    _, transposed = mg.vjp(
        lambda x: mg.conv2d(x, np.ones((3, 3, 1, 1)), stride=2, padding="valid"), np.ones((1, 7, 7, 1))
    )
    assert_close(transposed(np.ones((1, 3, 3, 1)))[0][0, :, :, 0], hits[:7, :7].astype(float))
    ours = mg.deconv2d(np.ones((1, 4, 4, 1)), np.ones((3, 3, 1, 4)))[0, :, :, 0]
    assert np.all(ours[2:-2, 2:-2] == 9)


def test_the_untrained_decoder_has_no_checkerboard_on_average():
    """Sub-pixel convolutions with equal initial phases (ICNR) give blocks of equal pixels. Ours are drawn independently
    from one distribution: a single draw has a pattern, which training must remove, but on average no phase is favoured.
    """
    model = conv((8, 8, 1), 2, features=(2, 3))
    z = normal(4, 2)
    spread = []
    for seed in range(400):
        decoder = model.init(mg.random.key(seed), np.float64).decoder
        images = model.decode(decoder, z)
        phases = np.array([images[:, i::2, j::2].mean() for i in range(2) for j in range(2)])
        spread.append(phases - phases.mean())
    error = np.std(spread, axis=0, ddof=1) / math.sqrt(len(spread))
    assert np.all(np.abs(np.mean(spread, axis=0)) <= 5 * error)
    assert np.all(error > 0)

    repeat_phase = lambda layer: layer._replace(
        w=np.tile(layer.w[..., : layer.b.size // 4], 4), b=np.tile(layer.b[: layer.b.size // 4], 4)
    )
    dense, middle = decoder.hidden
    alike = model.decode(decoder._replace(hidden=(dense, repeat_phase(middle)), pixels=repeat_phase(decoder.pixels)), z)
    for i, j in ((0, 1), (1, 0), (1, 1)):
        assert np.array_equal(alike[:, ::2, ::2], alike[:, i::2, j::2])
