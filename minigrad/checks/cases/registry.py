"""What a case is: an operation, a plain formula to compare it with, and arguments away from its singularities."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import minigrad as mg

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


@dataclass(frozen=True)
class Case:
    """An operation to test. `name` is the operation's, then what is special after a slash."""

    name: str
    function: Callable  # of the arguments, then the constants
    formula: Callable | None  # the same in NumPy; None if there is nothing to compare with
    shapes: tuple[tuple[int, ...], ...]
    draws: tuple[Draw, ...]
    constants: tuple[np.ndarray, ...] = ()  # arrays it needs but has no derivative in
    holomorphic: bool = True  # whether it also takes complex arguments
    oracle: str = "complex step"  # or "differences", where NumPy has no holomorphic formula
    third: bool = False  # whether third derivatives are checked too
    discrete: bool = False  # no derivative: results are constants
    ties: bool = True  # whether it can take arguments with equal rows
    float32: bool = True  # whether float32 in means float32 out

    @property
    def operation(self) -> str:
        return self.name.split("/")[0]

    def generator(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng(zlib.crc32(f"{self.name}: {purpose}".encode()))

    def arguments(self) -> tuple[np.ndarray, ...]:
        rng = self.generator("arguments")
        return tuple(np.asarray(draw(rng, shape), np.float64) for draw, shape in zip(self.draws, self.shapes))

    def like(self, arrays: Sequence[np.ndarray], purpose: str) -> tuple[np.ndarray, ...]:
        """Random signed arrays in the shapes and dtypes of these: tangents, cotangents."""
        rng = self.generator(purpose)
        made = []
        for array in arrays:
            values = rng.standard_normal(array.shape)
            if array.dtype.kind == "c":
                values = values + 1j * rng.standard_normal(array.shape)
            made.append(np.asarray(values, array.dtype))
        return tuple(made)


CASES: list[Case] = []


def case(name: str, function: Callable, formula: Callable | None, *arguments: tuple, **options: Any) -> None:
    """Add a case; an argument is (shape, draw)."""
    shapes, draws = [a[0] for a in arguments], [a[1] for a in arguments]
    made = Case(name, function, formula, tuple(shapes), tuple(draws), **options)
    assert all(made.name != other.name for other in CASES), f"two cases are called {name}"
    CASES.append(made)


def also(suffix: str, *shapes: tuple[int, ...], **options: Any) -> None:
    """Add the last case again with other shapes."""
    last = next(c for c in reversed(CASES) if c.name == CASES[-1].operation or "/" not in c.name)
    CASES.append(replace(last, name=f"{last.name}/{suffix}", shapes=shapes, **options))


# Where arguments come from


def between(low: float, high: float) -> Draw:
    return lambda rng, shape: rng.uniform(low, high, shape)


def signed(rng, shape):
    """Either sign, at least 0.5 from 0: how close to a singularity arguments come anywhere."""
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1.6, shape)


def apart(offset: float) -> Draw:
    """No two elements closer than 0.05, nor to those of another offset: no ties, and no kink within a difference."""

    def draw(rng, shape):
        size = math.prod(shape)
        return (rng.permutation(size) - size // 2).reshape(shape) * 0.3 + offset

    return draw


def definite(rng, shape):
    """Positive definite matrices."""
    root = rng.uniform(-1, 1, shape)
    return root @ np.swapaxes(root, -1, -2) + 1.5 * np.eye(shape[-1])


def regular(rng, shape):
    """Matrices far from singular, of either sign of determinant."""
    return rng.uniform(-0.5, 0.5, shape) + 1.5 * np.eye(shape[-1]) * np.where(np.arange(shape[-1]) % 3 == 1, -1, 1)


# Short forms


def same(name: str, function: Callable, *shapes: tuple[int, ...], what: str = "", draw: Draw = signed) -> None:
    """A case of a function that minigrad and NumPy write the same: `function` gets the namespace first."""
    case(
        f"{name}/{what}" if what else name,
        lambda *xs: function(mg, *xs),
        lambda *xs: function(np, *xs),
        *[(shape, draw) for shape in shapes],
    )


REAL = {"holomorphic": False}
