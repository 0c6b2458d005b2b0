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
from vae.errors import UserError
from vae.likelihoods import Likelihood
from vae.models import Model, Parameters
from vae.objectives import elbo_sums
from vae.sharded import ShardedStep
from vae.steps import make_step

INIT, ORDER, NOISE, TEST = range(4)  # purposes of random keys


class State(NamedTuple):
    """The state of training after `step` batches of epoch number `epoch` (from 0)."""

    parameters: Parameters
    optimiser: Any
    epoch: int = 0
    step: int = 0
    total: Any = 0.0  # sum of the ELBO of the images seen in this epoch, in nats; its first batch resets it
    log_sigma: float | None = None  # profiled ln σ of the last epoch
    seconds: float = 0.0  # spent in this epoch so far
    images: int = 0  # checksum of the images, which must be the same when a run is resumed
    trained: Any = ()  # sorted digests of the training images, which `evaluate` removes from test images
    history: tuple[dict, ...] = ()


class Trainer(NamedTuple):
    """Everything to train a configuration on images of one shape."""

    config: Config
    model: Model
    likelihood: Likelihood
    device: str
    asynchronous: bool  # whether the host runs ahead of the device; it then reads only some losses
    step: Callable[[Parameters, Any, Any, Any], tuple[Any, Parameters, Any]]
    """(parameters, optimiser's state, images, noise) -> (−ELBO, next parameters, next state), in the memory of the old
    ones, which must not be used again."""
    sharded: ShardedStep  # the step on the shards of a batch, if there are several
    initial: Callable[[], State]

    def autoencoder(self, parameters: Parameters) -> Autoencoder:
        """The model and its likelihood with these parameters."""
        return Autoencoder(self.model, self.likelihood, parameters)


def make_trainer(config: Config, image_shape: tuple[int, int, int], device: str = "cpu") -> Trainer:
    """The model, its initial state and its training step. Raises UserError for images the model cannot take."""
    model, likelihood, optimiser = config.make_model(image_shape), config.make_likelihood(), config.make_optimiser()
    weights, asynchronous = config.make_weights(image_shape), mg.device.is_asynchronous(device)

    def loss(
        parameters: Parameters, y: Any, noise: Any, count: int | None = None, distance: Any = None
    ) -> tuple[Any, Any]:
        """The loss, and −ELBO in nats, which differ only if the configuration weights the two sums of the ELBO: means
        over these images, or the share that these have in a batch of `count` images, whose pixels have this distance
        from the decoder's in all."""
        best = None if distance is None else likelihood.best_log_sigma(distance / (count * math.prod(image_shape)))
        pixels, latents = elbo_sums(Autoencoder(model, likelihood, parameters), y, noise, config.form, best)
        count = count or len(y)
        return -mg.sum(weights.pixels * pixels + weights.latents * latents) / count, -mg.sum(pixels + latents) / count

    def distance(parameters: Parameters, y: Any, noise: Any) -> Any:
        """What a profiled σ follows from. At the optimum the derivative in σ is 0, so σ counts as a constant."""
        return mg.sum(Autoencoder(model, likelihood, parameters).distance(y, noise))

    def initial() -> State:
        try:
            parameters = model.init(make_key(config, INIT, 0))
        except MemoryError:
            sizes = f"--latent {config.latent}" + (f" and --hidden {config.hidden}" if config.model == "mlp" else "")
            raise UserError(f"the parameters of a model with {sizes} do not fit into memory: reduce them") from None
        if likelihood.learned:
            parameters = parameters._replace(log_sigma=np.log(np.float32(0.25)))
        return place(State(parameters, optimiser.init(parameters)), device, asynchronous)

    measure = distance if likelihood.profiled else None
    sharded = ShardedStep(loss, measure, optimiser, config.shards, model.latent, threaded=not asynchronous)
    return Trainer(config, model, likelihood, device, asynchronous, make_step(loss, optimiser), sharded, initial)


def place(state: State, device: str, asynchronous: bool) -> State:
    """Move what steps update to the device, scalars too, so that no step waits for a transfer from the host."""
    if not asynchronous:
        return state
    arrays = tree.map(np.asarray, (state.parameters, state.optimiser, float(state.total)))
    parameters, optimiser, total = mg.to_device(arrays, device)
    return state._replace(parameters=parameters, optimiser=optimiser, total=total)


def make_key(config: Config, purpose: int, epoch: int) -> Any:
    """The random key of one purpose in one epoch."""
    return mg.random.fold_in(mg.random.fold_in(mg.random.key(config.seed), purpose), epoch)
