"""The validation part of the data: which epoch is the best on it, and when training stops early."""

from __future__ import annotations

from typing import Any

from vae.autoencoder import Autoencoder
from vae.config import Config
from vae.data import Dataset
from vae.errors import UserError
from vae.estimators import OBJECTIVES
from vae.evaluation import mean_elbo, mean_importance_bound
from vae.trainer import State


def measure_objective(
    config: Config, autoencoder: Autoencoder, images: Any, key: Any, log_sigma: float | None
) -> float:
    """The bound that is trained, with KL weight 1 and noise that belongs to `key`: its mean over images, in nats."""
    if OBJECTIVES[config.objective].importance:
        return mean_importance_bound(autoencoder, images, key, config.samples, log_sigma)
    return mean_elbo(autoencoder, images, key, config.form, log_sigma)


def best_epoch(config: Config, history: tuple[dict, ...]) -> int:
    """The first epoch with the best bound on the validation part, from 1."""
    return max(history, key=lambda record: record[f"valid_{config.score}"])["epoch"]


def is_finished(config: Config, state: State) -> bool:
    """Whether training stops early: the bound on the validation part has not improved for `patience` epochs."""
    if config.patience is None or not state.history or state.step:
        return False
    return state.epoch - best_epoch(config, state.history) >= config.patience


def require_validation(config: Config, data: Dataset) -> None:
    """Raises UserError if the configuration needs a validation part and the data have none."""
    if data.valid is None and (config.keep == "best" or config.patience):
        raise UserError(f"{data.name} has no validation part, which --keep best and --patience need: use --valid-size")
