"""python -m vae sample: draw images from the decoder alone."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import minigrad as mg
from minigrad.commandline import Parser
from vae import evaluation, files, terminal
from vae.cli.options import add_picture, add_run
from vae.cli.output import draw_picture, drop_alpha
from vae.cli.runs import load_run

ABOUT = "Draw images from the decoder alone."


def add_options(parser: Parser) -> None:
    """The options of the command."""
    add_run(parser)
    add_picture(parser, "samples.png", 64)


def run(options: Namespace, given: dict[str, Any]) -> int:
    """Draw images from the decoder alone."""
    trainer, state = load_run(options)
    key = mg.to_device(mg.random.key(options.seed), trainer.device)
    z = mg.random.normal(key, (options.count, trainer.model.latent))
    images = drop_alpha(evaluation.generate(trainer.trained(state), z))
    path = options.out or options.checkpoint / "samples.png"
    files.make_folder(path.parent)
    terminal.console().print(str(draw_picture("samples", path, images, f"{options.count} samples, z ~ N(0, I)")))
    return 0
