"""`python -m minigrad.backends` describes both devices, and says what to install for a missing one."""

import json
import types
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest

from minigrad import backends
from minigrad.backends.__main__ import main
from minigrad.backends.cuda import backend as ours
from minigrad.backends.numpy.backend import BACKEND as HOST
from tests.support import fake_cupy
from tests.support.fake_cupy import CUDARuntimeError, cupy

WHEEL = "cupy-cuda13x 14.2.0"


@pytest.fixture
def describe_gpu(capsys, monkeypatch):
    """A function that runs the command on a machine with this CuPy and returns its JSON about the GPU."""
    monkeypatch.setattr(ours, "_backend", lambda module: replace(HOST, name="cupy", device="cuda", xp=module))

    def run(module, *wheels, **where):
        with fake_cupy.install(monkeypatch, module, *wheels, **where), mock.patch.dict(backends._by_device):
            backends._by_device.pop("cuda", None)
            with mock.patch.dict(backends._by_type):
                assert main(["--json"]) == 0
        return json.loads(capsys.readouterr().out)["cuda"]

    return run


def test_the_host_is_described(capsys):
    assert main(["--json"]) == 0
    cpu = json.loads(capsys.readouterr().out)["cpu"]
    assert cpu["numpy"] == np.__version__
    assert all(cpu.values())


def test_without_a_gpu_it_says_what_to_install(capsys, monkeypatch):
    def get(device):
        raise backends.DeviceError("no CuPy here: install it")

    monkeypatch.setattr(backends, "get", get)
    with fake_cupy.install(monkeypatch, None):
        assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["cpu", "python"]
    assert lines[-1] == "cuda  absent   no CuPy here: install it"


def test_gpus_are_named(describe_gpu, tmp_path):
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27\n")
    assert describe_gpu(cupy(count=2), WHEEL, kernel_module=tmp_path / "version") == {
        "cupy": "14.2.0 (cupy-cuda13x)",
        "driver": "580.65.06, CUDA 13.0",
        "runtime": "CUDA 13.2",
        "compiler": "NVRTC 13.2",
        "gpu0": "NVIDIA H200, compute capability 9.0, 140 GiB",
        "gpu1": "NVIDIA H200, compute capability 9.0, 140 GiB",
        "kernels": "compiled and run, with the right result",
    }


def test_an_unusable_gpu_is_described_as_far_as_known(describe_gpu):
    found = describe_gpu(cupy(arange=fake_cupy.raiser(CUDARuntimeError(209))), WHEEL)
    assert list(found) == ["cupy", "driver", "runtime", "compiler", "gpu0", "absent"]
    assert found["absent"].startswith("kernels do not compile and run on the GPU (cudaErrorNoKernelImage")
    found = describe_gpu(cupy(count=CUDARuntimeError(35), driver=12040), WHEEL)
    assert (found["driver"], found["runtime"]) == ("CUDA 12.4", "CUDA 13.2") and "too old" in found["absent"]
    found = describe_gpu(cupy(count=CUDARuntimeError(35), driver=0, archs=RuntimeError("no NVRTC")), WHEEL)
    assert found["driver"] == "none" and "compiler" not in found and "no NVIDIA driver" in found["absent"]
    found = describe_gpu(types.SimpleNamespace(), "cupy-cuda12x 14.2.0", WHEEL)
    assert found["cupy"] == "14.2.0 (cupy-cuda12x), 14.2.0 (cupy-cuda13x)" and "2 CuPy packages" in found["absent"]


def test_a_wrong_option_gives_one_line(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--what"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
