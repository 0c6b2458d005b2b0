"""CPU and GPU: time of a training step against batch size, and every kernel beneath its roof.

A step gathers its batch by index from a data set that stays on the device, draws ε, computes loss and gradient, and
applies Adam's update (see `resident.py`). minigrad takes it with NumPy and with CuPy, eagerly and captured, beside
PyTorch on the CPU and, on the same GPU, PyTorch (eager, compiled, whole step in a CUDA graph) and JAX; in strict
float32, and apart from that in TF32. Before the clock starts all have the same loss (to 1e-4, in TF32 1e-2), and after
it the loss of every one has fallen. Marked are the launch floor (the time of a step that no batch goes below) and the
crossover (the smallest batch at which the GPU is faster).

Rooflines show FLOP/s of each kernel (see `kernels.py`) against FLOP/byte, beneath the float32 peak (on a GPU from its
properties) and the bandwidth of a copy on the device. On the GPU times are taken between events around many steps,
which are queued without waiting (see `device.py`). What cannot run here is a reason in the results.

    python benchmarks/cpu_gpu.py
    python benchmarks/cpu_gpu.py --model conv --batches 8 128 1024 --device cuda --rounds 20
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
from common import machine, measure, parse, parser, positive, quiet
from device import free_megabytes, gpu, measure_queued
from figure import draw
from kernels import roofline
from report import announce
from resident import ON_CPU, ON_GPU, Competitor, Task, precision
from summary import STRICT, TF32, summarise, tables

import minigrad as mg
from vae.models import MODELS

BATCHES = (8, 32, 128, 512, 2048, 8192)
IMAGES, SOME = 60_000, 64
TOLERANCE = {STRICT: 1e-4, TF32: 1e-2}
KERNEL_BATCH = {"cpu": 128, "cuda": 1024}
COMPARED = 128  # images, at most, whose loss is compared
WARM_UP = 8  # steps on the GPU: compilers and graphs settle
NO_TF32 = "minigrad computes float32 products in float32"


def task(name: str, batch: int, images: np.ndarray) -> Task:
    model = MODELS[name]()
    order = np.random.default_rng(0).permutation(len(images))
    rows = [order[i : i + batch] for i in range(0, len(order) - batch + 1, batch)]
    noise = mg.random.normal(mg.random.key(2), (min(batch, COMPARED), model.latent))
    return Task(model, model.init(mg.random.key(0)), images, rows[:64], noise)


# On the CPU


def on_cpu(given: Task, rounds: int, limit: float) -> dict[str, Any]:
    """Everybody on the CPU, in as many rounds as there is time for."""
    made = {who: make(given) for who, make in ON_CPU.items()}
    there = {who: c for who, c in made.items() if isinstance(c, Competitor)}
    found: dict[str, Any] = {who: {"skipped": c} for who, c in made.items() if who not in there}
    check(there, TOLERANCE[STRICT])
    seconds = {who: _second_call(c.step) for who, c in there.items()}
    for who in [who for who, s in seconds.items() if s > limit]:
        found[who] = {"skipped": f"a step takes {seconds[who]:.1f} s, more than --limit"}
        del there[who], seconds[who]
    if there:
        fitting = int(np.clip(limit / (2 * sum(seconds.values())), 1, rounds))
        found |= measure({who: c.step for who, c in there.items()}, fitting, warm_up=0)
    check_that_it_learns(there)
    return {who: found[who] for who in ON_CPU}


def _second_call(step: Callable[[], Any]) -> float:
    """Seconds of a call that need not capture anything."""
    step()
    began = perf_counter()
    step()
    return perf_counter() - began


# On the GPU


def on_gpu(given: Task, which: str, rounds: int, compiled: list[int]) -> dict[str, Any]:
    """Everybody on the GPU. Whoever fails has an entry that says how."""
    gc.collect()  # of the batch before
    found: dict[str, Any] = {}
    there: dict[str, Competitor] = {}
    for who, make in ON_GPU.items():
        if which == TF32 and who.startswith("CuPy"):
            found[who] = {"skipped": NO_TF32}
        elif who == "PyTorch compiled" and given.batch not in compiled:
            found[who] = {"skipped": f"every batch compiles anew: only at {', '.join(map(str, compiled))} (--compiled)"}
        else:
            made = _prepare(make, given)
            if isinstance(made, str):
                found[who] = {"skipped": made}
                print(f"  {who}: {made}", file=sys.stderr)
            else:
                there[who], megabytes = made
                found[who] = {} if who.startswith("JAX") else {"device_mb": megabytes}  # it keeps what it once had
    check(there, TOLERANCE[which])
    if there:
        times = measure_queued({who: (c.step, c.stopwatch) for who, c in there.items()}, rounds)
        found |= {who: found[who] | statistics for who, statistics in times.items()}
    check_that_it_learns(there)
    return found


def _prepare(make: Callable[[Task], Competitor | str], given: Task) -> tuple[Competitor, float] | str:
    """A competitor after some steps, and the megabytes that it holds on the device beside the data set."""
    try:
        before = free_megabytes(tidy=True)
        made = make(given)
        if isinstance(made, str):
            return made
        for _ in range(WARM_UP):
            made.step()
        return made, round(before - free_megabytes() - given.images.nbytes / 1e6, 1)
    except Exception as error:  # whatever a compiler or a driver may say
        return f"fails: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


# On both


def check(there: dict[str, Competitor], tolerance: float) -> None:
    """All begin with the same loss. Exits with a sentence where they do not."""
    for who, c in there.items():
        expected = next(iter(there.values())).initial
        if not abs(c.initial - expected) <= tolerance * abs(expected):
            raise SystemExit(f"{who} computes something else: a loss of {c.initial}, not {expected}")


def check_that_it_learns(there: dict[str, Competitor]) -> None:
    """The loss of each has fallen. Exits with a sentence where it has not."""
    for who, c in there.items():
        now = c.loss()
        if not now < c.initial:
            raise SystemExit(f"{who} does not learn: its loss was {c.initial}, and is {now} after its steps")


def steps(options: Any, no_cpu: str | None, no_gpu: str | None) -> dict[str, Any]:
    """precision → model → batch → who → statistics or why there are none."""
    images = mg.random.uniform(mg.random.key(1), (max(SOME if options.small else IMAGES, *options.batches), 28, 28, 1))
    images **= 4  # mostly dark, which is quickly learnt
    found: dict[str, Any] = {}
    for which in (STRICT, TF32):
        with precision(which == TF32):
            for name in options.model:
                for batch in options.batches:
                    if which == STRICT or not no_gpu:
                        print(f"{which}, {name}, batch {batch} …", file=sys.stderr, flush=True)
                    given = task(name, batch, images)
                    point: dict[str, Any] = {}
                    if which == STRICT:
                        point |= _all(ON_CPU, no_cpu) or on_cpu(given, options.rounds, options.limit)
                    point |= _all(ON_GPU, no_gpu) or on_gpu(given, which, options.rounds, options.compiled)
                    found.setdefault(which, {}).setdefault(name, {})[str(batch)] = point
    return found


def _all(competitors: dict[str, Any], reason: str | None) -> dict[str, Any]:
    """The reason for each of them, if there is one."""
    return {who: {"skipped": reason} for who in competitors} if reason else {}


def rooflines(options: Any, no_cpu: str | None, no_gpu: str | None, peak: float | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for device, reason in (("cpu", no_cpu), ("cuda", no_gpu)):
        if reason:
            found[device] = {"skipped": reason}
            continue
        print(f"roofline, {device} …", file=sys.stderr, flush=True)
        batch = options.kernel_batch or KERNEL_BATCH[device]
        of_peak = peak if device == "cuda" else None
        found[device] = roofline(device, batch, options.rounds, options.threads, of_peak, options.small)
    return found


def main() -> None:
    arguments = parser("cpu_gpu", __doc__, rounds=10)
    add = arguments.add_argument
    add("--model", nargs="+", choices=list(MODELS), default=list(MODELS), help="default: both")
    add("--batches", nargs="+", type=positive, default=list(BATCHES), help="default: 8, 32, 128, 512, 2048, 8192")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="leave one out (default: what there is)")
    add("--limit", type=positive, default=20, help="seconds for each batch on the CPU, about (default %(default)s)")
    add("--compiled", nargs="+", type=positive, default=[128], help="batches for torch.compile, half a minute each")
    add("--kernel-batch", type=positive, help="batch of the rooflines (default: 128 on the CPU, 1024 on a GPU)")
    add("--small", action="store_true", help="few images, small arrays: only to see that it works")
    options = parse(arguments)
    options.batches = sorted(set(options.batches))
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # JAX: leave memory to the others
    facts = machine(options.threads, ("minigrad", "torch", "jax", "cupy"))
    facts["gpu"] = gpu()
    absent = facts["gpu"].get("skipped")
    if options.device == "cuda" and absent:
        arguments.error(f"--device cuda: {absent}")
    no_gpu = "left out: --device cpu" if options.device == "cpu" else absent
    no_cpu = "left out: --device cuda" if options.device == "cuda" else None
    if no_gpu:
        facts["gpu"] = {"skipped": no_gpu}
    results: dict[str, Any] = {"machine": facts}
    with quiet(options.threads):
        results["steps"] = steps(options, no_cpu, no_gpu)
        results["roofline"] = rooflines(options, no_cpu, no_gpu, facts["gpu"].get("peak_tflops"))
    results["summary"] = summarise(results)
    announce("cpu_gpu", results, draw(results), tables(results), options)


if __name__ == "__main__":
    main()
