"""Bounds, reconstructions and samples of a trained model, computed for `size` images at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import minigrad as mg
from vae.autoencoder import Autoencoder
from vae.objectives import elbo_sums, importance_bound

PIECE = 500  # images at a time
GENERATED = 100  # the same, in `generate`


def _pieces(count: int, length: int) -> list[slice]:
    return [slice(i, min(i + length, count)) for i in range(0, count, length)]


def _noise(autoencoder: Autoencoder, key: Any, piece: slice, dtype: np.dtype) -> Any:
    """ε (count, latent) for a slice of the images, from one stream, so that it does not depend on the slices."""
    latent = autoencoder.model.latent
    return mg.random.normal(key, (piece.stop - piece.start, latent), dtype, offset=piece.start * latent)


def mean_elbo_sums(
    autoencoder: Autoencoder,
    images: Any,
    key: Any,
    form: str = "closed",
    log_sigma: Any = None,
    on_images: Callable[[int], None] = lambda count: None,
    size: int = PIECE,
) -> tuple[float, float]:
    """The sums of the one-sample ELBO over pixels and over latents (see `elbo_terms`), each averaged over all images
    (N, H, W, C), in nats. The sample is z ~ P(z|y), never its mean.

    In the closed form they are minus the distortion E −ln Q(y|z) and minus the rate KL(P(z|y), Q(z)).
    `on_images(count)` is called after each group of `size` images, for progress bars.
    """
    totals = np.zeros(2)
    for piece in _pieces(len(images), size):
        y = images[piece]
        noise = _noise(autoencoder, key, piece, y.dtype)
        sums = elbo_sums(autoencoder, y, noise, form, log_sigma)
        totals += [np.sum(each, dtype=np.float64) for each in mg.to_device(sums, "cpu")]
        on_images(len(y))
    pixels, latents = totals / len(images)
    return float(pixels), float(latents)


def mean_elbo(*args: Any, **options: Any) -> float:
    """The one-sample ELBO in nats, averaged over all images: the sum of the two `mean_elbo_sums`."""
    return sum(mean_elbo_sums(*args, **options))


def mean_importance_bound(
    autoencoder: Autoencoder,
    images: Any,
    key: Any,
    samples: int,
    log_sigma: Any = None,
    on_images: Callable[[int], None] = lambda count: None,
    size: int = PIECE,
) -> float:
    """The importance-weighted bound of `samples` draws in nats, averaged over all images.

    `on_images(count)` is called after each draw for a group of images, for progress bars.
    """
    total = 0.0
    for piece in _pieces(len(images), size):
        y = images[piece]
        shape = (len(y), autoencoder.model.latent)
        noise = _draw_samples(mg.random.fold_in(key, piece.start), samples, shape, y.dtype, on_images)
        bound = importance_bound(autoencoder, y, noise, log_sigma)
        total += float(np.sum(mg.to_device(bound, "cpu"), dtype=np.float64))
    return total / len(images)


def _draw_samples(
    key: Any, samples: int, shape: tuple[int, int], dtype: np.dtype, on_images: Callable[[int], None]
) -> Iterator[Any]:
    """Yield the samples of mg.random.normal(key, (samples, *shape), dtype) one by one."""
    for i in range(samples):
        yield mg.random.normal(key, shape, dtype, offset=i * math.prod(shape))
        on_images(shape[0])


def profile_log_sigma(autoencoder: Autoencoder, images: Any, key: Any, size: int = PIECE) -> float:
    """The best ln σ for these images: the optimum for the mean distance over all their pixels, with sampled z."""
    total, count = 0.0, 0
    for piece in _pieces(len(images), size):
        y = images[piece]
        noise = _noise(autoencoder, key, piece, y.dtype)
        z = mg.gaussian_sample(*autoencoder.encode(y), noise)
        distance = mg.to_device(autoencoder.likelihood.distance(y, autoencoder.decode(z)), "cpu")
        total += float(np.sum(distance, dtype=np.float64))
        count += distance.size
    return float(autoencoder.likelihood.best_log_sigma(max(total / count, 1e-12)))


def posterior_means(autoencoder: Autoencoder, images: Any, size: int = PIECE) -> Any:
    """μ(y) of each image, (N, latent)."""
    return mg.concatenate([autoencoder.encode(images[p])[0] for p in _pieces(len(images), size)])


def reconstruct(autoencoder: Autoencoder, images: Any, noise: Any) -> Any:
    """ŷ(z(y, ε)) for images (N, H, W, C) and noise (N, latent)."""
    return autoencoder.mean(mg.gaussian_sample(*autoencoder.encode(images), noise))


def generate(autoencoder: Autoencoder, z: Any) -> Any:
    """ŷ(z), (N, H, W, C), for z (N, latent): images from the decoder alone (slide 20)."""
    return mg.concatenate([autoencoder.mean(z[p]) for p in _pieces(len(z), GENERATED)])
