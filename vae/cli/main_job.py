"""python -m vae: gradient check, training, pictures and a report, on built-in digits."""

from __future__ import annotations

import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from rich.table import Table

from minigrad.commandline import Parser
from vae import files, folders, terminal
from vae.cli import check, train
from vae.cli.options import add_out, seed
from vae.cli.output import list_files
from vae.cli.runs import load_images
from vae.config import Config

ABOUT = (
    "A variational autoencoder whose gradients are checked. Without a command: check the gradients, train on built-in "
    "digits, draw, and report, in under three minutes."
)


def add_options(parser: Parser) -> None:
    """The options of this job, which precede any command."""
    add_out(parser, "runs/main")
    parser.add_argument("--seed", type=seed, help="seed of everything random (0)")
    parser.set_defaults(run=run, out=None, force=False)


def run(options: Namespace, given: dict[str, Any]) -> int:
    """Check gradients, train, draw, report: on built-in digits, in under three minutes on two cores."""
    console, began = terminal.console(), time.perf_counter()
    out = options.held.enter_context(folders.claim(options.out, Path("runs/main"), options.force))
    for folder in (out / "conv", out / "plane"):
        files.make_folder(folder)
        options.held.enter_context(folders.lock(folder))
        folders.clear(folder)
    folders.clear(out)
    passed = True
    for model in ("mlp", "conv"):
        report = check.make_report(Config(model=model, seed=options.seed), 4, 30, options.seed, None, "cpu")
        check.print_report(console, report, f"{model}: reverse mode against five-point differences, ε frozen")
        check.draw_agreement(out / f"gradients-{model}.png", report, model)
        passed = passed and report.passed
    runs = {
        "conv": Config(model="conv", latent=16, epochs=8, shards=1, seed=options.seed),
        "plane": Config(model="mlp", latent=2, epochs=25, shards=1, seed=options.seed),
    }
    table = Table("run", "model", "latents", "epochs", "train −ELBO", "test −ELBO (nats)", title="trained")
    data = load_images(runs["conv"])
    for name, config in runs.items():
        state = train.train_run(console, config, data, out / name, None, "cpu")
        last = state.history[-1]
        scores = f"{-last['train_elbo']:.2f}", f"{-last['test_elbo']:.2f}"
        table.add_row(name, config.model, str(config.latent), str(config.epochs), *scores)
    terminal.print_table(console, table)
    list_files(console, out)
    verdict = "all gradients agree" if passed else "GRADIENTS DISAGREE"
    console.print(f"{verdict}; {time.perf_counter() - began:.0f} s; everything is in {out}")
    return 0 if passed else 1
