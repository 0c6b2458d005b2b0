"""The command line: options here, what they do in `vae.commands`.

Exit codes: 0 done, 1 a check failed, 2 the user's input is wrong or the disk full (one sentence on stderr), 130, 143
and 129 stopped by Ctrl-C, SIGTERM and SIGHUP. If the reader of the output goes away, commands keep running, since they
write files; those that only print (check, evaluate, and all with --json) exit with 141 at the end.
"""

from __future__ import annotations

import argparse
import dataclasses
from contextlib import ExitStack
from pathlib import Path

from minigrad import DeviceError, OutOfMemoryError
from minigrad.commandline import Parser, finish
from vae import commands
from vae.config import Config
from vae.data import NAMES, DataError
from vae.data.places import expand_home
from vae.errors import UserError
from vae.models import MODELS
from vae.objectives import FORMS, LIKELIHOODS, REDUCTIONS
from vae.optimisers import OPTIMISERS
from vae.signals import exit_code, stoppable
from vae.terminal import note

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


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", choices=list(MODELS), help=f"architecture ({DEFAULTS.model})")
    parser.add_argument("--latent", type=whole, help=f"latent numbers ({DEFAULTS.latent})")
    parser.add_argument("--hidden", type=whole, help=f"hidden units of the mlp ({DEFAULTS.hidden})")
    parser.add_argument("--decoder", choices=LIKELIHOODS, help=f"Q(y|z) ({DEFAULTS.decoder})")
    parser.add_argument("--sigma", help="σ of gaussian or laplace: a number, learned or profiled (1)")
    parser.add_argument("--form", choices=FORMS, help=f"closed KL, or sampled entropy ({DEFAULTS.form})")
    parser.add_argument("--reduction", choices=REDUCTIONS, help=f"of pixels, in the loss ({DEFAULTS.reduction})")
    parser.add_argument("--beta", type=float, help=f"weight of the KL in the loss ({DEFAULTS.beta:g})")
    parser.add_argument("--clamp", type=float, metavar="C", help="hold the encoder's ln σ² within ±C (free)")


def _add_data(parser: argparse.ArgumentParser) -> None:
    known = ", ".join(NAMES)
    about = f"{known}, an .npy, .npz or IDX file, a folder of images"
    parser.add_argument("--data", type=place, metavar="NAME|PATH", help=about)
    parser.add_argument("--data-dir", type=place, metavar="DIR", help="where the files of a named data set lie")
    parser.add_argument("--train-size", type=whole, metavar="N", help="use N training images")
    parser.add_argument("--test-size", type=whole, metavar="N", help="use N test images")


def _add_out(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--out", type=path, metavar="DIR", help=f"folder to write to (a new {default})")
    parser.add_argument("--force", action="store_true", help="overwrite an existing run in that folder")


def _add_device(parser: argparse.ArgumentParser) -> None:
    about = "where to compute (cpu); auto: on a GPU if one works, and says which and why"
    parser.add_argument("--device", choices=("cpu", "cuda", "auto"), default="cpu", help=about)


def make_parser() -> Parser:
    """The whole command line."""
    parser = Parser(prog="python -m vae", description=_ABOUT, argument_default=argparse.SUPPRESS)
    _add_out(parser, "runs/main")
    parser.add_argument("--seed", type=seed, help="everything random follows from it (0)")
    parser.set_defaults(run=commands.main_job, out=None, force=False)
    jobs = parser.add_subparsers(title="commands", metavar="COMMAND")

    def job(name: str, run, about: str) -> Parser:
        made = jobs.add_parser(name, help=about, description=about, argument_default=argparse.SUPPRESS)
        made.set_defaults(run=run)
        return made

    check = job("check", commands.check, "Compare reverse mode with finite differences for every parameter tensor.")
    _add_model(check)
    check.add_argument("--images", type=whole, default=4, metavar="N", help="images in the loss (4)")
    check.add_argument("--coordinates", type=whole, default=30, metavar="N", help="entries of each tensor (30)")
    check.add_argument(
        "--checkpoint", type=path, default=None, metavar="DIR", help="check at a trained run's parameters"
    )
    check.add_argument("--seed", type=seed, help="of parameters, ε, images and coordinates (0)")
    check.add_argument("--json", action="store_true", default=False, help="print the report as JSON")
    check.add_argument("--picture", type=picture, default=None, metavar="FILE", help="draw the agreement plot")
    _add_device(check)

    train = job("train", commands.train, "Train a model; writes config, metrics, a checkpoint and pictures.")
    _add_model(train)
    _add_data(train)
    train.add_argument("--epochs", type=whole, help=f"passes over the data ({DEFAULTS.epochs})")
    train.add_argument("--batch", type=whole, help=f"images a step ({DEFAULTS.batch})")
    train.add_argument("--optimiser", choices=list(OPTIMISERS), help=f"({DEFAULTS.optimiser})")
    train.add_argument("--learning-rate", type=positive, help=f"({DEFAULTS.learning_rate})")
    train.add_argument("--momentum", type=float, help=f"of sgd ({DEFAULTS.momentum})")
    train.add_argument("--seed", type=seed, help="everything random follows from it (0)")
    train.add_argument("--resume", action="store_true", default=False, help="continue the run in --out, bit for bit")
    _add_out(train, "runs/train")
    _add_device(train)

    lecture = job("lecture", commands.lecture, "Compute both sides of every claim of the lecture; write a page.")
    lecture.add_argument("--slide", type=whole, nargs="+", default=None, metavar="N", help="only these slides")
    lecture.add_argument("--exact", action="store_true", default=False, help="only claims that need no images")
    lecture.add_argument("--json", action="store_true", default=False, help="print the claims as JSON")
    lecture.add_argument("--seed", type=seed, help="of models, noise and images (0)")
    _add_data(lecture)
    _add_out(lecture, "runs/lecture")

    evaluate = job("evaluate", commands.evaluate, "Bounds on −ln Q(y) of test images, in nats per image.")
    sample = job("sample", commands.sample, "Draw images from the decoder alone.")
    reconstruct = job("reconstruct", commands.reconstruct, "Draw test images beside their reconstructions.")
    for made in (evaluate, sample, reconstruct):
        made.add_argument("--checkpoint", type=path, required=True, metavar="DIR", help="folder of a run")
        made.add_argument("--seed", type=seed, help="of the samples (0)")
        _add_device(made)
    for made in (evaluate, reconstruct):
        _add_data(made)
    for made, name in ((sample, "samples.png"), (reconstruct, "reconstructions.png")):
        made.add_argument("--out", type=picture, metavar="FILE", help=f"picture to write ({name} in the run)")
        made.add_argument("--count", type=few, default=64 if made is sample else 12, help="how many images")
    evaluate.add_argument("--importance", type=whole, default=0, metavar="K", help="also the K-sample bound")
    evaluate.add_argument("--json", action="store_true", default=False, help="print the numbers as JSON")
    for made in (check, evaluate):
        made.set_defaults(printed=True)
    return parser


_ABOUT = (
    "A variational autoencoder whose gradients are proved. Without a command: check the gradients, train on built-in "
    "digits, draw, and report, in under three minutes."
)


def config_of(options: argparse.Namespace) -> dict:
    """The settings of a run that were given on the command line."""
    names = {field.name for field in dataclasses.fields(Config)}
    return {name: value for name, value in vars(options).items() if name in names}


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; the exit code."""
    options = argparse.Namespace(printed=False, json=False)
    try:
        with stoppable():
            code = _run(arguments, options)
    except KeyboardInterrupt as stop:
        code = _stop(exit_code(stop), "stopped")
    return finish("python -m vae", code, options.printed or options.json)


def _run(arguments: list[str] | None, options: argparse.Namespace) -> int:
    """The exit code of a command whose options go to `options`."""
    try:
        make_parser().parse_args(arguments, options)
        given = config_of(options)
        options.seed = given.get("seed", 0)
        with ExitStack() as options.held:  # the folders that this command writes to
            return options.run(options, given)
    except (UserError, DataError, DeviceError, OutOfMemoryError) as error:
        return _stop(2, str(error))
    except ImportError as error:  # modules are imported when they are used, which too little memory prevents, too
        return _stop(2, f"a module cannot be imported (too little memory, or an incomplete installation): {error}")
    except MemoryError as error:
        return _stop(2, f"there is not enough memory for these sizes ({error})")
    except SystemError as error:  # raised by libraries without the memory to raise their own error
        return _stop(2, f"there is not enough memory ({error})")
    except RuntimeError as error:
        if "start new thread" not in str(error):
            raise
        return _stop(2, "no further thread can be started: free memory, or raise the limit of processes (ulimit -u)")
    except OSError as error:
        return _stop(2, f"{error.filename or 'the output'}: {error.strerror or error}")


def _stop(code: int, why: str) -> int:
    """Say why on stderr, in one line."""
    note(why)
    return code
