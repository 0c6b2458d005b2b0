"""What `cpu_gpu` found, in words and tables: pure functions of its record, which is plain JSON.

    machine    facts; its `gpu` has facts of its own
    steps      precision → model → batch → who → statistics of one step
    roofline   device → roofs and kernels

What could not be measured is {"skipped": reason} instead, at any of these places below a precision or a device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table

STRICT, TF32 = "strict float32", "TF32"
MODES = ("eager", "jit")
Record = dict[str, Any]


def times(record: Record, precision: str, model: str, who: str) -> dict[int, float]:
    """Milliseconds a step by batch, where there are any."""
    points = record["steps"][precision].get(model, {})
    found = {int(batch): point.get(who, {}).get("median_ms") for batch, point in points.items()}
    return {batch: ms for batch, ms in sorted(found.items()) if ms is not None}


def skip_reason(record: Record, precision: str, model: str, who: str) -> Record:
    """Why someone has no times: the first reason among the batches."""
    points = record["steps"][precision].get(model, {}).values()
    reasons = [point[who]["skipped"] for point in points if "skipped" in point.get(who, {})]
    return {"skipped": next(iter(reasons), "not measured")}


def summarise(record: Record) -> Record:
    """Launch floors, crossovers and goals."""
    models = record["steps"][STRICT]
    return {
        "launch_floor": {model: {mode: launch_floor(record, model, mode) for mode in MODES} for model in models},
        "crossover": {model: {mode: crossover(record, model, mode) for mode in MODES} for model in models},
        "goals": goals(record),
    }


def launch_floor(record: Record, model: str, mode: str) -> Record:
    """The time of a step on the GPU that no batch goes below, however small: what launching it takes."""
    found = times(record, STRICT, model, f"CuPy {mode}")
    if not found:
        return skip_reason(record, STRICT, model, f"CuPy {mode}")
    batch = min(found, key=found.__getitem__)
    return {"ms": found[batch], "batch": batch}


def crossover(record: Record, model: str, mode: str) -> Record:
    """The smallest batch at which the GPU is faster, and both times there; None where it never is."""
    cpu, gpu = (times(record, STRICT, model, f"{library} {mode}") for library in ("NumPy", "CuPy"))
    both = [batch for batch in cpu if batch in gpu]
    if not both:
        return skip_reason(record, STRICT, model, f"{'NumPy' if gpu else 'CuPy'} {mode}")
    faster = next((batch for batch in both if gpu[batch] < cpu[batch]), None)
    return {"batch": faster} | ({"cpu_ms": cpu[faster], "gpu_ms": gpu[faster]} if faster else {})


def goals(record: Record) -> Record:
    """What is to be reached on an H200, each with what was measured."""
    found: Record = {}
    for who, limit in (("PyTorch eager", 1 / 3), ("PyTorch CUDA graph", 1.0)):
        ours, theirs = (times(record, STRICT, "conv", name).get(128) for name in ("CuPy jit", who))
        name = f"conv step at batch 128, time over that of {who}"
        if ours and theirs:
            found[name] = {"measured": ours / theirs, "at_most": limit, "met": ours <= limit * theirs}
        else:
            found[name] = skip_reason(record, STRICT, "conv", who if ours else "CuPy jit")
    there = record["roofline"]["cuda"]
    layer = f"3×3 convolution 64→128 of 7×7 at batch {there.get('batch', 1024)}, slowest of three, over float32 peak"
    normals = "normals, bytes written a second over those a copy moves"
    if "skipped" in there:
        return found | {layer: there, normals: there}
    roofs, kernels = there["roofs"], there["kernels"]
    share = min(k["tflops"] for name, k in kernels.items() if name.startswith("conv 64→128")) / roofs["float32_tflops"]
    drawn = kernels["normals"]["gbs"] / roofs["bandwidth_gbs"]
    return found | {
        layer: {"measured": share, "at_least": 0.5, "met": share >= 0.5},
        normals: {"measured": drawn, "at_least": 0.8, "met": drawn >= 0.8},
    }


# Tables


def tables(record: Record) -> Group:
    """Times of a step, kernels, and the summary; why something is missing stands once, at the end."""
    reasons: dict[str, int] = {}

    def note(entry: Record) -> str:
        return escape(f"skipped [{reasons.setdefault(entry['skipped'], len(reasons) + 1)}]")

    shown: list[Any] = []
    for precision, models in record["steps"].items():
        entries = [entry for points in models.values() for point in points.values() for entry in point.values()]
        ran = any("median_ms" in entry for entry in entries)
        shown.append(_steps(record, precision, note) if ran else f"steps, {precision}: {note(entries[0])}")
    for device, there in record["roofline"].items():
        shown.append(f"roofline, {device}: {note(there)}" if "skipped" in there else _kernels(device, there))
    shown.append(_summary(record["summary"], note))
    return Group(*shown, *(escape(f"[{number}] {reason}") for reason, number in reasons.items()))


def _steps(record: Record, precision: str, note: Callable[[Record], str]) -> Table:
    models = record["steps"][precision]
    batches = sorted({int(batch) for points in models.values() for batch in points})
    made = Table(title=f"One training step in milliseconds, by batch: {precision}")
    made.add_column("model")
    made.add_column("who", no_wrap=True)
    for batch in batches:
        made.add_column(str(batch), justify="right")
    for model, points in models.items():
        for i, who in enumerate(dict.fromkeys(who for point in points.values() for who in point)):
            entries = [points.get(str(batch), {}).get(who, {}) for batch in batches]
            made.add_row("" if i else model, who, *(_cell(entry, note) for entry in entries))
        made.add_section()
    return made


def _cell(entry: Record, note: Callable[[Record], str]) -> str:
    if "median_ms" in entry:
        return f"{entry['median_ms']:.3g}"
    return note(entry).removeprefix("skipped ") if "skipped" in entry else ""


def _kernels(device: str, there: Record) -> Table:
    roofs = there["roofs"]
    peak = f"{roofs['float32_tflops']:.3g} TFLOP/s ({roofs['float32_from']})"
    made = Table(title=f"Kernels on {device}, batch {there['batch']}; roofs {peak}, {roofs['bandwidth_gbs']:.3g} GB/s")
    made.add_column("kernel")
    for column in ("ms", "FLOP/byte", "TFLOP/s", "GB/s", "of its roof"):
        made.add_column(column, justify="right")
    for name, k in there["kernels"].items():
        numbers = [f"{k[field]:.3g}" for field in ("median_ms", "intensity", "tflops", "gbs")]
        made.add_row(name, *numbers, f"{k['of_roof']:.0%}")
    return made


def _summary(found: Record, note: Callable[[Record], str]) -> Table:
    made = Table(title="CPU and GPU")
    for column in ("what", "found"):
        made.add_column(column)
    for model, floors in found["launch_floor"].items():
        for mode, floor in floors.items():
            says = f"{floor['ms']:.3g} ms" if "ms" in floor else note(floor)
            made.add_row(f"{model}, {mode}: launch floor", says)
            made.add_row(f"{model}, {mode}: the GPU is faster from", _crossover(found["crossover"][model][mode], note))
    for goal, entry in found["goals"].items():
        made.add_row(goal, note(entry) if "skipped" in entry else verdict(entry))
    return made


def _crossover(entry: Record, note: Callable[[Record], str]) -> str:
    if "skipped" in entry:
        return note(entry)
    return f"batch {entry['batch']}" if entry["batch"] else "no batch measured"


def verdict(entry: Record) -> str:
    """A goal's number, its limit, and whether it is met."""
    limit = f"≤ {entry['at_most']:.2f}" if "at_most" in entry else f"≥ {entry['at_least']:.2f}"
    return f"{entry['measured']:.2f} (goal {limit}): {'met' if entry['met'] else 'not met'}"
