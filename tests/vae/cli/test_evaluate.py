"""python -m vae evaluate: the bounds it prints, and of which images."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minigrad as mg
from minigrad.core import tree
from tests.support.vae import truth
from tests.support.vae.small_runs import SMALL, assert_refused, save_images
from vae import evaluation, runs, training
from vae.cli.bounds import summarise
from vae.cli.evaluate import describe_weights, weights_of
from vae.cli.output import write_estimate
from vae.config import Config
from vae.data import load
from vae.evaluation import Estimate
from vae.runs import load_state, load_trainer

pytestmark = pytest.mark.usefixtures("no_pictures")

BOUNDS = ["negative_elbo_closed", "distortion", "rate", "negative_elbo_sampled"]


def evaluate(vae, *arguments):
    """The numbers that evaluate prints as JSON."""
    code, out, err = vae("evaluate", *arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out, parse_constant=pytest.fail)


def test_evaluate_as_json(vae, trained):
    scores = evaluate(vae, "--checkpoint", trained, "--importance", "5")
    bounds = [*BOUNDS, "negative_importance_bound_5"]
    pairs = [name for bound in bounds for name in (bound, f"{bound}_standard_error")]
    assert list(scores) == ["images", "binarise", "draws", "weights", "epoch", *pairs]
    assert [scores[name] for name in list(scores)[:5]] == [20, "none", 1, "last", 2]
    assert evaluate(vae, "--checkpoint", trained, "--importance", "5") == scores
    other = evaluate(vae, "--checkpoint", trained, "--seed", "1")
    assert other["negative_elbo_closed"] != scores["negative_elbo_closed"]


def test_several_numbers_of_samples_are_drawn_as_a_picture(vae, trained, tmp_path):
    alone = evaluate(vae, "--checkpoint", trained, "--importance", "24")
    assert not (trained / "bounds.png").exists()
    scores = evaluate(vae, "--checkpoint", trained, "--importance", "24", "1", "4", "4")
    assert [name for name in scores if name.endswith(("_1", "_4", "_24"))] == [
        f"negative_importance_bound_{k}" for k in (1, 4, 24)
    ]
    assert {name: scores[name] for name in alone} == alone
    assert (trained / "bounds.png").read_bytes().startswith(b"\x89PNG")
    code, out, err = vae(
        "evaluate", "--checkpoint", trained, "--importance", "24", "4", "1", "--picture", "there/bounds.svg"
    )
    assert (code, err) == (0, "")
    for k in (1, 4, 24):
        bound = f"negative_importance_bound_{k}"
        mean, error = scores[bound], scores[f"{bound}_standard_error"]
        assert f" {write_estimate(Estimate(mean, error))} " in out
    assert "smaller K: the mean over disjoint groups of the samples of the largest" in out
    assert out.endswith("there/bounds.svg\n")
    assert (tmp_path / "there/bounds.svg").read_bytes().startswith(b"<?xml")


def test_a_picture_that_cannot_be_drawn_does_not_cost_the_numbers(vae, trained, monkeypatch):
    def fail(*args):
        raise RuntimeError("no fonts")

    monkeypatch.setattr("vae.pictures.bounds", fail)
    code, out, err = vae("evaluate", "--checkpoint", trained, "--importance", "2", "3", "--json")
    assert code == 0 and "negative_importance_bound_3" in json.loads(out)
    assert err.endswith("bounds.png cannot be drawn: RuntimeError: no fonts\n")


@pytest.mark.parametrize(
    ("mean", "error", "text"),
    [
        (84.4512, 0.1234, "84.45 ± 0.12"),
        (84.4512, 12.34, "84.45 ± 12.34"),
        (84.4512, 0.001234, "84.4512 ± 0.0012"),
        (-3.0, 0.0, "−3.000 ± 0.000"),
        (84.4512, None, "84.451"),
    ],
)
def test_an_estimate_has_the_digits_that_its_error_leaves(mean, error, text):
    assert write_estimate(Estimate(mean, error)) == text


def test_a_single_image_has_no_standard_error(vae, trained):
    scores = evaluate(vae, "--checkpoint", trained, "--test-size", "1")
    assert all(scores[f"{name}_standard_error"] is None for name in BOUNDS)
    code, out, err = vae("evaluate", "--checkpoint", trained, "--test-size", "1")
    assert (code, err) == (0, "") and f" {scores['rate']:.3f} " in out


def test_evaluate_measures_the_whole_test_set_of_the_run(vae, trained, images):
    """The number is that of plain NumPy on all 20 test images."""
    state = load_state(load_trainer(trained), trained)
    with np.load(images) as arrays:
        y = arrays["test"].astype(np.float64)
    noise = mg.random.normal(mg.random.key(0), (20, 2)).astype(np.float64)
    parameters = tree.map(lambda x: x.astype(np.float64), mg.to_device(state.parameters, "cpu"))
    likelihood = Config().make_likelihood()
    scores = json.loads(vae("evaluate", "--checkpoint", trained, "--json")[1])
    for form in ("closed", "sampled"):
        expected = -np.mean(truth.elbo("mlp", likelihood, parameters, y, noise, form))
        assert abs(scores[f"negative_elbo_{form}"] - expected) <= 1e-5 * expected  # float32, some dozen operations


@pytest.fixture(scope="module")
def eight_bit(tmp_path_factory, images, run_command):
    """The folder of a finished run with the logistic decoder."""
    out = tmp_path_factory.mktemp("runs") / "eight-bit"
    assert run_command("train", "--data", images, *SMALL, "--decoder", "logistic", "--out", out) == 0
    return out


def test_evaluate_gives_bits_per_dimension_of_8_bit_images(vae, eight_bit, images):
    """−log₂ Q per pixel and channel, 16 here, beside plain NumPy on images rounded to 8 bits for the likelihood."""
    code, out, err = vae("evaluate", "--checkpoint", eight_bit, "--importance", "3", "--json")
    assert (code, err) == (0, "")
    scores = json.loads(out, parse_constant=pytest.fail)
    bits = scores.pop("bits_per_dimension")
    bounds = {name for name in scores if name.startswith("negative") or name in ("distortion", "rate")}
    assert set(bits) == {name for name in bounds if not name.endswith("error")}
    for name, value in bits.items():
        assert abs(value - scores[name] * np.log2(np.e) / 16) <= 1e-12
    state = load_state(load_trainer(eight_bit), eight_bit)
    parameters = tree.map(lambda x: x.astype(np.float64), mg.to_device(state.parameters, "cpu"))
    y = np.load(images)["test"].astype(np.float64)
    noise = mg.random.normal(mg.random.key(0), (20, 2)).astype(np.float64)
    likelihood = Config(decoder="logistic").make_likelihood()
    expected = -np.mean(truth.elbo("mlp", likelihood, parameters, y, noise, "closed")) / (16 * np.log(2))
    assert abs(bits["negative_elbo_closed"] - expected) <= 1e-5 * expected  # float32, some dozen operations


def test_the_table_has_bits_per_dimension_only_for_8_bit_images(vae, trained, eight_bit):
    bits = json.loads(vae("evaluate", "--checkpoint", eight_bit, "--json")[1])["bits_per_dimension"]
    _, out, _ = vae("evaluate", "--checkpoint", eight_bit)
    assert "bits per dimension" in " ".join(out.split())
    assert f"{bits['negative_elbo_closed']:.4f}" in out
    assert "rounded to 8 bits" in " ".join(out.split())
    assert "bits per" not in vae("evaluate", "--checkpoint", trained)[1]


def test_evaluate_gives_rate_and_distortion_apart(vae, trained, images):
    """Against the textbook's formulas on the run's own parameters and noise."""
    scores = json.loads(vae("evaluate", "--checkpoint", trained, "--json")[1])
    trainer = load_trainer(trained)
    parameters = load_state(trainer, trained).parameters
    parameters = tree.map(lambda x: x.astype(np.float64), mg.to_device(parameters, "cpu"))
    y = np.load(images)["test"].astype(np.float64)
    noise = mg.random.normal(mg.random.key(0), (len(y), trainer.model.latent), np.float32)
    mean, log_std = truth.encode("mlp", parameters.encoder, y)
    pixels = truth.decode("mlp", parameters.decoder, mean + np.exp(log_std) * noise, y.shape[1:])
    p = truth.sigmoid(pixels)
    distortion = -np.mean(np.sum(y * np.log(p) + (1 - y) * np.log(1 - p), (1, 2, 3)))
    rate = np.mean(np.sum((mean**2 + np.exp(2 * log_std) - 1) / 2 - log_std, 1))
    np.testing.assert_allclose([scores["distortion"], scores["rate"]], [distortion, rate], rtol=1e-5)
    assert scores["negative_elbo_closed"] == scores["distortion"] + scores["rate"]
    code, out, err = vae("evaluate", "--checkpoint", trained)
    assert (code, err) == (0, "") and "evaluated: the parameters after epoch 2\n" in out
    for name in BOUNDS:
        assert f" {write_estimate(Estimate(scores[name], scores[f'{name}_standard_error']))} " in out


@pytest.mark.host
def test_evaluate_shows_progress_of_every_draw(trained):
    seen = []
    trainer = load_trainer(trained)
    parameters = load_state(trainer, trained).parameters
    images = np.ones((1200, 4, 4, 1), np.float32)
    parameters, images, key = mg.to_device((parameters, images, mg.random.key(0)), trainer.device)
    common = (trainer.autoencoder(parameters), images, key)
    evaluation.mean_elbo(*common, on_images=seen.append)
    assert sorted(seen) == [200, 500, 500]
    evaluation.mean_importance_bound(*common, 13, size=500, on_images=seen.append)
    assert sorted(seen[3:]) == [600, 1500, 1500, 2000, 5000, 5000]  # threads take groups of images in any order


def test_a_profiled_sigma_needs_an_epoch(vae, images, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "profile_log_sigma", stop)
        options = ["--decoder", "gaussian", "--sigma", "profiled"]
        assert vae("train", "--data", images, *SMALL, *options, "--out", "run")[0] == 130
    assert_refused(vae("evaluate", "--checkpoint", "run"), "run has no σ yet")
    assert vae("train", "--out", "run", "--resume")[0] == 0
    assert vae("evaluate", "--checkpoint", "run")[0] == 0


@pytest.mark.host
def test_without_a_thread_for_the_progress_bar(vae, trained, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refuse)
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    assert vae("evaluate", "--checkpoint", trained)[0] == 0


@pytest.mark.host
def test_copies_of_one_image_train_and_are_scored_with_a_warning(vae, tmp_path):
    np.save(tmp_path / "blank.npy", np.zeros((60, 4, 4), np.uint8))
    oddity = "All 60 images are the same, and blank: there is nothing to learn."
    copies = "6 of 6 test images of blank are copies of training images"
    code, out, err = vae("train", "--data", "blank.npy", *SMALL, "--out", "run")
    assert (code, err) == (0, "")
    assert "blank: 54 training and 6 test images" in out and oddity in out and copies in out
    code, out, err = vae("evaluate", "--checkpoint", "run", "--json")
    assert (code, json.loads(out)["images"]) == (0, 6)
    assert err == f"python -m vae: {oddity}\npython -m vae: {copies}\n"
    assert vae("train", "--out", "run", "--epochs", "3", "--resume")[0] == 0


def save_pictures(folder, count, seed):
    folder.mkdir(exist_ok=True)
    for i, pixels in enumerate(np.random.default_rng(seed).integers(0, 256, (count, 4, 4), np.uint8)):
        Image.fromarray(pixels).save(folder / f"{seed}-{i}.png")


@pytest.mark.host
def test_what_a_run_was_trained_on_is_never_scored_as_test(vae, tmp_path):
    """Pictures are added to the folder, or to the test part of a file, after training."""
    save_pictures(tmp_path / "pictures", 60, 0)
    assert vae("train", "--data", "pictures", *SMALL, "--out", "run")[0] == 0
    before = load("pictures")
    save_pictures(tmp_path / "pictures", 60, 1)
    after = load("pictures")
    trained = {image.tobytes() for image in before.train}
    assert not trained & {image.tobytes() for image in after.test}
    code, out, err = vae("evaluate", "--checkpoint", "run", "--json")
    assert (code, err, json.loads(out)["images"]) == (0, "", len(after.test))
    np.savez("other.npz", train=after.train[:3], test=np.concatenate([before.train[:9], before.test]))
    said = f"9 of {9 + len(before.test)} test images of other are left out: the model was trained on them"
    for command in ("evaluate", "reconstruct"):
        assert vae(command, "--checkpoint", "run", "--data", "other.npz")[::2] == (0, f"python -m vae: {said}\n")
    scores = json.loads(vae("evaluate", "--checkpoint", "run", "--data", "other.npz", "--json")[1])
    np.savez("held.npz", train=after.train[:3], test=before.test)
    alone = json.loads(vae("evaluate", "--checkpoint", "run", "--data", "held.npz", "--json")[1])
    assert scores == alone
    np.savez("none.npz", train=after.test, test=before.train[:9])
    assert_refused(vae("evaluate", "--checkpoint", "run", "--data", "none.npz"), "trained on all 9 test images of none")


@pytest.mark.host
def test_a_split_is_scored_as_it_was_published(vae, tmp_path):
    images = truth.small_data(50, 20)
    np.savez("published.npz", train=images.train, test=np.concatenate([images.test, images.train[:3]]))
    said = "3 of 23 test images of published are copies of training images\n"
    code, out, _ = vae("train", "--data", "published.npz", *SMALL, "--train-size", "40", "--out", "run")
    assert code == 0
    code, out, _ = vae("train", "--data", "published.npz", *SMALL, "--out", "whole")
    assert code == 0 and said in out
    code, out, err = vae("evaluate", "--checkpoint", "whole", "--json")
    assert (code, err, json.loads(out)["images"]) == (0, f"python -m vae: {said}", 23)
    assert json.loads(vae("evaluate", "--checkpoint", "run", "--json")[1])["images"] == 23


@pytest.mark.host
def test_what_was_decided_about_images_is_said(vae, tmp_path):
    """By train before anything else about them, by others beside their results."""
    for part, count in (("train", 20), ("test", 5)):
        (tmp_path / "icons" / part).mkdir(parents=True)
        alpha = np.random.default_rng(count).choice(np.array([0, 255], np.uint8), (count, 4, 4))
        for i in range(count):
            Image.fromarray(np.stack([0 * alpha[i], alpha[i]], 2)).save(tmp_path / "icons" / part / f"{i}.png")
    (tmp_path / "icons" / "licence.txt").touch()
    code, out, err = vae("train", "--data", "icons", *SMALL, "--out", "run")
    assert code == 0, err
    said = [f"Skipped in {tmp_path / 'icons'}: 1 .txt.", "Transparent, composited on white: 25 of 25 pictures."]
    lines = out.splitlines()
    assert lines[1] == f"icons: 20 training and 5 test images; 25 pictures from {tmp_path / 'icons'}."
    assert lines[2:4] == said
    code, out, err = vae("evaluate", "--checkpoint", "run", "--json")
    assert (code, json.loads(out)["images"]) == (0, 5)
    assert err.splitlines()[:2] == [f"python -m vae: {line}" for line in said]


def expected_elbo(trained, y):
    """−ELBO (closed) of each of these images in plain NumPy, with the noise of seed 0."""
    parameters = load_state(runs.load_trainer(trained), trained).parameters
    parameters = tree.map(lambda x: x.astype(np.float64), parameters)
    noise = mg.random.normal(mg.random.key(0), (len(y), 2)).astype(np.float64)
    return -truth.elbo("mlp", Config().make_likelihood(), parameters, y, noise, "closed")


def test_binary_images_are_those_of_training_or_drawn_by_the_seed(vae, trained, images, tmp_path):
    """Static: pixels are below the uniform numbers of the run's own key, as in training. Dynamic: of --seed's."""
    grey = np.load(images)["test"]
    trainer = runs.load_trainer(trained)
    fixed = trainer._replace(config=Config(**{**trainer.config.to_dict(), "binarise": "static"})).seen(grey, "test")
    numbers = mg.random.uniform(mg.random.fold_in(mg.random.fold_in(mg.random.key(0), 1), 0), grey.shape)
    for how, y in (("none", grey), ("static", fixed), ("dynamic", (numbers < grey))):
        scores = evaluate(vae, "--checkpoint", trained, "--binarise", how)
        expected = expected_elbo(trained, y.astype(np.float64))
        assert scores["binarise"] == how
        assert scores["negative_elbo_closed"] == pytest.approx(expected.mean(), rel=1e-5)
        error = expected.std(ddof=1) / np.sqrt(len(expected))
        assert scores["negative_elbo_closed_standard_error"] == pytest.approx(error, rel=1e-4)


def test_a_run_is_evaluated_on_binary_images_if_it_was_trained_on_them(vae, images):
    for how, said in (("static", "once, as in training"), ("dynamic", "at random")):
        assert vae("train", "--data", images, *SMALL, "--binarise", how, "--out", how)[0] == 0
        scores = evaluate(vae, "--checkpoint", how)
        assert scores["binarise"] == how
        assert scores == evaluate(vae, "--checkpoint", how, "--binarise", how)
        code, out, _ = vae("evaluate", "--checkpoint", how)
        assert code == 0 and f"the images are binarised {said}\n" in out and "bernoulli: binary pixels" in out
        assert (
            scores["negative_elbo_closed"]
            != evaluate(vae, "--checkpoint", how, "--binarise", "none")["negative_elbo_closed"]
        )
    last = json.loads(Path("static/metrics.jsonl").read_text().splitlines()[-1])["test_elbo"]
    assert last == pytest.approx(-evaluate(vae, "--checkpoint", "static")["negative_elbo_closed"], rel=0.02)


def test_draws_are_averaged_and_their_spread_is_told(vae, trained):
    common = ["--checkpoint", trained, "--binarise", "dynamic", "--importance", "3"]
    one, three = evaluate(vae, *common), evaluate(vae, *common, "--draws", "3")
    bounds = [*BOUNDS, "negative_importance_bound_3"]
    assert three["draws"] == 3
    assert {name for name in three if name not in one} == {f"{name}_spread_of_draws" for name in bounds}
    for name in bounds:
        assert 0 < three[f"{name}_spread_of_draws"] < 1
        assert abs(three[name] - one[name]) < 3 * three[f"{name}_spread_of_draws"]
        assert three[name] != one[name]
    code, out, _ = vae("evaluate", *common, "--draws", "3")
    assert code == 0 and "spread of draws" in out and "the images are binarised at random, 3 times\n" in out
    spread = summarise({"x": np.array([[1.0, 2.0], [3.0, 6.0]])})["x"]
    assert spread == ((3.0, 1.0), pytest.approx(np.sqrt(4.5)))


def test_binary_images_have_nothing_to_draw(vae, trained, images):
    grey = np.load(images)
    np.savez("binary.npz", train=(grey["train"] > 0.5) * 1.0, test=(grey["test"] > 0.5) * 1.0)
    common = ["--checkpoint", trained, "--data", "binary.npz", "--binarise", "dynamic"]
    assert_refused(vae("evaluate", *common, "--draws", "2"), "nothing to draw", "binary already")
    drawn, plain = evaluate(vae, *common), evaluate(vae, *common[:-2])
    assert {name: drawn[name] for name in BOUNDS} == {name: plain[name] for name in BOUNDS}


@pytest.mark.host
def test_trained_images_are_left_out_before_the_rest_is_binarised(vae, images):
    assert vae("train", "--data", images, *SMALL, "--binarise", "dynamic", "--out", "run")[0] == 0
    grey = np.load(images)
    other = truth.small_data(seed=9).train
    np.savez("other.npz", train=other, test=np.concatenate([grey["train"][:3], grey["test"]]))
    code, out, err = vae("evaluate", "--checkpoint", "run", "--data", "other.npz", "--json")
    assert code == 0 and "3 of 23 test images of other are left out" in err
    scores, alone = json.loads(out), evaluate(vae, "--checkpoint", "run")
    assert scores == alone


def test_which_parameters_are_evaluated_is_said(vae, trained):
    trainer = runs.load_trainer(trained)
    state = load_state(trainer, trained)
    averaged = trainer._replace(config=Config(**{**trainer.config.to_dict(), "average": 0.9}))
    history = tuple({"epoch": i + 1, "valid_elbo": bound} for i, bound in enumerate((-9.0, -7.0, -8.0)))
    best = state._replace(best=state.parameters, history=history, epoch=3)
    stopped = state._replace(step=3, epoch=1)
    assert describe_weights(trainer, stopped) == "the parameters after epoch 1, step 3 of the next"
    assert describe_weights(averaged, state) == "the parameters after epoch 2, averaged over steps with decay 0.9"
    said = "the parameters with the best bound on the validation part, of epoch 2 of 3"
    assert describe_weights(trainer, best) == said
    assert describe_weights(averaged, best) == f"{said}, averaged over steps with decay 0.9"
    assert [weights_of(*each) for each in ((trainer, state), (averaged, state), (averaged, best))] == [
        "last",
        "averaged",
        "best",
    ]


@pytest.mark.host
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["evaluate"], ["the following arguments are required: --checkpoint"]),
        (["evaluate", "--checkpoint", "nowhere"], ["no checkpoint at nowhere/checkpoint.safetensors"]),
        (["evaluate", "--checkpoint", "TRAINED", "--importance", "0"], ["--importance"]),
        (["evaluate", "--checkpoint", "TRAINED", "--importance", "5", "0"], ["--importance"]),
        (["evaluate", "--checkpoint", "TRAINED", "--draws", "2"], ["nothing to draw", "--binarise none"]),
        (["evaluate", "--checkpoint", "TRAINED", "--draws", "2", "--binarise", "static"], ["--binarise static"]),
        (["evaluate", "--checkpoint", "TRAINED", "--picture", "x.png", "--importance", "5"], ["--importance K K"]),
        (["evaluate", "--checkpoint", "TRAINED", "--valid-size", "5"], ["--valid-size"]),
        (["evaluate", "--checkpoint", "TRAINED", "--test-size", "21"], ["has 20 test images, 21 were asked for"]),
    ],
    ids=lambda x: " ".join(x)[:60],
)
def test_wrong_input_gets_one_sentence_and_writes_nothing(refuse, arguments, said):
    refuse(arguments, said)


def test_other_images_are_evaluated_whatever_part_the_run_held_out(vae, images, tmp_path):
    assert vae("train", "--data", images, *SMALL, "--valid-size", "40", "--out", "run")[0] == 0
    save_images(tmp_path / "few.npz", count=10)
    code, out, err = vae("evaluate", "--checkpoint", "run", "--data", "few.npz", "--json")
    assert code == 0, err
    assert json.loads(out)["images"] > 10


@pytest.mark.parametrize(
    "more",
    [["--average", "0.9", "--learning-rate", "0.2"], ["--keep", "best", "--valid-size", "20", "--learning-rate", "3"]],
)
def test_the_averaged_or_best_weights_are_evaluated(vae, images, tmp_path, more):
    """With such a learning rate the last weights are worse than the first."""
    assert vae("train", "--data", images, *SMALL, *more, "--epochs", "4", "--out", "run")[0] == 0
    trainer = load_trainer(tmp_path / "run")
    state = load_state(trainer, tmp_path / "run")
    used = state.optimiser.mean if more[0] == "--average" else state.best
    with np.load(images) as arrays:
        y = arrays["test"].astype(np.float64)
    noise = mg.random.normal(mg.random.key(0), (20, 2)).astype(np.float64)
    scores = json.loads(vae("evaluate", "--checkpoint", "run", "--json")[1])
    numbers = []
    for each in (used, state.parameters):
        wide = tree.map(lambda x: np.asarray(x, np.float64), each)
        numbers.append(-np.mean(truth.elbo("mlp", trainer.likelihood, wide, y, noise, "closed")))
    assert abs(scores["negative_elbo_closed"] - numbers[0]) <= 1e-5 * abs(numbers[0])
    assert abs(numbers[0] - numbers[1]) > 1e-3
