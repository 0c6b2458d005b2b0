"""A fake CuPy module that computes nothing: it answers the queries made before a GPU is used, and raises its errors.

`tests/minigrad/backends/test_cuda_diagnosis.py` compares the errors with those of the real CuPy if it is installed.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

from minigrad.backends.cuda import machine

SAID = {
    2: "cudaErrorMemoryAllocation: out of memory",
    3: "cudaErrorInitializationError: initialization error",
    35: "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version",
    46: "cudaErrorDevicesUnavailable: CUDA-capable device(s) is/are busy or unavailable",
    100: "cudaErrorNoDevice: no CUDA-capable device is detected",
    209: "cudaErrorNoKernelImageForDevice: no kernel image is available for execution on the device",
    700: "cudaErrorIllegalAddress: an illegal memory access was encountered",
    802: "cudaErrorSystemNotReady: system not yet initialized",
    803: "cudaErrorSystemDriverMismatch: system has unsupported display driver / cuda driver combination",
    804: "cudaErrorCompatNotSupportedOnDevice: forward compatibility was attempted on non supported HW",
    999: "cudaErrorUnknown: unknown error",
}
NO_NVRTC = (
    'Failure finding "libnvrtc.so.13 or libnvrtc.so.12": No such file: libnvrtc.so.13 or libnvrtc.so.12, No such file: '
    "libnvrtc.so.13 or libnvrtc.so.12\n"
)
NO_IMPORT = """
================================================================
Failed to import CuPy.

If you installed CuPy via wheels (cupy-cudaXXX or cupy-rocm-X-X), make sure that the package matches with the version.

Original error:
  ImportError: libcudart.so.12: cannot open shared object file: No such file or directory
================================================================
"""


class CUDARuntimeError(RuntimeError):
    """CuPy's error of this name: the name, message and number of a cudaError."""

    __module__ = "cupy_backends.cuda.api.runtime"

    def __init__(self, status: int):
        super().__init__(SAID[status])
        self.status = status


class CUBLASError(RuntimeError):
    """CuPy's error of this name."""

    __module__ = "cupy_backends.cuda.libs.cublas"


class OutOfMemoryError(MemoryError):
    """CuPy's error of this name."""

    __module__ = "cupy.cuda.memory"

    def __init__(self, size: int, total: int, limit: int = 0):
        capped = f", limit set to: {limit:,} bytes" if limit else ""
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes{capped}).")


class Array:
    """An array without elements, on GPU number `gpu`."""

    def __init__(self, *shape: int, gpu: int = 0):
        self.shape, self.ndim, self.dtype, self.device = shape, len(shape), np.dtype("f4"), SimpleNamespace(id=gpu)


Array.__module__ = "cupy"


def raiser(error: Exception):
    """A function that raises this error, whatever its arguments."""

    def function(*args: Any, **kwargs: Any) -> Any:
        raise error

    return function


def cupy(
    count: Any = 1,
    driver: int = 13000,
    runtime: int = 13020,
    capability: tuple[int, int] = (9, 0),
    archs: Any = (75, 80, 90, 120),
    memory: Any = (2 * 2**30, 140 * 2**30),
    arange: Any = np.arange,
    version: str = "14.2.0",
    **cuda: Any,
) -> SimpleNamespace:
    """The fake module. An exception passed instead of a value is raised when the value is queried."""

    def returns(value: Any):
        return raiser(value) if isinstance(value, Exception) else lambda *args: value

    known = {"name": b"NVIDIA H200", "major": capability[0], "minor": capability[1], "totalGlobalMem": 140 * 2**30}
    calls = SimpleNamespace(
        getDeviceCount=returns(count),
        getDevice=returns(0),
        getDeviceProperties=returns(known),
        driverGetVersion=returns(driver),
        runtimeGetVersion=returns(runtime),
        memGetInfo=returns(memory),
    )
    nvrtc = SimpleNamespace(
        getVersion=returns(archs if isinstance(archs, Exception) else (runtime // 1000, 2)),
        getSupportedArchs=returns(archs),
    )
    parts = {"runtime": calls, "nvrtc": nvrtc, "cublas": None, **cuda}
    return SimpleNamespace(__version__=version, ndarray=Array, arange=arange, cuda=SimpleNamespace(**parts))


def install(monkeypatch: Any, module: Any, *wheels: str, kernel_module: Any = "/nowhere") -> Any:
    """A context in which `import cupy` gives this module (None: fails), from these wheels ("cupy-cuda13x 14.2.0")."""
    monkeypatch.setattr(machine, "wheels", lambda: dict(wheel.split() for wheel in wheels))
    monkeypatch.setattr(machine, "KERNEL_MODULE", machine.Path(kernel_module))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return mock.patch.dict(sys.modules, {"cupy": module})
