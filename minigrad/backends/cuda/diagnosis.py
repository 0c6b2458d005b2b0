"""Why a GPU cannot be used: one message for each reason, which says what to install or change.

Nothing here imports CuPy: the caller passes the module, or the error that its import raised. The facts behind the
messages: a CuPy wheel is built for one major version of CUDA, and runs with every driver for that version or a newer
one. The compiler (NVRTC) and cuBLAS are separate packages (the `[ctk]` of our extras), loaded when first needed. CUDA
13 compiles for GPUs of compute capability 7.5 or newer, CUDA 12 for 5.0 or newer.
"""

from __future__ import annotations

import os
from typing import Any

from minigrad.backends.backend import DeviceError
from minigrad.backends.cuda import machine
from minigrad.backends.cuda.failures import free_memory, is_out_of_memory
from minigrad.backends.memory import reason

OLDEST = 14  # supported major version of CuPy
DRIVERS = {12: 525, 13: 580}  # by major version of CUDA, the first NVIDIA driver that runs it
EITHER = "'.[cuda13]' (NVIDIA drivers from 580 on) or '.[cuda12]' (from 525 on) in minigrad's folder"
FALLBACK = "compute on device 'cpu'"

HINTS = {  # by cudaError number
    3: "a process that was forked after its parent used the GPU cannot use it: start processes by 'spawn'",
    46: "another process may have exclusive use of the GPU (nvidia-smi shows it): wait, or choose another GPU",
    802: "machines with NVSwitch need the service nvidia-fabricmanager: start it",
    803: "the driver was updated while it was loaded: restart the machine",
    804: "the CUDA libraries are newer than the driver allows on this GPU: remove cuda-compat from LD_LIBRARY_PATH",
}
UNKNOWN = "if nvidia-smi fails too, restart the machine or reinstall the driver"


def installed_wheel() -> str:
    """The installed CuPy package, "cupy-cuda13x 14.2.0"; "" if there is none. Raises DeviceError for more than one."""
    found = machine.wheels()
    if len(found) > 1:
        raise DeviceError(
            f"{len(found)} CuPy packages are installed and overwrite each other's files: pip uninstall -y "
            f"{' '.join(found)}, then install one, pip install {EITHER}"
        )
    return " ".join(" ".join(item) for item in found.items())


def explain_import(error: Exception, wheel: str) -> str:
    """The message for a CuPy that cannot be imported, or that raises when it is asked about the GPU."""
    if isinstance(error, ModuleNotFoundError) and error.name == "cupy" and not wheel:
        driver = machine.driver_version()
        seen = f"the NVIDIA driver here is {driver}" if driver else "no NVIDIA driver was found"
        return f"no CuPy here: install it with pip install {EITHER}; {seen}"
    return (
        f"{wheel or 'CuPy'} is installed but broken ({reason(error)}): pip uninstall -y {_name(wheel)}, "
        f"then pip install {_extra(wheel)}"
    )


def check(cupy: Any, wheel: str) -> None:
    """Raises DeviceError unless this CuPy, the driver, the CUDA libraries and the GPU work together."""
    version = getattr(cupy, "__version__", None)
    if version is None or not version[:1].isdigit():
        place = getattr(cupy, "__file__", None) or next(iter(getattr(cupy, "__path__", ())), "something else")
        raise DeviceError(f"import cupy finds {place}, which is not CuPy: rename or remove it")
    wheel = wheel or f"cupy {version}"
    if int(version.split(".")[0]) < OLDEST:
        raise DeviceError(f"{wheel} is too old, it must be {OLDEST} or newer: pip install --upgrade {_extra(wheel)}")
    if getattr(cupy.cuda.runtime, "is_hip", False):
        raise DeviceError(f"{wheel} is for AMD GPUs, and minigrad supports only NVIDIA's: {FALLBACK}")
    _check_driver(cupy, wheel)
    _check_libraries(cupy, wheel)
    _check_age(cupy, wheel)
    _check_kernels(cupy, wheel)


def _check_driver(cupy: Any, wheel: str) -> None:
    try:
        status = 0 if cupy.cuda.runtime.getDeviceCount() > 0 else 100
        said = ""
    except Exception as error:
        status, said = getattr(error, "status", -1), reason(error)
    if status == 35:  # cudaErrorInsufficientDriver: too old, or none at all
        raise DeviceError(_explain_driver(machine.driver_cuda(cupy), machine.wheel_cuda(cupy), wheel))
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if status == 100 and hidden is not None:  # cudaErrorNoDevice
        raise DeviceError(
            f"CUDA_VISIBLE_DEVICES={hidden!r} leaves no GPU to use: unset it, or set it to numbers that nvidia-smi -L "
            "lists"
        )
    if status == 100:
        raise DeviceError(
            f"the NVIDIA driver (CUDA {machine.version_text(machine.driver_cuda(cupy))}) finds no GPU here: a "
            f"container must be started with one (docker run --gpus all); on a machine without one, {FALLBACK}"
        )
    if status:
        raise DeviceError(f"CUDA does not start ({said}): {HINTS.get(status, UNKNOWN)}")


def _explain_driver(driver: int, needed: int, wheel: str) -> str:
    """The message for a driver that supports CUDA `driver`, where CUDA `needed` is required."""
    seen, first = machine.driver_version(), DRIVERS.get(needed, "for it")
    if driver == 0 and seen:
        return (
            f"the NVIDIA driver {seen} runs on this machine, but its library libcuda.so.1 was not found: start "
            "the container with the GPU (docker run --gpus all), or install the driver's libraries"
        )
    if driver == 0:
        return (
            f"no NVIDIA driver here, and {wheel} needs one, version {first} or newer: install it (a container has it "
            f"from its host, docker run --gpus all); without an NVIDIA GPU, {FALLBACK}"
        )
    here = f"{seen}, for CUDA {machine.version_text(driver)}" if seen else f"for CUDA {machine.version_text(driver)}"
    other = f", or pip uninstall -y {_name(wheel)} and pip install {_extra('cuda12')}, which runs with this driver"
    return (
        f"the NVIDIA driver here ({here}) is too old: {wheel} needs one for CUDA {needed}, version {first} or newer: "
        "update it" + (other if needed > 12 and driver >= 12000 else f", or {FALLBACK}")
    )


def _check_libraries(cupy: Any, wheel: str) -> None:
    """Load the compiler and cuBLAS, which CuPy loads only when it needs them."""
    try:
        cupy.cuda.nvrtc.getVersion()
        _ = cupy.cuda.cublas
    except Exception as error:
        said = reason(error).split(": No such file")[0]  # without the list of places searched
        raise DeviceError(f"{wheel} lacks a CUDA library ({said}): pip install {_extra(wheel)}") from None


def _check_age(cupy: Any, wheel: str) -> None:
    name, capability, _ = machine.gpu(cupy, cupy.cuda.runtime.getDevice())
    oldest = divmod(min(cupy.cuda.nvrtc.getSupportedArchs()), 10)  # 75 means 7.5
    if capability >= oldest:
        return
    cuda = machine.wheel_cuda(cupy)
    other = f"pip uninstall -y {_name(wheel)}, then pip install {_extra('cuda12')}, for 5.0 and newer; or {FALLBACK}"
    raise DeviceError(
        f"the GPU {name} has compute capability {capability[0]}.{capability[1]} and CUDA {cuda} needs "
        f"{oldest[0]}.{oldest[1]} or newer: {other if cuda > 12 and capability >= (5, 0) else FALLBACK}"
    )


def _check_kernels(cupy: Any, wheel: str) -> None:
    """Compile and run two kernels: a sum of five numbers."""
    try:
        total = float(cupy.arange(5, dtype="float32").sum())
    except Exception as error:
        if is_out_of_memory(error):
            free = free_memory(cupy)
            raise DeviceError(
                f"no memory is left on the GPU{free and f', {free}'}: other processes hold it (nvidia-smi lists them); "
                "wait, or choose another GPU with CUDA_VISIBLE_DEVICES"
            ) from None
        hint = HINTS.get(getattr(error, "status", -1), f"pip install --force-reinstall {_extra(wheel)}")
        raise DeviceError(f"kernels do not compile and run on the GPU ({reason(error)}): {hint}") from None
    if total != 10.0:
        raise DeviceError(f"the GPU computes 0 + 1 + 2 + 3 + 4 = {total:g}: {FALLBACK}, and have the GPU checked")


def _name(wheel: str) -> str:
    return wheel.split()[0] if wheel else "cupy"


def _extra(wheel: str) -> str:
    """The pip requirement that replaces a wheel."""
    found = [cuda for cuda in DRIVERS if f"cuda{cuda}" in wheel]
    return f"'.[cuda{found[0]}]' in minigrad's folder" if found else EITHER
