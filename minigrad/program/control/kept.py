"""Calls that stay calls in the graph of a body, because their derivative is not that of their operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from minigrad.core.arrays import is_inexact
from minigrad.core.batching import Call, fill
from minigrad.core.checkpoint import awaiting
from minigrad.core.errors import EscapedTracerError
from minigrad.core.interpreter import refuse_traced
from minigrad.core.origin import Origin
from minigrad.program.control.instruction import Inlined


@dataclass(frozen=True, eq=False, repr=False)
class Rerun(Inlined):
    """A checkpointed call: its pullback runs the operations again."""

    name = "checkpoint"
    takes_none = True

    def push(self, leaves: Sequence, tangents: Sequence) -> tuple[list, list]:
        places = [i for i, t in enumerate(tangents) if t is not None]
        return self.body.push(leaves, places, [tangents[i] for i in places])

    def pull(self, leaves: Sequence, wanted: Sequence[bool]) -> tuple[list, Callable]:
        places = [i for i, want in enumerate(wanted) if want and is_inexact(leaves[i])]

        def pull_leaves(cotangents: Sequence) -> list:
            with awaiting(g for g in cotangents if g is not None):
                pulled = self.body.pull(leaves, places)[1](cotangents)
            return fill([None] * len(leaves), places, pulled)

        return self.run(leaves), pull_leaves


@dataclass(frozen=True, eq=False, repr=False)
class Kept(Inlined):
    """A call with a derivative of its own. What it takes from outside has no derivative."""

    inner: Call
    origins: tuple[Origin | None, ...]  # of what it takes from outside
    row: tuple[Any, ...]  # its leaves, of which some are arrays
    places: tuple[int, ...]  # of arrays

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def reads_results(self) -> bool:
        return self.inner.reads_results

    @property
    def takes_none(self) -> bool:
        return self.inner.takes_none

    def move(self, leaves: Sequence[bool]) -> list[bool]:
        return [any(leaves)] * len(self.kinds)

    def push(self, leaves: Sequence, tangents: Sequence) -> tuple[list, list]:
        first = len(self.body.outside)
        refuse_traced(self, [o for o, t in zip(self.origins, tangents) if t is not None])
        row = fill([None] * len(self.row), self.places, tangents[first:])
        with self._explain():
            return self.inner.push(self._fill(leaves), row)

    def pull(self, leaves: Sequence, wanted: Sequence[bool]) -> tuple[list, Callable]:
        first = len(self.body.outside)
        refuse_traced(self, [o for o, want in zip(self.origins, wanted) if want])
        row = fill([False] * len(self.row), self.places, wanted[first:])
        with self._explain():
            results, pullback = self.inner.pull(self._fill(leaves), row)

        def pull_leaves(cotangents: Sequence) -> list:
            with self._explain():
                pulled = pullback(cotangents)
            return [*[None] * first, *[pulled[i] for i in self.places]]

        return results, pull_leaves

    @contextmanager
    def _explain(self) -> Iterator[None]:
        """Explain the error of a rule that uses a value of the step in which the function was captured."""
        try:
            yield
        except EscapedTracerError:
            refuse_traced(self, [o for o in self.origins if o])
            raise

    def _fill(self, leaves: Sequence) -> list:
        return fill(self.row, self.places, leaves[len(self.body.outside) :])
