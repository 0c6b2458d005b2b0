"""The parts of a training loop: the batches of an epoch, and one step down the gradient of a loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from vae.optimisers import Optimiser


def make_step(loss: Callable[..., tuple[Any, Any]], optimiser: Optimiser) -> Callable[..., tuple[Any, Any, Any]]:
    """A captured step: (parameters, optimiser's state, *batch) -> (reported value, next parameters, next state).

    `loss(parameters, *batch)` returns the loss and the value to report. The next parameters and state are written into
    the memory of the old ones, which must not be used again.
    """

    def step(parameters: Any, state: Any, *batch: Any) -> tuple[Any, Any, Any]:
        (_, reported), gradients = mg.value_and_grad(loss, has_aux=True)(parameters, *batch)
        return reported, *optimiser.update(parameters, gradients, state)

    return mg.jit(step, donate=(0, 1))


class Batch(NamedTuple):
    """What is needed to draw a batch: all images, the rows of every batch of the epoch, the key of ε, its number."""

    images: Any
    order: Any  # (batches, size)
    key: Any
    number: Any
    count: int  # of its images; the last batch may be smaller than the others
    noise: tuple[int, Any] | None = None  # drawn ahead: the first image it is for, and the noise

    def draw(self, latent: int, first: int = 0, last: int | None = None) -> tuple[Any, Any]:
        """Images (n, H, W, C) of the batch, from `first` to before `last` (None: all), and their noise (n, latent).

        The noise is from one stream for all batches of the epoch, at a position that its image determines.
        """
        last = self.count if last is None else last
        images = self.images[self.order[self.number][first:last]]
        if self.noise is not None:
            begin, noise = self.noise
            return images, noise[first - begin : last - begin].copy()
        return images, self._normal(latent, first, last)

    def draw_noise(self, latent: int, first: int, last: int) -> Batch:
        """The batch with the noise of these images drawn ahead, since a few numbers take as long as many."""
        return self._replace(noise=(first, self._normal(latent, first, last)))

    def _normal(self, latent: int, first: int, last: int) -> Any:
        position = self.number * (self.order.shape[1] * latent) + first * latent
        return mg.random.normal(self.key, (last - first, latent), offset=position)


class Epoch(NamedTuple):
    """All images in random order, in batches of equal size; the last one holds the rest."""

    images: Any
    order: Any  # (batches, size)
    key: Any
    numbers: Any  # of the batches

    def batch(self, number: int) -> Batch:
        """Batch number `number`, from 0."""
        size = self.order.shape[1]
        count = min(size, len(self.images) - number * size)
        return Batch(self.images, self.order, self.key, self.numbers[number], count)

    def batches(self, first: int = 0) -> Iterator[Batch]:
        """Every batch from number `first` on."""
        return map(self.batch, range(first, len(self.order)))


def shuffle(images: Any, size: int, order_key: Any, noise_key: Any) -> Epoch:
    """An epoch of images (N, H, W, C), on their device; both keys must be on the host."""
    count = len(images)
    order = np.argsort(mg.random.bits(order_key, (count,)), kind="stable")
    order = np.pad(order, (0, -count % min(size, count))).reshape(-1, min(size, count))
    device = mg.device_of(images[:1])  # of a row: mapped images are no array
    return Epoch(images, *mg.to_device((order, noise_key, np.arange(len(order))), device))
