"""Mistakes that other autoencoders made, each as a test of this one: named as what is true here, with whose bug it was.

Where a bound is at stake the truth is pPCA (see `ppca`): with an orthogonal W the encoder can be the exact posterior,
so that the ELBO *is* ln Q(y), known in closed form, and whatever is lost or won by a mistake shows in full.
"""

import itertools
import json
import math
import re
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import tree
from tests.support.oracles import EPS, ROUNDINGS, assert_close
from tests.support.vae import ppca, truth
from vae import cli, evaluation, training
from vae.autoencoder import Autoencoder
from vae.config import Config
from vae.data import Dataset, load
from vae.errors import TrainingError
from vae.explain import explain_loss
from vae.likelihoods import Bernoulli, Gaussian, Sigma
from vae.models import MODELS, Model, Parameters, conv, mlp
from vae.objectives import FORMS, elbo, elbo_sums, importance_bound

SHAPE, LATENT, SIGMA = (2, 3, 1), 2, 0.03
PIXELS = math.prod(SHAPE)
GAUSSIAN = Gaussian(Sigma(SIGMA))
KEY = mg.random.key(11)


class Exact(NamedTuple):
    """pPCA whose encoder is the exact posterior, images, and their ln Q(y)."""

    model: Model
    parameters: Parameters
    w: np.ndarray
    v: np.ndarray
    std: np.ndarray
    y: np.ndarray
    evidence: np.ndarray


def exact(count: int = 5, sigma: float = SIGMA, drawn_with: float = 1.0) -> Exact:
    """Images come from Q(y), or from one with `drawn_with` times its W."""
    random = np.random.default_rng(0)
    w = ppca.orthogonal(random, PIXELS, LATENT, 0.08)
    v, std = ppca.posterior(w, sigma)
    y = ppca.draw(random, drawn_with * w, sigma, count, SHAPE)
    model, parameters = ppca.linear_model(SHAPE, LATENT), ppca.make_parameters(w, v, std)
    return Exact(model, parameters, w, v, std, y, ppca.log_evidence(y, w, sigma))


def moved_away(y: np.ndarray, w: np.ndarray, distance: float) -> np.ndarray:
    """Images moved in a direction that W cannot reach: they get unlikely, and keep their posterior."""
    e = y.reshape(len(y), -1) - ppca.CENTRE
    outside = e - e @ w @ np.linalg.inv(w.T @ w) @ w.T
    return y + distance * (outside / np.linalg.norm(outside, axis=1, keepdims=True)).reshape(y.shape)


def normal(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


# Sums and means


@pytest.mark.parametrize("form", FORMS)
def test_pixels_and_latents_are_both_summed_so_the_elbo_reaches_the_evidence_and_never_passes_it(form):
    """KL divided by the number of pixels: pytorch/examples#234 and #290, PyTorch-VAE#11, keras#3383, #4538, #6015.

    Divided, the "bound" lies above ln Q(y) by (1 − 1/D)·KL.
    """
    model, parameters, _, v, std, y, evidence = exact()
    bound = ppca.average(lambda i, e: elbo(Autoencoder(model, GAUSSIAN, parameters), i, e, form), y, LATENT)
    assert_close(bound, evidence)
    pixels = ppca.average(lambda i, e: elbo_sums(Autoencoder(model, GAUSSIAN, parameters), i, e, form)[0], y, LATENT)
    divided = pixels - ppca.kl(y, v, std) / PIXELS
    assert_close(divided, evidence + (1 - 1 / PIXELS) * ppca.kl(y, v, std))
    assert np.all(divided > evidence + 0.1)
    assert not explain_loss(Config(beta=1 / 784)).is_bound
    assert explain_loss(Config(reduction="mean", beta=1 / 784)).is_bound  # both divided


def test_a_mean_squared_error_with_a_small_kl_weight_is_told_to_be_a_wide_decoder():
    """`kld_weight` = 0.00025 on 64×64×3 pixels hides σ² = 1.5: PyTorch-VAE#11, #23 and #35.

    Its minimum over encoders is the posterior for *that* σ², w·D/2 = 1.5 on six pixels: there the gradient vanishes.
    """
    weighed = {"decoder": "gaussian", "sigma": repr(math.sqrt(0.5)), "reduction": "mean"}
    said = explain_loss(Config(**weighed, beta=0.00025), (64, 64, 3))
    assert_close(said.sigma_squared, 0.00025 * 64 * 64 * 3 / 2)
    assert "σ² = 1.536" in str(said)

    kld_weight = 0.5
    said = explain_loss(Config(**weighed, beta=kld_weight), SHAPE)
    assert_close(said.sigma_squared, 1.5)
    model, _, w, _, _, y, _ = exact()

    def gradient(sigma):
        """Of mean (y−ŷ)² + w·KL in V and ln s, at the posterior for this σ, averaged over ε."""
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


def test_one_number_is_ln_sigma_to_the_sample_to_the_kl_and_to_the_density():
    """σ taken for σ² or for ln σ² in one of the three: keras#3283, rachtsingh/ibp_vae#3, bjlkeng/sandbox#10.

    With ln s of the exact posterior ln Q(y,z) − ln P(z|y) = ln Q(y) for *every* ε; with ln s² (or s) for some only.
    """
    model, parameters, w, v, std, y, evidence = exact()
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
    """--sigma 0.03 is σ = 0.03, σ² = 0.0009: with it, and with no other power of it, the ELBO reaches ln Q(y)."""
    model, parameters, _, _, _, y, evidence = exact()
    noise = normal(5, LATENT)
    for sigma, right in (("0.03", True), ("0.0009", False), (repr(math.sqrt(0.03)), False)):
        config = Config(decoder="gaussian", sigma=sigma)
        found = elbo(Autoencoder(model, config.make_likelihood(), parameters), y, noise, "sampled")
        assert np.allclose(found, evidence, rtol=1e-12, atol=0) == right
        assert_close(explain_loss(config, SHAPE).sigma_squared, float(sigma) ** 2)


# What a run reports


@pytest.fixture(scope="module")
def reported(tmp_path_factory, make_trainer):
    """What `vae.training` writes of one epoch with pPCA at its exact posterior, and what it must be, within 5 standard
    errors. Test images come from half the W, and are sorted, those that are likely first.
    """
    _, parameters, w, v, std, images, _ = exact(10000)
    test = exact(4003, drawn_with=0.5)
    in_order = test.y[np.argsort(-test.evidence)]
    data = Dataset("pPCA", images.astype(np.float32), in_order.astype(np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "mlp", lambda shape, latent, hidden: ppca.linear_model(shape, latent, parameters))
        config = Config(
            latent=LATENT, epochs=1, decoder="gaussian", sigma=repr(SIGMA), learning_rate=1e-12, optimiser="sgd"
        )
        trainer = make_trainer(config, SHAPE)
        state = training.train(trainer, data, tmp_path_factory.mktemp("pitfalls"))
    found = {}
    for part, images in (("train", data.train), ("test", data.test)):
        images = images.astype(np.float64)
        e = images.reshape(len(images), -1) - ppca.CENTRE
        residual = e - e @ v.T @ w.T
        # −(1/2σ²)‖r − Σ Wᵢsᵢεᵢ‖² has the variance Σ (r·Wᵢsᵢ)²/σ⁴ + ‖Wᵢsᵢ‖⁴/2σ⁴, for orthogonal Wᵢ
        parts = (residual @ w) ** 2 * std**2 + np.sum(w**2, axis=0) ** 2 * std**4 / 2
        error = 5 * math.sqrt(np.sum(parts)) / SIGMA**2 / len(images)
        found[part] = state.history[0][f"{part}_elbo"], np.mean(ppca.log_evidence(images, w, SIGMA)), error
    at_mean = np.sum(w**2 @ std**2) / (2 * SIGMA**2)  # what E‖y − ŷ‖²/2σ² gains by z = μ
    return found, at_mean, data, w


@pytest.mark.parametrize("part", ["train", "test"])
def test_noise_has_standard_deviation_one_so_what_is_reported_is_a_bound(reported, part):
    """Noise scaled by `epsilon_std`, 0.01 in keras PR#4211, gives a number above ln Q(y) that bounds nothing."""
    found, at_mean, *_ = reported
    value, evidence, error = found[part]
    assert abs(value - evidence) <= error
    for scale in (0.01, 0.5, 0.9, 1.1):
        assert abs((1 - scale**2) * at_mean) > 2 * error  # by which such noise would be off


def test_evaluation_samples_z_and_never_takes_its_mean(reported):
    """z = μ in place of a sample: a biased bound, here above ln Q(y) itself."""
    found, at_mean, *_ = reported
    for value, evidence, error in found.values():
        assert value <= evidence + error
        assert at_mean > 2 * error


def test_the_test_score_is_of_all_test_images_and_of_no_training_image(reported):
    """Evaluating on `train`, on a prefix of a sorted file, or on whole batches only (4003 images, pieces of 500)."""
    found, _, data, w = reported
    value, evidence, error = found["test"]
    assert abs(value - evidence) <= error
    assert abs(found["train"][1] - evidence) > 2 * error
    each = ppca.log_evidence(data.test.astype(np.float64), w, SIGMA)
    for prefix in (128, 500, 2000):
        assert abs(each[:prefix].mean() - evidence) > 2 * error


def test_a_smaller_test_set_is_no_prefix_of_a_sorted_file(tmp_path):
    """Class-sorted files, Larochelle's binarised MNIST among them: a prefix has the first classes only.

    Ten classes, k/10 bright. 200 of 1000 without replacement average 0.45 with variance 0.0825/200·800/999.
    """
    bright = np.repeat(np.arange(10) / 10, 100).astype(np.float32)
    images = np.broadcast_to(bright[:, None, None, None], (1000, 4, 4, 1))
    np.savez(tmp_path / "sorted.npz", train=images, test=images)
    np.savez(tmp_path / "whole.npz", images=images)
    error = 5 * math.sqrt(0.0825 / 200 * 800 / 999)
    data = load(str(tmp_path / "sorted.npz"), size=(200, 200))
    held_out = load(str(tmp_path / "whole.npz")).test
    assert abs(data.test.mean() - 0.45) <= error
    assert abs(data.train.mean() - 0.45) <= error
    assert len(held_out) == 100
    assert abs(held_out.mean() - 0.45) <= 5 * math.sqrt(0.0825 / 100 * 900 / 999)
    assert abs(images[:200].mean() - 0.45) > 2 * error


# Importance weights


@pytest.mark.parametrize("k", [1, 2, 50])
def test_the_importance_bound_takes_no_analytic_kl_inside(k):
    """PyTorch-VAE#34. At the exact posterior every weight is Q(y), so the bound is ln Q(y) whatever ε and K are.

    ln (1/K) Σ Q(y|z_k) − KL is not: for large K it is ln E Q(y|z) − KL > E ln Q(y|z) − KL = ln Q(y), no bound.
    """
    model, parameters, _, v, std, y, evidence = exact()
    noise = normal(k, 5, LATENT)
    assert_close(importance_bound(Autoencoder(model, GAUSSIAN, parameters), y, noise), evidence)

    density = lambda i, e: np.exp(elbo_sums(Autoencoder(model, GAUSSIAN, parameters), i, e)[0])
    analytic = np.log(ppca.average(density, y, LATENT, 24)) - ppca.kl(y, v, std)
    assert np.all(analytic > evidence + 0.05)


def test_gradients_of_the_importance_bound_are_weighed_by_the_weights_not_by_the_losses():
    """A softmax over losses favours the worst sample: PyTorch-VAE#34. ∇L_K = Σ w̃_k ∇ln w_k with w̃ = w/Σw (Burda et al.)

    Each ln w_k once more in plain NumPy, its gradient by complex steps along random directions.
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


def test_weights_are_taken_relative_to_the_largest_so_none_underflow():
    """ln mean exp without subtracting the maximum: xqding#3. Far images have ln Q(y) below −10⁴, e^(…) = 0."""
    model, parameters, w, _, _, y, _ = exact(sigma=0.01)
    y = moved_away(y, w, 2.0)
    likelihood, noise = Gaussian(Sigma(0.01)), normal(20, 5, LATENT)
    evidence = ppca.log_evidence(y, w, 0.01)
    logs = np.stack([elbo(Autoencoder(model, likelihood, parameters), y, eps, "sampled") for eps in noise])
    assert np.all(np.exp(logs) == 0)
    assert np.all(evidence < -1e4)
    assert_close(importance_bound(Autoencoder(model, likelihood, parameters), y, noise), evidence, 16 * ROUNDINGS * EPS)


def test_a_mean_over_images_counts_those_of_the_last_short_batch():
    """An NLL truncated to whole batches: pythae. 503 images in pieces of 500, the last three far away."""
    model, parameters, w, _, _, y, _ = exact(503)
    y[500:] = moved_away(y[500:], w, 1.0)
    evidence = ppca.log_evidence(y, w, SIGMA)
    assert evidence.mean() < evidence[:500].mean() - 0.1
    assert_close(evaluation.mean_importance_bound(Autoencoder(model, GAUSSIAN, parameters), y, KEY, 3), evidence.mean())
    assert_close(evaluation.mean_elbo(Autoencoder(model, GAUSSIAN, parameters), y, KEY, "sampled"), evidence.mean())


# Variances that run away


def runaway(make_trainer, config, log_std=300.0):
    """A trainer whose encoder's ln σ has run away to 300, σ² = e^600, for all images; with images to train on."""
    data = truth.small_data(200, 20)
    trainer = make_trainer(config, (4, 4, 1))
    start = trainer.initial()
    head = start.parameters.encoder.log_std
    encoder = start.parameters.encoder._replace(log_std=head._replace(b=np.full_like(head.b, log_std)))
    return trainer, data, start._replace(parameters=start.parameters._replace(encoder=encoder))


def test_a_log_variance_that_blew_up_stops_training_by_name(tmp_path, make_trainer):
    """NaN parameters saved, or trained on in silence: synthcity#331, WorldModels#2."""
    trainer, data, state = runaway(make_trainer, Config(latent=2, hidden=8, batch=50))
    with pytest.raises(TrainingError, match=r"in epoch 1, batch 1: .*the last checkpoint is kept"):
        training.train(trainer, data, tmp_path, state)


def test_a_clamped_log_variance_is_finite_and_finds_its_way_back(tmp_path, make_trainer):
    """A clamp needs a slope outside itself. One that cuts off, as `clip` does, has none there: σ would stay so."""
    trainer, data, state = runaway(
        make_trainer, Config(latent=2, hidden=8, batch=50, epochs=3, clamp=10.0, learning_rate=0.1)
    )
    parameters = mg.to_device(state.parameters, "cpu")
    y, noise = data.train[:5], normal(5, 2).astype(np.float32)

    def loss(bias, model):
        head = parameters.encoder.log_std
        encoder = parameters.encoder._replace(log_std=head._replace(b=bias))
        return -mg.mean(elbo(Autoencoder(model, Bernoulli(), parameters._replace(encoder=encoder)), y, noise))

    value, slope = mg.value_and_grad(lambda b: loss(b, trainer.model))(parameters.encoder.log_std.b)
    assert np.isfinite(value)
    assert np.all(slope > 0)  # downhill is back
    # 2 ln σ comes out near 10; KL' = σ²−1 in ln σ, the prior pulling, times the clamp's slope (there is more by pixels)
    u = math.pi * 300 / 10
    pull = (math.exp(2 * 10 / math.pi * math.atan(u)) - 1) / (1 + u * u)
    assert np.all(np.abs(slope - pull) < 0.1 * pull)

    free = mlp((4, 4, 1), 2, 8)

    def cut_off(encoder, y):
        mean, log_std = free.encode(encoder, y)
        return mean, mg.clip(log_std, -5, 5)

    cut = replace(free, encode=cut_off)
    assert np.all(mg.grad(lambda b: loss(b, cut))(parameters.encoder.log_std.b) == 0)

    after = training.train(trainer, data, tmp_path, state)
    _, log_std = trainer.model.encode(parameters.encoder, data.test)
    _, came_back = trainer.model.encode(mg.to_device(after.parameters.encoder, "cpu"), data.test)
    assert np.all(came_back < log_std)
    assert after.history[-1]["train_elbo"] > after.history[0]["train_elbo"]


# Grey pixels


def logistic(seed=0, pixels=4):
    """Weights and biases of logits linear in one z, a grey image, and ln Q(b) of all binary images b by quadrature."""
    random = np.random.default_rng(seed)
    w, bias, grey = random.standard_normal((3, pixels))
    grey = truth.sigmoid(grey)
    z, weight = np.polynomial.hermite_e.hermegauss(100)
    p = truth.sigmoid(z[:, None] * w + bias)
    binary = np.array(list(itertools.product([0, 1], repeat=pixels)))
    joint = np.prod(np.where(binary[:, None], p, 1 - p), axis=2)  # (binary images, nodes)
    chance = np.prod(np.where(binary, grey, 1 - grey), axis=1)
    return w, bias, grey, binary, chance, np.log(joint @ weight / weight.sum()), random


def test_on_grey_pixels_the_elbo_bounds_the_mean_over_binarisations():
    """The log-likelihood is linear in y: for any P(z), the grey ELBO is the mean of the ELBOs of all 2⁴ binary images.

    So it never exceeds the mean of their ln Q(b), here enumerated.
    """
    w, bias, grey, _, chance, evidence, random = logistic()
    z, weight = np.polynomial.hermite_e.hermegauss(40)
    for _ in range(100):
        mean, std = random.standard_normal(), math.exp(0.5 * random.standard_normal())
        logits = (mean + std * z)[:, None] * w + bias
        pixels = Bernoulli().log_prob(grey[None], logits).sum(axis=1) @ weight / weight.sum()
        bound = pixels - (mean**2 + std**2 - 1 - 2 * math.log(std)) / 2
        assert bound <= chance @ evidence
    assert evidence.max() - evidence.min() > 1  # one mean, many numbers


def test_grey_numbers_are_not_compared_with_static_ones(capsys, monkeypatch, tmp_path):
    """For one static binarisation the grey number bounds nothing: many have a lower ln Q(b) than the mean.

    Grey and static numbers are some two nats apart on MNIST, and get compared; the command line says which is which.
    """
    *_, chance, evidence, _ = logistic()
    assert chance @ (evidence < chance @ evidence) > 0.1
    images = truth.small_data(40, 20)
    np.savez(tmp_path / "grey.npz", train=images.train, test=images.test)
    np.savez(tmp_path / "static.npz", train=np.rint(images.train), test=np.rint(images.test))
    monkeypatch.chdir(tmp_path)
    said = {}
    for name in ("grey", "static"):
        assert cli.main(["train", "--data", f"{name}.npz", "--epochs", "1", "--hidden", "4", "--out", name]) == 0
        trained = capsys.readouterr().out
        assert cli.main(["evaluate", "--checkpoint", name]) == 0
        said[name] = [trained, capsys.readouterr().out]
    assert all("not comparable with static" in text for text in said["grey"])
    assert all("binary pixels, a bound on −ln Q(y)" in text for text in said["static"])
    assert not any("not comparable" in text for text in said["static"])


# Checkerboards


def test_every_phase_of_a_deconvolution_has_the_same_number_of_taps():
    """A transposed convolution whose kernel the stride does not divide, K = 3 and 2, meets its pixels 1, 2, 2, 4 times.

    Counted by a loop; and by ours, a stride-1 convolution and a reshape: 9 times, everywhere but on the rim.
    """
    met = np.zeros((8, 8), int)
    for i, j, a, b in itertools.product(range(3), range(3), range(3), range(3)):
        met[2 * i + a, 2 * j + b] += 1
    assert sorted(met[2:4, 2:4].ravel()) == [1, 2, 2, 4]
    _, transposed = mg.vjp(
        lambda x: mg.conv2d(x, np.ones((3, 3, 1, 1)), stride=2, padding="valid"), np.ones((1, 7, 7, 1))
    )
    assert_close(transposed(np.ones((1, 3, 3, 1)))[0][0, :, :, 0], met[:7, :7].astype(float))
    ours = mg.deconv2d(np.ones((1, 4, 4, 1)), np.ones((3, 3, 1, 4)))[0, :, :, 0]
    assert np.all(ours[2:-2, 2:-2] == 9)


def test_the_decoder_makes_no_checkerboard_of_its_own():
    """Sub-pixel convolutions with their phases alike (ICNR) give blocks of equal pixels. Ours are drawn apart, all from
    one law: a single draw has a pattern, which training must remove, but no phase is favoured over the draws.
    """
    model = conv((8, 8, 1), 2, features=(2, 3))
    z = normal(4, 2)
    spread = []
    for seed in range(400):
        decoder = model.init(mg.random.key(seed), np.float64).decoder
        images = model.decode(decoder, z)
        phases = np.array([images[:, i::2, j::2].mean() for i in range(2) for j in range(2)])
        spread.append(phases - phases.mean())
    error = np.std(spread, axis=0, ddof=1) / math.sqrt(len(spread))
    assert np.all(np.abs(np.mean(spread, axis=0)) <= 5 * error)
    assert np.all(error > 0)

    same = lambda layer: layer._replace(
        w=np.tile(layer.w[..., : layer.b.size // 4], 4), b=np.tile(layer.b[: layer.b.size // 4], 4)
    )
    dense, middle = decoder.hidden
    alike = model.decode(decoder._replace(hidden=(dense, same(middle)), pixels=same(decoder.pixels)), z)
    for i, j in ((0, 1), (1, 0), (1, 1)):
        assert np.array_equal(alike[:, ::2, ::2], alike[:, i::2, j::2])


# Code lengths


def test_nothing_is_called_bits_that_no_coder_wrote(capsys, monkeypatch, tmp_path):
    """Code lengths that were estimated and never encoded (encodec PR#95 could not even decode what it had encoded).

    Commands and files of a run speak of nats, of bounds and of −ELBO. There is no coder here, so no compressed size.
    """
    images = truth.small_data(40, 20)
    np.savez(tmp_path / "images.npz", train=images.train, test=images.test)
    monkeypatch.chdir(tmp_path)
    train = ["train", "--data", "images.npz", "--epochs", "1", "--hidden", "4", "--latent", "2", "--out", "run"]
    evaluate = ["evaluate", "--checkpoint", "run", "--importance", "3"]
    for command in (train, evaluate, [*evaluate, "--json"], ["sample", "--checkpoint", "run"]):
        assert cli.main(command) == 0
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    said = capsys.readouterr().out + "".join(
        (tmp_path / "run" / f).read_text() for f in ("metrics.jsonl", "config.json")
    )
    assert "nats" in said
    assert set(json.loads((tmp_path / "run/metrics.jsonl").read_text())) == {
        "epoch",
        "train_elbo",
        "test_elbo",
        "seconds",
    }
    said = said.replace("bit for bit", "")
    assert not re.search(r"\bbits?\b|\bbpd\b|code length|compress|encoded size|\bbytes?\b", said, re.IGNORECASE)
