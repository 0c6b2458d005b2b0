"""Options that several commands share: argument types and groups of options."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from vae.config import CHOICES, Config
from vae.data import NAMES, DataError
from vae.data.places import expand_home
from vae.errors import UserError
from vae.models import MODELS
from vae.objectives import FORMS

DEFAULTS = Config()
OWNERS = {  # of settings that have no effect without another: its name and the value that they need
    "weight_decay": ("optimiser", "adamw"),
    "decay": ("schedule", "step"),
    "features": ("model", "conv"),
    "momentum": ("optimiser", "sgd"),
}
FORMATS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".pdf", ".svg")  # of pictures


def count(text: str) -> int:
    """A whole number from 1 to 10⁹: products of such sizes fit NumPy's integers."""
    value = int(text)
    if not 1 <= value <= 10**9:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 1,000,000,000, got {text}")
    return value


def image_count(text: str) -> int:
    """A number of images that fits in one picture."""
    value = int(text)
    if not 1 <= value <= 2500:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 2500, got {text}")
    return value


def positive_number(text: str) -> float:
    """A positive number."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text}")
    return value


def seed(text: str) -> int:
    """A seed: an unsigned 64-bit integer."""
    value = int(text)
    if not 0 <= value < 2**64:
        raise argparse.ArgumentTypeError(f"must lie in 0 … 2**64 − 1, got {text}")
    return value


def name_or_path(text: str) -> str:
    """A name or a path. A leading ~ is the home folder, also where shells do not expand it, as in --out=~/run."""
    try:
        if not text:
            raise DataError("a path must not be empty")
        return expand_home(text)
    except DataError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def path(text: str) -> Path:
    """A path."""
    return Path(name_or_path(text))


def picture(text: str) -> Path:
    """The path of a picture to write; its suffix gives the format, PNG if it has none."""
    found = path(text)
    if found.suffix.lower() not in ("", *FORMATS):
        raise argparse.ArgumentTypeError(f"a picture's name must end in {', '.join(FORMATS)}, got {text}")
    return found


def add_model(parser: argparse.ArgumentParser) -> None:
    """Options of the model and the loss."""
    parser.add_argument("--model", choices=list(MODELS), help=f"architecture ({DEFAULTS.model})")
    parser.add_argument("--latent", type=count, help=f"latent dimensions ({DEFAULTS.latent})")
    parser.add_argument("--hidden", type=count, nargs="+", metavar="N", help="widths of the mlp's layers (400)")
    parser.add_argument("--features", type=count, nargs="+", metavar="N", help="of the convolutions (32 64)")
    _add_choice(parser, "activation", "of the hidden layers")
    _add_choice(parser, "output_bias", "the decoder's at first; data: from the mean image")
    _add_choice(parser, "decoder", "Q(y|z)")
    parser.add_argument("--sigma", help="σ of gaussian or laplace: a number, learned or profiled (1)")
    _add_choice(parser, "objective", "what is maximised, and how its gradient is estimated")
    parser.add_argument("--samples", type=count, metavar="K", help=f"of z for each image ({DEFAULTS.samples})")
    parser.add_argument("--form", choices=FORMS, help="closed KL, or sampled entropy (closed if the objective is elbo)")
    _add_choice(parser, "reduction", "of pixels, in the loss")
    parser.add_argument("--beta", type=float, help=f"weight of the KL in the loss ({DEFAULTS.beta:g})")
    clamp = "keep the encoder's ln σ² within ±C, or between two numbers (unbounded)"
    parser.add_argument("--clamp", type=float, nargs="+", metavar="C", help=clamp)


def add_training(parser: argparse.ArgumentParser) -> None:
    """Options of the training."""
    parser.add_argument("--epochs", type=count, help=f"passes over the data ({DEFAULTS.epochs})")
    parser.add_argument("--batch", type=count, help=f"images per step ({DEFAULTS.batch})")
    parser.add_argument("--shards", type=count, help="parts of a batch that processes may share (8; fewer if small)")
    parser.add_argument("--warm-up", type=float, metavar="E", help="epochs in which the KL's weight rises from 0 (0)")
    _add_choice(parser, "optimiser", "optimiser")
    parser.add_argument("--learning-rate", type=positive_number, help=f"learning rate ({DEFAULTS.learning_rate})")
    parser.add_argument("--momentum", type=float, help=f"of sgd ({DEFAULTS.momentum})")
    parser.add_argument("--weight-decay", type=float, help=f"of adamw ({DEFAULTS.weight_decay})")
    _add_choice(parser, "schedule", "of the learning rate; iwae: that of the paper")
    parser.add_argument("--final-rate", type=float, metavar="R", help="the last learning rate of cosine (0)")
    milestones = "epochs at which the learning rate falls (step)"
    parser.add_argument("--milestones", type=float, nargs="+", metavar="E", help=milestones)
    parser.add_argument("--decay", type=float, help=f"the factor at each of them ({DEFAULTS.decay})")
    parser.add_argument("--clip", type=positive_number, metavar="NORM", help="largest norm of a gradient (none)")
    about = "decay of the mean of the weights over steps, which is used if it is given"
    parser.add_argument("--average", type=float, metavar="D", help=about)
    _add_choice(parser, "keep", "the weights of the last epoch, or those best on the validation part")
    patience = "stop after so many epochs that are no better on the validation part"
    parser.add_argument("--patience", type=count, metavar="E", help=patience)


def _add_choice(parser: argparse.ArgumentParser, name: str, about: str) -> None:
    """An option for one of the settings with a fixed list of choices."""
    option = "--" + name.replace("_", "-")
    parser.add_argument(option, choices=list(CHOICES[name]), help=f"{about} ({getattr(DEFAULTS, name)})")


def add_images(parser: argparse.ArgumentParser) -> None:
    """Options of which images to use."""
    known = ", ".join(NAMES)
    about = f"{known}, an .npy, .npz or IDX file, a folder of images"
    parser.add_argument("--data", type=name_or_path, metavar="NAME|PATH", help=about)
    parser.add_argument("--data-dir", type=name_or_path, metavar="DIR", help="folder that holds a named data set")
    parser.add_argument("--train-size", type=count, metavar="N", help="use N training images")
    parser.add_argument("--test-size", type=count, metavar="N", help="use N test images")


def add_data(parser: argparse.ArgumentParser) -> None:
    """Options of the images to train on."""
    add_images(parser)
    parser.add_argument("--valid-size", type=count, metavar="N", help="hold out N training images to validate on")
    _add_choice(parser, "binarise", "draw binary pixels; dynamic: training images anew in every epoch")


def add_test_images(parser: argparse.ArgumentParser) -> None:
    """Options of the test images of a run."""
    add_images(parser)
    about = "draw binary pixels; static: as the run's seed says, dynamic: as --seed says (as in training)"
    parser.add_argument("--binarise", choices=CHOICES["binarise"], help=about)


def add_out(parser: argparse.ArgumentParser, default: str) -> None:
    """Options of the folder to write to."""
    parser.add_argument("--out", type=path, metavar="DIR", help=f"folder to write to (a new {default})")
    parser.add_argument("--force", action="store_true", help="overwrite an existing run in that folder")


def add_device(parser: argparse.ArgumentParser) -> None:
    """The option of the device to compute on."""
    about = "where to compute (cpu); auto: on a GPU if one works; a note on stderr says which and why"
    parser.add_argument("--device", choices=("cpu", "cuda", "auto"), default="cpu", help=about)


def add_run(parser: argparse.ArgumentParser) -> None:
    """Options of a trained run and of the computation with it."""
    parser.add_argument("--checkpoint", type=path, required=True, metavar="DIR", help="folder of a run")
    parser.add_argument("--seed", type=seed, help="seed of the samples (0)")
    add_device(parser)


def add_picture(parser: argparse.ArgumentParser, name: str, count: int) -> None:
    """Options of the picture to draw."""
    parser.add_argument("--out", type=picture, metavar="FILE", help=f"picture to write ({name} in the run)")
    parser.add_argument("--count", type=image_count, default=count, help="how many images")


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """The settings of a run that were given on the command line."""
    names = {field.name for field in dataclasses.fields(Config)}
    given = {name: value for name, value in vars(options).items() if name in names}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def require_used(config: Config, given: dict[str, Any]) -> None:
    """Raises UserError for a given setting that would have no effect; its default is always accepted."""
    for name, (owner, value) in OWNERS.items():
        if given.get(name, getattr(DEFAULTS, name)) != getattr(DEFAULTS, name) and getattr(config, owner) != value:
            raise UserError(
                f"--{name.replace('_', '-')} belongs to the {owner} {value}, not to {getattr(config, owner)}"
            )
