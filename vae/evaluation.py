"""Bounds, reconstructions and samples of a trained model, computed for `size` images at a time (see `vae.groups`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from vae.autoencoder import Autoencoder
from vae.groups import PIECE, per_image, pieces_of, together
from vae.importance import BLOCK, GroupedBound, log_weights, make_program
from vae.objectives import elbo_sums

GENERATED = 100  # images at a time, in `generate`


class Estimate(NamedTuple):
    """A mean over images, and its standard error: None for a single image."""

    mean: float
    standard_error: float | None

    @classmethod
    def of(cls, values: Any) -> Estimate:
        """The estimate from one number per image, (N,): std/√N with the sample's std."""
        count = len(values)
        return cls(float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(count) if count > 1 else None)


def _noise(autoencoder: Autoencoder, key: Any, piece: slice, dtype: np.dtype) -> Any:
    """ε (count, latent) for a slice of the images, from one stream, so that it does not depend on the slices."""
    latent = autoencoder.model.latent
    return mg.random.normal(key, (piece.stop - piece.start, latent), dtype, offset=piece.start * latent)


def elbo_sums_per_image(
    autoencoder: Autoencoder,
    images: Any,
    key: Any,
    form: str = "closed",
    log_sigma: Any = None,
    on_images: Callable[[int], None] = lambda count: None,
    size: int = PIECE,
) -> np.ndarray:
    """The sums of the one-sample ELBO over pixels and over latents (see `elbo_terms`) of all images (N, H, W, C), in
    nats: (2, N). The sample is z ~ P(z|y), never its mean.

    In the closed form they are minus the distortion E −ln Q(y|z) and minus the rate KL(P(z|y), Q(z)).
    `on_images(count)` is called after each group of `size` images, for progress bars.
    """

    def compute(piece: slice) -> Any:
        y = images[piece]
        sums = elbo_sums(autoencoder, y, _noise(autoencoder, key, piece, y.dtype), form, log_sigma)
        on_images(len(y))
        return mg.stack(sums)

    return per_image(images, size, compute)


def mean_elbo_sums(*args: Any, **options: Any) -> tuple[float, float]:
    """The two `elbo_sums_per_image`, each averaged over all images."""
    pixels, latents = elbo_sums_per_image(*args, **options).mean(axis=1)
    return float(pixels), float(latents)


def mean_elbo(*args: Any, **options: Any) -> float:
    """The one-sample ELBO in nats, averaged over all images: the sum of the two `mean_elbo_sums`."""
    return sum(mean_elbo_sums(*args, **options))


def importance_bounds_per_image(
    autoencoder: Autoencoder,
    images: Any,
    key: Any,
    samples: Sequence[int],
    log_sigma: Any = None,
    on_images: Callable[[int], None] = lambda count: None,
    size: int | None = None,
) -> np.ndarray:
    """The importance-weighted bound L_k of each image in nats, for every k in `samples`: (len(samples), N), float64.

    All are estimated from the same K = max(samples) samples: L_k is the mean over ⌊K/k⌋ disjoint groups of k,
    and so unbiased. Memory does not grow with K. But for rounding, the result does not depend on `size`, the images at
    a time. `on_images(count)` is called after each block of samples of a group of images, with the number of images
    decoded, for progress bars.
    """
    most = max(samples)
    size = max(1, PIECE // min(most, BLOCK)) if size is None else size
    programs: SimpleQueue[Callable] = SimpleQueue()
    for _ in range(together(images)):
        programs.put(make_program(autoencoder, log_sigma))

    def compute(piece: slice) -> Any:
        y, program = images[piece], programs.get()
        bounds = [GroupedBound(k, len(y)) for k in samples]
        for weights in log_weights(program, autoencoder, y, key, piece.start, most):
            for bound in bounds:
                bound.add(weights)
            on_images(weights.size)
        programs.put(program)
        return np.stack([bound.mean() for bound in bounds])

    return per_image(images, size, compute)


def mean_importance_bound(
    autoencoder: Autoencoder, images: Any, key: Any, samples: int, *args: Any, **options: Any
) -> float:
    """The importance-weighted bound of `samples` draws in nats, averaged over all images."""
    return float(importance_bounds_per_image(autoencoder, images, key, [samples], *args, **options).mean())


def profile_log_sigma(autoencoder: Autoencoder, images: Any, key: Any, size: int = PIECE) -> float:
    """The best ln σ for these images: the optimum for the mean distance over all their pixels, with sampled z."""

    def compute(piece: slice) -> Any:
        y = images[piece]
        distance = autoencoder.distance(y, _noise(autoencoder, key, piece, y.dtype))
        return np.mean(mg.to_device(distance, "cpu"), axis=(1, 2, 3), dtype=np.float64)

    mean = per_image(images, size, compute).mean()
    return float(autoencoder.likelihood.best_log_sigma(max(mean, 1e-12)))


def posteriors(autoencoder: Autoencoder, images: Any, size: int = PIECE) -> tuple[np.ndarray, np.ndarray]:
    """μ(y) and ln σ(y) of each image, (N, latent) each, in float64 on the host."""

    def compute(piece: slice) -> Any:
        return mg.stack([mg.transpose(part) for part in autoencoder.encode(images[piece])])

    mean, log_std = per_image(images, size, compute)  # (latent, N) each
    return np.ascontiguousarray(mean.T), np.ascontiguousarray(log_std.T)


def posterior_means(autoencoder: Autoencoder, images: Any, size: int = PIECE) -> Any:
    """μ(y) of each image, (N, latent), by this process alone: others need not take part, as they do in `posteriors`."""
    return mg.concatenate([autoencoder.encode(images[p])[0] for p in pieces_of(len(images), size)])


def reconstruct(autoencoder: Autoencoder, images: Any, noise: Any) -> Any:
    """ŷ(z(y, ε)) for images (N, H, W, C) and noise (N, latent)."""
    return autoencoder.mean(mg.gaussian_sample(*autoencoder.encode(images), noise))


def generate(autoencoder: Autoencoder, z: Any) -> Any:
    """ŷ(z), (N, H, W, C), for z (N, latent): images from the decoder alone (slide 20)."""
    return mg.concatenate([autoencoder.mean(z[p]) for p in pieces_of(len(z), GENERATED)])
