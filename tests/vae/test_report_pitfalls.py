"""Mistakes that other autoencoders made in the numbers they report, each as a test that names whose bug it was."""

import itertools
import json
import math
import re

import numpy as np
import pytest

from tests.support.vae import ppca, truth
from tests.support.vae.ppca import LATENT, SHAPE, SIGMA, make_exact
from vae import cli, training
from vae.config import Config
from vae.data import Dataset, load
from vae.likelihoods import Bernoulli
from vae.models import MODELS

# What a run reports


@pytest.fixture(scope="module")
def reported(tmp_path_factory, make_trainer):
    """The ELBOs that one epoch of training reports for pPCA at its exact posterior, what they must be, and 5 standard
    errors. Test images are drawn with half the W and sorted, the most likely first.
    """
    _, parameters, w, v, std, images, _ = make_exact(10000)
    test = make_exact(4003, drawn_with=0.5)
    in_order = test.y[np.argsort(-test.evidence)]
    data = Dataset("pPCA", images.astype(np.float32), in_order.astype(np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "mlp", lambda shape, latent, *rest: ppca.linear_model(shape, latent, parameters))
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
    at_mean = np.sum(w**2 @ std**2) / (2 * SIGMA**2)  # by how much E‖y − ŷ‖²/2σ² is smaller at z = μ
    return found, at_mean, data, w


@pytest.mark.parametrize("part", ["train", "test"])
def test_noise_has_standard_deviation_one_so_the_reported_number_is_a_bound(reported, part):
    """Noise scaled by `epsilon_std`, 0.01 in keras PR#4211, gives a number above ln Q(y) that bounds nothing."""
    found, at_mean, *_ = reported
    value, evidence, error = found[part]
    assert abs(value - evidence) <= error
    for scale in (0.01, 0.5, 0.9, 1.1):
        assert abs((1 - scale**2) * at_mean) > 2 * error  # the error that such noise would cause


def test_evaluation_samples_z_and_never_takes_its_mean(reported):
    """With z = μ in place of a sample the result is biased, here above ln Q(y) itself."""
    found, at_mean, *_ = reported
    for value, evidence, error in found.values():
        assert value <= evidence + error
        assert at_mean > 2 * error


def test_the_test_elbo_covers_all_test_images_and_no_training_image(reported):
    """Others evaluated on `train`, a prefix of a sorted file, or full batches only (here 4003 images, 500 a batch)."""
    found, _, data, w = reported
    value, evidence, error = found["test"]
    assert abs(value - evidence) <= error
    assert abs(found["train"][1] - evidence) > 2 * error
    each = ppca.log_evidence(data.test.astype(np.float64), w, SIGMA)
    for prefix in (128, 500, 2000):
        assert abs(each[:prefix].mean() - evidence) > 2 * error


def test_a_smaller_test_set_is_no_prefix_of_a_sorted_file(tmp_path):
    """In a file sorted by class, such as Larochelle's binarised MNIST, a prefix has the first classes only.

    Class k has brightness k/10. 200 of 1000 without replacement have mean 0.45 with variance 0.0825/200·800/999.
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


# Grey pixels


def logistic_model(seed=0, pixels=4):
    """A decoder with logits linear in one z, a grey image, and ln Q(b) of every binary image b by quadrature."""
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
    w, bias, grey, _, chance, evidence, random = logistic_model()
    z, weight = np.polynomial.hermite_e.hermegauss(40)
    for _ in range(100):
        mean, std = random.standard_normal(), math.exp(0.5 * random.standard_normal())
        logits = (mean + std * z)[:, None] * w + bias
        pixels = Bernoulli().log_prob(grey[None], logits).sum(axis=1) @ weight / weight.sum()
        bound = pixels - (mean**2 + std**2 - 1 - 2 * math.log(std)) / 2
        assert bound <= chance @ evidence
    assert evidence.max() - evidence.min() > 1  # the binarisations differ widely


def test_grey_and_static_elbos_are_labelled_as_not_comparable(capsys, monkeypatch, tmp_path):
    """The grey ELBO bounds no single ln Q(b): many binarisations b lie below the mean.

    On MNIST the grey and the static ELBO differ by about two nats and are often compared: commands say which it is.
    """
    *_, chance, evidence, _ = logistic_model()
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


# Code lengths


def test_no_output_claims_a_code_length(capsys, monkeypatch, tmp_path):
    """Others report code lengths that no coder produced (encodec PR#95 could not even decode its own output).

    There is no coder here: commands and files report nats, bounds and −ELBO, and no compressed size.
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
