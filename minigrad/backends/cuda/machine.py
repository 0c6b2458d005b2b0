"""The CuPy packages, NVIDIA driver and GPUs of this machine. Functions that need CuPy take the module."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import Any

WHEEL = re.compile(r"(amd-)?cupy(-(cuda|rocm).*)?")  # CuPy itself, not packages built on it
KERNEL_MODULE = Path("/proc/driver/nvidia/version")


def wheels() -> dict[str, str]:
    """The versions of the installed CuPy packages, by name: {"cupy-cuda13x": "14.2.0"}."""
    found = {(d.name or "").lower(): d.version for d in metadata.distributions()}
    return {name: found[name] for name in sorted(found) if WHEEL.fullmatch(name)}


def driver_version() -> str | None:
    """The version of the NVIDIA driver that Linux has loaded, "580.65.06"; None if it cannot be read."""
    try:
        found = re.search(r"\s(\d{3,}\.\d+(\.\d+)?)\s", KERNEL_MODULE.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return found[1] if found else None


def driver_cuda(cupy: Any) -> int:
    """The newest CUDA version that the driver supports, 13020 for 13.2; 0 if there is no driver."""
    try:
        return int(cupy.cuda.runtime.driverGetVersion())
    except Exception:
        return 0


def wheel_cuda(cupy: Any) -> int:
    """The major version of CUDA that CuPy was built for."""
    return int(cupy.cuda.runtime.runtimeGetVersion()) // 1000


def version_text(version: int) -> str:
    """A CUDA version number as text: "13.2" for 13020."""
    return f"{version // 1000}.{version % 1000 // 10}"


def gpu(cupy: Any, number: int) -> tuple[str, tuple[int, int], int]:
    """(name, compute capability, bytes of memory) of a GPU."""
    known = cupy.cuda.runtime.getDeviceProperties(number)
    return known["name"].decode(), (known["major"], known["minor"]), known["totalGlobalMem"]
