"""What a trained model is worth on images it has not seen, and what it makes of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import minigrad as mg
from vae.models import Decoder, Model, Parameters
from vae.objectives import Likelihood, elbo_sums, importance_bound

PIECE = 500  # images at a time
DRAWN = 100  # the same, of those that are only drawn


def _pieces(count: int, length: int = PIECE) -> list[slice]:
    return [slice(i, min(i + length, count)) for i in range(0, count, length)]


def mean_elbo_sums(
    model: Model,
    likelihood: Likelihood,
    parameters: Parameters,
    images: Any,
    key: Any,
    form: str = "closed",
    log_sigma: Any = None,
    on_images: Callable[[int], None] = lambda count: None,
) -> tuple[float, float]:
    """The sums of the one-sample ELBO over pixels and over latents (see `elbo_terms`), each averaged over all images
    (N, H, W, C), in nats. The sample is z ~ P(z|y), never its mean.

    In the closed form they are minus the distortion E −ln Q(y|z) and minus the rate KL(P(z|y), Q(z)).
    `on_images(count)` is called after each group of images, for progress bars.
    """
    totals = np.zeros(2)
    for piece in _pieces(len(images)):
        y = images[piece]
        noise = mg.random.normal(key, (len(y), model.latent), y.dtype, offset=piece.start * model.latent)
        sums = elbo_sums(model, likelihood, parameters, y, noise, form, log_sigma)
        totals += [np.sum(each, dtype=np.float64) for each in mg.to_device(sums, "cpu")]
        on_images(len(y))
    pixels, latents = totals / len(images)
    return float(pixels), float(latents)


def mean_elbo(*args: Any, **options: Any) -> float:
    """The one-sample ELBO in nats, averaged over all images: the sum of the two `mean_elbo_sums`."""
    return sum(mean_elbo_sums(*args, **options))


def mean_importance_bound(
    model: Model,
    likelihood: Likelihood,
    parameters: Parameters,
    images: Any,
    key: Any,
    samples: int,
    log_sigma: Any = None,
    on_images: Callable[[int], None] = lambda count: None,
) -> float:
    """The importance-weighted bound of `samples` draws in nats, averaged over all images.

    `on_images(count)` is called after each draw for a group of images, for progress bars.
    """
    total = 0.0
    for piece in _pieces(len(images)):
        y = images[piece]
        noise = _draws(mg.random.fold_in(key, piece.start), samples, (len(y), model.latent), y.dtype, on_images)
        bound = importance_bound(model, likelihood, parameters, y, noise, log_sigma)
        total += float(np.sum(mg.to_device(bound, "cpu"), dtype=np.float64))
    return total / len(images)


def _draws(
    key: Any, samples: int, shape: tuple[int, int], dtype: np.dtype, on_images: Callable[[int], None]
) -> Iterator[Any]:
    """What mg.random.normal(key, (samples, *shape), dtype) holds, one sample after the other."""
    for i in range(samples):
        yield mg.random.normal(key, shape, dtype, offset=i * math.prod(shape))
        on_images(shape[0])


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
    """ŷ(z): images from the second half of the model alone (slide 20), some at a time."""
    return mg.concatenate([likelihood.mean(model.decode(decoder, z[p])) for p in _pieces(len(z), DRAWN)])
