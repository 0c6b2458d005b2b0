"""python -m vae reproduce: train published models, measure what was published, and compare."""

from __future__ import annotations

import math
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

import minigrad as mg
from minigrad.commandline import Parser
from vae import files, folders, terminal
from vae.cli import train
from vae.cli.bounds import IMPORTANCE, compute_scores
from vae.cli.options import add_device, name_or_path, path, seed
from vae.cli.runs import choose_device, load_test_images, make_absolute
from vae.config import Config
from vae.data import load
from vae.errors import UserError
from vae.recipes import QUICK, QUICK_SAMPLES, RECIPES, Recipe
from vae.runs import CHECKPOINT, load_config, load_state
from vae.steps import shuffle
from vae.trainer import make_trainer
from vae.training import advance_state, make_gradient, make_whole_step

ABOUT = "Train published models, evaluate them on all test images, and compare with the published numbers."
DEFAULT_OUT = Path("runs/reproduce")
RESULT = "result.json"
STEPS = 12  # timed for --list


def add_options(parser: Parser) -> None:
    """The options of the command."""
    parser.add_argument("names", nargs="*", default=[], metavar="NAME", help=f"{', '.join(RECIPES)} (all of them)")
    parser.add_argument("--list", action="store_true", default=False, help="list them, with the time that each takes")
    parser.add_argument("--quick", action="store_true", default=False, help="a minute on built-in data, to try it out")
    parser.add_argument("--data-dir", type=name_or_path, metavar="DIR", help="folder that holds the data sets")
    about = f"folder of the runs, which are continued if they are there ({DEFAULT_OUT})"
    parser.add_argument("--out", type=path, metavar="DIR", default=None, help=about)
    parser.add_argument("--seed", type=seed, help="seed of everything random (0)")
    add_device(parser)


def run(options: Namespace, given: dict[str, Any]) -> int:
    """Reproduce the recipes asked for, or list them."""
    names, given = options.names or list(RECIPES), make_absolute(given)
    if unknown := [name for name in names if name not in RECIPES]:
        raise UserError(f"unknown recipe {unknown[0]!r}: use {', '.join(RECIPES)}")
    console = terminal.console()
    if options.list:
        terminal.print_table(console, _list(names, choose_device(options.device)))
        return 0
    out = options.out or (Path(f"{DEFAULT_OUT}-quick") if options.quick else DEFAULT_OUT)
    recipes = {name: _shorten(RECIPES[name]) if options.quick else RECIPES[name] for name in names}
    for data in {recipe.settings["data"] for recipe in recipes.values()} - {"digits"}:
        load(data, given.get("data_dir"))  # what is missing should be known before hours of training
    results = []
    for name, recipe in recipes.items():
        results.append(_reproduce(options, recipe, out / name, given))
        files.write_json(out / name / RESULT, results[-1])
    terminal.print_table(console, _compare(results))
    for recipe in recipes.values():
        for value, source in recipe.others:
            console.print(f"also published for {recipe.about}: {value:.2f} ({source})")
    console.print(f"ours ± one standard error over the test images; everything is in {out}")
    return 0


def _shorten(recipe: Recipe) -> Recipe:
    """The recipe for a minute on built-in data, whose number cannot be compared."""
    return replace(recipe, settings={**recipe.settings, **QUICK}, samples=min(recipe.samples, QUICK_SAMPLES))


def _reproduce(options: Namespace, recipe: Recipe, out: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Train, or go on training, evaluate, and return the result for JSON."""
    if recipe.settings["data"] == "digits":
        given = {name: value for name, value in given.items() if name != "data_dir"}
    resume = (out / CHECKPOINT).exists()
    if not resume and out.is_dir() and folders.holds_files(out):
        raise UserError(f"{out} holds files, but no run to continue: choose another --out")
    more = {"out": out, "resume": resume, "force": False}
    train.run(Namespace(**{**vars(options), **more}), {**recipe.settings, **given})
    config, shape = load_config(out)
    trainer = make_trainer(config, shape, choose_device(options.device))
    state = load_state(trainer, out)
    sizes = {name: recipe.settings.get(name) for name in ("train_size", "test_size")}
    data = load_test_images(trainer, state, {**given, **sizes})
    scores = compute_scores(trainer, state, data.test, config.binarise, [recipe.samples] if recipe.samples else [])
    found = scores[f"{IMPORTANCE}{recipe.samples}" if recipe.samples else "negative_elbo_closed"].estimate
    return {
        "about": recipe.about,
        "measured": f"−L_{recipe.samples}" if recipe.samples else "−ELBO",
        "published": recipe.published,
        "published_error": recipe.error,
        "source": recipe.source,
        "ours": found.mean,
        "standard_error": found.standard_error,
        "test_images": len(data.test),
        "epochs": state.epoch,
        "training_seconds": round(sum(record["seconds"] for record in state.history), 1),
        "quick": options.quick,
        "date": date.today().isoformat(),
        "scores": {name: score.estimate.mean for name, score in scores.items()},
    }


def judge(result: dict[str, Any]) -> str:
    """Whether our number, lower is better, reaches the published one within two standard errors of both."""
    if result["quick"]:
        return "–: a quick try on other data"
    short = result["ours"] - result["published"]
    error = math.hypot(result["standard_error"] or 0.0, result["published_error"] or 0.0)
    if short <= 0:
        return f"better by {-short:.2f}"
    return f"within two standard errors ({short:.2f})" if short <= 2 * error else f"short by {short:.2f}"


def _compare(results: Sequence[dict[str, Any]]) -> Table:
    """The table of results."""
    table = Table("set-up", "measured", "published", "ours", "verdict", "trained", title="nats per image")
    for r in results:
        published = f"{r['published']:.2f}" + (f" ± {r['published_error']:.2f}" if r["published_error"] else "")
        ours = f"{r['ours']:.2f} ± {r['standard_error'] or 0.0:.2f}"
        trained = f"{r['epochs']} epochs, {_minutes(r['training_seconds'])}"
        table.add_row(r["about"], r["measured"], f"{published} ({r['source']})", ours, judge(r), trained)
    return table


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _list(names: Sequence[str], device: str) -> Table:
    """The recipes, and how long each would train here, from the time of a few steps."""
    table = Table("name", "set-up", "published", "source", "data", "training here", title="recipes")
    for name in names:
        recipe = RECIPES[name]
        numbers = f"{recipe.published:.2f}", recipe.source, recipe.settings["data"]
        table.add_row(name, recipe.about, *numbers, _minutes(_predict(recipe, device)))
    return table


def _predict(recipe: Recipe, device: str) -> float:
    """Seconds to train on images of 28×28 pixels, without evaluations, from the median time of a few steps."""
    config = Config(**recipe.settings)
    trainer = make_trainer(config, (28, 28, 1), device)
    some = mg.random.uniform(mg.random.key(0), (config.batch * STEPS, 28, 28, 1))
    order, noise, pixels = mg.random.split(mg.random.key(1), 3)
    pixel_key = pixels if config.binarise == "dynamic" else None
    epoch = shuffle(mg.to_device(some, device), config.batch, order, noise, pixel_key=pixel_key)
    state, prepare, advance, taken = trainer.initial(), make_gradient(trainer), make_whole_step(trainer), []
    for batch in epoch.batches():
        began = time.perf_counter()
        state, loss = advance_state(advance, state, batch, prepare(state.parameters, batch))
        float(loss)
        taken.append(time.perf_counter() - began)
    return float(np.median(taken[3:])) * -(-recipe.images // config.batch) * config.epochs
