"""Shared by all benchmarks: the command line, facts about the machine, and interleaved timing.

A *case* is a piece of work; its *competitors* are the libraries that do it. All times of a case come from one process,
in rounds that take turns, so that a slowdown of the machine affects all competitors alike.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from minigrad.commandline import Parser

NOT_INSTALLED = "not installed, or broken: pip install '.[bench]'"
ABSENT = {"absent": NOT_INSTALLED}


def import_peer(name: str) -> ModuleType | None:
    """A library to compare with, or None if it is not installed or cannot be imported."""
    try:
        return importlib.import_module(name)
    except Exception:  # a broken installation may raise anything
        return None


# The command line


def make_parser(name: str, description: str | None, rounds: int, threaded: bool = True) -> Parser:
    """A parser with the options that every benchmark has; one that is not threaded uses one thread."""
    parser = Parser(
        prog=f"{name}.py",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    results = Path(__file__).with_name("results")
    add = parser.add_argument
    add("--rounds", type=positive, default=rounds, help="times each competitor is timed (default %(default)s)")
    if threaded:
        add("--threads", type=positive, default=usable_cores(), help="threads for all (default: every core we may use)")
    else:
        parser.set_defaults(threads=1)
    add("--out", type=Path, default=results, help="folder for the JSON and the plot (default: benchmarks/results)")
    add("--json", action="store_true", help="print the JSON instead of the table")
    return parser


def parse_options(parser: Parser) -> argparse.Namespace:
    """Parse and check the options, and create the folder for results."""
    options = parser.parse_args()
    if options.threads > usable_cores():
        parser.error(f"--threads {options.threads} is more than the {usable_cores()} cores this process may use")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        writable = os.access(options.out, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        parser.error(f"cannot write into {options.out}; choose another folder with --out")
    return options


def positive(text: str) -> int:
    """An integer ≥ 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


# The machine


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine_facts(threads: int, packages: Sequence[str]) -> dict[str, Any]:
    """CPU, threads, BLAS and versions, stored beside every result. A missing package has version None."""
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {
        "architecture": platform.machine(),
        "cpus": os.cpu_count(),
        "usable_cpus": usable_cores(),
        "threads": threads,
        "blas": [f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}".strip() for pool in pools],
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("numpy", *packages)},
    }


def _version(name: str) -> str | None:
    module = import_peer(name)
    if module is None:
        return None
    return str(getattr(module, "__version__", None) or version(name))


# Timing


@contextmanager
def fix_threads(threads: int) -> Iterator[None]:
    """Set the threads of BLAS, OpenMP and PyTorch, and disable garbage collection; restore both on exit.

    What exists now, mostly imported modules, is exempted from `gc.collect` for good, which makes that fast.
    """
    with ExitStack() as restored:
        restored.enter_context(threadpool_limits(threads))
        torch = sys.modules.get("torch")
        if torch is not None:
            restored.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(threads)
        if gc.isenabled():
            restored.callback(gc.enable)
            gc.disable()
            gc.collect()
            gc.freeze()
        yield


def measure(competitors: dict[str, Callable[[], Any]], rounds: int, warm_up: int = 2) -> dict[str, dict[str, float]]:
    """Statistics of each competitor's times. A round times each competitor once, in an order that rotates.

    Worker threads spin for a while after their last job (OpenBLAS's for 0.1 s, OpenMP's for 0.01 s) and occupy cores.
    So each turn first waits until they sleep, then makes one call to warm up and times the next.
    """
    names = list(competitors)
    times: dict[str, list[float]] = {name: [] for name in names}
    for name in rotate(names, warm_up + rounds):
        gc.collect()
        _wait_for_idle_threads()
        competitors[name]()
        begin = time.perf_counter()
        competitors[name]()
        times[name].append(time.perf_counter() - begin)
    return {name: statistics(values[warm_up:]) for name, values in times.items()}


def rotate(names: list[str], rounds: int) -> Iterator[str]:
    """Every name once per round; each round starts with the next name."""
    for turn in range(rounds):
        shift = turn % len(names)
        yield from names[shift:] + names[:shift]


def _wait_for_idle_threads(longest: float = 1.0) -> None:
    """Sleep until this process uses almost no processor time while it sleeps."""
    deadline = time.perf_counter() + longest
    while time.perf_counter() < deadline:
        before = time.process_time()
        time.sleep(0.02)
        if time.process_time() - before < 0.002:
            return


def statistics(seconds: Sequence[float]) -> dict[str, float]:
    """Median, quartiles and minimum, in milliseconds."""
    points = {"median_ms": 0.5, "lower_quartile_ms": 0.25, "upper_quartile_ms": 0.75, "minimum_ms": 0}
    return {name: round(1e3 * float(np.quantile(seconds, point)), 5) for name, point in points.items()}


def ratio(case: dict[str, Any], ours: str, theirs: Sequence[str]) -> float | None:
    """Our median over that of the fastest of these competitors; None if none of them ran."""
    medians = [case[name]["median_ms"] for name in theirs if "median_ms" in case[name]]
    return round(case[ours]["median_ms"] / min(medians), 3) if medians else None
