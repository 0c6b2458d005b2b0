"""vae/objectives.py: every term against an integral, a closed form or NumPy, and the gradient of the ELBO."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.core import tree
from tests.support.oracles import EPS, ROUNDINGS, assert_close, rounding
from tests.support.vae import truth
from tests.support.vae.settings import EVERY_FORM, EVERY_LIKELIHOOD, EVERY_MODEL, TRIED, setting
from vae.autoencoder import Autoencoder
from vae.likelihoods import Bernoulli, Gaussian
from vae.models import Affine, Decoder, Encoder, Parameters, mlp
from vae.objectives import (
    FORMS,
    elbo,
    elbo_terms,
    importance_bound,
    kl_to_prior,
    log_normal,
)
from vae.sigma import Sigma

means = st.floats(-4, 4)
log_sigmas = st.floats(-4, 2)
pixels = st.floats(-6, 6)


def gauss_hermite(f, mean: float = 0.0, std: float = 1.0, nodes: int = 32) -> float:
    """E f(z), z ~ N(mean, std²): exact for polynomials of degree below 2·nodes."""
    z, w = np.polynomial.hermite_e.hermegauss(nodes)
    return float(np.sum(w * f(mean + std * z)) / math.sqrt(2 * math.pi))


def constant_model(pixel: float, mean: float, log_std: float, image_shape=(2, 3, 1), latent=4):
    """A model that ignores its inputs: every posterior is N(mean, e^log_std²), every decoder output is `pixel`."""
    model = mlp(image_shape, latent, hidden=2)
    p = tree.map(np.zeros_like, model.init(mg.random.key(0), np.float64))
    encoder = p.encoder._replace(
        mean=p.encoder.mean._replace(b=np.full(latent, mean)),
        log_std=p.encoder.log_std._replace(b=np.full(latent, log_std)),
    )
    decoder = p.decoder._replace(pixels=p.decoder.pixels._replace(b=np.full(math.prod(image_shape), pixel)))
    return model, Parameters(encoder, decoder)


@EVERY_LIKELIHOOD
@EVERY_FORM
def test_float32_stays_float32(likelihood, form):
    wide, *values = setting("mlp", likelihood)
    narrow = tree.map(lambda x: np.asarray(x, np.float32), (wide.parameters, *values))
    autoencoder, (y, noise) = wide.with_parameters(narrow[0]), narrow[1:]
    for log_sigma in (None, -0.5) if likelihood.sigma.source != "learned" else (None,):
        terms = elbo_terms(autoencoder, y, noise, form, log_sigma)
        assert {part.dtype for part in terms} == {np.dtype(np.float32)}
        bound = elbo(autoencoder, y, noise, form, log_sigma)
        assert bound.dtype == np.float32
        assert_close(bound, elbo(wide, *values, form, log_sigma), rounding(np.float32))


# Prior and posterior


@given(means, log_sigmas)
def test_closed_kl_is_the_integral(mean, log_std):
    """E_P[ln P − ln Q] of two Gaussians: a polynomial of degree 2 in z, which Gauss–Hermite integrates exactly."""
    std = math.exp(log_std)

    def integrand(z):
        log_p = -0.5 * ((z - mean) / std) ** 2 - log_std - 0.5 * math.log(2 * math.pi)
        return log_p + 0.5 * z**2 + 0.5 * math.log(2 * math.pi)

    expected = gauss_hermite(integrand, mean, std)
    size = 1 + mean**2 + std**2 + abs(log_std)  # size of the terms that cancel
    assert abs(kl_to_prior(np.float64(mean), np.float64(log_std)) - expected) <= ROUNDINGS * EPS * size
    assert kl_to_prior(np.float64(mean), np.float64(log_std)) >= -ROUNDINGS * EPS * size


@given(means, means, log_sigmas)
def test_log_normal_is_the_density(z, mean, log_std):
    z = mean + z * math.exp(log_std)  # within 4 standard deviations, so that the density does not vanish
    expected = math.log(truth.normal_density(z, mean, math.exp(log_std)))
    size = 1 + 8 * (1 + abs(mean) / math.exp(log_std))  # z − μ cancels
    assert abs(log_normal(np.float64(z), np.float64(mean), np.float64(log_std)) - expected) <= ROUNDINGS * EPS * size


@given(means, log_sigmas)
def test_both_forms_have_the_same_expectation(mean, log_std):
    """E over ε of ln Q(z) − ln P(z|y) is −KL: again a polynomial of degree 2, in ε."""
    m, s = np.float64(mean), np.float64(log_std)
    expected = gauss_hermite(lambda e: log_normal(m + np.exp(s) * e) - log_normal(m + np.exp(s) * e, m, s))
    size = (1 + mean**2 + math.exp(2 * log_std)) * max(1, abs(mean) * math.exp(-log_std))
    assert abs(expected + kl_to_prior(m, s)) <= ROUNDINGS * EPS * size


@EVERY_LIKELIHOOD
def test_both_forms_of_the_whole_elbo_agree_on_average(likelihood):
    """The difference of the forms on one ε is Σ a(ε²−1) + bε with a = (1−σ²)/2, b = −μσ: mean 0, variance Σ 2a²+b²."""
    autoencoder, y, _ = setting("mlp", likelihood)
    draws = 5000
    noise = np.random.default_rng(4).standard_normal((draws * len(y), autoencoder.model.latent))
    images = np.tile(y, (draws, 1, 1, 1))
    gap = elbo(autoencoder, images, noise, "sampled") - elbo(autoencoder, images, noise, "closed")
    mean, log_std = truth.encode("mlp", autoencoder.parameters.encoder, y)
    std = np.exp(log_std)
    error = np.sqrt(np.sum((1 - std**2) ** 2 / 2 + (mean * std) ** 2, axis=1) / draws)
    assert np.all(np.abs(np.mean(gap.reshape(draws, len(y)), axis=0)) <= 5 * error)


@EVERY_FORM
def test_the_kl_term_is_exactly_zero_where_the_posterior_is_the_prior(form):
    model, parameters = constant_model(pixel=0.3, mean=0.0, log_std=0.0)
    random = np.random.default_rng(5)
    y, noise = random.random((3, *model.image_shape)), random.standard_normal((3, model.latent))
    _, latents = elbo_terms(Autoencoder(model, Bernoulli(), parameters), y, noise, form)
    assert np.all(latents == 0)


# Sums and means


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 6), means, st.floats(-2, 1))
def test_the_elbo_is_summed_over_pixels_and_latents_with_weight_one(height, latent, count, mean, log_std):
    """A constant model in closed form: H·W·ln ½ − latent·½(μ²+σ²−1−2 ln σ), the same number for every image."""
    model, parameters = constant_model(0.0, mean, log_std, (height, 3, 1), latent)
    y, noise = np.random.default_rng(6).random((count, height, 3, 1)), np.zeros((count, latent))
    expected = -3 * height * math.log(2) - latent * (mean**2 + math.exp(2 * log_std) - 1 - 2 * log_std) / 2
    assert_close(elbo(Autoencoder(model, Bernoulli(), parameters), y, noise), np.full(count, expected))


def test_the_noise_is_scaled_by_one():
    """A decoder whose logit is z itself: the bernoulli term of pixel 1 must be −softplus(−(μ + σ·ε))."""
    model = mlp((1, 1, 1), 1, hidden=2)
    b = lambda *x: np.array(x, np.float64)
    zero = Affine(np.zeros((2, 1)), b(0.0))
    encoder = Encoder((Affine(np.zeros((1, 2)), b(0, 0)),), zero._replace(b=b(0.4)), zero._replace(b=b(-0.6)))
    both_signs = Affine(b([1, -1]), b(0, 0))  # z = relu(z) − relu(−z)
    decoder = Decoder((both_signs,), Affine(b([1], [-1]), b(0.0)))
    noise = np.linspace(-3, 3, 7)[:, None]
    got, _ = elbo_terms(Autoencoder(model, Bernoulli(), Parameters(encoder, decoder)), np.ones((7, 1, 1, 1)), noise)
    assert_close(got.ravel(), -np.log1p(np.exp(-(0.4 + math.exp(-0.6) * noise.ravel()))))


# The whole objective


@EVERY_MODEL
@EVERY_LIKELIHOOD
@EVERY_FORM
def test_the_elbo_agrees_with_plain_numpy(name, likelihood, form):
    autoencoder, y, noise = setting(name, likelihood)
    expected = truth.elbo(name, likelihood, autoencoder.parameters, y, noise, form)
    assert_close(elbo(autoencoder, y, noise, form), expected)


@EVERY_MODEL
@EVERY_LIKELIHOOD
@EVERY_FORM
def test_the_gradient_agrees_with_the_complex_step(name, likelihood, form):
    """Reverse and forward mode along random signed directions through every parameter tensor, one tensor at a time."""
    autoencoder, y, noise = setting(name, likelihood)
    random = np.random.default_rng(7)
    u = random.standard_normal(len(y))

    def weighted(p):
        return mg.sum(u * elbo(autoencoder.with_parameters(p), y, noise, form))

    gradient, structure = tree.flatten(mg.grad(weighted)(autoencoder.parameters))
    leaves, _ = tree.flatten(autoencoder.parameters)
    for i, (leaf, g) in enumerate(zip(leaves, gradient, strict=True)):
        direction = [np.zeros_like(x) for x in leaves]
        direction[i] = random.standard_normal(np.shape(leaf))
        direction = tree.unflatten(structure, direction)
        stepped = truth.elbo(name, likelihood, truth.along(autoencoder.parameters, direction), y, noise, form)
        expected = np.sum(u * np.imag(stepped)) / 1e-20
        assert abs(expected) > 1e-4  # every tensor matters
        assert_close(np.sum(g * tree.flatten(direction)[0][i]), expected, what=tree.names(autoencoder.parameters)[i])
        assert_close(
            mg.jvp(weighted, (autoencoder.parameters,), (direction,))[1],
            expected,
            what=tree.names(autoencoder.parameters)[i],
        )


@pytest.mark.parametrize("likelihood", [TRIED[0], TRIED[3]], ids=["bernoulli", "profiled"])
def test_every_entry_of_the_gradient_agrees_with_the_complex_step(likelihood):
    autoencoder, y, noise = setting("mlp", likelihood)
    gradient = tree.flatten(
        mg.grad(lambda p: mg.sum(elbo(autoencoder.with_parameters(p), y, noise)))(autoencoder.parameters)
    )[0]
    leaves, structure = tree.flatten(autoencoder.parameters)
    for i, leaf in enumerate(leaves):
        expected = np.zeros_like(leaf)
        for index in np.ndindex(leaf.shape):
            moved = [x.astype(complex) for x in leaves]
            moved[i][index] += 1e-20j
            stepped = truth.elbo("mlp", likelihood, tree.unflatten(structure, moved), y, noise, "closed")
            expected[index] = np.sum(np.imag(stepped)) / 1e-20
        assert_close(gradient[i], expected)


def log_evidence(model, likelihood, parameters, y) -> np.ndarray:
    """ln ∫ N(z; 0, 1) Q(y|z) dz for a one-dimensional latent, on a grid fine enough for any smooth integrand."""
    z = np.linspace(-10, 10, 20001)
    images = truth.decode("mlp", parameters.decoder, z[:, None], model.image_shape)
    found = []
    for image in y:
        logs = truth.log_prob(likelihood, image, images).sum(axis=(1, 2, 3)) - z**2 / 2 - math.log(2 * math.pi) / 2
        found.append(np.max(logs) + math.log(np.sum(np.exp(logs - np.max(logs))) * (z[1] - z[0])))
    return np.array(found)


def one_latent(likelihood, seed: int = 8):
    random = np.random.default_rng(seed)
    model = mlp((2, 2, 1), 1, hidden=4)
    parameters = model.init(mg.random.key(seed), np.float64)
    parameters = tree.map(lambda p, d: p + d, parameters, truth.like(parameters, random, 0.15))
    return model, parameters, random.random((3, 2, 2, 1)), random


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(Sigma(0.6))], ids=["bernoulli", "gaussian"])
def test_every_bound_is_below_the_evidence_by_the_predicted_gap(likelihood):
    """With w = Q(y, z)/P(z|y)/Q(y) = 1 + x, E L_k − ln Q(y) = E ln(1 + x̄), which expands in central moments of x:
    −m₂/2k + (m₃/3 − 3m₂²/4)/k² − ((m₄−3m₂²)/4 − 2m₂m₃ + 5m₂³/2)/k³ + …
    """
    model, parameters, y, random = one_latent(likelihood)
    evidence = log_evidence(model, likelihood, parameters, y)
    k, runs = 3, 20000
    images, noise = np.tile(y, (runs, 1, 1, 1)), random.standard_normal((k, runs * len(y), 1))
    logs = np.stack([elbo(Autoencoder(model, likelihood, parameters), images, e, "sampled") for e in noise]).reshape(
        k, runs, -1
    )
    bound = importance_bound(Autoencoder(model, likelihood, parameters), images, noise).reshape(runs, -1)
    error = bound.std(0, ddof=1) / math.sqrt(runs)
    assert np.all(logs.mean((0, 1)) <= bound.mean(0) + 5 * error)
    assert np.all(bound.mean(0) <= evidence + 5 * error)
    x = np.exp(logs - evidence).reshape(-1, len(y)) - 1
    assert np.all(np.abs(x.mean(0)) <= 5 * x.std(0) / math.sqrt(k * runs))  # weights are unbiased: E w = Q(y)
    m2, m3, m4 = (np.mean(x**n, axis=0) for n in (2, 3, 4))
    second = -m2 / 2 / k + (m3 / 3 - 3 * m2**2 / 4) / k**2
    third = ((m4 - 3 * m2**2) / 4 - 2 * m2 * m3 + 5 * m2**3 / 2) / k**3
    moment_error = np.sqrt((m4 - m2**2) / (k * runs)) / 2 / k  # of the leading term
    assert np.all(np.abs(bound.mean(0) - evidence - second) <= 5 * (error + moment_error) + 2 * np.abs(third))
    assert np.all(m2 / 2 / k > 5 * error)  # the gap is larger than the tolerance


# The importance-weighted bound


def test_one_importance_sample_is_the_sampled_elbo():
    autoencoder, y, noise = setting("mlp", Bernoulli())
    expected = elbo(autoencoder, y, noise, "sampled")
    assert_close(importance_bound(autoencoder, y, noise[None]), expected, 4 * EPS)


@given(st.integers(2, 6), st.integers(0, 2**31))
def test_importance_bound_is_the_log_of_the_mean_weight(k, seed):
    """By definition; and by Jensen L_k ≥ the mean of the L_{k−1} that leave one sample out."""
    likelihood = Gaussian(Sigma(0.5))
    autoencoder, y, _ = setting("mlp", likelihood)
    noise = np.random.default_rng(seed).standard_normal((k, len(y), autoencoder.model.latent))
    bound = importance_bound(autoencoder, y, noise)
    logs = np.stack([truth.elbo("mlp", likelihood, autoencoder.parameters, y, e, "sampled") for e in noise])
    assert_close(bound, np.log(np.mean(np.exp(logs), axis=0)))
    fewer = [importance_bound(autoencoder, y, np.delete(noise, i, axis=0)) for i in range(k)]
    assert np.all(np.mean(fewer, axis=0) <= bound + ROUNDINGS * EPS * np.abs(bound))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_importance_weights_may_underflow(dtype):
    """With σ = 0.01 weights are about e^(−10⁴): only a sum relative to the largest is not 0."""
    likelihood = Gaussian(Sigma(0.01))
    autoencoder, y, _ = setting("mlp", likelihood)
    noise = np.random.default_rng(9).standard_normal((4, len(y), autoencoder.model.latent))
    parameters, y, noise = tree.map(lambda x: x.astype(dtype), (autoencoder.parameters, y, noise))
    autoencoder = autoencoder.with_parameters(parameters)
    logs = np.stack([elbo(autoencoder, y, e, "sampled") for e in noise]).astype(np.float64)
    assert logs.max() < -1e4
    expected = [math.log(math.fsum(np.exp(column - column.max())) / 4) + column.max() for column in logs.T]
    assert_close(importance_bound(autoencoder, y, noise), expected, 8 * np.finfo(dtype).eps)


def test_a_constant_decoder_makes_every_bound_the_evidence():
    """Then Q(y|z) = Q(y) and the prior is the posterior: all weights are equal, for any ε and any k."""
    model, parameters = constant_model(0.7, 0.0, 0.0)
    random = np.random.default_rng(10)
    y, noise = random.random((3, *model.image_shape)), random.standard_normal((5, 3, model.latent))
    expected = np.sum(y * math.log(truth.sigmoid(0.7)) + (1 - y) * math.log(1 - truth.sigmoid(0.7)), axis=(1, 2, 3))
    for form in FORMS:
        assert_close(elbo(Autoencoder(model, Bernoulli(), parameters), y, noise[0], form), expected)
    assert_close(importance_bound(Autoencoder(model, Bernoulli(), parameters), y, noise), expected)


# What is refused


@pytest.mark.parametrize(
    ("images", "noise"),
    [
        ((3, 8, 4, 1), (3, 2)),  # transposed
        ((3, 32), (3, 2)),  # flat
        ((1, 4, 8, 2), (2, 2)),  # two channels, which would pass for two images
        ((3, 4, 8, 1), (1, 2)),  # one ε for all
        ((3, 4, 8, 1), (3, 1)),
        ((3, 4, 8, 1), (5, 1, 2)),  # one ε for all, five samples
        ((3, 4, 8, 1), (0, 3, 2)),  # no sample
        ((3, 4, 8, 1), (1, 5, 3, 2)),
        ((3, 4, 8, 1), ()),
    ],
)
def test_images_and_noise_of_another_shape_are_refused(images, noise):
    autoencoder, *_ = setting("mlp", Bernoulli())
    said = r"takes images \(N, 4, 8, 1\) and noise \(N, 2\) or \(K, N, 2\), got \(.*\) and \("
    with pytest.raises(ValueError, match=said):
        elbo(autoencoder, np.zeros(images), np.zeros(noise))


def test_an_unknown_form_is_refused():
    autoencoder, y, noise = setting("mlp", Bernoulli())
    with pytest.raises(ValueError, match="unknown form 'open' of the objective: use closed or sampled"):
        elbo(autoencoder, y, noise, "open")
