"""vae/cli/latents.py: evaluate --latents agrees with the library, says every number, and draws its pictures."""

import json
import math

import numpy as np
import pytest

import minigrad as mg
from vae import latents as library
from vae import runs
from vae.cli.latents import KEY
from vae.cli.output import write_estimate
from vae.data import load
from vae.evaluation import Estimate
from vae.runs import load_state

RATES = ["rate", "information", "marginal_kl"]


def measure(vae, *arguments):
    """The part of evaluate's JSON."""
    code, out, err = vae("evaluate", *arguments, "--latents", "--json")
    assert (code, err) == (0, "")
    return json.loads(out, parse_constant=pytest.fail)["latents"]


@pytest.fixture(scope="module")
def of_digits(tmp_path_factory, run_command):
    """The folder of a run on the built-in digits, whose factors are known."""
    out = tmp_path_factory.mktemp("runs") / "digits"
    small = ["--model", "mlp", "--hidden", "16", "--latent", "3", "--train-size", "120", "--test-size", "40"]
    assert run_command("train", "--data", "digits", *small, "--epochs", "1", "--out", out) == 0
    return out


def encode(out, images):
    trainer = runs.load_trainer(out)
    return trainer.trained(load_state(trainer, out)).encode(images)


@pytest.mark.host
def test_rates_are_those_of_the_library(vae, trained, images):
    found = measure(vae, "--checkpoint", trained, "--seed", "5")
    mean, log_std = encode(trained, np.load(images)["test"])
    variance, active = library.active_units(mean)
    assert (found["active_units"], found["threshold"]) == (active.sum(), 0.01)
    assert found["active"] == active.tolist()
    np.testing.assert_allclose(found["variance"], variance, rtol=1e-5)
    np.testing.assert_allclose(found["kl"], library.mean_kl(mean, log_std), rtol=1e-5)
    kl = 0.5 * (np.square(mean) + np.exp(2 * log_std) - 1) - log_std
    np.testing.assert_allclose(found["kl_standard_error"], kl.std(axis=0, ddof=1) / math.sqrt(20), rtol=1e-4)
    np.testing.assert_allclose(found["rate_standard_error"], kl.sum(axis=1).std(ddof=1) / math.sqrt(20), rtol=1e-4)
    parts = library.divide_rate(mean, log_std, mg.random.fold_in(mg.random.key(5), KEY))
    for name, value in (
        ("rate", parts.rate),
        ("information", parts.information),
        ("information_standard_error", parts.information_error),
        ("marginal_kl", parts.marginal_kl),
        ("marginal_kl_standard_error", parts.marginal_kl_error),
        ("information_limit", math.log(20)),
    ):
        assert found[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name


def test_factors_are_absent_where_none_are_known(vae, trained):
    found = measure(vae, "--checkpoint", trained)
    assert "mig" not in found and "factors" not in found
    assert (trained / "latents.png").read_bytes().startswith(b"\x89PNG")
    assert not (trained / "information.png").exists()
    code, out, err = vae("evaluate", "--checkpoint", trained, "--latents")
    assert (code, err) == (0, "") and "MIG" not in out and out.endswith(f"{trained / 'latents.png'}\n")
    for name in RATES:
        assert f" {write_estimate(Estimate(found[name], found[f'{name}_standard_error']))} " in out
    for mean, error in zip(found["kl"], found["kl_standard_error"], strict=True):
        assert f" {write_estimate(Estimate(mean, error))} " in out
    assert f"{found['active_units']} of 2 latents are active" in out


@pytest.mark.host
def test_factors_are_those_of_the_library(vae, of_digits):
    sizes = ["--train-size", "150", "--test-size", "60"]
    found = measure(vae, "--checkpoint", of_digits, *sizes)
    data = load("digits", size=(150, 60))
    train, test = encode(of_digits, data.train)[0], encode(of_digits, data.test)[0]
    information = library.measure_information(test, data.factors["test"])
    scores = library.probe(train, data.factors["train"], test, data.factors["test"])
    assert found["mig"] == pytest.approx(information.mig, rel=1e-6)
    assert tuple(found["factors"]) == information.names
    for i, (name, each) in enumerate(found["factors"].items()):
        np.testing.assert_allclose(each["information"], information.information[:, i])
        values = information.gap[i], information.entropy[i], information.chance[i]
        assert [each["mig"], each["entropy"], each["chance"]] == [pytest.approx(value) for value in values]
        if name in ("font", "digit"):
            right = scores[name]
            assert each["accuracy"] == pytest.approx(right)
            assert each["accuracy_standard_error"] == pytest.approx(math.sqrt(right * (1 - right) / 59))
        else:
            assert each["r_squared"] == pytest.approx(scores[name], abs=1e-3)
    assert (of_digits / "information.png").read_bytes().startswith(b"\x89PNG")
    code, out, err = vae("evaluate", "--checkpoint", of_digits, "--latents", *sizes)
    assert (code, err) == (0, "") and f"MIG {found['mig']:.3f}" in out
    assert f" R² {found['factors']['dx']['r_squared']:.3f} " in out


def test_binary_digits_are_encoded_as_the_model_sees_them(vae, of_digits):
    common = ["--checkpoint", of_digits, "--train-size", "50", "--test-size", "30"]
    grey, static, dynamic = (measure(vae, *common, "--binarise", how) for how in ("none", "static", "dynamic"))
    assert grey["rate"] != static["rate"] != dynamic["rate"]
    assert measure(vae, *common, "--binarise", "dynamic") == dynamic


def test_a_single_image_has_no_errors(vae, of_digits):
    found = measure(vae, "--checkpoint", of_digits, "--test-size", "1", "--train-size", "50")
    assert [found[f"{name}_standard_error"] for name in RATES] == [None] * 3
    assert found["factors"]["dx"]["r_squared"] is None
    assert found["factors"]["digit"]["accuracy_standard_error"] is None
    assert vae("evaluate", "--checkpoint", of_digits, "--test-size", "1", "--latents")[0] == 0
