"""Detecting CuPy packages, the NVIDIA driver and CUDA versions."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from minigrad.backends.cuda import machine
from tests.support import fake_cupy


def test_packages_of_cupy_are_recognized(monkeypatch):
    names = ["numpy", "cupy-cuda12x", "cupy-xarray", "CuPy", "cupy-rocm-7-0", None, "cupyx"]
    found = [SimpleNamespace(name=name, version="1") for name in names]
    monkeypatch.setattr(machine.metadata, "distributions", lambda: found)
    assert machine.wheels() == {"cupy": "1", "cupy-cuda12x": "1", "cupy-rocm-7-0": "1"}


def test_versions_of_cuda_are_formatted_with_a_dot():
    assert (machine.version_text(13020), machine.version_text(12000), machine.version_text(11080)) == (
        "13.2",
        "12.0",
        "11.8",
    )


def test_the_driver_is_read_from_the_kernel(monkeypatch, tmp_path):
    file = tmp_path / "version"
    monkeypatch.setattr(machine, "KERNEL_MODULE", file)
    assert machine.driver_version() is None
    file.write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\nGCC version: 13\n"
    )
    assert machine.driver_version() == "580.65.06"
    file.write_text("something else")
    assert machine.driver_version() is None


@pytest.mark.parametrize("driver", [13000, RuntimeError("no driver")])
def test_cuda_of_a_driver_and_of_a_wheel(driver):
    cupy = fake_cupy.cupy(driver=driver, runtime=12090)
    assert machine.driver_cuda(cupy) == (0 if isinstance(driver, Exception) else driver)
    assert machine.wheel_cuda(cupy) == 12
    assert machine.gpu(cupy, 0) == ("NVIDIA H200", (9, 0), 140 * 2**30)
