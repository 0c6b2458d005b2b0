"""scan: a loop with a state, and its derivatives, which are scans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from minigrad.backends import NEUTRAL
from minigrad.core import tree
from minigrad.core.arguments import check_callable, integer
from minigrad.core.arrays import describe, shape_of
from minigrad.core.batching import Batch, Call, fill, move_axis
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.core.interpreter import current
from minigrad.core.vectors import zero_tangent, zeros_like_p
from minigrad.ops.arrange import concatenate, stack
from minigrad.ops.indexing import getitem
from minigrad.program.control.backward import make_derivative, row_of
from minigrad.program.control.bodies import Body, capture_body
from minigrad.program.control.instruction import record, write
from minigrad.program.control.leaves import (
    as_array,
    check_state,
    find_moving,
    follow_state,
    lift,
    separate,
    settle,
    unify,
)
from minigrad.program.graph import Kind

X = TypeVar("X", bound=Any)


def scan(
    f: Callable[[X, Any], tuple[X, Any]],
    init: X,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    checkpoint: int | None = None,
) -> tuple[X, Any]:
    """A loop with a state: (state, y) = f(state, x) for each x along the first axis of xs. Returns (last state, ys).

        state = init
        for x in xs:
            state, y = f(state, x)        ys are stacked along a first axis

    Trees are allowed everywhere; `length` is needed if there are no xs. With `reverse`, it goes from the last x to the
    first. f is captured once, so it may not branch on values. A program has one instruction for the loop.

    Reverse mode keeps what it needs of every step. With `checkpoint`, a number of steps, it keeps the state
    before every so many steps only, and runs the steps between them again: about √length needs the least memory.

    Raises ValueError or TreeError if the state that f returns is not of the kind of `init`, or the xs differ in length.

    >>> import minigrad as mg, numpy as np
    >>> total, sums = mg.scan(lambda s, x: (s + x, s + x), 0.0, np.array([1.0, 2.0, 3.0]))
    >>> float(total), sums
    (6.0, array([1., 3., 6.]))
    """
    check_callable(f, "scan")
    length = _check_length(tree.flatten(xs)[0], length)
    if checkpoint is not None:
        return _scan_in_parts(f, init, xs, length, reverse, integer(checkpoint, "scan: checkpoint"))
    return _scan(f, init, xs, length, reverse)


def _scan(f: Callable, init: Any, xs: Any, length: int, reverse: bool, rerun: bool = False) -> tuple[Any, Any]:
    """The same; with `rerun`, reverse mode keeps the states alone."""
    carry, carry_structure = tree.flatten(init)
    columns, structure = tree.flatten(xs)
    carry = [as_array(x) for x in carry]

    def step(*leaves: Any) -> Any:
        state = tree.unflatten(carry_structure, list(leaves[: len(carry)]))
        found = f(state, tree.unflatten(structure, list(leaves[len(carry) :])))
        if not isinstance(found, tuple) or len(found) != 2:
            raise OperandTypeError(f"scan: the function must return (state, y), got {describe(found)}")
        return tree.leaves_like(carry_structure, found[0], "scan: the state that the function returns"), found[1]

    body = capture_body(step, [*carry, *map(row_of, columns)])
    check_state("scan", carry, body.kinds, tree.names(init))
    loop = Scan(body.forget(), len(carry), length, reverse, rerun)
    results = current().call(loop, [*body.outside, *carry, *columns])
    state = tree.unflatten(carry_structure, results[: len(carry)])
    return state, tree.unflatten(body.structure.children[1], results[len(carry) :])


def _scan_in_parts(f: Callable, init: Any, xs: Any, length: int, reverse: bool, part: int) -> tuple[Any, Any]:
    """A scan over parts, each of them a scan: reverse mode keeps the states before parts, and runs a part again. The
    last part along the xs may be shorter."""
    if part < 1:
        raise OperandError(f"scan: checkpoint must be a number of steps ≥ 1, got {part}")
    cut = length - length % part
    if 0 < cut < length:
        ends = [(0, cut), (cut, length)]
        state, found = init, {}
        for begin, end in reversed(ends) if reverse else ends:
            some = tree.map(lambda x, rows=slice(begin, end): getitem(x, rows), xs)
            state, found[begin] = _scan_in_parts(f, state, some, end - begin, reverse, part)
        return state, tree.map(lambda *ys: concatenate(ys), found[0], found[cut])
    part = min(part, max(length, 1))
    count = length // part
    parts = tree.map(lambda x: x.reshape(count, part, *shape_of(x)[1:]), xs)
    state, ys = _scan(lambda s, x: _scan(f, s, x, part, reverse), init, parts, count, reverse, rerun=True)
    return state, tree.map(lambda y: y.reshape(length, *shape_of(y)[2:]), ys)


@dataclass(frozen=True, eq=False, repr=False)
class Scan(Call):
    """A scan as a call. Its leaves are those of `body.outside`, of the state, and of the xs."""

    body: Body
    states: int  # leaves of the state
    length: int
    reverse: bool
    rerun: bool  # whether reverse mode runs each step again, and keeps nothing of it but the state before
    name = "scan"
    takes_none = True

    @property
    def kinds(self) -> list[Kind]:
        """Shapes and dtypes of the results."""
        first, rest = self.body.kinds[: self.states], self.body.kinds[self.states :]
        return first + [Kind((self.length, *kind.shape), kind.dtype) for kind in rest]

    @property
    def flops(self) -> int:
        return self.length * self.body.flops

    def __str__(self) -> str:
        return f"scan of {self.length} × {len(self.body.graph.instructions)} instructions"

    def split(self, leaves: Sequence) -> tuple[list, list, list]:
        """The leaves from outside, of the state, and of the xs."""
        first = len(self.body.outside)
        return list(leaves[:first]), list(leaves[first : first + self.states]), list(leaves[first + self.states :])

    def record(self, interpreter: Any, leaves: Sequence) -> list:
        return record(interpreter, self, leaves)

    def run(self, leaves: Sequence) -> list:
        outside, state, columns = self.split(leaves)
        xp, rows = self.body.graph.backend.xp, [None] * self.length
        for i in reversed(range(self.length)) if self.reverse else range(self.length):
            found = self.body([*outside, *state, *[getitem(x, i) for x in columns]])
            state = found[: self.states]
            rows[i] = [xp.asarray(y) if isinstance(y, NEUTRAL) else y for y in found[self.states :]]
        empty = [xp.zeros(*kind) for kind in self.kinds[self.states :]]
        return [*state, *([stack(column) for column in zip(*rows)] if rows else empty)]

    def forward(self, leaves: Sequence, out: Sequence) -> None:
        """Write the results for plain arrays, by a program."""
        outside, state, columns = self.split(leaves)
        with self.body.hold() as (inputs, outputs, step):
            write(inputs, [*outside, *state])
            _, state, rows = self.split(inputs)
            after, results = separate(outputs[: self.states], state), outputs[self.states :]
            for i in reversed(range(self.length)) if self.reverse else range(self.length):
                write(rows, [x[i] for x in columns])
                step()
                for y, row in zip(out[self.states :], results):
                    y[i] = row
                write(state, after())
            write(out, state)

    def move(self, leaves: Sequence[bool]) -> list[bool]:
        """Which results have a derivative, given which leaves move."""
        outside, state, columns = self.split(leaves)
        if not self.length:  # the last state is the first one
            return [*state, *[False] * (len(self.body.kinds) - self.states)]
        states = find_moving(self.body, outside, state, columns)
        return self.body.move([*outside, *[i in states for i in range(self.states)], *columns])

    def follow(self, leaves: Sequence[bool]) -> tuple[list[bool], bool]:
        outside, state, columns = self.split(leaves)
        if not self.length:
            return [*state, *[False] * (len(self.body.kinds) - self.states)], False
        state = follow_state(self.body, outside, state, columns)
        depends, reads = self.body.follow([*outside, *state, *columns])
        return [*state, *depends[self.states :]], reads

    def loop(self, step: Callable, init: Any, xs: Any, backward: bool = False) -> tuple[Any, Any]:
        """A scan of another step, as this one goes, or the other way."""
        return _scan(step, init, xs, self.length, self.reverse != backward, self.rerun)

    def push(self, leaves: Sequence, tangents: Sequence) -> tuple[list, list]:
        """The results and their tangents: a scan whose steps push tangents."""
        (outside, state, columns), (fixed, first, moving) = self.split(leaves), self.split(tangents)
        given = [i for i, t in enumerate(fixed) if t is not None]
        inexact = find_moving(self.body, *[[t is not None for t in part] for part in (fixed, first, moving)])
        rows = [i for i, t in enumerate(moving) if t is not None]
        results: list[int] = []  # those of the ys that move

        def step(both: tuple, x: tuple) -> tuple:
            (s, ds), (row, drow) = both, x
            places = [*given, *[len(outside) + i for i in inexact], *[len(outside) + len(s) + i for i in rows]]
            values = [*outside, *s, *row]
            y, dots = self.body.push(values, places, [*[fixed[i] for i in given], *ds, *drow])
            n = self.states
            after = [zeros_like_p(s[i]) if dots[i] is None else dots[i] for i in inexact]
            results[:] = [i for i, t in enumerate(dots[n:]) if t is not None]
            return (y[:n], after), (y[n:], [dots[n + i] for i in results])

        zeros = [zero_tangent(state[i]) if first[i] is None else first[i] for i in inexact]
        (s, ds), (ys, dys) = self.loop(step, (state, zeros), (columns, [moving[i] for i in rows]))
        return [*s, *ys], [*fill([None] * len(s), inexact, ds), *fill([None] * len(ys), results, dys)]

    def pull(self, leaves: Sequence, wanted: Sequence[bool]) -> tuple[list, Callable]:
        """The results, from a scan that also returns residuals, and their pullback, a scan the other way."""
        derivative = make_derivative(self, leaves, wanted)
        results, residuals = derivative.run()
        return results, lambda cotangents: derivative.pull(cotangents, residuals)

    def batch(self, batch: Batch, leaves: Sequence, is_batched: Sequence[bool]) -> list:
        """The results for all examples: a scan of batched steps."""
        outside, state, columns = self.split(leaves)
        fixed, first, moving = self.split(is_batched)
        columns = [move_axis(x, 0, 1) if b else x for x, b in zip(columns, moving)]

        def run(s: Sequence, s_own: Sequence[bool], x: Sequence) -> tuple[list, list[bool]]:
            with batch.again() as level:
                found = self.body(lift(level, [*outside, *s, *x], [*fixed, *s_own, *moving]))
                return [level.lower(y)[0] for y in found], [level.is_batched(y) for y in found]

        rows = [row_of(x) for x in columns]
        own, found = settle(lambda s, flags: run(s, flags, rows)[1], batch, state, first)

        def step(s: list, x: list) -> tuple:
            values, flags = run(s, own, x)
            return unify(batch, values[: self.states], flags, own), values[self.states :]

        s, ys = self.loop(step, unify(batch, state, first, own), columns)
        after = [move_axis(y, 1, 0) if b else y for y, b in zip(ys, found[self.states :])]
        return lift(batch, [*s, *after], [*own, *found[self.states :]])


def _check_length(columns: Sequence, length: int | None) -> int:
    """The number of steps. Raises OperandError if the xs differ in it, or nothing says how many there are."""
    if any(not shape_of(x) for x in columns):
        raise OperandError(f"scan: xs need a first axis to loop over, got {', '.join(map(describe, columns))}")
    lengths = {shape_of(x)[0] for x in columns} | (set() if length is None else {integer(length, "scan: length")})
    if len(lengths) != 1 or min(lengths) < 0:
        shown = ", ".join(map(describe, columns)) or "none"
        raise OperandError(f"scan: needs xs of one length, or a length ≥ 0; got xs {shown} and length {length}")
    return lengths.pop()
