"""Parametrizations for tests of the objective: every likelihood with every source of σ, both networks, both forms."""

import numpy as np
import pytest

from tests.support.vae import truth
from vae.autoencoder import Autoencoder
from vae.likelihoods import Bernoulli, Gaussian, Laplace, Likelihood, Logistic
from vae.objectives import FORMS, elbo_sums
from vae.sigma import SOURCES, Sigma

TRIED = [Bernoulli(), *[kind(Sigma(0.7, source)) for kind in (Gaussian, Laplace) for source in SOURCES], Logistic()]
EVERY_LIKELIHOOD = pytest.mark.parametrize("likelihood", TRIED, ids=lambda x: f"{x.name}-{x.sigma.source}")
EVERY_FORM = pytest.mark.parametrize("form", FORMS)
EVERY_MODEL = pytest.mark.parametrize("name", ["mlp", "conv"])


def setting(name: str, likelihood: Likelihood, count: int = 3, seed: int = 0):
    """(autoencoder, images, noise) in float64, all random."""
    random = np.random.default_rng(seed)
    model = truth.small_model(name, outputs=likelihood.outputs)
    parameters = truth.lively_parameters(model, seed)
    if likelihood.sigma.source == "learned":
        parameters = parameters._replace(log_sigma=np.float64(-0.8))
    y, noise = random.random((count, *model.image_shape)), random.standard_normal((count, model.latent))
    return Autoencoder(model, likelihood, parameters), y, noise


def loss(config, model, parameters, y, noise):
    """The loss of each image, as training computes it."""
    weights = config.make_weights(model.image_shape)
    pixels, latents = elbo_sums(Autoencoder(model, config.make_likelihood(), parameters), y, noise, config.form)
    return -(weights.pixels * pixels + weights.latents * latents)
