"""vae/explain.py: a stated bound never exceeds a known ln Q(y), and what is not called a bound can exceed it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from tests.support.oracles import EPS, ROUNDINGS, assert_close
from tests.support.vae import ppca, truth
from tests.support.vae.settings import loss
from vae.autoencoder import Autoencoder
from vae.config import Config
from vae.explain import explain_loss
from vae.models import Affine, Decoder, Encoder, Model, Parameters
from vae.objectives import FORMS, REDUCTIONS, elbo_sums

PIXELS, LATENT, IMAGE = 6, 2, (2, 3, 1)


def draw_linear(seed, sigma):
    """A random generator, an orthogonal W (D, d) of pPCA, and images drawn with it."""
    random = np.random.default_rng(seed)
    w = ppca.orthogonal(random, PIXELS, LATENT, 0.05)
    y = ppca.draw(random, w, min(sigma, 0.05), 4, IMAGE)
    return random, w, y


def perturb(random, v, std):
    """Another encoder (V, s), near enough for decoded images to stay in (0, 1)."""
    return v + 0.5 * random.standard_normal(v.shape), std * np.exp(random.uniform(-0.7, 0.7, std.shape))


def bound_from_loss(config, parameters, y, nodes=3):
    """The explanation, and (offset − loss)/scale of each image averaged over ε exactly, which `is_bound` is about."""
    said = explain_loss(config, y.shape[1:])
    latent = parameters.encoder.mean.b.size
    model = ppca.linear_model(y.shape[1:], latent)
    mean = ppca.average(lambda images, noise: loss(config, model, parameters, images, noise), y, latent, nodes)
    return said, (said.offset - mean) / said.scale


@given(
    st.sampled_from(FORMS),
    st.sampled_from(REDUCTIONS),
    st.floats(0.02, 50),
    st.floats(0.05, 1),
    st.integers(0, 2**31),
)
def test_with_a_fixed_sigma_any_weight_bounds_the_evidence_of_the_stated_sigma(form, reduction, beta, sigma, seed):
    """Never above ln Q(y) under the stated σ², for any encoder; equal to it where P(z|y) is that model's posterior."""
    beta = beta / PIXELS if reduction == "mean" else beta
    config = Config(decoder="gaussian", sigma=repr(sigma), form=form, reduction=reduction, beta=beta)
    random, w, y = draw_linear(seed, sigma)
    stated = math.sqrt(explain_loss(config, IMAGE).sigma_squared)
    evidence = ppca.log_evidence(y, w, stated)
    v, std = ppca.posterior(w, stated)
    said, tight = bound_from_loss(config, ppca.make_parameters(w, v, std), y)
    size = 1 + np.abs(evidence) + abs(said.offset / said.scale)
    assert said.is_bound
    assert np.all(np.abs(tight - evidence) <= ROUNDINGS * EPS * size)
    v, std = perturb(random, v, std)
    _, bound = bound_from_loss(config, ppca.make_parameters(w, v, std), y)
    assert np.all(bound <= evidence + ROUNDINGS * EPS * size)
    assert_close(bound, ppca.mean_elbo(y, w, stated, v, std), ROUNDINGS * EPS * size.max())


@given(
    st.sampled_from(REDUCTIONS),
    st.floats(0.1, 0.99) | st.floats(1.001, 10),
    st.floats(0.05, 1),
    st.integers(0, 2**31),
)
def test_with_a_learned_sigma_a_weight_below_one_gives_no_bound(reduction, weight, sigma, seed):
    """With the posterior as encoder it is ln Q(y) + (1−w)·KL, as `why` says. For w ≥ 1 no encoder exceeds ln Q(y)."""
    beta = weight / PIXELS if reduction == "mean" else weight
    config = Config(decoder="gaussian", sigma="learned", reduction=reduction, beta=beta)
    random, w, y = draw_linear(seed, sigma)
    evidence = ppca.log_evidence(y, w, sigma)
    v, std = ppca.posterior(w, sigma)
    learned = lambda v, std: ppca.make_parameters(w, v, std)._replace(log_sigma=np.float64(math.log(sigma)))
    said, found = bound_from_loss(config, learned(v, std), y)
    assert (said.sigma_squared, said.is_bound) == (None, weight >= 1)
    assert_close(found, evidence + (1 - weight) * ppca.kl(y, v, std), 4 * ROUNDINGS * EPS)
    if not said.is_bound:
        assert np.all(found > evidence)
        return
    for _ in range(5):
        other = learned(*perturb(random, v, std))
        assert np.all(bound_from_loss(config, other, y)[1] <= evidence + ROUNDINGS * EPS * (1 + np.abs(evidence)))


def test_a_weight_of_zero_gives_no_bound():
    config = Config(decoder="gaussian", sigma="0.3", beta=0.0)
    _, w, y = draw_linear(0, 0.3)
    v, std = ppca.posterior(w, 0.3)
    said, found = bound_from_loss(config, ppca.make_parameters(w, v, std), y)
    assert (said.sigma_squared, said.beta, said.is_bound) == (0.3**2, 0, False)
    assert np.all(found > ppca.log_evidence(y, w, 0.3))


@pytest.mark.parametrize("beta", [1.0, 4.0, 50.0])
def test_a_profiled_sigma_gives_no_bound_on_one_pixel_whatever_the_weight(beta):
    """An image ½ from the centre, W = 0.05: Q(y) = N(½, W²+σ²) is largest for σ² = ¼−W².

    Let v be the variance of ln Q(y|z) under the prior, (W/2σ²)² to leading order. With an encoder 1/w of the way from
    the prior to the posterior, it exceeds ln Q(y) by v·(1/2w − ½ + 1/D), here D = 1, plus terms of order v².
    """
    config, w, y = Config(decoder="gaussian", sigma="profiled", beta=beta), np.array([[0.05]]), np.ones((1, 1, 1, 1))
    best = math.sqrt(0.25 - 0.05**2)
    highest = ppca.log_evidence(y, w, best)
    assert all(ppca.log_evidence(y, w, best * factor) < highest for factor in (0.99, 1.01))
    v, std = ppca.posterior(w, best)
    parameters = ppca.make_parameters(w, v / beta, np.exp(np.log(std) / beta))
    said = explain_loss(config, (1, 1, 1))
    model = ppca.linear_model((1, 1, 1), 1)
    each = lambda images, noise: np.array(  # each image is a batch of its own, over which σ is profiled
        [loss(config, model, parameters, image[None], eps[None])[0] for image, eps in zip(images, noise)]
    )
    excess = -ppca.average(each, y, 1, 16) / said.scale - highest
    assert not said.is_bound
    variance = (0.05 / (2 * best**2)) ** 2
    assert abs(excess[0] / variance - (1 / (2 * beta) + 0.5)) < 10 * variance
    kept = Config(decoder="gaussian", sigma=repr(best))
    assert bound_from_loss(kept, parameters, y)[1] <= highest


def logistic_model(seed, pixels=5):
    """A Bernoulli decoder with logits linear in one z, a binary image, and its ln Q(y) by quadrature with 100 nodes."""
    random = np.random.default_rng(seed)
    w, b, y = random.standard_normal((1, pixels)), random.standard_normal(pixels), random.integers(0, 2, pixels) * 1.0
    decode = lambda decoder, z: mg.reshape(z @ decoder.pixels.w + decoder.pixels.b, (-1, 1, pixels, 1))
    encode = ppca.linear_model((1, pixels, 1), 1).encode
    z, weight = np.polynomial.hermite_e.hermegauss(100)
    p = truth.sigmoid(z[:, None] * w + b)
    joint = weight / weight.sum() * np.prod(np.where(y, p, 1 - p), axis=1)
    evidence = math.log(joint.sum())
    mean = joint @ z / joint.sum()
    std = math.sqrt(joint @ (z - mean) ** 2 / joint.sum())

    def parameters(mean, std):
        zero = np.zeros((pixels, 1))
        heads = Affine(zero, np.array([mean])), Affine(zero, np.array([math.log(std)]))
        return Parameters(Encoder((), *heads), Decoder((), Affine(w, b)))

    model = Model("logistic", (1, pixels, 1), 1, lambda key: None, encode, decode)
    return model, y.reshape(1, 1, pixels, 1), evidence, parameters, mean, std


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("beta", "is_bound"), [(0.5, False), (0.9, False), (1.0, True), (4.0, True)])
def test_with_a_bernoulli_decoder_a_weight_below_one_gives_no_bound(beta, is_bound, seed):
    """For β < 1 the Gaussian with the posterior's moments exceeds ln Q(y); for β ≥ 1 a hundred encoders do not."""
    model, y, evidence, parameters, mean, std = logistic_model(seed)
    config = Config(beta=beta)
    said = explain_loss(config, y.shape[1:])
    assert (said.sigma_squared, said.beta, said.is_bound) == (None, beta, is_bound)
    value = lambda m, s: (
        -ppca.average(lambda images, noise: loss(config, model, parameters(m, s), images, noise), y, 1, 40)
    )
    if not is_bound:
        assert value(mean, std) > evidence
        return
    random = np.random.default_rng(seed)
    for _ in range(100):
        assert value(mean + random.standard_normal(), std * math.exp(random.standard_normal())) <= evidence
    if beta == 1:
        assert value(mean, std) > evidence - 0.05  # the bound is tight, not merely low


# Importance-weighted objectives


def importance_value(config, parameters, y, nodes=24):
    """(offset − loss)/scale of each image for K samples of one latent, averaged over ε exactly enough (checked with
    other nodes): the loss is −ln of the mean of e^(weighted sums)."""
    said, samples = explain_loss(config, y.shape[1:]), config.samples
    autoencoder = Autoencoder(ppca.linear_model(y.shape[1:], 1), config.make_likelihood(), parameters)
    weights = config.make_weights(y.shape[1:])

    def loss(images, noise):
        pixels, latents = elbo_sums(autoencoder, images, noise.T[..., None], "sampled")
        logs = np.asarray(weights.pixels * pixels + weights.latents * latents)
        return -np.log(np.mean(np.exp(logs - logs.max(0)), axis=0)) - logs.max(0)

    mean = ppca.average(loss, y, samples, nodes)
    assert_close(mean, ppca.average(loss, y, samples, nodes - 4), 1e-6)
    return said, (said.offset - mean) / said.scale


@pytest.mark.parametrize("objective", ["iwae", "dreg"])
@pytest.mark.parametrize("samples", [1, 2, 3])
def test_an_importance_weighted_objective_is_a_bound_for_a_weight_of_one_alone(objective, samples):
    """For β = 1 it equals ln Q(y) at the posterior, and no other encoder exceeds it. For other weights and K > 1 the
    posterior itself exceeds ln Q(y): with t = ln Q(z) − ln P(z|y) by ln (1/K) Σ e^((β−1)·t_k), whose mean is positive
    for β < 1 (by Jensen's inequality) and, where the posterior is near the prior, for large β, to second order by
    ((β−1)²·(1−1/K) − (β−1))·KL."""
    random, sigma = np.random.default_rng(0), 0.05
    w = ppca.orthogonal(random, 2, 1, 0.03)
    y = np.full((3, 1, 2, 1), ppca.CENTRE) + 0.02 * random.standard_normal((3, 1, 2, 1))
    v, std = ppca.posterior(w, sigma)
    exact, evidence = ppca.make_parameters(w, v, std), ppca.log_evidence(y, w, sigma)
    make = lambda beta: Config(
        objective=objective, samples=samples, decoder="gaussian", sigma=repr(sigma), beta=beta, latent=1
    )
    said, tight = importance_value(make(1.0), exact, y)
    assert said.is_bound and (said.beta, said.scale, said.offset) == (1, 1, 0)
    assert_close(tight, evidence, 1e-9)
    for _ in range(10):
        other = ppca.make_parameters(w, v + 3 * random.standard_normal(v.shape), std * random.uniform(0.8, 1.2))
        found = importance_value(make(1.0), other, y)[1]
        assert np.all(found <= evidence + 1e-9)
    assert np.all(found < evidence - 1e-3)
    for beta in (0.5, 6.0):
        said, found = importance_value(make(beta), exact, y)
        if samples == 1:  # the ELBO of another σ
            assert said.is_bound
            assert np.all(found <= ppca.log_evidence(y, w, math.sqrt(said.sigma_squared)) + 1e-9)
        else:
            assert (said.is_bound, said.beta, said.sigma_squared) == (False, beta, sigma**2)
            assert np.all(found > evidence + 1e-4)


@pytest.mark.parametrize("beta", [0.5, 1.0, 4.0])
def test_many_samples_bound_what_one_does_if_they_are_only_averaged(beta):
    """So do estimators without the score; a warm-up changes the weight for a time only."""
    one = explain_loss(Config(beta=beta), IMAGE)
    for more in ({"samples": 5}, {"objective": "stl"}, {"objective": "stl", "samples": 5}, {"warm_up": 3.0}):
        other = explain_loss(Config(beta=beta, **more), IMAGE)
        assert (other.beta, other.scale, other.offset, other.is_bound) == (beta, 1, 0, beta >= 1)
        assert other.why == one.why
