"""python -m vae reproduce: every recipe runs in its quick form, stops, goes on, and is judged by the right number."""

import json

import pytest

from tests.support.vae.small_runs import WRITTEN, assert_refused
from tests.support.vae.training_runs import read_outcome
from vae import recipes, training
from vae.cli import reproduce
from vae.cli.reproduce import judge

NAMES = list(recipes.RECIPES)


@pytest.fixture
def tiny(monkeypatch):
    """Quick recipes of a few images and steps."""
    small = {"train_size": 60, "test_size": 20, "epochs": 2, "batch": 30, "hidden": (8,), "latent": 2}
    monkeypatch.setattr(reproduce, "QUICK", {**recipes.QUICK, **small})
    monkeypatch.setattr(reproduce, "QUICK_SAMPLES", 3)


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_trains_evaluates_and_compares(vae, tmp_path, tiny, name):
    code, out, err = vae("reproduce", name, "--quick", "--out", "all")
    assert (code, err) == (0, "")
    result = json.loads((tmp_path / "all" / name / "result.json").read_text())
    recipe = recipes.RECIPES[name]
    assert (result["published"], result["source"]) == (recipe.published, recipe.source)
    assert (result["quick"], result["epochs"], result["test_images"]) == (True, 2, 20)
    sizes = "--train-size", "60", "--test-size", "20"
    code, printed, _ = vae("evaluate", "--checkpoint", f"all/{name}", "--importance", "3", "--json", *sizes)
    scores = json.loads(printed)
    measured = "negative_importance_bound_3" if recipe.samples else "negative_elbo_closed"
    assert result["ours"] == scores[measured]
    assert result["standard_error"] == scores[f"{measured}_standard_error"]
    assert f"{result['ours']:.2f}" in out and f"{recipe.published:.2f}" in out
    assert all(f"{value:.2f} ({source})" in out for value, source in recipe.others)


@pytest.mark.large
def test_without_names_all_are_run_and_a_second_call_trains_no_further(vae, tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(reproduce, "RECIPES", {name: recipes.RECIPES[name] for name in NAMES[1:3]})
    assert vae("reproduce", "--quick", "--out", "all")[0] == 0
    first = {name: read_outcome(tmp_path / "all" / name) for name in NAMES[1:3]}
    assert vae("reproduce", "--quick", "--out", "all")[0] == 0
    assert {name: read_outcome(tmp_path / "all" / name) for name in NAMES[1:3]} == first
    assert {p.name for p in (tmp_path / "all").iterdir()} == set(first)
    assert all({p.name for p in (tmp_path / "all" / name).iterdir()} >= WRITTEN for name in first)


@pytest.mark.usefixtures("no_pictures")
def test_a_stopped_recipe_goes_on_bit_for_bit(vae, tmp_path, tiny, monkeypatch):
    name, save, count = "dynamic-mnist-dreg", training.save, [0]
    assert vae("reproduce", name, "--quick", "--out", "whole")[0] == 0

    def stop(*arguments):
        save(*arguments)
        count[0] += 1
        if count[0] == 2:  # after the first epoch
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "save", stop)
    assert vae("reproduce", name, "--quick", "--out", "stopped")[0] == 130
    monkeypatch.setattr(training, "save", save)
    assert not (tmp_path / "stopped" / name / "result.json").exists()
    assert vae("reproduce", name, "--quick", "--out", "stopped")[0] == 0
    results = [json.loads((tmp_path / out / name / "result.json").read_text()) for out in ("whole", "stopped")]
    assert results[0]["scores"] == results[1]["scores"]


@pytest.mark.host
def test_the_list_has_every_recipe_with_its_source_and_a_time(vae, monkeypatch):
    monkeypatch.setattr(reproduce, "STEPS", 4)
    code, out, err = vae("reproduce", "--list", "mnist", "static-mnist")
    assert (code, err) == (0, "")
    assert "pythae" in out and "105.59" in out and "min" in out
    assert "fashion" not in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["grey-mnist"], "unknown recipe 'grey-mnist': use mnist, dynamic-mnist"),
        (["mnist", "--data-dir", "nowhere"], "nowhere, where train-images-idx3-ubyte should be, is not a folder"),
        (["omniglot", "--data-dir", "."], "Omniglot is not in"),
        (["mnist", "--quick", "--seed", "-1"], "must lie in 0 … 2**64 − 1"),
    ],
)
def test_wrong_input_gets_one_sentence_and_writes_nothing(vae, tmp_path, words, said):
    assert_refused(vae("reproduce", *words), said)
    assert not any(tmp_path.iterdir())


def test_a_folder_with_other_files_is_left_alone(vae, tmp_path):
    """There is no --force, so the message must not speak of it."""
    (tmp_path / "out" / "mnist").mkdir(parents=True)
    (tmp_path / "out" / "mnist" / "notes.txt").write_text("mine")
    code, out, err = vae("reproduce", "--quick", "mnist", "--out", "out")
    assert (code, out) == (2, "")
    assert "holds files, but no run to continue: choose another --out" in err
    assert [p.name for p in (tmp_path / "out" / "mnist").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("ours", "error", "published_error", "verdict"),
    [
        (84.0, 0.1, None, "better by 0.45"),
        (84.6, 0.1, None, "within two standard errors (0.15)"),
        (84.8, 0.1, None, "short by 0.35"),
        (84.8, 0.1, 0.15, "within two standard errors (0.35)"),  # 2·√(0.1² + 0.15²) = 0.361
        (84.9, 0.1, 0.15, "short by 0.45"),
    ],
)
def test_the_verdict_follows_from_both_numbers_and_their_errors(ours, error, published_error, verdict):
    result = {"quick": False, "ours": ours, "standard_error": error, "published": 84.45}
    assert judge({**result, "published_error": published_error}) == verdict
