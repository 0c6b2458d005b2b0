"""`python -m minigrad.backends`: what arrays can live on here, and with which libraries; what to install where nothing.

Exit codes: 0 in any case, 2 for options, of which there are none but --json.
"""

from __future__ import annotations

import json
import os
import platform
import sys

import numpy as np
from threadpoolctl import threadpool_info

from minigrad import backends
from minigrad.commandline import Parser


def facts() -> dict[str, dict[str, str]]:
    """By device, what there is to know about it."""
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    described = [f"{p['internal_api']} {p['version']} {p.get('architecture') or ''}".strip() for p in pools]
    cpu = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": ", ".join(described) or "unknown to threadpoolctl",
        "threads": ", ".join(str(p["num_threads"]) for p in pools) or str(os.cpu_count()),
    }
    return {"cpu": cpu, "cuda": _cuda()}


def _cuda() -> dict[str, str]:
    try:
        cupy = backends.get("cuda").xp
    except backends.DeviceError as reason:
        return {"absent": str(reason)}
    runtime = cupy.cuda.runtime
    names = [runtime.getDeviceProperties(i)["name"].decode() for i in range(runtime.getDeviceCount())]
    return {
        "cupy": cupy.__version__,
        "devices": ", ".join(names),
        "driver": str(runtime.driverGetVersion()),
        "runtime": str(runtime.runtimeGetVersion()),
    }


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="python -m minigrad.backends", description="What arrays can live on here.", allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    options = parser.parse_args(arguments)
    found = facts()
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for device, known in found.items():
        print("\n".join(f"{device:<5} {name:<8} {value}" for name, value in known.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
