"""The figure of `cpu_gpu`, from its record (see `summary`): time per step against batch size, and rooflines.

One row of panels for each precision with results, one panel for each model; below, a roofline for each device. Without
a GPU the figure says why.
"""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from summary import MODES, STRICT, Record, times, verdict

LINES = {  # colour, line, marker
    "NumPy eager": ("tab:blue", "--", "o"),
    "NumPy jit": ("tab:blue", "-", "o"),
    "PyTorch CPU": ("tab:cyan", "-", "s"),
    "CuPy eager": ("tab:green", "--", "o"),
    "CuPy jit": ("tab:green", "-", "o"),
    "PyTorch eager": ("tab:orange", "-", "s"),
    "PyTorch eager, fused Adam": ("tab:orange", "--", "s"),
    "PyTorch compiled": ("tab:red", "none", "D"),
    "PyTorch CUDA graph": ("tab:brown", "-", "s"),
    "JAX jit": ("tab:purple", "-", "^"),
}
KINDS = {"conv": "tab:green", "dense": "tab:blue", "product": "black", "": "tab:red"}  # by the start of a kernel's name


def draw(record: Record) -> Figure:
    """Draw all panels."""
    shown = [p for p, models in record["steps"].items() if any(times(record, p, m, w) for m in models for w in LINES)]
    figure = Figure(figsize=(15, 5.2 * len(shown) + 6.2), layout="constrained")
    FigureCanvasAgg(figure)
    gpu = record["machine"]["gpu"]
    figure.suptitle(f"One training step, and its kernels: {gpu.get('name', 'no GPU')}, {_threads(record)}")
    rows = figure.subfigures(len(shown) + 1, height_ratios=[5.2] * len(shown) + [6.2], squeeze=False)[:, 0]
    for row, precision in zip(rows, shown, strict=False):
        models = record["steps"][precision]
        panels = row.subplots(1, len(models), squeeze=False)[0]
        for axes, model in zip(panels, models, strict=True):
            draw_steps(axes, record, precision, model)
        panels[-1].legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    devices = record["roofline"]
    for axes, (device, results) in zip(
        rows[-1].subplots(1, len(devices), squeeze=False)[0], devices.items(), strict=True
    ):
        draw_roofline(axes, device, results)
    goals = [f"{goal}: {verdict(e)}" for goal, e in record["summary"]["goals"].items() if "measured" in e]
    if goals:
        rows[-1].supxlabel("\n".join(goals), fontsize=9)
    return figure


def _threads(record: Record) -> str:
    threads = record["machine"]["threads"]
    return f"{threads} CPU thread{'s' * (threads > 1)}"


def _write_box(axes: Axes, text: str, where: tuple[float, float], **options: Any) -> None:
    box = {"boxstyle": "round", "facecolor": "white", "edgecolor": "0.7"}
    axes.text(*where, text, transform=axes.transAxes, bbox=box, fontsize=9, **options)


def _format_ticks(axis: Any) -> None:
    """Put ticks of a logarithmic axis at 1, 2, 5, 10, …, as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: f"{value:g}")


# Steps


def draw_steps(axes: Axes, record: Record, precision: str, model: str) -> None:
    """Plot medians with quartiles against the batch; for the GPU, launch floor and crossover."""
    points = record["steps"][precision][model]
    for who, (colour, line, marker) in LINES.items():
        medians = times(record, precision, model, who)
        if not medians:
            continue
        low, high = (
            [points[str(batch)][who][f"{side}_quartile_ms"] for batch in medians] for side in ("lower", "upper")
        )
        axes.plot(list(medians), list(medians.values()), color=colour, ls=line, marker=marker, ms=4, label=who)
        axes.fill_between(list(medians), low, high, color=colour, alpha=0.2, lw=0)
    axes.set(xscale="log", yscale="log", xlabel="batch", title=f"{model}, {precision}")
    axes.set_ylabel("milliseconds a step")
    batches = [int(batch) for batch in points]
    axes.set_xticks(batches, [str(batch) for batch in batches])
    axes.xaxis.set_minor_locator(NullLocator())
    _format_ticks(axes.yaxis)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    reason = record["machine"]["gpu"].get("skipped")
    if reason:
        _write_box(axes, textwrap.fill(f"not measured: {reason}", 44), (0.98, 0.04), ha="right", va="bottom")
    elif precision == STRICT:
        _mark_floors_and_crossovers(axes, record["summary"], model)


def _mark_floors_and_crossovers(axes: Axes, summary: Record, model: str) -> None:
    """Draw launch floors as dotted lines, crossovers as stars with a line down to the batch."""
    left, right = axes.get_xlim()
    bottom = 0.6 * axes.get_ylim()[0]
    white = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
    for mode in MODES:
        floor, cross = summary["launch_floor"][model][mode], summary["crossover"][model][mode]
        if "ms" in floor:
            axes.axhline(floor["ms"], color="tab:green", ls=":", lw=1.2)
            text = f"launch floor, {mode}: {floor['ms']:.3g} ms"
            _label(axes, text, (right, floor["ms"]), (-2, -4), ha="right", va="top", bbox=white)
        if cross.get("batch"):
            at = cross["batch"], cross["gpu_ms"]
            axes.plot(*at, marker="*", ms=15, color="gold", mec="black", zorder=5, ls="none")
            axes.vlines(at[0], bottom, at[1], color="0.5", ls="-.", lw=0.8)
            text = f"{mode}: GPU faster\nfrom batch {cross['batch']}"
            _label(axes, text, at, (7, -7), va="top", bbox=white)
    axes.set(xlim=(left, right), ylim=(bottom, None))


# Rooflines


def draw_roofline(axes: Axes, device: str, results: Record) -> None:
    """Plot FLOP/s against FLOP/byte: a numbered point per kernel, with its name and share of the roof at the side."""
    axes.spines[["top", "right"]].set_visible(False)
    if "skipped" in results:
        axes.set(title=f"roofline, {device}", xticks=[], yticks=[])
        _write_box(axes, textwrap.fill(f"not measured: {results['skipped']}", 50), (0.5, 0.5), ha="center", va="center")
        return
    roofs, kernels = results["roofs"], results["kernels"]
    unit, scale = ("TFLOP/s", 1.0) if roofs["float32_tflops"] >= 1 else ("GFLOP/s", 1e3)
    peak, bandwidth = scale * roofs["float32_tflops"], scale * roofs["bandwidth_gbs"] / 1e3
    x = np.array([k["intensity"] for k in kernels.values()])
    y = scale * np.array([k["tflops"] for k in kernels.values()])
    edge, ridge = np.array([0.5 * x.min(), 2 * max(x.max(), peak / bandwidth)]), peak / bandwidth
    axes.loglog([edge[0], ridge, edge[1]], [bandwidth * edge[0], peak, peak], color="black", lw=1.5)
    _label(axes, f"{peak:.3g} {unit}, {roofs['float32_from']}", (edge[1], peak), (0, 4), ha="right")
    middle = (edge[0] * ridge) ** 0.5
    _label(axes, f"{roofs['bandwidth_gbs']:.0f} GB/s, copied", (middle, bandwidth * middle), (-6, 3), ha="right")
    for number, (name, k) in enumerate(kernels.items(), 1):
        colour = next(c for start, c in KINDS.items() if name.startswith(start))
        at = x[number - 1], y[number - 1]
        axes.plot(*at, marker="o", ms=4, color=colour, ls="none")
        _label(axes, str(number), at, (4, (-7, -2, 3)[number % 3]), color=colour)
        line = f"{number:>2}  {name}  {k['of_roof']:.0%}"
        row = 1 - (number - 1) / max(22, len(kernels))
        axes.text(1.01, row, line, transform=axes.transAxes, fontsize=7.5, color=colour, va="top")
    axes.set(title=f"roofline, {device}, batch {results['batch']}: number, kernel, share of its roof")
    axes.set(xlabel="FLOP / byte", ylabel=unit, ylim=(0.5 * y.min(), 3 * max(peak, y.max())))
    axes.grid(alpha=0.25)


def _label(axes: Axes, text: str, at: tuple[float, float], offset: tuple[float, float], **options: Any) -> None:
    axes.annotate(text, at, offset, textcoords="offset points", fontsize=8, **options)
