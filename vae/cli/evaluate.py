"""python -m vae evaluate: compute bounds on −ln Q(y) of test images."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from typing import Any

import numpy as np
from rich.table import Table

import minigrad as mg
from minigrad import collectives
from minigrad.commandline import Parser
from vae import evaluation, objectives, terminal
from vae.cli.options import add_data, add_run, count
from vae.cli.runs import load_run, load_test_images
from vae.data import checksum_of, place
from vae.errors import UserError
from vae.explain import describe_elbo
from vae.processes import agree
from vae.trainer import State, Trainer

ABOUT = "Bounds on −ln Q(y) of test images, in nats per image."


def add_options(parser: Parser) -> None:
    """The options of the command."""
    add_run(parser)
    add_data(parser)
    parser.add_argument("--importance", type=count, default=0, metavar="K", help="also the K-sample bound")
    parser.add_argument("--json", action="store_true", default=False, help="print the numbers as JSON")
    parser.set_defaults(printed=True)


def run(options: Namespace, given: dict[str, Any]) -> int:
    """Compute and print bounds on −ln Q(y) of the test images."""
    trainer, state = load_run(options)
    data = load_test_images(trainer, state, given)
    if trainer.likelihood.profiled and state.log_sigma is None:
        raise UserError(f"{options.checkpoint} has no σ yet, because it stopped in its first epoch: resume it first")
    agree(images=checksum_of(data.test))
    images, key = place(data.test, trainer.device), mg.to_device(mg.random.key(options.seed), trainer.device)
    scores = _compute_scores(trainer, state, images, key, options.importance)
    if not all(map(math.isfinite, scores.values())):
        raise UserError(f"the bounds are not finite on these images ({scores}): train again with a lower learning rate")
    pixels = int(np.prod(trainer.model.image_shape))
    bits = _to_bits_per_dimension(scores, pixels) if trainer.likelihood.eight_bit else {}
    if options.json:
        print(json.dumps({"images": len(data.test), **scores, **({"bits_per_dimension": bits} if bits else {})}))
        return 0
    about = {
        "negative_elbo_closed": "−ELBO, closed KL",
        "distortion": "  distortion E −ln Q(y|z)",
        "rate": "  rate KL(P(z|y), Q(z))",
        "negative_elbo_sampled": "−ELBO, sampled entropy",
    }
    units = ("nats per image", "bits per dimension") if bits else ("nats per image",)
    table = Table("bound on −ln Q(y)", *units, title=f"{len(data.test)} test images of {data.name}")
    for name, value in scores.items():
        numbers = (f"{value:.3f}", f"{bits[name]:.4f}") if bits else (f"{value:.3f}",)
        table.add_row(about.get(name, f"−importance bound, K = {options.importance}"), *numbers)
    console = terminal.console()
    terminal.print_table(console, table)
    console.print(describe_elbo(trainer.likelihood, data.binary, pixels))
    return 0


def _to_bits_per_dimension(scores: dict[str, float], pixels: int) -> dict[str, float]:
    """Nats per image as bits per pixel and channel; `pixels` is H·W·C."""
    return {name: nats / (math.log(2) * pixels) for name, nats in scores.items()}


def _compute_scores(trainer: Trainer, state: State, images: Any, key: Any, samples: int) -> dict[str, float]:
    """Compute every bound, by name, in nats per image, with a progress bar on stderr."""
    common = (trainer.trained(state), images, key)
    with terminal.progress(terminal.console(stderr=True)) as progress:
        passes = len(objectives.FORMS) + samples
        total = len(images) * passes // collectives.size()  # the others are not shown
        bar = progress.add_task("evaluating", total=total)
        rest = {"log_sigma": state.log_sigma, "on_images": lambda count: progress.update(bar, advance=count)}
        pixels, latents = evaluation.mean_elbo_sums(*common, "closed", **rest)
        scores = {"negative_elbo_closed": -(pixels + latents), "distortion": -pixels, "rate": -latents}
        scores["negative_elbo_sampled"] = -evaluation.mean_elbo(*common, "sampled", **rest)
        if samples:
            bound = evaluation.mean_importance_bound(*common, samples, **rest)
            scores[f"negative_importance_bound_{samples}"] = -bound
    return scores
