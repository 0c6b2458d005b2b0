"""Small autoencoders for the image claims, trained in memory for a few epochs on the first images of the setting.

Batches and steps are those of `vae train`; nothing is written to disk. Training is in float32 and claims compute in
float64: rounding during training changes the parameters, but not whether a claim holds for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.core import tree
from vae.autoencoder import Autoencoder
from vae.config import Config
from vae.lecture.claims import Setting
from vae.pictures import grid
from vae.steps import Batch, shuffle
from vae.trainer import make_trainer

IMAGES = 4000  # to train on


def train(setting: Setting, epochs: int, **choices: Any) -> Autoencoder:
    """Train an autoencoder of these choices (see `vae.config.Config`) on the first IMAGES images, once per setting."""
    config = Config(seed=setting.seed, epochs=epochs, **choices)
    return setting.once(config, lambda: _train(setting, config))


def _train(setting: Setting, config: Config) -> Autoencoder:
    images = setting.images.train[:IMAGES]
    trainer = make_trainer(config, images.shape[1:])
    parameters, optimiser = trainer.initial()[:2]
    for epoch in range(config.epochs):
        for batch in batches(setting, epoch, images, config.batch):
            _, parameters, optimiser = trainer.step(parameters, optimiser, *batch.draw(config.latent))
    return trainer.autoencoder(to_float64(parameters))


def batches(setting: Setting, epoch: int, images: np.ndarray, size: int) -> Iterator[Batch]:
    """The batches of an epoch; their order and noise follow from the setting's seed."""
    key = setting.key(f"epoch {epoch}")
    return shuffle(images, size, key, mg.random.fold_in(key, 1)).batches()


def to_float64(parameters: Any) -> Any:
    """The same tree with every array in float64."""
    return tree.map(lambda leaf: np.asarray(leaf, np.float64), parameters)


def test_images(setting: Setting, count: int) -> np.ndarray:
    """The first test images in float64, (count, H, W, C)."""
    return setting.images.test[:count].astype(np.float64)


def show_rows(axes: Any, rows: Sequence[np.ndarray], names: Sequence[str]) -> None:
    """Draw rows of images (n, H, W, C) in [0, 1], each with its name on the left."""
    n, height = rows[0].shape[:2]
    whole = grid(np.concatenate(rows), n, 2)
    axes.imshow(np.broadcast_to(np.clip(whole, 0, 1), (*whole.shape[:2], 3)), interpolation="none")
    axes.set(frame_on=False, xticks=[])
    axes.set_yticks([(height + 2) * i + height / 2 for i in range(len(rows))], names, fontsize=9)
    axes.tick_params(length=0)
