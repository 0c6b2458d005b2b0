"""Actions that commands share: load a run and its images, merge settings, choose a device."""

from __future__ import annotations

import os
from argparse import Namespace
from dataclasses import replace
from typing import Any

import minigrad as mg
from minigrad.collectives import from_first
from vae import terminal
from vae.config import Config
from vae.data import NAMES, Dataset, drop_trained, hold_valid, load
from vae.data.binarise import binarise
from vae.errors import UserError
from vae.models import Model
from vae.runs import load_config, load_everywhere
from vae.trainer import PARTS, State, Trainer, make_trainer

PIXELS = 1  # derives the keys of binary test images from the seed; 0 is `vae.importance.STREAM`


def load_run(options: Namespace) -> tuple[Trainer, State]:
    """The trainer and the state of a run, with its arrays on the device asked for."""
    trainer = make_trainer(*from_first(lambda: load_config(options.checkpoint)), choose_device(options.device))
    return trainer, load_everywhere(trainer, options.checkpoint)


def load_test_images(trainer: Trainer, state: State, given: dict[str, Any]) -> Dataset:
    """Load the data set of the run, or the one given instead, without test images that the run was trained on.

    A line on stderr says how many were dropped. Raises UserError if the images do not have the model's shape.
    """
    asked = {name: given.get(name) for name in ("train_size", "test_size")}  # all images unless sizes are given
    asked["valid_size"] = None
    places = {name: given[name] for name in ("data", "data_dir") if name in given}
    config = Config(**{**trainer.config.to_dict(), **asked, **make_absolute(places)})
    data = load_images(config)
    require_image_shape(trainer.model, data)
    data, dropped = drop_trained(data, state.trained)
    for note in (*data.notes, dropped):
        if note:
            terminal.note(note)
    return data


def binarise_images(trainer: Trainer, images: Any, how: str, seed: int, draw: int = 0, part: str = "test") -> Any:
    """Images of a part as the model is to see them: "none", as they are; "static", binary as training with this setting
    sees them, whatever the seed; "dynamic", binary in draw number `draw` of this seed. Raises DataError for images that
    cannot be binarised."""
    if how == "dynamic":
        key = mg.random.fold_in(mg.random.fold_in(mg.random.key(seed), PIXELS), draw)
        return binarise(images, key if part == "test" else mg.random.fold_in(key, PARTS.index(part)))
    return trainer._replace(config=replace(trainer.config, binarise=how)).seen(images, part)


def make_absolute(given: dict[str, Any]) -> dict[str, Any]:
    """The given settings with existing paths made absolute, so that a run can be used from any folder."""
    paths = {name: given[name] for name in ("data", "data_dir") if given.get(name)}
    found = {name: os.path.realpath(path) for name, path in paths.items() if os.path.exists(path)}
    if given.get("data") in NAMES:
        found.pop("data", None)
    return {**given, **found}


def require_image_shape(model: Model, data: Dataset) -> None:
    """Raises UserError unless the model takes images of this shape."""
    if data.test.shape[1:] != model.image_shape:
        raise UserError(f"the model takes images of shape {model.image_shape}, {data.name} has {data.test.shape[1:]}")


def load_images(config: Config) -> Dataset:
    """The images of a configuration. Raises DataError."""
    size = None if config.train_size is None and config.test_size is None else (config.train_size, config.test_size)
    data = load(config.data, data_dir=config.data_dir, size=size, seed=config.seed)
    return data if config.valid_size is None else hold_valid(data, config.valid_size, config.seed)


def merge_settings(config: Config, given: dict[str, Any], free: tuple[str, ...] = ()) -> Config:
    """The saved settings, with the `free` ones replaced. Raises UserError if another given one differs."""
    for name, value in given.items():
        if name not in free and (saved := getattr(config, name)) != value:
            option = "--" + name.replace("_", "-")
            raise UserError(f"the run has {option} {_write(saved)}, not {_write(value)}: leave it out, or train again")
    return Config(**{**config.to_dict(), **{name: given[name] for name in free if name in given}})


def _write(value: Any) -> str:
    """A setting as on the command line."""
    if value is None or value == ():
        return "left out"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def choose_device(name: str) -> str:
    """The device to compute on; for auto, a line on stderr says which and why. Raises DeviceError without a GPU."""
    found, why = "cuda" if name == "auto" else name, "a GPU was found and works"
    try:
        mg.to_device(0.0, found)
    except mg.DeviceError as error:
        if name != "auto":
            raise
        found, why = "cpu", str(error)
    if name == "auto":
        terminal.note(f"--device auto chooses {found}: {why}")
    return found
