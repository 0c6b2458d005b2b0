"""vae/importance.py: bounds of many samples against plain sums, the exact ln Q(y), and in bounded memory."""

import itertools
import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp

import minigrad as mg
from minigrad.program.cpu import threads
from tests.support.oracles import assert_close
from tests.support.vae import ppca, truth
from tests.support.vae.ppca import SIGMA, make_exact
from tests.support.vae.settings import EVERY_MODEL, setting
from vae.autoencoder import Autoencoder
from vae.evaluation import importance_bounds_per_image
from vae.importance import BLOCK, STREAM, GroupedBound, log_weights, make_program
from vae.likelihoods import Bernoulli, Gaussian
from vae.models import mlp
from vae.objectives import elbo
from vae.sigma import Sigma

KEY = mg.random.key(5)
GAUSSIAN = Gaussian(Sigma(SIGMA))
COUNT = 7


def noise_of(count: int, samples: int, latent: int, key=KEY) -> np.ndarray:
    """ε (samples, count, latent), float64, one image and sample at a time, by the rule in the module's docstring."""
    noise = np.empty((samples, count, latent))
    for i in range(count):
        for s in range(samples):
            own = mg.random.fold_in(mg.random.fold_in(key, STREAM), s // BLOCK)
            noise[s, i] = mg.random.normal(own, (latent,), np.float64, (i * BLOCK + s % BLOCK) * latent)
    return noise


# Sums of weights


@given(
    k=st.integers(1, 12),
    parts=st.lists(st.integers(0, 9), min_size=1, max_size=8),
    shift=st.sampled_from([0.0, -1e5, 900.0]),
)
def test_groups_are_those_of_all_weights_at_once(k, parts, shift) -> None:
    """Whatever the parts in which they arrive, and without overflow."""
    weights = np.random.default_rng(sum(parts)).normal(shift, 3, (sum(parts) + k, 4))
    bound, ends = GroupedBound(k, 4), np.cumsum([0, *parts, k])
    for begin, end in itertools.pairwise(ends):
        bound.add(weights[begin:end])
    groups = weights[: len(weights) // k * k].reshape(-1, k, 4)
    np.testing.assert_allclose(bound.mean(), (logsumexp(groups, axis=1) - math.log(k)).mean(axis=0), rtol=1e-12)


def test_weights_of_zero_count_as_samples() -> None:
    bound = GroupedBound(4, 2)
    bound.add(np.array([[-np.inf, -np.inf], [0.0, -np.inf]]))
    bound.add(np.array([[-np.inf, -np.inf], [0.0, -np.inf]]))
    np.testing.assert_allclose(bound.mean(), [math.log(0.5), -np.inf])


# Noise and weights


@EVERY_MODEL
@pytest.mark.parametrize("samples", [1, BLOCK - 1, 2 * BLOCK + 3])
def test_log_weights_are_the_sampled_elbo_of_their_noise(name, samples) -> None:
    autoencoder, y, _ = setting(name, Bernoulli(), COUNT)
    noise = noise_of(COUNT, samples, autoencoder.model.latent)
    expected = [truth.elbo(name, Bernoulli(), autoencoder.parameters, y, e, "sampled") for e in noise]
    program = make_program(autoencoder)
    found = [log_weights(program, autoencoder, y[i:j], KEY, i, samples) for i, j in ((0, 3), (3, COUNT))]
    assert_close(np.concatenate([np.concatenate([*part]) for part in found], axis=1), expected)


@EVERY_MODEL
def test_one_sample_is_the_elbo_to_the_bit(name) -> None:
    autoencoder, y, _ = setting(name, Bernoulli(), COUNT)
    (bound,) = importance_bounds_per_image(autoencoder, y, KEY, [1])
    noise = noise_of(COUNT, 1, autoencoder.model.latent)
    np.testing.assert_array_equal(bound, elbo(autoencoder, y, noise, "sampled")[0])


def test_a_learned_and_a_given_sigma_count() -> None:
    learned = Gaussian(Sigma(source="learned"))
    autoencoder, y, _ = setting("mlp", learned, COUNT)
    noise = noise_of(COUNT, 12, autoencoder.model.latent)
    for log_sigma in (None, -0.3):
        value = log_sigma or autoencoder.parameters.log_sigma
        known = Gaussian(Sigma(math.exp(value)))
        logs = [truth.elbo("mlp", known, autoencoder.parameters, y, e, "sampled") for e in noise]
        (bound,) = importance_bounds_per_image(autoencoder, y, KEY, [12], log_sigma)
        assert_close(bound, logsumexp(logs, axis=0) - math.log(12))


def test_numbers_of_samples_share_their_samples_in_disjoint_groups() -> None:
    autoencoder, y, _ = setting("mlp", Bernoulli(), COUNT)
    noise = noise_of(COUNT, 25, autoencoder.model.latent)
    logs = np.stack([truth.elbo("mlp", Bernoulli(), autoencoder.parameters, y, e, "sampled") for e in noise])
    found = importance_bounds_per_image(autoencoder, y, KEY, [1, 7, 25])
    sevens = [logsumexp(logs[i : i + 7], axis=0) - math.log(7) for i in (0, 7, 14)]
    assert_close(found, [logs.mean(axis=0), np.mean(sevens, axis=0), logsumexp(logs, axis=0) - math.log(25)])


def test_the_result_depends_neither_on_groups_nor_on_threads(monkeypatch) -> None:
    """On groups of images it depends by rounding alone, on threads not at all."""
    autoencoder, y, _ = setting("mlp", Bernoulli(), 23)
    whole = importance_bounds_per_image(autoencoder, y, KEY, [3, 33], size=23)
    for size in (1, 4, None):
        assert_close(importance_bounds_per_image(autoencoder, y, KEY, [3, 33], size=size), whole)
    found = set()
    for count in (1, 2, 5):
        monkeypatch.setattr(threads, "count", lambda count=count: count)
        found.add(importance_bounds_per_image(autoencoder, y, KEY, [3, 33], size=4).tobytes())
    assert len(found) == 1


def test_each_image_is_encoded_once() -> None:
    autoencoder, y, _ = setting("mlp", Bernoulli(), 23)
    encoded: list[int] = []
    encode = autoencoder.model.encode
    model = replace(autoencoder.model, encode=lambda encoder, y: encoded.append(len(y)) or encode(encoder, y))
    importance_bounds_per_image(Autoencoder(model, Bernoulli(), autoencoder.parameters), y, KEY, [5 * BLOCK], size=10)
    assert sorted(encoded) == [3, 10, 10]


# The exact ln Q(y)


@pytest.mark.parametrize("samples", [1, 7, 40])
def test_with_the_posterior_as_encoder_it_is_exact_for_any_number_of_samples(samples) -> None:
    model, parameters, _, _, _, y, evidence = make_exact()
    (bound,) = importance_bounds_per_image(Autoencoder(model, GAUSSIAN, parameters), y, KEY, [samples])
    np.testing.assert_allclose(bound, evidence, rtol=1e-9)


def test_with_another_encoder_it_rises_towards_the_evidence() -> None:
    """Averaged over images, within five standard errors of what is compared; with many samples it is close."""
    model, _, w, v, std, y, evidence = make_exact(2000)
    parameters = ppca.make_parameters(w, 0.8 * v, 1.5 * std)
    samples = [1, 4, 16, 64, 1024]
    bounds = importance_bounds_per_image(Autoencoder(model, GAUSSIAN, parameters), y, KEY, samples)
    steps = np.diff([*bounds, evidence], axis=0)
    error = steps.std(axis=1, ddof=1) / math.sqrt(len(y))
    assert np.all(steps.mean(axis=1) > -5 * error)
    assert np.all(steps.mean(axis=1)[:3] > 5 * error[:3])
    assert abs(bounds[-1].mean() - evidence.mean()) < 0.01 < evidence.mean() - bounds[0].mean()


def test_weights_far_below_the_smallest_number_do_not_underflow() -> None:
    model, parameters, w, _, _, y, _ = make_exact(sigma=0.01)
    y = y + 2.0
    evidence = ppca.log_evidence(y, w, 0.01)
    assert np.all(evidence < -1e4)
    (bound,) = importance_bounds_per_image(Autoencoder(model, Gaussian(Sigma(0.01)), parameters), y, KEY, [25])
    np.testing.assert_allclose(bound, evidence, rtol=1e-9)


# Memory


def test_memory_does_not_grow_with_the_number_of_samples() -> None:
    """All decoded pixels of 5000 samples of 40 images would take 630 MB."""
    model = mlp((28, 28, 1), 8, (8,))
    autoencoder = Autoencoder(model, Bernoulli(), model.init(KEY))
    y = np.random.default_rng(0).integers(0, 2, (40, 28, 28, 1)).astype(np.float32)
    peaks = []
    for samples in (100, 5000):
        tracemalloc.start()
        try:
            importance_bounds_per_image(autoencoder, y, KEY, [1, samples])
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < 50e6
    assert peaks[1] < 1.1 * peaks[0] + 1e5
