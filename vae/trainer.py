"""Build a trainer from a configuration: the model, its training step, and the state that the step updates."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad.core import tree
from vae.autoencoder import Autoencoder
from vae.config import Config
from vae.data.binarise import binarise, require_probabilities
from vae.errors import UserError
from vae.estimators import bound_and_gradient
from vae.likelihoods import Likelihood
from vae.models import Model, Parameters
from vae.sharded import ShardedStep
from vae.steps import Batch, make_step

INIT, ORDER, NOISE, TEST, PIXELS, FIXED_PIXELS = range(6)  # purposes of random keys
PARTS = ("train", "test", "valid")


class State(NamedTuple):
    """The state of training after `step` batches of epoch number `epoch` (from 0)."""

    parameters: Parameters
    optimiser: Any
    epoch: int = 0
    step: int = 0
    total: Any = 0.0  # sum of the ELBO of the images seen in this epoch, in nats; its first batch resets it
    log_sigma: float | None = None  # profiled ln σ of the parameters to use, those of the last or of the best epoch
    seconds: float = 0.0  # spent in this epoch so far
    images: int = 0  # checksum of the images, which must be the same when a run is resumed
    trained: Any = ()  # sorted digests of the training images, which `evaluate` removes from test images
    best: Any = None  # parameters after the epoch with the best validation bound, if they are kept
    history: tuple[dict, ...] = ()


class Trainer(NamedTuple):
    """Everything to train a configuration on images of one shape."""

    config: Config
    model: Model
    likelihood: Likelihood
    device: str
    asynchronous: bool  # whether the host runs ahead of the device; it then reads only some losses
    step: Callable[..., tuple[Any, Parameters, Any]]
    """(parameters, optimiser's state, images, noise, time in epochs) -> (−bound, next parameters, next state), in the
    memory of the old ones, which must not be used again. Without a schedule, the time may be left out."""
    sharded: ShardedStep  # the step on the shards of a batch, if there are several
    draw: Callable[..., tuple[Any, Any]]  # (batch, first, last) -> the images and the noise of some of its images
    initial: Callable[..., State]  # an optional argument: the mean training image (H, W, C), for the output's bias

    def autoencoder(self, parameters: Parameters) -> Autoencoder:
        """The model and its likelihood with these parameters."""
        return Autoencoder(self.model, self.likelihood, parameters)

    def trained(self, state: State) -> Autoencoder:
        """The autoencoder to use: with the best parameters if they are kept, else those `after_epoch`."""
        return self.autoencoder(state.best) if state.best is not None else self.after_epoch(state)

    def after_epoch(self, state: State) -> Autoencoder:
        """The autoencoder after the last step: with the averaged parameters if they are averaged."""
        return self.autoencoder(state.parameters if self.config.average is None else state.optimiser.mean)

    def seen(self, images: Any, part: str) -> Any:
        """The images of a part of the data as the model sees them: binary, if they are binarised. Training images that
        are binarised anew in every epoch stay as they are."""
        if self.config.binarise == "none":
            return images
        if self.config.binarise == "dynamic" and part == "train":
            require_probabilities(images)
            return images
        return binarise(images, make_key(self.config, FIXED_PIXELS, PARTS.index(part)))


def make_trainer(config: Config, image_shape: tuple[int, int, int], device: str = "cpu") -> Trainer:
    """The model, its initial state and its training step. Raises UserError for images the model cannot take."""
    model, likelihood, optimiser = config.make_model(image_shape), config.make_likelihood(), config.make_optimiser()
    fixed, asynchronous = config.make_weights(image_shape), mg.device.is_asynchronous(device)
    schedule, warm_up = config.make_schedule(), config.make_warm_up()

    def gradient(
        parameters: Parameters, y: Any, noise: Any, time: Any = None, count: int | None = None, distance: Any = None
    ) -> tuple[Any, Parameters]:
        """−L in nats, and the gradient of the loss, which differ only if the configuration weights the two sums of the
        ELBO: means over these images, or the share that these have in a batch of `count` images, whose pixels have
        this distance from the decoder's in all."""
        values = (count or 0) * math.prod(image_shape) * config.samples
        best = None if distance is None else likelihood.best_log_sigma(distance / values)
        weights = fixed
        if warm_up is not None:
            weights = fixed._replace(latents=mg.astype(fixed.latents * warm_up(time), parameters.encoder.mean.b.dtype))
        count = count or len(y)
        now = Autoencoder(model, likelihood, parameters)
        bound, slopes = bound_and_gradient(
            now, y, noise, config.objective, config.form, weights, best, scale=-1 / count
        )
        return -mg.sum(bound) / count, slopes

    def distance(parameters: Parameters, y: Any, noise: Any) -> Any:
        """What a profiled σ follows from. At the optimum the derivative in σ is 0, so σ counts as a constant."""
        return mg.sum(Autoencoder(model, likelihood, parameters).distance(y, noise))

    def initial(mean_image: Any = None) -> State:
        try:
            parameters = model.init(make_key(config, INIT, 0))
        except MemoryError:
            raise UserError(
                f"the parameters of a model with {config.describe_sizes()} do not fit into memory: reduce them"
            ) from None
        if likelihood.learned:
            parameters = parameters._replace(log_sigma=np.log(np.float32(0.25)))
        if mean_image is not None and config.output_bias == "data":
            parameters = _set_output(parameters, model.output_bias(likelihood.output_for(mean_image)))
        return place(State(parameters, optimiser.init(parameters)), device, asynchronous)

    def draw(batch: Batch, first: int = 0, last: int | None = None) -> tuple[Any, Any]:
        return batch.draw(model.latent, first, last, config.samples)

    measure = distance if likelihood.profiled else None
    sharded = ShardedStep(gradient, measure, optimiser, schedule, config.shards, draw, threaded=not asynchronous)
    step = make_step(gradient, optimiser, schedule)
    return Trainer(config, model, likelihood, device, asynchronous, step, sharded, draw, initial)


def _set_output(parameters: Parameters, bias: Any) -> Parameters:
    """The parameters with another bias of the decoder's last layer."""
    pixels = parameters.decoder.pixels
    decoder = parameters.decoder._replace(pixels=pixels._replace(b=mg.astype(bias, pixels.b.dtype)))
    return parameters._replace(decoder=decoder)


def place(state: State, device: str, asynchronous: bool) -> State:
    """Move what steps update to the device, scalars too, so that no step waits for a transfer from the host."""
    if not asynchronous:
        return state
    arrays = tree.map(np.asarray, (state.parameters, state.optimiser, float(state.total), state.best))
    parameters, optimiser, total, best = mg.to_device(arrays, device)
    return state._replace(parameters=parameters, optimiser=optimiser, total=total, best=best)


def make_key(config: Config, purpose: int, epoch: int) -> Any:
    """The random key of one purpose in one epoch."""
    return mg.random.fold_in(mg.random.fold_in(mg.random.key(config.seed), purpose), epoch)
