"""What the settings of a run must satisfy, alone and together; each fault is one sentence."""

from __future__ import annotations

import math
from typing import Any

from vae.errors import UserError
from vae.estimators import OBJECTIVES


def check_ranges(config: Any) -> None:
    """Raises UserError for a number of a `vae.config.Config` that is out of its range."""
    if not 0 <= config.momentum < 1:
        raise UserError(f"momentum must lie in [0, 1), got {config.momentum}")
    if not (config.beta == 0 or 1e-9 <= config.beta <= 1e9):
        raise UserError(f"beta must be 0 or lie in 1e-9 … 1e9, got {config.beta}")
    if config.clamp is not None:
        low, high = config.clamp if len(config.clamp) == 2 else (-config.clamp[0], config.clamp[-1])
        if len(config.clamp) > 2 or not (0.001 <= high <= 80 and 0.001 <= -low <= 80):
            raise UserError(
                "clamp must lie in 0.001 … 80 (e^89 overflows float32), or be two such numbers, the first with a "
                f"minus, got {' '.join(map(str, config.clamp))}"
            )
    for name in ("warm_up", "weight_decay"):
        if not 0 <= getattr(config, name) < math.inf:
            raise UserError(f"{name.replace('_', ' ')} must be 0 or a positive number, got {getattr(config, name)}")
    if not 0 < config.decay <= 1:
        raise UserError(f"decay must lie in (0, 1], got {config.decay}")
    if not 0 <= config.final_rate <= config.learning_rate:
        raise UserError(
            f"the final rate must lie between 0 and the learning rate {config.learning_rate:g}, got "
            f"{config.final_rate:g}"
        )
    if config.seed >= 2**64:
        raise UserError(f"seed must lie in 0 … 2**64 − 1, got {config.seed}")


def check_combinations(config: Any) -> None:
    """Raises UserError for settings that do not go together."""
    if config.shards > config.batch:
        raise UserError(f"a batch of {config.batch} images cannot be cut into {config.shards} shards")
    importance = OBJECTIVES[config.objective].importance
    if config.objective != "elbo" and config.form == "closed":
        raise UserError(
            f"the objective {config.objective} needs samples of ln P(z|y), so it has no closed form: leave out "
            "--form, or use --objective elbo"
        )
    if importance and config.reduction == "mean":
        raise UserError(f"the objective {config.objective} weights samples by their likelihood: use --reduction sum")
    if importance and config.sigma == "profiled":
        raise UserError(f"the objective {config.objective} has no profiled σ: use a number or learned")
    if config.final_rate and config.schedule != "cosine":
        raise UserError(f"--final-rate belongs to the schedule cosine, not to {config.schedule}")
    if config.schedule == "step" and not config.milestones:
        raise UserError("the schedule step needs --milestones, the epochs at which the learning rate falls")
    if config.schedule != "step" and config.milestones:
        raise UserError(f"--milestones belong to the schedule step, not to {config.schedule}")
    if not all(a < b for a, b in zip((0.0, *config.milestones), config.milestones, strict=False)):
        raise UserError(f"milestones must rise from above 0, got {' '.join(f'{m:g}' for m in config.milestones)}")
    if config.milestones and config.milestones[-1] >= config.epochs:
        raise UserError(f"the milestone {config.milestones[-1]:g} is not before the last of {config.epochs} epochs")
    if config.warm_up > config.epochs:
        raise UserError(f"a warm-up of {config.warm_up:g} epochs is longer than the training of {config.epochs}")
