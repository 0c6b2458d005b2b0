"""The interface of generators of shapes and parameters; in the tests, hypothesis implements it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

T = TypeVar("T")
Shape = tuple[int, ...]


class Choose(Protocol):
    """Random choices within given bounds."""

    def boolean(self) -> bool:
        """True or False."""

    def integer(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""

    def one_of(self, options: Sequence[T]) -> T:
        """One of these."""

    def order(self, items: Sequence[T]) -> list[T]:
        """All of these in any order."""

    def side(self, max_side: int = 3) -> int:
        """The length of an axis, sometimes 0."""

    def shape(self, min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 4) -> Shape:
        """A shape, sometimes an empty one if min_side is 0."""

    def any_shape(self) -> Shape:
        """A shape of up to four axes of up to three elements."""

    def broadcast(self, count: int) -> list[Shape]:
        """Shapes that broadcast with each other."""

    def axis(self, ndim: int, negative: bool = True) -> int:
        """An axis, counted from either end if `negative`."""

    def axes(self, ndim: int) -> int | Shape | None:
        """The `axis` of a reduction: None, one axis or a tuple of axes."""

    def index(self, shape: Shape) -> Any:
        """A basic index: integers, slices, new axes and an ellipsis."""

    def slice(self, length: int) -> slice:
        """A slice of an axis of this length."""

    def integers(self, shape: Shape, low: int, high: int) -> np.ndarray:
        """An int64 array with elements from low to high, both included."""

    def mask(self, shape: Shape) -> np.ndarray:
        """An array of booleans."""
