"""Time of a training step that 1 and 2 processes share, beside PyTorch's DistributedDataParallel, and what it predicts.

Every process computes on one thread. All processes stay alive, and take turns in rounds (see `workers`): in each round
every competitor takes a short burst of steps. Ratios are those within a round; medians and quartiles are over rounds.

    minigrad                    the step of `vae train` on one process, with the default shards
    minigrad, 2 processes       the same, shared by two
    minigrad --shards 1         the same as the first, with one shard: what several shards cost
    PyTorch                     eager, with its default Adam; convolutions in its faster layout
    PyTorch DDP, 2 processes    the same, shared by two over gloo

Before timing, gradients and losses of all are compared, and the bytes of a sum are counted: a process may send at most
twice those of the gradient. `speedup` is the time of one process over that of two, `ratio` our time on two processes
over that of DDP, `ratio_one` the same on one process, `ratio_shards` ours with the default shards over one shard.

`communication` is the time to add up arrays between two processes, ours (`all_sum`) and gloo's (`all_reduce`), and the
cost of a message and of a byte that fit it. The largest of our sums are slower than the fit: they are in new memory,
which the system has to provide; those of training are not. `predictions` is the time of a step on more processes and
other networks: see `networks` for the formula and its limits.

    python benchmarks/processes.py
    python benchmarks/processes.py --model mlp --batch 128 --rounds 5
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from common import ABSENT, import_peer, machine_facts, make_parser, parse_options, positive, rotate, statistics
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from networks import FORMULA, NETWORKS, PAYS, Network, Work, predict_growing, predict_shared, record, step_time
from report import publish
from rich.console import Group
from rich.table import Table
from torch_twin import twin_of

import minigrad as mg
from minigrad.collectives.sums import SMALL
from minigrad.core import tree
from vae.config import Config
from vae.models import MODELS

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
LOCAL = {"GLOO_SOCKET_IFNAME": "lo"}
TOLERANCE = 1e-4
ALL_SUM, GLOO = "all_sum", "gloo all_reduce"
BATCHES = (128, 1024)
BURST, PATIENCE = 0.3, 300.0  # seconds: of a burst, and until an answer is given up
SIZES = tuple(8 * 8**i for i in range(8))  # bytes of the arrays to add up: 8 B to 16 MB
SHARDS = tuple(2**i for i in range(8))  # images of a shard: 1 to 128
SHOWN = (8, 64, 256, 1024, 4096)  # numbers of processes in the table
OURS, ONE_SHARD, OURS_2 = "minigrad", "minigrad --shards 1", "minigrad, 2 processes"
PEER, PEER_2 = "PyTorch", "PyTorch DDP, 2 processes"
COMPETITORS = {  # script, processes
    OURS: ("workers", 1),
    OURS_2: ("workers", 2),
    ONE_SHARD: ("workers", 1),
    PEER: ("ddp", 1),
    PEER_2: ("ddp", 2),
}
QUOTIENTS = {
    "speedup": (OURS, OURS_2),
    "speedup_peer": (PEER, PEER_2),
    "ratio": (OURS_2, PEER_2),
    "ratio_one": (OURS, PEER),
    "ratio_shards": (OURS, ONE_SHARD),
}


# Processes


class Workers:
    """Processes of one library, which do together what they are told."""

    def __init__(self, script: str, count: int, address: Path):
        """Start them. Raises SystemExit if they do not start."""
        here = Path(__file__).parent
        root = {"PYTHONPATH": os.pathsep.join(filter(None, [str(here.parent), os.environ.get("PYTHONPATH")]))}
        mpiexec = Path(sys.executable).with_name("mpiexec")
        if not mpiexec.exists():
            raise SystemExit(f"there is no {mpiexec}: pip install '.[mpi]'")
        command = [mpiexec, "-n", str(count), sys.executable, here / f"{script}.py", address]
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(address))
            server.listen(count)
            server.settimeout(1)
            self._launched = subprocess.Popen(
                command, env=os.environ | ONE_THREAD | LOCAL | root, stdin=subprocess.DEVNULL, start_new_session=True
            )
            self._streams: list[Any] = [None] * count
            try:
                for _ in range(count):
                    connected = self._accept(server)
                    connected.settimeout(PATIENCE)
                    rank = connected.recv(1)[0]
                    self._streams[rank] = connected.makefile("rwb")
                    connected.close()
            except BaseException:
                self.stop()
                raise

    def _accept(self, server: socket.socket) -> socket.socket:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._launched.poll() is None:
            try:
                return server.accept()[0]
            except TimeoutError:
                pass
        raise SystemExit("the processes did not start")

    def tell(self, method: str, *arguments: Any) -> list[Any]:
        """What each process answers. Raises SystemExit if one does not."""
        try:
            for stream in self._streams:
                pickle.dump((method, arguments), stream)
                stream.flush()
            return [pickle.load(stream) for stream in self._streams]
        except (OSError, EOFError) as error:
            raise SystemExit(f"a process stopped, or did not answer: {type(error).__name__}") from None

    def stop(self) -> None:
        """End them: they stop when their connections close."""
        for stream in filter(None, self._streams):
            stream.close()
        try:
            self._launched.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._launched.pid, signal.SIGKILL)
            self._launched.wait()


@contextmanager
def start_workers() -> Iterator[dict[str, Workers]]:
    """The processes of every competitor; without PyTorch, only ours."""
    found: dict[str, Workers] = {}
    with TemporaryDirectory() as folder:
        try:
            for who, (script, count) in COMPETITORS.items():
                if script == "workers" or import_peer("torch"):
                    found[who] = Workers(script, count, Path(folder) / str(len(found)))
            yield found
        finally:
            for workers in found.values():
                workers.stop()


# Steps


def run_case(workers: dict[str, Workers], name: str, batch: int, rounds: int) -> dict[str, Any]:
    shards = Config(model=name, batch=batch).shards
    last = name == "conv" and PEER in workers and prefers_channels_last(workers[PEER], batch)
    for who, group in workers.items():
        group.tell("prepare", name, batch, last if who in (PEER, PEER_2) else 1 if who == ONE_SHARD else shards)
    answers = {who: group.tell("check") for who, group in workers.items()}
    case: dict[str, Any] = compare(f"{name}, batch {batch}", name, answers, last)
    for who in (OURS, OURS_2):
        case[who] |= stage_times(workers[who])
    seconds = time_rounds(workers, rounds)
    case = {who: statistics(seconds[who]) | case[who] if who in workers else ABSENT for who in COMPETITORS}
    quotients = {
        key: quartiles(np.divide(seconds[a], seconds[b])) if a in seconds and b in seconds else None
        for key, (a, b) in QUOTIENTS.items()
    }
    return case | quotients | {"shards": shards, "channels_last": last, "all_agree_within": TOLERANCE}


def time_rounds(workers: dict[str, Workers], rounds: int, warm_up: int = 2) -> dict[str, list[float]]:
    """Seconds a step of every competitor, in every round."""
    times: dict[str, list[float]] = {who: [] for who in workers}
    for who in rotate(list(workers), warm_up + rounds):
        steps = max(1, min(50, round(BURST / min(times[who])))) if times[who] else 1
        times[who].append(max(workers[who].tell("burst", steps)))
    return {who: values[warm_up:] for who, values in times.items()}


def prefers_channels_last(peer: Workers, batch: int) -> bool:
    """Which layout of convolutions is faster here."""
    seconds = []
    for last in (False, True):
        peer.tell("prepare", "conv", batch, last)
        peer.tell("burst", 1)
        seconds.append(min(peer.tell("burst", 2)[0] for _ in range(3)))
    return seconds[1] < seconds[0]


def compare(case: str, name: str, answers: dict[str, list[Any]], channels_last: bool) -> dict[str, Any]:
    """How far each competitor is from the first; exits with a message if it is too far, or sends too many bytes."""
    model, ours, found = MODELS[name](), answers[OURS][0], {}
    leaves, structure = tree.flatten(model.init(mg.random.key(0)))
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
    shaped = [part.reshape(leaf.shape) for part, leaf in zip(np.split(ours["gradient"], ends), leaves, strict=True)]
    in_layout = twin_of(model, channels_last).layout(tree.unflatten(structure, shaped))
    for who, parts in answers.items():
        first, is_ours = parts[0], "gradient" in parts[0]
        pairs = [(first["gradient"], ours["gradient"])] if is_ours else zip(first["gradients"], in_layout, strict=True)
        losses = first["losses"] if is_ours else np.mean([part["losses"] for part in parts], 0)
        found[who] = {
            "gradient_difference": max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs),
            "loss_difference": float(np.abs(np.divide(losses, ours["losses"]) - 1).max()),
        }
        allowed = 0 if who == OURS_2 else TOLERANCE
        if not max(found[who].values()) <= allowed:
            raise SystemExit(f"{case}: {who} differs from {OURS} by {found[who]}, more than {allowed}")
    sent, size = max(part["sent"] for part in answers[OURS_2]), ours["bytes"]
    if sent > 2 * size:
        raise SystemExit(f"{case}: a process sends {sent} bytes, more than twice the {size} of the gradient")
    found[OURS_2] |= {"sent_bytes": sent, "gradient_bytes": size}
    return found


def stage_times(group: Workers, steps: int = 10) -> dict[str, float]:
    """Median milliseconds of the stages of a step: gradients of the shards, sum over processes, update."""
    medians = 1e3 * np.median(group.tell("stages", steps), 1).max(0)
    return {
        f"{stage}_ms": round(float(ms), 4) for stage, ms in zip(("gradients", "sum", "update"), medians, strict=True)
    }


def quartiles(values: Sequence[float]) -> dict[str, float]:
    points = {"median": 0.5, "lower_quartile": 0.25, "upper_quartile": 0.75}
    return {name: round(float(np.quantile(values, point)), 3) for name, point in points.items()}


# Communication


def run_communication(workers: dict[str, Workers], rounds: int) -> dict[str, Any]:
    """The time to add up arrays between two processes, and the cost of a message and of a byte."""
    groups = {name: workers[who] for name, who in ((ALL_SUM, OURS_2), (GLOO, PEER_2)) if who in workers}
    found: dict[str, Any] = {}
    times: dict[str, dict[int, list[float]]] = {who: {size: [] for size in SIZES} for who in groups}
    for _ in range(rounds + 1):
        for size in SIZES:
            for who, group in groups.items():
                times[who][size].append(max(group.tell("add_up", size, 200 if size < 1 << 18 else 10)))
    for who, by_size in times.items():
        medians = {size: float(np.median(values[1:])) for size, values in by_size.items()}
        messages = {size: 1 if who == ALL_SUM and size <= SMALL else 2 for size in SIZES}
        alpha, beta = fit(medians, messages)
        found[who] = {
            "alpha_us": round(1e6 * alpha, 3),
            "beta_ns": round(1e9 * beta, 5),
            "gb_per_s": in_gb(1 / beta if beta else np.inf),
            "us": {str(size): round(1e6 * t, 3) for size, t in medians.items()},
            "fit_us": {str(size): round(1e6 * (messages[size] * alpha + size * beta), 3) for size in SIZES},
        }
    return found


def fit(seconds: dict[int, float], messages: dict[int, int]) -> tuple[float, float]:
    """α, β ≥ 0 of messages·α + bytes·β = seconds, with the least squared relative error."""
    rows = np.array([[messages[size], size] for size in seconds]) / np.array(list(seconds.values()))[:, None]
    rows, scale = rows / rows.max(0), rows.max(0)
    found = np.linalg.lstsq(rows, np.ones(len(rows)), rcond=None)[0]
    if found.min() < 0:  # by noise: then the best fit is one of the two alone
        alone = np.diag(rows.sum(0) / (rows**2).sum(0))
        found = min(alone, key=lambda costs: np.sum((rows @ costs - 1) ** 2))
    alpha, beta = found / scale
    return float(alpha), float(beta)


def in_gb(rate: float) -> float | None:
    """Bytes a second as GB/s; None if bytes cost nothing."""
    return round(1e-9 * rate, 3) if np.isfinite(rate) else None


def rate_text(gb_per_s: float | None) -> str:
    return "∞" if gb_per_s is None else f"{gb_per_s:.3g}"


# Predictions


def run_predictions(
    workers: dict[str, Workers], models: Sequence[str], communication: dict[str, Any]
) -> dict[str, Any]:
    """Predicted times of a step, from the times of shards of every size on one process."""
    here = communication[ALL_SUM]
    rate = np.inf if here["gb_per_s"] is None else 1e9 * here["gb_per_s"]
    this = Network(1e-6 * here["alpha_us"], rate, "measured in this run, between two processes")
    networks = {"this machine": this} | NETWORKS
    found: dict[str, Any] = {
        "formula": FORMULA,
        "networks": {
            name: {"alpha_us": round(1e6 * n.alpha, 3), "gb_per_s": in_gb(n.rate), "source": n.source}
            for name, n in networks.items()
        },
        "work": {},
        "two_processes_ms": {},
        "steps": {},
    }
    for model in models:
        work, facts = measure_work(workers[OURS], model)
        found["work"][model] = facts
        for images in BATCHES:
            shards = images // min(images, SHARDS[-1])
            found["steps"][f"{model}, {images} images for each process"] = {
                name: record(predict_growing(work, network, shards, images // shards))
                for name, network in networks.items()
            }
        found["steps"][f"{model}, {BATCHES[-1]} images shared by all"] = {
            name: record(predict_shared(work, network, BATCHES[-1], BATCHES[-1] // SHARDS[-1]))
            for name, network in networks.items()
        }
        for batch in BATCHES:
            shards = Config(model=model, batch=batch).shards
            seconds = step_time(work, this, 2, shards, batch // shards)
            found["two_processes_ms"][f"{model}, batch {batch}"] = round(1e3 * seconds, 3)
    return found


def measure_work(group: Workers, model: str) -> tuple[Work, dict[str, Any]]:
    """Times of shards and of the update, and the bytes of a gradient."""
    shard, updates = {}, []
    for images in SHARDS:
        group.tell("prepare", model, images, 1)
        stages = stage_times(group, 12)
        shard[images] = 1e-3 * stages["gradients_ms"]
        updates.append(1e-3 * stages["update_ms"])
    size, update = group.tell("check")[0]["bytes"], float(np.median(updates))
    facts = {"shard_ms": {str(images): round(1e3 * t, 4) for images, t in shard.items()}}
    return Work(shard.__getitem__, update, size), facts | {"update_ms": round(1e3 * update, 4), "gradient_bytes": size}


# Tables and figure


def tables(results: dict[str, Any]) -> Group:
    cases = {key: case for key, case in results.items() if "batch" in key}
    predictions = results["predictions"]
    shown = (
        steps_table(cases),
        stages_table(cases, predictions["two_processes_ms"]),
        communication_table(results["communication"]),
        networks_table(predictions["networks"]),
        predictions_table(predictions),
    )
    return Group(*shown)


def grid(title: str, texts: Sequence[str], numbers: Sequence[str]) -> Table:
    """An empty table: columns of text, then columns of numbers."""
    table = Table(title=title)
    for column in texts:
        table.add_column(column)
    for column in numbers:
        table.add_column(column, justify="right")
    return table


def steps_table(cases: dict[str, Any]) -> Table:
    table = grid("One training step", ("case", "library"), ("median (ms)", "quartiles", "speed-up", "ratio"))
    for key, case in cases.items():
        speedups, ratios = {OURS_2: "speedup", PEER_2: "speedup_peer"}, {OURS: "ratio_one", OURS_2: "ratio"}
        for i, who in enumerate(COMPETITORS):
            entry = case[who]
            if "median_ms" not in entry:
                table.add_row("" if i else key, who, "absent")
                continue
            span = f"{entry['lower_quartile_ms']:.2f} – {entry['upper_quartile_ms']:.2f}"
            quotients = (_span(case.get(names.get(who, ""))) for names in (speedups, ratios))
            table.add_row("" if i else key, who, f"{entry['median_ms']:.2f}", span, *quotients)
        table.add_section()
    return table


def _span(entry: dict[str, float] | None) -> str:
    """Median and quartiles of a quotient."""
    if not entry:
        return ""
    return f"{entry['median']:.2f} ({entry['lower_quartile']:.2f} – {entry['upper_quartile']:.2f})"


def stages_table(cases: dict[str, Any], predicted: dict[str, float]) -> Table:
    columns = ("gradients", "sum", "update", "sent / gradient", "formula", "shards cost")
    table = grid("Stages of a step, in milliseconds", ("case", "library"), columns)
    for key, case in cases.items():
        for who in (OURS, OURS_2):
            entry, two = case[who], who == OURS_2
            sent = f"{entry['sent_bytes'] / entry['gradient_bytes']:.2f}" if two else ""
            formula = f"{predicted[key]:.2f}" if two and key in predicted else ""
            stages = (f"{entry[f'{stage}_ms']:.3f}" for stage in ("gradients", "sum", "update"))
            cost = "" if two else f"{case['ratio_shards']['median']:.2f}"
            table.add_row("" if two else key, who, *stages, sent, formula, cost)
    return table


def communication_table(communication: dict[str, Any]) -> Table:
    table = grid("Sums between two processes, in microseconds (and by the fit)", ("bytes",), tuple(communication))
    for size in map(str, SIZES):
        table.add_row(
            f"{int(size):,}", *(f"{e['us'][size]:.1f} ({e['fit_us'][size]:.1f})" for e in communication.values())
        )
    table.add_section()
    table.add_row("α, a message", *(f"{entry['alpha_us']:.2f} µs" for entry in communication.values()))
    rates = (f"{entry['beta_ns']:.3f} ns: {rate_text(entry['gb_per_s'])} GB/s" for entry in communication.values())
    table.add_row("β, a byte", *rates)
    return table


def networks_table(networks: dict[str, Any]) -> Table:
    table = Table(title="Networks: the cost of a message, and bytes a second")
    for column in ("network", "α (µs)", "GB/s", "from"):
        table.add_column(column, justify="left" if column in ("network", "from") else "right", overflow="fold")
    for name, figures in networks.items():
        table.add_row(name, f"{figures['alpha_us']:.3g}", rate_text(figures["gb_per_s"]), figures["source"])
    return table


def predictions_table(predictions: dict[str, Any]) -> Table:
    title = f"Predicted milliseconds of a step (and efficiency), by number of processes: {FORMULA}"
    table = grid(title, ("network",), (*map(str, SHOWN), f"≥ {PAYS:.0%} up to"))
    for case, networks in predictions["steps"].items():
        table.add_row(f"[bold]{case}[/bold]")
        for name, entry in networks.items():
            steps = [entry["processes"].get(str(p)) for p in SHOWN]
            cells = (f"{s['ms']:.3g} ({s['efficiency']:.0%})" if s else "—" for s in steps)
            table.add_row(name, *cells, str(entry["pays_up_to"]))
        table.add_section()
    return table


def draw(results: dict[str, Any]) -> Figure:
    """Above, a panel of bars for each case; below, communication, and predicted efficiencies."""
    cases = {key: case for key, case in results.items() if "batch" in key}
    steps = results["predictions"]["steps"]
    shown = [case for case in steps if f", {BATCHES[0]} images" in case or "shared" in case]
    figure = Figure(figsize=(20, 9.5), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subfigures(2, 1)
    for axes, (key, case) in zip(above.subplots(1, len(cases), squeeze=False)[0], cases.items(), strict=True):
        draw_steps(axes, key, case)
    first, *others = below.subplots(1, 1 + len(shown), squeeze=False)[0]
    draw_communication(first, results["communication"])
    for axes, case in zip(others, shown, strict=True):
        draw_efficiency(axes, case, steps[case])
    others[0].legend(fontsize=8, frameon=False)
    for axes in (first, *others):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    return figure


def draw_steps(axes: Axes, key: str, case: dict[str, Any]) -> None:
    ran = {who: case[who] for who in COMPETITORS if "median_ms" in case[who]}
    median, low, high = (
        np.array([entry[name] for entry in ran.values()])
        for name in ("median_ms", "lower_quartile_ms", "upper_quartile_ms")
    )
    colours = ["tab:orange" if who in (PEER, PEER_2) else "tab:blue" for who in ran]
    axes.barh(
        [who.replace(", ", "\n") for who in ran], median, xerr=[median - low, high - median], color=colours, capsize=3
    )
    for row, (edge, value) in enumerate(zip(high, median, strict=True)):
        axes.annotate(f"{value:.3g}", (edge, row), (6, 0), textcoords="offset points", va="center")
    words = {"speedup": "speed-up", "speedup_peer": "DDP", "ratio": "ratio to DDP"}
    found = (f"{word} {case[name]['median']:.2f}" for name, word in words.items() if case[name])
    axes.set_title(f"{key}\n{', '.join(found)}", fontsize=10)
    axes.set(xlabel="milliseconds a step", xlim=(0, 1.25 * high.max()))
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)


def draw_communication(axes: Axes, communication: dict[str, Any]) -> None:
    for colour, (who, entry) in zip(("tab:blue", "tab:orange"), communication.items(), strict=False):
        axes.loglog(SIZES, list(entry["us"].values()), "o", color=colour, label=who)
        label = f"α = {entry['alpha_us']:.3g} µs, 1/β = {rate_text(entry['gb_per_s'])} GB/s"
        axes.loglog(SIZES, list(entry["fit_us"].values()), "-", color=colour, label=label)
    axes.set_title("sums between two processes", fontsize=10)
    axes.set(xlabel="bytes", ylabel="microseconds")
    axes.legend(fontsize=8, frameon=False)


def draw_efficiency(axes: Axes, case: str, networks: dict[str, Any]) -> None:
    for name, entry in networks.items():
        efficiency = [step["efficiency"] for step in entry["processes"].values()]
        axes.semilogx(list(map(int, entry["processes"])), efficiency, marker="o", ms=3, base=2, label=name)
    axes.axhline(PAYS, color="0.5", ls=":", lw=1)
    axes.set_title(case, fontsize=10)
    axes.set(xlabel="processes", ylabel="predicted efficiency", ylim=(0, 1.05))


def main() -> None:
    parser = make_parser("processes", __doc__, rounds=15, threaded=False)
    parser.add_argument("--model", nargs="+", choices=list(MODELS), default=list(MODELS), help="default: both")
    parser.add_argument("--batch", nargs="+", type=positive, default=BATCHES, help="default: 128 1024")
    options = parse_options(parser)
    if min(options.batch) < 32:
        parser.error("a batch of fewer than 32 images is one shard, which two processes cannot share: --batch 32")
    results: dict[str, Any] = {"machine": machine_facts(1, ("minigrad", "mpi4py", "torch"))}
    with start_workers() as workers:
        for name in options.model:
            for batch in options.batch:
                print(f"{name}, batch {batch} …", file=sys.stderr, flush=True)
                results[f"{name}, batch {batch}"] = run_case(workers, name, batch, options.rounds)
        print("communication and predictions …", file=sys.stderr, flush=True)
        results["communication"] = run_communication(workers, options.rounds)
        results["predictions"] = run_predictions(workers, options.model, results["communication"])
    publish("processes", results, draw(results), tables(results), options)


if __name__ == "__main__":
    main()
