"""Mistakes that other autoencoders made with the bound, each as a test of this one that names whose bug it was.

The truth is pPCA (see `ppca`): with an orthogonal W the encoder can be the exact posterior. Then the ELBO equals
ln Q(y), which is known in closed form, and a mistake shows as a difference from it.
"""

import itertools
import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import tree
from tests.support.oracles import EPS, ROUNDINGS, assert_close
from tests.support.vae import ppca, truth
from tests.support.vae.ppca import LATENT, PIXELS, SHAPE, SIGMA, make_exact
from vae import evaluation
from vae.autoencoder import Autoencoder
from vae.config import Config
from vae.explain import explain_loss
from vae.likelihoods import Gaussian
from vae.objectives import FORMS, elbo, elbo_sums, importance_bound
from vae.sigma import Sigma

GAUSSIAN = Gaussian(Sigma(SIGMA))
KEY = mg.random.key(11)


def move_away(y: np.ndarray, w: np.ndarray, distance: float) -> np.ndarray:
    """Images moved along a direction orthogonal to W: they become unlikely, their posterior stays the same."""
    e = y.reshape(len(y), -1) - ppca.CENTRE
    outside = e - e @ w @ np.linalg.inv(w.T @ w) @ w.T
    return y + distance * (outside / np.linalg.norm(outside, axis=1, keepdims=True)).reshape(y.shape)


def normal(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


# Sums and means


@pytest.mark.parametrize("form", FORMS)
def test_pixels_and_latents_are_both_summed_so_the_elbo_reaches_the_evidence_and_never_exceeds_it(form):
    """KL divided by the number of pixels: pytorch/examples#234 and #290, PyTorch-VAE#11, keras#3383, #4538, #6015.

    Divided, the "bound" lies above ln Q(y) by (1 − 1/D)·KL.
    """
    model, parameters, _, v, std, y, evidence = make_exact()
    bound = ppca.average(lambda i, e: elbo(Autoencoder(model, GAUSSIAN, parameters), i, e, form), y, LATENT)
    assert_close(bound, evidence)
    pixels = ppca.average(lambda i, e: elbo_sums(Autoencoder(model, GAUSSIAN, parameters), i, e, form)[0], y, LATENT)
    divided = pixels - ppca.kl(y, v, std) / PIXELS
    assert_close(divided, evidence + (1 - 1 / PIXELS) * ppca.kl(y, v, std))
    assert np.all(divided > evidence + 0.1)
    assert not explain_loss(Config(beta=1 / 784)).is_bound
    assert explain_loss(Config(reduction="mean", beta=1 / 784)).is_bound  # both divided


def test_a_mean_squared_error_with_a_small_kl_weight_is_explained_as_a_wide_decoder():
    """`kld_weight` = 0.00025 on 64×64×3 pixels hides σ² = 1.5: PyTorch-VAE#11, #23 and #35.

    The best encoder is the posterior for *that* σ²: with w·D/2 = 1.5 on six pixels the gradient vanishes there.
    """
    weighted = {"decoder": "gaussian", "sigma": repr(math.sqrt(0.5)), "reduction": "mean"}
    said = explain_loss(Config(**weighted, beta=0.00025), (64, 64, 3))
    assert_close(said.sigma_squared, 0.00025 * 64 * 64 * 3 / 2)
    assert "σ² = 1.536" in str(said)

    kld_weight = 0.5
    said = explain_loss(Config(**weighted, beta=kld_weight), SHAPE)
    assert_close(said.sigma_squared, 1.5)
    model, _, w, _, _, y, _ = make_exact()

    def gradient(sigma):
        """Gradient of mean (y−ŷ)² + w·KL in V and ln s, at the posterior for this σ, averaged over ε."""
        parameters = ppca.make_parameters(w, *ppca.posterior(w, sigma))

        def loss(encoder):
            images, noise = np.repeat(y, 9, axis=0), np.tile(nodes, (len(y), 1))
            mean, log_std = model.encode(encoder, images)
            z = mg.gaussian_sample(mean, log_std, noise)
            error = mg.square(mg.reshape(images, (len(images), -1)) - z @ w.T - ppca.CENTRE)
            kl = 0.5 * mg.sum(mg.square(mean) + mg.exp(2 * log_std) - 1 - 2 * log_std, axis=1)
            return mg.sum(np.tile(weights, len(y)) * (mg.mean(error, axis=1) + kld_weight * kl))

        return np.concatenate([g.ravel() for g in tree.flatten(mg.grad(loss)(parameters.encoder))[0]])

    points, weights = np.polynomial.hermite_e.hermegauss(3)
    nodes = np.array(list(itertools.product(points, points)))
    weights = np.array([a * b for a, b in itertools.product(weights, weights)]) / weights.sum() ** 2
    assert np.max(np.abs(gradient(math.sqrt(1.5)))) < ROUNDINGS * EPS
    assert np.max(np.abs(gradient(math.sqrt(0.5)))) > 1e-4


# Standard deviations, variances and their logarithms


def test_the_sample_the_kl_and_the_density_use_the_same_ln_sigma():
    """Others took σ for σ² or ln σ² in one of the three: keras#3283, rachtsingh/ibp_vae#3, bjlkeng/sandbox#10.

    With ln s of the exact posterior, ln Q(y,z) − ln P(z|y) = ln Q(y) for *every* ε; with ln s² or s, only for some.
    """
    model, parameters, w, v, std, y, evidence = make_exact()
    noise = normal(5, LATENT)
    assert_close(elbo(Autoencoder(model, GAUSSIAN, parameters), y, noise, "sampled"), evidence)
    closed = ppca.average(lambda i, e: elbo(Autoencoder(model, GAUSSIAN, parameters), i, e, "closed"), y, LATENT)
    assert_close(closed, evidence)
    for wrong in (std**2, np.sqrt(std), np.exp(std)):
        mistaken = ppca.make_parameters(w, v, wrong)
        assert np.all(np.abs(elbo(Autoencoder(model, GAUSSIAN, mistaken), y, noise, "sampled") - evidence) > 1e-3)
        lower = ppca.average(lambda i, e, p=mistaken: elbo(Autoencoder(model, GAUSSIAN, p), i, e, "closed"), y, LATENT)
        assert np.all(lower < evidence - 1e-3)


def test_sigma_of_the_decoder_is_a_standard_deviation():
    """--sigma 0.03 means σ = 0.03, σ² = 0.0009: with any other power the ELBO does not equal ln Q(y)."""
    model, parameters, _, _, _, y, evidence = make_exact()
    noise = normal(5, LATENT)
    for sigma, right in (("0.03", True), ("0.0009", False), (repr(math.sqrt(0.03)), False)):
        config = Config(decoder="gaussian", sigma=sigma)
        found = elbo(Autoencoder(model, config.make_likelihood(), parameters), y, noise, "sampled")
        assert np.allclose(found, evidence, rtol=1e-12, atol=0) == right
        assert_close(explain_loss(config, SHAPE).sigma_squared, float(sigma) ** 2)


# Importance weights


@pytest.mark.parametrize("k", [1, 2, 50])
def test_the_importance_bound_contains_no_analytic_kl(k):
    """PyTorch-VAE#34. At the exact posterior every weight is Q(y), so the bound is ln Q(y) whatever ε and K are.

    ln (1/K) Σ Q(y|z_k) − KL is no bound: for large K it is ln E Q(y|z) − KL > E ln Q(y|z) − KL = ln Q(y).
    """
    model, parameters, _, v, std, y, evidence = make_exact()
    noise = normal(k, 5, LATENT)
    assert_close(importance_bound(Autoencoder(model, GAUSSIAN, parameters), y, noise), evidence)

    density = lambda i, e: np.exp(elbo_sums(Autoencoder(model, GAUSSIAN, parameters), i, e)[0])
    analytic = np.log(ppca.average(density, y, LATENT, 24)) - ppca.kl(y, v, std)
    assert np.all(analytic > evidence + 0.05)


def test_gradients_of_the_importance_bound_are_weighted_by_importance_not_by_loss():
    """A softmax over losses favours the worst sample: PyTorch-VAE#34. ∇L_K = Σ w̃_k ∇ln w_k with w̃ = w/Σw (Burda et al.)

    Each ln w_k is computed again in plain NumPy, its gradient by complex steps along random directions.
    """
    likelihood, k = Gaussian(Sigma(0.5)), 3
    model = truth.small_model("mlp")
    parameters = truth.lively_parameters(model)
    random = np.random.default_rng(3)
    y, noise = random.random((4, *model.image_shape)), random.standard_normal((k, 4, model.latent))
    terms = lambda p: np.stack([truth.elbo("mlp", likelihood, p, y, e, "sampled") for e in noise])
    logs = terms(parameters)
    softmax = lambda x: np.exp(x - x.max(axis=0)) / np.sum(np.exp(x - x.max(axis=0)), axis=0)
    gradient = mg.grad(lambda p: mg.sum(importance_bound(Autoencoder(model, likelihood, p), y, noise)))(parameters)
    for seed in range(5):
        direction = truth.like(parameters, np.random.default_rng(seed))
        slopes = np.imag(terms(truth.along(parameters, direction))) / 1e-20
        pairs = zip(tree.flatten(gradient)[0], tree.flatten(direction)[0], strict=True)
        got = sum(np.sum(g * d) for g, d in pairs)
        assert_close(got, np.sum(softmax(logs) * slopes))
        assert abs(got - np.sum(softmax(-logs) * slopes)) > 1e-3


def test_importance_weights_are_relative_to_the_largest_so_they_do_not_underflow():
    """xqding#3 took ln mean exp without subtracting the maximum. With ln Q(y) below −10⁴ every exp is 0."""
    model, parameters, w, _, _, y, _ = make_exact(sigma=0.01)
    y = move_away(y, w, 2.0)
    likelihood, noise = Gaussian(Sigma(0.01)), normal(20, 5, LATENT)
    evidence = ppca.log_evidence(y, w, 0.01)
    logs = np.stack([elbo(Autoencoder(model, likelihood, parameters), y, eps, "sampled") for eps in noise])
    assert np.all(np.exp(logs) == 0)
    assert np.all(evidence < -1e4)
    assert_close(importance_bound(Autoencoder(model, likelihood, parameters), y, noise), evidence, 16 * ROUNDINGS * EPS)


def test_a_mean_over_images_includes_the_last_short_batch():
    """pythae left the last short batch out of its NLL. Here: 503 images in batches of 500, the last three unlikely."""
    model, parameters, w, _, _, y, _ = make_exact(503)
    y[500:] = move_away(y[500:], w, 1.0)
    evidence = ppca.log_evidence(y, w, SIGMA)
    assert evidence.mean() < evidence[:500].mean() - 0.1
    assert_close(evaluation.mean_importance_bound(Autoencoder(model, GAUSSIAN, parameters), y, KEY, 3), evidence.mean())
    assert_close(evaluation.mean_elbo(Autoencoder(model, GAUSSIAN, parameters), y, KEY, "sampled"), evidence.mean())
