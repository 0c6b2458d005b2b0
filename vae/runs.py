"""Runs on disk: the checkpoint to resume from, and the configuration and metrics in readable form."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minigrad import collectives
from minigrad.backends.libraries import describe_libraries
from minigrad.core import tree
from vae import checkpoints, files
from vae.config import Config
from vae.errors import CheckpointError, UserError
from vae.trainer import State, Trainer, make_trainer, place

CHECKPOINT, CONFIG, METRICS = "checkpoint.safetensors", "config.json", "metrics.jsonl"


def save(out: Path, trainer: Trainer, state: State) -> None:
    """Write the checkpoint, then the configuration and metrics, which the checkpoint also holds."""
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
        "libraries": {"device": trainer.device, **describe_libraries()},
    }
    trees = {"parameters": state.parameters, "optimiser": state.optimiser, "trained": state.trained}
    if state.best is not None:
        trees["best"] = state.best
    checkpoints.save(out / CHECKPOINT, trees, record)
    files.write_json(out / CONFIG, trainer.config.to_dict())
    files.write_lines(out / METRICS, list(state.history))


def changed_libraries(out: Path, device: str) -> str:
    """How the device and the libraries differ from those that wrote the checkpoint of a run; empty if they do not."""
    _, record = checkpoints.load(out / CHECKPOINT)
    before, now = record.get("libraries", {}), {"device": device, **describe_libraries()}
    changed = [name for name in now if name != "threads" and before.get(name, now[name]) != now[name]]
    return ", ".join(f"{name} {now[name]} (was {before[name]})" for name in changed)


def load_trainer(out: Path, device: str = "cpu") -> Trainer:
    """The trainer of the run in a folder. Raises CheckpointError if it has no valid configuration."""
    return make_trainer(*load_config(out), device)


def load_config(out: Path) -> tuple[Config, tuple[int, int, int]]:
    """The configuration of the run in a folder, and the shape of its images. Raises CheckpointError."""
    path = out / CHECKPOINT
    _, record = checkpoints.load(path)
    try:
        config, shape = Config.from_dict(record["config"]), tuple(record["image_shape"])
        make_trainer(config, shape)
    except (KeyError, TypeError, UserError) as error:
        raise CheckpointError(f"{path} has no valid configuration: {error}") from None
    return config, shape


def load_everywhere(trainer: Trainer, out: Path) -> State:
    """`load_state` of the first process, the only one that reads the file, on every process."""
    return collectives.from_first(lambda: load_state(trainer, out))


def load_state(trainer: Trainer, out: Path) -> State:
    """The state in a run's folder. Raises CheckpointError if it is damaged or belongs to another model."""
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
    optimiser = tree.map(lambda like, leaf: leaf if np.ndim(like) else leaf[()], fresh.optimiser, optimiser)
    if any(name.startswith("best.") for name in arrays):
        rest["best"] = checkpoints.fill(fresh.parameters, "best", arrays, path)
    return place(State(parameters, optimiser, **rest), trainer.device, trainer.asynchronous)
