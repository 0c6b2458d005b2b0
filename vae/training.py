"""Training: one pure step over and over, a checkpoint after every epoch, and the same numbers however often it stops.

Everything random is a function of (seed, epoch, position): the order of the images, ε, the test sample. So a run
that stops anywhere and resumes goes through the same states, bit for bit, as one that does not.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad.core import tree
from minigrad.interrupts import defer_signals
from vae import checkpoints, files
from vae.autoencoder import Autoencoder
from vae.config import Config
from vae.data import Dataset, digests
from vae.errors import CheckpointError, TrainingError, UserError
from vae.evaluation import mean_elbo, profile_log_sigma
from vae.likelihoods import LEARNED, Likelihood
from vae.models import Model, Parameters
from vae.objectives import elbo_sums

CHECKPOINT, CONFIG, METRICS = "checkpoint.safetensors", "config.json", "metrics.jsonl"
INIT, ORDER, NOISE, TEST = range(4)  # what a key is for
LOOK = 32  # steps between two looks at a loss where the host runs ahead of the device: each look waits for it
ADVICE = "lower the learning rate or choose another decoder (the last checkpoint is kept)"


class State(NamedTuple):
    """Where training stands: after `step` batches of epoch number `epoch` (counted from 0)."""

    parameters: Parameters
    optimiser: Any
    epoch: int = 0
    step: int = 0
    total: Any = 0.0  # sum of the ELBO of the images seen in this epoch, in nats; begins anew with its first batch
    log_sigma: float | None = None  # profiled ln σ of the last epoch
    seconds: float = 0.0  # spent on this epoch so far
    images: int = 0  # checksum of the images: after a stop they must be the same
    trained: Any = ()  # digests of the training images, sorted: evaluate leaves them out of test images
    history: tuple[dict, ...] = ()


class Trainer(NamedTuple):
    """A configuration made concrete for one set of images."""

    config: Config
    model: Model
    likelihood: Likelihood
    device: str
    asynchronous: bool  # whether the host runs ahead of the device: it then looks at few losses only
    step: Callable[[Parameters, Any, Any, Any], tuple[Any, Parameters, Any]]
    """(parameters, optimiser's state, images, noise) -> −ELBO and the next two, in the memory of the first two, which
    must not be used again."""
    initial: Callable[[], State]

    def autoencoder(self, parameters: Parameters) -> Autoencoder:
        """The model and its likelihood with these parameters."""
        return Autoencoder(self.model, self.likelihood, parameters)


def make_trainer(config: Config, image_shape: tuple[int, int, int], device: str = "cpu") -> Trainer:
    """The model, its initial state and its training step. Raises UserError for images the model cannot take."""
    model, likelihood, optimiser = config.make_model(image_shape), config.make_likelihood(), config.make_optimiser()
    weights, asynchronous = config.make_weights(image_shape), mg.device.is_asynchronous(device)

    def loss(parameters: Parameters, y: Any, noise: Any) -> tuple[Any, Any]:
        """The loss, and −ELBO in nats: the same number unless the configuration weighs its halves."""
        pixels, latents = elbo_sums(Autoencoder(model, likelihood, parameters), y, noise, config.form)
        return -mg.mean(weights.pixels * pixels + weights.latents * latents), -mg.mean(pixels + latents)

    def step(parameters: Parameters, state: Any, y: Any, noise: Any) -> tuple[Any, Parameters, Any]:
        (_, negative_elbo), gradients = mg.value_and_grad(loss, has_aux=True)(parameters, y, noise)
        return negative_elbo, *optimiser.update(parameters, gradients, state)

    def initial() -> State:
        try:
            parameters = model.init(_key(config, INIT, 0))
        except MemoryError:
            sizes = f"--latent {config.latent}" + (f" and --hidden {config.hidden}" if config.model == "mlp" else "")
            raise UserError(f"the parameters of a model with {sizes} do not fit into memory: choose fewer") from None
        if likelihood.sigma == LEARNED:
            parameters = parameters._replace(log_sigma=np.log(np.float32(0.25)))
        return _placed(State(parameters, optimiser.init(parameters)), device, asynchronous)

    return Trainer(config, model, likelihood, device, asynchronous, mg.jit(step, donate=(0, 1)), initial)


def _placed(state: State, device: str, asynchronous: bool) -> State:
    """The state with what steps change on the device, numbers too, so that no step waits for the host to send them."""
    if not asynchronous:
        return state
    arrays = tree.map(np.asarray, (state.parameters, state.optimiser, float(state.total)))
    parameters, optimiser, total = mg.to_device(arrays, device)
    return state._replace(parameters=parameters, optimiser=optimiser, total=total)


def _key(config: Config, purpose: int, epoch: int) -> Any:
    return mg.random.fold_in(mg.random.fold_in(mg.random.key(config.seed), purpose), epoch)


def train(
    trainer: Trainer,
    data: Dataset,
    out: Path,
    state: State | None = None,
    on_step: Callable[[State, int, float], None] = lambda state, steps, loss: None,
    on_epoch: Callable[[dict], None] = lambda record: None,
) -> State:
    """Train until `config.epochs` epochs are done, from `state` or from the beginning; files go to the folder `out`.

    `on_step(state, steps per epoch, −ELBO of the batch)` and `on_epoch(record)` are told of progress; the next step
    writes over the arrays of `state`. On KeyboardInterrupt the checkpoint is written before it is raised again. Raises
    TrainingError when the loss is no longer finite, and when `state` comes from other images; the last checkpoint is
    kept.
    """
    config, checksum = trainer.config, zlib.crc32(data.test, zlib.crc32(data.train))
    state = trainer.initial() if state is None else _copied(state)
    if state.step + state.epoch and state.images != checksum:
        raise TrainingError(f"{data.name}: these are not the images the run began with, so it cannot go on; train anew")
    state = state._replace(images=checksum, trained=np.unique(digests(data.train)))
    images, test = mg.to_device((data.train, data.test), trainer.device)
    steps, look = -(-len(images) // config.batch), LOOK if trainer.asynchronous else 1
    advance, loss = _whole_step(trainer), math.nan
    save(out, trainer, state)
    try:
        with np.errstate(all="ignore"):  # a NaN is found and named below
            while state.epoch < config.epochs:
                draws, began = _draws(trainer, images, state.epoch), time.perf_counter() - state.seconds
                for number in range(state.step, steps):
                    with defer_signals():
                        state, found = _stepped(advance, state, draws(number))
                        state = state._replace(seconds=time.perf_counter() - began)
                    if math.isnan(loss) or state.step % look == 0 or state.step == steps:
                        loss = float(found)
                        if not math.isfinite(loss) or (state.step == steps and not _finite(state.parameters)):
                            raise TrainingError(_diagnosis(trainer, draws, out, state, loss))
                    on_step(state, steps, loss)
                state = _close_epoch(trainer, images, test, state)
                save(out, trainer, state)
                on_epoch(state.history[-1])
    except KeyboardInterrupt:
        with defer_signals():  # a second Ctrl-C waits until it is saved
            if _finite(state.parameters):
                save(out, trainer, state)
        raise
    return state


def _copied(state: State) -> State:
    """The same in memory of its own, which steps may write over."""
    arrays = state.parameters, state.optimiser, state.total
    parameters, optimiser, total = tree.map(lambda leaf: leaf.copy() if hasattr(leaf, "copy") else leaf, arrays)
    return state._replace(parameters=parameters, optimiser=optimiser, total=total)


class Batch(NamedTuple):
    """What it takes to draw a batch: all images, the rows of each batch of an epoch, the key of its ε, which one."""

    images: Any
    order: Any  # (batches, size)
    key: Any
    number: Any
    count: int  # of images, fewer than the size in the last one

    def drawn(self, latent: int) -> tuple[Any, Any]:
        """The images (count, H, W, C), and noise (count, latent): numbers of a stream that all batches share."""
        rows, size = self.order[self.number][: self.count], self.order.shape[1]
        return self.images[rows], mg.random.normal(self.key, (self.count, latent), offset=self.number * (size * latent))


def _draws(trainer: Trainer, images: Any, epoch: int) -> Callable[[int], Batch]:
    """A function that gives each batch of an epoch."""
    count = len(images)
    size = min(trainer.config.batch, count)
    order = np.argsort(mg.random.bits(_key(trainer.config, ORDER, epoch), (count,)), kind="stable")
    order = np.pad(order, (0, -count % size)).reshape(-1, size)
    numbers = np.arange(len(order))
    order, key, numbers = mg.to_device((order, _key(trainer.config, NOISE, epoch), numbers), trainer.device)
    return lambda number: Batch(images, order, key, numbers[number], min(size, count - number * size))


def _whole_step(trainer: Trainer) -> Callable[[Parameters, Any, Any, Batch], tuple[Any, Parameters, Any, Any]]:
    """A step that draws its batch and adds up the ELBO; where the host runs ahead of the device, it is captured as a
    whole, so that the host only starts it."""

    def whole(parameters: Parameters, optimiser: Any, total: Any, batch: Batch) -> tuple[Any, Parameters, Any, Any]:
        loss, parameters, optimiser = trainer.step(parameters, optimiser, *batch.drawn(trainer.model.latent))
        before = mg.where(batch.number == 0, 0.0, total)
        return loss, parameters, optimiser, before - mg.astype(loss, np.float64) * batch.count

    return mg.jit(whole, donate=(0, 1, 2)) if trainer.asynchronous else whole


def _stepped(advance: Callable, state: State, batch: Batch) -> tuple[State, Any]:
    """The state after one more batch, and its loss."""
    loss, parameters, optimiser, total = advance(state.parameters, state.optimiser, state.total, batch)
    return state._replace(parameters=parameters, optimiser=optimiser, step=state.step + 1, total=total), loss


def _close_epoch(trainer: Trainer, images: Any, test: Any, state: State) -> State:
    """Measure, and go on to the next epoch."""
    config, autoencoder = trainer.config, trainer.autoencoder(state.parameters)
    key = mg.to_device(_key(config, TEST, state.epoch), mg.device_of(images))
    log_sigma = None
    if trainer.likelihood.profiled:
        some = images[:: -(-len(images) // 2000)]  # from all over: the first ones may be of one class
        log_sigma = profile_log_sigma(autoencoder, some, mg.random.fold_in(key, 1))
    record = {
        "epoch": state.epoch + 1,
        "train_elbo": float(state.total) / len(images),
        "test_elbo": mean_elbo(autoencoder, test, key, config.form, log_sigma),
        "seconds": round(state.seconds, 3),
    }
    if not math.isfinite(record["test_elbo"]):
        raise TrainingError(f"the test ELBO became {record['test_elbo']} after epoch {record['epoch']}; {ADVICE}")
    history = (*state.history, record)
    fresh = State(state.parameters, state.optimiser, state.epoch + 1, total=state.total)
    return fresh._replace(log_sigma=log_sigma, images=state.images, trained=state.trained, history=history)


def _finite(parameters: Any) -> bool:
    return all(bool(mg.isfinite(leaf).all()) for leaf in tree.flatten(parameters)[0])


def _diagnosis(trainer: Trainer, draws: Callable, out: Path, state: State, value: float) -> str:
    """One sentence: where training broke, and the first operation that made a NaN.

    The last two steps are repeated for that, from the checkpoint on: a NaN in a gradient shows in the next loss.
    """
    state, value = _broken(trainer, draws, out, state, value)
    found = "no operation made a NaN: the numbers overflowed"
    before, whole = load_state(trainer, out), _whole_step(trainer)
    while before.step < state.step:
        if before.step >= state.step - 2:
            try:
                with mg.checks.debug_nans():
                    whole(before.parameters, before.optimiser, before.total, draws(before.step))
            except mg.checks.NanError as error:
                found = str(error) if before.step == state.step - 1 else f"{error}, one batch earlier"
                break
        before, _ = _stepped(whole, before, draws(before.step))
    broke = "parameters became infinite or NaN" if math.isfinite(value) else f"the loss became {value}"
    return f"{broke} in epoch {state.epoch + 1}, batch {state.step}: {found}; {ADVICE}"


def _broken(trainer: Trainer, draws: Callable, out: Path, state: State, value: float) -> tuple[State, float]:
    """The state after the first step with a broken loss, and that loss: where the host runs ahead, it did not look at
    every one."""
    if not trainer.asynchronous or math.isfinite(value):
        return state, value
    before, whole = load_state(trainer, out), _whole_step(trainer)
    while before.step < state.step:
        before, loss = _stepped(whole, before, draws(before.step))
        if not math.isfinite(float(loss)):
            return before, float(loss)
    return state, value


# Runs on disk


def save(out: Path, trainer: Trainer, state: State) -> None:
    """Write the checkpoint, then what can be made from it."""
    record = {
        "config": trainer.config.to_dict(),
        "image_shape": list(trainer.model.image_shape),
        "epoch": state.epoch,
        "step": state.step,
        "total": float(state.total),
        "log_sigma": state.log_sigma,
        "seconds": state.seconds,
        "images": state.images,
        "history": list(state.history),
    }
    trees = {"parameters": state.parameters, "optimiser": state.optimiser, "trained": state.trained}
    checkpoints.save(out / CHECKPOINT, trees, record)
    files.write_json(out / CONFIG, trainer.config.to_dict())
    files.write_lines(out / METRICS, list(state.history))


def load_trainer(out: Path, device: str = "cpu") -> Trainer:
    """The trainer of the run in a folder. Raises CheckpointError if its record is not one."""
    path = out / CHECKPOINT
    _, record = checkpoints.load(path)
    try:
        return make_trainer(Config.from_dict(record["config"]), tuple(record["image_shape"]), device)
    except (KeyError, TypeError, UserError) as error:
        raise CheckpointError(f"{path} has no valid configuration: {error}") from None


def load_state(trainer: Trainer, out: Path) -> State:
    """The state in a run's folder. Raises CheckpointError if it is damaged or of another model."""
    path = out / CHECKPOINT
    arrays, record = checkpoints.load(path)
    fresh = trainer.initial()
    try:
        rest = {name: record[name] for name in ("epoch", "step", "total", "log_sigma", "seconds", "images")}
        rest |= {"history": tuple(record["history"]), "trained": arrays["trained"]}
    except (KeyError, TypeError):
        raise CheckpointError(f"{path} lacks part of the training state; train again") from None
    parameters = checkpoints.fill(fresh.parameters, "parameters", arrays, path)
    optimiser = checkpoints.fill(fresh.optimiser, "optimiser", arrays, path)
    if hasattr(optimiser, "step"):
        optimiser = optimiser._replace(step=np.int64(optimiser.step))
    return _placed(State(parameters, optimiser, **rest), trainer.device, trainer.asynchronous)
