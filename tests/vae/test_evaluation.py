"""vae/evaluation.py: bounds over whole sets against plain NumPy, with sampled z, for any batch size."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import tree
from tests.support.oracles import EPS, ROUNDINGS, assert_close
from tests.support.vae import truth
from tests.support.vae.settings import EVERY_FORM, EVERY_LIKELIHOOD, setting
from vae.evaluation import (
    Estimate,
    elbo_sums_per_image,
    generate,
    mean_elbo,
    mean_importance_bound,
    posterior_means,
    profile_log_sigma,
    reconstruct,
)
from vae.likelihoods import LIKELIHOODS, Bernoulli, Gaussian
from vae.objectives import elbo
from vae.sigma import PROFILED, Sigma

KEY = mg.random.key(5)
COUNT = 11


@pytest.fixture(params=[4, 500])
def batch(request):
    """The batch size: eleven images in batches of four, the last one short, and all at once."""
    return request.param


@EVERY_LIKELIHOOD
@EVERY_FORM
def test_mean_elbo_is_the_mean_over_every_image(batch, likelihood, form):
    """With z = μ + σ·ε, where the key gives each image its own ε whatever the batch size."""
    log_sigma = -0.4 if likelihood.sigma.source == "profiled" else None
    autoencoder, y, _ = setting("mlp", likelihood, COUNT)
    noise = mg.random.normal(KEY, (COUNT, autoencoder.model.latent), np.float64)
    known = LIKELIHOODS[likelihood.name](Sigma(math.exp(-0.4))) if log_sigma else likelihood
    expected = np.mean(truth.elbo("mlp", known, autoencoder.parameters, y, noise, form))
    assert_close(mean_elbo(autoencoder, y, KEY, form, log_sigma, size=batch), expected)


def test_mean_elbo_samples_z_and_never_takes_its_mean():
    """With the posterior's σ doubled, the "bound" at z = μ is higher than at every sample."""
    autoencoder, y, _ = setting("mlp", Bernoulli(), 200)
    head = autoencoder.parameters.encoder.log_std
    wide = autoencoder.parameters.encoder._replace(log_std=head._replace(b=head.b + math.log(2)))
    autoencoder = autoencoder.with_parameters(autoencoder.parameters._replace(encoder=wide))
    at_mean = np.mean(elbo(autoencoder, y, np.zeros((200, autoencoder.model.latent))))
    sampled = [mean_elbo(autoencoder, y, mg.random.key(s)) for s in range(5)]
    assert len(set(sampled)) == 5
    assert max(sampled) < at_mean


def test_a_short_last_batch_counts_by_its_images(batch):
    """The last of nine images counts 1/9, whether or not it is alone in its batch."""
    autoencoder, y, _ = setting("mlp", Bernoulli(), 9)
    one = mean_elbo(autoencoder, y, KEY, size=batch) * 9
    last = np.ones((1, *autoencoder.model.image_shape))
    noise = mg.random.normal(KEY, (9, autoencoder.model.latent), np.float64)[8:]
    both = mean_elbo(autoencoder, np.concatenate([y[:8], last]), KEY, size=batch) * 9
    value = lambda image: truth.elbo("mlp", Bernoulli(), autoencoder.parameters, image, noise, "closed")[0]
    assert_close(both, one + value(last) - value(y[8:]))


@pytest.mark.parametrize("samples", [1, 13])
def test_mean_importance_bound_agrees_with_plain_numpy(batch, samples):
    """ε of sample s of image i: block s // 10 has a key of its own, in which each image has ten samples."""
    autoencoder, y, _ = setting("mlp", Bernoulli(), COUNT)
    got = mean_importance_bound(autoencoder, y, KEY, samples, size=batch)
    keys = [mg.random.fold_in(mg.random.fold_in(KEY, 0), block) for block in (0, 1)]
    shape = (COUNT, 10, autoencoder.model.latent)
    noise = np.concatenate([mg.random.normal(key, shape, np.float64).swapaxes(0, 1) for key in keys])[:samples]
    logs = [truth.elbo("mlp", Bernoulli(), autoencoder.parameters, y, e, "sampled") for e in noise]
    assert_close(got, np.mean(np.log(np.mean(np.exp(logs), axis=0))))


@EVERY_FORM
def test_the_elbo_of_each_image(batch, form):
    """And its mean and standard error, over the square root of the number of images."""
    autoencoder, y, _ = setting("mlp", Bernoulli(), COUNT)
    noise = mg.random.normal(KEY, (COUNT, autoencoder.model.latent), np.float64)
    expected = truth.elbo("mlp", Bernoulli(), autoencoder.parameters, y, noise, form)
    found = elbo_sums_per_image(autoencoder, y, KEY, form, size=batch).sum(axis=0)
    assert_close(found, expected)
    variance = sum((x - sum(expected) / COUNT) ** 2 for x in expected) / (COUNT - 1)
    assert_close(Estimate.of(found), (sum(expected) / COUNT, math.sqrt(variance / COUNT)))


def test_a_single_image_has_no_standard_error():
    assert Estimate.of(np.array([3.0])) == (3.0, None)


def test_float32_images_give_a_float64_mean():
    """Summed in float32 it would be off: the mean of 5000 equal numbers must be exactly that number."""
    autoencoder, *_ = setting("mlp", Bernoulli())
    autoencoder = autoencoder.with_parameters(tree.map(lambda x: np.zeros_like(x, np.float32), autoencoder.parameters))
    y = np.zeros((5000, *autoencoder.model.image_shape), np.float32)
    assert mean_elbo(autoencoder, y, KEY) == np.sum(np.full(32, np.log(np.float32(0.5))))


@pytest.mark.parametrize("name", ["gaussian", "laplace"])
def test_profiled_sigma_is_the_optimum_for_all_images(batch, name):
    """σ² = mean (y−ŷ)², σ = mean |y−ŷ| over all pixels of all images, with z sampled."""
    likelihood = LIKELIHOODS[name](PROFILED)
    autoencoder, y, _ = setting("mlp", likelihood, COUNT)
    noise = mg.random.normal(KEY, (COUNT, autoencoder.model.latent), np.float64)
    mean, log_std = truth.encode("mlp", autoencoder.parameters.encoder, y)
    z = mean + np.exp(log_std) * noise
    error = y - truth.sigmoid(truth.decode("mlp", autoencoder.parameters.decoder, z, autoencoder.model.image_shape))
    expected = math.log(np.mean(error**2)) / 2 if name == "gaussian" else math.log(np.mean(np.abs(error)))
    assert_close(profile_log_sigma(autoencoder, y, KEY, batch), expected)


def test_profiled_sigma_of_a_perfect_fit_is_finite():
    autoencoder, *_ = setting("mlp", Gaussian(PROFILED))
    autoencoder = autoencoder.with_parameters(tree.map(np.zeros_like, autoencoder.parameters))  # ŷ = ½ everywhere
    y = np.full((2, *autoencoder.model.image_shape), 0.5)
    assert math.isfinite(profile_log_sigma(autoencoder, y, KEY))


def test_reconstructions_are_decoded_samples():
    autoencoder, y, noise = setting("conv", Bernoulli(), 3)
    mean, log_std = truth.encode("conv", autoencoder.parameters.encoder, y)
    expected = truth.sigmoid(
        truth.decode(
            "conv", autoencoder.parameters.decoder, mean + np.exp(log_std) * noise, autoencoder.model.image_shape
        )
    )
    assert_close(reconstruct(autoencoder, y, noise), expected)


def test_generating_uses_the_decoder_alone():
    """Slide 20: the second half of the model, so an encoder full of NaN makes no difference."""
    autoencoder, _, z = setting("conv", Bernoulli(), 3)
    parameters = autoencoder.parameters
    spoilt = parameters._replace(encoder=tree.map(lambda x: np.full_like(x, np.nan), parameters.encoder))
    images = generate(autoencoder.with_parameters(spoilt), z)
    assert_close(images, truth.sigmoid(truth.decode("conv", parameters.decoder, z, autoencoder.model.image_shape)))
    assert images.min() >= 0
    assert images.max() <= 1


def test_posterior_means_of_all_images(batch):
    autoencoder, y, _ = setting("mlp", Bernoulli(), COUNT)
    assert_close(posterior_means(autoencoder, y, batch), truth.encode("mlp", autoencoder.parameters.encoder, y)[0])


def test_more_importance_samples_give_a_tighter_bound_on_average():
    """Differences of L_8 and the ELBO per image average at least 0 within 5 standard errors of independent draws."""
    autoencoder, y, _ = setting("mlp", Bernoulli(), 60)
    gaps = []
    for s in range(40):
        key = mg.random.key(s)
        many = mean_importance_bound(autoencoder, y, key, 8)
        gaps.append(many - mean_elbo(autoencoder, y, key, "sampled"))
    assert np.mean(gaps) >= -5 * np.std(gaps, ddof=1) / math.sqrt(len(gaps)) - ROUNDINGS * EPS
    assert np.mean(gaps) > 0
