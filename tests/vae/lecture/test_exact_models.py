"""The exact models against plain NumPy: densities, sums, integrals and conditionals computed independently."""

import math
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose

import minigrad as mg
from minigrad.core import tree
from vae.lecture import Setting
from vae.lecture.models.bound import elbo
from vae.lecture.models.exact import PPCA, BeliefNet, LinearEncoder, Mixture, posterior
from vae.lecture.slides.s13_importance import expected_bound, random_gaussians
from vae.lecture.slides.s13_signal import both_moments

SEEDS = pytest.mark.parametrize("seed", range(3))


def gaussian(y, mean, covariance):
    """The density of N(mean, covariance) at each row of y."""
    error = y - mean
    far = np.einsum("ni,ij,nj->n", error, np.linalg.inv(covariance), error)
    return np.exp(-0.5 * far) / np.sqrt(np.linalg.det(2 * math.pi * covariance))


def ppca(seed, size=5, latent=2):
    draw = Setting(seed)
    model = PPCA(draw.normal("W", size, latent), draw.normal("mean", size), draw.normal("sigma", 1)[0] / 2)
    return model, draw.normal("y", 4, size) * 2, draw


def mixture(seed, size=3, components=4):
    draw = Setting(seed)
    parts = draw.normal("logits", components), draw.normal("means", components, size), draw.normal("s", components) / 2
    return Mixture(*parts), draw.normal("y", 5, size)


@SEEDS
def test_mixture_joint_is_a_weight_times_a_gaussian(seed):
    model, y = mixture(seed)
    weights = np.exp(model.logits) / np.exp(model.logits).sum()
    variances = np.exp(2 * model.log_sigmas)
    joint = [w * gaussian(y, m, v * np.eye(3)) for w, m, v in zip(weights, model.means, variances)]
    assert_allclose(np.exp(model.log_joint(y)), np.transpose(joint), rtol=1e-12)
    assert_allclose(np.exp(model.log_evidence(y)), np.sum(joint, axis=0), rtol=1e-12)
    assert_allclose(np.exp(posterior(model.log_joint(y))), np.transpose(joint / np.sum(joint, axis=0)), rtol=1e-12)


def test_mixture_accepts_a_shared_sigma_and_unused_components():
    model, y = mixture(0)
    shared, each = (
        Mixture(model.logits, model.means, np.array(0.3)),
        Mixture(model.logits, model.means, np.full(4, 0.3)),
    )
    assert_allclose(shared.log_joint(y), each.log_joint(y), rtol=1e-14)
    without = Mixture(np.array([0.5, -np.inf, 0.1, 0.2]), model.means, model.log_sigmas)
    kept = Mixture(np.array([0.5, 0.1, 0.2]), model.means[[0, 2, 3]], model.log_sigmas[[0, 2, 3]])
    assert_allclose(without.log_evidence(y), kept.log_evidence(y), rtol=1e-14)


@SEEDS
def test_belief_net_joint_is_a_product_of_bernoullis(seed):
    draw = Setting(seed)
    net = BeliefNet(draw.normal("a", 3), draw.normal("W", 3, 2), draw.normal("c", 2))
    y = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])

    def bernoulli(bit, logit):
        heads = 1 / (1 + math.exp(-logit))
        return heads if bit else 1 - heads

    for n, row in enumerate(y):
        for k, z in enumerate(product((0, 1), repeat=3)):
            logits = [net.bias[j] + sum(z[i] * net.weights[i, j] for i in range(3)) for j in range(2)]
            factors = [bernoulli(z[i], net.prior[i]) for i in range(3)] + [
                bernoulli(row[j], logits[j]) for j in range(2)
            ]
            assert_allclose(np.exp(net.log_joint(y)[n, k]), math.prod(factors), rtol=1e-12)
    assert_allclose(np.exp(net.log_evidence(y)).sum(), 1, rtol=1e-12)  # over all 2² images y
    assert_allclose(net.log_joint(y, net.every_z[[6, 1]]), net.log_joint(y)[:, [6, 1]], rtol=1e-14)


@SEEDS
@pytest.mark.parametrize(("size", "latent"), [(5, 2), (3, 3), (1, 1), (2, 4)])
def test_ppca_evidence_is_a_gaussian(seed, size, latent):
    model, y, _ = ppca(seed, size, latent)
    covariance = model.weights @ model.weights.T + np.exp(2 * model.log_sigma) * np.eye(size)
    assert_allclose(np.exp(model.log_evidence(y)), gaussian(y, model.mean, covariance), rtol=1e-10)


@SEEDS
def test_ppca_posterior_is_the_joint_divided_by_the_evidence(seed):
    model, y, draw = ppca(seed)
    z = draw.normal("z", 4, 6, 2)
    mean, covariance = model.posterior(y)
    conditional = np.exp(model.log_joint(y, z) - model.log_evidence(y)[:, None])
    for n in range(4):
        assert_allclose(gaussian(z[n], mean[n], covariance), conditional[n], rtol=1e-9)


@SEEDS
def test_ppca_mean_elbo_is_the_elbo_averaged_over_noise_and_images(seed):
    """The integral is by Gauss–Hermite quadrature, exact here because the integrand is quadratic in ε."""
    model, y, draw = ppca(seed)
    encoder = LinearEncoder(draw.normal("V", 2, 5), draw.normal("s", 2) / 2)
    nodes, weights = np.polynomial.hermite_e.hermegauss(4)
    noise = np.array(list(product(nodes, repeat=2)))
    weights = np.prod(list(product(weights / weights.sum(), repeat=2)), axis=1)
    error, std = y - model.mean, np.exp(encoder.log_std)
    z = (error @ encoder.weights.T)[:, None] + std * noise
    log_p = -0.5 * (noise**2).sum(1) - math.log(2 * math.pi) - encoder.log_std.sum()
    each = elbo(model.log_joint(y, z), np.broadcast_to(log_p, (4, 16)), weights)
    assert_allclose(model.mean_elbo(encoder, error.T @ error / 4), each.mean(), rtol=1e-12)


@SEEDS
def test_ppca_best_encoder_is_where_the_gradient_vanishes_and_its_gap_is_known(seed):
    model, y, _ = ppca(seed)
    covariance = (y - model.mean).T @ (y - model.mean) / 4
    best = model.best_encoder()
    gradient = mg.grad(model.mean_elbo)(best, covariance)
    assert max(np.abs(g).max() for g in tree.flatten(gradient)[0]) < 1e-11
    precision = model.weights.T @ model.weights + np.exp(2 * model.log_sigma) * np.eye(2)
    gap = 0.5 * (np.log(np.diag(precision)).sum() - np.log(np.linalg.det(precision)))
    assert_allclose(model.log_evidence(y).mean() - model.mean_elbo(best, covariance), gap, rtol=1e-9)


def test_elbo_of_a_point_mass_has_no_entropy_and_ignores_impossible_z():
    log_joint = np.array([[-1.0, -2.0, -np.inf], [-3.0, -0.5, -np.inf]])
    point = np.array([[0.0, -np.inf, -np.inf], [-np.inf, 0.0, -np.inf]])
    assert_allclose(elbo(log_joint, point), [-1.0, -0.5])
    assert_allclose(mg.grad(lambda q: mg.sum(elbo(q, point)))(log_joint), [[1, 0, 0], [0, 1, 0]])
    half = np.log(np.array([[0.5, 0.5, 0.0], [0.25, 0.75, 0.0]]) + np.array([[0, 0, 1e-300]]))
    assert elbo(log_joint, half)[0] == -np.inf  # P > 0 at a z with Q(z, y) = 0


def test_elbo_with_equal_weights_is_the_mean_over_draws():
    log_joint, log_p = Setting(0).normal("joint", 2, 5), Setting(0).normal("p", 2, 5)
    assert_allclose(elbo(log_joint, log_p, np.full(5, 0.2)), (log_joint - log_p).mean(1), rtol=1e-14)


@SEEDS
@pytest.mark.parametrize("k", [1, 3, 64])
def test_mean_of_the_importance_weighted_gradient_is_the_slope_of_the_expected_bound(seed, k):
    model, h = random_gaussians(Setting(seed)), 1e-3
    by_mean = [expected_bound(model._replace(mean=model.mean + i * h), k) for i in (-2, -1, 1, 2)]
    by_log_std = [expected_bound(model._replace(std=model.std * math.exp(i * h)), k) for i in (-2, -1, 1, 2)]
    slope = np.stack([by_mean, by_log_std]) @ [1, -8, 8, -1] / (12 * h)
    assert_allclose(both_moments(model, k)[0], [slope, slope], rtol=0, atol=1e-10)
