"""The libraries that decide the last bits of results on the CPU: sums in another order, other elementary functions."""

from __future__ import annotations

import os

import numpy as np
from threadpoolctl import threadpool_info

from minigrad.backends.native import compiler


def describe_libraries() -> dict[str, str]:
    """Versions of NumPy, the BLAS library and the compiler; NumPy's vector instructions; BLAS kernels and threads."""
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    described = [f"{p['internal_api']} {p['version']} {p.get('architecture') or ''}".strip() for p in pools]
    instructions = np.show_config(mode="dicts").get("SIMD Extensions", {})  # without those that are empty
    return {
        "numpy": np.__version__,
        "simd": " ".join(instructions.get("baseline", []) + instructions.get("found", [])) or "none",
        "blas": ", ".join(described) or "unknown to threadpoolctl",
        "threads": ", ".join(str(p["num_threads"]) for p in pools) or str(os.cpu_count()),
        "compiler": compiler.describe(),
    }
