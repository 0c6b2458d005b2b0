"""vae/annealing.py: both bounds against ln Q(y) in closed form and by integration, and the images drawn from models."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import tree
from tests.support.vae import ppca
from tests.support.vae.settings import EVERY_LIKELIHOOD, setting
from vae.annealing import STARTS, Annealing, annealed_bounds, count_moves, make_annealer, schedule, simulate
from vae.autoencoder import Autoencoder
from vae.likelihoods import Bernoulli, Gaussian, Laplace
from vae.models import mlp
from vae.sigma import PROFILED, Sigma

KEY = mg.random.key(7)
QUICK = Annealing(temperatures=4, chains=2, leapfrog=2)


def linear(encoder_scale: float = 1.0) -> tuple[Autoencoder, np.ndarray]:
    """pPCA whose encoder is the posterior with `encoder_scale` times its σ, and its W."""
    exact = ppca.make_exact(1)
    parameters = ppca.make_parameters(exact.w, exact.v, encoder_scale * exact.std)
    return Autoencoder(exact.model, Gaussian(Sigma(ppca.SIGMA)), parameters), exact.w


def curved(likelihood, seed: int = 0) -> Autoencoder:
    """A decoder with one hidden layer of tanh and a latent of one dimension, in float64."""
    model = mlp((2, 3, 1), latent=1, hidden=4, activation="tanh")
    parameters = model.init(mg.random.key(seed), np.float64)
    parameters = parameters._replace(decoder=tree.map(lambda x: 3 * x, parameters.decoder))
    log_sigma = np.array(-1.5) if likelihood.learned else None
    return Autoencoder(model, likelihood, parameters._replace(log_sigma=log_sigma))


def integrate(autoencoder: Autoencoder, y: np.ndarray) -> np.ndarray:
    """ln ∫ Q(y|z) N(z; 0, 1) dz by the trapezoidal rule on a fine grid."""
    z = np.linspace(-9, 9, 6001)[:, None]
    output = autoencoder.decode(z)[:, None]  # (grid, 1, H, W, C)
    terms = autoencoder.likelihood.log_prob(y, output, autoencoder.parameters.log_sigma).sum(axis=(2, 3, 4))
    terms = terms - 0.5 * z**2 - 0.5 * math.log(2 * math.pi)
    return np.logaddexp.reduce(terms, axis=0) + math.log(z[1, 0] - z[0, 0])


def standard_errors(difference: np.ndarray) -> float:
    """The mean of a difference (N,), in its standard errors."""
    return difference.mean() / (difference.std(ddof=1) / math.sqrt(len(difference)))


# Against the truth


@pytest.mark.parametrize("start, encoder_scale", [("prior", 1.0), ("encoder", 1.7), ("encoder", 0.6)])
def test_the_bounds_hold_the_closed_form_between_them(start, encoder_scale):
    autoencoder, w = linear(encoder_scale)
    z, y = simulate(autoencoder, 200, KEY)
    truth, gaps = ppca.log_evidence(np.asarray(y), w, ppca.SIGMA), []
    for temperatures in (6, 60):
        found = annealed_bounds(autoencoder, y, KEY, Annealing(temperatures, 4, 5, start), z=z, size=200)
        assert standard_errors(found.lower - truth) < 3.5
        assert standard_errors(found.upper - truth) > -3.5
        gaps.append(np.mean(found.upper - found.lower))
    assert 0 < gaps[1] < gaps[0] / 2
    assert abs(found.lower.mean() - truth.mean()) < 0.15


@pytest.mark.parametrize("start", STARTS)
def test_weights_are_unbiased(start):
    """E w = Q(y), and backwards E 1/w = 1/Q(y), for one image and many independent chains, also with few moves."""
    autoencoder, w = linear(1.3)
    _, y = simulate(autoencoder, 1, KEY)
    truth, count = ppca.log_evidence(np.asarray(y), w, ppca.SIGMA), 20_000
    v, std = ppca.posterior(w, ppca.SIGMA)
    mean = (np.reshape(y, -1) - ppca.CENTRE) @ v.T
    z = mean + std * np.random.default_rng(0).standard_normal((count, ppca.LATENT))
    annealer, images = make_annealer(autoencoder, Annealing(12, 1, 3, start)), np.repeat(y, count, axis=0)
    steps = [np.full(count, np.mean(step)) for step in annealer.tune(images[:50], mg.random.key(1))]
    forward = annealer.forward(images, mg.random.key(2), steps).bound - truth
    backward = annealer.backward(images, z, mg.random.key(3), steps).bound - truth
    assert abs(standard_errors(np.exp(forward) - 1)) < 4
    assert abs(standard_errors(np.exp(-backward) - 1)) < 4
    assert forward.mean() < 0 < backward.mean()


@pytest.mark.parametrize("temperatures", [2, 9])
def test_from_the_exact_posterior_every_weight_is_the_density(temperatures):
    """r(z) = ln Q(z, y) − ln Q(z|y) = ln Q(y), whatever z: both bounds are exact, without noise."""
    autoencoder, w = linear()
    z, y = simulate(autoencoder, 20, KEY)
    found = annealed_bounds(autoencoder, y, KEY, Annealing(temperatures, 2, 2, "encoder"), z=z)
    truth = ppca.log_evidence(np.asarray(y), w, ppca.SIGMA)
    np.testing.assert_allclose(found.lower, truth, rtol=1e-9)
    np.testing.assert_allclose(found.upper, truth, rtol=1e-9)


@pytest.mark.parametrize(
    "likelihood", [Bernoulli(), Gaussian(Sigma(0.2)), Laplace(Sigma(0.2)), Gaussian(Sigma(source="learned"))], ids=str
)
def test_the_bounds_of_a_curved_decoder_agree_with_integration(likelihood):
    autoencoder = curved(likelihood)
    z, y = simulate(autoencoder, 100, KEY)
    truth = integrate(autoencoder, np.asarray(y))
    found = annealed_bounds(autoencoder, y, KEY, Annealing(80, 8, 5), z=z)
    assert standard_errors(found.lower - truth) < 3.5 and standard_errors(found.upper - truth) > -3.5
    np.testing.assert_allclose([found.lower.mean(), found.upper.mean()], truth.mean(), atol=0.06)
    assert 0.4 < found.acceptance < 1


def test_tuned_steps_lead_to_the_acceptance_aimed_at():
    autoencoder, _ = linear()
    _, y = simulate(autoencoder, 30, KEY)
    annealer = make_annealer(autoencoder, Annealing(150, 8, 5))
    steps = annealer.tune(y, mg.random.key(1))
    acceptance = annealer.forward(y, mg.random.key(2), steps).acceptance
    assert len(steps) == 149 and steps[0].shape == (30,)
    assert 0.55 < np.mean(acceptance) < 0.8


# What may be given


@EVERY_LIKELIHOOD
def test_every_likelihood_anneals_in_float32(likelihood):
    wide, y, _ = setting("mlp", likelihood)
    narrow = wide.with_parameters(tree.map(lambda x: np.asarray(x, np.float32), wide.parameters))
    found = annealed_bounds(narrow, np.asarray(y, np.float32), KEY, QUICK, -1.0 if likelihood.profiled else None)
    assert found.lower.shape == (len(y),) and np.isfinite(found.lower).all() and found.upper is None


@pytest.mark.parametrize("start", STARTS)
def test_results_depend_on_the_key_alone(start):
    autoencoder, _ = linear(1.2)
    z, y = simulate(autoencoder, 5, KEY)
    settings, groups = Annealing(5, 3, 2, start), []
    first, again, other = (
        annealed_bounds(autoencoder, y, key, settings, z=z, size=3, on_moves=groups.append)
        for key in (KEY, KEY, mg.random.key(8))
    )
    assert (first.lower == again.lower).all() and (first.upper == again.upper).all()
    assert (first.lower != other.lower).all() and (first.upper != other.upper).all()
    assert sorted(groups) == [2] * 36 + [3] * 36  # 4 moves of each of 3 passes of 3 runs
    assert sum(groups[:24]) == 5 * count_moves(settings, upper=True)


def test_the_schedule_is_symmetric_and_increasing():
    betas = schedule(50)
    assert betas[0] == 0 and betas[-1] == 1 and (np.diff(betas) > 0).all()
    np.testing.assert_allclose(betas + betas[::-1], 1, atol=1e-15)


@pytest.mark.parametrize(
    "values, words",
    [
        ({"temperatures": 1}, "temperatures"),
        ({"chains": 0}, "chains"),
        ({"leapfrog": 0.5}, "leapfrog"),
        ({"start": "posterior"}, "unknown start 'posterior'"),
    ],
)
def test_wrong_settings_are_refused(values, words):
    with pytest.raises(ValueError, match=words):
        Annealing(**values)


def test_wrong_arguments_are_refused():
    autoencoder, _ = linear()
    z, y = simulate(autoencoder, 3, KEY)
    annealer = make_annealer(autoencoder, QUICK)
    steps = annealer.tune(y, KEY)
    with pytest.raises(ValueError, match="the model takes images"):
        annealer.tune(y[..., 0], KEY)
    with pytest.raises(ValueError, match="need the z they were drawn from"):
        annealer.backward(y, z[:2], KEY, steps)
    with pytest.raises(ValueError, match="4 temperatures need 3 step sizes, got 2"):
        annealer.forward(y, KEY, steps[:-1])
    with pytest.raises(ValueError, match="as many z as images"):
        annealed_bounds(autoencoder, y, KEY, QUICK, z=z[:2])
    with pytest.raises(ValueError, match="count"):
        simulate(autoencoder, 0, KEY)
    with pytest.raises(ValueError, match="a profiled σ must be fixed"):
        make_annealer(Autoencoder(autoencoder.model, Gaussian(PROFILED), autoencoder.parameters), QUICK)


# Images drawn from the model


@pytest.mark.parametrize(
    "likelihood, spread",
    [(Gaussian(Sigma(0.2)), 0.2), (Laplace(Sigma(0.2)), 0.2 * math.sqrt(2)), (Gaussian(Sigma(source="learned")), None)],
    ids=str,
)
def test_images_are_drawn_around_their_means(likelihood, spread):
    autoencoder = curved(likelihood)
    z, y = simulate(autoencoder, 5000, KEY)
    error = np.asarray(y) - autoencoder.mean(z)
    spread = math.exp(-1.5) if spread is None else spread
    assert abs(error.mean()) < 4 * spread / math.sqrt(error.size)
    assert abs(error.std() / spread - 1) < 0.03
    distance = np.mean(likelihood.distance(y, autoencoder.decode(z)))  # the best σ of the images is the one they have
    log_sigma = -1.5 if likelihood.learned else math.log(likelihood.sigma.value)
    assert abs(likelihood.best_log_sigma(distance) - log_sigma) < 0.03


def test_binary_images_have_the_probabilities_of_their_means():
    autoencoder = curved(Bernoulli())
    z, y = simulate(autoencoder, 5000, KEY)
    assert set(np.unique(y)) == {0, 1}
    assert abs(np.mean(np.asarray(y) - autoencoder.mean(z))) < 4 * 0.5 / math.sqrt(y.size)
