"""What every training loop consists of: the batches of an epoch, and one step down the gradient of a loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from vae.optimisers import Optimiser


def make_step(loss: Callable[..., tuple[Any, Any]], optimiser: Optimiser) -> Callable[..., tuple[Any, Any, Any]]:
    """(parameters, optimiser's state, *batch) -> what is reported, and the next two, in the memory of the first two.

    `loss(parameters, *batch)` gives the loss and what is reported. The step is captured; the arrays of parameters and
    state must not be used again.
    """

    def step(parameters: Any, state: Any, *batch: Any) -> tuple[Any, Any, Any]:
        (_, reported), gradients = mg.value_and_grad(loss, has_aux=True)(parameters, *batch)
        return reported, *optimiser.update(parameters, gradients, state)

    return mg.jit(step, donate=(0, 1))


class Batch(NamedTuple):
    """What it takes to draw a batch: all images, the rows of each batch of an epoch, the key of its ε, which one."""

    images: Any
    order: Any  # (batches, size)
    key: Any
    number: Any
    count: int  # of images, fewer than the size in the last one

    def draw(self, latent: int) -> tuple[Any, Any]:
        """The images (count, H, W, C), and noise (count, latent): numbers of a stream that all batches share."""
        rows, size = self.order[self.number][: self.count], self.order.shape[1]
        return self.images[rows], mg.random.normal(self.key, (self.count, latent), offset=self.number * (size * latent))


class Epoch(NamedTuple):
    """All images in random order, in batches of one size; the last one holds what is left."""

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
    """An epoch of images (N, H, W, C), on their device; both keys are on the host."""
    count = len(images)
    order = np.argsort(mg.random.bits(order_key, (count,)), kind="stable")
    order = np.pad(order, (0, -count % min(size, count))).reshape(-1, min(size, count))
    return Epoch(images, *mg.to_device((order, noise_key, np.arange(len(order))), mg.device_of(images)))
