"""Guards: arrays that a derivative will read must not change in place before it is computed.

Arrays the user can reach (inputs, captured constants, returned results) are fingerprinted when the tape keeps them, so
that changing one raises MutationError instead of giving a wrong gradient.
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
    """A reachable array that a pending derivative needs, as it was."""

    array: Any
    fingerprint: int
    origin: Origin

    def check(self, fingerprint: int) -> None:
        """Raise MutationError unless the array still has the fingerprint it had."""
        if fingerprint != self.fingerprint:
            raise MutationError(
                f"{describe(self.array)}, used by {self.origin}, was changed in place before its derivative was "
                "computed: change a copy instead (x.copy()), or compute the derivative first"
            )


class Guards:
    """The guards of one tape, one for each array."""

    def __init__(self) -> None:
        self._guards: dict[int, Guard] = {}

    def __iter__(self) -> Iterator[Guard]:
        return iter(self._guards.values())

    def add(self, array: Any, origin: Origin) -> None:
        """Note an array as it is. Raises MutationError if an earlier operation used it and it was another then."""
        if isinstance(array, (Tracer, *NEUTRAL)):
            return
        now = fingerprint(array)
        self._guards.setdefault(id(array), Guard(array, now, origin)).check(now)

    def check(self) -> None:
        """Raise MutationError if an array that a pending derivative needs has changed."""
        for guard in self:
            guard.check(fingerprint(guard.array))


def fingerprint(x: Any) -> int:
    """A number that changes with any element of x, or their order."""
    x = concrete(x)
    if isinstance(x, NEUTRAL):
        return hash(repr(x))  # tells -0.0 from 0.0, and a NaN is itself
    return backend_of((x,)).fingerprint(x)


def owner(array: Any) -> Any:
    """The array whose memory this one is a view of."""
    while isinstance(getattr(array, "base", None), type(array)):
        array = array.base
    return array
