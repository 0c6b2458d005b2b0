"""vae/cli/annealing.py: evaluate --annealing agrees with the library, says every number, and draws a picture."""

import json

import numpy as np
import pytest

import minigrad as mg
from tests.support.vae.small_runs import SMALL, assert_refused
from vae import runs, training
from vae.annealing import Annealing, annealed_bounds, simulate
from vae.cli import annealing
from vae.cli.annealing import KEY, series_of
from vae.cli.output import write_estimate
from vae.evaluation import Estimate
from vae.runs import load_state

pytestmark = pytest.mark.usefixtures("no_pictures")

BOUNDS = ["upper", "lower", "gap"]


def anneal(vae, *arguments):
    """The part of evaluate's JSON."""
    code, out, err = vae("evaluate", *arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out, parse_constant=pytest.fail)["annealing"]


def expected(values):
    return [pytest.approx(values.mean(), rel=1e-6), pytest.approx(values.std(ddof=1) / np.sqrt(len(values)), rel=1e-4)]


def read(record, name):
    return [record[name], record[f"{name}_standard_error"]]


@pytest.mark.host
def test_the_numbers_are_those_of_the_library(vae, trained, images):
    found = anneal(vae, "--checkpoint", trained, "--annealing", "8", "--chains", "3", "--seed", "5")
    trainer = runs.load_trainer(trained)
    autoencoder, y = trainer.trained(load_state(trainer, trained)), np.load(images)["test"]
    keys = mg.random.split(mg.random.fold_in(mg.random.key(5), KEY), 3)
    given = annealed_bounds(autoencoder, y, keys[0], Annealing(8, 3))
    assert [found[name] for name in ("temperatures", "chains", "images")] == [8, 3, 20]
    assert read(found, "upper") == expected(-given.lower)
    assert found["acceptance"] == pytest.approx(given.acceptance, rel=1e-5)
    z, y = simulate(autoencoder, 20, keys[1])
    assert [each["temperatures"] for each in found["simulated"]] == [2, 4, 8]
    for each in found["simulated"]:
        bounds = annealed_bounds(autoencoder, y, keys[2], Annealing(each["temperatures"], 3), z=z)
        assert read(each, "upper") == expected(-bounds.lower)
        assert read(each, "lower") == expected(-bounds.upper)
        assert read(each, "gap") == expected(bounds.upper - bounds.lower)
        assert each["images"] == 20


@pytest.mark.host
def test_every_number_has_its_error_and_a_picture_is_drawn(vae, trained):
    (trained / "annealing.png").unlink(missing_ok=True)
    plain = json.loads(vae("evaluate", "--checkpoint", trained, "--json")[1])
    assert "annealing" not in plain and not (trained / "annealing.png").exists()
    command = ["evaluate", "--checkpoint", trained, "--annealing", "6", "--chains", "2"]
    scores = json.loads(vae(*command, "--json")[1], parse_constant=pytest.fail)
    found = scores.pop("annealing")
    assert scores == plain
    errors = lambda names: [each for name in names for each in (name, f"{name}_standard_error")]
    assert list(found) == ["temperatures", "chains", "images", *errors(["upper"]), "acceptance", "simulated"]
    for each in found["simulated"]:
        assert list(each) == ["temperatures", "images", *errors(BOUNDS), "acceptance"]
    assert (trained / "annealing.png").read_bytes().startswith(b"\x89PNG")
    code, out, err = vae(*command)
    assert (code, err) == (0, "") and out.endswith(f"{trained / 'annealing.png'}\n")
    for record, names in ((found, ["upper"]), *[(each, BOUNDS) for each in found["simulated"]]):
        for name in names:
            assert f" {write_estimate(Estimate(*read(record, name)))} " in out
    assert "20 test" in out and "20 drawn" in out and "2 chains" in out


@pytest.mark.large
def test_more_temperatures_close_the_gap(vae, trained):
    few, many = (anneal(vae, "--checkpoint", trained, "--annealing", t, "--chains", "4") for t in (2, 40))
    assert abs(many["simulated"][-1]["gap"]) < abs(few["simulated"][-1]["gap"])


def test_a_single_image_has_no_error(vae, trained):
    found = anneal(vae, "--checkpoint", trained, "--annealing", "2", "--test-size", "1")
    assert found["upper_standard_error"] is None
    assert found["simulated"][0]["images"] == 2


@pytest.mark.parametrize(
    "decoder", [["gaussian", "--sigma", "profiled"], ["laplace", "--sigma", "learned"], ["logistic"]]
)
def test_every_decoder_is_annealed(vae, images, decoder):
    assert vae("train", "--data", images, *SMALL, "--decoder", *decoder, "--out", "run")[0] == 0
    found = anneal(vae, "--checkpoint", "run", "--annealing", "10", "--chains", "2")["simulated"][-1]
    assert found["gap"] > -3 * found["gap_standard_error"]


def test_a_run_without_sigma_is_refused_before_anything_is_computed(vae, images, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    def fail(*args):
        pytest.fail("computed")

    with monkeypatch.context() as patch:
        patch.setattr(training, "profile_log_sigma", stop)
        options = ["--decoder", "gaussian", "--sigma", "profiled"]
        assert vae("train", "--data", images, *SMALL, *options, "--out", "run")[0] == 130
    monkeypatch.setattr(annealing, "measure", fail)
    monkeypatch.setattr("vae.cli.bounds.compute_scores", fail)
    assert_refused(vae("evaluate", "--checkpoint", "run", "--annealing", "4"), "run has no σ yet")


def test_bounds_that_are_not_finite_are_refused(vae, trained, monkeypatch):
    one = annealing.Bounds(np.array([np.inf, 1.0]), None, 0.5)
    monkeypatch.setattr(annealing, "measure", lambda *args: annealing.Annealed(Annealing(4, 2), one, {}))
    assert_refused(vae("evaluate", "--checkpoint", trained, "--annealing", "4"), "not finite", "upper")


def test_the_series_doubles_to_the_number_given():
    assert [series_of(t) for t in (2, 3, 4, 8, 1000)] == [[2], [3], [2, 4], [2, 4, 8], [250, 500, 1000]]


@pytest.mark.host
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--annealing", "1"], ["--annealing", "at least 2"]),
        (["--annealing", "0"], ["--annealing"]),
        (["--annealing", "1.5"], ["--annealing"]),
        (["--annealing", "4", "--chains", "0"], ["--chains"]),
        (["--chains", "4"], ["--chains", "--annealing T"]),
        (["--annealing", "4", "--test-size", "21"], ["has 20 test images, 21 were asked for"]),
        (["--annealing", "4", "--data", "digits", "--test-size", "5"], ["the model takes images of shape (4, 4, 1)"]),
    ],
    ids=lambda x: " ".join(x)[:60],
)
def test_wrong_input_gets_one_sentence_and_writes_nothing(refuse, arguments, said):
    refuse(["evaluate", "--checkpoint", "TRAINED", *arguments], said)
