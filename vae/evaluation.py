"""Bounds, reconstructions and samples of a trained model, computed for `size` images at a time.

Means over many images are computed group by group, and the groups are divided between processes and threads. Each is
computed alike wherever that is, and their sums are added up in order, so a mean has the same bits however they are
divided.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import collectives
from minigrad.program.cpu import threads
from vae.autoencoder import Autoencoder
from vae.objectives import elbo, elbo_sums

PIECE = 500  # images at a time
GENERATED = 100  # the same, in `generate`


def _pieces(count: int, length: int) -> list[slice]:
    return [slice(i, min(i + length, count)) for i in range(0, count, length)]


def _sums(images: Any, size: int, compute: Callable[[slice], tuple[float, ...]]) -> list[float]:
    """Σ of what `compute` returns for every group of `size` images, number by number."""
    group, pieces = collectives.current(), _pieces(len(images), size)
    mine, found = pieces[group.rank :: group.size], {}

    def work(piece: slice) -> None:
        found[piece.start] = compute(piece)

    together = 1 if mg.device.is_asynchronous(mg.device_of(images[:1])) else threads.count()
    with threads.single_blas:
        for i in range(0, len(mine), together):
            threads.run_all([partial(work, piece) for piece in mine[i : i + together]])
    everywhere = {start: sums for some in group.share(found) for start, sums in some.items()}
    return np.sum([everywhere[piece.start] for piece in pieces], axis=0, dtype=np.float64).tolist()


def _total(x: Any) -> float:
    """Σ of an array on any device, in float64."""
    return float(np.sum(mg.to_device(x, "cpu"), dtype=np.float64))


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

    def compute(piece: slice) -> tuple[float, ...]:
        y = images[piece]
        sums = elbo_sums(autoencoder, y, _noise(autoencoder, key, piece, y.dtype), form, log_sigma)
        on_images(len(y))
        return tuple(map(_total, sums))

    pixels, latents = _sums(images, size, compute)
    return pixels / len(images), latents / len(images)


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

    def compute(piece: slice) -> tuple[float]:
        y, shape = images[piece], (piece.stop - piece.start, autoencoder.model.latent)
        own, bound = mg.random.fold_in(key, piece.start), None
        for i in range(samples):
            noise = mg.random.normal(own, shape, y.dtype, offset=i * math.prod(shape))
            weight = elbo(autoencoder, y, noise, "sampled", log_sigma)
            bound = weight if bound is None else mg.logaddexp(bound, weight)
            on_images(shape[0])
        return (_total(bound) - shape[0] * math.log(samples),)

    return _sums(images, size, compute)[0] / len(images)


def profile_log_sigma(autoencoder: Autoencoder, images: Any, key: Any, size: int = PIECE) -> float:
    """The best ln σ for these images: the optimum for the mean distance over all their pixels, with sampled z."""

    def compute(piece: slice) -> tuple[float, int]:
        y = images[piece]
        distance = autoencoder.distance(y, _noise(autoencoder, key, piece, y.dtype))
        return _total(distance), distance.size

    total, count = _sums(images, size, compute)
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
