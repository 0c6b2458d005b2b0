"""The configuration of a run: a frozen record, written to config.json and into every checkpoint."""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass
from typing import Any

from vae.errors import UserError
from vae.likelihoods import LEARNED, LIKELIHOODS, PROFILED, Likelihood, Sigma
from vae.models import MODELS, Model, clamp_variance
from vae.numbers import to_float, to_int
from vae.objectives import FORMS, REDUCTIONS, Weights
from vae.optimisers import OPTIMISERS, Optimiser


@dataclass(frozen=True)
class Config:
    """The data, model, loss and optimiser of a run. Everything random follows from `seed`."""

    data: str = "digits"
    data_dir: str | None = None
    train_size: int | None = None  # images; None: all of them
    test_size: int | None = None
    model: str = "mlp"
    latent: int = 20
    hidden: int = 400  # of the mlp
    decoder: str = "bernoulli"
    sigma: str = "1"  # a number, "learned" or "profiled"
    form: str = "closed"
    reduction: str = "sum"  # over the pixels, in the loss
    beta: float = 1.0  # weight of the KL in the loss
    clamp: float | None = None  # bound on the encoder's |ln σ²|; None: unbounded
    epochs: int = 10
    batch: int = 128
    shards: int | None = None  # of a batch; None: 8, or fewer, of 16 images or more. They are added up in a fixed order
    optimiser: str = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.9  # of sgd
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in self._to_plain().items():
            object.__setattr__(self, name, value)
        if self.shards is None:
            object.__setattr__(self, "shards", max(1, min(8, self.batch // 16)))
        if self.shards > self.batch:
            raise UserError(f"a batch of {self.batch} images cannot be cut into {self.shards} shards")
        for name, choices in (
            ("model", MODELS),
            ("decoder", LIKELIHOODS),
            ("form", FORMS),
            ("reduction", REDUCTIONS),
            ("optimiser", OPTIMISERS),
        ):
            if getattr(self, name) not in choices:
                raise UserError(f"unknown {name} {getattr(self, name)!r}: use {', '.join(choices)}")
        if not 0 <= self.momentum < 1:
            raise UserError(f"momentum must lie in [0, 1), got {self.momentum}")
        if not (self.beta == 0 or 1e-9 <= self.beta <= 1e9):
            raise UserError(f"beta must be 0 or lie in 1e-9 … 1e9, got {self.beta}")
        if self.clamp is not None and not 0.001 <= self.clamp <= 80:
            raise UserError(f"clamp must lie in 0.001 … 80 (e^89 overflows float32), got {self.clamp}")
        if self.seed >= 2**64:
            raise UserError(f"seed must lie in 0 … 2**64 − 1, got {self.seed}")
        try:
            self.make_likelihood()
            self.make_optimiser()
        except UserError:
            raise
        except ValueError as error:
            raise UserError(str(error)) from None

    def _to_plain(self) -> dict[str, Any]:
        """Paths as strings and numbers as Python numbers, by field, for JSON. Raises UserError for wrong types."""
        found: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            name, value, what = field.name, getattr(self, field.name), field.name.replace("_", " ")
            if value is None and "None" in field.type:
                continue
            if field.type.startswith("int"):
                found[name] = to_int(value, what, 0 if name == "seed" else 1)
            elif field.type.startswith("float"):
                found[name] = to_float(value, what)
            elif isinstance(value, os.PathLike):
                found[name] = os.fspath(value)
            elif name == "sigma" and not isinstance(value, str):
                found[name] = repr(to_float(value, what))
        return found

    def make_model(self, image_shape: tuple[int, int, int]) -> Model:
        """The model for images of this shape (H, W, C)."""
        sizes = {"hidden": self.hidden} if self.model == "mlp" else {}
        try:
            model = MODELS[self.model](image_shape, self.latent, outputs=LIKELIHOODS[self.decoder].outputs, **sizes)
        except ValueError as error:
            raise UserError(str(error)) from None
        return model if self.clamp is None else clamp_variance(model, self.clamp)

    def make_likelihood(self) -> Likelihood:
        """The likelihood Q(y|z)."""
        return LIKELIHOODS[self.decoder](self._make_sigma())

    def _make_sigma(self) -> Sigma:
        """The decoder's σ: fixed, learned or profiled."""
        if self.sigma in ("learned", "profiled"):
            return LEARNED if self.sigma == "learned" else PROFILED
        try:
            sigma = float(self.sigma)
        except ValueError:
            sigma = math.nan
        if not 1e-9 <= sigma <= 1e9:  # σ² must not overflow
            raise UserError(f"sigma must be a positive number, 1e-9 … 1e9, 'learned' or 'profiled', got {self.sigma!r}")
        return Sigma(sigma)

    def make_weights(self, image_shape: tuple[int, int, int]) -> Weights:
        """The factors of the sums over pixels and over latents in the loss."""
        return Weights(1.0 if self.reduction == "sum" else 1 / math.prod(image_shape), self.beta)

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
        """The inverse of `to_dict`. Raises UserError for unknown or missing settings. Runs saved without `shards` had
        one."""
        known = {f.name for f in dataclasses.fields(Config)}
        values = {"shards": 1, **values} if isinstance(values, dict) else values
        if not isinstance(values, dict) or set(values) != known:
            raise UserError(f"a configuration must have the settings {', '.join(sorted(known))}")
        return Config(**values)
