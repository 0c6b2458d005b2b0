"""A claim: a slide, a sentence, the mathematics, and a function that computes both sides.

The function takes a `Setting` (a seed, and images on request) and returns `Sides`: both numbers, their error and its
tolerance. Tolerances are not tuned; each follows from one of three comparisons:

    equal           the same number computed in two ways: they differ by rounding only
    mean_of_draws   the mean of independent draws against its exact value: within 4 standard errors
    at_most         a bound: the left side does not exceed the right side
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
FOUR_SIGMA = 2 * (1 - NormalDist().cdf(4))  # 6.3e-5: how often a true sampled claim fails by chance


@dataclass(frozen=True)
class Slider:
    """A picture with a slider: `draw(axes, value)` draws it for each value of one quantity."""

    name: str
    values: Sequence[float]
    draw: Callable[[Any, float], None]


@dataclass(frozen=True)
class Sides:
    """Both sides of a claim. Of arrays, `left` and `right` show the entry with the largest error."""

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
    """One claim of the lecture."""

    slide: int
    name: str  # of the function, for file names and links
    says: str  # one sentence
    mathematics: tuple[str, ...]  # lines of formulas; `_x`, `_{xy}` and `^x` are sub- and superscripts
    compute: Callable[[Setting], Sides] = field(repr=False)
    images: bool  # whether it needs images, which takes longer

    @property
    def code(self) -> str:
        """The lines that compute both sides, without the decorator."""
        lines = textwrap.dedent(inspect.getsource(self.compute)).splitlines()
        start = next(i for i, line in enumerate(lines) if line.startswith("def "))
        return "\n".join(lines[start:])


CLAIMS: list[Claim] = []


def claim(slide: int, says: str, *mathematics: str, images: bool = False) -> Callable[[Callable], Callable]:
    """Decorator for a function from a Setting to Sides: adds it to CLAIMS as a claim of this slide."""

    def register(compute: Callable[[Setting], Sides]) -> Callable[[Setting], Sides]:
        CLAIMS.append(Claim(slide, compute.__name__, says, mathematics, compute, images))
        return compute

    return register


class Setting:
    """What claims are computed from: a seed, random numbers for each named purpose, and images."""

    def __init__(self, seed: int = 0, data: str = "digits", data_dir: str | None = None, size: Any = None):
        self.seed, self._data, self._data_dir, self._size = seed, data, data_dir, size
        self._shared: dict[Any, Any] = {}

    def key(self, purpose: str) -> Any:
        """The random key of a purpose."""
        return mg.random.fold_in(mg.random.key(self.seed), zlib.crc32(purpose.encode()))

    def normal(self, purpose: str, *shape: int) -> np.ndarray:
        """Standard normal float64 numbers."""
        return mg.random.normal(self.key(purpose), shape, np.float64)

    def uniform(self, purpose: str, *shape: int) -> np.ndarray:
        """Uniform float64 numbers in [0, 1)."""
        return mg.random.uniform(self.key(purpose), shape, np.float64)

    @cached_property
    def images(self) -> Dataset:
        """Training and test images. Raises UserError if there are too few, DataError if they cannot be loaded."""
        found = load(self._data, data_dir=self._data_dir, size=self._size, seed=self.seed)
        if len(found.train) < 1000 or len(found.test) < 200:
            raise UserError(
                f"the lecture's image claims need at least 1000 training and 200 test images, {found.name} has "
                f"{len(found.train)} and {len(found.test)}"
            )
        return found

    def once(self, name: Any, make: Callable[[], Any]) -> Any:
        """make(), called once per name: claims that share a trained model, say, get the same object."""
        if name not in self._shared:
            self._shared[name] = make()
        return self._shared[name]


# Comparisons


def equal(left: Any, right: Any, roundings: float = 2.0**8, **shown: Any) -> Sides:
    """One number or array computed in two ways, apart by at most `roundings` roundings of the largest entry (or 1).

    `roundings` is the number of roundings in the longer computation, times its condition number if that is not about 1.
    """
    left, right = (np.asarray(side, np.float64) for side in (left, right))
    if left.shape != right.shape:
        raise ValueError(f"the two sides of a claim must have the same shape, got {left.shape} and {right.shape}")
    scale = max(1.0, float(np.max(np.abs(right), initial=0.0)))
    off = np.abs(left - right) / scale
    return _make_sides(left, right, off, roundings * EPS, "of the largest entry", **shown)


def mean_of_draws(draws: Any, truth: Any, **shown: Any) -> Sides:
    """The mean over the first axis of independent draws against the exact mean, in standard errors.

    The tolerance is 4 for one number; for m numbers it is larger, so that the claim fails by chance no more often.
    """
    draws, truth = np.asarray(draws, np.float64), np.asarray(truth, np.float64)
    mean, error = draws.mean(0), draws.std(0, ddof=1) / np.sqrt(len(draws))
    return within_errors(mean, truth, error, **shown)


def variance_of_draws(draws: Any, truth: Any, **shown: Any) -> Sides:
    """The variance over the first axis of independent draws against the exact variance, in standard errors.

    The standard error of a variance s² is √((m₄ − s⁴)/n), with the fourth central moment m₄.
    """
    draws, truth = np.asarray(draws, np.float64), np.asarray(truth, np.float64)
    centred = draws - draws.mean(0)
    variance, fourth = (centred**2).mean(0), (centred**4).mean(0)
    return within_errors(variance, truth, np.sqrt((fourth - variance**2) / len(draws)), **shown)


def within_errors(left: Any, right: Any, errors: Any, **shown: Any) -> Sides:
    """A measured value against its exact value, in units of the given standard errors."""
    left, right, errors = np.broadcast_arrays(*(np.asarray(x, np.float64) for x in (left, right, errors)))
    off = np.abs(left - right) / np.where(errors > 0, errors, EPS * np.maximum(1.0, np.abs(right)))
    tolerance = NormalDist().inv_cdf(1 - FOUR_SIGMA / 2 / max(1, off.size))
    return _make_sides(left, right, off, tolerance, "standard errors", **shown)


def at_most(left: Any, right: Any, roundings: float = 2.0**8, **shown: Any) -> Sides:
    """A bound: no entry of the left side exceeds the right side by more than `roundings` roundings."""
    left, right = np.broadcast_arrays(*(np.asarray(side, np.float64) for side in (left, right)))
    scale = max(1.0, float(np.max(np.abs(right), initial=0.0)))
    off = (left - right) / scale
    place = np.unravel_index(int(np.argmax(off)), off.shape)
    error, tolerance = max(0.0, float(off[place])), roundings * EPS
    draw = shown.pop("draw", None) or (_plot_agreement(left, right) if off.size > 1 else None)
    numbers = float(left[place]), float(right[place]), error, tolerance
    return Sides(*numbers, "above the right side", off.size, draw, relation="≤", **shown)


def _make_sides(left, right, off, tolerance: float, unit: str, **shown: Any) -> Sides:
    if not off.size:
        raise ValueError("a claim must compare at least one number")
    order = np.lexsort((np.abs(right).ravel(), np.where(np.isnan(off), np.inf, off).ravel()))
    place = np.unravel_index(int(order[-1]), off.shape)
    draw = shown.pop("draw", None) or (_plot_agreement(left, right) if off.size > 1 else None)
    return Sides(float(left[place]), float(right[place]), float(off[place]), tolerance, unit, off.size, draw, **shown)


def _plot_agreement(left: np.ndarray, right: np.ndarray) -> Callable[[Any], None]:
    """The default picture: the left side against the right side."""

    def draw(axes: Any) -> None:
        ends = [min(right.min(), left.min()), max(right.max(), left.max())]
        axes.plot(ends, ends, color="#707070", lw=1, zorder=0)
        axes.plot(right.ravel(), left.ravel(), "o", ms=4, alpha=0.7)
        axes.set_xlabel("right side")
        axes.set_ylabel("left side")

    return draw
