"""What each command does. Every function takes the parsed options and the settings given, and returns an exit code."""

from __future__ import annotations

import json
import math
import os
import shlex
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import TextColumn
from rich.table import Column, Table

import minigrad as mg
from vae import evaluation, files, folders, gradients, objectives, terminal, training
from vae.config import Config
from vae.data import NAMES, Dataset, digests, drop_trained, load
from vae.errors import UserError
from vae.explain import explain_loss
from vae.models import Model, Parameters
from vae.signals import finished

SHOWN = 12  # images in a row of reconstructions


def main_job(options: Namespace, given: dict[str, Any]) -> int:
    """Check gradients, train, draw, report: on built-in digits, in under three minutes on two cores."""
    console, began = terminal.console(), time.perf_counter()
    out = options.held.enter_context(folders.claim(options.out, Path("runs/main"), options.force))
    for folder in (out / "conv", out / "plane"):
        files.make_folder(folder)
        options.held.enter_context(folders.lock(folder))
        folders.clear(folder)
    folders.clear(out)
    passed = True
    for model in ("mlp", "conv"):
        report = _report(Config(model=model, seed=options.seed), 4, 30, options.seed, None, "cpu")
        _print_report(console, report, f"{model}: reverse mode against five-point differences, ε frozen")
        _draw_agreement(out / f"gradients-{model}.png", report, model)
        passed = passed and report.passed
    runs = {
        "conv": Config(model="conv", latent=16, epochs=8, seed=options.seed),
        "plane": Config(model="mlp", latent=2, epochs=25, seed=options.seed),
    }
    table = Table("run", "model", "latents", "epochs", "train −ELBO", "test −ELBO (nats)", title="trained")
    data = _load(runs["conv"])
    for name, config in runs.items():
        state = _train(console, config, data, out / name, None, "cpu")
        last = state.history[-1]
        scores = f"{-last['train_elbo']:.2f}", f"{-last['test_elbo']:.2f}"
        table.add_row(name, config.model, str(config.latent), str(config.epochs), *scores)
    terminal.print_table(console, table)
    _list_files(console, out)
    verdict = "all gradients agree" if passed else "GRADIENTS DISAGREE"
    console.print(f"{verdict}; {time.perf_counter() - began:.0f} s; everything is in {out}")
    return 0 if passed else 1


# check


def check(options: Namespace, given: dict[str, Any]) -> int:
    """Every parameter tensor against finite differences; exit code 1 if one disagrees."""
    device = _device(options.device)
    if options.picture is not None:
        files.make_folder(options.picture.parent)
    if options.checkpoint is not None:
        trainer = training.load_trainer(options.checkpoint)
        config = _same_settings(trainer.config, given, free=("seed",))
        parameters = training.load_state(trainer, options.checkpoint).parameters
        trained = trainer.model, parameters
    else:
        config, trained = Config(**given), None
    report = _report(config, options.images, options.coordinates, options.seed, trained, device)
    if options.json:
        print(json.dumps(report.to_dict()))
    else:
        title = f"{config.model}, {config.decoder} decoder: reverse mode against five-point differences, ε frozen"
        _print_report(terminal.console(), report, title)
    if options.picture is not None:
        _draw_agreement(options.picture, report, config.model)
    return 0 if report.passed else 1


def _report(
    config: Config,
    images: int,
    coordinates: int,
    seed: int,
    trained: tuple[Model, Parameters] | None,
    device: str,
) -> gradients.Report:
    """The gradient check of a configuration, at its initial or at given parameters."""
    model, parameters = trained if trained else (config.make_model((28, 28, 1)), None)
    if parameters is None:
        parameters = training.make_trainer(config, model.image_shape).initial().parameters
    if model.image_shape == (28, 28, 1):
        y = load("digits", size=(1, images), seed=seed).test
    else:
        y = mg.random.uniform(mg.random.key(seed), (images, *model.image_shape), np.float64)
    noise = mg.random.normal(mg.random.fold_in(mg.random.key(seed), 1), (images, model.latent), np.float64)
    weights = config.make_weights(model.image_shape)
    return gradients.check(
        model,
        config.make_likelihood(),
        parameters,
        y,
        noise,
        config.form,
        weights,
        coordinates=coordinates,
        seed=seed,
        device=device,
    )


def _print_report(console: Console, report: gradients.Report, title: str) -> None:
    columns = "shape", "entries", "kinks", "redrawn", "undecided", "max relative error", "±"
    table = Table(Column("parameter", no_wrap=True), *columns, title=title)
    for t in (*report.tensors, report.directions):
        shape = "×".join(map(str, t.shape)) or ("random directions" if t is report.directions else "number")
        error = f"{t.max_relative_error:.1e}" if t.max_relative_error or t.undecided < t.coordinates else "–"
        counts = map(str, (t.coordinates, t.kinks, t.redrawn, t.undecided))
        table.add_row(t.name, shape, *counts, error, f"{t.uncertainty:.1e}")
    terminal.print_table(console, table)
    console.print(
        "kinks: steps that crossed one, so that a smaller step was taken; redrawn: entries replaced by others because "
        "every step crossed one"
    )
    if report.undecided:
        console.print(
            f"undecided: {report.undecided} entries whose finite difference is itself uncertain by more than "
            f"{gradients.TOLERANCE:.0e} (by up to ±, from rounding of the loss); the gradient agrees within that"
        )
    worst = max((t.max_relative_error for t in (*report.tensors, report.directions) if t.seen), default=math.inf)
    if report.verdict == "undecided":
        names = ", ".join(t.name for t in (*report.tensors, report.directions) if not t.seen)
        console.print(
            f"no finite difference of {names} is accurate to {gradients.COARSE:.0e}, so a wrong gradient there could "
            "go unnoticed"
        )
    console.print(
        f"{report.verdict}: largest error {worst:.1e} of the tensor's largest gradient entry "
        f"(≤ {gradients.TOLERANCE:.0e}); ⟨Jv,u⟩ − ⟨v,Jᵀu⟩ {report.adjoint_gap:.1e} "
        f"(≤ {gradients.ADJOINT_TOLERANCE:.0e})"
    )


def _draw_agreement(path: Path, report: gradients.Report, model: str) -> None:
    """The agreement plot of every entry that came out as a number, if any did."""
    rows = [c for c in report.coordinates if math.isfinite(c.relative) and (c.decided or c.wrong)]
    if rows:
        reverse, difference, relative = np.array([(c.reverse, c.difference, c.relative) for c in rows]).T
        title = f"{model}: {len(rows)} gradient entries, reverse mode against five-point differences"
        names = [c.name for c in rows]
        _try_drawing("agreement", path, reverse, difference, names, gradients.TOLERANCE, title, relative=relative)


# train


def train(options: Namespace, given: dict[str, Any]) -> int:
    """Train, or continue a run."""
    console = terminal.console()
    device = _device(options.device)
    if options.resume:
        if options.out is None:
            raise UserError("--resume needs --out, the folder of the run to continue")
        if os.path.isdir(options.out):
            options.held.enter_context(folders.lock(options.out))
        saved = training.load_trainer(options.out)
        config = _same_settings(saved.config, _located(given), free=("epochs", "data", "data_dir"))
        out, data = options.out, _load(config)
        _same_images(saved.model, data)
        state = training.load_state(training.make_trainer(config, saved.model.image_shape, device), out)
        if (state.epoch, state.step) > (config.epochs, 0):
            raise UserError(f"{out} is already beyond {config.epochs} epochs: ask for more, or train anew")
        if state.epoch == config.epochs:
            console.print(f"{out} has all its {config.epochs} epochs; ask for more with --epochs")
        console.print(f"resuming {out} after epoch {state.epoch}, step {state.step}")
    else:
        config, state = Config(**_located(given)), None
        data = _load(config)
        training.make_trainer(config, data.train.shape[1:]).initial()  # what is too large is refused now
        out = options.held.enter_context(folders.claim(options.out, Path("runs/train"), options.force))
    _train(console, config, data, out, state, device)
    _list_files(console, out)
    return 0


def _train(
    console: Console, config: Config, data: Dataset, out: Path, state: training.State | None, device: str
) -> training.State:
    """Train with a progress bar, then draw the pictures."""
    trainer = training.make_trainer(config, data.train.shape[1:], device)
    console.rule(f"{config.model}, {config.latent} latents, {config.decoder} decoder", align="left")
    console.print(f"{data.name}: {len(data.train)} training and {len(data.test)} test images; {data.source}")
    for note in data.notes:
        console.print(note)
    if copies := drop_trained(data, digests(data.train))[1]:
        console.print(copies)
    console.print(str(explain_loss(config, trainer.model.image_shape)))
    pixels = int(np.prod(trainer.model.image_shape))
    console.print(f"reported: {objectives.implications(trainer.likelihood, data.binary, pixels)}")
    if state is None:
        state = trainer.initial()
        folders.clear(out)  # now that nothing is wrong with the new run
    try:
        state = _train_with_progress(console, trainer, data, out, state)
    except KeyboardInterrupt:
        if (out / training.CHECKPOINT).exists():
            place = f"./{out}" if str(out)[0] in "-~" else str(out)
            again = shlex.join(["python", "-m", "vae", "train", "--out", place, "--resume"])
            print(f"stopped; continue with: {again}")  # to be pasted: a console would make spaces of a tab in the path
        raise
    _draw(trainer, state, data, out)
    return state


def _train_with_progress(
    console: Console, trainer: training.Trainer, data: Dataset, out: Path, state: training.State
) -> training.State:
    epochs = trainer.config.epochs
    with terminal.progress(console, TextColumn("−ELBO {task.fields[loss]:.2f} nats")) as progress:
        bar = progress.add_task("", loss=float("nan"))

        def on_step(state: training.State, steps: int, loss: float) -> None:
            epoch = f"epoch {state.epoch + 1}/{epochs}"
            progress.update(bar, completed=state.step, total=steps, description=epoch, loss=loss)

        def on_epoch(record: dict) -> None:
            console.print(
                f"epoch {record['epoch']:3d}: train −ELBO {-record['train_elbo']:.2f}, "
                f"test −ELBO {-record['test_elbo']:.2f} nats, {record['seconds']:.1f} s"
            )

        return training.train(trainer, data, out, state, on_step, on_epoch)


def _visible(images: Any) -> Any:
    """Images without their alpha channel, if they have one."""
    return images[..., : {2: 1, 4: 3}.get(images.shape[-1])]


def _draw(trainer: training.Trainer, state: training.State, data: Dataset, out: Path) -> None:
    """The pictures of a finished run."""
    config, latent, parameters = trainer.config, trainer.model.latent, mg.to_device(state.parameters, "cpu")
    name = f"{config.model}, {latent} latents, {config.decoder} decoder, {data.name}"
    key = mg.random.fold_in(mg.random.key(config.seed), 99)

    def decode(z: Any) -> Any:
        z = np.asarray(z, np.float32)
        return _visible(evaluation.generate(trainer.model, trainer.likelihood, parameters.decoder, z))

    shown = data.test[:SHOWN]
    rebuilt = evaluation.reconstruct(
        trainer.model, trainer.likelihood, parameters, shown, mg.random.normal(key, (len(shown), latent))
    )
    _try_drawing("curves", out / "curves.png", list(state.history), name)
    _try_drawing("reconstructions", out / "reconstructions.png", _visible(shown), _visible(rebuilt), name)
    _try_drawing(
        "samples", out / "samples.png", decode(mg.random.normal(mg.random.fold_in(key, 1), (64, latent))), name
    )
    if latent == 2:
        means = evaluation.posterior_means(trainer.model, parameters, data.test)
        _try_drawing("latent_plane", out / "latent-plane.png", decode, title=name)
        _try_drawing("plane_encoding", out / "latent-means.png", means, data.test_labels, name)


# evaluate, sample, reconstruct


def _trained(options: Namespace) -> tuple[training.Trainer, training.State]:
    """The trainer and the state of a run, with its arrays on the device asked for."""
    trainer = training.load_trainer(options.checkpoint, _device(options.device))
    return trainer, training.load_state(trainer, options.checkpoint)


def evaluate(options: Namespace, given: dict[str, Any]) -> int:
    """Bounds on −ln Q(y) of the test images."""
    trainer, state = _trained(options)
    data = _test_images(trainer, state, given)
    if trainer.likelihood.mode == "profiled" and state.log_sigma is None:
        raise UserError(f"{options.checkpoint} has no σ yet, it stopped within its first epoch: continue it first")
    images, key = mg.to_device((data.test, mg.random.key(options.seed)), trainer.device)
    scores = _scores(trainer, state, images, key, options.importance)
    if not all(map(math.isfinite, scores.values())):
        raise UserError(f"the bounds are not finite on these images ({scores}): train anew with a lower learning rate")
    if options.json:
        print(json.dumps({"images": len(data.test), **scores}))
        return 0
    about = {
        "negative_elbo_closed": "−ELBO, closed KL",
        "distortion": "  distortion E −ln Q(y|z)",
        "rate": "  rate KL(P(z|y), Q(z))",
        "negative_elbo_sampled": "−ELBO, sampled entropy",
    }
    table = Table("bound on −ln Q(y)", "nats per image", title=f"{len(data.test)} test images of {data.name}")
    for name, value in scores.items():
        table.add_row(about.get(name, f"−importance bound, K = {options.importance}"), f"{value:.3f}")
    console = terminal.console()
    terminal.print_table(console, table)
    pixels = int(np.prod(trainer.model.image_shape))
    console.print(objectives.implications(trainer.likelihood, data.binary, pixels))
    return 0


def _scores(trainer: training.Trainer, state: training.State, images: Any, key: Any, samples: int) -> dict[str, float]:
    """Every bound by its name, in nats per image, with a progress bar on stderr."""
    common = (trainer.model, trainer.likelihood, state.parameters, images, key)
    with terminal.progress(terminal.console(stderr=True)) as progress:
        passes = len(objectives.FORMS) + samples
        bar = progress.add_task("evaluating", total=len(images) * passes)
        rest = {"log_sigma": state.log_sigma, "on_images": lambda count: progress.update(bar, advance=count)}
        pixels, latents = evaluation.mean_elbo_sums(*common, "closed", **rest)
        scores = {"negative_elbo_closed": -(pixels + latents), "distortion": -pixels, "rate": -latents}
        scores["negative_elbo_sampled"] = -evaluation.mean_elbo(*common, "sampled", **rest)
        if samples:
            bound = evaluation.mean_importance_bound(*common, samples, **rest)
            scores[f"negative_importance_bound_{samples}"] = -bound
    return scores


def sample(options: Namespace, given: dict[str, Any]) -> int:
    """Images from the decoder alone."""
    trainer, state = _trained(options)
    key = mg.to_device(mg.random.key(options.seed), trainer.device)
    z = mg.random.normal(key, (options.count, trainer.model.latent))
    images = _visible(evaluation.generate(trainer.model, trainer.likelihood, state.parameters.decoder, z))
    path = options.out or options.checkpoint / "samples.png"
    files.make_folder(path.parent)
    terminal.console().print(str(_draw_picture("samples", path, images, f"{options.count} samples, z ~ N(0, I)")))
    return 0


def reconstruct(options: Namespace, given: dict[str, Any]) -> int:
    """Test images beside their reconstructions."""
    trainer, state = _trained(options)
    images = _test_images(trainer, state, given).test[: options.count]
    images, key = mg.to_device((images, mg.random.key(options.seed)), trainer.device)
    noise = mg.random.normal(key, (len(images), trainer.model.latent))
    rebuilt = evaluation.reconstruct(trainer.model, trainer.likelihood, state.parameters, images, noise)
    path = options.out or options.checkpoint / "reconstructions.png"
    files.make_folder(path.parent)
    title = f"{len(images)} test images"
    terminal.console().print(str(_draw_picture("reconstructions", path, _visible(images), _visible(rebuilt), title)))
    return 0


def _test_images(trainer: training.Trainer, state: training.State, given: dict[str, Any]) -> Dataset:
    """The data set of the run, or the one given instead, without test images that the run was trained on.

    A line on stderr says how many were dropped. Raises UserError if the images do not have the model's shape.
    """
    asked = {name: given.get(name) for name in ("train_size", "test_size")}  # all images unless sizes are given
    places = {name: given[name] for name in ("data", "data_dir") if name in given}
    config = Config(**{**trainer.config.to_dict(), **asked, **_located(places)})
    data = _load(config)
    _same_images(trainer.model, data)
    data, dropped = drop_trained(data, state.trained)
    for note in (*data.notes, dropped):
        if note:
            terminal.note(note)
    return data


def _located(given: dict[str, Any]) -> dict[str, Any]:
    """The settings given, with paths that exist made absolute, so that a run can be used from any folder."""
    paths = {name: given[name] for name in ("data", "data_dir") if given.get(name)}
    found = {name: os.path.realpath(path) for name, path in paths.items() if os.path.exists(path)}
    if given.get("data") in NAMES:
        found.pop("data", None)
    return {**given, **found}


def _same_images(model: Model, data: Dataset) -> None:
    """Raises UserError unless the model takes images of this shape."""
    if data.test.shape[1:] != model.image_shape:
        raise UserError(f"the model takes images of {model.image_shape}, {data.name} has {data.test.shape[1:]}")


# lecture


def lecture(options: Namespace, given: dict[str, Any]) -> int:
    """Both sides of every claim of the lecture, and a page; exit code 1 if a claim fails."""
    with finished():
        from vae.lecture import CLAIMS, Setting
        from vae.lecture.page import page
        from vae.lecture.run import run

    slides = sorted({c.slide for c in CLAIMS})
    unknown = [n for n in options.slide or () if n not in slides]
    if unknown:
        raise UserError(f"there is no claim on slide {unknown[0]}: choose from {', '.join(map(str, slides))}")
    chosen = [c for c in CLAIMS if (not options.slide or c.slide in options.slide) and not (options.exact and c.images)]
    chosen.sort(key=lambda c: c.slide)
    if not chosen:
        raise UserError("the claims of these slides need images: leave out --exact")
    unread = {"data", "data_dir", "train_size", "test_size"} & set(given)
    if unread and not any(c.images for c in chosen):
        options_given = ", ".join("--" + name.replace("_", "-") for name in sorted(unread))
        raise UserError(f"none of these claims needs images: leave out {options_given}")
    size = given.get("train_size"), given.get("test_size")
    places = {name: given[name] for name in ("data", "data_dir") if name in given}
    setting = Setting(options.seed, **places, size=None if size == (None, None) else size)
    source = "no images needed"
    if any(c.images for c in chosen):  # too few are said now
        source = " ".join((setting.images.source, *setting.images.notes))
    out = options.held.enter_context(folders.claim(options.out, Path("runs/lecture"), options.force))
    console = terminal.console(stderr=options.json)
    if not options.json:
        console.print(f"{len(chosen)} claims; all of the lecture's take four to five CPU minutes")
    with terminal.progress(console) as progress:
        bar = progress.add_task("", total=len(chosen))

        def on_claim(claim: Any) -> None:
            progress.update(bar, advance=0 if not progress.tasks[0].description else 1)
            progress.update(bar, description=f"slide {claim.slide}: {claim.says}")

        rows = run(chosen, setting, on_claim)
    folders.clear(out)
    for row in rows:
        if row.picture is not None:
            files.write_bytes(out / f"slide-{row.claim.slide:02d}-{row.claim.name.replace('_', '-')}.png", row.picture)
    files.write_bytes(out / "lecture.html", page(rows, options.seed, source).encode())
    passed = all(row.sides.passed for row in rows)
    if options.json:
        print(json.dumps({"claims": [row.to_dict() for row in rows], "passed": passed}, allow_nan=False))
        return 0 if passed else 1
    table = Table(
        Column("slide", justify="right"),
        Column("claim", ratio=1, min_width=24),
        Column("left", justify="right", no_wrap=True),
        Column("", no_wrap=True),
        Column("right", justify="right", no_wrap=True),
        Column("error / allowed", no_wrap=True),
        "",
        title=f"both sides of {len(rows)} claims, seed {options.seed}",
        caption="errors are relative to the largest entry, or to 1; se: in standard errors of the draws",
    )
    for row in rows:
        s = row.sides
        allowed = (
            f"{s.error:.1f} / {s.tolerance:.1f} se"
            if s.unit == "standard errors"
            else f"{s.error:.0e} / {s.tolerance:.0e}"
        )
        numbers = f"{s.left:.6g}", s.relation, f"{s.right:.6g}", allowed
        table.add_row(str(row.claim.slide), row.claim.says, *numbers, "holds" if s.passed else "FAILS")
    terminal.print_table(console, table)
    console.print(f"{'every claim holds' if passed else 'A CLAIM FAILS'}; the page is {out / 'lecture.html'}")
    return 0 if passed else 1


# What commands share


def _draw_picture(kind: str, path: Path, *given: Any, **look: Any) -> Path:
    """Draw one of the pictures of `vae.pictures`, which is imported only here. Raises UserError if that fails."""
    try:
        with finished():  # a signal while compiled parts are imported would pass for a fault of theirs
            from vae import pictures

        return getattr(pictures, kind)(path, *given, **look)
    except (UserError, MemoryError, ImportError):
        raise
    except Exception as error:  # broken fonts or a broken matplotlib
        raise UserError(f"{path} cannot be drawn: {type(error).__name__}: {error}") from error


def _try_drawing(kind: str, path: Path, *given: Any, **look: Any) -> None:
    """The same for a picture that the command can do without: if it fails, a line on stderr says so."""
    try:
        _draw_picture(kind, path, *given, **look)
    except (UserError, ImportError) as error:
        terminal.note(str(error) if isinstance(error, UserError) else f"{path} cannot be drawn: {error}")


def _load(config: Config) -> Dataset:
    size = None if config.train_size is None and config.test_size is None else (config.train_size, config.test_size)
    return load(config.data, data_dir=config.data_dir, size=size, seed=config.seed)


def _same_settings(config: Config, given: dict[str, Any], free: tuple[str, ...] = ()) -> Config:
    """The saved settings with the `free` ones replaced. Raises UserError where others were given and differ."""
    for name, value in given.items():
        if name not in free and (saved := getattr(config, name)) != value:
            option, saved = "--" + name.replace("_", "-"), "left out" if saved is None else saved
            raise UserError(f"the run has {option} {saved}, not {value}: leave it out, or train anew")
    return Config(**{**config.to_dict(), **{name: given[name] for name in free if name in given}})


def _device(name: str) -> str:
    """The device to compute on; for auto, a line on stderr says which and why. Raises DeviceError without a GPU."""
    found, why = "cuda" if name == "auto" else name, "a GPU is here and works"
    try:
        mg.to_device(0.0, found)
    except mg.DeviceError as error:
        if name != "auto":
            raise
        found, why = "cpu", str(error)
    if name == "auto":
        terminal.note(f"--device auto takes {found}: {why}")
    return found


def _list_files(console: Console, out: Path) -> None:
    for path in folders.files_in(out):
        console.print(f"  {path}")
