"""python -m vae evaluate: bounds on −ln Q(y) of test images, and what the latents hold.

Each measurement has its own module: `bounds`, `annealing` and `latents`.
"""

from __future__ import annotations

import json
import math
from argparse import ArgumentTypeError, Namespace
from typing import Any

from minigrad.commandline import Parser
from vae import files, terminal
from vae.annealing import Annealing
from vae.cli import annealing, bounds, latents
from vae.cli.options import add_run, add_test_images, count, picture
from vae.cli.runs import load_run, load_test_images
from vae.data import Dataset, checksum_of
from vae.errors import UserError
from vae.explain import describe_elbo
from vae.processes import agree, is_first
from vae.trainer import State, Trainer
from vae.validation import best_epoch

ABOUT = "Bounds on −ln Q(y) of test images, in nats per image."


def temperatures(text: str) -> int:
    """A whole number of at least 2."""
    if count(text) == 1:
        raise ArgumentTypeError("must be at least 2 temperatures, got 1: with one there is nothing to anneal")
    return int(text)


def add_options(parser: Parser) -> None:
    """The options of the command."""
    add_run(parser)
    add_test_images(parser)
    about = "also the bounds of so many samples; smaller numbers use the samples of the largest"
    parser.add_argument("--importance", type=count, nargs="+", default=[], metavar="K", help=about)
    parser.add_argument("--draws", type=count, default=1, metavar="R", help="of dynamically binarised images (1)")
    about = "also annealed importance sampling with T temperatures (of the first draw), and annealing.png"
    parser.add_argument("--annealing", type=temperatures, default=None, metavar="T", help=about)
    about = f"of annealing, for each image ({Annealing.chains})"
    parser.add_argument("--chains", type=count, default=None, metavar="N", help=about)
    about = "also what the latents hold (of the first draw), latents.png, and information.png if factors are known"
    parser.add_argument("--latents", action="store_true", default=False, help=about)
    parser.add_argument(
        "--picture", type=picture, default=None, metavar="FILE", help="bounds of several K (bounds.png)"
    )
    parser.add_argument("--json", action="store_true", default=False, help="print the numbers as JSON")
    parser.set_defaults(printed=True)


def run(options: Namespace, given: dict[str, Any]) -> int:
    """Compute and print bounds on −ln Q(y) of the test images, and the other measurements asked for."""
    samples = sorted({*options.importance})
    if options.picture is not None and len(samples) < 2:
        raise UserError("--picture draws the bounds of several numbers of samples: give them with --importance K K …")
    if options.chains is not None and options.annealing is None:
        raise UserError("--chains are those of annealing: give the number of temperatures with --annealing T")
    trainer, state = load_run(options)
    data = load_test_images(trainer, state, given)
    if trainer.likelihood.profiled and state.log_sigma is None:
        raise UserError(f"{options.checkpoint} has no σ yet, because it stopped in its first epoch: resume it first")
    if options.picture is not None and is_first():
        files.make_folder(options.picture.parent)  # now: an error should come before the computation
    how = given.get("binarise", trainer.config.binarise)
    bounds.require_draws(options.draws, how, data.binary)
    agree(images=checksum_of(data.test))
    scores = bounds.compute_scores(trainer, state, data.test, how, samples, options.seed, options.draws)
    require_finite({name: score.estimate.mean for name, score in scores.items()})
    held = latents.measure(trainer, state, data, how, options.seed) if options.latents else None
    annealed = None
    if options.annealing is not None:
        settings = Annealing(options.annealing, options.chains or Annealing.chains)
        annealed = annealing.measure(trainer, state, data.test, how, settings, options.seed)
        require_finite(annealing.means(annealed))
    if options.json:
        about = {"images": len(data.test), "binarise": how, "draws": options.draws}
        about |= {"weights": weights_of(trainer, state), "epoch": _epoch_of(trainer, state)}
        about |= {**bounds.to_record(scores), **bounds.bits_record(trainer, scores)}
        about |= {} if annealed is None else {"annealing": annealing.to_record(annealed)}
        about |= {} if held is None else {"latents": latents.to_record(held)}
        print(json.dumps(about))
    else:
        console = terminal.console()
        terminal.print_table(console, bounds.make_table(trainer, data, options.draws, scores))
        lines = [*bounds.describe(data, how, options.draws, scores), *_describe_run(trainer, state, data, how)]
        console.print(*lines, sep="\n")
        for tables, said in (annealing.report(annealed, data), latents.report(held, data)):
            for table in tables:
                terminal.print_table(console, table)
            for line in said:
                console.print(line)
    if is_first():
        drawn = []
        path = options.picture or options.checkpoint / "bounds.png"
        if len(samples) > 1 and bounds.draw(path, samples, scores, data):
            drawn.append(path)
        drawn += annealing.draw(options.checkpoint, annealed) + latents.draw(options.checkpoint, held, data)
        for path in [] if options.json else drawn:
            terminal.console().print(str(path))
    return 0


def require_finite(numbers: dict[str, float]) -> None:
    """Raises UserError unless all are."""
    if bad := {name: number for name, number in numbers.items() if not math.isfinite(number)}:
        raise UserError(f"the bounds are not finite on these images ({bad}): train again with a lower learning rate")


def _describe_run(trainer: Trainer, state: State, data: Dataset, how: str) -> list[str]:
    """Which parameters were evaluated, and what −ELBO bounds."""
    pixels = math.prod(trainer.model.image_shape)
    said = describe_elbo(trainer.likelihood, data.binary or how != "none", pixels)
    return [f"evaluated: {describe_weights(trainer, state)}", said]


def weights_of(trainer: Trainer, state: State) -> str:
    """Which parameters are evaluated: best, averaged or last."""
    return "best" if state.best is not None else "last" if trainer.config.average is None else "averaged"


def _epoch_of(trainer: Trainer, state: State) -> int:
    """The number of epochs after which the evaluated parameters were taken."""
    return best_epoch(trainer.config, state.history) if state.best is not None else state.epoch


def describe_weights(trainer: Trainer, state: State) -> str:
    """Which parameters are evaluated, in words."""
    averaged = "" if trainer.config.average is None else f", averaged over steps with decay {trainer.config.average:g}"
    if state.best is not None:
        epochs = f"epoch {_epoch_of(trainer, state)} of {state.epoch}"
        return f"the parameters with the best bound on the validation part, of {epochs}{averaged}"
    step = f", step {state.step} of the next" if state.step else ""
    return f"the parameters after epoch {state.epoch}{step}{averaged}"
