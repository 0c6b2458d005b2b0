"""vae/cli/runs.py: the device that every command computes on, and settings that cannot be."""

import json
from pathlib import Path
from unittest import mock

import pytest

from minigrad import backends
from tests.support import fake_cupy, stand_in
from tests.support.vae.small_runs import SMALL, assert_refused, save_images, snapshot
from vae import checkpoints
from vae.runs import CHECKPOINT

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("no_pictures")]


def computing(images, trained) -> list[list]:
    """A command line of each command that computes."""
    check = ["check", "--coordinates", "2"]
    of_a_run = [[*each, "--checkpoint", trained] for each in (check, ["evaluate"], ["sample"], ["reconstruct"])]
    return [["train", "--data", images, *SMALL, "--out", "run"], [*check, "--hidden", "8"], *of_a_run]


def test_without_a_gpu_there_is_no_cuda(vae, images, trained, tmp_path, monkeypatch):
    with fake_cupy.install(monkeypatch, None), mock.patch.dict(backends._by_device):
        backends._by_device.pop("cuda", None)
        for command in computing(images, trained):
            assert_refused(vae(*command, "--device", "cuda"), "no CuPy here: install it with pip install '.[cuda13]'")
        assert list(tmp_path.iterdir()) == []
        code, out, err = vae("evaluate", "--checkpoint", trained, "--device", "auto", "--json")
    assert code == 0 and json.loads(out)["images"] == 20
    assert err.startswith("python -m vae: --device auto chooses cpu: no CuPy here: ") and err.count("\n") == 1


@pytest.fixture
def gpu(pretend_gpu):
    """A pretended device "cuda"."""
    with pretend_gpu():
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
    assert here.keys() == there.keys()
    for name, value in here.items():  # numbers and words; errors are differences of numbers
        assert there[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-6, abs=1e-6)), name
    ends = [
        json.loads((folder / "metrics.jsonl").read_text().splitlines()[1]) for folder in (trained, tmp_path / "run")
    ]
    assert ends[1]["test_elbo"] == pytest.approx(ends[0]["test_elbo"], rel=1e-5)


def test_auto_takes_a_gpu_that_works(vae, trained, gpu):
    code, _, err = vae("sample", "--checkpoint", trained, "--device", "auto")
    assert (code, err) == (0, "python -m vae: --device auto chooses cuda: a GPU was found and works\n")


def test_operations_are_run_where_they_should(vae, trained, gpu, monkeypatch):
    """Each command that takes --device would notice a device that cannot compute."""
    monkeypatch.setattr(stand_in.CUPY, "matmul", fake_cupy.raiser(fake_cupy.OutOfMemoryError(2**30, 0)))
    for command in ("check", "evaluate", "sample", "reconstruct"):
        result = vae(command, "--checkpoint", trained, "--device", "cuda")
        assert_refused(result, "matmul(float", "not enough memory on the GPU (asked for 1 GiB): use a smaller batch")


@pytest.mark.parametrize("command", [["train"], ["lecture"], ["evaluate", "--checkpoint", "run"]])
def test_a_folder_of_data_that_nothing_would_be_read_from_is_refused(vae, tmp_path, command):
    if command[0] == "evaluate":
        assert vae("train", "--train-size", "20", "--test-size", "2", *SMALL, "--out", "run")[0] == 0
    assert_refused(vae(*command, "--data-dir", "there"), "nothing would be read from ", "there", "--data mnist")


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
    said = f"the model takes images of shape (4, 4, 1), other has {shape}"
    for command in ("evaluate", "reconstruct"):
        assert_refused(vae(command, "--checkpoint", trained, "--data", other), said)


def test_a_run_whose_images_are_gone_or_changed(vae, tmp_path):
    images = save_images(tmp_path / "mine.npz")
    assert vae("train", "--data", "mine.npz", *SMALL, "--epochs", "1", "--out", "run")[0] == 0
    before = snapshot(tmp_path / "run")
    resume = ["train", "--out", "run", "--resume", "--epochs", "2"]
    save_images(tmp_path / "mine.npz", count=60)
    assert_refused(vae(*resume), "these are not the images of the run")
    save_images(tmp_path / "mine.npz", (2, 8, 1))
    assert_refused(vae(*resume), "the model takes images of shape (4, 4, 1), mine has (2, 8, 1)")
    Path(images).unlink()
    assert_refused(vae(*resume), "there is no file or folder", "mine.npz")
    assert_refused(vae("evaluate", "--checkpoint", "run"), "there is no file or folder", "mine.npz")
    assert vae("sample", "--checkpoint", "run", "--out", "s.png")[0] == 0  # the decoder needs no images
    assert {k: v for k, v in snapshot(tmp_path / "run").items() if k in before} == before
