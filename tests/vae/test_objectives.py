"""vae/objectives.py: every term against an integral, a closed form or NumPy, and the gradient of the whole."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.core import tree
from tests.support.oracles import EPS, ROUNDINGS, assert_close, rounding
from tests.support.vae import truth
from vae.models import Affine, Decoder, Encoder, Parameters, mlp
from vae.objectives import (
    FORMS,
    LIKELIHOODS,
    Likelihood,
    elbo,
    elbo_terms,
    implications,
    importance_bound,
    kl_to_prior,
    log_normal,
)

LIKELIHOODS_TRIED = [
    Bernoulli(),
    *[LIKELIHOODS[name](Sigma(0.7, mode)) for name in ("gaussian", "laplace") for mode in ("fixed", "learned", "profiled")],
]
EVERY_LIKELIHOOD = pytest.mark.parametrize("likelihood", LIKELIHOODS_TRIED, ids=lambda x: f"{x.name}-{x.sigma.source}")
EVERY_FORM = pytest.mark.parametrize("form", FORMS)
EVERY_MODEL = pytest.mark.parametrize("name", ["mlp", "conv"])

means = st.floats(-4, 4)
log_sigmas = st.floats(-4, 2)
pixels = st.floats(-6, 6)


def gauss_hermite(f, mean: float = 0.0, std: float = 1.0, nodes: int = 32) -> float:
    """E f(z), z ~ N(mean, std²): exact for polynomials of degree below 2·nodes."""
    z, w = np.polynomial.hermite_e.hermegauss(nodes)
    return float(np.sum(w * f(mean + std * z)) / math.sqrt(2 * math.pi))


def setting(name: str, likelihood: Likelihood, count: int = 3, seed: int = 0):
    """A model with its parameters, images and noise, float64, none of them special."""
    random = np.random.default_rng(seed)
    model = truth.small_model(name)
    parameters = truth.lively_parameters(model, seed)
    if likelihood.sigma.source == "learned":
        parameters = parameters._replace(log_sigma=np.float64(-0.8))
    return model, parameters, random.random((count, *model.image_shape)), random.standard_normal((count, model.latent))


def constant_model(pixel: float, mean: float, log_std: float, image_shape=(2, 3, 1), latent=4):
    """A model that ignores its inputs: every posterior is N(mean, e^log_std²), every decoder's number is `pixel`."""
    model = mlp(image_shape, latent, hidden=2)
    p = tree.map(np.zeros_like, model.init(mg.random.key(0), np.float64))
    encoder = p.encoder._replace(
        mean=p.encoder.mean._replace(b=np.full(latent, mean)),
        log_std=p.encoder.log_std._replace(b=np.full(latent, log_std)),
    )
    decoder = p.decoder._replace(pixels=p.decoder.pixels._replace(b=np.full(math.prod(image_shape), pixel)))
    return model, Parameters(encoder, decoder)


# Likelihoods are distributions


@given(pixels)
def test_bernoulli_sums_to_one(x):
    total = sum(math.exp(Bernoulli().log_prob(y, np.float64(x))) for y in (0.0, 1.0))
    assert abs(total - 1) <= ROUNDINGS * EPS


@given(pixels, log_sigmas, st.booleans())
def test_gaussian_integrates_to_one_and_sigma_is_its_standard_deviation(x, log_sigma, fixed):
    """Trapezia of width σ/4 over ±12σ: the tails weigh e⁻⁷², aliasing e^(−2π²·16) (Poisson summation)."""
    sigma, centre = math.exp(log_sigma), truth.sigmoid(x)
    y = centre + sigma * np.arange(-48, 49) / 4
    likelihood = Gaussian(Sigma(sigma)) if fixed else Gaussian(LEARNED)
    density = np.exp(likelihood.log_prob(y, np.full(y.shape, x), None if fixed else np.float64(log_sigma))) * sigma / 4
    # ŷ is rounded at 1 and so moves by ε/σ standard deviations; that enters the sums to first order only in odd moments
    slack = ROUNDINGS * EPS / min(1, sigma)
    assert abs(density.sum() - 1) <= slack
    assert abs((density * (y - centre) ** 2).sum() / sigma**2 - 1) <= slack


@given(pixels, log_sigmas, st.booleans())
def test_laplace_integrates_to_one_and_sigma_is_its_mean_deviation(x, log_sigma, fixed):
    """Gauss–Laguerre on each side of the kink: exact for e^(−t) times a polynomial."""
    scale, centre = math.exp(log_sigma), truth.sigmoid(x)
    t, w = np.polynomial.laguerre.laggauss(16)
    likelihood = Laplace(Sigma(scale)) if fixed else Laplace(LEARNED)
    log_sigma = None if fixed else np.float64(log_sigma)
    sides = [likelihood.log_prob(centre + side * scale * t, np.full(t.shape, x), log_sigma) for side in (-1, 1)]
    weights = sum(np.exp(s + t) for s in sides) * w * scale
    slack = ROUNDINGS * EPS * max(1, t.max() / min(1, scale))
    assert abs(weights.sum() - 1) <= slack
    assert abs((weights * t).sum() - 1) <= slack  # E|y−ŷ| = σ
    assert abs((weights * t**2).sum() - 2) <= 2 * slack  # variance 2σ²


# Likelihoods from their formulas


@given(st.floats(0, 1), st.floats(-10, 10))
def test_bernoulli_from_logits_is_the_naive_formula(y, x):
    """1 − p loses e^|x| ≤ 2.2e4 roundings in the naive formula, in double precision."""
    naive = truth.log_prob(Bernoulli(), y, np.float64(x))
    assert abs(Bernoulli().log_prob(y, np.float64(x)) - naive) <= EPS * math.exp(abs(x)) + ROUNDINGS * EPS * 10


@pytest.mark.parametrize("x", [-1e4, -800.0, 800.0, 1e4])
def test_bernoulli_is_finite_where_the_naive_formula_is_not(x):
    for y, expected in ((0.0, -max(x, 0)), (1.0, min(x, 0)), (0.25, 0.25 * x - max(x, 0))):
        got, slope = mg.value_and_grad(lambda x, y=y: Bernoulli().log_prob(y, x))(np.float64(x))
        assert got == expected
        assert slope == y - (x > 0)


@given(st.floats(0, 1), pixels)
def test_bernoulli_is_linear_in_grey(y, x):
    """So a grey pixel gives the expectation over its random binarisations: a valid bound (PITFALLS.md)."""
    black, white = (Bernoulli().log_prob(v, np.float64(x)) for v in (0.0, 1.0))
    assert_close(Bernoulli().log_prob(y, np.float64(x)), (1 - y) * black + y * white)


@EVERY_LIKELIHOOD
def test_log_prob_agrees_with_plain_numpy(likelihood):
    random = np.random.default_rng(1)
    y, x = random.random((2, 3, 4, 5, 1))
    log_sigma = np.float64(-0.3) if likelihood.sigma.source == "learned" else None
    assert_close(likelihood.log_prob(y, x, log_sigma), truth.log_prob(likelihood, y, x, log_sigma))


@EVERY_LIKELIHOOD
@EVERY_FORM
def test_float32_stays_float32(likelihood, form):
    model, *values = setting("mlp", likelihood)
    parameters, y, noise = tree.map(lambda x: np.asarray(x, np.float32), tuple(values))
    for log_sigma in (None, -0.5) if likelihood.sigma.source != "learned" else (None,):
        loss = lambda p, s=log_sigma: elbo_terms(model, likelihood, p, y, noise, form, s)
        assert {part.dtype for part in loss(parameters)} == {np.dtype(np.float32)}
        bound = elbo(model, likelihood, parameters, y, noise, form, log_sigma)
        wide = elbo(model, likelihood, values[0], values[1], values[2], form, log_sigma)
        assert bound.dtype == np.float32
        assert_close(bound, wide, rounding(np.float32))


@given(log_sigmas)
def test_the_argument_log_sigma_overrides(log_sigma):
    y, x = np.random.default_rng(2).random((2, 2, 3, 3, 1))
    for name in ("gaussian", "laplace"):
        expected = LIKELIHOODS[name](Sigma(math.exp(log_sigma))).log_prob(y, x)
        for mode in ("fixed", "learned", "profiled"):
            got = LIKELIHOODS[name](Sigma(3.0, mode)).log_prob(y, x, log_sigma)
            assert_close(got, expected, ROUNDINGS * EPS * 4)  # ln of e^ln σ, |ln σ| ≤ 4


# σ at its optimum


def error_sums(y, x):
    error = y - truth.sigmoid(x)
    return np.sum(error**2), np.sum(np.abs(error))


@given(st.integers(0, 2**31), log_sigmas)
def test_profiled_sigma_is_the_optimum(seed, log_sigma):
    """Gaussian: −(D/2) ln(2πe·SSE/D); Laplace: −D ln(2e·SAE/D); no σ of the whole batch does better (slide 14)."""
    y, x = np.random.default_rng(seed).random((2, 2, 3, 3, 1))
    squares, absolutes = error_sums(y, x)
    d = y.size
    for name, best in (
        ("gaussian", -d / 2 * math.log(2 * math.pi * math.e * squares / d)),
        ("laplace", -d * math.log(2 * math.e * absolutes / d)),
    ):
        profiled = np.sum(LIKELIHOODS[name](PROFILED).log_prob(y, x))
        assert_close(profiled, best)
        other = np.sum(LIKELIHOODS[name](Sigma(math.exp(log_sigma))).log_prob(y, x))
        assert other <= profiled + ROUNDINGS * EPS * max(1, abs(other))


@pytest.mark.parametrize("name", ["gaussian", "laplace"])
def test_gradient_through_the_profiled_sigma(name):
    """d/dx of −(D/2) ln SSE is D/SSE·(y−ŷ)·ŷ′, of −D ln SAE is D/SAE·sign(y−ŷ)·ŷ′, with ŷ′ = ŷ(1−ŷ)."""
    y, x = np.random.default_rng(3).random((2, 2, 3, 3, 1))
    squares, absolutes = error_sums(y, x)
    fit = truth.sigmoid(x)
    error, slope = y - fit, fit * (1 - fit)
    expected = y.size * slope * (error / squares if name == "gaussian" else np.sign(error) / absolutes)
    assert_close(mg.grad(lambda x: mg.sum(LIKELIHOODS[name](PROFILED).log_prob(y, x)))(x), expected)


@given(st.integers(0, 2**31), log_sigmas)
def test_gradient_of_the_learned_log_sigma(seed, log_sigma):
    """SSE/σ² − D (gaussian) and SAE/σ − D (laplace): the derivative in ln σ, not in σ, σ² or ln σ²."""
    y, x = np.random.default_rng(seed).random((2, 2, 3, 3, 1))
    squares, absolutes = error_sums(y, x)
    for name, expected in (
        ("gaussian", squares / math.exp(2 * log_sigma) - y.size),
        ("laplace", absolutes / math.exp(log_sigma) - y.size),
    ):
        learned = LIKELIHOODS[name](LEARNED)
        got = mg.grad(lambda s, learned=learned: mg.sum(learned.log_prob(y, x, s)))(np.float64(log_sigma))
        assert_close(got, expected)


# Prior and posterior


@given(means, log_sigmas)
def test_closed_kl_is_the_integral(mean, log_std):
    """E_P[ln P − ln Q] of two Gaussians: a polynomial of degree 2 in z, which Gauss–Hermite integrates exactly."""
    std = math.exp(log_std)

    def integrand(z):
        log_p = -0.5 * ((z - mean) / std) ** 2 - log_std - 0.5 * math.log(2 * math.pi)
        return log_p + 0.5 * z**2 + 0.5 * math.log(2 * math.pi)

    expected = gauss_hermite(integrand, mean, std)
    size = 1 + mean**2 + std**2 + abs(log_std)  # what the terms that cancel amount to
    assert abs(kl_to_prior(np.float64(mean), np.float64(log_std)) - expected) <= ROUNDINGS * EPS * size
    assert kl_to_prior(np.float64(mean), np.float64(log_std)) >= -ROUNDINGS * EPS * size


@given(means, means, log_sigmas)
def test_log_normal_is_the_density(z, mean, log_std):
    z = mean + z * math.exp(log_std)  # within 4 standard deviations, so that the density does not vanish
    expected = math.log(truth.normal_density(z, mean, math.exp(log_std)))
    size = 1 + 8 * (1 + abs(mean) / math.exp(log_std))  # z − μ cancels
    assert abs(log_normal(np.float64(z), np.float64(mean), np.float64(log_std)) - expected) <= ROUNDINGS * EPS * size


@given(means, log_sigmas)
def test_both_forms_have_one_expectation(mean, log_std):
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
    gap = elbo(autoencoder, images, noise, "sampled") - elbo(
        model, likelihood, autoencoder.parameters, images, noise, "closed"
    )
    mean, log_std = truth.encode("mlp", autoencoder.parameters.encoder, y)
    std = np.exp(log_std)
    error = np.sqrt(np.sum((1 - std**2) ** 2 / 2 + (mean * std) ** 2, axis=1) / draws)
    assert np.all(np.abs(np.mean(gap.reshape(draws, len(y)), axis=0)) <= 5 * error)


@EVERY_FORM
def test_posterior_at_the_prior_costs_exactly_nothing(form):
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
    got, _ = elbo_terms(model, Bernoulli(), Parameters(encoder, decoder), np.ones((7, 1, 1, 1)), noise)
    assert_close(got.ravel(), -np.log1p(np.exp(-(0.4 + math.exp(-0.6) * noise.ravel()))))


# The whole


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
        assert_close(mg.jvp(weighted, (autoencoder.parameters,), (direction,))[1], expected, what=tree.names(autoencoder.parameters)[i])


@pytest.mark.parametrize("likelihood", [LIKELIHOODS_TRIED[0], LIKELIHOODS_TRIED[3]], ids=["bernoulli", "profiled"])
def test_every_single_entry_of_the_gradient(likelihood):
    autoencoder, y, noise = setting("mlp", likelihood)
    gradient = tree.flatten(mg.grad(lambda p: mg.sum(elbo(autoencoder.with_parameters(p), y, noise)))(autoencoder.parameters))[0]
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
    """ln ∫ N(z; 0, 1) Q(y|z) dz for one latent number, on a grid fine enough for any smooth integrand."""
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
def test_every_bound_is_below_the_evidence_by_what_theory_says(likelihood):
    """With w = Q(y, z)/P(z|y)/Q(y) = 1 + x, E L_k − ln Q(y) = E ln(1 + x̄), which expands in central moments of x:
    −m₂/2k + (m₃/3 − 3m₂²/4)/k² − ((m₄−3m₂²)/4 − 2m₂m₃ + 5m₂³/2)/k³ + … (LECTURE.md has the first term).
    """
    model, parameters, y, random = one_latent(likelihood)
    evidence = log_evidence(model, likelihood, parameters, y)
    k, runs = 3, 20000
    images, noise = np.tile(y, (runs, 1, 1, 1)), random.standard_normal((k, runs * len(y), 1))
    logs = np.stack([elbo(Autoencoder(model, likelihood, parameters), images, e, "sampled") for e in noise]).reshape(k, runs, -1)
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
    assert np.all(m2 / 2 / k > 5 * error)  # the gap itself is larger than what is allowed for


# The importance-weighted bound


def test_one_importance_sample_is_the_sampled_elbo():
    autoencoder, y, noise = setting("mlp", Bernoulli())
    expected = elbo(autoencoder, y, noise, "sampled")
    assert_close(importance_bound(autoencoder, y, noise[None]), expected, 4 * EPS)


@given(st.integers(2, 6), st.integers(0, 2**31))
def test_importance_bound_against_its_parts(k, seed):
    """The mean weight, by definition; and by Jensen L_k ≥ the mean of the L_{k−1} that leave one sample out."""
    likelihood = Gaussian(Sigma(0.5))
    autoencoder, y, _ = setting("mlp", likelihood)
    noise = np.random.default_rng(seed).standard_normal((k, len(y), autoencoder.model.latent))
    bound = importance_bound(autoencoder, y, noise)
    logs = np.stack([truth.elbo("mlp", likelihood, autoencoder.parameters, y, e, "sampled") for e in noise])
    assert_close(bound, np.log(np.mean(np.exp(logs), axis=0)))
    fewer = [importance_bound(autoencoder, y, np.delete(noise, i, axis=0)) for i in range(k)]
    assert np.all(np.mean(fewer, axis=0) <= bound + ROUNDINGS * EPS * np.abs(bound))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_importance_weights_that_underflow_are_no_matter(dtype):
    """σ = 0.01 puts weights at e^(−10⁴): only a sum relative to the largest survives."""
    likelihood = Gaussian(Sigma(0.01))
    autoencoder, y, _ = setting("mlp", likelihood)
    noise = np.random.default_rng(9).standard_normal((4, len(y), autoencoder.model.latent))
    autoencoder.parameters, y, noise = tree.map(lambda x: x.astype(dtype), (autoencoder.parameters, y, noise))
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


# What is refused, and what is said


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Likelihood("poisson"), "unknown decoder 'poisson': use bernoulli, gaussian, laplace"),
        (lambda: Likelihood("gaussian", "guessed"), "unknown σ mode 'guessed'"),
        (lambda: Bernoulli(LEARNED), "bernoulli decoder has no σ"),
        (lambda: Bernoulli(Sigma(0.5)), "bernoulli decoder has no σ"),
        (lambda: Gaussian(Sigma(0.0)), "σ must be a positive number, got 0.0"),
        (lambda: Gaussian(Sigma(math.nan)), "σ must be a positive number, got nan"),
        (lambda: Gaussian(Sigma(math.inf)), "σ must be a positive number, got inf"),
    ],
)
def test_what_no_likelihood_can_be(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(
    ("images", "noise"),
    [
        ((3, 8, 4, 1), (3, 2)),  # turned
        ((3, 32), (3, 2)),  # flat
        ((1, 4, 8, 2), (2, 2)),  # two channels, which would pass for two images
        ((3, 4, 8, 1), (1, 2)),  # one ε for all
        ((3, 4, 8, 1), (3, 1)),
        ((1, 4, 8, 1), (5, 1, 2)),  # as for the importance bound
        ((3, 4, 8, 1), ()),
    ],
)
def test_images_and_noise_of_another_shape(images, noise):
    autoencoder, *_ = setting("mlp", Bernoulli())
    with pytest.raises(ValueError, match=r"takes images \(N, 4, 8, 1\) and noise \(N, 2\), got \(.*\) and \("):
        elbo(autoencoder, np.zeros(images), np.zeros(noise))


def test_an_unknown_form():
    autoencoder, y, noise = setting("mlp", Bernoulli())
    with pytest.raises(ValueError, match="unknown form 'open' of the objective: use closed or sampled"):
        elbo(autoencoder, y, noise, "open")


@pytest.mark.parametrize(
    ("likelihood", "binary", "said"),
    [
        (Bernoulli(), True, ["binary pixels", "bound on −ln Q(y)"]),
        (Bernoulli(), False, ["grey pixels", "dynamically binarised", "not comparable"]),
        (Gaussian(Sigma(0.5)), False, ["σ² = 0.25 fixed", "normaliser included", "density"]),
        (Laplace(Sigma(0.5)), False, ["scale 0.5 fixed", "variance 0.5"]),
        (Gaussian(LEARNED), False, ["σ learned"]),
        (Laplace(PROFILED), False, ["σ profiled per batch, then kept for evaluation"]),
    ],
)
def test_the_early_line_says_what_the_loss_implies(likelihood, binary, said):
    line = implications(likelihood, binary, 784)
    everywhere = ["nats per image", "summed over 784 pixels and all latents", "averaged over images", "KL weight 1"]
    assert all(part in line for part in [likelihood.name, *said, *everywhere])
    assert "\n" not in line


def test_every_decoder_is_tried_here():
    assert {x.name for x in LIKELIHOODS_TRIED} == set(LIKELIHOODS)
