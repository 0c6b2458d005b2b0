"""A model, its likelihood and its parameters in one record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import minigrad as mg
from vae.likelihoods import Likelihood
from vae.models import Model, Parameters


@dataclass(frozen=True)
class Autoencoder:
    """A model with its likelihood and its parameters.

    It is not a tree of arrays. To differentiate f, use its parameters: `lambda p: f(autoencoder.with_parameters(p))`.
    """

    model: Model
    likelihood: Likelihood
    parameters: Parameters

    def with_parameters(self, parameters: Parameters) -> Autoencoder:
        """The same model and likelihood with other parameters."""
        return replace(self, parameters=parameters)

    def encode(self, y: Any) -> tuple[Any, Any]:
        """μ and ln σ of P(z|y), (N, latent) each, for images (N, H, W, C)."""
        return self.model.encode(self.parameters.encoder, y)

    def decode(self, z: Any) -> Any:
        """The decoder's output (N, H, W, C·outputs) for z (N, latent): the input of the likelihood."""
        return self.model.decode(self.parameters.decoder, z)

    def distance(self, y: Any, noise: Any) -> Any:
        """The distances (N, H, W, C) of images from those decoded from z = μ + σ·ε: a profiled σ follows from them."""
        return self.likelihood.distance(y, self.decode(mg.gaussian_sample(*self.encode(y), noise)))

    def mean(self, z: Any) -> Any:
        """The expected images ŷ(z), (N, H, W, C), in [0, 1]."""
        return self.likelihood.mean(self.decode(z))
