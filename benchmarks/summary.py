"""Summary and tables of `cpu_gpu`: pure functions of its record, which is plain JSON.

    machine    facts; its `gpu` has facts of its own
    steps      precision → model → batch → who → statistics of one step
    roofline   device → roofs and kernels

Anything below a precision or a device that could not be measured is {"skipped": reason}.
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
    """Milliseconds per step by batch, without batches that were skipped."""
    points = record["steps"][precision].get(model, {})
    medians = {int(batch): point.get(who, {}).get("median_ms") for batch, point in points.items()}
    return {batch: ms for batch, ms in sorted(medians.items()) if ms is not None}


def skip_reason(record: Record, precision: str, model: str, who: str) -> Record:
    """Why a competitor has no times: the first reason among its batches."""
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
    """The shortest step on the GPU over all batches, which is the time to launch it."""
    medians = times(record, STRICT, model, f"CuPy {mode}")
    if not medians:
        return skip_reason(record, STRICT, model, f"CuPy {mode}")
    batch = min(medians, key=medians.__getitem__)
    return {"ms": medians[batch], "batch": batch}


def crossover(record: Record, model: str, mode: str) -> Record:
    """The smallest batch at which the GPU is faster, with both times; None if there is none."""
    cpu, gpu = (times(record, STRICT, model, f"{library} {mode}") for library in ("NumPy", "CuPy"))
    both = [batch for batch in cpu if batch in gpu]
    if not both:
        return skip_reason(record, STRICT, model, f"{'NumPy' if gpu else 'CuPy'} {mode}")
    faster = next((batch for batch in both if gpu[batch] < cpu[batch]), None)
    return {"batch": faster} | ({"cpu_ms": cpu[faster], "gpu_ms": gpu[faster]} if faster else {})


def goals(record: Record) -> Record:
    """The goals on an H200, each with the measured value."""
    reached: Record = {}
    for who, limit in (("PyTorch eager", 1 / 3), ("PyTorch CUDA graph", 1.0)):
        ours, theirs = (times(record, STRICT, "conv", name).get(128) for name in ("CuPy jit", who))
        name = f"conv step at batch 128, time over that of {who}"
        if ours and theirs:
            reached[name] = {"measured": ours / theirs, "at_most": limit, "met": ours <= limit * theirs}
        else:
            reached[name] = skip_reason(record, STRICT, "conv", who if ours else "CuPy jit")
    results = record["roofline"]["cuda"]
    layer = f"3×3 convolution 64→128 of 7×7 at batch {results.get('batch', 1024)}, slowest of three, over float32 peak"
    normals = "normals, bytes written a second over those a copy moves"
    if "skipped" in results:
        return reached | {layer: results, normals: results}
    roofs, kernels = results["roofs"], results["kernels"]
    share = min(k["tflops"] for name, k in kernels.items() if name.startswith("conv 64→128")) / roofs["float32_tflops"]
    drawn = kernels["normals"]["gbs"] / roofs["bandwidth_gbs"]
    return reached | {
        layer: {"measured": share, "at_least": 0.5, "met": share >= 0.5},
        normals: {"measured": drawn, "at_least": 0.8, "met": drawn >= 0.8},
    }


# Tables


def tables(record: Record) -> Group:
    """Times of a step, kernels, and the summary; reasons for skipping are listed once, at the end."""
    reasons: dict[str, int] = {}

    def note(entry: Record) -> str:
        return escape(f"skipped [{reasons.setdefault(entry['skipped'], len(reasons) + 1)}]")

    shown: list[Any] = []
    for precision, models in record["steps"].items():
        entries = [entry for points in models.values() for point in points.values() for entry in point.values()]
        ran = any("median_ms" in entry for entry in entries)
        shown.append(_steps(record, precision, note) if ran else f"steps, {precision}: {note(entries[0])}")
    for device, results in record["roofline"].items():
        shown.append(f"roofline, {device}: {note(results)}" if "skipped" in results else _kernels(device, results))
    shown.append(_summary(record["summary"], note))
    return Group(*shown, *(escape(f"[{number}] {reason}") for reason, number in reasons.items()))


def _steps(record: Record, precision: str, note: Callable[[Record], str]) -> Table:
    models = record["steps"][precision]
    batches = sorted({int(batch) for points in models.values() for batch in points})
    table = Table(title=f"One training step in milliseconds, by batch: {precision}")
    table.add_column("model")
    table.add_column("library", no_wrap=True)
    for batch in batches:
        table.add_column(str(batch), justify="right")
    for model, points in models.items():
        for i, who in enumerate(dict.fromkeys(who for point in points.values() for who in point)):
            entries = [points.get(str(batch), {}).get(who, {}) for batch in batches]
            table.add_row("" if i else model, who, *(_cell(entry, note) for entry in entries))
        table.add_section()
    return table


def _cell(entry: Record, note: Callable[[Record], str]) -> str:
    if "median_ms" in entry:
        return f"{entry['median_ms']:.3g}"
    return note(entry).removeprefix("skipped ") if "skipped" in entry else ""


def _kernels(device: str, results: Record) -> Table:
    roofs = results["roofs"]
    peak = f"{roofs['float32_tflops']:.3g} TFLOP/s ({roofs['float32_from']})"
    table = Table(
        title=f"Kernels on {device}, batch {results['batch']}; roofs {peak}, {roofs['bandwidth_gbs']:.3g} GB/s"
    )
    table.add_column("kernel")
    for column in ("ms", "FLOP/byte", "TFLOP/s", "GB/s", "of its roof"):
        table.add_column(column, justify="right")
    for name, k in results["kernels"].items():
        numbers = [f"{k[field]:.3g}" for field in ("median_ms", "intensity", "tflops", "gbs")]
        table.add_row(name, *numbers, f"{k['of_roof']:.0%}")
    return table


def _summary(summary: Record, note: Callable[[Record], str]) -> Table:
    table = Table(title="CPU and GPU")
    for column in ("quantity", "result"):
        table.add_column(column)
    for model, floors in summary["launch_floor"].items():
        for mode, floor in floors.items():
            text = f"{floor['ms']:.3g} ms" if "ms" in floor else note(floor)
            table.add_row(f"{model}, {mode}: launch floor", text)
            table.add_row(
                f"{model}, {mode}: the GPU is faster from", _crossover(summary["crossover"][model][mode], note)
            )
    for goal, entry in summary["goals"].items():
        table.add_row(goal, note(entry) if "skipped" in entry else verdict(entry))
    return table


def _crossover(entry: Record, note: Callable[[Record], str]) -> str:
    if "skipped" in entry:
        return note(entry)
    return f"batch {entry['batch']}" if entry["batch"] else "no batch measured"


def verdict(entry: Record) -> str:
    """A goal's number, its limit, and whether it is met."""
    limit = f"≤ {entry['at_most']:.2f}" if "at_most" in entry else f"≥ {entry['at_least']:.2f}"
    return f"{entry['measured']:.2f} (goal {limit}): {'met' if entry['met'] else 'not met'}"
