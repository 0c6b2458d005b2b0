"""Autoencoders trained in memory for the claims on images: small, of a few epochs, their parameters then in float64.

Training is `vae.training`'s own step, on the first images of the setting and without files. Claims compute in float64:
so much of float32 training noise is in the parameters, none in what is claimed of them.
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
from vae.training import make_trainer

IMAGES = 4000  # to train on


def train(setting: Setting, epochs: int, **choices: Any) -> Autoencoder:
    """The autoencoder of these choices (see `vae.config.Config`) after some epochs on the first IMAGES images.

    The same choices are trained once in a setting.
    """
    config = Config(seed=setting.seed, epochs=epochs, **choices)
    return setting.once(config, lambda: _train(setting, config))


def _train(setting: Setting, config: Config) -> Autoencoder:
    images = setting.images.train[:IMAGES]
    trainer = make_trainer(config, images.shape[1:])
    parameters, optimiser = trainer.initial()[:2]
    for epoch in range(config.epochs):
        for rows, noise in batches(setting.key(f"epoch {epoch}"), len(images), config.batch, config.latent):
            _, parameters, optimiser = trainer.step(parameters, optimiser, images[rows], noise)
    return trainer.autoencoder(in_float64(parameters))


def batches(key: Any, images: int, size: int, latent: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The rows of each batch of an epoch, in random order, and noise ε (size, latent) in float32 for it."""
    order = np.argsort(mg.random.bits(key, (images,)), kind="stable")
    for start in range(0, images - size + 1, size):
        noise = mg.random.normal(mg.random.fold_in(key, start), (size, latent))
        yield order[start : start + size], noise


def in_float64(parameters: Any) -> Any:
    """The same tree with every array in float64."""
    return tree.map(lambda leaf: np.asarray(leaf, np.float64), parameters)


def test_images(setting: Setting, count: int) -> np.ndarray:
    """The first test images in float64, (count, H, W, C)."""
    return setting.images.test[:count].astype(np.float64)


def show_rows(axes: Any, rows: Sequence[np.ndarray], names: Sequence[str]) -> None:
    """Rows of images (n, H, W, C) in [0, 1], each with its name on the left."""
    n, height = rows[0].shape[:2]
    whole = grid(np.concatenate(rows), n, 2)
    axes.imshow(np.broadcast_to(np.clip(whole, 0, 1), (*whole.shape[:2], 3)), interpolation="none")
    axes.set(frame_on=False, xticks=[])
    axes.set_yticks([(height + 2) * i + height / 2 for i in range(len(rows))], names, fontsize=9)
    axes.tick_params(length=0)
