"""The parts of a training loop: the batches of an epoch, and one step down the gradient of a loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from vae.data.binarise import draw_pixels
from vae.optimisers import Optimiser
from vae.schedules import Schedule


def make_step(
    gradient: Callable[..., tuple[Any, Any]], optimiser: Optimiser, schedule: Schedule | None = None
) -> Callable[..., tuple[Any, Any, Any]]:
    """A captured step: (parameters, optimiser's state, *batch) -> (reported value, next parameters, next state).

    `gradient(parameters, *batch)` returns the value to report, and the gradient of the loss. With a schedule, the last
    argument is the time in epochs. The next parameters and state are written into the memory of the old ones, which
    must not be used again.
    """

    def step(parameters: Any, state: Any, *batch: Any) -> tuple[Any, Any, Any]:
        reported, slopes = gradient(parameters, *batch)
        factor = 1.0 if schedule is None else schedule(batch[-1])
        return reported, *optimiser.update(parameters, slopes, state, factor)

    return mg.jit(step, donate=(0, 1))


def gradient_of(loss: Callable[..., tuple[Any, Any]]) -> Callable[..., tuple[Any, Any]]:
    """The gradient of a loss for `make_step`; `loss(parameters, *batch)` returns the loss and the value to report."""

    def gradient(parameters: Any, *batch: Any) -> tuple[Any, Any]:
        (_, reported), slopes = mg.value_and_grad(loss, has_aux=True)(parameters, *batch)
        return reported, slopes

    return gradient


class Batch(NamedTuple):
    """What is needed to draw a batch: all images, the rows of every batch of the epoch, the keys, and its number."""

    images: Any
    order: Any  # (batches, size)
    key: Any  # of ε
    pixel_key: Any  # if images are probabilities to draw binary pixels from, else None
    number: Any
    time: Any  # epochs since the beginning of training, (), float64
    count: int  # of its images; the last batch may be smaller than the others

    def draw(self, latent: int, first: int = 0, last: int | None = None, samples: int = 1) -> tuple[Any, Any]:
        """Images (n, H, W, C) of the batch, from `first` to before `last` (None: all), and their noise (n, latent), or
        (samples, n, latent) for more than one sample.

        Noise and binary pixels are from one stream each for all batches of the epoch, at a position that the image
        determines.
        """
        last = self.count if last is None else last
        rows, size = self.order[self.number][first:last], self.order.shape[1]
        place = self.number * size + first  # in the epoch
        each = samples * latent
        noise = mg.random.normal(self.key, (last - first, each), offset=place * each)
        if samples > 1:
            noise = mg.transpose(mg.reshape(noise, (-1, samples, latent)), (1, 0, 2))
        images = self.images[rows]
        if self.pixel_key is not None:
            images = draw_pixels(self.pixel_key, images, place)
        return images, noise


class Epoch(NamedTuple):
    """All images in random order, in batches of equal size; the last one holds the rest."""

    images: Any
    order: Any  # (batches, size)
    key: Any
    pixel_key: Any
    numbers: Any  # of the batches
    times: Any  # of the batches

    def batch(self, number: int) -> Batch:
        """Batch number `number`, from 0."""
        size = self.order.shape[1]
        count = min(size, len(self.images) - number * size)
        time = self.times[number : number + 1].reshape(())  # an array: a Python number would be captured as a constant
        return Batch(self.images, self.order, self.key, self.pixel_key, self.numbers[number], time, count)

    def batches(self, first: int = 0) -> Iterator[Batch]:
        """Every batch from number `first` on."""
        return map(self.batch, range(first, len(self.order)))


def shuffle(
    images: Any, size: int, order_key: Any, noise_key: Any, number: int = 0, pixel_key: Any | None = None
) -> Epoch:
    """Epoch `number` of images (N, H, W, C), on their device; keys must be on the host.

    With `pixel_key`, images are the probabilities of binary pixels, which are drawn anew.
    """
    count = len(images)
    order = np.argsort(mg.random.bits(order_key, (count,)), kind="stable")
    order = np.pad(order, (0, -count % min(size, count))).reshape(-1, min(size, count))
    numbers, device = np.arange(len(order)), mg.device_of(images[:1])  # of a row: mapped images are no array
    times = number + numbers / len(order)
    return Epoch(images, *mg.to_device((order, noise_key, pixel_key, numbers, times), device))
