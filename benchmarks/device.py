"""Timing and properties of a GPU, for `cpu_gpu`.

A call queues work on the GPU and returns before it is done. So several steps are queued between two events of the
device, without synchronising in between. The wall clock is read as well: if events report much less time, they were in
a different stream than the work, and the wall clock is used. JAX has no events.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from common import rotate, statistics
from torch_twin import torch

from minigrad import backends

FEW, MANY = 3, 500  # steps between two events
SECONDS = 0.05  # that these steps should take together


class Span(NamedTuple):
    """Seconds that queued work took, by events and by the wall clock, which includes delays of the host."""

    events: float | None
    wall: float


Stopwatch = Callable[[], Callable[[], Span]]  # starts, and returns the function that stops it


def stopwatch(
    synchronise: Callable[[], Any], event: Callable | None = None, elapsed: Callable | None = None
) -> Stopwatch:
    """A stopwatch that waits for the device with `synchronise`; `elapsed(first, last)` of events is in milliseconds."""

    def start() -> Callable[[], Span]:
        synchronise()
        first, last = (event(), event()) if event else (None, None)
        began = time.perf_counter()
        if event:
            first.record()

        def stop() -> Span:
            if event:
                last.record()
            synchronise()
            wall = time.perf_counter() - began
            return Span(1e-3 * elapsed(first, last) if event else None, wall)

        return stop

    return start


def stopwatch_of(backend: backends.Backend) -> Stopwatch:
    """The stopwatch of NumPy or CuPy."""
    if backend.device == "cpu":
        return stopwatch(lambda: None)
    cuda = backend.xp.cuda
    return stopwatch(cuda.runtime.deviceSynchronize, cuda.Event, cuda.get_elapsed_time)


def torch_stopwatch(device: str) -> Stopwatch:
    """The stopwatch of PyTorch."""
    if device == "cpu":
        return stopwatch(lambda: None)
    event = torch.cuda.Event
    return stopwatch(torch.cuda.synchronize, lambda: event(enable_timing=True), lambda a, b: a.elapsed_time(b))


def measure_queued(
    competitors: dict[str, tuple[Callable[[], Any], Stopwatch]], rounds: int
) -> dict[str, dict[str, Any]]:
    """Statistics of one step of each (step, stopwatch). A round times each once, in an order that rotates."""
    names = list(competitors)
    steps = {who: int(np.clip(SECONDS / _time_steps(*competitors[who], FEW).wall * FEW, FEW, MANY)) for who in names}
    spans: dict[str, list[Span]] = {who: [] for who in names}
    for who in rotate(names, rounds):
        gc.collect()
        competitors[who][0]()
        spans[who].append(_time_steps(*competitors[who], steps[who]))
    return {who: summary(spans[who], steps[who]) for who in names}


def _time_steps(step: Callable[[], Any], start: Stopwatch, steps: int) -> Span:
    stop = start()
    for _ in range(steps):
        step()
    return stop()


def summary(spans: list[Span], steps: int) -> dict[str, Any]:
    """Statistics per step: by events, if in any span they report over 90 % of the wall clock's time."""
    use_events = any(span.events is not None and span.events > 0.9 * span.wall for span in spans)
    seconds = [(span.events if use_events else span.wall) / steps for span in spans]
    return statistics(seconds) | {"steps": steps, "clock": "events" if use_events else "wall clock"}


# Facts


def gpu_facts() -> dict[str, Any]:
    """Name, properties and the float32 peak computed from them; or the reason why there is no GPU."""
    try:
        cupy = backends.get("cuda").xp
    except backends.DeviceError as reason:
        return {"skipped": str(reason)}
    runtime, device = cupy.cuda.runtime, cupy.cuda.Device()
    multiprocessors, kilohertz = device.attributes["MultiProcessorCount"], device.attributes["ClockRate"]
    lanes = 64 if device.compute_capability in ("60", "70", "72", "75", "80") else 128
    return {
        "name": runtime.getDeviceProperties(device.id)["name"].decode(),
        "multiprocessors": multiprocessors,
        "float32_lanes": lanes,
        "clock_mhz": kilohertz / 1e3,
        "peak_tflops": round(2 * lanes * multiprocessors * kilohertz * 1e3 / 1e12, 2),  # a multiply-add counts as two
        "memory_gb": round(runtime.memGetInfo()[1] / 1e9, 1),
        "driver": runtime.driverGetVersion(),
        "runtime": runtime.runtimeGetVersion(),
    }


def free_megabytes(tidy: bool = False) -> float:
    """Free GPU memory; with `tidy`, CuPy and PyTorch first return the blocks that their pools cache."""
    cupy = backends.get("cuda").xp
    cupy.cuda.runtime.deviceSynchronize()
    if tidy:
        cupy.get_default_memory_pool().free_all_blocks()
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()
    return cupy.cuda.runtime.memGetInfo()[0] / 1e6
