"""python -m vae --device: every command on another device than the CPU."""

import json
from dataclasses import replace
from unittest import mock

import pytest

from minigrad import backends
from tests.support import fake_cupy, stand_in
from tests.support.vae.small_runs import SMALL, assert_refused

pytestmark = pytest.mark.usefixtures("on_the_device_of_this_run")


def computing(images, trained) -> list[list]:
    """A command line of each command that computes."""
    of_a_run = [[name, "--checkpoint", trained] for name in ("check", "evaluate", "sample", "reconstruct")]
    return [["train", "--data", images, *SMALL, "--out", "run"], ["check", "--coordinates", "2"], *of_a_run]


def test_without_a_gpu_there_is_no_cuda(vae, images, trained, tmp_path, monkeypatch):
    with fake_cupy.installed(monkeypatch, None), mock.patch.dict(backends._by_device):
        backends._by_device.pop("cuda", None)
        for command in computing(images, trained):
            assert_refused(vae(*command, "--device", "cuda"), "no CuPy here: install it with pip install '.[cuda13]'")
        assert list(tmp_path.iterdir()) == []
        code, out, err = vae("evaluate", "--checkpoint", trained, "--device", "auto", "--json")
    assert code == 0 and json.loads(out)["images"] == 20
    assert err.startswith("python -m vae: --device auto takes cpu: no CuPy here: ") and err.count("\n") == 1


@pytest.fixture
def gpu():
    """The stand-in GPU as "cuda"."""
    device = replace(stand_in.BACKEND, device="cuda")
    with mock.patch.dict(backends._by_device, cuda=device):
        with mock.patch.dict(backends._by_type, {stand_in.Array: device}):
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
    monkeypatch.setattr(stand_in.CUPY, "matmul", fake_cupy.raising(fake_cupy.OutOfMemoryError(2**30, 0)))
    for command in ("check", "evaluate", "sample", "reconstruct"):
        result = vae(command, "--checkpoint", trained, "--device", "cuda")
        assert_refused(result, "matmul(float", "not enough memory on the GPU (asked for 1 GiB): use a smaller batch")
