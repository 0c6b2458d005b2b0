"""Options that several commands share: types of their arguments, and groups of options."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from vae.config import Config
from vae.data import NAMES, DataError
from vae.data.places import expand_home
from vae.likelihoods import LIKELIHOODS
from vae.models import MODELS
from vae.objectives import FORMS, REDUCTIONS

DEFAULTS = Config()
FORMATS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".pdf", ".svg")  # of pictures


def whole(text: str) -> int:
    """A whole number from 1 to 10⁹: sizes whose products still fit what NumPy counts with."""
    value = int(text)
    if not 1 <= value <= 10**9:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 1,000,000,000, got {text}")
    return value


def few(text: str) -> int:
    """As many images as fit one picture."""
    value = int(text)
    if not 1 <= value <= 2500:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 2500, got {text}")
    return value


def positive(text: str) -> float:
    """A positive number."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text}")
    return value


def seed(text: str) -> int:
    """A seed."""
    value = int(text)
    if not 0 <= value < 2**64:
        raise argparse.ArgumentTypeError(f"must lie in 0 … 2**64 − 1, got {text}")
    return value


def place(text: str) -> str:
    """A path or a name. A leading ~ is the home folder, also where shells do not expand it, as in --out=~/run."""
    try:
        if not text:
            raise DataError("a path must not be empty")
        return expand_home(text)
    except DataError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def path(text: str) -> Path:
    """A path."""
    return Path(place(text))


def picture(text: str) -> Path:
    """The path of a picture to write; its suffix is the format, PNG without one."""
    found = path(text)
    if found.suffix.lower() not in ("", *FORMATS):
        raise argparse.ArgumentTypeError(f"a picture's name ends in {', '.join(FORMATS)}, got {text}")
    return found


def add_model(parser: argparse.ArgumentParser) -> None:
    """Model and loss."""
    parser.add_argument("--model", choices=list(MODELS), help=f"architecture ({DEFAULTS.model})")
    parser.add_argument("--latent", type=whole, help=f"latent numbers ({DEFAULTS.latent})")
    parser.add_argument("--hidden", type=whole, help=f"hidden units of the mlp ({DEFAULTS.hidden})")
    parser.add_argument("--decoder", choices=list(LIKELIHOODS), help=f"Q(y|z) ({DEFAULTS.decoder})")
    parser.add_argument("--sigma", help="σ of gaussian or laplace: a number, learned or profiled (1)")
    parser.add_argument("--form", choices=FORMS, help=f"closed KL, or sampled entropy ({DEFAULTS.form})")
    parser.add_argument("--reduction", choices=REDUCTIONS, help=f"of pixels, in the loss ({DEFAULTS.reduction})")
    parser.add_argument("--beta", type=float, help=f"weight of the KL in the loss ({DEFAULTS.beta:g})")
    parser.add_argument("--clamp", type=float, metavar="C", help="hold the encoder's ln σ² within ±C (free)")


def add_data(parser: argparse.ArgumentParser) -> None:
    """The images."""
    known = ", ".join(NAMES)
    about = f"{known}, an .npy, .npz or IDX file, a folder of images"
    parser.add_argument("--data", type=place, metavar="NAME|PATH", help=about)
    parser.add_argument("--data-dir", type=place, metavar="DIR", help="where the files of a named data set lie")
    parser.add_argument("--train-size", type=whole, metavar="N", help="use N training images")
    parser.add_argument("--test-size", type=whole, metavar="N", help="use N test images")


def add_out(parser: argparse.ArgumentParser, default: str) -> None:
    """The folder to write to."""
    parser.add_argument("--out", type=path, metavar="DIR", help=f"folder to write to (a new {default})")
    parser.add_argument("--force", action="store_true", help="overwrite an existing run in that folder")


def add_device(parser: argparse.ArgumentParser) -> None:
    """The device to compute on."""
    about = "where to compute (cpu); auto: on a GPU if one works, and says which and why"
    parser.add_argument("--device", choices=("cpu", "cuda", "auto"), default="cpu", help=about)


def add_run(parser: argparse.ArgumentParser) -> None:
    """A trained run, and how to compute with it."""
    parser.add_argument("--checkpoint", type=path, required=True, metavar="DIR", help="folder of a run")
    parser.add_argument("--seed", type=seed, help="of the samples (0)")
    add_device(parser)


def add_picture(parser: argparse.ArgumentParser, name: str, count: int) -> None:
    """The picture to draw."""
    parser.add_argument("--out", type=picture, metavar="FILE", help=f"picture to write ({name} in the run)")
    parser.add_argument("--count", type=few, default=count, help="how many images")


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """The settings of a run that were given on the command line."""
    names = {field.name for field in dataclasses.fields(Config)}
    return {name: value for name, value in vars(options).items() if name in names}
