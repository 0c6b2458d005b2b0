"""What travels together: an architecture, what its numbers mean, and its parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from vae.likelihoods import Likelihood
from vae.models import Model, Parameters


@dataclass(frozen=True)
class Autoencoder:
    """A model with its likelihood and its parameters.

    It is no tree of arrays: differentiate functions of the parameters, `lambda p: f(autoencoder.with_parameters(p))`.
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
        """The decoder's numbers for z (N, latent), (N, H, W, C): what the likelihood takes."""
        return self.model.decode(self.parameters.decoder, z)

    def mean(self, z: Any) -> Any:
        """The expected images ŷ(z), (N, H, W, C), in [0, 1]."""
        return self.likelihood.mean(self.decode(z))
