"""Training: a loop of pure steps, with a checkpoint after every epoch; stopping and resuming changes no number.

Everything random is a function of (seed, epoch, position): the order of the images, ε, the test sample. So a run
that stops anywhere and resumes goes through the same states, bit for bit, as an uninterrupted one. Several processes
(`minigrad.collectives`) go through the same states, too: each computes the gradients of its shards of a batch, and all
take the same step. Only the first one writes files.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import collectives
from minigrad.core import tree
from minigrad.interrupts import defer_signals
from vae.data import Dataset, checksum_of, digests, place, select
from vae.data.binarise import draw_pixels
from vae.data.blocks import blocks_of
from vae.errors import TrainingError
from vae.evaluation import mean_elbo, profile_log_sigma
from vae.models import Parameters
from vae.processes import agree, is_first, require_shards
from vae.runs import load_everywhere, save
from vae.sharded import add_elbo
from vae.steps import Batch, Epoch, shuffle
from vae.trainer import NOISE, ORDER, PARTS, PIXELS, TEST, State, Trainer, make_key
from vae.validation import best_epoch, is_finished, measure_objective, require_validation

READ_EVERY = 32  # steps between reads of the loss if the host runs ahead of the device: each read waits for it
ADVICE = "lower the learning rate or choose another decoder (the last checkpoint is kept)"


def train(
    trainer: Trainer,
    data: Dataset,
    out: Path,
    state: State | None = None,
    on_step: Callable[[State, int, float], None] = lambda state, steps, loss: None,
    on_epoch: Callable[[dict], None] = lambda record: None,
) -> State:
    """Train until `config.epochs` epochs are done, from `state` or from the beginning; files go to the folder `out`.

    `on_step(state, steps per epoch, −ELBO of the batch)` and `on_epoch(record)` report progress; the next step
    overwrites the arrays of `state`. A KeyboardInterrupt is raised again after the checkpoint is written. Raises
    TrainingError if the loss is no longer finite, or if `state` belongs to other images; the last checkpoint is kept.
    PeerError, if another process has stopped, is treated like a KeyboardInterrupt. Raises UserError if there are more
    processes than shards of a batch, or if they have other images or another configuration.
    """
    config, checksum = trainer.config, checksum_of(data.train, data.test)
    require_shards(config.shards)
    agree(images=checksum, **config.to_dict())
    state = trainer.initial(mean_image(data.train)) if state is None else _copy_state(state)
    if state.step + state.epoch and state.images != checksum:
        raise TrainingError(f"{data.name}: these are not the images of the run, so it cannot be resumed; train again")
    state = state._replace(images=checksum, trained=np.unique(digests(data.train)))
    require_validation(config, data)
    given = {part: getattr(data, part) for part in PARTS if getattr(data, part) is not None}
    parts = {part: place(trainer.seen(images, part), trainer.device) for part, images in given.items()}
    images = parts["train"]
    steps, every = -(-len(images) // config.batch), READ_EVERY if trainer.asynchronous else 1
    prepare, advance, loss = make_gradient(trainer), make_whole_step(trainer), math.nan
    _save(out, trainer, state)
    try:
        with np.errstate(all="ignore"):  # NaNs are diagnosed below
            while state.epoch < config.epochs and not is_finished(config, state):
                epoch, began = shuffle_for(trainer, images, state.epoch), time.perf_counter() - state.seconds
                for batch in epoch.batches(state.step):
                    gradient = prepare(state.parameters, batch)
                    with defer_signals():
                        state, found = advance_state(advance, state, batch, gradient)
                        state = state._replace(seconds=time.perf_counter() - began)
                    if math.isnan(loss) or state.step % every == 0 or state.step == steps:
                        loss = float(found)
                        if not math.isfinite(loss) or (state.step == steps and not _is_finite(state.parameters)):
                            raise TrainingError(_diagnose(trainer, epoch, out, state, loss))
                    on_step(state, steps, loss)
                state = _close_epoch(trainer, parts, state)
                _save(out, trainer, state)
                on_epoch(state.history[-1])
    except (KeyboardInterrupt, collectives.PeerError):
        with defer_signals():  # a second Ctrl-C waits until the state is saved
            if _is_finite(state.parameters):
                _save(out, trainer, state)
        raise
    return state


def _save(out: Path, trainer: Trainer, state: State) -> None:
    """Save the state, on the first process."""
    if is_first():
        save(out, trainer, state)


def _copy_state(state: State) -> State:
    """A copy of the state, whose arrays steps may overwrite."""
    arrays = state.parameters, state.optimiser, state.total
    parameters, optimiser, total = tree.map(lambda leaf: leaf.copy() if hasattr(leaf, "copy") else leaf, arrays)
    return state._replace(parameters=parameters, optimiser=optimiser, total=total)


def shuffle_for(trainer: Trainer, images: Any, epoch: int) -> Epoch:
    """The batches of an epoch: their order and their ε follow from the seed and the epoch."""
    config = trainer.config
    order, noise, pixels = (make_key(config, purpose, epoch) for purpose in (ORDER, NOISE, PIXELS))
    return shuffle(images, config.batch, order, noise, epoch, pixels if config.binarise == "dynamic" else None)


def make_gradient(trainer: Trainer) -> Callable[[Parameters, Batch], Any]:
    """A function that computes the gradient of a batch ahead of the step: unlike the step, it can be interrupted while
    it waits for other processes. It returns None if the step itself is to compute it."""
    sharded = trainer.sharded
    if trainer.config.shards == 1 or trainer.asynchronous:
        return lambda parameters, batch: None
    return lambda parameters, batch: sharded.gradient(parameters, batch, sharded.measure(parameters, batch), batch.time)


def make_whole_step(trainer: Trainer) -> Callable[..., tuple[Any, Parameters, Any, Any]]:
    """(parameters, optimiser's state, Σ ELBO, batch, gradient or None) -> (loss, the next ones): a step that also draws
    its batch and sums the ELBO. If the host runs ahead of the device, all of it is captured, so that the host only
    launches it."""
    sharded = trainer.sharded

    def step(
        parameters: Parameters, optimiser: Any, total: Any, batch: Batch, gradient: Any = None
    ) -> tuple[Any, Parameters, Any, Any]:
        if gradient is not None:
            return sharded.update(parameters, optimiser, total, batch, gradient)
        if trainer.config.shards > 1:
            return sharded.traced(parameters, optimiser, total, batch)
        loss, parameters, optimiser = trainer.step(parameters, optimiser, *trainer.draw(batch), batch.time)
        return loss, parameters, optimiser, add_elbo(total, loss, batch.number, batch.count)

    return mg.jit(step, donate=(0, 1, 2)) if trainer.asynchronous else step


def advance_state(advance: Callable, state: State, batch: Batch, gradient: Any = None) -> tuple[State, Any]:
    """The state after one more batch, and its loss."""
    more = () if gradient is None else (gradient,)
    loss, parameters, optimiser, total = advance(state.parameters, state.optimiser, state.total, batch, *more)
    return state._replace(parameters=parameters, optimiser=optimiser, step=state.step + 1, total=total), loss


def _close_epoch(trainer: Trainer, parts: dict[str, Any], state: State) -> State:
    """Evaluate, and return the state at the start of the next epoch."""
    config, autoencoder, images = trainer.config, trainer.after_epoch(state), parts["train"]
    key = mg.to_device(make_key(config, TEST, state.epoch), trainer.device)
    log_sigma = None
    if trainer.likelihood.profiled:
        some = select(images, slice(None, None, -(-len(images) // 2000)))  # spread over a set that may be sorted
        if config.binarise == "dynamic":
            some = draw_pixels(mg.random.fold_in(key, 2), some)
        log_sigma = profile_log_sigma(autoencoder, some, mg.random.fold_in(key, 1))
    record = {"epoch": state.epoch + 1, f"train_{config.score}": float(state.total) / len(images)}
    if "valid" in parts:  # always with the same noise, since epochs are compared
        same = mg.to_device(make_key(config, TEST, 0), trainer.device)
        record[f"valid_{config.score}"] = measure_objective(config, autoencoder, parts["valid"], same, log_sigma)
    record["test_elbo"] = mean_elbo(autoencoder, parts["test"], key, config.form, log_sigma)
    record["seconds"] = round(state.seconds, 3)
    for name, value in record.items():
        if not math.isfinite(value):
            about = name.replace("_elbo", " ELBO").replace("_", " ")
            raise TrainingError(f"the {about} became {value} after epoch {record['epoch']}; {ADVICE}")
    history, best = (*state.history, record), state.best
    if config.keep == "best":
        if best_epoch(config, history) == record["epoch"]:
            best = tree.map(lambda leaf: leaf.copy(), autoencoder.parameters)
        else:
            log_sigma = state.log_sigma  # that of the best parameters
    fresh = State(state.parameters, state.optimiser, state.epoch + 1, total=state.total)
    return fresh._replace(log_sigma=log_sigma, images=state.images, trained=state.trained, best=best, history=history)


def mean_image(images: Any) -> Any:
    """The mean of images (N, H, W, C), float64."""
    return sum(np.sum(images[rows], axis=0, dtype=np.float64) for rows in blocks_of(images)) / len(images)


def _is_finite(parameters: Any) -> bool:
    return all(bool(mg.isfinite(leaf).all()) for leaf in tree.flatten(parameters)[0])


def _diagnose(trainer: Trainer, epoch: Epoch, out: Path, state: State, value: float) -> str:
    """One sentence: where training failed, and the first operation that produced a NaN.

    Steps are replayed from the checkpoint, the last two with NaN checks: a NaN in a gradient shows in the next loss.
    """
    state, value = _find_failure(trainer, epoch, out, state, value)
    found = "no operation produced a NaN: the numbers overflowed"
    before, prepare, advance = load_everywhere(trainer, out), make_gradient(trainer), make_whole_step(trainer)
    while before.step < state.step:
        batch = epoch.batch(before.step)
        if before.step >= state.step - 2 and (nan := _find_nan(trainer, before, batch)):
            found = nan if before.step == state.step - 1 else f"{nan}, one batch earlier"
            break
        before, _ = advance_state(advance, before, batch, prepare(before.parameters, batch))
    failure = "parameters became infinite or NaN" if math.isfinite(value) else f"the loss became {value}"
    return f"{failure} in epoch {state.epoch + 1}, batch {state.step}: {found}; {ADVICE}"


def _find_nan(trainer: Trainer, state: State, batch: Batch) -> str:
    """Which operation of a step produced the first NaN, on the first process where one did; empty if none did.

    Operations that wait for other processes are not checked: one process would stop there, and the others wait for it.
    """
    arguments, sharded = (state.parameters, state.optimiser, state.total), trainer.sharded

    def first(function: Callable, *args: Any) -> tuple[Any, str]:
        try:
            with mg.checks.debug_nans():
                return function(*args), ""
        except mg.checks.NanError as error:
            return None, str(error)

    if collectives.size() == 1:
        return first(make_whole_step(trainer), *arguments, batch)[1]
    gradient, measured = sharded.gradient, sharded.measure(state.parameters, batch)
    parts, found = first(gradient.parts, state.parameters, batch, measured, batch.time)
    if found := next(filter(None, collectives.current().share(found)), ""):
        return found
    return first(sharded.update, *arguments, batch, gradient.add_up(parts))[1]


def _find_failure(trainer: Trainer, epoch: Epoch, out: Path, state: State, value: float) -> tuple[State, float]:
    """The state after the first step whose loss is not finite, and that loss: a host that runs ahead of the device has
    not read every loss."""
    if not trainer.asynchronous or math.isfinite(value):
        return state, value
    before, advance = load_everywhere(trainer, out), make_whole_step(trainer)
    while before.step < state.step:
        before, loss = advance_state(advance, before, epoch.batch(before.step))
        if not math.isfinite(float(loss)):
            return before, float(loss)
    return state, value
