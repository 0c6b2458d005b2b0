"""What the latents hold, in python -m vae evaluate: compute it, as tables, as JSON and as pictures.

Factors are known of the built-in digits. For other data the mutual information gap and the linear probe are absent.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

import minigrad as mg
from vae.cli.output import try_drawing, write_estimate
from vae.cli.runs import binarise_images
from vae.data import Dataset, place
from vae.evaluation import Estimate, posteriors
from vae.latents import ACTIVE, Information, RateParts, active_units, divide_rate, measure_information, probe
from vae.objectives import kl_to_prior
from vae.trainer import State, Trainer

KEY = 4  # derives the key of the noise from the seed (see `vae.cli.runs.PIXELS`)
RATES, INFORMATION = "latents.png", "information.png"
MOST_ROWS = 30  # of the table of latents


class Latents(NamedTuple):
    """Measurements of N images; `information` and `probed` are None if no factors are known."""

    variance: np.ndarray  # A_u, (latent,)
    active: np.ndarray  # (latent,) bool
    kl: list[Estimate]  # of each latent
    rate: Estimate
    parts: RateParts
    information: Information | None
    probed: dict[str, dict[str, float | None]] | None


def measure(trainer: Trainer, state: State, data: Dataset, how: str, seed: int = 0) -> Latents:
    """Measure the latents of test images, binarised as `how` says; the probe is fitted on the training images.

    All processes and threads encode; the rest is computed alike by each process.
    """
    autoencoder = trainer.trained(state)

    def encode(part: str) -> tuple[np.ndarray, np.ndarray]:
        images = binarise_images(trainer, getattr(data, part), how, seed, part=part)
        return posteriors(autoencoder, place(images, trainer.device))

    mean, log_std = encode("test")
    variance, active = active_units(mean)
    kl = kl_to_prior(mean, log_std)
    parts = divide_rate(mean, log_std, mg.random.fold_in(mg.random.key(seed), KEY))
    information = probed = None
    if data.factors is not None:
        train, test = data.factors["train"], data.factors["test"]
        information = measure_information(mean, test)
        scores = probe(encode("train")[0], train, mean, test)
        probed = {name: _score(value, test[name]) for name, value in scores.items()}
    rates = [Estimate.of(column) for column in kl.T]
    return Latents(variance, active, rates, Estimate.of(kl.sum(axis=1)), parts, information, probed)


def _score(value: float, factor: np.ndarray) -> dict[str, float | None]:
    """The probe's number by what it is: R², or an accuracy with its standard error over the N images."""
    if factor.dtype.kind == "f":
        return {"r_squared": _or_none(value)}
    error = math.sqrt(value * (1 - value) / (len(factor) - 1)) if len(factor) > 1 else None
    return {"accuracy": value, "accuracy_standard_error": error}


def _or_none(number: float) -> float | None:
    """A number for JSON: None if it is not finite, as an error of a single image or R² of a constant."""
    return float(number) if math.isfinite(number) else None


def to_record(held: Latents) -> dict[str, Any]:
    """Everything for JSON; lists are over latents, in their order."""
    parts = held.parts
    record: dict[str, Any] = {
        "active_units": int(held.active.sum()),
        "threshold": ACTIVE,
        "active": held.active.tolist(),
        "variance": held.variance.tolist(),
        "kl": [each.mean for each in held.kl],
        "kl_standard_error": [each.standard_error for each in held.kl],
        "rate": held.rate.mean,
        "rate_standard_error": held.rate.standard_error,
        "information": parts.information,
        "information_standard_error": _or_none(parts.information_error),
        "information_limit": parts.limit,
        "marginal_kl": parts.marginal_kl,
        "marginal_kl_standard_error": _or_none(parts.marginal_kl_error),
    }
    if (found := held.information) is not None:
        record["mig"] = found.mig
        record["factors"] = {
            name: {
                "mig": float(found.gap[i]),
                "entropy": float(found.entropy[i]),
                "information": found.information[:, i].tolist(),
                "chance": float(found.chance[i]),
                **(held.probed or {})[name],
            }
            for i, name in enumerate(found.names)
        }
    return record


def report(held: Latents | None, data: Dataset) -> tuple[list[Table], list[str]]:
    """The tables and the lines below them; none without a measurement."""
    if held is None:
        return [], []
    parts, count = held.parts, len(data.test)
    rates = Table("rate", "nats per image", title=f"latents of {count} test images of {data.name}")
    rates.add_row("KL(P(z|y), Q(z))", write_estimate(held.rate))
    of = Estimate(parts.information, _or_none(parts.information_error))
    rates.add_row(f"  information I(image; z), at most ln {count} = {parts.limit:.2f}", write_estimate(of))
    of = Estimate(parts.marginal_kl, _or_none(parts.marginal_kl_error))
    rates.add_row("  KL(P(z), Q(z)) of the aggregate", write_estimate(of))
    lines = [f"{held.active.sum()} of {len(held.active)} latents are active: Var E(z_u|y) > {ACTIVE:g}"]
    each = Table("latent", "KL (nats)", "Var E(z_u|y)", "active")
    order = sorted(range(len(held.kl)), key=lambda u: -held.kl[u].mean)
    for u in order[:MOST_ROWS]:
        active = "yes" if held.active[u] else "no"
        each.add_row(str(u + 1), write_estimate(held.kl[u]), f"{held.variance[u]:.4f}", active)
    if len(order) > MOST_ROWS:
        lines.append(f"the {MOST_ROWS} latents with the largest KL; --json gives all {len(order)}")
    if held.information is None:
        return [rates, each], lines
    lines.append(f"MIG {held.information.mig:.3f}: the mean over factors; the probe is fitted on training images")
    lines.append("I/H: I(μ_u; v)/H(v) of the latent u that tells most; chance: about what one that tells nothing shows")
    return [rates, each, _factor_table(held.information, held.probed or {})], lines


def _factor_table(found: Information, probed: dict[str, dict[str, float | None]]) -> Table:
    table = Table("factor v", "latent u", "I/H", "chance", "MIG(v)", "linear probe")
    for i, name in enumerate(found.names):
        best, entropy = int(found.information[:, i].argmax()), found.entropy[i]
        share, chance = (x / entropy if entropy > 0 else 0.0 for x in (found.information[best, i], found.chance[i]))
        cells = [name, str(best + 1), f"{share:.1%}", f"{chance:.1%}", f"{found.gap[i]:.3f}"]
        table.add_row(*cells, _write_score(probed[name]))
    return table


def _write_score(score: dict[str, float | None]) -> str:
    if "accuracy" in score:
        return f"accuracy {write_estimate(Estimate(score['accuracy'] or 0.0, score['accuracy_standard_error']))}"
    return "R² –" if score["r_squared"] is None else f"R² {score['r_squared']:.3f}"


def draw(folder: Path, held: Latents | None, data: Dataset) -> list[Path]:
    """Draw the KL of each latent, and what latents tell about factors; the paths of the pictures that were drawn."""
    if held is None:
        return []
    title, drawn = f"Latents, {len(data.test)} test images of {data.name}", []
    rates = np.array([each.mean for each in held.kl])
    if try_drawing("latent_rates", folder / RATES, rates, held.active, title):
        drawn.append(folder / RATES)
    if (found := held.information) is not None:
        given = found.information, found.entropy, found.names, f"Factors, {title.partition(', ')[2]}"
        if try_drawing("information_matrix", folder / INFORMATION, *given, gap=found.gap, chance=found.chance):
            drawn.append(folder / INFORMATION)
    return drawn
