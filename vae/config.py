"""The configuration of a run: a frozen record, written to config.json and into every checkpoint."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

from vae import schedules
from vae.errors import UserError
from vae.estimators import OBJECTIVES
from vae.likelihoods import LIKELIHOODS, Likelihood
from vae.models import ACTIVATIONS, MODELS, Model, clamp_variance
from vae.numbers import to_float, to_int
from vae.objectives import FORMS, REDUCTIONS, Weights
from vae.optimisers import OPTIMISERS, Optimiser, average, clip_norm
from vae.requirements import check_combinations, check_ranges
from vae.schedules import Schedule
from vae.sigma import LEARNED, PROFILED, Sigma

CHOICES: dict[str, Collection[str]] = {  # by setting
    "model": MODELS,
    "activation": ACTIVATIONS,
    "output_bias": ("random", "data"),
    "binarise": ("none", "static", "dynamic"),
    "decoder": LIKELIHOODS,
    "objective": OBJECTIVES,
    "form": FORMS,
    "reduction": REDUCTIONS,
    "optimiser": OPTIMISERS,
    "schedule": ("constant", "cosine", "step", "iwae"),
    "keep": ("last", "best"),
}
LATER = (  # settings that older runs lack
    *("valid_size", "binarise", "features", "activation", "output_bias", "objective", "samples", "warm_up", "keep"),
    *("weight_decay", "schedule", "final_rate", "milestones", "decay", "clip", "average", "patience"),
)


@dataclass(frozen=True)
class Config:
    """The data, model, loss and optimiser of a run. Everything random follows from `seed`."""

    data: str = "digits"
    data_dir: str | None = None
    train_size: int | None = None  # images; None: all of them
    test_size: int | None = None
    valid_size: int | None = None  # images to validate on, from the data's own validation part or the training images
    binarise: str = "none"  # "static": once; "dynamic": training images anew in every epoch
    model: str = "mlp"
    latent: int = 20
    hidden: tuple[int, ...] = (400,)  # widths of the mlp's layers
    features: tuple[int, ...] = (32, 64)  # of the convolutions
    activation: str = "relu"
    output_bias: str = "random"  # "data": so that the mean training image comes out if nothing else does
    decoder: str = "bernoulli"
    sigma: str = "1"  # a number, "learned" or "profiled"
    objective: str = "elbo"
    samples: int = 1  # of each image
    form: str | None = None  # None: closed where the objective allows it
    reduction: str = "sum"  # over the pixels, in the loss
    beta: float = 1.0  # weight of the KL in the loss
    warm_up: float = 0.0  # epochs in which the weight of the KL rises from 0 to beta
    clamp: tuple[float, ...] | None = None  # bounds on the encoder's ln σ², or one for both signs; None: unbounded
    epochs: int = 10
    batch: int = 128
    shards: int | None = None  # of a batch; None: 8, or fewer, of 16 images or more. They are added up in a fixed order
    optimiser: str = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.9  # of sgd
    weight_decay: float = 0.01  # of adamw
    schedule: str = "constant"  # of the learning rate
    final_rate: float = 0.0  # of the cosine schedule: the learning rate at the end
    milestones: tuple[float, ...] = ()  # of the step schedule, in epochs
    decay: float = 0.1  # of the step schedule: the factor at each milestone
    clip: float | None = None  # largest norm of a gradient
    average: float | None = None  # decay of the mean of the parameters over the steps; None: the last ones are used
    keep: str = "last"  # "best": the parameters with the best bound on the validation part
    patience: int | None = None  # epochs without a better one after which training stops
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in self._to_plain().items():
            object.__setattr__(self, name, value)
        if self.shards is None:
            object.__setattr__(self, "shards", max(1, min(8, self.batch // 16)))
        if self.form is None:
            object.__setattr__(self, "form", "closed" if self.objective == "elbo" else "sampled")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise UserError(f"unknown {name.replace('_', ' ')} {getattr(self, name)!r}: use {', '.join(choices)}")
        check_ranges(self)
        check_combinations(self)
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
            if field.type.startswith("tuple"):
                values = value if isinstance(value, (tuple, list)) else (value,)
                to_number = partial(to_int, least=1) if "int" in field.type else to_float
                found[name] = tuple(to_number(x, what) for x in values)
            elif field.type.startswith("int"):
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
        sizes = {"mlp": self.hidden, "conv": self.features}[self.model]
        try:
            outputs = LIKELIHOODS[self.decoder].outputs
            model = MODELS[self.model](image_shape, self.latent, sizes, self.activation, outputs)
        except ValueError as error:
            raise UserError(str(error)) from None
        return model if self.clamp is None else clamp_variance(model, *self.clamp)

    def describe_sizes(self) -> str:
        """The options that set the size of the model."""
        name, sizes = ("hidden", self.hidden) if self.model == "mlp" else ("features", self.features)
        return f"--latent {self.latent} and --{name} {' '.join(map(str, sizes))}"

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
        own = {"sgd": {"momentum": self.momentum}, "adamw": {"weight_decay": self.weight_decay}}.get(self.optimiser, {})
        optimiser = OPTIMISERS[self.optimiser](self.learning_rate, **own)
        optimiser = optimiser if self.clip is None else clip_norm(optimiser, self.clip)
        return optimiser if self.average is None else average(optimiser, self.average)

    def make_schedule(self) -> Schedule | None:
        """The factor of the learning rate; None if it is constant."""
        if self.schedule == "cosine":
            return schedules.cosine(self.epochs, self.final_rate / self.learning_rate)
        if self.schedule == "step":
            return schedules.step(self.milestones, self.decay)
        return schedules.iwae() if self.schedule == "iwae" else None

    def make_warm_up(self) -> Schedule | None:
        """The factor of the KL's weight; None if it is constant."""
        return schedules.warm_up(self.warm_up) if self.warm_up else None

    @property
    def score(self) -> str:
        """What the trained bound is called in metrics: elbo, or bound if it is importance-weighted."""
        return "bound" if OBJECTIVES[self.objective].importance else "elbo"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        values = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Config:
        """The inverse of `to_dict`. Raises UserError for unknown or missing settings. Runs saved before there were some
        of the settings did what their defaults do now; they had one shard."""
        known = {f.name for f in dataclasses.fields(Config)}
        if isinstance(values, dict):
            default = Config()
            values = {**{name: getattr(default, name) for name in LATER}, "shards": 1, **values}
        if not isinstance(values, dict) or set(values) != known:
            raise UserError(f"a configuration must have the settings {', '.join(sorted(known))}")
        return Config(**values)
