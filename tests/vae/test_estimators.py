"""vae/estimators.py: bounds and gradients against the papers' definitions, in plain NumPy and in PyTorch."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import tree
from tests.support.environment import optional
from tests.support.oracles import EPS, assert_close, rounding
from tests.support.vae import ppca, truth
from tests.support.vae.settings import EVERY_LIKELIHOOD, EVERY_MODEL, setting
from tests.support.vae.training_runs import read_outcome
from vae.autoencoder import Autoencoder
from vae.config import Config
from vae.estimators import OBJECTIVES, bound_and_gradient, estimate, make_surrogate
from vae.likelihoods import Bernoulli, Gaussian
from vae.models import Affine, Decoder, Encoder, Model, Parameters
from vae.objectives import UNWEIGHTED, Weights
from vae.sigma import LEARNED, PROFILED, Sigma

PAIRS = [("elbo", "closed"), ("elbo", "sampled"), ("iwae", "sampled"), ("stl", "sampled"), ("dreg", "sampled")]
EVERY_PAIR = pytest.mark.parametrize(("objective", "form"), PAIRS)
SAMPLED = pytest.mark.parametrize("objective", list(OBJECTIVES))


def draw_noise(samples: int, autoencoder: Autoencoder, count: int = 3, seed: int = 1) -> np.ndarray:
    """ε (samples, count, latent), or (count, latent) for samples = 0."""
    shape = (samples,) * (samples > 0) + (count, autoencoder.model.latent)
    return np.random.default_rng(seed).standard_normal(shape)


# The definitions in NumPy


def log_weights(name, likelihood, parameters, y, noise, form, weights=UNWEIGHTED, held=None):
    """ℓ (K, N), its two sums multiplied by the weights. ln P(z|y) has μ and ln σ of `held` if given."""
    mean, log_std = truth.encode(name, parameters.encoder, y)
    z = mean + np.exp(log_std) * noise
    images = np.tile(y, (len(noise), 1, 1, 1))
    decoded = truth.decode(name, parameters.decoder, z.reshape(len(images), -1), y.shape[1:])
    pixels = truth.log_prob(likelihood, images, decoded, parameters.log_sigma).sum(axis=(1, 2, 3)).reshape(-1, len(y))
    if form == "closed":
        latents = -(mean**2 + np.exp(2 * log_std) - 1 - 2 * log_std).sum(axis=-1) / 2
    else:
        mean, log_std = (mean, log_std) if held is None else held
        latents = np.log(truth.normal_density(z, 0, 1)) - np.log(truth.normal_density(z, mean, np.exp(log_std)))
        latents = latents.sum(axis=-1)
    return weights.pixels * pixels + weights.latents * latents


def log_mean_exp(logs):
    """ln (1/K) Σ exp ℓ_k, for complex numbers, too."""
    largest = np.max(logs.real, axis=0)
    return largest + np.log(np.mean(np.exp(logs - largest), axis=0))


def bound_of(objective, logs):
    return log_mean_exp(logs) if objective in ("iwae", "dreg") else np.mean(logs, axis=0)


def slope_by_definition(objective, arguments, y, noise, form, weights, direction, encoder: bool):
    """The derivative of Σ L, or its estimate by the papers, along a direction through the encoder or the decoder
    alone: from derivatives of single terms, by complex steps."""
    name, likelihood, parameters = arguments
    moved = truth.along(parameters, direction)
    given = name, likelihood, moved, y, noise, form, weights
    if objective in ("elbo", "iwae"):
        return np.sum(np.imag(bound_of(objective, log_weights(*given)))) / 1e-20
    held = truth.encode(name, parameters.encoder, y)  # ln P(z|y) moves with z alone
    slopes = np.imag(log_weights(*given, held)) / 1e-20  # of each ℓ_k
    logs = log_weights(name, likelihood, parameters, y, noise, form, weights)
    total = 0.0
    for n in range(len(y)):
        for k in range(len(noise)):
            share = 1 / len(noise)
            if objective == "dreg":
                share = 1 / np.sum(np.exp(logs[:, n] - logs[k, n]))  # v_k
                beta = weights.latents  # of ln P(z|y): v_k² for β = 1, and v_k for β = 0, where there is no score
                share = (1 - beta) * share + beta * share**2 if encoder else share
            total += share * slopes[k, n]
    return total


def directions(parameters, seed=2):
    """Random signed directions through the encoder, the decoder, and ln σ if there is one."""
    random = np.random.default_rng(seed)
    zero = tree.map(np.zeros_like, parameters)
    drawn = truth.like(parameters, random)
    yield True, zero._replace(encoder=drawn.encoder)
    yield False, zero._replace(decoder=drawn.decoder)
    if parameters.log_sigma is not None:
        yield False, zero._replace(log_sigma=np.float64(random.standard_normal()))


def inner(a, b) -> float:
    return sum(np.sum(x * y) for x, y in zip(tree.flatten(a)[0], tree.flatten(b)[0], strict=True))


@EVERY_MODEL
@EVERY_LIKELIHOOD
@EVERY_PAIR
def test_bound_and_gradient_are_those_of_the_papers(name, likelihood, objective, form):
    autoencoder, y, _ = setting(name, likelihood)
    arguments = name, likelihood, autoencoder.parameters
    cases = [(1, Weights(0.3, 1.7)), (2, UNWEIGHTED), (2, Weights(0.3, 1.7)), (5, Weights(0.1, 0.4))]
    if likelihood.profiled and objective == "dreg":
        cases = cases[:1]  # a profiled σ couples the samples, and ℓ_k has no gradient of its own; vae.config refuses it
    for samples, weights in cases:
        noise = draw_noise(samples, autoencoder)
        bound, slopes = bound_and_gradient(autoencoder, y, noise, objective, form, weights, scale=-0.5)
        assert_close(bound, bound_of(objective, log_weights(*arguments, y, noise, form)))
        for encoder, direction in directions(autoencoder.parameters):
            expected = slope_by_definition(objective, arguments, y, noise, form, weights, direction, encoder)
            assert abs(expected) > 1e-3
            assert_close(inner(slopes, direction), -0.5 * expected, what=f"K = {samples}")


@EVERY_PAIR
def test_one_sample_may_have_no_axis_of_its_own(objective, form):
    autoencoder, y, _ = setting("mlp", Bernoulli())
    noise = draw_noise(0, autoencoder)
    with_axis, without = (
        bound_and_gradient(autoencoder, y, e, objective, form, Weights(0.7, 1.3)) for e in (noise[None], noise)
    )
    assert_close(with_axis[0], without[0], 4 * EPS)
    for a, b in zip(*(tree.flatten(each[1])[0] for each in (with_axis, without)), strict=True):
        assert_close(a, b)


def test_a_given_sigma_takes_the_place_of_the_likelihoods():
    """As for a profiled σ, which counts as a constant."""
    autoencoder, y, _ = setting("mlp", Gaussian(PROFILED))
    fixed, noise = (
        Autoencoder(autoencoder.model, Gaussian(Sigma(0.4)), autoencoder.parameters),
        draw_noise(2, autoencoder),
    )
    got = bound_and_gradient(autoencoder, y, noise, "elbo", "closed", log_sigma=math.log(0.4))
    for a, b in zip(
        *(tree.flatten(x)[0] for x in (got, bound_and_gradient(fixed, y, noise, form="closed"))), strict=True
    ):
        assert_close(a, b)


@pytest.mark.parametrize("samples", [1, 3])
@SAMPLED
def test_gradients_agree_with_pytorch_where_what_is_constant_is_detached(objective, samples):
    """As others write it: for dreg with a hook that multiplies the gradient of z by v again (Tucker et al. 2018), which
    a weight of ln P(z|y) other than 1 changes."""
    torch = optional("torch", extra="bench")
    autoencoder, y, _ = setting("mlp", Gaussian(LEARNED))
    noise, weights = draw_noise(samples, autoencoder), Weights(0.3, 1.7)
    leaves, structure = tree.flatten(autoencoder.parameters)
    tensors = [torch.tensor(x, requires_grad=True) for x in leaves]
    p = tree.unflatten(structure, tensors)
    h = torch.tensor(y).reshape(len(y), -1)
    for layer in p.encoder.hidden:
        h = torch.relu(h @ layer.w + layer.b)
    mean, std = h @ p.encoder.mean.w + p.encoder.mean.b, torch.exp(h @ p.encoder.log_std.w + p.encoder.log_std.b)
    z = mean + std * torch.tensor(noise)
    if objective in ("stl", "dreg"):
        mean, std = mean.detach(), std.detach()
    h = z
    for layer in p.decoder.hidden:
        h = torch.relu(h @ layer.w + layer.b)
    image = torch.sigmoid(h @ p.decoder.pixels.w + p.decoder.pixels.b)
    normal = torch.distributions.Normal
    pixels = normal(image, torch.exp(p.log_sigma)).log_prob(torch.tensor(y).reshape(len(y), -1)).sum(-1)
    latents = (normal(0.0, 1.0).log_prob(z) - normal(mean, std).log_prob(z)).sum(-1)
    logs = weights.pixels * pixels + weights.latents * latents
    if objective in ("elbo", "stl"):
        loss = logs.mean(0).sum()
    elif objective == "iwae":
        loss = torch.logsumexp(logs, 0).sum()
    else:
        v = torch.softmax(logs, 0).detach()
        z.register_hook(lambda g: (1 - weights.latents + weights.latents * v[..., None]) * g)
        loss = (v * logs).sum()
    loss.backward()
    _, slopes = bound_and_gradient(autoencoder, y, noise, objective, "sampled", weights)
    for ours, theirs in zip(tree.flatten(slopes)[0], tensors, strict=True):
        assert np.max(np.abs(ours)) > 1e-3
        assert_close(ours, theirs.grad.numpy())


# The mean and the variance of the estimates

DRAWS, HEIGHT, WIDE = 20_000, 2, 2


def table_model(count: int) -> Model:
    """A model with parameters of its own for each of `count` images, so that one call gives the gradients of many
    draws: μ and ln σ are parameters, and the decoder is an affine layer."""

    def encode(encoder, y):
        return encoder.mean, encoder.log_std

    def decode(decoder, z):
        z = mg.reshape(z, (-1, count, z.shape[-1]))
        return mg.reshape(mg.sum(z[..., None] * decoder.pixels.w, axis=-2) + decoder.pixels.b, (-1, HEIGHT, WIDE, 1))

    return Model("table", (HEIGHT, WIDE, 1), 1, lambda key: None, encode, decode)


def draw_gradients(
    samples: int, draws: int = DRAWS, seed: int = 3, weights: Weights = UNWEIGHTED
) -> dict[str, np.ndarray]:
    """For each objective, the gradients (draws, 2) in μ and ln σ, and (draws, 4) in the decoder's bias."""
    random = np.random.default_rng(seed)
    pixels = HEIGHT * WIDE
    repeat = lambda *x: np.tile(np.array(x), (draws, 1))
    w, b = 1.5 * random.standard_normal((1, 1, pixels)), random.standard_normal((1, pixels))
    parameters = Parameters(
        Encoder((), repeat(1.6), repeat(-0.3)),
        Decoder((), Affine(np.tile(w, (draws, 1, 1)), np.tile(b, (draws, 1)))),
    )
    y = np.tile(np.array([1.0, 0.0, 0.0, 1.0]).reshape(1, HEIGHT, WIDE, 1), (draws, 1, 1, 1))
    noise = random.standard_normal((samples, draws, 1))
    autoencoder, found = Autoencoder(table_model(draws), Bernoulli(), parameters), {}
    for objective, form in PAIRS:
        _, slopes = bound_and_gradient(autoencoder, y, noise, objective, form, weights)
        encoder = np.concatenate([slopes.encoder.mean, slopes.encoder.log_std], axis=1)
        found["closed" if form == "closed" else objective] = (encoder, slopes.decoder.pixels.b)
    return found


@pytest.mark.parametrize(("samples", "beta"), [(1, 1.0), (2, 1.0), (5, 1.0), (1, 0.3), (3, 0.3), (3, 1.7)])
def test_estimates_of_one_objective_have_the_same_mean(samples, beta):
    """Within 4 standard errors of the difference, which are small beside the gradient; also while the KL warms up."""
    found = draw_gradients(samples, weights=Weights(1.0, beta))
    for one, other in (("elbo", "closed"), ("elbo", "stl"), ("iwae", "dreg")):
        for a, b in zip(found[one], found[other], strict=True):
            difference = a - b
            error = difference.std(axis=0, ddof=1) / math.sqrt(DRAWS)
            assert np.all(np.abs(difference.mean(axis=0)) <= 4 * error), (one, other)
            assert np.all(error < 0.02 * np.max(np.abs(a.mean(axis=0))))
    if samples > 1:  # the two objectives do not
        difference = found["elbo"][0] - found["iwae"][0]
        error = difference.std(axis=0, ddof=1) / math.sqrt(DRAWS)
        assert np.all(np.abs(difference.mean(axis=0)) > 8 * error)


def test_the_doubly_reparameterised_estimate_has_less_variance_away_from_the_posterior():
    """And its signal-to-noise ratio rises with K, as √K, where that of iwae falls (Tucker et al. 2018, section 4)."""
    ratios = {}
    for samples in (8, 64):
        found = draw_gradients(samples, 3000)
        assert np.all(found["dreg"][0].var(axis=0) < 0.7 * found["iwae"][0].var(axis=0))
        mean = np.abs(found["dreg"][0].mean(axis=0))  # the better estimate of the mean of both
        ratios[samples] = [mean / found[name][0].std(axis=0) for name in ("iwae", "dreg")]
    (iwae, dreg), (iwae_64, dreg_64) = ratios[8], ratios[64]
    assert np.all(dreg_64 > 1.5 * dreg)
    assert np.all(iwae_64 < 0.8 * iwae)


@pytest.mark.parametrize("samples", [1, 4])
def test_at_the_posterior_there_is_no_noise_without_the_score(samples):
    """Every log weight is ln Q(y) there, so its derivative in z is 0; the score has mean 0, and is not 0."""
    exact = ppca.make_exact()
    autoencoder = Autoencoder(exact.model, Gaussian(Sigma(ppca.SIGMA)), exact.parameters)
    noise, sizes = draw_noise(samples, autoencoder, len(exact.y)), {}
    for objective in OBJECTIVES:
        bound, slopes = bound_and_gradient(autoencoder, exact.y, noise, objective, "sampled")
        np.testing.assert_allclose(bound, exact.evidence, rtol=1e-9)
        sizes[objective] = max(np.max(np.abs(g)) for g in tree.flatten(slopes.encoder)[0])
        assert max(np.max(np.abs(g)) for g in tree.flatten(slopes.decoder)[0]) > 1
    assert min(sizes["elbo"], sizes["iwae"]) > 0.1
    assert sizes["stl"] < 1e-9 * sizes["elbo"] and sizes["dreg"] < 1e-9 * sizes["iwae"]


# One sample


@pytest.mark.parametrize(("one", "other"), [("elbo", "iwae"), ("stl", "dreg")])
@pytest.mark.parametrize("axis", [False, True])
def test_for_one_sample_two_objectives_are_the_same_to_the_bit(one, other, axis):
    autoencoder, *values = setting("mlp", Gaussian(LEARNED))
    parameters, y, noise = tree.map(lambda x: np.asarray(x, np.float32), (autoencoder.parameters, *values))
    given = autoencoder.with_parameters(parameters), y, noise[None] if axis else noise
    a, b = (tree.flatten(bound_and_gradient(*given, name, "sampled"))[0] for name in (one, other))
    assert {x.dtype for x in (*a, *b)} == {np.dtype(np.float32)}
    assert [x.tobytes() for x in a] == [x.tobytes() for x in b]


def test_runs_with_one_sample_write_the_same_checkpoints(tmp_path, train_run):
    common = {"latent": 2, "hidden": 8, "epochs": 2, "batch": 16, "form": "sampled"}
    bits = {}
    for objective in OBJECTIVES:
        train_run(Config(objective=objective, **common), tmp_path / objective)
        bits[objective] = read_outcome(tmp_path / objective)[0]
    assert bits["elbo"] == bits["iwae"]
    assert bits["stl"] == bits["dreg"]
    assert bits["elbo"] != bits["stl"]


# What differences check


@EVERY_PAIR
@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(LEARNED)], ids=lambda x: x.name)
def test_the_estimate_is_the_derivative_of_its_surrogate(objective, form, likelihood):
    for name, samples in (("mlp", 0), ("mlp", 1), ("mlp", 3), ("conv", 2)):
        autoencoder, y, _ = setting(name, likelihood)
        given = y, draw_noise(samples, autoencoder), objective, form, Weights(0.3, 1.7)
        surrogate, p = make_surrogate(autoencoder, *given), autoencoder.parameters
        total = lambda p, surrogate=surrogate: sum(mg.sum(part) for part in surrogate(p))
        _, slopes = bound_and_gradient(autoencoder, *given)
        for a, b in zip(*(tree.flatten(g)[0] for g in (slopes, mg.grad(total)(p))), strict=True):
            assert_close(a, b)
        if objective in ("elbo", "iwae"):
            noise = given[1].reshape(-1, *given[1].shape[-2:])
            logs = log_weights(name, likelihood, p, y, noise, form, given[-1])
            assert_close(total(p), np.sum(bound_of(objective, logs)))


# Extreme weights


def estimate_line(objective, heights, dtype=np.float64):
    """An estimate whose log weights are `heights` (K, N), plus ψ·a_k through z, plus θ·c_k: a, c and the estimate."""
    random = np.random.default_rng(4)
    heights = np.asarray(heights, dtype)
    a, c = (random.standard_normal(heights.shape).astype(dtype) for _ in range(2))
    zero = np.zeros(heights.shape[1:] + (1,), dtype)
    sample = lambda encoder: (encoder * a[..., None], encoder * zero, encoder * zero)
    terms = lambda decoder, z, mean, log_std: (heights + decoder * c, z[..., 0])
    return a, c, estimate(objective, sample, np.asarray(0.0, dtype), terms, np.asarray(0.0, dtype))


@SAMPLED
@pytest.mark.parametrize("shift", [-1e4, 1e4])
def test_weights_that_overflow_or_underflow_give_the_same_gradients(objective, shift):
    heights = np.random.default_rng(5).standard_normal((4, 3))
    _, _, (bound, encoder, decoder) = estimate_line(objective, heights)
    _, _, (shifted, *slopes) = estimate_line(objective, heights + shift)
    np.testing.assert_allclose(shifted - shift, bound, rtol=0, atol=1e-11)
    np.testing.assert_allclose(slopes, [encoder, decoder], rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("objective", ["iwae", "dreg"])
def test_a_sample_far_above_the_others_has_all_the_weight(objective, dtype):
    heights = np.full((4, 3), -1e4)
    best = [2, 0, 3]
    heights[best, range(3)] = 1e4
    a, c, (bound, encoder, decoder) = estimate_line(objective, heights, dtype)
    assert_close(bound, np.full(3, 1e4 - math.log(4), dtype), 4 * rounding(dtype) / 2**8)
    assert_close([encoder, decoder], [np.sum(x[best, range(3)]) for x in (a, c)], rounding(dtype))


@SAMPLED
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_tiny_sigma_gives_finite_gradients(objective, dtype):
    """With σ = 0.01 log weights are about −10⁴ and differ by thousands."""
    autoencoder, y, _ = setting("mlp", Gaussian(Sigma(0.01)))
    values = tree.map(lambda x: x.astype(dtype), (autoencoder.parameters, y, draw_noise(4, autoencoder)))
    found = bound_and_gradient(autoencoder.with_parameters(values[0]), *values[1:], objective, "sampled")
    assert np.all(found[0] < -1e4)
    assert all(np.isfinite(x).all() and x.dtype == dtype for x in tree.flatten(found)[0])


# What is refused


@pytest.mark.parametrize("function", [bound_and_gradient, make_surrogate])
def test_what_does_not_fit_is_refused(function):
    autoencoder, y, _ = setting("mlp", Bernoulli())
    noise = draw_noise(2, autoencoder)
    for objective in ("iwae", "stl", "dreg"):
        with pytest.raises(
            ValueError, match=f"the objective {objective} is made of samples .*: it needs the form sampled"
        ):
            function(autoencoder, y, noise, objective, "closed")
    with pytest.raises(ValueError, match="unknown form 'open' of the objective: use closed or sampled"):
        function(autoencoder, y, noise, "elbo", "open")
    with pytest.raises(ValueError, match="unknown objective 'vimco': use elbo, iwae, stl or dreg"):
        function(autoencoder, y, noise, "vimco", "sampled")
    for wrong in (noise[:, :2], noise[:0], noise[..., :1], noise[None], noise[0, 0]):
        with pytest.raises(ValueError, match=r"images \(N, 4, 8, 1\) and noise \(N, 2\) or \(K, N, 2\), got "):
            function(autoencoder, y, wrong, "iwae", "sampled")
