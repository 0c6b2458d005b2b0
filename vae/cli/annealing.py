"""Annealed importance sampling in python -m vae evaluate: compute it, as a table, as JSON and as a picture.

Signs are those of the other bounds: on −ln Q(y), forward chains give an upper bound, backward chains a lower one. Test
images only have the upper one. Images drawn from the model have both, for T/4, T/2 and T temperatures: how far apart
they are says how close the upper bound of test images can be trusted to be, if these are like those of the model.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

import minigrad as mg
from minigrad import collectives
from vae import terminal
from vae.annealing import Annealing, annealed_bounds, count_moves, simulate
from vae.annealing import Estimate as Bounds
from vae.cli.output import try_drawing, write_estimate
from vae.cli.runs import binarise_images
from vae.data import Dataset, place
from vae.evaluation import Estimate
from vae.trainer import State, Trainer

KEY = 3  # derives the key from the seed (see `vae.cli.runs.PIXELS`)
SIMULATED = 100  # images drawn from the model, at most
PICTURE = "annealing.png"


class Annealed(NamedTuple):
    """The bounds of the test images, and by T those of images drawn from the model, on ln Q(y) of each image."""

    settings: Annealing
    given: Bounds
    simulated: dict[int, Bounds]


def measure(trainer: Trainer, state: State, grey: Any, how: str, settings: Annealing, seed: int = 0) -> Annealed:
    """The bounds of images (N, H, W, C), binarised as `how` says, and of as many drawn from the model, from 2 to 100.

    Shows a progress bar on stderr; all processes and threads take part.
    """
    autoencoder, log_sigma = trainer.trained(state), state.log_sigma
    images = place(binarise_images(trainer, grey, how, seed), trainer.device)
    key = mg.to_device(mg.random.fold_in(mg.random.key(seed), KEY), trainer.device)
    of_images, of_simulated, of_bounds = mg.random.split(key, 3)
    z, drawn = simulate(autoencoder, min(max(len(images), 2), SIMULATED), of_simulated, log_sigma)
    series = [replace(settings, temperatures=t) for t in series_of(settings.temperatures)]
    moves = len(images) * count_moves(settings) + len(drawn) * sum(count_moves(each, upper=True) for each in series)
    with terminal.progress(terminal.console(stderr=True)) as progress:
        bar = progress.add_task("annealing", total=moves // collectives.size())  # of this process

        def on_moves(count: int) -> None:
            progress.update(bar, advance=count)

        given = annealed_bounds(autoencoder, images, of_images, settings, log_sigma, on_moves=on_moves)
        simulated = {
            each.temperatures: annealed_bounds(autoencoder, drawn, of_bounds, each, log_sigma, z, on_moves)
            for each in series
        }
    return Annealed(settings, given, simulated)


def series_of(temperatures: int) -> list[int]:
    """T/4, T/2 and T, without numbers below 2.

    >>> series_of(100), series_of(5)
    ([25, 50, 100], [2, 5])
    """
    return sorted({t for t in (temperatures // 4, temperatures // 2, temperatures) if t >= 2})


def _estimates(bounds: Bounds) -> dict[str, Estimate]:
    """The bounds on −ln Q(y) and their difference, in nats per image."""
    found = {"upper": Estimate.of(-bounds.lower)}
    if bounds.upper is not None:
        found |= {"lower": Estimate.of(-bounds.upper), "gap": Estimate.of(bounds.upper - bounds.lower)}
    return found


def means(annealed: Annealed) -> dict[str, float]:
    """The mean of each bound on −ln Q(y), by name."""
    parts = {"": annealed.given, **{f" of {t} temperatures": bounds for t, bounds in annealed.simulated.items()}}
    found = {}
    for of, bounds in parts.items():
        pair = {"upper": bounds.lower, "lower": bounds.upper}
        found |= {name + of: -float(np.mean(each)) for name, each in pair.items() if each is not None}
    return found


def to_record(annealed: Annealed) -> dict[str, Any]:
    """Everything for JSON: bounds on −ln Q(y) with their standard errors over images, and acceptances."""

    def write(bounds: Bounds) -> dict[str, float | None]:
        record: dict[str, float | None] = {}
        for name, (mean, error) in _estimates(bounds).items():
            record |= {name: mean, f"{name}_standard_error": error}
        return {**record, "acceptance": bounds.acceptance}

    settings, given = annealed.settings, annealed.given
    drawn = [{"temperatures": t, "images": len(b.lower), **write(b)} for t, b in annealed.simulated.items()]
    about = {"temperatures": settings.temperatures, "chains": settings.chains, "images": len(given.lower)}
    return {**about, **write(given), "simulated": drawn}


def report(annealed: Annealed | None, data: Dataset) -> tuple[list[Table], list[str]]:
    """The table of bounds and the lines below it; none without a measurement."""
    if annealed is None:
        return [], []
    names = ("images", "T", "upper bound", "lower bound", "gap", "acceptance")
    table = Table(*names, title=f"−ln Q(y) of {data.name} by annealing, nats per image")
    parts = [(f"{len(annealed.given.lower)} test", annealed.settings.temperatures, annealed.given)]
    parts += [(f"{len(b.lower)} drawn", t, b) for t, b in annealed.simulated.items()]
    for what, t, bounds in parts:
        found = _estimates(bounds)
        cells = [write_estimate(found[name]) if name in found else "–" for name in ("upper", "lower", "gap")]
        table.add_row(what, str(t), *cells, f"{bounds.acceptance:.2f}")
    lines = [
        f"T temperatures, {annealed.settings.chains} chains for each image; the bounds hold on average over chains"
    ]
    lines.append("drawn: from the model, so they may be unlike test images; their gap says how tight the bounds are")
    return [table], lines


def draw(folder: Path, annealed: Annealed | None) -> list[Path]:
    """Draw the bounds of images from the model; the paths of the pictures that were drawn."""
    if annealed is None:
        return []
    path, bounds = folder / PICTURE, list(annealed.simulated.values())
    title = f"Annealing, {len(bounds[0].lower)} images drawn from the model, {annealed.settings.chains} chains"
    found = [b.lower for b in bounds], [b.upper for b in bounds]
    return [path] * try_drawing("annealing_bounds", path, list(annealed.simulated), *found, title)
