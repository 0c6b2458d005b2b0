"""Growth of time and memory: with the batch for a whole training step, with depth and width for derivatives.

    batch          time of one captured step of `vae.models.mlp` and `conv` (see `steps.py`), and the peak memory of a
                   process that takes ten of them, above its memory after imports; beside PyTorch
    depth, width   a captured dense tanh network in float32, the mean of its squared output over a batch of 128:
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
from common import fix_threads, machine_facts, make_parser, measure, parse_options
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from report import publish
from rich.table import Table
from steps import COMPETITORS, Competitor, Task

import minigrad as mg
from minigrad.core import tree
from vae.models import MODELS

BATCHES = {"mlp": (20, 128, 1024), "conv": (32, 128, 512)}
PEERS = {"mlp": "PyTorch", "conv": "PyTorch channels-last"}
DEPTHS, WIDTHS, WIDTH, DEPTH, ROWS = (1, 2, 4, 8, 16), (64, 128, 256, 512, 1024), 256, 4, 128


def make_task(name: str, batch: int) -> Task:
    """A model, and a batch of random images."""
    model = MODELS[name]()
    y = mg.random.uniform(mg.random.key(1), (batch, *model.image_shape))
    return Task(model, model.init(mg.random.key(0)), y, mg.random.normal(mg.random.key(2), (batch, model.latent)))


# With the batch


def peak_memory(name: str, who: str, batch: int, threads: int) -> float:
    """Peak megabytes of a new process that takes ten steps, above its memory after imports."""
    command = [sys.executable, __file__, "--worker", name, who, str(batch), "--threads", str(threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def run_worker(name: str, who: str, batch: int) -> float:
    """Take ten steps in this process, and return its peak megabytes above those before."""
    before = resident_megabytes()
    competitor = COMPETITORS[name][who](make_task(name, batch))
    for _ in range(10):
        competitor.step()
    return resident_megabytes(peak=True) - before


def resident_megabytes(peak: bool = False) -> float:
    """Resident memory of this process in megabytes, current or peak, as reported by Linux."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM" if peak else "VmRSS"))


def run_batch_case(name: str, batch: int, rounds: int, threads: int, memory: bool) -> dict[str, Any]:
    task = make_task(name, batch)
    candidates = {who: COMPETITORS[name][who](task) for who in ("minigrad", PEERS[name])}
    available = {who: c for who, c in candidates.items() if isinstance(c, Competitor)}
    case: dict[str, Any] = measure({who: c.step for who, c in available.items()}, rounds)
    for who in available if memory else ():
        case[who]["peak_mb"] = round(peak_memory(name, who, batch, threads), 1)
    for key, entry in (("ratio", "median_ms"), ("ratio_memory", "peak_mb")):
        both = [case[who].get(entry) for who in available]
        case[key] = round(both[0] / both[1], 3) if len(both) == 2 and None not in both else None
    return case


# With depth and width


def run_derivatives_case(depth: int, width: int, rounds: int) -> dict[str, Any]:
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


# Table and figure


def table(results: dict[str, Any]) -> Table:
    grid = Table(title="Growth of time and memory")
    for column in ("case", "library", "median (ms)", "peak (MB)", "ratios"):
        grid.add_column(column, justify="left" if column in ("case", "library", "ratios") else "right")
    for key, case in results.items():
        if key == "machine":
            continue
        ratios = ", ".join(
            f"{k.removeprefix('ratio_')} {'none' if v is None else v}" for k, v in case.items() if k.startswith("ratio")
        )
        for i, (who, entry) in enumerate((w, e) for w, e in case.items() if isinstance(e, dict)):
            cells = f"{entry['median_ms']:.3f}", f"{entry['peak_mb']}" if "peak_mb" in entry else ""
            grid.add_row("" if i else key, who, *cells, "" if i else ratios)
        grid.add_section()
    return grid


def draw(results: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(12, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = [(f"{name}, batch", sizes) for name, sizes in BATCHES.items()]
    panels += [("depth", DEPTHS), ("width", WIDTHS)]
    grid = figure.subplots(2, 4)
    for (label, sizes), (time, other) in zip(panels, grid.T, strict=True):
        sizes = [n for n in sizes if f"{label} {n}" in results]
        cases = [results[f"{label} {n}"] for n in sizes]
        for who in (w for w, e in cases[0].items() if isinstance(e, dict)):
            time.loglog(sizes, [case[who]["median_ms"] for case in cases], marker="o", ms=4, label=who)
            if "peak_mb" in cases[0][who]:
                other.loglog(sizes, [case[who]["peak_mb"] for case in cases], marker="o", ms=4, label=who)
        for name, words in (("ratio_gradient", "gradient ÷ value"), ("ratio_hvp", "HVP ÷ gradient")):
            if name in cases[0]:
                other.semilogx(sizes, [case[name] for case in cases], marker="o", ms=4, label=words)
                other.set_ylim(0, 4)
        time.set(title=label, ylabel="milliseconds")
        other.set(xlabel=label.split()[-1], ylabel="ratio" if "ratio_hvp" in cases[0] else "peak megabytes")
        for axes in (time, other):
            axes.set_xticks(sizes, [str(n) for n in sizes])
            axes.minorticks_off()
            axes.spines[["top", "right"]].set_visible(False)
            if axes.get_lines():
                axes.legend(fontsize=8, frameon=False)
    return figure


def main() -> None:
    parser = make_parser("scaling", __doc__, rounds=15)
    parser.add_argument("--no-memory", dest="memory", action="store_false", help="measure time only")
    parser.add_argument("--small", action="store_true", help="only the first size of each")
    parser.add_argument("--worker", nargs=3, metavar=("MODEL", "WHO", "BATCH"), help="measure one case in this process")
    options = parse_options(parser)
    if options.memory and not Path("/proc/self/status").exists():
        parser.error("peak memory is read from Linux's /proc, which is missing here; use --no-memory")
    with fix_threads(options.threads):
        if options.worker:
            name, who, batch = options.worker
            print(run_worker(name, who, int(batch)))
            return
        results: dict[str, Any] = {"machine": machine_facts(options.threads, ("minigrad", "torch"))}
        few = slice(1 if options.small else None)
        for name, batches in BATCHES.items():
            for batch in batches[few]:
                print(f"{name}, batch {batch} …", file=sys.stderr, flush=True)
                case = run_batch_case(name, batch, options.rounds, options.threads, options.memory)
                results[f"{name}, batch {batch}"] = case
        for key, sizes in (("depth", DEPTHS), ("width", WIDTHS)):
            for n in sizes[few]:
                print(f"{key} {n} …", file=sys.stderr, flush=True)
                depth, width = (n, WIDTH) if key == "depth" else (DEPTH, n)
                results[f"{key} {n}"] = run_derivatives_case(depth, width, options.rounds)
    publish("scaling", results, draw(results), table(results), options)


if __name__ == "__main__":
    main()
