"""The bounds of python -m vae evaluate: compute them, as a table, as JSON and as a picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

import minigrad as mg
from minigrad import collectives
from vae import evaluation, objectives, terminal
from vae.cli.output import try_drawing, write_estimate
from vae.cli.runs import binarise_images
from vae.data import Dataset, place
from vae.errors import UserError
from vae.evaluation import Estimate
from vae.trainer import State, Trainer

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


def require_draws(draws: int, how: str, binary: bool) -> None:
    """Raises UserError for several draws of images that are the same in each."""
    if draws > 1 and (how != "dynamic" or binary):
        why = "the images are binary already" if binary else f"the images are evaluated with --binarise {how}"
        raise UserError(f"--draws {draws} has nothing to draw, because {why}: only --binarise dynamic draws grey ones")


def compute_scores(
    trainer: Trainer, state: State, grey: Any, how: str, samples: list[int], seed: int = 0, draws: int = 1
) -> dict[str, Score]:
    """Every bound, by name, with a progress bar on stderr, of images (N, H, W, C) that are binarised as `how` says
    (see `vae.cli.runs.binarise_images`)."""
    found: list[dict[str, np.ndarray]] = []
    with terminal.progress(terminal.console(stderr=True)) as progress:
        passes = (len(objectives.FORMS) + max(samples, default=0)) * draws
        bar = progress.add_task("evaluating", total=len(grey) * passes // collectives.size())  # of this process
        for draw in range(draws):
            images = place(binarise_images(trainer, grey, how, seed, draw), trainer.device)
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


def bits_record(trainer: Trainer, scores: dict[str, Score]) -> dict[str, dict[str, float]]:
    """The scores in bits per dimension for JSON, if Q(y) is a probability of 8-bit images."""
    if not trainer.likelihood.eight_bit:
        return {}
    return {"bits_per_dimension": {name: _to_bits(trainer, score.estimate.mean) for name, score in scores.items()}}


def make_table(trainer: Trainer, data: Dataset, draws: int, scores: dict[str, Score]) -> Table:
    """The table of bounds."""
    bits = trainer.likelihood.eight_bit
    more = [*["bits per dimension"] * bits, *["spread of draws"] * (draws > 1)]
    table = Table("bound on −ln Q(y)", "nats per image", *more, title=f"{len(data.test)} test images of {data.name}")
    for name, (estimate, spread) in scores.items():
        label = ROWS.get(name, f"−importance bound, K = {name.removeprefix(IMPORTANCE)}")
        per_dimension = [f"{_to_bits(trainer, estimate.mean):.4f}"] if bits else []
        table.add_row(label, write_estimate(estimate), *per_dimension, *([] if spread is None else [f"{spread:.3f}"]))
    return table


def describe(data: Dataset, how: str, draws: int, scores: dict[str, Score]) -> list[str]:
    """Lines below the table: what the numbers are of."""
    lines = []
    if how != "none" and not data.binary:
        times = "at random" if draws == 1 else f"at random, {draws} times"
        lines.append(f"the images are binarised {'once, as in training' if how == 'static' else times}")
    over = ", of their means over draws" if draws > 1 else ""
    lines.append(f"±: one standard error over images{over}; the ELBO is that of one sample for each")
    if sum(name.startswith(IMPORTANCE) for name in scores) > 1:
        lines.append("smaller K: the mean over disjoint groups of the samples of the largest")
    return lines


def draw(path: Path, samples: list[int], scores: dict[str, Score], data: Dataset) -> bool:
    """Draw the bounds of several numbers of samples; whether that was possible."""
    values, errors = zip(*[scores[f"{IMPORTANCE}{k}"].estimate for k in samples], strict=True)
    title = f"Importance-weighted bounds, {len(data.test)} test images of {data.name}"
    return try_drawing("bounds", path, samples, values, [error or 0.0 for error in errors], title)
