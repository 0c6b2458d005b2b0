"""What a trained model is worth on images it has not seen, and what it makes of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import minigrad as mg
from vae.models import Decoder, Model, Parameters
from vae.objectives import Likelihood, elbo, importance_bound

PIECE = 500  # images at a time


def _pieces(count: int, length: int = PIECE) -> list[slice]:
    return [slice(i, min(i + length, count)) for i in range(0, count, length)]


def mean_elbo(
    model: Model,
    likelihood: Likelihood,
    parameters: Parameters,
    images: Any,
    key: Any,
    form: str = "closed",
    log_sigma: Any = None,
) -> float:
    """The one-sample ELBO in nats, averaged over all images (N, H, W, C). The sample is z ~ P(z|y), never its mean."""
    total = 0.0
    for piece in _pieces(len(images)):
        y = images[piece]
        noise = mg.random.normal(key, (len(y), model.latent), y.dtype, offset=piece.start * model.latent)
        bound = elbo(model, likelihood, parameters, y, noise, form, log_sigma)
        total += float(np.sum(mg.to_device(bound, "cpu"), dtype=np.float64))
    return total / len(images)


def mean_importance_bound(
    model: Model,
    likelihood: Likelihood,
    parameters: Parameters,
    images: Any,
    key: Any,
    samples: int,
    log_sigma: Any = None,
) -> float:
    """The importance-weighted bound of `samples` draws in nats, averaged over all images."""
    total = 0.0
    for piece in _pieces(len(images)):
        y = images[piece]
        k = mg.random.fold_in(key, piece.start)
        noise = mg.random.normal(k, (samples, len(y), model.latent), y.dtype)
        bound = importance_bound(model, likelihood, parameters, y, noise, log_sigma)
        total += float(np.sum(mg.to_device(bound, "cpu"), dtype=np.float64))
    return total / len(images)


def profile_log_sigma(model: Model, likelihood: Likelihood, parameters: Parameters, images: Any, key: Any) -> float:
    """ln σ at its optimum for these images: σ² = mean (y−ŷ)² (gaussian), σ = mean |y−ŷ| (laplace)."""
    total, count = 0.0, 0
    for piece in _pieces(len(images)):
        y = images[piece]
        noise = mg.random.normal(key, (len(y), model.latent), y.dtype, offset=piece.start * model.latent)
        error = mg.to_device(y - reconstruct(model, likelihood, parameters, y, noise), "cpu").astype(np.float64)
        total += float(np.sum(np.abs(error) if likelihood.name == "laplace" else error**2))
        count += error.size
    return math.log(max(total / count, 1e-12)) * (1.0 if likelihood.name == "laplace" else 0.5)


def posterior_means(model: Model, parameters: Parameters, images: Any) -> Any:
    """μ(y) of each image, (N, latent)."""
    return mg.concatenate([model.encode(parameters.encoder, images[p])[0] for p in _pieces(len(images))])


def reconstruct(model: Model, likelihood: Likelihood, parameters: Parameters, images: Any, noise: Any) -> Any:
    """ŷ(z(y, ε)) for images (N, H, W, C) and noise (N, latent)."""
    z = mg.gaussian_sample(*model.encode(parameters.encoder, images), noise)
    return likelihood.mean(model.decode(parameters.decoder, z))


def generate(model: Model, likelihood: Likelihood, decoder: Decoder, z: Any) -> Any:
    """ŷ(z): images from the second half of the model alone (slide 20)."""
    return likelihood.mean(model.decode(decoder, z))
