"""For every fault of a GPU, its driver or CuPy, the error is one sentence that says what to install or change."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from unittest import mock

import numpy as np
import pytest

from minigrad import backends
from minigrad.backends.cuda import backend as ours
from minigrad.backends.cuda import machine
from minigrad.backends.numpy.backend import BACKEND as HOST
from tests.support import fake_cupy
from tests.support.environment import optional
from tests.support.fake_cupy import CUDARuntimeError, cupy, raiser

WHEEL = "cupy-cuda13x 14.2.0"
OPEN = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs-builder)  Sun Jul 27\nGCC"
)
CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024\nGCC version:  gcc"


def error_for(monkeypatch, module, *wheels, **where) -> str:
    """The error message for a machine with this CuPy."""
    with fake_cupy.install(monkeypatch, module, *wheels, **where), pytest.raises(backends.DeviceError) as caught:
        ours.load()
    said = str(caught.value)
    assert len(said.splitlines()) == 1 and said == said.strip() and not said.endswith("."), said
    assert caught.value.__suppress_context__ or caught.value.__context__ is None  # a single error, not a chain
    return said


def test_no_cupy(monkeypatch, tmp_path):
    said = error_for(monkeypatch, None)
    assert said == (
        "no CuPy here: install it with pip install '.[cuda13]' (NVIDIA drivers from 580 on) or '.[cuda12]' (from 525 "
        "on) in minigrad's folder; no NVIDIA driver was found"
    )
    for text, version in ((OPEN, "580.65.06"), (CLOSED, "550.54.14")):
        (tmp_path / "version").write_text(text)
        assert error_for(monkeypatch, None, kernel_module=tmp_path / "version").endswith(f"driver here is {version}")


def test_no_driver(monkeypatch, tmp_path):
    """CUDA reports a missing driver and one that is too old with the same error."""
    module = cupy(CUDARuntimeError(35), driver=0)
    said = error_for(monkeypatch, module, WHEEL)
    assert said.startswith("no NVIDIA driver here, and cupy-cuda13x 14.2.0 needs one, version 580 or newer: install it")
    assert "version 525" in error_for(monkeypatch, cupy(CUDARuntimeError(35), 0, 12090), "cupy-cuda12x 14.2.0")
    (tmp_path / "version").write_text(OPEN)  # loaded, but not for this container
    said = error_for(monkeypatch, module, WHEEL, kernel_module=tmp_path / "version")
    assert said.startswith(
        "the NVIDIA driver 580.65.06 runs on this machine, but its library libcuda.so.1 was not found"
    )


def test_a_driver_too_old(monkeypatch, tmp_path):
    (tmp_path / "version").write_text(CLOSED)
    module = cupy(CUDARuntimeError(35), driver=12040)
    assert error_for(monkeypatch, module, WHEEL, kernel_module=tmp_path / "version") == (
        "the NVIDIA driver here (550.54.14, for CUDA 12.4) is too old: cupy-cuda13x 14.2.0 needs one for CUDA 13, "
        "version 580 or newer: update it, or pip uninstall -y cupy-cuda13x and pip install '.[cuda12]' in minigrad's "
        "folder, which runs with this driver"
    )
    assert error_for(monkeypatch, cupy(CUDARuntimeError(35), 11080, 12090), "cupy-cuda12x 14.2.0") == (
        "the NVIDIA driver here (for CUDA 11.8) is too old: cupy-cuda12x 14.2.0 needs one for CUDA 12, version 525 or "
        "newer: update it, or compute on device 'cpu'"
    )
    assert "cuda12" not in error_for(monkeypatch, cupy(CUDARuntimeError(35), driver=11080), WHEEL)  # also too new


@pytest.mark.parametrize("hidden", ["", "99", "-1", "GPU-none"])
def test_gpus_hidden(monkeypatch, hidden):
    with fake_cupy.install(monkeypatch, cupy(CUDARuntimeError(100)), WHEEL):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        with pytest.raises(backends.DeviceError, match=f"^CUDA_VISIBLE_DEVICES='{hidden}' leaves no GPU to use: unset"):
            ours.load()


def test_no_gpu(monkeypatch):
    for count in (0, CUDARuntimeError(100)):
        said = error_for(monkeypatch, cupy(count), WHEEL)
        assert said.startswith("the NVIDIA driver (CUDA 13.0) finds no GPU here: a container must be started with one")


@pytest.mark.parametrize(
    "status, advice",
    [
        (3, "forked"),
        (46, "nvidia-smi shows it"),
        (802, "nvidia-fabricmanager"),
        (803, "restart"),
        (804, "compat"),
        (999, "nvidia-smi fails too"),
    ],
)
def test_cuda_does_not_start(monkeypatch, status, advice):
    said = error_for(monkeypatch, cupy(CUDARuntimeError(status)), WHEEL)
    assert said.startswith(f"CUDA does not start ({fake_cupy.SAID[status]}): ") and advice in said


def test_several_packages_of_cupy(monkeypatch):
    said = error_for(monkeypatch, cupy(), "cupy-cuda12x 14.2.0", WHEEL)
    assert said.startswith(
        "2 CuPy packages are installed and overwrite each other's files: pip uninstall -y cupy-cuda12x "
    )
    assert "cupy-cuda13x, then install one" in said


@pytest.mark.parametrize(
    "source, said",
    [
        (f"raise ImportError({fake_cupy.NO_IMPORT!r})", "ImportError: libcudart.so.12: cannot open shared object file"),
        ("raise AttributeError('_ARRAY_API not found')", "_ARRAY_API not found"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("raise RuntimeError", "RuntimeError"),
        ("1 +", "invalid syntax"),
        ("raise OSError(12, 'line\\nbreak')", "line"),
        ("__version__ = '14.2.0'", "module 'cupy' has no attribute 'cuda'"),
    ],
)
def test_a_broken_cupy(monkeypatch, tmp_path, source, said):
    (tmp_path / "cupy.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with fake_cupy.install(monkeypatch, None, WHEEL):
        del sys.modules["cupy"]
        with pytest.raises(backends.DeviceError) as caught:
            ours.load()
    message = str(caught.value)
    assert message.startswith(f"{WHEEL} is installed but broken (") and said in message and "\n" not in message
    assert message.endswith("pip uninstall -y cupy-cuda13x, then pip install '.[cuda13]' in minigrad's folder")


def test_another_module_named_cupy(monkeypatch, tmp_path):
    (tmp_path / "cupy").mkdir()
    (tmp_path / "cupy" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with fake_cupy.install(monkeypatch, None):
        del sys.modules["cupy"]
        with pytest.raises(
            backends.DeviceError, match=r"import cupy finds .*__init__.py, which is not CuPy: rename or remove it"
        ):
            ours.load()
    assert "something else" in error_for(monkeypatch, ModuleType("cupy"))
    assert "something else" in error_for(monkeypatch, SimpleNamespace(__version__="local"))


def test_an_old_cupy_and_one_for_amd(monkeypatch):
    assert error_for(monkeypatch, cupy(version="13.6.0"), "cupy-cuda12x 13.6.0") == (
        "cupy-cuda12x 13.6.0 is too old, it must be 14 or newer: pip install --upgrade '.[cuda12]' in minigrad's folder"
    )
    module = cupy()
    module.cuda.runtime.is_hip = True
    assert "AMD" in error_for(monkeypatch, module, "cupy-rocm-7-0 14.2.0")


def test_libraries_that_are_missing(monkeypatch):
    assert error_for(monkeypatch, cupy(archs=RuntimeError(fake_cupy.NO_NVRTC)), WHEEL) == (
        'cupy-cuda13x 14.2.0 lacks a CUDA library (Failure finding "libnvrtc.so.13 or libnvrtc.so.12"): pip install '
        "'.[cuda13]' in minigrad's folder"
    )
    module = cupy()
    del module.cuda.cublas  # CuPy raises ImportError here; AttributeError is handled alike
    assert "lacks a CUDA library" in error_for(monkeypatch, module, WHEEL)


def test_a_gpu_too_old(monkeypatch):
    said = error_for(monkeypatch, cupy(capability=(6, 0)), WHEEL)
    assert said == (
        "the GPU NVIDIA H200 has compute capability 6.0 and CUDA 13 needs 7.5 or newer: pip uninstall -y cupy-cuda13x, "
        "then pip install '.[cuda12]' in minigrad's folder, for 5.0 and newer; or compute on device 'cpu'"
    )
    assert error_for(monkeypatch, cupy(capability=(3, 7)), WHEEL).endswith("7.5 or newer: compute on device 'cpu'")
    old = cupy(capability=(3, 7), archs=(50, 60), runtime=12090)
    assert error_for(monkeypatch, old, "cupy-cuda12x 14.2.0").endswith("5.0 or newer: compute on device 'cpu'")


def test_kernels_that_do_not_run(monkeypatch):
    failing = lambda error: cupy(arange=raiser(error))
    said = error_for(monkeypatch, failing(CUDARuntimeError(209)), WHEEL)
    assert said.startswith("kernels do not compile and run on the GPU (cudaErrorNoKernelImageForDevice: ")
    assert said.endswith("pip install --force-reinstall '.[cuda13]' in minigrad's folder")
    said = error_for(monkeypatch, failing(RuntimeError("kern.cu(3): error: cannot open cuda_fp16.h\n1 error")))
    assert "(kern.cu(3): error: cannot open cuda_fp16.h)" in said and "'.[cuda12]'" in said
    assert "nvidia-smi shows it" in error_for(monkeypatch, failing(CUDARuntimeError(46)), WHEEL)
    for error in (fake_cupy.OutOfMemoryError(512, 0), CUDARuntimeError(2)):
        said = error_for(monkeypatch, failing(error), WHEEL)
        assert said.startswith("no memory is left on the GPU, 2 GiB of 140 GiB free: other processes hold it")
    wrong = lambda *args, **kwargs: np.full(5, 2.5)
    assert "0 + 1 + 2 + 3 + 4 = 12.5" in error_for(monkeypatch, cupy(arange=wrong), WHEEL)


def test_a_gpu_that_works(monkeypatch):
    monkeypatch.setattr(ours, "_backend", lambda module: replace(HOST, name="cupy"))
    with fake_cupy.install(monkeypatch, cupy(), WHEEL):
        assert ours.load().name == "cupy" and ours.load().guard is None
    with fake_cupy.install(monkeypatch, cupy(count=2), WHEEL):
        assert ours.load().guard is not None


# The real CuPy


def test_fake_errors_equal_those_of_cupy():
    real = optional("cupy", extra="cuda13")
    for status, said in fake_cupy.SAID.items():
        error = real.cuda.runtime.CUDARuntimeError(status)
        assert (str(error), error.status) == (said, status)
        assert type(error).__module__ == CUDARuntimeError.__module__
    for args in ((8, 3), (8 * 10**9, 10**9, 2 * 10**9)):
        error, like = real.cuda.memory.OutOfMemoryError(*args), fake_cupy.OutOfMemoryError(*args)
        assert (str(error), type(error).__module__) == (str(like), type(like).__module__)
        assert isinstance(error, MemoryError)


def test_cupy_without_a_driver():
    real = optional("cupy", extra="cuda13")
    if machine.driver_cuda(real):
        pytest.skip("there is a driver here")
    with (
        mock.patch.dict(backends._by_device),
        pytest.raises(backends.DeviceError, match=r"^no NVIDIA driver here, and"),
    ):
        backends.get("cuda")
