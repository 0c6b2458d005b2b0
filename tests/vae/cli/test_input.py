"""python -m vae: one sentence for everything a user can get wrong, and nothing written."""

from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from tests.support.vae.small_runs import SMALL, assert_refused, save_images, snapshot
from vae import checkpoints, training
from vae.runs import CHECKPOINT

pytestmark = pytest.mark.usefixtures("on_the_device_of_this_run")

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
        ([*NEW, "--latent", "1000000000"], ["--latent 1000000000 and --hidden 8", "choose fewer"]),
        ([*NEW, "--hidden", "1000000000"], ["--latent 2 and --hidden 1000000000", "choose fewer"]),
        (["check", "--model", "conv", "--latent", "1000000000"], ["--latent 1000000000 do not fit"]),
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
    path = tmp_path / "run" / CHECKPOINT
    path.parent.mkdir()
    whole = (trained / CHECKPOINT).read_bytes()
    contents = {
        "truncated": whole[:-100],
        "empty": b"",
        "text": b"hello\n" * 10,
        "changed byte": whole[:-50] + bytes([whole[-50] ^ 1]) + whole[-49:],
    }
    if damage in contents:
        path.write_bytes(contents[damage])
    else:
        arrays, record = checkpoints.load(trained / CHECKPOINT)
        record["config"]["hidden"] = 9
        parameters = {k.removeprefix("parameters."): x for k, x in arrays.items() if k.startswith("parameters")}
        checkpoints.save(path, {"parameters": parameters, "trained": arrays["trained"]}, record)
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
