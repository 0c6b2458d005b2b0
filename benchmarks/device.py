"""Time and facts of a GPU, for `cpu_gpu`.

Work on a GPU is queued: a call returns before it is done. So several steps are queued between two events of the
device, nothing waits in between, and the end is awaited once. The wall clock runs beside: where events say much less,
they stood in another queue than the work (or, in JAX, there are none), and the wall clock is taken.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from common import rotating, statistics
from torch_twin import torch

from minigrad import backends

FEW, MANY = 3, 500  # steps between two events
SECONDS = 0.05  # that they should take together


class Span(NamedTuple):
    """Seconds that queued work took, by events and by the wall clock, which also sees the host being held up."""

    events: float | None
    wall: float


Stopwatch = Callable[[], Callable[[], Span]]  # starts, and returns what stops it


def stopwatch(
    synchronise: Callable[[], Any], event: Callable | None = None, elapsed: Callable | None = None
) -> Stopwatch:
    """A stopwatch that awaits everything with `synchronise`; with events, `elapsed(first, last)` is in milliseconds."""

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
    """NumPy's or CuPy's."""
    if backend.device == "cpu":
        return stopwatch(lambda: None)
    cuda = backend.xp.cuda
    return stopwatch(cuda.runtime.deviceSynchronize, cuda.Event, cuda.get_elapsed_time)


def torch_stopwatch(device: str) -> Stopwatch:
    """PyTorch's."""
    if device == "cpu":
        return stopwatch(lambda: None)
    event = torch.cuda.Event
    return stopwatch(torch.cuda.synchronize, lambda: event(enable_timing=True), lambda a, b: a.elapsed_time(b))


def measure_queued(
    competitors: dict[str, tuple[Callable[[], Any], Stopwatch]], rounds: int
) -> dict[str, dict[str, Any]]:
    """Statistics of one step of each, (step, stopwatch); a round times everyone once, in an order that rotates."""
    names = list(competitors)
    steps = {who: int(np.clip(SECONDS / _span(*competitors[who], FEW).wall * FEW, FEW, MANY)) for who in names}
    spans: dict[str, list[Span]] = {who: [] for who in names}
    for who in rotating(names, rounds):
        gc.collect()
        competitors[who][0]()
        spans[who].append(_span(*competitors[who], steps[who]))
    return {who: summary(spans[who], steps[who]) for who in names}


def _span(step: Callable[[], Any], start: Stopwatch, steps: int) -> Span:
    stop = start()
    for _ in range(steps):
        step()
    return stop()


def summary(spans: list[Span], steps: int) -> dict[str, Any]:
    """Statistics of one of so many steps: by events, if in any span they saw nine tenths of what the clock saw."""
    believed = any(span.events is not None and span.events > 0.9 * span.wall for span in spans)
    seconds = [(span.events if believed else span.wall) / steps for span in spans]
    return statistics(seconds) | {"steps": steps, "clock": "events" if believed else "wall clock"}


# Facts


def gpu() -> dict[str, Any]:
    """Name, and the float32 peak that follows from its properties; or why there is none."""
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
