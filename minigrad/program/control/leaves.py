"""What scan, while_loop and cond do to the leaves of their states, arguments and results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.backends.dtypes import is_inexact
from minigrad.core.arrays import describe, shape_of
from minigrad.core.batching import Batch, insert_axes, repeat
from minigrad.core.errors import OperandError
from minigrad.ops.comparisons import where
from minigrad.ops.extremes import argmax
from minigrad.ops.indexing import take
from minigrad.program.control.bodies import Body, capture_branch
from minigrad.program.graph import Kind, kind_of


def find_flags(run: Callable, values: Sequence) -> list[bool]:
    """The flags that run(values) returns, captured: it may not be meant to run on these values."""
    found: list[bool] = []
    capture_branch(lambda *xs: found.extend(run(xs)) or [], values)
    return found


def borrow(taken: Any, values: Sequence, own: Sequence[bool]) -> list:
    """The values of all examples, of which those that are not `taken`, one boolean an example, have those of the first
    that is: a function computes for them what it computes anyway, so that neither its results nor its derivative have
    an infinity or a warning that no loop over the examples would have. The results for them are not used."""
    if shape_of(taken) == (0,):
        return list(values)
    first = argmax(taken)
    return [
        where(insert_axes(taken, len(shape_of(x)) - 1), x, take(x, first, axis=0)) if has else x
        for x, has in zip(values, own, strict=True)
    ]


def settle(step: Callable, batch: Batch, state: Sequence, own: Sequence[bool]) -> tuple[list[bool], list[bool]]:
    """Which leaves of a state some step makes each example's own, and which of its results are, given those that are so
    at first: step(state, flags) returns the flags of its results."""
    own = list(own)
    while True:
        found = find_flags(lambda s, own=own: step(s, own), state)
        after = [a or b for a, b in zip(own, found)]
        if after == own:
            return own, found
        state, own = unify(batch, state, own, after), after


def unify(batch: Batch, values: Sequence, is_batched: Sequence[bool], own: Sequence[bool]) -> list:
    """The values, with the axis of examples in front of those that are `own` and lack it."""
    return [
        repeat(batch.size, [x], [False])[0] if want and not has else x for x, has, want in zip(values, is_batched, own)
    ]


def lift(level: Batch, values: Sequence, is_batched: Sequence[bool]) -> list:
    return [level.lift(x) if own else x for x, own in zip(values, is_batched)]


def find_inexact(kinds: Sequence[Kind]) -> list[int]:
    """The positions of the results that have a derivative."""
    return [i for i, kind in enumerate(kinds) if is_inexact(kind.dtype)]


def find_moving(body: Body, outside: Sequence[bool], state: Sequence[bool], rows: Sequence[bool]) -> list[int]:
    """The leaves of the state that some step makes move, given which leaves do so at first. Where nothing moves, an
    infinite derivative is multiplied by nothing."""
    state = list(state)
    while True:
        found = body.move([*outside, *state, *rows])
        after = [(a or b) for a, b in zip(state, found)]
        if after == state:
            return [i for i, moves in enumerate(state) if moves]
        state = after


def follow_state(body: Body, outside: Sequence[bool], state: Sequence[bool], rows: Sequence[bool]) -> list[bool]:
    """Which leaves of the state depend on these leaves after some step, in any way."""
    while (after := [a or b for a, b in zip(state, body.follow([*outside, *state, *rows])[0])]) != list(state):
        state = after
    return after


def as_array(x: Any) -> Any:
    """A Python number as one of NumPy's, which has a dtype and is at home on every device; anything else unchanged."""
    return np.asarray(x)[()] if isinstance(x, (bool, int, float, complex)) else x


def check_state(operation: str, before: Sequence, after: Sequence[Kind], names: Sequence[str]) -> None:
    """Raise OperandError if a step changes the shape or dtype of a leaf of the state."""
    for name, x, kind in zip(names, before, after, strict=False):
        if kind_of(x) != kind:
            raise OperandError(
                f"{operation}: the state{name and f' {name!r}'} begins as {describe(x)}, and the function returns "
                f"{kind}: begin with that kind"
            )


def separate(outputs: Sequence, state: Sequence) -> Callable[[], list]:
    """A function that returns the outputs, in copies where they show memory of the state that they are written to."""
    shared = [any(isinstance(y, np.ndarray) and np.may_share_memory(y, x) for x in state) for y in outputs]
    return lambda: [y.copy() if copy else y for y, copy in zip(outputs, shared)]
