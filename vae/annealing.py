"""Annealed importance sampling: ln Q(y) of each image, between a lower and an upper bound, in nats (Neal 2001).

From a start density P₀, the prior Q(z) or the encoder's P(z|y), a path leads to the joint density Q(z, y):

    ln f_β(z) = (1−β) ln P₀(z) + β ln Q(z, y) = ln P₀(z) + β r(z),    r(z) = ln Q(z, y) − ln P₀(z),    β = 0 … 1

Chains start at z ~ P₀ and go through 0 = β_0 < β_1 < … < β_T = 1, one Hamiltonian move at each β between. Then

    ln w = Σ_t (β_t − β_{t−1}) r(z_{t−1})    has    E w = Q(y)

so ln (1/K) Σ w over K chains is below ln Q(y) on average (Wu, Burda, Salakhutdinov and Grosse 2017, arXiv:1611.04273).
The same path backwards, from an exact sample of the posterior, has E 1/w = 1/Q(y), and −ln (1/K) Σ 1/w is above. Images
drawn from the model come with such a sample, the z they were decoded from: then both bounds hold ln Q(y) between them
(bidirectional Monte Carlo: Grosse, Ghahramani and Adams 2015).

E w = Q(y) needs moves that do not depend on where the chains went. So step sizes are not adapted during a run: `tune`
makes one with another key, adapts the sizes for each image towards the acceptance 0.65, and they are then kept.

Chains move in u = (z − m)/s, where P₀(z) = N(m, s²), so that P₀ is N(0, I) for either start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from vae.autoencoder import Autoencoder
from vae.groups import per_image, together
from vae.hamiltonian import Moves, Point, make_moves
from vae.numbers import to_int
from vae.objectives import log_mean, log_normal

STARTS = ("prior", "encoder")
ACCEPTANCE, RATE = 0.65, 0.3  # what `tune` aims at, and how fast it adapts ln h
FIRST_STEP, LARGEST_STEP = 0.5, 1.0
SHARPNESS = 4.0  # of the schedule
PIECE = 25  # images at a time: a group is one thread's work


@dataclass(frozen=True)
class Annealing:
    """How to anneal: T `temperatures`, K `chains` for each image, `leapfrog` steps of a move, and P₀, the `start`.

    Raises ValueError for an unknown start, and for numbers below 1 (chains, leapfrog) or 2 (temperatures).
    """

    temperatures: int = 1000
    chains: int = 16
    leapfrog: int = 10
    start: str = "prior"

    def __post_init__(self) -> None:
        for name, least in (("temperatures", 2), ("chains", 1), ("leapfrog", 1)):
            to_int(getattr(self, name), f"annealing: {name}", least)
        if self.start not in STARTS:
            raise ValueError(f"unknown start {self.start!r} of annealing: use {' or '.join(STARTS)}")


class Annealed(NamedTuple):
    """The bound on ln Q(y) of each image (N,), in nats, and the mean acceptance probability of its moves (N,)."""

    bound: Any
    acceptance: Any


@dataclass(frozen=True, eq=False)
class Annealer:
    """The bounds of one autoencoder (see `make_annealer`). Results depend on the arguments alone.

    Images y are (N, H, W, C), keys are from `mg.random`; all memory is for chains × N decoded images at a time.
    """

    autoencoder: Autoencoder
    settings: Annealing
    moves: Moves

    def tune(self, y: Any, key: Any) -> list[Any]:
        """Step sizes (N,) for each β between 0 and 1, adapted in a forward run; use another key for the bounds."""
        point, data = self._start(y, key)
        step, found = mg.zeros_like(point.ratio[0]) + FIRST_STEP, []
        for i, beta in enumerate(schedule(self.settings.temperatures)[1:-1]):
            point, probability = self.moves.move(point, mg.random.fold_in(key, i), step, beta, *data)
            step = step * mg.exp(RATE * (mg.mean(probability, axis=0) - ACCEPTANCE))
            step = mg.minimum(step, LARGEST_STEP)
            found.append(step)
        return found

    def forward(self, y: Any, key: Any, steps: list[Any]) -> Annealed:
        """A lower bound on average: chains from P₀ to the posterior, with the step sizes of `tune`."""
        point, data = self._start(y, key)
        log_weights, acceptance = self._run(point, schedule(self.settings.temperatures), steps, key, data)
        return Annealed(log_mean(log_weights), acceptance)

    def backward(self, y: Any, z: Any, key: Any, steps: list[Any]) -> Annealed:
        """An upper bound on average: chains from z (N, latent), exact samples of the posterior, to P₀.

        The step sizes must not depend on z: use those that `tune` found for y.
        """
        data = self._data(y)
        if z.shape != data[1].shape:
            raise ValueError(f"the images {y.shape} need the z they were drawn from, {data[1].shape}, got {z.shape}")
        _, mean, log_std = data
        u = (z - mean) * mg.exp(-log_std)
        point = self.moves.start(mg.copy(mg.broadcast_to(u, (self.settings.chains, *u.shape))), *data)
        down = schedule(self.settings.temperatures)[::-1]
        log_weights, acceptance = self._run(point, down, steps[::-1], key, data)
        return Annealed(-log_mean(log_weights), acceptance)

    def _data(self, y: Any) -> tuple[Any, Any, Any]:
        """The images, and m and ln s of P₀, (N, latent) each."""
        if y.ndim != 4 or y.shape[1:] != self.autoencoder.model.image_shape or not len(y):
            shape = ", ".join(map(str, self.autoencoder.model.image_shape))
            raise ValueError(f"the model takes images (N, {shape}), N ≥ 1, got {y.shape}")
        mean, log_std = self.autoencoder.encode(y)
        if self.settings.start == "encoder":
            return y, mean, log_std
        return y, mg.zeros_like(mean), mg.zeros_like(log_std)

    def _start(self, y: Any, key: Any) -> tuple[Any, tuple]:
        """The state of chains at z ~ P₀."""
        data, (_, own) = self._data(y), mg.random.split(key)
        u = mg.random.normal(own, (self.settings.chains, *data[1].shape), data[1].dtype)
        return self.moves.start(u, *data), data

    def _run(self, point: Any, betas: np.ndarray, steps: list[Any], key: Any, data: tuple) -> tuple[Any, Any]:
        """Σ_i (β_{i+1} − β_i) r(z_i), (chains, N), summed in float64, and the mean acceptance (N,)."""
        if len(steps) != len(betas) - 2:
            raise ValueError(f"{len(betas) - 1} temperatures need {len(betas) - 2} step sizes, got {len(steps)}")
        changes = np.diff(betas).tolist()
        log_weights, acceptance = changes[0] * mg.astype(point.ratio, np.float64), 0.0
        for i, (beta, step) in enumerate(zip(betas[1:-1], steps, strict=True)):
            point, probability = self.moves.move(point, mg.random.fold_in(key, i), step, beta, *data)
            log_weights = log_weights + changes[i + 1] * mg.astype(point.ratio, np.float64)
            acceptance = acceptance + mg.mean(probability, axis=0)
        return log_weights, acceptance / len(steps)


def make_annealer(autoencoder: Autoencoder, settings: Annealing, log_sigma: Any = None) -> Annealer:
    """The bounds of an autoencoder; `log_sigma` is the ln σ to evaluate with, if it is neither fixed nor learned.

    Raises ValueError for a profiled σ without `log_sigma`, because it would tie the images of a batch to each other.
    """
    log_sigma = _resolve(autoencoder, log_sigma)

    def ratio(u: Any, y: Any, mean: Any, log_std: Any) -> Any:
        """r(z) = ln Q(y|z) + ln Q(z) − ln P₀(z) at z = m + s·u, (chains, N)."""
        z = mg.gaussian_sample(mean, log_std, u)
        pixels = autoencoder.likelihood.log_prob(y, autoencoder.decode(z), log_sigma)  # (chains, N, H, W, C)
        bound = mg.sum(pixels, axis=(-3, -2, -1))
        if settings.start == "prior":
            return bound
        return bound + mg.sum(log_normal(z) - log_normal(z, mean, log_std), axis=-1)

    return Annealer(autoencoder, settings, make_moves(ratio, settings.leapfrog))


def schedule(temperatures: int, sharpness: float = SHARPNESS) -> np.ndarray:
    """β_0 = 0 … β_T = 1, (T+1,): sigmoid(δ(2t/T − 1)), shifted and scaled to [0, 1]; slow at both ends (Wu et al.).

    >>> schedule(4).round(3).tolist()
    [0.0, 0.105, 0.5, 0.895, 1.0]
    """
    x = 1 / (1 + np.exp(-sharpness * np.linspace(-1, 1, temperatures + 1)))
    return (x - x[0]) / (x[-1] - x[0])


def _resolve(autoencoder: Autoencoder, log_sigma: Any) -> Any:
    """The ln σ to evaluate with; None where the likelihood has it, or has none."""
    log_sigma = autoencoder.parameters.log_sigma if log_sigma is None else log_sigma
    if log_sigma is None and autoencoder.likelihood.profiled:
        raise ValueError(
            "a profiled σ must be fixed to anneal: give log_sigma, such as profile_log_sigma of the images"
        )
    return log_sigma


# Images drawn from the model


def simulate(autoencoder: Autoencoder, count: int, key: Any, log_sigma: Any = None) -> tuple[Any, Any]:
    """z ~ Q(z), (N, latent), and y ~ Q(y|z), (N, H, W, C), for N = `count` images, in the parameters' dtype."""
    likelihood, log_sigma = autoencoder.likelihood, _resolve(autoencoder, log_sigma)
    of_z, of_y = mg.random.split(key)
    dtype = autoencoder.parameters.decoder.pixels.w.dtype
    z = mg.random.normal(of_z, (to_int(count, "simulate: count", 1), autoencoder.model.latent), dtype)
    return z, likelihood.draw(of_y, autoencoder.decode(z), log_sigma)


# Means over many images


class Estimate(NamedTuple):
    """Bounds of each image (N,), in nats, and the mean acceptance of all moves; `upper` is None for given images."""

    lower: np.ndarray
    upper: np.ndarray | None
    acceptance: float


def annealed_bounds(
    autoencoder: Autoencoder,
    images: Any,
    key: Any,
    settings: Annealing,
    log_sigma: Any = None,
    z: Any = None,
    on_moves: Callable[[int], None] = lambda count: None,
    size: int = PIECE,
) -> Estimate:
    """Lower bounds on ln Q(y) of images (N, H, W, C); also upper bounds, if the images were drawn from the model with
    z (N, latent) (see `simulate`).

    Groups of `size` images, each with its own key, are divided between processes and threads (see `vae.groups`), which
    does not change a bit. `on_moves(count)` is called after each move with the number of images that moved: in all, N
    times `count_moves`.
    """
    if z is not None and len(z) != len(images):
        raise ValueError(f"upper bounds need as many z as images, got {len(z)} and {len(images)}")
    annealers: SimpleQueue[Annealer] = SimpleQueue()
    for _ in range(together(images)):  # a captured program runs once at a time
        annealers.put(_watch(make_annealer(autoencoder, settings, log_sigma), on_moves))

    def compute(piece: slice) -> Any:
        y, keys = images[piece], mg.random.split(mg.random.fold_in(key, piece.start), 3)
        annealer = annealers.get()
        try:
            steps = annealer.tune(y, keys[0])
            parts = [*annealer.forward(y, keys[1], steps)]
            if z is not None:
                parts += annealer.backward(y, z[piece], keys[2], steps)
        finally:
            annealers.put(annealer)
        return np.stack([mg.to_device(part, "cpu") for part in parts])

    parts = per_image(images, size, compute)  # (2 or 4, N): bounds and acceptances
    return Estimate(parts[0], parts[2] if z is not None else None, float(parts[1::2].mean()))


def count_moves(settings: Annealing, upper: bool = False) -> int:
    """The moves of each image in `annealed_bounds`: of `tune`, `forward` and, for the upper bound, `backward`."""
    return (3 if upper else 2) * (settings.temperatures - 1)


def _watch(annealer: Annealer, on_moves: Callable[[int], None]) -> Annealer:
    """The annealer that calls `on_moves` after each move of N images, with N."""

    def move(point: Point, *given: Any) -> tuple[Point, Any]:
        moved = annealer.moves.move(point, *given)
        on_moves(point.u.shape[1])
        return moved

    return replace(annealer, moves=annealer.moves._replace(move=move))
