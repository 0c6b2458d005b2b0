"""python -m vae: what it writes and prints, and one sentence for everything a user can get wrong."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from unittest import mock

import elsewhere
import numpy as np
import pretended
import pytest
import truth

import minigrad as mg
from minigrad import backends
from minigrad.core import primitives
from vae import cli, commands, files, training
from vae.config import Config
from vae.errors import CheckpointError
from vae.explain import explain_loss

pytestmark = pytest.mark.usefixtures("on_the_device_of_this_run")

SMALL = ["--hidden", "8", "--latent", "2", "--epochs", "2", "--batch", "16"]
WRITTEN = {"checkpoint.safetensors", "config.json", "metrics.jsonl", "curves.png", "reconstructions.png", "samples.png"}


def save_images(path: Path, shape=(4, 4, 1), count: int = 50) -> str:
    data = truth.small_data(count, 20, shape)
    np.savez(path, train=data.train, test=data.test)
    return str(path)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A file with 50 + 20 images of 4×4."""
    return save_images(tmp_path_factory.mktemp("images") / "images.npz")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, images):
    """A finished run."""
    out = tmp_path_factory.mktemp("runs") / "trained"
    assert cli.main(["train", "--data", images, *SMALL, "--out", str(out)]) == 0
    return out


@pytest.fixture
def vae(capsys, monkeypatch, tmp_path):
    """Runs a command line in an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VAE_DATA", str(tmp_path / "no-cache"))

    def call(*arguments):
        capsys.readouterr()
        try:
            code = cli.main([str(a) for a in arguments])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return call


def assert_refused(result, *said: str) -> None:
    """Exit code 2 and one clear sentence on one line of stderr, nothing on stdout that looks like a result."""
    code, _, err = result
    assert code == 2, err
    assert re.fullmatch(r"python -m vae[^\n]*: [^\n]+\n", err), err
    assert "Traceback" not in err
    for part in said:
        assert part in err, err


def has_gpu() -> bool:
    try:
        return bool(backends.get("cuda"))
    except backends.DeviceError:
        return False


def snapshot(folder: Path) -> dict:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# Training


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


def test_training_begins_with_what_its_loss_says(vae, images, tmp_path):
    """4×4 pixels: β = 0.05 beside a mean over 16 of them and σ² = ½ is σ² = 0.4."""
    weighed = "--decoder gaussian --sigma 0.70710678 --reduction mean --beta 0.05 --clamp 9".split()
    code, out, err = vae("train", "--data", images, *SMALL, *weighed, "--out", "run")
    assert (code, err) == (0, "")
    first = out.split("epoch")[0]
    config = Config(**json.loads((tmp_path / "run/config.json").read_text()))
    assert (config.reduction, config.beta, config.clamp) == ("mean", 0.05, 9.0)
    assert f"{explain_loss(config, (4, 4, 1))}\n" in first
    assert "mean over pixels of (y−ŷ)² + 0.05·KL" in first
    assert "σ² = 0.4, β = 1: a bound on ln Q(y)" in first
    assert "reported: gaussian: σ² = 0.5 fixed" in first
    code, out, _ = vae("train", "--out", "run", "--resume", "--epochs", "3")
    assert code == 0
    assert str(explain_loss(config, (4, 4, 1))) in out
    assert vae("check", "--checkpoint", "run")[0] == 0
    assert vae("evaluate", "--checkpoint", "run")[0] == 0


@pytest.mark.parametrize("decoder", ["bernoulli", "gaussian", "laplace"])
def test_check_takes_the_options_of_the_loss(vae, decoder):
    small = ["--hidden", "4", "--latent", "2", "--images", "2", "--coordinates", "5"]
    code, out, _ = vae("check", *small, "--decoder", decoder, "--reduction", "mean", "--beta", "0.01", "--clamp", "4")
    assert code == 0
    assert "passed: largest error" in out


def test_train_chooses_a_new_folder_each_time(vae, images, tmp_path):
    for _ in range(2):
        assert vae("train", "--data", images, *SMALL, "--epochs", "1", "--latent", "3")[0] == 0
    assert {p.name for p in (tmp_path / "runs").iterdir()} == {"train", "train-2"}
    assert {p.name for p in (tmp_path / "runs/train-2").iterdir()} == WRITTEN


def test_built_in_digits_of_any_size(vae, tmp_path):
    sizes = ["--train-size", "20", "--test-size", "10", "--hidden", "4", "--epochs", "1"]
    code, out, _ = vae("train", *sizes, "--model", "conv", "--decoder", "gaussian", "--sigma", "learned")
    assert code == 0
    assert "digits: 20 training and 10 test images" in out
    assert "σ learned, normaliser included" in out


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_images_with_colours_and_alpha(vae, tmp_path, channels):
    images = save_images(tmp_path / "colours.npz", (4, 4, channels))
    assert vae("train", "--data", images, *SMALL, "--out", "run", "--model", "conv")[::2] == (0, "")
    assert vae("sample", "--checkpoint", "run")[::2] == (0, "")
    assert vae("reconstruct", "--checkpoint", "run")[::2] == (0, "")


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
    assert vae("train", "--data", images, *SMALL, "--out", "whole")[0] == 0
    assert vae("train", "--data", images, *SMALL, "--epochs", "1", "--out", "parts")[0] == 0
    code, out, _ = vae("train", "--out", "parts", "--resume", "--epochs", "2")
    assert code == 0
    assert "resuming parts after epoch 1, step 0" in out
    whole, parts = (files.load_checkpoint(tmp_path / run / training.CHECKPOINT) for run in ("whole", "parts"))
    assert all(np.array_equal(x, parts[0][name]) for name, x in whole[0].items())
    assert [r["test_elbo"] for r in whole[1]["history"]] == [r["test_elbo"] for r in parts[1]["history"]]
    assert json.loads((tmp_path / "parts/config.json").read_text())["epochs"] == 2
    for name in ("samples.png", "reconstructions.png"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


def test_ctrl_c_says_how_to_go_on(vae, images, monkeypatch, tmp_path):
    real, left = training.mean_elbo, [1]

    def stop(*args):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(training, "mean_elbo", stop)
        code, out, err = vae("train", "--data", images, *SMALL, "--out", "run")
    assert (code, err) == (130, "python -m vae: stopped\n")
    (again,) = re.findall(r"stopped; continue with: python -m vae (.*)", out)
    code, out, _ = vae(*again.split())
    assert code == 0
    assert "resuming run after epoch 1, step 4" in out


def test_the_seed_decides_everything(vae, images, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert vae("train", "--data", images, *SMALL, "--epochs", "1", "--seed", seed, "--out", name)[0] == 0
    a, b, c = (snapshot(tmp_path / name) for name in "abc")
    assert a["samples.png"] == b["samples.png"] != c["samples.png"]
    elbo = [json.loads(x["metrics.jsonl"])["test_elbo"] for x in (a, b, c)]
    assert elbo[0] == elbo[1] != elbo[2]


def test_options_before_the_command_count(vae, images, tmp_path):
    """argparse would let the command's own defaults replace them without a word."""
    code, *_ = vae("--out", "run", "--seed", "7", "train", "--data", images, *SMALL, "--epochs", "1")
    assert code == 0
    assert json.loads((tmp_path / "run/config.json").read_text())["seed"] == 7
    assert_refused(vae("--out", "run", "train", "--data", images, *SMALL), "already holds files")
    assert vae("--out", "run", "--force", "train", "--data", images, *SMALL, "--epochs", "1")[0] == 0


# An existing run is safe


def test_an_existing_run_is_only_overwritten_by_force(vae, images, tmp_path):
    assert vae("train", "--data", images, *SMALL, "--out", "run")[0] == 0
    before = snapshot(tmp_path / "run")
    again = ["train", "--data", images, *SMALL, "--seed", "1", "--out", "run"]
    assert_refused(vae(*again), "run already holds files", "--force")
    assert snapshot(tmp_path / "run") == before
    assert vae(*again, "--force")[0] == 0
    assert snapshot(tmp_path / "run") != before


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


# Wrong input

NEW = ["train", "--data", "IMAGES", *SMALL, "--out", "new"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "--colour", "red"], ["unrecognized arguments: --colour red"]),
        (["paint"], ["invalid choice: 'paint'", "train", "evaluate"]),
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
        ([*NEW, "--momentum", "1"], ["momentum lies in [0, 1), got 1.0"]),
        ([*NEW, "--momentum", "nan"], ["momentum lies in [0, 1), got nan"]),
        *[
            ([*NEW, "--decoder", "gaussian", "--sigma", v], ["sigma must be a positive number", "'learned'", v])
            for v in ("0", "-2", "nan", "inf", "1e200", "wide")
        ],
        (["train", "--reduction", "max"], ["invalid choice: 'max'", "sum", "mean"]),
        *[([*NEW, f"--beta={v}"], ["beta must be 0 or lie in 1e-9 … 1e9", v]) for v in ("-1.0", "nan", "inf")],
        *[([*NEW, f"--clamp={v}"], ["clamp must lie in 0.001 … 80", v]) for v in ("0.0", "-1.0", "nan", "inf")],
        (["train", "--beta", "small"], ["--beta", "small"]),
        (["check", "--clamp", "0"], ["clamp must lie in 0.001 … 80"]),
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
        (["check", "--coordinates", "0"], ["--coordinates"]),
        (["check", "--images", "-4"], ["--images"]),
        (["check", "--checkpoint", "nowhere"], ["no checkpoint at nowhere/checkpoint.safetensors"]),
        (["check", "--picture", "/proc/vae/x.png"], ["cannot write to the folder /proc/vae"]),
        (["evaluate"], ["the following arguments are required: --checkpoint"]),
        (["evaluate", "--checkpoint", "nowhere"], ["no checkpoint at nowhere/checkpoint.safetensors"]),
        (["sample", "--checkpoint", "nowhere"], ["no checkpoint at"]),
        (["reconstruct", "--checkpoint", "x" * 300], ["no checkpoint at"]),
        (["sample", "--checkpoint", "TRAINED", "--count", "0"], ["--count", "got 0"]),
        (["sample", "--checkpoint", "TRAINED", "--count", "2501"], ["--count", "got 2501"]),
        (["sample", "--checkpoint", "TRAINED", "--out", "/proc/vae/x.png"], ["cannot write to the folder /proc/vae"]),
        (["sample", "--checkpoint", "TRAINED", "--out", "."], ["cannot write"]),
        (["sample", "--checkpoint", "TRAINED/checkpoint.safetensors"], ["give the folder of a run"]),
        (["evaluate", "--checkpoint", "TRAINED", "--importance", "0"], ["--importance"]),
        (["evaluate", "--checkpoint", "TRAINED", "--test-size", "21"], ["has 20 test images, 21 were asked for"]),
        (["check", "--checkpoint", "TRAINED", "--model", "conv"], ["the run has --model mlp, not conv"]),
        (["train", "--out", "TRAINED", "--resume", "--latent", "3"], ["the run has --latent 2, not 3"]),
        (["train", "--out", "TRAINED", "--resume", "--seed", "5"], ["the run has --seed 0, not 5"]),
        (["train", "--out", "TRAINED", "--resume", "--beta", "2"], ["the run has --beta 1.0, not 2.0"]),
        (["train", "--out", "TRAINED", "--resume", "--clamp", "2"], ["the run has --clamp left out, not 2.0"]),
        (["check", "--checkpoint", "TRAINED", "--reduction", "mean"], ["the run has --reduction sum, not mean"]),
        (["train", "--out", "TRAINED", "--resume", "--train-size", "9"], ["the run has --train-size left out, not 9"]),
        (["train", "--out", "TRAINED", "--resume", "--epochs", "1"], ["TRAINED is already beyond 1 epochs"]),
    ],
    ids=lambda x: " ".join(x)[:60] if x and x[0] in ("train", "check", "evaluate", "sample", "reconstruct") else "",
)
def test_wrong_input_gets_one_sentence_and_writes_nothing(vae, images, trained, tmp_path, arguments, said):
    fill = lambda text: text.replace("IMAGES", images).replace("TRAINED", str(trained))
    before = snapshot(trained)
    assert_refused(vae(*map(fill, arguments)), *map(fill, said))
    assert snapshot(trained) == before
    assert list(tmp_path.iterdir()) == []


def test_sizes_beyond_memory(vae, images, monkeypatch):
    def exhausted(*args, **kwargs):
        return np.empty((2**46, 2**10), np.float32)  # 2⁵⁸ bytes: more than any address space has

    monkeypatch.setattr(training, "make_trainer", exhausted)
    said = "there is not enough memory for these sizes (Unable to allocate 256. PiB"
    assert_refused(vae(*[a.replace("IMAGES", images) for a in NEW]), said)


def test_an_operation_beyond_memory(vae, images, monkeypatch):
    wide = np.broadcast_to(np.float32(1), (2**30, 2**28))
    monkeypatch.setattr(training, "make_trainer", lambda *args: mg.exp(wide))
    result = vae(*[a.replace("IMAGES", images) for a in NEW])
    assert_refused(result, "python -m vae: exp(float32[1073741824, 268435456]): not enough", "use a smaller batch")


# Devices


def computing(images, trained) -> list[list]:
    """A command line of each command that computes."""
    of_a_run = [[name, "--checkpoint", trained] for name in ("check", "evaluate", "sample", "reconstruct")]
    return [["train", "--data", images, *SMALL, "--out", "run"], ["check", "--coordinates", "2"], *of_a_run]


def test_without_a_gpu_there_is_no_cuda(vae, images, trained, tmp_path, monkeypatch):
    with pretended.installed(monkeypatch, None), mock.patch.dict(backends._by_device):
        backends._by_device.pop("cuda", None)
        for command in computing(images, trained):
            assert_refused(vae(*command, "--device", "cuda"), "no CuPy here: install it with pip install '.[cuda13]'")
        assert list(tmp_path.iterdir()) == []
        code, out, err = vae("evaluate", "--checkpoint", trained, "--device", "auto", "--json")
    assert code == 0 and json.loads(out)["images"] == 20
    assert err.startswith("python -m vae: --device auto takes cpu: no CuPy here: ") and err.count("\n") == 1


@pytest.fixture
def gpu():
    """A device "cuda" that is pretended, and refuses arrays of the host."""
    device = replace(elsewhere.BACKEND, device="cuda")
    with mock.patch.dict(backends._by_device, cuda=device):
        with mock.patch.dict(backends._by_type, {elsewhere.Array: device}):
            yield


def test_every_command_computes_on_another_device(vae, images, trained, tmp_path, gpu):
    """As on this one: the same noise, and sums that differ in rounding only."""
    for command in computing(images, trained):
        code, _, err = vae(*command, "--device", "cuda")
        assert (code, err) == (0, ""), command
    assert vae("train", "--out", "run", "--resume", "--epochs", "3", "--device", "cuda")[0] == 0
    here, there = (
        json.loads(vae("evaluate", "--checkpoint", trained, "--importance", "2", "--json", "--device", device)[1])
        for device in ("cpu", "cuda")
    )
    assert here.keys() == there.keys() and list(there.values()) == pytest.approx(list(here.values()), rel=1e-6)
    ends = [
        json.loads((folder / "metrics.jsonl").read_text().splitlines()[1]) for folder in (trained, tmp_path / "run")
    ]
    assert ends[1]["test_elbo"] == pytest.approx(ends[0]["test_elbo"], rel=1e-5)


def test_auto_takes_a_gpu_that_works(vae, trained, gpu):
    code, _, err = vae("sample", "--checkpoint", trained, "--device", "auto")
    assert (code, err) == (0, "python -m vae: --device auto takes cuda: a GPU is here and works\n")


def test_operations_are_run_where_they_should(vae, trained, gpu, monkeypatch):
    """Each command that takes --device would notice a device that cannot compute."""
    monkeypatch.setattr(elsewhere.CUPY, "matmul", pretended.raising(pretended.OutOfMemoryError(2**30, 0)))
    for command in ("check", "evaluate", "sample", "reconstruct"):
        result = vae(command, "--checkpoint", trained, "--device", "cuda")
        assert_refused(result, "matmul(float", "not enough memory on the GPU (asked for 1 GiB): use a smaller batch")


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


@pytest.mark.parametrize("command", ["evaluate", "sample", "reconstruct", "check", "train --resume"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "changed byte", "of another model"])
def test_damaged_checkpoints(vae, trained, tmp_path, command, damage):
    path = tmp_path / "run" / training.CHECKPOINT
    path.parent.mkdir()
    whole = (trained / training.CHECKPOINT).read_bytes()
    contents = {
        "truncated": whole[:-100],
        "empty": b"",
        "text": b"hello\n" * 10,
        "changed byte": whole[:-50] + bytes([whole[-50] ^ 1]) + whole[-49:],
    }
    if damage in contents:
        path.write_bytes(contents[damage])
    else:
        arrays, record = files.load_checkpoint(trained / training.CHECKPOINT)
        record["config"]["hidden"] = 9
        parameters = {k.removeprefix("parameters."): x for k, x in arrays.items() if k.startswith("parameters")}
        files.save_checkpoint(path, {"parameters": parameters}, record)
    before = path.read_bytes()
    name, *more = command.split()
    result = vae(name, "--out" if more else "--checkpoint", "run", *more)
    assert_refused(result, str(path.relative_to(tmp_path)), "another model" if damage not in contents else "damaged")
    assert snapshot(path.parent) == {path.name: before}


@pytest.mark.parametrize("shape", [(8, 4, 1), (2, 8, 1), (4, 4, 3)])
def test_images_of_another_shape(vae, trained, tmp_path, shape):
    """(2, 8, 1) has as many pixels, so that an MLP would take it for 4×4."""
    other = save_images(tmp_path / "other.npz", shape)
    said = f"the model takes images of (4, 4, 1), other has {shape}"
    for command in ("evaluate", "reconstruct"):
        assert_refused(vae(command, "--checkpoint", trained, "--data", other), said)


def test_a_run_whose_images_are_gone_or_changed(vae, tmp_path):
    images = save_images(tmp_path / "mine.npz")
    assert vae("train", "--data", "mine.npz", *SMALL, "--epochs", "1", "--out", "run")[0] == 0
    before = snapshot(tmp_path / "run")
    resume = ["train", "--out", "run", "--resume", "--epochs", "2"]
    save_images(tmp_path / "mine.npz", count=60)
    assert_refused(vae(*resume), "these are not the images the run began with")
    save_images(tmp_path / "mine.npz", (2, 8, 1))
    assert_refused(vae(*resume), "the model takes images of (4, 4, 1), mine has (2, 8, 1)")
    Path(images).unlink()
    assert_refused(vae(*resume), "there is no file or folder", "mine.npz")
    assert_refused(vae("evaluate", "--checkpoint", "run"), "there is no file or folder", "mine.npz")
    assert vae("sample", "--checkpoint", "run", "--out", "s.png")[0] == 0  # the decoder needs no images
    assert {k: v for k, v in snapshot(tmp_path / "run").items() if k in before} == before


# check


def test_check_as_json(vae):
    code, out, err = vae("check", "--hidden", "4", "--latent", "2", "--images", "2", "--json")
    assert (code, err) == (0, "")
    report = json.loads(out, parse_constant=pytest.fail)
    assert set(report) == {
        *("parameters", "max_relative_error", "passed"),  # what the issue asks for, and what else there is to know
        *("directions", "adjoint_gap", "tolerance", "adjoint_tolerance"),
    }
    assert report["passed"] is True
    assert report["max_relative_error"] <= report["tolerance"] == 1e-7
    sizes = {p["name"]: (p["shape"], p["coordinates"]) for p in report["parameters"]}
    assert sizes["encoder.hidden.0.w"] == ([784, 4], 30)
    assert sizes["encoder.mean.b"] == ([2], 2)
    for p in report["parameters"]:
        assert set(p) == {"name", "shape", "coordinates", "kinks", "redrawn", "max_relative_error"}
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
    check = ["check", "--hidden", "4", "--latent", "2", "--images", "2", "--picture", "a.png"]
    code, out, err = vae(*check, "--json")
    assert (code, err) == (1, "")
    assert json.loads(out, parse_constant=pytest.fail)["passed"] is False
    assert (tmp_path / "a.png").exists()
    code, out, err = vae(*check)
    assert (code, err) == (1, "")
    assert "FAILED: largest error" in out


# evaluate, sample, reconstruct


def test_evaluate_as_json(vae, trained):
    code, out, err = vae("evaluate", "--checkpoint", trained, "--importance", "5", "--json")
    assert (code, err) == (0, "")
    scores = json.loads(out, parse_constant=pytest.fail)
    keys = ["images", "negative_elbo_closed", "negative_elbo_sampled", "negative_importance_bound_5"]
    assert list(scores) == keys
    assert scores["images"] == 20
    again = json.loads(vae("evaluate", "--checkpoint", trained, "--importance", "5", "--json")[1])
    other = json.loads(vae("evaluate", "--checkpoint", trained, "--seed", "1", "--json")[1])
    assert again == scores
    assert other["negative_elbo_closed"] != scores["negative_elbo_closed"]


def test_evaluate_measures_the_whole_test_set_of_the_run(vae, trained, images):
    """The number is that of plain NumPy on all 20 test images."""
    import minigrad as mg
    from minigrad import tree

    state = training.load_state(training.load_trainer(trained), trained)
    with np.load(images) as arrays:
        y = arrays["test"].astype(np.float64)
    noise = mg.random.normal(mg.random.key(0), (20, 2)).astype(np.float64)
    parameters = tree.map(lambda x: x.astype(np.float64), mg.to_device(state.parameters, "cpu"))
    likelihood = Config().make_likelihood()
    scores = json.loads(vae("evaluate", "--checkpoint", trained, "--json")[1])
    for form in ("closed", "sampled"):
        expected = -np.mean(truth.elbo("mlp", likelihood, parameters, y, noise, form))
        assert abs(scores[f"negative_elbo_{form}"] - expected) <= 1e-5 * expected  # float32, some dozen operations


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


def test_sample_and_reconstruct_write_where_they_are_told(vae, trained, tmp_path):
    for command, name in (("sample", "samples.png"), ("reconstruct", "reconstructions.png")):
        code, out, err = vae(command, "--checkpoint", trained, "--out", f"there/{name}", "--count", "3")
        assert (code, out, err) == (0, f"there/{name}\n", "")
        assert (tmp_path / "there" / name).read_bytes().startswith(b"\x89PNG")


def test_help_is_not_an_error(vae):
    for command in ([], ["check"], ["train"], ["evaluate"], ["sample"], ["reconstruct"]):
        code, out, err = vae(*command, "--help")
        assert (code, err) == (0, "")
        assert out.startswith("usage: python -m vae")


# Real processes


def environment(**more: str) -> dict:
    root = str(Path(commands.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": root, "PYTHONWARNINGS": "error", **more}


def process(*arguments, cwd: Path, **more):
    command = [sys.executable, "-m", "vae", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=60)


def test_processes_end_with_their_exit_code(tmp_path, trained):
    done = process("evaluate", "--checkpoint", trained, "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    json.loads(done.stdout)
    assert_refused((lambda p: (p.returncode, p.stdout, p.stderr))(process("sample", "--checkpoint", "x", cwd=tmp_path)))


def test_a_terminal_without_greek(tmp_path, images):
    train = ["train", "--data", images, *SMALL, "--epochs", "1", "--out", "run"]
    done = process(*train, cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "test ?ELBO" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_nobody_takes(tmp_path, trained):
    """A full disk or a closed pipe: one sentence, and no second complaint when Python exits."""
    command = [sys.executable, "-m", "vae", "evaluate", "--checkpoint", str(trained), "--json"]
    for target in ("/dev/full", "pipe"):
        if target == "pipe":
            reading, writing = os.pipe()
            os.close(reading)
            out = os.fdopen(writing, "w")
        else:
            out = open(target, "w")
        with out:
            done = subprocess.run(
                command, stdout=out, stderr=subprocess.PIPE, text=True, env=environment(), timeout=60, cwd=tmp_path
            )
        assert_refused((done.returncode, "", done.stderr), "Broken pipe" if target == "pipe" else "No space left")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_sigint_leaves_a_checkpoint_that_goes_on_bit_for_bit(tmp_path, images):
    options = ["--data", images, *SMALL, "--epochs", "400"]
    command = [sys.executable, "-m", "vae", "train", *options, "--out", "run"]
    child = subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    metrics, deadline = tmp_path / "run/metrics.jsonl", time.monotonic() + 30
    while not (metrics.exists() and metrics.stat().st_size) and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert (child.returncode, err) == (130, "python -m vae: stopped\n")
    assert "continue with: python -m vae train --out run --resume" in out
    assert not [p for p in (tmp_path / "run").iterdir() if p.name.startswith(".")]
    _, record = files.load_checkpoint(tmp_path / "run" / training.CHECKPOINT)
    assert 1 <= record["epoch"] < 400
    last = record["epoch"] + 2
    for options in (["--resume", "--out", "run"], ["--data", images, *SMALL, "--out", "whole"]):
        assert process("train", *options, "--epochs", last, cwd=tmp_path).returncode == 0
    stopped, whole = (files.load_checkpoint(tmp_path / run / training.CHECKPOINT) for run in ("run", "whole"))
    assert all(np.array_equal(x, stopped[0][name]) for name, x in whole[0].items())
    assert [(r["epoch"], r["train_elbo"], r["test_elbo"]) for r in stopped[1]["history"]] == [
        (r["epoch"], r["train_elbo"], r["test_elbo"]) for r in whole[1]["history"]
    ]


def test_errors_are_sentences_even_with_line_breaks(vae, monkeypatch, trained):
    def fail(path):
        raise CheckpointError("two\nlines")

    monkeypatch.setattr(files, "load_checkpoint", fail)
    assert vae("sample", "--checkpoint", trained)[::2] == (2, "python -m vae: two lines\n")
