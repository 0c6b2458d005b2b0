"""python -m vae reconstruct: draw test images beside their reconstructions."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import minigrad as mg
from minigrad.commandline import Parser
from vae import evaluation, files, terminal
from vae.cli.options import add_picture, add_run, add_test_images
from vae.cli.output import draw_picture, drop_alpha
from vae.cli.runs import binarise_images, load_run, load_test_images

ABOUT = "Draw test images beside their reconstructions."


def add_options(parser: Parser) -> None:
    """The options of the command."""
    add_run(parser)
    add_test_images(parser)
    add_picture(parser, "reconstructions.png", 12)


def run(options: Namespace, given: dict[str, Any]) -> int:
    """Draw test images beside their reconstructions."""
    trainer, state = load_run(options)
    images = load_test_images(trainer, state, given).test[: options.count]
    images = binarise_images(trainer, images, given.get("binarise", trainer.config.binarise), options.seed)
    images, key = mg.to_device((images, mg.random.key(options.seed)), trainer.device)
    noise = mg.random.normal(key, (len(images), trainer.model.latent))
    rebuilt = evaluation.reconstruct(trainer.trained(state), images, noise)
    path = options.out or options.checkpoint / "reconstructions.png"
    files.make_folder(path.parent)
    title = f"{len(images)} test images"
    terminal.console().print(str(draw_picture("reconstructions", path, drop_alpha(images), drop_alpha(rebuilt), title)))
    return 0
