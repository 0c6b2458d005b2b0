"""How time and memory grow: with the batch for the whole training step, with depth and width for derivatives.

    batch          time of one captured step of `vae.models.mlp` and `conv` (see `steps.py`), and the peak memory of a
                   process that takes ten of them, above what it has after its imports; beside PyTorch
    depth, width   a dense network with tanh, its squared output averaged over a batch of 128, in float32, captured:
                   time of the value, of value and gradient, and of a Hessian-vector product (forward over reverse)

`ratio` of a batch is minigrad's time over PyTorch's (the better layout), `ratio_memory` the same of peak memory; of a
depth or width `ratio_gradient` is gradient over value, `ratio_hvp` Hessian-vector product over gradient.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --rounds 5 --no-memory
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from common import machine, measure, parse, parser, quiet
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from report import announce
from rich.table import Table
from steps import COMPETITORS, Competitor, Task

import minigrad as mg
from minigrad.core import tree
from vae.models import MODELS

BATCHES = {"mlp": (20, 128, 1024), "conv": (32, 128, 512)}
PEERS = {"mlp": "PyTorch", "conv": "PyTorch channels-last"}
DEPTHS, WIDTHS, WIDTH, DEPTH, ROWS = (1, 2, 4, 8, 16), (64, 128, 256, 512, 1024), 256, 4, 128


def task(name: str, batch: int) -> Task:
    """A model, and a batch of noise for images."""
    model = MODELS[name]()
    y = mg.random.uniform(mg.random.key(1), (batch, *model.image_shape))
    return Task(model, model.init(mg.random.key(0)), y, mg.random.normal(mg.random.key(2), (batch, model.latent)))


# With the batch


def peak_memory(name: str, who: str, batch: int, threads: int) -> float:
    """Megabytes at the peak of a process of its own that takes ten steps, above those after its imports."""
    command = [sys.executable, __file__, "--worker", name, who, str(batch), "--threads", str(threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def work(name: str, who: str, batch: int) -> float:
    """What that process does."""
    before = resident()
    competitor = COMPETITORS[name][who](task(name, batch))
    for _ in range(10):
        competitor.step()
    return resident(peak=True) - before


def resident(peak: bool = False) -> float:
    """Megabytes of this process in memory, now or at its peak so far, as Linux has it."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM" if peak else "VmRSS"))


def batch_case(name: str, batch: int, rounds: int, threads: int, memory: bool) -> dict[str, Any]:
    given = task(name, batch)
    made = {who: COMPETITORS[name][who](given) for who in ("minigrad", PEERS[name])}
    there = {who: c for who, c in made.items() if isinstance(c, Competitor)}
    case: dict[str, Any] = measure({who: c.step for who, c in there.items()}, rounds)
    for who in there if memory else ():
        case[who]["peak_mb"] = round(peak_memory(name, who, batch, threads), 1)
    for key, entry in (("ratio", "median_ms"), ("ratio_memory", "peak_mb")):
        both = [case[who].get(entry) for who in there]
        case[key] = round(both[0] / both[1], 3) if len(both) == 2 and None not in both else None
    return case


# With depth and width


def derivatives_case(depth: int, width: int, rounds: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    layers = [rng.standard_normal((width, width), np.float32) / np.float32(width**0.5) for _ in range(depth)]
    direction = tree.map(lambda w: rng.standard_normal(w.shape, np.float32), layers)
    x = rng.standard_normal((ROWS, width), np.float32)

    def value(layers: list, x: Any) -> Any:
        for w in layers:
            x = mg.tanh(x @ w)
        return mg.mean(mg.square(x))

    forward, gradient = mg.jit(value), mg.jit(mg.value_and_grad(value))
    product = mg.jit(lambda layers, x, direction: mg.hvp(lambda layers: value(layers, x), layers, direction))
    case: dict[str, Any] = measure(
        {
            "value": lambda: forward(layers, x),
            "gradient": lambda: gradient(layers, x),
            "HVP": lambda: product(layers, x, direction),
        },
        rounds,
    )
    medians = [case[who]["median_ms"] for who in ("value", "gradient", "HVP")]
    return case | {"ratio_gradient": round(medians[1] / medians[0], 3), "ratio_hvp": round(medians[2] / medians[1], 3)}


# What is shown


def table(results: dict[str, Any]) -> Table:
    made = Table(title="How time and memory grow")
    for column in ("case", "who", "median (ms)", "peak (MB)", "ratios"):
        made.add_column(column, justify="left" if column in ("case", "who", "ratios") else "right")
    for key, case in results.items():
        if key == "machine":
            continue
        ratios = ", ".join(
            f"{k.removeprefix('ratio_')} {'none' if v is None else v}" for k, v in case.items() if k.startswith("ratio")
        )
        for i, (who, entry) in enumerate((w, e) for w, e in case.items() if isinstance(e, dict)):
            cells = f"{entry['median_ms']:.3f}", f"{entry['peak_mb']}" if "peak_mb" in entry else ""
            made.add_row("" if i else key, who, *cells, "" if i else ratios)
        made.add_section()
    return made


def draw(results: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(12, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = [(f"{name}, batch", sizes) for name, sizes in BATCHES.items()]
    panels += [("depth", DEPTHS), ("width", WIDTHS)]
    grid = figure.subplots(2, 4)
    for (label, sizes), (time, other) in zip(panels, grid.T, strict=True):
        sizes = [n for n in sizes if f"{label} {n}" in results]
        found = [results[f"{label} {n}"] for n in sizes]
        for who in (w for w, e in found[0].items() if isinstance(e, dict)):
            time.loglog(sizes, [case[who]["median_ms"] for case in found], marker="o", ms=4, label=who)
            if "peak_mb" in found[0][who]:
                other.loglog(sizes, [case[who]["peak_mb"] for case in found], marker="o", ms=4, label=who)
        for name, words in (("ratio_gradient", "gradient ÷ value"), ("ratio_hvp", "HVP ÷ gradient")):
            if name in found[0]:
                other.semilogx(sizes, [case[name] for case in found], marker="o", ms=4, label=words)
                other.set_ylim(0, 4)
        time.set(title=label, ylabel="milliseconds")
        other.set(xlabel=label.split()[-1], ylabel="ratio" if "ratio_hvp" in found[0] else "peak megabytes")
        for axes in (time, other):
            axes.set_xticks(sizes, [str(n) for n in sizes])
            axes.minorticks_off()
            axes.spines[["top", "right"]].set_visible(False)
            if axes.get_lines():
                axes.legend(fontsize=8, frameon=False)
    return figure


def main() -> None:
    arguments = parser("scaling", __doc__, rounds=15)
    arguments.add_argument("--no-memory", dest="memory", action="store_false", help="measure time only")
    arguments.add_argument("--small", action="store_true", help="the first two sizes of everything")
    arguments.add_argument("--worker", nargs=3, metavar=("MODEL", "WHO", "BATCH"), help="measure this alone, here")
    options = parse(arguments)
    if options.memory and not Path("/proc/self/status").exists():
        arguments.error("peak memory is read from Linux's /proc: measure without it, with --no-memory")
    with quiet(options.threads):
        if options.worker:
            name, who, batch = options.worker
            print(work(name, who, int(batch)))
            return
        results: dict[str, Any] = {"machine": machine(options.threads, ("minigrad", "torch"))}
        few = slice(2 if options.small else None)
        for name, batches in BATCHES.items():
            for batch in batches[few]:
                print(f"{name}, batch {batch} …", file=sys.stderr, flush=True)
                case = batch_case(name, batch, options.rounds, options.threads, options.memory)
                results[f"{name}, batch {batch}"] = case
        for key, sizes in (("depth", DEPTHS), ("width", WIDTHS)):
            for n in sizes[few]:
                print(f"{key} {n} …", file=sys.stderr, flush=True)
                depth, width = (n, WIDTH) if key == "depth" else (DEPTH, n)
                results[f"{key} {n}"] = derivatives_case(depth, width, options.rounds)
    announce("scaling", results, draw(results), table(results), options)


if __name__ == "__main__":
    main()
