"""python -m vae check: what it reports and draws, and that a planted mistake is exit code 1."""

import json

import pytest

from minigrad.core.interpreter import primitives
from vae import gradients


def test_check_as_json(vae):
    code, out, err = vae("check", "--hidden", "4", "--latent", "2", "--images", "2", "--json")
    assert (code, err) == (0, "")
    report = json.loads(out, parse_constant=pytest.fail)
    assert set(report) == {
        *("parameters", "max_relative_error", "passed"),  # what the issue asks for, and what else there is to know
        *("directions", "adjoint_gap", "tolerance", "adjoint_tolerance", "verdict"),
    }
    assert report["passed"] is True
    assert report["max_relative_error"] <= report["tolerance"] == 1e-7
    sizes = {p["name"]: (p["shape"], p["coordinates"]) for p in report["parameters"]}
    assert sizes["encoder.hidden.0.w"] == ([784, 4], 30)
    assert sizes["encoder.mean.b"] == ([2], 2)
    for p in report["parameters"]:
        counts = {"coordinates", "kinks", "redrawn", "undecided"}
        assert set(p) == {"name", "shape", *counts, "uncertainty", "max_relative_error"}
    assert report["max_relative_error"] == max(
        [p["max_relative_error"] for p in report["parameters"]] + [report["directions"]["max_relative_error"]]
    )


def test_check_as_a_table_and_a_picture(vae, tmp_path):
    code, out, err = vae("check", "--hidden", "4", "--latent", "2", "--images", "2", "--picture", "plots/a.png")
    assert (code, err) == (0, "")
    assert "encoder.hidden.0.w" in out
    assert "passed: largest error" in out
    assert (tmp_path / "plots/a.png").read_bytes().startswith(b"\x89PNG")


def test_check_of_a_trained_run(vae, trained):
    code, out, _ = vae("check", "--checkpoint", trained, "--json", "--seed", "2")
    assert code == 0
    assert json.loads(out)["parameters"][0]["shape"] == [16, 8]


@pytest.mark.host
@pytest.mark.parametrize("decoder", ["bernoulli", "gaussian", "laplace", "logistic"])
def test_check_takes_the_options_of_the_loss(vae, decoder):
    small = ["--hidden", "4", "--latent", "2", "--images", "2", "--coordinates", "5"]
    code, out, _ = vae("check", *small, "--decoder", decoder, "--reduction", "mean", "--beta", "0.01", "--clamp", "4")
    assert code == 0
    assert "passed: largest error" in out


@pytest.mark.host
@pytest.mark.parametrize("objective", ["elbo", "iwae", "stl", "dreg"])
def test_check_takes_the_objective_and_its_samples(vae, monkeypatch, objective):
    """The noise has an axis of samples; layers and activations are those asked for."""
    seen, check = [], gradients.check
    monkeypatch.setattr(gradients, "check", lambda *given, **more: seen.append(given) or check(*given, **more))
    layers = "--hidden 4 3 --activation gated --latent 2 --clamp -9 3".split()
    small = ["--images", "2", "--coordinates", "3", "--objective", objective, "--samples", "4", "--json"]
    code, out, _ = vae("check", *layers, *small)
    assert code == 0
    report = json.loads(out)
    ((_, _, noise, form, weights, given),) = seen
    assert (noise.shape, form, tuple(weights)) == ((4, 2, 2), "closed" if objective == "elbo" else "sampled", (1, 1))
    assert given == objective
    assert [p["shape"] for p in report["parameters"] if p["name"].startswith("encoder.hidden")] == [
        *([784, 8], [8]),
        *([4, 6], [6]),
    ]


@pytest.mark.host
@pytest.mark.parametrize("factor", [1.001, float("nan")])
def test_check_fails_on_a_planted_mistake(vae, monkeypatch, factor, tmp_path):
    """Exit code 1, no traceback, JSON that parses, and a picture of the entries that are numbers."""
    rule = primitives["relu"].rule

    class Wrong:
        def __getattr__(self, name):
            return getattr(rule, name)

        def vjp(self, *args):
            return [g if g is None else g * factor for g in rule.vjp(*args)]

    monkeypatch.setattr(primitives["relu"], "rule", Wrong())
    check = ["check", "--hidden", "4", "--latent", "2", "--images", "2", "--coordinates", "5", "--picture", "a.png"]
    code, out, err = vae(*check, "--json")
    assert (code, err) == (1, "")
    assert json.loads(out, parse_constant=pytest.fail)["passed"] is False
    assert (tmp_path / "a.png").exists()
    code, out, err = vae(*check)
    assert (code, err) == (1, "")
    assert "FAILED: largest error" in out


@pytest.mark.host
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "--clamp", "0"], ["clamp must lie in 0.001 … 80"]),
        (["check", "--coordinates", "0"], ["--coordinates"]),
        (["check", "--objective", "dreg", "--form", "closed"], ["the objective dreg", "no closed form"]),
        (["check", "--objective", "iwae", "--reduction", "mean"], ["the objective iwae", "use --reduction sum"]),
        (["check", "--samples", "0"], ["--samples", "must be a whole number from 1"]),
        (["check", "--images", "-4"], ["--images"]),
        (["check", "--checkpoint", "nowhere"], ["no checkpoint at nowhere/checkpoint.safetensors"]),
        (["check", "--picture", "/proc/vae/x.png"], ["cannot write to the folder /proc/vae"]),
        (
            ["check", "--model", "conv", "--latent", "1000000000"],
            ["--latent 1000000000 and --features 32 64 do not fit"],
        ),
        (["check", "--checkpoint", "TRAINED", "--model", "conv"], ["the run has --model mlp, not conv"]),
        (["check", "--checkpoint", "TRAINED", "--reduction", "mean"], ["the run has --reduction sum, not mean"]),
    ],
    ids=lambda x: " ".join(x)[:60],
)
def test_wrong_input_gets_one_sentence_and_writes_nothing(refuse, arguments, said):
    refuse(arguments, said)
