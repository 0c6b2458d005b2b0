"""`python -m minigrad.backends`: the devices of this machine and their libraries, or what to install for them.

Exit codes: 0 success, with or without a GPU; 2 an unknown option or a full disk; 141 the reader closed the output.
"""

from __future__ import annotations

import json
import platform
import sys
from types import ModuleType

from minigrad import backends
from minigrad.backends.cuda import machine
from minigrad.backends.libraries import describe_libraries
from minigrad.backends.memory import amount
from minigrad.commandline import Parser, finish, run


def facts() -> dict[str, dict[str, str]]:
    """The names and values of all that is known about each device."""
    cpu = {"python": platform.python_version(), **describe_libraries()}
    return {"cpu": cpu, "cuda": _cuda()}


def _cuda() -> dict[str, str]:
    """What is known about the GPU; if it cannot be used, `absent` says why."""
    known = {"cupy": ", ".join(f"{version} ({name})" for name, version in machine.wheels().items())}
    try:
        known |= _gpus(backends.get("cuda").xp)
        known["kernels"] = "compiled and run, with the right result"  # checked when the backend was loaded
    except backends.DeviceError as reason:
        if (cupy := sys.modules.get("cupy")) is not None:  # imported, but of no use
            known |= _gpus(cupy)
        known["absent"] = str(reason)
    return {name: value for name, value in known.items() if value}


def _gpus(cupy: ModuleType) -> dict[str, str]:
    """Versions and devices, as far as CuPy can report them."""
    number, known = machine.driver_version(), {}
    try:
        runtime = cupy.cuda.runtime
        driver = machine.driver_cuda(cupy)
        known["cupy"] = f"{cupy.__version__} ({', '.join(machine.wheels()) or 'no wheel'})"
        known["driver"] = f"{f'{number}, ' if number else ''}CUDA {machine.version_text(driver)}" if driver else "none"
        known["runtime"] = f"CUDA {machine.version_text(runtime.runtimeGetVersion())}"
        known["compiler"] = "NVRTC {}.{}".format(*cupy.cuda.nvrtc.getVersion())
        for i in range(runtime.getDeviceCount()):
            name, (major, minor), memory = machine.gpu(cupy, i)
            known[f"gpu{i}"] = f"{name}, compute capability {major}.{minor}, {amount(memory)}"
    except Exception:  # `absent` says what is missing
        pass
    return known


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="python -m minigrad.backends", description="Show this machine's devices.", allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    options = parser.parse_args(arguments)
    found = facts()
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        for device, known in found.items():
            print("\n".join(f"{device:<5} {name:<8} {value}" for name, value in known.items()))
    return finish(parser.prog, 0)


if __name__ == "__main__":
    run(main)
