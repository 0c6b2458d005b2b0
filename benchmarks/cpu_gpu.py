"""CPU and GPU: time of a training step against batch size, and a roofline of every kernel.

A step gathers its batch by index from a data set on the device, draws ε, computes loss and gradient, and applies Adam's
update (see `resident.py`). minigrad runs it with NumPy and with CuPy, eagerly and captured, beside PyTorch on the CPU
and, on the same GPU, PyTorch (eager, compiled, whole step in a CUDA graph) and JAX; in strict float32, and separately
in TF32. Before timing, all losses must be equal (to 1e-4, in TF32 1e-2), and after timing each must have decreased. The
figure marks the launch floor (the shortest step over all batches) and the crossover (the smallest batch at which the
GPU is faster).

Rooflines show FLOP/s of each kernel (see `kernels.py`) against FLOP/byte, below the float32 peak (on a GPU from its
properties) and the bandwidth of a copy on the device. On the GPU, many steps are queued without waiting and timed
between two events (see `device.py`). The results give a reason for everything that cannot run here.

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
from common import fix_threads, machine_facts, make_parser, measure, parse_options, positive
from device import free_megabytes, gpu_facts, measure_queued
from figure import draw
from kernels import roofline
from report import publish
from resident import ON_CPU, ON_GPU, Competitor, Task, precision
from summary import STRICT, TF32, summarise, tables

import minigrad as mg
from vae.models import MODELS

BATCHES = (8, 32, 128, 512, 2048, 8192)
IMAGES, SOME = 60_000, 64
TOLERANCE = {STRICT: 1e-4, TF32: 1e-2}
KERNEL_BATCH = {"cpu": 128, "cuda": 1024}
COMPARED = 128  # most images whose loss is compared
WARM_UP = 8  # steps on the GPU, for compilers and graph capture
NO_TF32 = "minigrad computes float32 products in float32"


def make_task(name: str, batch: int, images: np.ndarray) -> Task:
    model = MODELS[name]()
    order = np.random.default_rng(0).permutation(len(images))
    rows = [order[i : i + batch] for i in range(0, len(order) - batch + 1, batch)]
    noise = mg.random.normal(mg.random.key(2), (min(batch, COMPARED), model.latent))
    return Task(model, model.init(mg.random.key(0)), images, rows[:64], noise)


# On the CPU


def measure_on_cpu(task: Task, rounds: int, limit: float) -> dict[str, Any]:
    """Time all competitors on the CPU, in as many rounds as `limit` (seconds) allows."""
    candidates = {who: make(task) for who, make in ON_CPU.items()}
    available = {who: c for who, c in candidates.items() if isinstance(c, Competitor)}
    entries: dict[str, Any] = {who: {"skipped": c} for who, c in candidates.items() if who not in available}
    check_same_loss(available, TOLERANCE[STRICT])
    seconds = {who: _time_second_call(c.step) for who, c in available.items()}
    for who in [who for who, s in seconds.items() if s > limit]:
        entries[who] = {"skipped": f"a step takes {seconds[who]:.1f} s, more than --limit"}
        del available[who], seconds[who]
    if available:
        affordable = int(np.clip(limit / (2 * sum(seconds.values())), 1, rounds))
        entries |= measure({who: c.step for who, c in available.items()}, affordable, warm_up=0)
    check_loss_decreases(available)
    return {who: entries[who] for who in ON_CPU}


def _time_second_call(step: Callable[[], Any]) -> float:
    """Seconds of the second call; the first may capture."""
    step()
    began = perf_counter()
    step()
    return perf_counter() - began


# On the GPU


def measure_on_gpu(task: Task, which: str, rounds: int, compiled: list[int]) -> dict[str, Any]:
    """Time all competitors on the GPU. The entry of one that fails gives the error."""
    gc.collect()  # frees the previous batch
    entries: dict[str, Any] = {}
    available: dict[str, Competitor] = {}
    for who, make in ON_GPU.items():
        if which == TF32 and who.startswith("CuPy"):
            entries[who] = {"skipped": NO_TF32}
        elif who == "PyTorch compiled" and task.batch not in compiled:
            entries[who] = {"skipped": f"compiled only at batch {', '.join(map(str, compiled))} (--compiled)"}
        else:
            prepared = _prepare(make, task)
            if isinstance(prepared, str):
                entries[who] = {"skipped": prepared}
                print(f"  {who}: {prepared}", file=sys.stderr)
            else:
                available[who], megabytes = prepared
                entries[who] = {} if who.startswith("JAX") else {"device_mb": megabytes}  # JAX never returns memory
    check_same_loss(available, TOLERANCE[which])
    if available:
        times = measure_queued({who: (c.step, c.stopwatch) for who, c in available.items()}, rounds)
        entries |= {who: entries[who] | statistics for who, statistics in times.items()}
    check_loss_decreases(available)
    return entries


def _prepare(make: Callable[[Task], Competitor | str], task: Task) -> tuple[Competitor, float] | str:
    """A competitor after its warm-up, and the device memory it holds besides the data set, in megabytes."""
    try:
        before = free_megabytes(tidy=True)
        competitor = make(task)
        if isinstance(competitor, str):
            return competitor
        for _ in range(WARM_UP):
            competitor.step()
        return competitor, round(before - free_megabytes() - task.images.nbytes / 1e6, 1)
    except Exception as error:  # compilers and drivers raise many types
        return f"fails: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


# On both


def check_same_loss(competitors: dict[str, Competitor], tolerance: float) -> None:
    """Exit with a message unless all competitors start from the same loss."""
    for who, c in competitors.items():
        expected = next(iter(competitors.values())).initial
        if not abs(c.initial - expected) <= tolerance * abs(expected):
            raise SystemExit(f"{who} starts from a loss of {c.initial}, but should start from {expected}")


def check_loss_decreases(competitors: dict[str, Competitor]) -> None:
    """Exit with a message unless the loss of every competitor has decreased."""
    for who, c in competitors.items():
        now = c.loss()
        if not now < c.initial:
            raise SystemExit(f"{who} does not learn: its loss was {c.initial}, and is {now} after training")


def measure_steps(options: Any, no_cpu: str | None, no_gpu: str | None) -> dict[str, Any]:
    """precision → model → batch → competitor → statistics, or the reason why there are none."""
    images = mg.random.uniform(mg.random.key(1), (max(SOME if options.small else IMAGES, *options.batches), 28, 28, 1))
    images **= 4  # mostly dark: learnt in a few steps
    results: dict[str, Any] = {}
    for which in (STRICT, TF32):
        with precision(which == TF32):
            for name in options.model:
                for batch in options.batches:
                    if which == STRICT or not no_gpu:
                        print(f"{which}, {name}, batch {batch} …", file=sys.stderr, flush=True)
                    task = make_task(name, batch, images)
                    point: dict[str, Any] = {}
                    if which == STRICT:
                        point |= _skip_all(ON_CPU, no_cpu) or measure_on_cpu(task, options.rounds, options.limit)
                    point |= _skip_all(ON_GPU, no_gpu) or measure_on_gpu(task, which, options.rounds, options.compiled)
                    results.setdefault(which, {}).setdefault(name, {})[str(batch)] = point
    return results


def _skip_all(competitors: dict[str, Any], reason: str | None) -> dict[str, Any]:
    """An entry with the reason for each competitor; none without a reason."""
    return {who: {"skipped": reason} for who in competitors} if reason else {}


def measure_rooflines(options: Any, no_cpu: str | None, no_gpu: str | None, peak: float | None) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for device, reason in (("cpu", no_cpu), ("cuda", no_gpu)):
        if reason:
            results[device] = {"skipped": reason}
            continue
        print(f"roofline, {device} …", file=sys.stderr, flush=True)
        batch = options.kernel_batch or KERNEL_BATCH[device]
        device_peak = peak if device == "cuda" else None
        results[device] = roofline(device, batch, options.rounds, options.threads, device_peak, options.small)
    return results


def main() -> None:
    parser = make_parser("cpu_gpu", __doc__, rounds=10)
    add = parser.add_argument
    add("--model", nargs="+", choices=list(MODELS), default=list(MODELS), help="default: both")
    add("--batches", nargs="+", type=positive, default=list(BATCHES), help="default: 8, 32, 128, 512, 2048, 8192")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="measure one only (default: all there are)")
    add("--limit", type=positive, default=20, help="approximate seconds per batch on the CPU (default %(default)s)")
    add("--compiled", nargs="+", type=positive, default=[128], help="batches for torch.compile, about 30 s each")
    add("--kernel-batch", type=positive, help="batch of the rooflines (default: 128 on the CPU, 1024 on a GPU)")
    add("--small", action="store_true", help="few images and small arrays, for a quick test")
    options = parse_options(parser)
    options.batches = sorted(set(options.batches))
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # JAX: leave memory to the others
    facts = machine_facts(options.threads, ("minigrad", "torch", "jax", "cupy"))
    facts["gpu"] = gpu_facts()
    absent = facts["gpu"].get("skipped")
    if options.device == "cuda" and absent:
        parser.error(f"--device cuda: {absent}")
    no_gpu = "left out: --device cpu" if options.device == "cpu" else absent
    no_cpu = "left out: --device cuda" if options.device == "cuda" else None
    if no_gpu:
        facts["gpu"] = {"skipped": no_gpu}
    results: dict[str, Any] = {"machine": facts}
    with fix_threads(options.threads):
        results["steps"] = measure_steps(options, no_cpu, no_gpu)
        results["roofline"] = measure_rooflines(options, no_cpu, no_gpu, facts["gpu"].get("peak_tflops"))
    results["summary"] = summarise(results)
    publish("cpu_gpu", results, draw(results), tables(results), options)


if __name__ == "__main__":
    main()
