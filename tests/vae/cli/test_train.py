"""python -m vae train: the runs it writes, and that it leaves those that are there alone."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from rich.progress import TextColumn

from tests.support.vae.small_runs import (
    NEW,
    SMALL,
    WITHOUT_PLANE,
    WRITTEN,
    assert_refused,
    has_gpu,
    save_images,
    snapshot,
)
from vae import checkpoints, runs, training
from vae.config import Config
from vae.explain import explain_loss
from vae.runs import CHECKPOINT


def test_train_writes_a_run_and_says_what_it_implies(vae, images, tmp_path):
    code, out, err = vae("train", "--data", images, *SMALL, "--out", "run")
    assert (code, err) == (0, "")
    assert {p.name for p in (tmp_path / "run").iterdir()} == WRITTEN | {"latent-plane.png", "latent-means.png"}
    assert "50 training and 20 test images" in out
    assert "grey pixels" in out.split("epoch")[0]  # before the first epoch
    assert "nats per image, summed over 16 pixels and all latents, averaged over images" in out.split("epoch")[0]
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config == Config(data=images, hidden=8, latent=2, epochs=2, batch=16).to_dict()
    for line, record in zip(
        re.findall(r"epoch +\d.*", out), (tmp_path / "run/metrics.jsonl").read_text().splitlines(), strict=True
    ):
        record = json.loads(record)
        assert list(record) == ["epoch", "train_elbo", "test_elbo", "seconds"]
        assert f"test −ELBO {-record['test_elbo']:.2f} nats" in line
    for path in (tmp_path / "run").iterdir():
        assert str(path.relative_to(tmp_path)) in out


@pytest.mark.usefixtures("no_pictures")
def test_training_begins_with_what_its_loss_says(vae, images, tmp_path):
    """4×4 pixels: β = 0.05 beside a mean over 16 of them and σ² = ½ is σ² = 0.4."""
    weighed = "--decoder gaussian --sigma 0.70710678 --reduction mean --beta 0.05 --clamp 9".split()
    code, out, err = vae("train", "--data", images, *SMALL, *weighed, "--out", "run")
    assert (code, err) == (0, "")
    first = out.split("epoch")[0]
    config = Config(**json.loads((tmp_path / "run/config.json").read_text()))
    assert (config.reduction, config.beta, config.clamp) == ("mean", 0.05, (9.0,))
    assert f"{explain_loss(config, (4, 4, 1))}\n" in first
    assert "mean over pixels of (y−ŷ)² + 0.05·KL" in first
    assert "σ² = 0.4, β = 1: a bound on ln Q(y)" in first
    assert "reported: gaussian: σ² = 0.5 fixed" in first
    code, out, _ = vae("train", "--out", "run", "--resume", "--epochs", "3")
    assert code == 0
    assert str(explain_loss(config, (4, 4, 1))) in out
    assert vae("check", "--checkpoint", "run")[0] == 0
    assert vae("evaluate", "--checkpoint", "run")[0] == 0


@pytest.mark.host
def test_train_chooses_a_new_folder_each_time(vae, images, tmp_path):
    for _ in range(2):
        assert vae("train", "--data", images, *WITHOUT_PLANE, "--epochs", "1")[0] == 0
    assert {p.name for p in (tmp_path / "runs").iterdir()} == {"train", "train-2"}
    assert {p.name for p in (tmp_path / "runs/train-2").iterdir()} == WRITTEN


@pytest.mark.host
@pytest.mark.usefixtures("no_pictures")
def test_built_in_digits_of_any_size(vae, tmp_path):
    sizes = ["--train-size", "20", "--test-size", "10", "--hidden", "4", "--epochs", "1"]
    code, out, _ = vae("train", *sizes, "--model", "conv", "--decoder", "gaussian", "--sigma", "learned")
    assert code == 0
    assert "digits: 20 training and 10 test images" in out
    assert "σ learned, normaliser included" in out


@pytest.mark.host
@pytest.mark.parametrize("channels", [2, 3, 4])
def test_images_with_colours_and_alpha(vae, tmp_path, channels):
    images = save_images(tmp_path / "colours.npz", (4, 4, channels))
    small = [*WITHOUT_PLANE, "--epochs", "1"]
    assert vae("train", "--data", images, *small, "--out", "run", "--model", "conv")[::2] == (0, "")
    assert vae("sample", "--checkpoint", "run")[::2] == (0, "")
    assert vae("reconstruct", "--checkpoint", "run")[::2] == (0, "")


@pytest.mark.host
def test_names_are_not_markup(vae, tmp_path):
    """Rich would read [/x] as the end of a style, and $ is mathematics to matplotlib."""
    images = save_images(tmp_path / "a[b]$x_1$ ü.npz")
    code, out, err = vae("train", "--data", images, *SMALL, "--epochs", "1", "--out", "run[/x][red]")
    assert (code, err) == (0, "")
    assert "run[/x][red]/config.json" in out
    assert "a[b]$x_1$ ü: 50 training" in out
    code, out, err = vae("evaluate", "--checkpoint", "run[/x][red]")
    assert (code, err) == (0, "")
    assert "20 test images of a[b]$x_1$ ü" in out


def test_resume_is_bit_for_bit_what_one_run_gives(vae, images, tmp_path):
    small = ["--data", images, *WITHOUT_PLANE]
    assert vae("train", *small, "--out", "whole")[0] == 0
    assert vae("train", *small, "--epochs", "1", "--out", "parts")[0] == 0
    code, out, _ = vae("train", "--out", "parts", "--resume", "--epochs", "2")
    assert code == 0
    assert "resuming parts after epoch 1, step 0" in out
    whole, parts = (checkpoints.load(tmp_path / run / CHECKPOINT) for run in ("whole", "parts"))
    assert all(np.array_equal(x, parts[0][name]) for name, x in whole[0].items())
    assert [r["test_elbo"] for r in whole[1]["history"]] == [r["test_elbo"] for r in parts[1]["history"]]
    assert json.loads((tmp_path / "parts/config.json").read_text())["epochs"] == 2
    for name in ("samples.png", "reconstructions.png"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


@pytest.mark.host
@pytest.mark.usefixtures("no_pictures")
def test_resume_says_which_libraries_are_others(vae, images, tmp_path, monkeypatch):
    assert vae("train", "--data", images, *SMALL, "--epochs", "1", "--out", "run")[0] == 0
    resume = "train", "--out", "run", "--resume", "--epochs"
    assert "last bits" not in vae(*resume, "2")[1]
    before = runs.describe_libraries()
    monkeypatch.setattr(runs, "describe_libraries", lambda: before | {"blas": "another 1.0"})
    code, out, _ = vae(*resume, "3")
    assert code == 0 and "the last bits may differ from an uninterrupted run" in " ".join(out.split())
    assert f"blas another 1.0 (was {before['blas']})" in " ".join(out.split())
    assert "last bits" not in vae(*resume, "4")[1]  # written by the other library


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("out", ["run", "a run; of 'mine'", "-run", "~run", "a\trun"])
def test_ctrl_c_says_how_to_go_on(vae, images, monkeypatch, tmp_path, out):
    real, left = training.mean_elbo, [1]

    def stop(*args):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(training, "mean_elbo", stop)
        code, said, err = vae("train", "--data", images, *SMALL, f"--out=./{out}")
    assert (code, err) == (130, "python -m vae: stopped\n")
    (again,) = re.findall(r"stopped; continue with: python -m vae (.*)", said)
    code, said, _ = vae(*shlex.split(again))
    assert code == 0
    assert f"resuming {out} after epoch 1, step 4".expandtabs() in said


@pytest.mark.host
@pytest.mark.usefixtures("no_pictures")
def test_images_that_moved_are_known_by_their_content(vae, tmp_path):
    save_images(tmp_path / "old.npz")
    assert vae("train", "--data", "old.npz", *SMALL, "--epochs", "1", "--out", "run")[0] == 0
    (tmp_path / "new place").mkdir()
    new = (tmp_path / "old.npz").rename(tmp_path / "new place/images.npz")
    resume = ["train", "--out", "run", "--resume", "--epochs", "2"]
    assert_refused(vae(*resume), "there is no file or folder")
    save_images(tmp_path / "other.npz", count=51)
    assert_refused(vae(*resume, "--data", "other.npz"), "these are not the images of the run")
    assert vae(*resume, "--data", "new place/images.npz")[::2] == (0, "")
    assert json.loads((tmp_path / "run/config.json").read_text())["data"] == str(new)
    assert vae("evaluate", "--checkpoint", "run")[0] == 0


def test_the_seed_decides_everything(vae, images, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        small = [*WITHOUT_PLANE, "--epochs", "1"]
        assert vae("train", "--data", images, *small, "--seed", seed, "--out", name)[0] == 0
    a, b, c = (snapshot(tmp_path / name) for name in "abc")
    assert a["samples.png"] == b["samples.png"] != c["samples.png"]
    elbo = [json.loads(x["metrics.jsonl"])["test_elbo"] for x in (a, b, c)]
    assert elbo[0] == elbo[1] != elbo[2]


# An existing run is safe


@pytest.mark.host
@pytest.mark.usefixtures("no_pictures")
def test_an_existing_run_is_only_overwritten_by_force(vae, images, tmp_path):
    assert vae("train", "--data", images, *SMALL, "--out", "run")[0] == 0
    before = snapshot(tmp_path / "run")
    again = ["train", "--data", images, *SMALL, "--seed", "1", "--out", "run"]
    assert_refused(vae(*again), "run already holds files", "--force")
    assert snapshot(tmp_path / "run") == before
    assert vae(*again, "--force")[0] == 0
    assert snapshot(tmp_path / "run") != before


@pytest.mark.host
def test_force_with_wrong_input_leaves_the_run(vae, images, trained):
    before = snapshot(trained)
    odd = str(trained.parent / "odd.npz")
    save_images(Path(odd), (6, 4, 1))
    for wrong in (
        ["--sigma", "wide", "--decoder", "gaussian"],
        ["--data", "nothing.npz"],
        ["--data", odd, "--model", "conv"],
        ["--device", "cuda"],
        ["--latent", "0"],
        ["--train-size", "9999"],
    ):
        if wrong[0] == "--device" and has_gpu():
            continue
        assert_refused(vae("train", "--data", images, *SMALL, *wrong, "--out", trained, "--force"))
        assert snapshot(trained) == before


@pytest.mark.host
def test_a_folder_that_is_no_run_is_safe_too(vae, images, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.txt").write_text("precious")
    assert_refused(vae("train", "--data", images, *SMALL, "--out", "thesis"), "thesis already holds files")
    assert_refused(vae("train", "--out", "thesis", "--resume"), "no checkpoint at thesis/checkpoint.safetensors")
    assert_refused(vae("--out", "thesis"), "thesis already holds files")
    assert snapshot(tmp_path / "thesis") == {"chapter.txt": b"precious"}


def test_a_loss_that_is_no_number_leaves_a_run_that_loads(vae, images, tmp_path):
    result = vae("train", "--data", images, *SMALL, "--learning-rate", "1e6", "--out", "run")
    assert_refused(result, "the loss became", "in epoch 1, batch ", "the first NaN arose in the", "/vae/")
    assert vae("sample", "--checkpoint", "run")[0] == 0
    for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)


@pytest.mark.host
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "--colour", "red"], ["unrecognized arguments: --colour red"]),
        (["train", "extra"], ["unrecognized arguments: extra"]),
        (["train", "--model"], ["--model: expected one argument"]),
        (["train", "--model", "gan"], ["invalid choice: 'gan'", "mlp", "conv"]),
        (["train", "--decoder", "poisson"], ["invalid choice: 'poisson'", "laplace"]),
        (["train", "--optimiser", "lion"], ["invalid choice: 'lion'"]),
        (["train", "--form", "open"], ["invalid choice: 'open'"]),
        (["train", "--device", "tpu"], ["invalid choice: 'tpu'"]),
        *[
            (["train", f"--{name}", value], [f"--{name}", value])
            for name in ("latent", "hidden", "epochs", "batch", "train-size", "test-size")
            for value in ("0", "-1", "1.5", "many", "10000000000")
        ],
        *[(["train", "--learning-rate", v], ["--learning-rate", v]) for v in ("0", "-1", "nan", "inf", "fast")],
        *[(["train", "--seed", v], ["--seed", v]) for v in ("-1", "x", str(2**64))],
        ([*NEW, "--momentum", "1"], ["momentum must lie in [0, 1), got 1.0"]),
        ([*NEW, "--momentum", "nan"], ["momentum must lie in [0, 1), got nan"]),
        *[
            ([*NEW, "--decoder", "gaussian", "--sigma", v], ["sigma must be a positive number", "'learned'", v])
            for v in ("0", "-2", "nan", "inf", "1e200", "wide")
        ],
        (["train", "--reduction", "max"], ["invalid choice: 'max'", "sum", "mean"]),
        *[([*NEW, f"--beta={v}"], ["beta must be 0 or lie in 1e-9 … 1e9", v]) for v in ("-1.0", "nan", "inf")],
        *[([*NEW, f"--clamp={v}"], ["clamp must lie in 0.001 … 80", v]) for v in ("0.0", "-1.0", "nan", "inf")],
        *[
            ([*NEW, "--objective", o, "--form", "closed"], [f"the objective {o}", "no closed form"])
            for o in ("stl", "dreg")
        ],
        ([*NEW, "--objective", "iwae", "--reduction", "mean"], ["the objective iwae", "use --reduction sum"]),
        (
            [*NEW, "--objective", "dreg", "--decoder", "gaussian", "--sigma", "profiled"],
            ["the objective dreg has no profiled σ"],
        ),
        (["train", "--samples", "0"], ["--samples", "must be a whole number from 1"]),
        ([*NEW, "--schedule", "step"], ["the schedule step needs --milestones"]),
        ([*NEW, "--milestones", "1"], ["--milestones belong to the schedule step"]),
        *[
            ([*NEW, "--schedule", "step", "--milestones", *m], ["milestones must rise from above 0", " ".join(m)])
            for m in (["1.5", "1"], ["1", "1"], ["0"], ["nan"])
        ],
        (
            [*NEW, "--schedule", "step", "--milestones", "1", "2"],
            ["the milestone 2 is not before the last of 2 epochs"],
        ),
        ([*NEW, "--final-rate", "0.01"], ["the final rate must lie between 0 and the learning rate 0.001, got 0.01"]),
        *[([*NEW, "--decay", v], ["decay must lie in (0, 1]", v]) for v in ("0", "1.5", "nan")],
        *[(["train", "--clip", v], ["--clip", "must be a positive number"]) for v in ("0", "inf", "nan")],
        *[([*NEW, "--average", v], ["average must lie between 0 and 1", v]) for v in ("0", "1", "nan")],
        ([*NEW, "--objective", "iwae", "--samples", "1000000000"], ["1,000,000,000 samples of", "use fewer --samples"]),
        ([*NEW, "--momentum", "0.5"], ["--momentum belongs to the optimiser sgd, not to adam"]),
        *[([*NEW, "--weight-decay", v], ["weight decay must be 0 or a positive number", v]) for v in ("inf", "nan")],
        ([*NEW, "--warm-up", "2.5"], ["a warm-up of 2.5 epochs is longer than the training of 2"]),
        *[
            ([*NEW, *option], ["images has no validation part", "use --valid-size"])
            for option in (["--keep", "best"], ["--patience", "3"])
        ],
        ([*NEW, "--valid-size", "50"], ["images has 50 training images: with 50 for validation, none is left"]),
        (["train", "--valid-size", "0"], ["--valid-size", "must be a whole number from 1"]),
        *[
            (["train", f"--{name}", "other"], [f"--{name}", "invalid choice: 'other'"])
            for name in ("activation", "output-bias", "binarise", "objective", "optimiser", "schedule", "keep")
        ],
        ([*NEW, "--clamp", "-3", "-1"], ["clamp must lie in", "-3.0 -1.0"]),
        ([*NEW, "--decay", "0.5"], ["--decay belongs to the schedule step, not to constant"]),
        ([*NEW, "--weight-decay", "0.1"], ["--weight-decay belongs to the optimiser adamw, not to adam"]),
        ([*NEW, "--features", "2"], ["--features belongs to the model conv, not to mlp"]),
        ([*NEW, "--model", "conv", "--features", "2", "2", "2"], ["halves images 3 times: 4×4 is not divisible by 8"]),
        (["train", "--out", "TRAINED", "--resume", "--samples", "2"], ["the run has --samples 1, not 2"]),
        (
            ["train", "--out", "TRAINED", "--resume", "--hidden", "8", "4"],
            ["the run has --hidden 8, not 8 4: leave it out, or train again"],
        ),
        (["train", "--out", "TRAINED", "--resume", "--keep", "best"], ["the run has --keep last, not best"]),
        (["train", "--beta", "small"], ["--beta", "small"]),
        ([*NEW, "--sigma", "learned"], ["the bernoulli decoder has no σ"]),
        ([*NEW, "--sigma", "0.5"], ["the bernoulli decoder has no σ"]),
        ([*NEW, "--data", "cats"], ["unknown dataset 'cats'", "mnist"]),
        ([*NEW, "--data", "none.npz"], ["there is no file or folder none.npz"]),
        ([*NEW, "--data", "binarized-mnist", "--data-dir", "nowhere"], ["nowhere", "is not a folder"]),
        ([*NEW, "--data", "mnist", "--data-dir", "."], ["no file"]),
        ([*NEW, "--train-size", "51"], ["images has 50 train images, 51 were asked for"]),
        (["train", "--resume"], ["--resume needs --out"]),
        (["train", "--resume", "--out", "nowhere"], ["no checkpoint at nowhere/checkpoint.safetensors"]),
        ([*NEW, "--out", "x" * 300], ["File name too long"]),
        ([*NEW, "--out", "/proc/vae"], ["cannot write to the folder /proc/vae"]),
        ([*NEW, "--latent", "1000000000"], ["--latent 1000000000 and --hidden 8", "reduce them"]),
        ([*NEW, "--hidden", "1000000000"], ["--latent 2 and --hidden 1000000000", "reduce them"]),
        (["train", "--out", "TRAINED", "--resume", "--latent", "3"], ["the run has --latent 2, not 3"]),
        (["train", "--out", "TRAINED", "--resume", "--seed", "5"], ["the run has --seed 0, not 5"]),
        (["train", "--out", "TRAINED", "--resume", "--beta", "2"], ["the run has --beta 1.0, not 2.0"]),
        (["train", "--out", "TRAINED", "--resume", "--clamp", "2"], ["the run has --clamp left out, not 2.0"]),
        (["train", "--out", "TRAINED", "--resume", "--train-size", "9"], ["the run has --train-size left out, not 9"]),
        (["train", "--out", "TRAINED", "--resume", "--epochs", "1"], ["TRAINED is already beyond 1 epochs"]),
    ],
    ids=lambda x: " ".join(x)[:60],
)
def test_wrong_input_gets_one_sentence_and_writes_nothing(refuse, arguments, said):
    refuse(arguments, said)


@pytest.mark.host
def test_a_file_where_a_folder_should_be(vae, images, tmp_path):
    (tmp_path / "file").write_text("precious")
    train = ["train", "--data", images, *SMALL]
    assert_refused(vae(*train, "--out", "file"), "file is a file, not a folder")
    assert_refused(vae(*train, "--out", "file", "--force"), "file is a file, not a folder")
    assert_refused(vae(*train, "--out", "file/run"), "cannot write to the folder file/run: Not a directory")
    assert_refused(vae("--out", "file"), "file is a file, not a folder")
    assert_refused(vae("check", "--picture", "file/x.png"), "cannot write to the folder file: ")
    assert_refused(vae("evaluate", "--checkpoint", "file"), "no checkpoint at file/checkpoint.safetensors")
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.host
@pytest.mark.usefixtures("no_pictures")
def test_without_a_validation_part_an_old_run_is_not_replaced(vae, images, tmp_path):
    """--force deletes what is in the folder only when the new run is known to be valid."""
    assert vae("train", "--data", images, *SMALL, "--epochs", "1", "--out", "run")[0] == 0
    before = snapshot(tmp_path)
    new = ["train", "--data", images, *SMALL, "--out", "run", "--force"]
    for more, said in (
        (["--keep", "best"], "has no validation part"),
        (["--patience", "1"], "has no validation part"),
        (["--valid-size", "50"], "none is left to train on"),
        (["--warm-up", "3"], "a warm-up of 3 epochs is longer"),
    ):
        assert_refused(vae(*new, *more), said)
        assert snapshot(tmp_path) == before
    assert vae(*new, "--valid-size", "10", "--keep", "best")[0] == 0


def test_every_new_option_makes_its_setting(vae, images, tmp_path):
    options = """--hidden 8 6 --latent 2 --activation gated --output-bias data --objective dreg --samples 3
        --warm-up 1.5 --clamp -9 3 --valid-size 12 --binarise dynamic --optimiser adamw --weight-decay 0.02
        --schedule step --milestones 0.5 1.5 --decay 0.2 --clip 5 --average 0.9 --keep best --patience 4
        --epochs 2 --batch 16"""
    code, out, err = vae("train", "--data", images, *options.split(), "--out", "run")
    assert (code, err) == (0, "")
    assert "38 training, 12 validation and 20 test images" in out
    assert "Validation part: 12 of 50 training images, chosen with seed 0." in " ".join(out.split())
    assert "binary pixels" in " ".join(out.split("epoch   1")[0].split())
    lines = re.findall(r"epoch +\d: .*", out)
    assert all(re.search(r"train −bound \S+, valid −bound \S+, test −ELBO \S+ nats", line) for line in lines)
    config = Config(**json.loads((tmp_path / "run/config.json").read_text()))
    expected = Config(
        **{"data": images, "hidden": (8, 6), "latent": 2, "activation": "gated", "output_bias": "data"},
        **{"objective": "dreg", "samples": 3, "warm_up": 1.5, "clamp": (-9.0, 3.0), "valid_size": 12, "epochs": 2},
        **{"binarise": "dynamic", "optimiser": "adamw", "weight_decay": 0.02, "schedule": "step", "batch": 16},
        **{"milestones": (0.5, 1.5), "decay": 0.2, "clip": 5.0, "average": 0.9, "keep": "best", "patience": 4},
    )
    assert config == expected
    assert f"{explain_loss(config, (4, 4, 1))}\n" in out
    for command in (["evaluate", "--checkpoint"], ["sample", "--checkpoint"], ["train", "--resume", "--out"]):
        assert vae(*command, "run")[::2] == (0, ""), command
    assert vae("check", "--checkpoint", "run", "--coordinates", "2", "--images", "2")[0] == 0


@pytest.mark.host
@pytest.mark.usefixtures("no_pictures")
def test_a_cosine_schedule_ends_with_the_run(vae, images, tmp_path):
    """Other epochs would be another schedule from the beginning on; the same number may be given."""
    assert (
        vae("train", "--data", images, *SMALL, "--schedule", "cosine", "--final-rate", "1e-5", "--out", "run")[0] == 0
    )
    before = snapshot(tmp_path)
    for epochs in ("1", "3"):
        said = f"the run has --epochs 2, not {epochs}: leave it out, or train again"
        assert_refused(vae("train", "--out", "run", "--resume", "--epochs", epochs), said)
        assert snapshot(tmp_path) == before
    code, out, _ = vae("train", "--out", "run", "--resume", "--epochs", "2")
    assert code == 0 and "all 2 epochs of run are done" in out


@pytest.mark.host
@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(("objective", "name"), [("elbo", "ELBO"), ("dreg", "bound")])
def test_the_progress_bar_names_the_bound_that_is_trained(vae, images, monkeypatch, objective, name):
    seen = []
    monkeypatch.setattr("vae.cli.train.TextColumn", lambda text: seen.append(text) or TextColumn(text))
    assert vae("train", "--data", images, *SMALL, "--objective", objective, "--out", "run")[0] == 0
    assert seen == [f"−{name} {{task.fields[loss]:.2f}} nats"]
