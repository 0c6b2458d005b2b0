"""The importance-weighted bound from any number of samples, in bounded memory (Burda, Grosse and Salakhutdinov 2015).

    L_k = E ln (1/k) Σ_s w_s,    ln w_s = ln Q(y|z_s) + ln Q(z_s) − ln P(z_s|y),    z_s = μ + σ·ε_s ~ P(z|y)

Samples are drawn and decoded in blocks, and only log weights leave a block, where they are added up on the host. ε is
a function of (key, image, sample): sample s of image i is in block b = s // BLOCK, whose stream has the key
`block_key(key, b)`, at the positions from (i·BLOCK + s % BLOCK)·latent on. So it does not depend on which images are
computed together, and more samples begin with the fewer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.program.tuning import Tuning
from vae.autoencoder import Autoencoder
from vae.objectives import sum_terms, terms_at

BLOCK = 10  # samples of each image in one call of the decoder
STREAM = 0  # derives the keys of the blocks, so that they differ from others derived from the same key
TUNING = Tuning(threads=1, worth_compiling=1 << 16)  # the same program runs many times


def block_key(key: Any, block: int) -> Any:
    """The key of the noise of one block of samples."""
    return mg.random.fold_in(mg.random.fold_in(key, STREAM), block)


def make_program(autoencoder: Autoencoder, log_sigma: Any = None) -> Callable[..., Any]:
    """A captured function of (decoder, its ln σ, y, μ, ln σ, key, offset, samples): the log weights (samples, n) in
    nats of the first `samples` of a block, for n images whose noise begins at position `offset` of the key's stream.

    It runs once at a time, so each thread needs its own.
    """

    def log_weights(
        decoder: Any, own_sigma: Any, y: Any, mean: Any, log_std: Any, key: Any, offset: Any, samples: int
    ) -> Any:
        count, latent = mean.shape
        noise = mg.random.normal(key, (count, BLOCK * latent), y.dtype, offset=offset)
        noise = mg.transpose(mg.reshape(noise, (count, BLOCK, latent))[:, :samples], (1, 0, 2))
        now = autoencoder.with_parameters(autoencoder.parameters._replace(decoder=decoder, log_sigma=own_sigma))
        z = mg.gaussian_sample(mean, log_std, noise)  # (samples, n, latent)
        pixels, latents = sum_terms(*terms_at(now, y, z, mean, log_std, "sampled", log_sigma))
        return pixels + latents

    return mg.jit(log_weights, tuning=TUNING)


def log_weights(
    program: Callable[..., Any], autoencoder: Autoencoder, y: Any, key: Any, first: int, samples: int
) -> Iterator[np.ndarray]:
    """The log weights of `samples` samples of images y (n, H, W, C), in nats: float64 (up to BLOCK, n) for each block.

    `first` is the number of the first of these images in the whole set. The encoder runs once.
    """
    _, decoder, own_sigma = autoencoder.parameters
    mean, log_std = autoencoder.encode(y)
    offset = mg.to_device(np.array(first * BLOCK * autoencoder.model.latent), mg.device_of(y))
    for begin in range(0, samples, BLOCK):
        count, own = min(BLOCK, samples - begin), block_key(key, begin // BLOCK)
        found = program(decoder, own_sigma, y, mean, log_std, own, offset, count)
        yield np.asarray(mg.to_device(found, "cpu"), np.float64)


class GroupedBound:
    """L_k of each image from log weights that arrive a few at a time: the mean over successive, disjoint groups of k
    samples of ln (1/k) Σ w, which has no bias. Samples at the end that do not fill a group are left out."""

    def __init__(self, k: int, count: int):
        self._k, self._groups = k, 0
        self._total = np.zeros(count)  # of the groups that are complete
        self._open, self._inside = np.full(count, -np.inf), 0  # ln Σ w of the group that is not, and its samples

    def add(self, weights: np.ndarray) -> None:
        """Take the log weights (samples, N) of some more samples."""
        rest = min(self._k - self._inside, len(weights)) if self._inside else 0
        whole = (len(weights) - rest) // self._k
        end = rest + whole * self._k
        self._extend(weights[:rest])
        groups = weights[rest:end].reshape(whole, self._k, weights.shape[1])
        self._complete(np.logaddexp.reduce(groups, axis=1).sum(axis=0), whole)
        self._extend(weights[end:])

    def _extend(self, weights: np.ndarray) -> None:
        """Add samples to the open group."""
        self._open = np.logaddexp(self._open, np.logaddexp.reduce(weights, axis=0))
        self._inside += len(weights)
        if self._inside == self._k:
            self._complete(self._open, 1)
            self._open, self._inside = np.full(len(self._open), -np.inf), 0

    def _complete(self, log_sums: np.ndarray, groups: int) -> None:
        self._total = self._total + (log_sums - groups * math.log(self._k))
        self._groups += groups

    def mean(self) -> np.ndarray:
        """L_k of each image, (N,), in nats."""
        return self._total / self._groups
