"""vae/explain.py: what it says of a loss holds for any parameters, and its sentence is the expected one."""

import doctest
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vae
from minigrad.core import tree
from tests.support.oracles import EPS, ROUNDINGS, assert_close, rounding
from tests.support.vae import truth
from tests.support.vae.settings import loss
from vae.config import Config
from vae.errors import UserError
from vae.explain import describe_elbo, explain_loss
from vae.likelihoods import LIKELIHOODS, Bernoulli, Gaussian, Laplace, Logistic
from vae.objectives import FORMS, REDUCTIONS
from vae.sigma import LEARNED, PROFILED, Sigma
from vae.trainer import make_trainer

SHAPE = (4, 8, 1)
SIGMAS = ["learned", "profiled", "0.05", "0.7071", "1", "3"]
CONFIGS = st.builds(
    lambda decoder, sigma, **more: Config(
        decoder=decoder, sigma=sigma if LIKELIHOODS[decoder].has_sigma else "1", **more
    ),
    decoder=st.sampled_from(list(LIKELIHOODS)),
    sigma=st.sampled_from(SIGMAS),
    form=st.sampled_from(FORMS),
    reduction=st.sampled_from(REDUCTIONS),
    beta=st.sampled_from([0.0, 1.0, 1 / 32]) | st.floats(1e-4, 1e3),
    clamp=st.none() | st.floats(0.5, 20),
    warm_up=st.sampled_from([0.0, 2.5]),
    latent=st.just(2),
    hidden=st.just(5),
)


def loss_parts(config, parameters, y, noise, likelihood):
    """In plain NumPy: −ln Q(y|z) of each pixel under a likelihood, and the KL term of each image."""
    mean, log_std = truth.encode("mlp", parameters.encoder, y)
    if config.clamp is not None:
        (limit,) = config.clamp
        log_std = limit / math.pi * np.arctan(math.pi * log_std / limit)
    std = np.exp(log_std)
    z = mean + std * noise
    x = truth.decode("mlp", parameters.decoder, z, y.shape[1:])
    latents = (mean**2 + std**2 - 1) / 2 - log_std
    if config.form == "sampled":
        latents = z**2 / 2 - noise**2 / 2 - log_std
    return -truth.log_prob(likelihood, y, x, parameters.log_sigma), latents.sum(axis=1)


# loss = scale·(−ELBO with σ² and β) + offset


def random_settings(config, seeds=3):
    """Yields (model, parameters, images, noise) for several seeds, all float64."""
    model = config.make_model(SHAPE)
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        parameters = truth.lively_parameters(model, seed)
        if config.sigma == "learned":
            parameters = parameters._replace(log_sigma=np.float64(random.uniform(-2, 1)))
        yield model, parameters, random.random((3, *SHAPE)), random.standard_normal((3, 2))


@given(CONFIGS)
def test_the_loss_is_the_configured_one(config):
    """The sum or mean over pixels of −ln Q(y|z), plus β·KL, computed again in plain NumPy."""
    for model, parameters, y, noise in random_settings(config, 1):
        pixels, latents = loss_parts(config, parameters, y, noise, config.make_likelihood())
        reduced = pixels.mean(axis=(1, 2, 3)) if config.reduction == "mean" else pixels.sum(axis=(1, 2, 3))
        assert_close(loss(config, model, parameters, y, noise), reduced + config.beta * latents)


@given(CONFIGS)
def test_the_loss_is_the_stated_elbo_scaled_and_shifted(config):
    """Scale and offset do not depend on the parameters."""
    said = explain_loss(config, SHAPE)
    likelihood = config.make_likelihood()
    if said.sigma_squared is not None:
        likelihood = LIKELIHOODS[config.decoder](Sigma(math.sqrt(said.sigma_squared)))
    assert said.scale > 0
    for model, parameters, y, noise in random_settings(config):
        pixels, latents = loss_parts(config, parameters, y, noise, likelihood)
        negative_elbo = pixels.sum(axis=(1, 2, 3)) + said.beta * latents
        got = loss(config, model, parameters, y, noise)
        size = said.scale * (np.abs(pixels).sum(axis=(1, 2, 3)) + said.beta * np.abs(latents)) + abs(said.offset) + 1
        assert np.all(np.abs(said.scale * negative_elbo + said.offset - got) <= ROUNDINGS * EPS * size)


@pytest.mark.parametrize(
    "config",
    [
        Config(latent=2, hidden=5, optimiser="sgd", momentum=0.0, **more)
        for more in (
            {"beta": 4.0, "clamp": 2.0},
            {"decoder": "gaussian", "sigma": "0.7071", "reduction": "mean", "beta": 0.05},
            {"decoder": "laplace", "sigma": "learned", "reduction": "mean", "beta": 0.02, "form": "sampled"},
        )
    ],
    ids=lambda config: config.decoder,
)
def test_a_training_step_descends_that_loss_and_reports_the_elbo(config):
    """α = 1 without momentum: parameters move by the complex-step gradient of scale·(−ELBO with σ² and β)."""
    config = Config(**{**config.to_dict(), "learning_rate": 1.0})
    said, trainer = explain_loss(config, SHAPE), make_trainer(config, SHAPE)
    random = np.random.default_rng(2)
    y, noise = random.random((5, *SHAPE)), random.standard_normal((5, 2))
    state = trainer.initial()
    parameters = truth.lively_parameters(trainer.model)._replace(log_sigma=state.parameters.log_sigma)
    parameters = tree.map(lambda x: np.asarray(x, np.float64), parameters)
    given = tree.map(np.copy, parameters)
    got, after, _ = trainer.step(given, config.make_optimiser().init(parameters), y, noise)
    pixels, latents = loss_parts(config, parameters, y, noise, config.make_likelihood())
    assert_close(got, np.mean(pixels.sum(axis=(1, 2, 3)) + latents))
    likelihood = config.make_likelihood()
    if said.sigma_squared is not None:
        likelihood = LIKELIHOODS[config.decoder](Sigma(math.sqrt(said.sigma_squared)))
    for seed in range(3):
        direction = truth.like(parameters, np.random.default_rng(seed))
        stepped = truth.along(parameters, direction)
        pixels, latents = loss_parts(config, stepped, y, noise, likelihood)
        slope = np.imag(said.scale * np.mean(pixels.sum(axis=(1, 2, 3)) + said.beta * latents)) / 1e-20
        assert abs(slope) > 1e-3
        moved = zip(*(tree.flatten(t)[0] for t in (parameters, after, direction)), strict=True)
        assert_close(sum(np.sum((a - b) * d) for b, a, d in moved), -slope)


# The sentence and its numbers


@pytest.mark.parametrize(
    ("settings", "shape", "expected"),
    [
        ({}, (28, 28, 1), (None, 1, 1, True)),
        ({"beta": 4.0}, (28, 28, 1), (None, 4, 1, True)),
        ({"beta": 0.5}, (28, 28, 1), (None, 0.5, 1, False)),
        ({"reduction": "mean"}, (28, 28, 1), (None, 784, 1 / 784, True)),
        ({"decoder": "gaussian", "sigma": "0.5"}, (28, 28, 1), (0.25, 1, 1, True)),
        ({"decoder": "gaussian", "sigma": "0.5", "beta": 0.01}, (28, 28, 1), (0.0025, 1, 0.01, True)),
        ({"decoder": "gaussian", "reduction": "mean"}, (28, 28, 1), (784, 1, 1, True)),
        ({"decoder": "laplace", "sigma": "0.5", "beta": 4.0}, (28, 28, 1), (4, 1, 4, True)),
        ({"decoder": "laplace", "sigma": "learned", "beta": 0.9}, (28, 28, 1), (None, 0.9, 1, False)),
        ({"decoder": "gaussian", "sigma": "profiled"}, (28, 28, 1), (None, 1, 1, False)),
        ({"clamp": 5.0}, (28, 28, 1), (None, 1, 1, True)),
        ({"objective": "iwae", "samples": 5}, (28, 28, 1), (None, 1, 1, True)),
        ({"objective": "dreg", "samples": 5, "beta": 4.0}, (28, 28, 1), (None, 4, 1, False)),
        ({"objective": "iwae", "samples": 1, "beta": 4.0}, (28, 28, 1), (None, 4, 1, True)),
        (
            {"objective": "iwae", "samples": 5, "decoder": "gaussian", "sigma": "0.5", "beta": 2.0},
            (28, 28, 1),
            (0.25, 2, 1, False),
        ),
        ({"objective": "stl", "samples": 5, "reduction": "mean"}, (28, 28, 1), (None, 784, 1 / 784, True)),
    ],
)
def test_sigma_beta_and_verdict(settings, shape, expected):
    said = explain_loss(Config(**settings), shape)
    sigma_squared, beta, scale, is_bound = expected
    assert (said.sigma_squared is None) == (sigma_squared is None)
    assert_close([said.sigma_squared or 0.0, said.beta, said.scale], [sigma_squared or 0.0, beta, scale], 8 * EPS)
    assert said.is_bound is is_bound


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([1, 3]))
def test_a_kl_weight_of_one_over_the_pixels_is_beta_one_despite_rounding(height, width, channels):
    config = Config(reduction="mean", beta=1 / (height * width * channels))
    said = explain_loss(config, (height, width, channels))
    assert (said.beta, said.is_bound, said.why) == (1, True, "the ELBO itself")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            {"decoder": "gaussian", "sigma": "0.70710678", "reduction": "mean", "beta": 0.00025},
            "loss = mean over pixels of (y−ŷ)² + 0.00025·KL + constant: 0.00025 × −ELBO of a gaussian decoder, "
            "σ² = 1.536, β = 1: a bound on ln Q(y) (3.072·KL with σ² = 0.5 is equivalent to KL with σ² = 1.536)",
        ),
        (
            {"beta": 0.5, "form": "sampled", "clamp": 10.0},
            "loss = sum over pixels of (−y ln ŷ − (1−y) ln(1−ŷ)) + 0.5·(ln P(z|y) − ln Q(z)), with the encoder's ln σ² "
            "within ±10: −ELBO of a bernoulli decoder of binary pixels, β = 0.5: no bound on ln Q(y) "
            "(if P(z|y) is the posterior, it equals ln Q(y) + 0.5·KL)",
        ),
        (
            {"decoder": "laplace", "sigma": "learned", "beta": 3.0},
            "loss = sum over pixels of (|y−ŷ|/σ + ln 2σ) + 3·KL: −ELBO of a laplace decoder, σ learned, β = 3: "
            "a bound on ln Q(y) (2·KL below the bound of β = 1)",
        ),
        (
            {"decoder": "laplace", "sigma": "0.25"},
            "loss = sum over pixels of 4·|y−ŷ| + KL + constant: −ELBO of a laplace decoder, scale 0.25, β = 1: "
            "a bound on ln Q(y) (the ELBO itself)",
        ),
        (
            {"decoder": "logistic", "beta": 0.5},
            "loss = sum over pixels of (−ln(sigmoid((y+1/510−m)/s) − sigmoid((y−1/510−m)/s))) + 0.5·KL: −ELBO of a "
            "logistic decoder of 8-bit pixels, β = 0.5: no bound on ln Q(y) (if P(z|y) is the posterior, it equals "
            "ln Q(y) + 0.5·KL)",
        ),
        (
            {"objective": "iwae", "samples": 5},
            "loss = −ln of the mean of e^−(sum over pixels of (−y ln ŷ − (1−y) ln(1−ŷ)) + (ln P(z|y) − ln Q(z))) over "
            "5 samples: −L of a bernoulli decoder of binary pixels, β = 1: a bound on ln Q(y) (importance-weighted, of "
            "5 samples)",
        ),
        (
            {"objective": "dreg", "samples": 5, "beta": 2.0, "warm_up": 2.5, "decoder": "gaussian", "sigma": "0.5"},
            "loss = −ln of the mean of e^−(sum over pixels of 2·(y−ŷ)² + 2·(ln P(z|y) − ln Q(z)) + constant) over 5 "
            "samples, with the gradient estimated by dreg, the weight of (ln P(z|y) − ln Q(z)) rising from 0 in 2.5 "
            "epochs: −L of a gaussian decoder, σ² = 0.25, β = 2: no bound on ln Q(y) (importance weights need β = 1)",
        ),
        (
            {"objective": "stl", "samples": 3, "clamp": (-9.0, 3.0)},
            "loss = sum over pixels of (−y ln ŷ − (1−y) ln(1−ŷ)) + (ln P(z|y) − ln Q(z)), averaged over 3 samples, "
            "with the gradient estimated by stl, with the encoder's ln σ² between −9 and 3: −ELBO of a bernoulli "
            "decoder of binary pixels, β = 1: a bound on ln Q(y) (the ELBO itself)",
        ),
        (
            {"decoder": "gaussian", "sigma": "profiled", "beta": 0.0},
            "loss = sum over pixels of ((y−ŷ)²/2σ² + ½ ln 2πσ²): −ELBO of a gaussian decoder, σ profiled, β = 0: "
            "no bound on ln Q(y) (σ is chosen after seeing the batch and its noise; with one σ for all test "
            "images it is a bound)",
        ),
    ],
)
def test_the_sentence(settings, line):
    said = explain_loss(Config(**settings), (64, 64, 3))
    assert str(said) == said.sentence == line
    assert said.why in line


@pytest.mark.parametrize(
    ("likelihood", "binary", "said"),
    [
        (Bernoulli(), True, ["binary pixels", "bound on −ln Q(y)"]),
        (Bernoulli(), False, ["grey pixels", "dynamically binarised", "not comparable"]),
        (Gaussian(Sigma(0.5)), False, ["σ² = 0.25 fixed", "normaliser included", "density"]),
        (Laplace(Sigma(0.5)), False, ["scale 0.5 fixed", "variance 0.5"]),
        (Gaussian(LEARNED), False, ["σ learned"]),
        (Logistic(), False, ["rounded to 8 bits", "bound on −ln Q(y)", "probability of such images, not a density"]),
        (Laplace(PROFILED), False, ["σ profiled per batch, then kept for evaluation"]),
    ],
)
def test_the_line_before_training_says_what_the_loss_implies(likelihood, binary, said):
    line = describe_elbo(likelihood, binary, 784)
    everywhere = ["nats per image", "summed over 784 pixels and all latents", "averaged over images", "KL weight 1"]
    assert all(part in line for part in [likelihood.name, *said, *everywhere])
    assert "\n" not in line


def test_the_sentence_in_the_readme_is_what_is_printed():
    readme = (Path(vae.__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (call,) = re.findall(r"^print\(vae\.explain_loss\((.*)\)\)$", readme, re.MULTILINE)
    (shown,) = re.findall(r"^```text\n(loss = .*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert str(eval(f"explain_loss({call})")) == " ".join(shown.split())


def test_docstring_examples_run():
    failed, tried = doctest.testmod(vae.explain)
    assert (failed, tried) == (0, 1)


@pytest.mark.parametrize("decoder", LIKELIHOODS)
@pytest.mark.parametrize("beta", [1e-9, 1e9])
@pytest.mark.parametrize("sigma", ["1e-9", "1e9"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_extreme_settings_give_finite_numbers(decoder, beta, sigma, reduction):
    sigma = sigma if LIKELIHOODS[decoder].has_sigma else "1"
    said = explain_loss(Config(decoder=decoder, beta=beta, sigma=sigma, reduction=reduction), (1024, 1024, 4))
    assert all(map(math.isfinite, (said.sigma_squared or 0.0, said.beta, said.scale, said.offset)))


@given(CONFIGS)
def test_every_configuration_gets_one_line_that_says_whether_it_is_a_bound(config):
    said = explain_loss(config, SHAPE)
    assert "\n" not in str(said)
    assert (" a bound on ln Q(y) " in str(said)) == said.is_bound
    assert (" no bound on ln Q(y) " in str(said)) == (not said.is_bound)
    json.dumps([said.sigma_squared, said.beta, said.scale, said.offset], allow_nan=False)


def test_images_that_the_model_cannot_take_are_refused():
    with pytest.raises(UserError, match="6×10 is not divisible by 4"):
        explain_loss(Config(model="conv"), (6, 10, 1))
    with pytest.raises(UserError, match=r"images \(H, W, C\), got \(28, 28\)"):
        explain_loss(Config(), (28, 28))


def test_the_package_exports_it_without_importing_numpy():
    code = (
        "import sys, vae; assert 'numpy' not in sys.modules; vae.explain_loss; "
        "assert not {'matplotlib', 'rich', 'safetensors'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=Path(vae.__file__).parents[1])
    assert vae.explain_loss is explain_loss
    with pytest.raises(AttributeError, match="module 'vae' has no attribute 'explain_los'"):
        vae.explain_los  # noqa: B018


def test_float32_losses_stay_float32():
    """s and β are Python numbers, so sums in float32 stay float32."""
    config = Config(reduction="mean", beta=0.05, latent=2, hidden=5)
    for model, parameters, y, noise in random_settings(config, 1):
        narrow = tree.map(lambda x: x.astype(np.float32), (parameters, y, noise))
        got = loss(config, model, *narrow)
        assert got.dtype == np.float32
        assert_close(got, loss(config, model, parameters, y, noise), rounding(np.float32))


def test_a_loss_without_kl_has_no_warm_up():
    assert "rising" not in str(explain_loss(Config(beta=0.0, warm_up=2.0)))
