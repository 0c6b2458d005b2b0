"""python -m vae evaluate: compute bounds on −ln Q(y) of test images."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

import minigrad as mg
from minigrad import collectives
from minigrad.commandline import Parser
from vae import evaluation, files, objectives, terminal
from vae.cli.options import add_run, add_test_images, count, picture
from vae.cli.output import try_drawing
from vae.cli.runs import binarise_test, load_run, load_test_images
from vae.data import Dataset, checksum_of, place
from vae.errors import UserError
from vae.evaluation import Estimate
from vae.explain import describe_elbo
from vae.processes import agree, is_first
from vae.trainer import State, Trainer
from vae.training import best_epoch

ABOUT = "Bounds on −ln Q(y) of test images, in nats per image."
NOISE = 2  # derives the keys of the noise of further draws from the seed (see `vae.cli.runs.PIXELS`)
ROWS = {
    "negative_elbo_closed": "−ELBO, closed KL",
    "distortion": "  distortion E −ln Q(y|z)",
    "rate": "  rate KL(P(z|y), Q(z))",
    "negative_elbo_sampled": "−ELBO, sampled entropy",
}
IMPORTANCE = "negative_importance_bound_"


class Score(NamedTuple):
    """A reported number: its estimate over images, after the mean over draws, and the spread of the draws."""

    estimate: Estimate
    spread: float | None  # the standard deviation over draws of the mean over images; None for a single draw


def add_options(parser: Parser) -> None:
    """The options of the command."""
    add_run(parser)
    add_test_images(parser)
    about = "also the bounds of so many samples; smaller numbers use the samples of the largest"
    parser.add_argument("--importance", type=count, nargs="+", default=[], metavar="K", help=about)
    parser.add_argument("--draws", type=count, default=1, metavar="R", help="of dynamically binarised images (1)")
    parser.add_argument(
        "--picture", type=picture, default=None, metavar="FILE", help="bounds of several K (bounds.png)"
    )
    parser.add_argument("--json", action="store_true", default=False, help="print the numbers as JSON")
    parser.set_defaults(printed=True)


def run(options: Namespace, given: dict[str, Any]) -> int:
    """Compute and print bounds on −ln Q(y) of the test images."""
    samples = sorted({*options.importance})
    if options.picture is not None and len(samples) < 2:
        raise UserError("--picture draws the bounds of several numbers of samples: give them with --importance K K …")
    trainer, state = load_run(options)
    data = load_test_images(trainer, state, given)
    if trainer.likelihood.profiled and state.log_sigma is None:
        raise UserError(f"{options.checkpoint} has no σ yet, because it stopped in its first epoch: resume it first")
    if options.picture is not None and is_first():
        files.make_folder(options.picture.parent)  # now: an error should come before the computation
    how = given.get("binarise", trainer.config.binarise)
    require_draws(options.draws, how, data.binary)
    agree(images=checksum_of(data.test))
    scores = compute_scores(trainer, state, data.test, how, samples, options.seed, options.draws)
    if bad := {name: score.estimate.mean for name, score in scores.items() if not math.isfinite(score.estimate.mean)}:
        raise UserError(f"the bounds are not finite on these images ({bad}): train again with a lower learning rate")
    if options.json:
        about = {"images": len(data.test), "binarise": how, "draws": options.draws}
        about |= {"weights": weights_of(trainer, state), "epoch": _epoch_of(trainer, state)}
        print(json.dumps({**about, **to_record(scores), **_bits_record(trainer, scores)}))
    else:
        _print_scores(trainer, state, data, how, options.draws, scores)
    path = options.picture or options.checkpoint / "bounds.png"
    if len(samples) > 1 and _draw(path, samples, scores, data) and not options.json:
        terminal.console().print(str(path))
    return 0


def require_draws(draws: int, how: str, binary: bool) -> None:
    """Raises UserError for several draws of images that are the same in each."""
    if draws > 1 and (how != "dynamic" or binary):
        why = "the images are binary already" if binary else f"the images are evaluated with --binarise {how}"
        raise UserError(f"--draws {draws} has nothing to draw, because {why}: only --binarise dynamic draws grey ones")


def compute_scores(
    trainer: Trainer, state: State, grey: Any, how: str, samples: list[int], seed: int = 0, draws: int = 1
) -> dict[str, Score]:
    """Every bound, by name, with a progress bar on stderr, of images (N, H, W, C) that are binarised as `how` says
    (see `vae.cli.runs.binarise_test`)."""
    found: list[dict[str, np.ndarray]] = []
    with terminal.progress(terminal.console(stderr=True)) as progress:
        passes = (len(objectives.FORMS) + max(samples, default=0)) * draws
        bar = progress.add_task("evaluating", total=len(grey) * passes // collectives.size())  # of this process
        for draw in range(draws):
            images = place(binarise_test(trainer, grey, how, seed, draw), trainer.device)
            key = mg.random.key(seed)
            key = mg.random.fold_in(mg.random.fold_in(key, NOISE), draw) if draw else key
            common = trainer.trained(state), images, mg.to_device(key, trainer.device)
            rest = {"log_sigma": state.log_sigma, "on_images": lambda count: progress.update(bar, advance=count)}
            found.append(_compute_scores(common, samples, rest))
    return summarise({name: np.stack([scores[name] for scores in found]) for name in found[0]})


def _compute_scores(common: tuple, samples: list[int], rest: dict[str, Any]) -> dict[str, np.ndarray]:
    """Every bound, by name, of each image, (N,), in nats."""
    pixels, latents = evaluation.elbo_sums_per_image(*common, "closed", **rest)
    scores = {"negative_elbo_closed": -(pixels + latents), "distortion": -pixels, "rate": -latents}
    scores["negative_elbo_sampled"] = -evaluation.elbo_sums_per_image(*common, "sampled", **rest).sum(axis=0)
    if samples:
        bounds = evaluation.importance_bounds_per_image(*common, samples, **rest)
        scores |= {f"{IMPORTANCE}{k}": -bound for k, bound in zip(samples, bounds, strict=True)}
    return scores


def summarise(values: dict[str, np.ndarray]) -> dict[str, Score]:
    """The score of each bound from its values (draws, N)."""
    return {name: Score(Estimate.of(each.mean(axis=0)), _spread(each.mean(axis=1))) for name, each in values.items()}


def _spread(means: np.ndarray) -> float | None:
    """The standard deviation of means, one for each draw; None for a single one."""
    return float(np.std(means, ddof=1)) if len(means) > 1 else None


def to_record(scores: dict[str, Score]) -> dict[str, float | None]:
    """The scores for JSON: each number, its standard error over images, and its spread over draws, if several."""
    record: dict[str, float | None] = {}
    for name, (estimate, spread) in scores.items():
        record |= {name: estimate.mean, f"{name}_standard_error": estimate.standard_error}
        if spread is not None:
            record[f"{name}_spread_of_draws"] = spread
    return record


def _to_bits(trainer: Trainer, nats: float) -> float:
    """Nats per image as bits per dimension, that is, per pixel and channel."""
    return nats / (math.log(2) * math.prod(trainer.model.image_shape))


def _bits_record(trainer: Trainer, scores: dict[str, Score]) -> dict[str, dict[str, float]]:
    """The scores in bits per dimension for JSON, if Q(y) is a probability of 8-bit images."""
    if not trainer.likelihood.eight_bit:
        return {}
    return {"bits_per_dimension": {name: _to_bits(trainer, score.estimate.mean) for name, score in scores.items()}}


def write_estimate(estimate: Estimate) -> str:
    """An estimate with two digits of its standard error, and two decimals at least.

    >>> write_estimate(Estimate(84.4512, 0.1234)), write_estimate(Estimate(84.4512, 0.001234))
    ('84.45 ± 0.12', '84.4512 ± 0.0012')
    """
    error = estimate.standard_error
    if error is None:
        return f"{estimate.mean:.3f}"
    decimals = min(8, max(2, 1 - math.floor(math.log10(error)))) if error > 0 else 3
    return f"{estimate.mean:.{decimals}f} ± {error:.{decimals}f}"


def _print_scores(
    trainer: Trainer, state: State, data: Dataset, how: str, draws: int, scores: dict[str, Score]
) -> None:
    """Print the table of bounds, and what they are of."""
    bits = trainer.likelihood.eight_bit
    columns = [
        "bound on −ln Q(y)",
        "nats per image",
        *["bits per dimension"] * bits,
        *["spread of draws"] * (draws > 1),
    ]
    table = Table(*columns, title=f"{len(data.test)} test images of {data.name}")
    for name, (estimate, spread) in scores.items():
        label = ROWS.get(name, f"−importance bound, K = {name.removeprefix(IMPORTANCE)}")
        per_dimension = [f"{_to_bits(trainer, estimate.mean):.4f}"] if bits else []
        table.add_row(label, write_estimate(estimate), *per_dimension, *([] if spread is None else [f"{spread:.3f}"]))
    console = terminal.console()
    terminal.print_table(console, table)
    if how != "none" and not data.binary:
        drawn = (
            "once, as in training" if how == "static" else "at random" if draws == 1 else f"at random, {draws} times"
        )
        console.print(f"the images are binarised {drawn}")
    console.print("±: one standard error over images" + (", of their means over draws" if draws > 1 else ""))
    if sum(name.startswith(IMPORTANCE) for name in scores) > 1:
        console.print("smaller K: the mean over disjoint groups of the samples of the largest")
    console.print(f"evaluated: {describe_weights(trainer, state)}")
    pixels = int(np.prod(trainer.model.image_shape))
    console.print(describe_elbo(trainer.likelihood, data.binary or how != "none", pixels))


def weights_of(trainer: Trainer, state: State) -> str:
    """Which parameters are evaluated: best, averaged or last."""
    return "best" if state.best is not None else "last" if trainer.config.average is None else "averaged"


def _epoch_of(trainer: Trainer, state: State) -> int:
    """The number of epochs after which the evaluated parameters were taken."""
    return best_epoch(trainer.config, state.history) if state.best is not None else state.epoch


def describe_weights(trainer: Trainer, state: State) -> str:
    """Which parameters are evaluated, in words."""
    averaged = "" if trainer.config.average is None else f", averaged over steps with decay {trainer.config.average:g}"
    if state.best is not None:
        epochs = f"epoch {_epoch_of(trainer, state)} of {state.epoch}"
        return f"the parameters with the best bound on the validation part, of {epochs}{averaged}"
    step = f", step {state.step} of the next" if state.step else ""
    return f"the parameters after epoch {state.epoch}{step}{averaged}"


def _draw(path: Path, samples: list[int], scores: dict[str, Score], data: Dataset) -> bool:
    """Draw the bounds of several numbers of samples, on the first process; whether that was possible."""
    if not is_first():
        return False
    values, errors = zip(*[scores[f"{IMPORTANCE}{k}"].estimate for k in samples], strict=True)
    title = f"Importance-weighted bounds, {len(data.test)} test images of {data.name}"
    return try_drawing("bounds", path, samples, values, [error or 0.0 for error in errors], title)
