"""Training: one pure step over and over, a checkpoint after every epoch, and the same numbers however often it stops.

Everything random is a function of (seed, epoch, position): the order of the images, ε, the test sample. So a run
that stops anywhere and resumes goes through the same states, bit for bit, as one that does not.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import tree
from vae import files
from vae.config import Config
from vae.data import Dataset
from vae.errors import CheckpointError, TrainingError, UserError
from vae.evaluation import mean_elbo, profile_log_sigma
from vae.models import Model, Parameters
from vae.objectives import Likelihood, elbo_sums

CHECKPOINT, CONFIG, METRICS = "checkpoint.safetensors", "config.json", "metrics.jsonl"
INIT, ORDER, NOISE, TEST = range(4)  # what a key is for
ADVICE = "lower the learning rate or choose another decoder (the last checkpoint is kept)"


class State(NamedTuple):
    """Where training stands: after `step` batches of epoch number `epoch` (counted from 0)."""

    parameters: Parameters
    optimiser: Any
    epoch: int = 0
    step: int = 0
    total: float = 0.0  # sum of the ELBO of the images seen in this epoch, in nats
    log_sigma: float | None = None  # profiled ln σ of the last epoch
    seconds: float = 0.0  # spent on this epoch so far
    images: int = 0  # checksum of the images: after a stop they must be the same
    history: tuple[dict, ...] = ()


class Trainer(NamedTuple):
    """A configuration made concrete for one set of images."""

    config: Config
    model: Model
    likelihood: Likelihood
    device: str
    step: Callable[[Parameters, Any, Any, Any], tuple[Any, Parameters, Any]]  # gives −ELBO and what comes next
    initial: Callable[[], State]


def make_trainer(config: Config, image_shape: tuple[int, int, int], device: str = "cpu") -> Trainer:
    """The model, its initial state and its training step. Raises UserError for images the model cannot take."""
    model, likelihood, optimiser = config.make_model(image_shape), config.make_likelihood(), config.make_optimiser()
    weights = config.make_weights(image_shape)

    def loss(parameters: Parameters, y: Any, noise: Any) -> tuple[Any, Any]:
        """The loss, and −ELBO in nats: the same number unless the configuration weighs its halves."""
        pixels, latents = elbo_sums(model, likelihood, parameters, y, noise, config.form)
        return -mg.mean(weights.pixels * pixels + weights.latents * latents), -mg.mean(pixels + latents)

    def step(parameters: Parameters, state: Any, y: Any, noise: Any) -> tuple[Any, Parameters, Any]:
        (_, negative_elbo), gradients = mg.value_and_grad(loss, has_aux=True)(parameters, y, noise)
        return negative_elbo, *optimiser.update(parameters, gradients, state)

    def initial() -> State:
        parameters = model.init(_key(config, INIT, 0))
        if likelihood.mode == "learned":
            parameters = parameters._replace(log_sigma=np.log(np.float32(0.25)))
        parameters = mg.to_device(parameters, device)
        return State(parameters, optimiser.init(parameters))

    return Trainer(config, model, likelihood, device, step, initial)


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

    `on_step(state, steps per epoch, −ELBO of the batch)` and `on_epoch(record)` are told of progress. On Ctrl-C the
    checkpoint is written before KeyboardInterrupt goes on. Raises TrainingError when the loss is no longer finite, and
    when `state` comes from other images; the last checkpoint is kept.
    """
    config, checksum = trainer.config, zlib.crc32(data.test, zlib.crc32(data.train))
    state = trainer.initial() if state is None else state
    if state.step + state.epoch and state.images != checksum:
        raise TrainingError(f"{data.name}: these are not the images the run began with, so it cannot go on; train anew")
    state = state._replace(images=checksum)
    images, test = mg.to_device((data.train, data.test), trainer.device)
    steps = -(-len(images) // config.batch)
    save(out, trainer, state)
    try:
        with np.errstate(all="ignore"):  # a NaN is found and named below
            while state.epoch < config.epochs:
                for state, loss in _steps(trainer, images, state, steps):  # noqa: B020 - it starts from this state
                    on_step(state, steps, loss)
                state = _close_epoch(trainer, images, test, state)
                save(out, trainer, state)
                on_epoch(state.history[-1])
    except KeyboardInterrupt:
        if _finite(state.parameters):
            save(out, trainer, state)
        raise
    return state


def _steps(trainer: Trainer, images: Any, state: State, steps: int) -> Iterator[tuple[State, float]]:
    """The states after each of the remaining steps of an epoch, each with the loss of its batch."""
    config, latent = trainer.config, trainer.model.latent
    order = np.argsort(mg.random.bits(_key(config, ORDER, state.epoch), (len(images),)), kind="stable")
    order, key = mg.to_device((order, _key(config, NOISE, state.epoch)), trainer.device)
    began = time.perf_counter() - state.seconds
    before = None
    for number in range(state.step, steps):
        rows = order[number * config.batch : (number + 1) * config.batch]
        y = images[rows]
        noise = mg.random.normal(key, (len(rows), latent), offset=number * config.batch * latent)
        loss, parameters, optimiser = trainer.step(state.parameters, state.optimiser, y, noise)
        value = float(loss)
        last_is_bad = number + 1 == steps and not _finite(parameters)  # no later loss would show it
        if last_is_bad or not math.isfinite(value):
            raise TrainingError(_diagnosis(trainer, value, (before, (state, y, noise))))
        before = state, y, noise
        total, seconds = state.total - value * len(rows), time.perf_counter() - began
        state = state._replace(
            parameters=parameters, optimiser=optimiser, step=number + 1, total=total, seconds=seconds
        )
        yield state, value


def _close_epoch(trainer: Trainer, images: Any, test: Any, state: State) -> State:
    """Measure, and go on to the next epoch."""
    config, model, likelihood = trainer.config, trainer.model, trainer.likelihood
    key = mg.to_device(_key(config, TEST, state.epoch), mg.device_of(images))
    log_sigma = None
    if likelihood.mode == "profiled":
        some = images[:: -(-len(images) // 2000)]  # from all over: the first ones may be of one class
        log_sigma = profile_log_sigma(model, likelihood, state.parameters, some, mg.random.fold_in(key, 1))
    record = {
        "epoch": state.epoch + 1,
        "train_elbo": state.total / len(images),
        "test_elbo": mean_elbo(model, likelihood, state.parameters, test, key, config.form, log_sigma),
        "seconds": round(state.seconds, 3),
    }
    if not math.isfinite(record["test_elbo"]):
        raise TrainingError(f"the test ELBO became {record['test_elbo']} after epoch {record['epoch']}; {ADVICE}")
    history = (*state.history, record)
    fresh = State(state.parameters, state.optimiser, state.epoch + 1)
    return fresh._replace(log_sigma=log_sigma, images=state.images, history=history)


def _finite(parameters: Any) -> bool:
    return all(bool(mg.isfinite(leaf).all()) for leaf in tree.flatten(parameters)[0])


def _diagnosis(trainer: Trainer, value: float, last: tuple) -> str:
    """One sentence: where training broke, and the first operation that made a NaN.

    `last` are the two last (state, images, noise), or None: a NaN in a gradient is seen in the loss of the next batch.
    """
    *_, (state, _, _) = last
    found = "no operation made a NaN: the numbers overflowed"
    for state_then, y, noise in filter(None, last):
        try:
            with mg.checks.debug_nans():
                trainer.step(state_then.parameters, state_then.optimiser, y, noise)
        except mg.checks.NanError as error:
            found = str(error) if state_then is state else f"{error}, one batch earlier"
            break
    broke = "parameters became infinite or NaN" if math.isfinite(value) else f"the loss became {value}"
    return f"{broke} in epoch {state.epoch + 1}, batch {state.step + 1}: {found}; {ADVICE}"


# Runs on disk


def save(out: Path, trainer: Trainer, state: State) -> None:
    """Write the checkpoint, then what can be made from it."""
    record = {
        "config": trainer.config.to_dict(),
        "image_shape": list(trainer.model.image_shape),
        "epoch": state.epoch,
        "step": state.step,
        "total": state.total,
        "log_sigma": state.log_sigma,
        "seconds": state.seconds,
        "images": state.images,
        "history": list(state.history),
    }
    trees = {"parameters": state.parameters, "optimiser": state.optimiser}
    files.save_checkpoint(out / CHECKPOINT, trees, record)
    files.write_json(out / CONFIG, trainer.config.to_dict())
    files.write_lines(out / METRICS, list(state.history))


def load_trainer(out: Path, device: str = "cpu") -> Trainer:
    """The trainer of the run in a folder. Raises CheckpointError if its record is not one."""
    path = out / CHECKPOINT
    _, record = files.load_checkpoint(path)
    try:
        return make_trainer(Config.from_dict(record["config"]), tuple(record["image_shape"]), device)
    except (KeyError, TypeError, UserError) as error:
        raise CheckpointError(f"{path} has no valid configuration: {error}") from None


def load_state(trainer: Trainer, out: Path) -> State:
    """The state in a run's folder. Raises CheckpointError if it is damaged or of another model."""
    path = out / CHECKPOINT
    arrays, record = files.load_checkpoint(path)
    fresh = trainer.initial()
    try:
        rest = {name: record[name] for name in ("epoch", "step", "total", "log_sigma", "seconds", "images")}
        rest["history"] = tuple(record["history"])
    except (KeyError, TypeError):
        raise CheckpointError(f"{path} lacks part of the training state; train again") from None
    parameters = files.fill(fresh.parameters, "parameters", arrays, path)
    optimiser = files.fill(fresh.optimiser, "optimiser", arrays, path)
    if hasattr(optimiser, "step"):
        optimiser = optimiser._replace(step=np.int64(optimiser.step))
    return State(*mg.to_device((parameters, optimiser), trainer.device), **rest)
