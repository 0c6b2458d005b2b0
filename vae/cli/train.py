"""python -m vae train: train a model, or resume a run."""

from __future__ import annotations

import math
import os
import shlex
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import TextColumn

import minigrad as mg
from minigrad import collectives
from minigrad.collectives import from_first
from minigrad.commandline import Parser
from vae import evaluation, folders, terminal, training
from vae.cli.options import add_data, add_device, add_model, add_out, add_training, require_used, seed
from vae.cli.output import drop_alpha, list_files, try_drawing
from vae.cli.runs import choose_device, load_images, make_absolute, merge_settings, require_image_shape
from vae.config import Config
from vae.data import Dataset, digests, drop_trained
from vae.errors import UserError
from vae.explain import describe_elbo, explain_loss
from vae.likelihoods import LIKELIHOODS
from vae.processes import is_first, require_shards
from vae.runs import CHECKPOINT, changed_libraries, load_config, load_everywhere
from vae.trainer import State, Trainer, make_trainer
from vae.validation import best_epoch, is_finished, require_validation

ABOUT = "Train a model; writes config, metrics, a checkpoint and pictures."
DEFAULT_OUT = Path("runs/train")
SHOWN = 12  # images in a row of reconstructions


def add_options(parser: Parser) -> None:
    """The options of the command."""
    add_model(parser)
    add_data(parser)
    add_training(parser)
    parser.add_argument("--seed", type=seed, help="seed of everything random (0)")
    parser.add_argument("--resume", action="store_true", default=False, help="continue the run in --out, bit for bit")
    add_out(parser, "runs/train")
    add_device(parser)


def run(options: Namespace, given: dict[str, Any]) -> int:
    """Train, or resume a run."""
    console = terminal.console()
    device = choose_device(options.device)
    if options.resume:
        config, data, out, state = _resume(console, options, given, device)
    else:
        config, state = Config(**make_absolute(given)), None
        require_used(config, given)
        require_shards(config.shards)
        data, out = load_images(config), options.out or DEFAULT_OUT
        require_validation(config, data)
        require_memory(config, data)
        make_trainer(config, data.train.shape[1:]).initial()  # a model that is too large raises now
        if is_first():
            out = options.held.enter_context(folders.claim(options.out, DEFAULT_OUT, options.force))
    train_run(console, config, data, out, state, device)
    if is_first():
        list_files(console, out)
    return 0


def require_memory(config: Config, data: Dataset) -> None:
    """Raises UserError if the decoded samples of a shard are more than this machine's memory: a system may end a
    process that tries instead of telling it."""
    images = -(-min(config.batch, len(data.train)) // config.shards)
    outputs = math.prod(data.train.shape[1:]) * LIKELIHOODS[config.decoder].outputs
    needed = 8 * config.samples * images * outputs  # bytes: the decoder's output and its cotangent, in float32
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else math.inf
    if needed > memory:
        raise UserError(
            f"{config.samples:,} samples of {images:,} images need more than {needed / 2**30:,.0f} GiB, of which "
            f"this machine has {memory / 2**30:,.0f}: use fewer --samples, a smaller --batch or more --shards"
        )


def _resume(
    console: Console, options: Namespace, given: dict[str, Any], device: str
) -> tuple[Config, Dataset, Path, State]:
    """What is needed to continue the run in the folder --out."""
    out = options.out
    if out is None:
        raise UserError("--resume needs --out, the folder of the run to continue")
    if is_first() and os.path.isdir(out):
        options.held.enter_context(folders.lock(out))
    saved, shape = from_first(lambda: load_config(out))
    free = ("epochs", "data", "data_dir") if saved.schedule != "cosine" else ("data", "data_dir")  # it ends at the last
    config = merge_settings(saved, make_absolute(given), free)
    require_shards(config.shards)
    trainer, data = make_trainer(config, shape, device), load_images(config)
    require_image_shape(trainer.model, data)
    state = load_everywhere(trainer, out)
    if (state.epoch, state.step) > (config.epochs, 0):
        raise UserError(f"{out} is already beyond {config.epochs} epochs: ask for more, or train again")
    if state.epoch == config.epochs:
        console.print(f"all {config.epochs} epochs of {out} are done; ask for more with --epochs")
    console.print(f"resuming {out} after epoch {state.epoch}, step {state.step}")
    if is_first() and (changed := changed_libraries(out, device)):
        console.print(f"the last bits may differ from an uninterrupted run, because these changed: {changed}")
    return config, data, out, state


def train_run(console: Console, config: Config, data: Dataset, out: Path, state: State | None, device: str) -> State:
    """Train with a progress bar, then draw the pictures."""
    trainer = make_trainer(config, data.train.shape[1:], device)
    console.rule(f"{config.model}, {config.latent} latents, {config.decoder} decoder", align="left")
    held_out = "" if data.valid is None else f", {len(data.valid)} validation"
    console.print(f"{data.name}: {len(data.train)} training{held_out} and {len(data.test)} test images; {data.source}")
    for note in data.notes:
        console.print(note)
    if copies := drop_trained(data, digests(data.train))[1]:
        console.print(copies)
    console.print(str(explain_loss(config, trainer.model.image_shape)))
    if collectives.size() > 1:
        console.print(f"{collectives.size()} processes share the {config.shards} shards of each batch")
    pixels = int(np.prod(trainer.model.image_shape))
    console.print(f"reported: {describe_elbo(trainer.likelihood, data.binary or config.binarise != 'none', pixels)}")
    if state is None and is_first():
        folders.clear(out)  # only now, when the new run is known to be valid
    try:
        state = _train_with_progress(console, trainer, data, out, state)
    except (KeyboardInterrupt, collectives.PeerError):
        if (out / CHECKPOINT).exists():
            place = f"./{out}" if str(out)[0] in "-~" else str(out)
            again = shlex.join(["python", "-m", "vae", "train", "--out", place, "--resume"])
            print(f"stopped; continue with: {again}")  # not by the console, which would expand tabs in the path
        raise
    if is_finished(config, state) and state.epoch < config.epochs:
        console.print(
            f"stopped after {state.epoch} epochs: none of the last {config.patience} was better on validation"
        )
    if config.keep == "best":
        console.print(
            f"the parameters after epoch {best_epoch(config, state.history)} are kept: the best on validation"
        )
    if is_first():
        _draw_pictures(trainer, state, data, out)
    return state


def _train_with_progress(console: Console, trainer: Trainer, data: Dataset, out: Path, state: State | None) -> State:
    epochs, name = trainer.config.epochs, trainer.config.score.replace("elbo", "ELBO")
    with terminal.progress(console, TextColumn(f"−{name} {{task.fields[loss]:.2f}} nats")) as progress:
        bar = progress.add_task("", loss=float("nan"))

        def on_step(state: State, steps: int, loss: float) -> None:
            epoch, done = f"epoch {state.epoch + 1}/{epochs}", state.epoch * steps + state.step
            progress.update(bar, completed=done, total=epochs * steps, description=epoch, loss=loss)

        def on_epoch(record: dict) -> None:
            bounds = {name: f"{name.replace('_', ' −').replace('elbo', 'ELBO')} {-record[name]:.2f}" for name in record}
            shown = [bounds[name] for name in record if name not in ("epoch", "seconds")]
            console.print(f"epoch {record['epoch']:3d}: {', '.join(shown)} nats, {record['seconds']:.1f} s")

        return training.train(trainer, data, out, state, on_step, on_epoch)


def _draw_pictures(trainer: Trainer, state: State, data: Dataset, out: Path) -> None:
    """Draw the pictures of a finished run."""
    config, latent = trainer.config, trainer.model.latent
    chosen = trainer.trained(state)
    autoencoder = chosen.with_parameters(mg.to_device(chosen.parameters, "cpu"))
    name = f"{config.model}, {latent} latents, {config.decoder} decoder, {data.name}"
    key = mg.random.fold_in(mg.random.key(config.seed), 99)

    def decode(z: Any) -> Any:
        z = np.asarray(z, np.float32)
        return drop_alpha(evaluation.generate(autoencoder, z))

    shown = trainer.seen(data.test[:SHOWN], "test")
    rebuilt = evaluation.reconstruct(autoencoder, shown, mg.random.normal(key, (len(shown), latent)))
    try_drawing("curves", out / "curves.png", list(state.history), name)
    try_drawing("reconstructions", out / "reconstructions.png", drop_alpha(shown), drop_alpha(rebuilt), name)
    try_drawing("samples", out / "samples.png", decode(mg.random.normal(mg.random.fold_in(key, 1), (64, latent))), name)
    if latent == 2:
        means = evaluation.posterior_means(autoencoder, trainer.seen(data.test, "test"))
        try_drawing("latent_plane", out / "latent-plane.png", decode, title=name)
        try_drawing("plane_encoding", out / "latent-means.png", means, data.test_labels, name)
