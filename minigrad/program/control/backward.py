"""The reverse mode of a scan: a scan that keeps residuals, and one the other way that pulls cotangents back.

    forward      (state, row)                              → (state, (y, residuals))
    backward     (ḡ of the state, ḡ of what is outside), (row, residuals, ḡ of y)
                                                           → (the same after the step, ḡ of row)

Cotangents of zero are left out: those of results that do not move, and of states that no step makes anything of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from minigrad.core.arrays import is_inexact
from minigrad.core.batching import fill
from minigrad.core.interpreter import example_of, find_backend
from minigrad.core.vectors import zeros_like_p
from minigrad.program.control.leaves import find_moving
from minigrad.program.control.residuals import Halves, cut_derivative


def row_of(x: Any) -> Any:
    """A plain array like a row of x."""
    x = example_of(x)
    return x[0] if len(x) else find_backend(x).xp.zeros(x.shape[1:], x.dtype)


def make_derivative(scan: Any, leaves: Sequence, wanted: Sequence[bool]) -> Derivative:
    """The derivative of a `minigrad.program.control.scan.Scan` at these leaves, in those that are wanted."""
    outside, state, columns = scan.split(leaves)
    asked, begun, moving = scan.split(wanted)
    fixed = [i for i, want in enumerate(asked) if want and is_inexact(outside[i])]
    states = [len(outside) + i for i in find_moving(scan.body, asked, begun, moving)]
    first = len(outside) + len(state)
    rows = [first + i for i, want in enumerate(moving) if want and is_inexact(columns[i])]
    return Derivative(scan, outside, state, columns, fixed, states, rows, scan.move(wanted))


@dataclass(frozen=True)
class Derivative:
    """The derivative of a scan. Places count the leaves of a step: from outside, of the state, of the row."""

    scan: Any
    outside: list
    state: list
    columns: list
    fixed: list[int]  # places of what is outside and gets a cotangent
    states: list[int]  # those of the states that move
    rows: list[int]  # those of the rows that get a cotangent
    moves: list[bool]  # which results move

    @cached_property
    def halves(self) -> Halves:
        """The derivative of a step, for cotangents of all results that move."""
        return self._cut(self.moves)

    def run(self) -> tuple[list, list]:
        """The results, and the residuals of all steps."""
        count = len(self.state)

        def step(s: list, row: list) -> tuple:
            found = self.halves.before([*self.outside, *s, *row])
            return found[:count], found[count:]

        last, ys = self.scan.loop(step, self.state, self.columns)
        ends = len(self.scan.body.kinds) - count
        return [*last, *ys[:ends]], ys[ends:]

    def pull(self, cotangents: Sequence, residuals: Sequence) -> list:
        """The cotangents of the leaves, given those of the results, None for zero."""
        halves = self._cut_for([g is not None and moves for g, moves in zip(cotangents, self.moves, strict=True)])
        pulled = self._pulled(halves)
        summed, rows = ([place for place in part if place in pulled] for part in (self.fixed, self.rows))
        carried = [place for place in self.states if halves.given[self._result(place)]]

        def step(both: tuple, x: tuple) -> tuple:
            (g_state, g_fixed), (row, kept, g_ys) = both, x
            found = dict(zip(pulled, halves.after([*self.outside, *row, *kept, *g_state, *g_ys]), strict=True))
            after = [found.get(place) for place in carried]
            after = [zeros_like_p(old) if g is None else g for g, old in zip(after, g_state, strict=True)]
            total = [g + found[place] for g, place in zip(g_fixed, summed, strict=True)]
            return (after, total), [found[place] for place in rows]

        kinds, xp, count = self.scan.body.kinds, self.scan.body.graph.backend.xp, len(self.state)
        at_end = [cotangents[self._result(place)] for place in carried]
        g_state = [xp.zeros(*kinds[self._result(p)]) if g is None else g for p, g in zip(carried, at_end, strict=True)]
        g_ys = [g for g, has in zip(cotangents[count:], halves.given[count:], strict=True) if has]
        begin = (g_state, [zeros_like_p(self.outside[place]) for place in summed])
        (g_state, g_fixed), g_rows = self.scan.loop(step, begin, (self.columns, residuals, g_ys), backward=True)
        leaves = [None] * (len(self.outside) + count + len(self.columns))
        return fill(leaves, [*summed, *carried, *rows], [*g_fixed, *g_state, *g_rows])

    @property
    def _places(self) -> list[int]:
        return [*self.fixed, *self.states, *self.rows]

    def _pulled(self, halves: Halves) -> list[int]:
        """The places that get a cotangent from a step."""
        return [place for place, has in zip(self._places, halves.pulled, strict=True) if has]

    def _result(self, place: int) -> int:
        """The result of a step that is the state at this place."""
        return place - len(self.outside)

    def _cut_for(self, given: list[bool]) -> Halves:
        """The halves for cotangents of these results, and of the states that some step makes of them."""
        while True:
            halves = self.halves if tuple(given) == self.halves.given else self._cut(given, self.halves.kept)
            made = {self._result(place) for place in self._pulled(halves) if place in self.states}
            if all(given[i] for i in made):
                return halves
            given = [has or i in made for i, has in enumerate(given)]

    def _cut(self, given: Sequence[bool], kept: Sequence[int] | None = None) -> Halves:
        examples = [*self.outside, *self.state, *map(row_of, self.columns)]
        return cut_derivative(self.scan.body, examples, self._places, len(self.state), self.scan.rerun, given, kept)
