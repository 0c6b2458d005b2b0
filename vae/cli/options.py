"""Options that several commands share: argument types and groups of options."""

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
    parser.add_argument("--hidden", type=count, help=f"hidden units of the mlp ({DEFAULTS.hidden})")
    parser.add_argument("--decoder", choices=list(LIKELIHOODS), help=f"Q(y|z) ({DEFAULTS.decoder})")
    parser.add_argument("--sigma", help="σ of gaussian or laplace: a number, learned or profiled (1)")
    parser.add_argument("--form", choices=FORMS, help=f"closed KL, or sampled entropy ({DEFAULTS.form})")
    parser.add_argument("--reduction", choices=REDUCTIONS, help=f"of pixels, in the loss ({DEFAULTS.reduction})")
    parser.add_argument("--beta", type=float, help=f"weight of the KL in the loss ({DEFAULTS.beta:g})")
    parser.add_argument("--clamp", type=float, metavar="C", help="keep the encoder's ln σ² within ±C (unbounded)")


def add_data(parser: argparse.ArgumentParser) -> None:
    """Options of the images."""
    known = ", ".join(NAMES)
    about = f"{known}, an .npy, .npz or IDX file, a folder of images"
    parser.add_argument("--data", type=name_or_path, metavar="NAME|PATH", help=about)
    parser.add_argument("--data-dir", type=name_or_path, metavar="DIR", help="folder that holds a named data set")
    parser.add_argument("--train-size", type=count, metavar="N", help="use N training images")
    parser.add_argument("--test-size", type=count, metavar="N", help="use N test images")


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
    return {name: value for name, value in vars(options).items() if name in names}
