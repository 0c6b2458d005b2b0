"""python -m vae check: compare every parameter tensor's gradient with finite differences."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Column, Table

import minigrad as mg
from minigrad import collectives
from minigrad.collectives import from_first
from minigrad.commandline import Parser
from vae import files, gradients, terminal
from vae.autoencoder import Autoencoder
from vae.cli.options import add_device, add_model, count, path, picture, seed
from vae.cli.output import try_drawing
from vae.cli.runs import choose_device, merge_settings
from vae.config import Config
from vae.data import load
from vae.errors import UserError
from vae.gradient_report import ADJOINT_TOLERANCE, COARSE, TOLERANCE, GradientReport
from vae.processes import is_first
from vae.runs import load_config, load_everywhere
from vae.trainer import make_trainer

ABOUT = "Compare reverse mode with finite differences for every parameter tensor."


def add_options(parser: Parser) -> None:
    """The options of the command."""
    add_model(parser)
    parser.add_argument("--images", type=count, default=4, metavar="N", help="images in the loss (4)")
    parser.add_argument("--coordinates", type=count, default=30, metavar="N", help="entries of each tensor (30)")
    parser.add_argument(
        "--checkpoint", type=path, default=None, metavar="DIR", help="check at a trained run's parameters"
    )
    parser.add_argument("--seed", type=seed, help="seed of parameters, ε, images and coordinates (0)")
    parser.add_argument("--json", action="store_true", default=False, help="print the report as JSON")
    parser.add_argument("--picture", type=picture, default=None, metavar="FILE", help="draw the agreement plot")
    add_device(parser)
    parser.set_defaults(printed=True)


def run(options: Namespace, given: dict[str, Any]) -> int:
    """Compare every parameter tensor with finite differences; exit code 1 if one disagrees."""
    device = choose_device(options.device)
    if options.picture is not None and is_first():
        files.make_folder(options.picture.parent)
    if options.checkpoint is not None:
        trainer = make_trainer(*from_first(lambda: load_config(options.checkpoint)))
        config = merge_settings(trainer.config, given, free=("seed",))
        trained = trainer.trained(load_everywhere(trainer, options.checkpoint))
    else:
        config, trained = Config(**given), None
    if options.images < collectives.size():
        raise UserError(f"{collectives.size()} processes need as many images: use --images {collectives.size()}")
    report = make_report(config, options.images, options.coordinates, options.seed, trained, device)
    if options.json:
        print(json.dumps(report.to_dict()))
    else:
        over = f" over {collectives.size()} processes" if collectives.size() > 1 else ""
        title = f"{config.model}, {config.decoder} decoder: reverse mode{over} against five-point differences, ε frozen"
        print_report(terminal.console(), report, title)
    if options.picture is not None and is_first():
        draw_agreement(options.picture, report, config.model)
    return 0 if report.passed else 1


def make_report(
    config: Config,
    images: int,
    coordinates: int,
    seed: int,
    trained: Autoencoder | None,
    device: str,
) -> GradientReport:
    """Check the gradients of a configuration, at its initial parameters or at those of `trained`."""
    if trained is None:
        trainer = make_trainer(config, (28, 28, 1))
        trained = trainer.autoencoder(trainer.initial().parameters)
    model = trained.model
    if model.image_shape == (28, 28, 1):
        y = load("digits", size=(1, images), seed=seed).test
    else:
        y = mg.random.uniform(mg.random.key(seed), (images, *model.image_shape), np.float64)
    shape = (images, model.latent) if config.samples == 1 else (config.samples, images, model.latent)
    noise = mg.random.normal(mg.random.fold_in(mg.random.key(seed), 1), shape, np.float64)
    weights = config.make_weights(model.image_shape)
    return gradients.check(
        trained,
        y,
        noise,
        config.form,
        weights,
        config.objective,
        coordinates=coordinates,
        seed=seed,
        device=device,
    )


def print_report(console: Console, report: GradientReport, title: str) -> None:
    """Print the report as a table, the meaning of its columns, and the verdict."""
    columns = "shape", "entries", "kinks", "redrawn", "undecided", "max relative error", "±"
    table = Table(Column("parameter", no_wrap=True), *columns, title=title)
    for t in (*report.tensors, report.directions):
        shape = "×".join(map(str, t.shape)) or ("random directions" if t is report.directions else "number")
        error = f"{t.max_relative_error:.1e}" if t.max_relative_error or t.undecided < t.coordinates else "–"
        counts = map(str, (t.coordinates, t.kinks, t.redrawn, t.undecided))
        table.add_row(t.name, shape, *counts, error, f"{t.uncertainty:.1e}")
    terminal.print_table(console, table)
    console.print(
        "kinks: steps that crossed a kink and were replaced by smaller ones; redrawn: entries replaced by others "
        "because every step crossed a kink"
    )
    if report.undecided:
        console.print(
            f"undecided: {report.undecided} entries whose finite difference has an error above {TOLERANCE:.0e} (up to "
            "±, from rounding of the loss); the gradient agrees within that error"
        )
    worst = max((t.max_relative_error for t in (*report.tensors, report.directions) if t.seen), default=math.inf)
    if report.verdict == "undecided":
        names = ", ".join(t.name for t in (*report.tensors, report.directions) if not t.seen)
        console.print(
            f"no finite difference of {names} is accurate to {COARSE:.0e}, so a wrong gradient there could go unnoticed"
        )
    console.print(
        f"{report.verdict}: largest error {worst:.1e} of the tensor's largest gradient entry "
        f"(≤ {TOLERANCE:.0e}); ⟨Jv,u⟩ − ⟨v,Jᵀu⟩ {report.adjoint_gap:.1e} "
        f"(≤ {ADJOINT_TOLERANCE:.0e})"
    )


def draw_agreement(path: Path, report: GradientReport, model: str) -> None:
    """Draw the agreement plot of the decided and the wrong entries whose error is finite, if there are any."""
    rows = [c for c in report.coordinates if math.isfinite(c.relative) and (c.decided or c.wrong)]
    if rows:
        reverse, difference, relative = np.array([(c.reverse, c.difference, c.relative) for c in rows]).T
        title = f"{model}: {len(rows)} gradient entries, reverse mode against five-point differences"
        names = [c.name for c in rows]
        try_drawing("agreement", path, reverse, difference, names, TOLERANCE, title, relative=relative)
