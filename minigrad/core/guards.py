"""Guards: detect arrays that are changed in place before a derivative has read them.

An array that the user can reach (an input, a constant of a closure, a returned result) is fingerprinted when the tape
keeps it. If it has changed when a derivative is computed, MutationError is raised instead of giving a wrong gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from minigrad.backends import NEUTRAL, backend_of
from minigrad.core.arrays import describe
from minigrad.core.errors import MutationError
from minigrad.core.interpreter import Tracer, concrete
from minigrad.core.origin import Origin


class Guard(NamedTuple):
    """An array that a pending derivative needs, and its fingerprint when the tape kept it."""

    array: Any
    fingerprint: int
    origin: Origin

    def check(self, fingerprint: int) -> None:
        """Raise MutationError if the fingerprint of the array is now a different one."""
        if fingerprint != self.fingerprint:
            raise MutationError(
                f"{describe(self.array)}, used by {self.origin}, was changed in place before its derivative was "
                "computed: change a copy instead (x.copy()), or compute the derivative first"
            )


class Guards:
    """The guards of one tape, one per array."""

    def __init__(self) -> None:
        self._guards: dict[int, Guard] = {}

    def __iter__(self) -> Iterator[Guard]:
        return iter(self._guards.values())

    def add(self, array: Any, origin: Origin) -> None:
        """Guard an array. Raises MutationError if it is already guarded and has changed since."""
        if isinstance(array, (Tracer, *NEUTRAL)):
            return
        now = fingerprint(array)
        self._guards.setdefault(id(array), Guard(array, now, origin)).check(now)

    def check(self) -> None:
        """Raise MutationError if a guarded array has changed."""
        for guard in self:
            guard.check(fingerprint(guard.array))


def fingerprint(x: Any) -> int:
    """A number that changes if any element of x, or their order, changes."""
    x = concrete(x)
    if isinstance(x, NEUTRAL):
        return hash(repr(x))  # differs for -0.0 and 0.0, and is the same for every NaN
    return backend_of((x,)).fingerprint(x)


def owner(array: Any) -> Any:
    """The array that owns the memory of `array`, which may be a view."""
    while isinstance(getattr(array, "base", None), type(array)):
        array = array.base
    return array
