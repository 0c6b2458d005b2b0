"""One frozen record of everything that decides a run; it is written to config.json and into every checkpoint."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from vae.errors import UserError
from vae.models import MODELS, Model
from vae.objectives import FORMS, LIKELIHOODS, Likelihood
from vae.optimisers import OPTIMISERS, Optimiser


@dataclass(frozen=True)
class Config:
    """What to train on what, and how. Everything random follows from `seed`."""

    data: str = "digits"
    data_dir: str | None = None
    train_size: int | None = None  # images; None takes all there are
    test_size: int | None = None
    model: str = "mlp"
    latent: int = 20
    hidden: int = 400  # of the mlp
    decoder: str = "bernoulli"
    sigma: str = "1"  # a number, "learned" or "profiled"
    form: str = "closed"
    epochs: int = 10
    batch: int = 128
    optimiser: str = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.9  # of sgd
    seed: int = 0

    def __post_init__(self) -> None:
        for name, choices in (
            ("model", MODELS),
            ("decoder", LIKELIHOODS),
            ("form", FORMS),
            ("optimiser", OPTIMISERS),
        ):
            if getattr(self, name) not in choices:
                raise UserError(f"unknown {name} {getattr(self, name)!r}: use {', '.join(choices)}")
        for name in ("train_size", "test_size", "latent", "hidden", "epochs", "batch"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise UserError(f"{name.replace('_', ' ')} must be a whole number of at least 1, got {value}")
        if not 0 <= self.momentum < 1:
            raise UserError(f"momentum lies in [0, 1), got {self.momentum}")
        if not 0 <= self.seed < 2**64:
            raise UserError(f"seed must lie in 0 … 2**64 − 1, got {self.seed}")
        try:
            self.make_likelihood()
            self.make_optimiser()
        except UserError:
            raise
        except ValueError as error:
            raise UserError(str(error)) from None

    def make_model(self, image_shape: tuple[int, int, int]) -> Model:
        """The model for images of this shape (H, W, C)."""
        sizes = {"hidden": self.hidden} if self.model == "mlp" else {}
        try:
            return MODELS[self.model](image_shape, self.latent, **sizes)
        except ValueError as error:
            raise UserError(str(error)) from None

    def make_likelihood(self) -> Likelihood:
        """Q(y|z)."""
        if self.sigma in ("learned", "profiled"):
            return Likelihood(self.decoder, self.sigma)
        try:
            sigma = float(self.sigma)
        except ValueError:
            sigma = math.nan
        if not (math.isfinite(sigma) and sigma > 0):
            raise UserError(f"sigma must be a positive number, 'learned' or 'profiled', got {self.sigma!r}")
        return Likelihood(self.decoder, "fixed", sigma)

    def make_optimiser(self) -> Optimiser:
        """The optimiser with its settings."""
        if self.optimiser == "sgd":
            return OPTIMISERS["sgd"](self.learning_rate, self.momentum)
        return OPTIMISERS["adam"](self.learning_rate)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Config:
        """The inverse of `to_dict`. Raises UserError for unknown or missing settings."""
        known = {f.name for f in dataclasses.fields(Config)}
        if not isinstance(values, dict) or set(values) != known:
            raise UserError(f"a configuration must have the settings {', '.join(sorted(known))}")
        return Config(**values)
