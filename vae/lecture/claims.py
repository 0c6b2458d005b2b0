"""What a claim is: a slide, a sentence, the mathematics, and a function that computes both sides.

The function gets a `Setting` (a seed, images on request) and returns `Sides`: the two numbers, how far they are apart,
and how far they may be. The tolerance is not tuned: it follows from one of three comparisons,

    equal           the same number computed in two ways: only rounding is between them
    mean_of_draws   a mean of independent draws against its exact value: within 4 of their standard errors
    at_most         a bound: the left side does not exceed the right one
"""

from __future__ import annotations

import inspect
import textwrap
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import NormalDist
from typing import Any

import numpy as np

import minigrad as mg
from vae.data import Dataset, load
from vae.errors import UserError

EPS = float(np.finfo(np.float64).eps)
FOUR_SIGMA = 2 * (1 - NormalDist().cdf(4))  # 6.3e-5: how often a right claim may miss by chance


@dataclass(frozen=True)
class Slider:
    """A picture that a reader can move: `draw(axes, value)` for each value of one quantity."""

    name: str
    values: Sequence[float]
    draw: Callable[[Any, float], None]


@dataclass(frozen=True)
class Sides:
    """Both sides of a claim. `left` and `right` are those of the entry furthest off (of several, the largest)."""

    left: float
    right: float
    error: float
    tolerance: float
    unit: str  # of error and tolerance
    entries: int = 1
    draw: Callable[[Any], None] | None = None  # onto matplotlib axes
    slider: Slider | None = None
    relation: str = "="  # or "≤"

    @property
    def passed(self) -> bool:
        return bool(self.error <= self.tolerance)


@dataclass(frozen=True)
class Claim:
    """One row of the lecture's table."""

    slide: int
    name: str  # of the function, for file names and links
    says: str  # one sentence
    mathematics: tuple[str, ...]  # lines of formulas; `_x`, `_{xy}` and `^x` are sub- and superscripts
    compute: Callable[[Setting], Sides] = field(repr=False)
    images: bool  # whether it needs images (and takes its time)

    @property
    def code(self) -> str:
        """The lines that compute both sides, without the decorator."""
        lines = textwrap.dedent(inspect.getsource(self.compute)).splitlines()
        start = next(i for i, line in enumerate(lines) if line.startswith("def "))
        return "\n".join(lines[start:])


CLAIMS: list[Claim] = []


def claim(slide: int, says: str, *mathematics: str, images: bool = False) -> Callable[[Callable], Callable]:
    """Decorator for a function of a Setting that returns the Sides of a claim of a slide: enters it in CLAIMS."""

    def register(compute: Callable[[Setting], Sides]) -> Callable[[Setting], Sides]:
        CLAIMS.append(Claim(slide, compute.__name__, says, mathematics, compute, images))
        return compute

    return register


class Setting:
    """What claims are computed from: a seed, random numbers by purpose, and images if they need any."""

    def __init__(self, seed: int = 0, data: str = "digits", data_dir: str | None = None, size: Any = None):
        self.seed, self._data, self._data_dir, self._size = seed, data, data_dir, size
        self._shared: dict[Any, Any] = {}

    def key(self, purpose: str) -> Any:
        """A key of its own for each purpose."""
        return mg.random.fold_in(mg.random.key(self.seed), zlib.crc32(purpose.encode()))

    def normal(self, purpose: str, *shape: int) -> np.ndarray:
        """Standard normal float64 numbers."""
        return mg.random.normal(self.key(purpose), shape, np.float64)

    def uniform(self, purpose: str, *shape: int) -> np.ndarray:
        """Uniform float64 numbers in [0, 1)."""
        return mg.random.uniform(self.key(purpose), shape, np.float64)

    @cached_property
    def images(self) -> Dataset:
        """Training and test images. Raises UserError (or DataError) if there are too few, or none."""
        found = load(self._data, data_dir=self._data_dir, size=self._size, seed=self.seed)
        if len(found.train) < 1000 or len(found.test) < 200:
            raise UserError(
                f"the lecture's image claims need at least 1000 training and 200 test images, {found.name} has "
                f"{len(found.train)} and {len(found.test)}"
            )
        return found

    def once(self, name: Any, make: Callable[[], Any]) -> Any:
        """make(), computed once for all claims that share it (a trained model, say)."""
        if name not in self._shared:
            self._shared[name] = make()
        return self._shared[name]


# Comparisons


def equal(left: Any, right: Any, roundings: float = 2.0**8, **shown: Any) -> Sides:
    """Two ways to one number (or array): apart by at most `roundings` roundings of the largest entry (or of 1).

    `roundings` counts those on the longer way, times the condition number where that is not about one.
    """
    left, right = (np.asarray(side, np.float64) for side in (left, right))
    if left.shape != right.shape:
        raise ValueError(f"the sides of a claim have one shape, got {left.shape} and {right.shape}")
    scale = max(1.0, float(np.max(np.abs(right), initial=0.0)))
    off = np.abs(left - right) / scale
    return _sides(left, right, off, roundings * EPS, "of the largest", **shown)


def mean_of_draws(draws: Any, truth: Any, **shown: Any) -> Sides:
    """The mean over the first axis of independent draws against the exact mean, in standard errors.

    The tolerance is 4 for one number; for m of them it is the quantile that all m exceed no more often.
    """
    draws, truth = np.asarray(draws, np.float64), np.asarray(truth, np.float64)
    mean, error = draws.mean(0), draws.std(0, ddof=1) / np.sqrt(len(draws))
    return within_errors(mean, truth, error, **shown)


def variance_of_draws(draws: Any, truth: Any, **shown: Any) -> Sides:
    """The variance over the first axis of independent draws against the exact one, in standard errors.

    Those of a variance are √((m₄ − s⁴)/n) with the fourth central moment m₄.
    """
    draws, truth = np.asarray(draws, np.float64), np.asarray(truth, np.float64)
    centred = draws - draws.mean(0)
    variance, fourth = (centred**2).mean(0), (centred**4).mean(0)
    return within_errors(variance, truth, np.sqrt((fourth - variance**2) / len(draws)), **shown)


def within_errors(left: Any, right: Any, errors: Any, **shown: Any) -> Sides:
    """A measured value against its exact one, in the standard errors given."""
    left, right, errors = np.broadcast_arrays(*(np.asarray(x, np.float64) for x in (left, right, errors)))
    off = np.abs(left - right) / np.where(errors > 0, errors, EPS * np.maximum(1.0, np.abs(right)))
    tolerance = NormalDist().inv_cdf(1 - FOUR_SIGMA / 2 / max(1, off.size))
    return _sides(left, right, off, tolerance, "standard errors", **shown)


def at_most(left: Any, right: Any, roundings: float = 2.0**8, **shown: Any) -> Sides:
    """A bound: no entry of the left side exceeds the right one by more than roundings."""
    left, right = np.broadcast_arrays(*(np.asarray(side, np.float64) for side in (left, right)))
    scale = max(1.0, float(np.max(np.abs(right), initial=0.0)))
    off = (left - right) / scale
    place = np.unravel_index(int(np.argmax(off)), off.shape)
    error, tolerance = max(0.0, float(off[place])), roundings * EPS
    draw = shown.pop("draw", None) or (_agreement(left, right) if off.size > 1 else None)
    numbers = float(left[place]), float(right[place]), error, tolerance
    return Sides(*numbers, "above", off.size, draw, relation="≤", **shown)


def _sides(left, right, off, tolerance: float, unit: str, **shown: Any) -> Sides:
    if not off.size:
        raise ValueError("a claim compares at least one number")
    order = np.lexsort((np.abs(right).ravel(), np.where(np.isnan(off), np.inf, off).ravel()))
    place = np.unravel_index(int(order[-1]), off.shape)
    draw = shown.pop("draw", None) or (_agreement(left, right) if off.size > 1 else None)
    return Sides(float(left[place]), float(right[place]), float(off[place]), tolerance, unit, off.size, draw, **shown)


def _agreement(left: np.ndarray, right: np.ndarray) -> Callable[[Any], None]:
    """The default picture: one side against the other."""

    def draw(axes: Any) -> None:
        ends = [min(right.min(), left.min()), max(right.max(), left.max())]
        axes.plot(ends, ends, color="#707070", lw=1, zorder=0)
        axes.plot(right.ravel(), left.ravel(), "o", ms=4, alpha=0.7)
        axes.set_xlabel("right side")
        axes.set_ylabel("left side")

    return draw
