"""while_loop: a loop that ends when a condition no longer holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from minigrad.core import tree
from minigrad.core.arguments import check_callable, integer
from minigrad.core.arrays import is_inexact, shape_of
from minigrad.core.batching import Batch, Call, fill
from minigrad.core.errors import MissingRuleError, OperandError, OperandTypeError
from minigrad.core.interpreter import current, example_of, read_value
from minigrad.core.reverse import accumulate
from minigrad.core.vectors import zero_tangent, zeros_like_p
from minigrad.ops.comparisons import where
from minigrad.ops.reduce import any as any_
from minigrad.program.control.bodies import Body, capture_body
from minigrad.program.control.choice import cond
from minigrad.program.control.instruction import record, write
from minigrad.program.control.leaves import (
    as_array,
    borrow,
    check_state,
    find_moving,
    follow_state,
    lift,
    separate,
    settle,
    unify,
)
from minigrad.program.control.scan import scan
from minigrad.program.graph import Kind

X = TypeVar("X", bound=Any)


def while_loop(condition: Callable[[X], Any], f: Callable[[X], X], init: X, max_steps: int | None = None) -> X:
    """The last state of: state = init; while condition(state): state = f(state).

    The state is a tree. Both functions are captured once; a program has one instruction for the loop. Reverse mode
    keeps every state, in a list, which a program cannot. With `max_steps`, the loop is a scan of so many steps, of
    which those after the last change nothing, and reverse mode works in programs and under `mg.vmap`, too.

    Raises ValueError or TreeError if f changes the kind of the state, TypeError for a condition that is not one
    boolean, or where reverse mode needs `max_steps`.

    >>> import minigrad as mg
    >>> float(mg.while_loop(lambda x: x < 100.0, lambda x: x * x, 3.0))
    6561.0
    """
    check_callable(condition, "while_loop")
    check_callable(f, "while_loop")
    state, structure = tree.flatten(init)
    state = [as_array(x) for x in state]
    test = capture_body(lambda *s: condition(tree.unflatten(structure, list(s))), state)
    if [tuple(kind) for kind in test.kinds] != [((), np.dtype(bool))]:
        raise OperandTypeError(
            f"while_loop: the condition must return one boolean, got {', '.join(map(str, test.kinds)) or 'nothing'}"
        )
    what = "while_loop: the state that the function returns"
    body = capture_body(lambda *s: tree.leaves_like(structure, f(tree.unflatten(structure, list(s))), what), state)
    check_state("while_loop", state, body.kinds, tree.names(init))
    if max_steps is not None:
        return tree.unflatten(structure, _scan_while(test, body, state, max_steps))
    loop = While(test.forget(), body.forget())
    return tree.unflatten(structure, current().call(loop, [*test.outside, *body.outside, *state]))


def _scan_while(test: Body, body: Body, state: list, max_steps: int) -> list:
    """The last state, by a scan. Steps after the last are not computed: their derivative may be infinite."""
    steps = integer(max_steps, "while_loop: max_steps")
    if steps < 0:
        raise OperandError(f"while_loop: max_steps must be an integer ≥ 0, got {steps}")

    def step(s: list, _: None) -> tuple:
        goes_on = test([*test.outside, *s])[0]
        return cond(goes_on, lambda s: body([*body.outside, *s]), lambda s: s, s), None

    return scan(step, state, None, steps)[0]


@dataclass(frozen=True, eq=False, repr=False)
class While(Call):
    """A while loop as a call. Its leaves are those of `test.outside`, of `body.outside`, and of the state."""

    test: Body
    body: Body
    name = "while_loop"
    takes_none = True
    reads_results = True  # a part of the last state may be a part of one before

    @property
    def kinds(self) -> list[Kind]:
        return self.body.kinds

    @property
    def flops(self) -> int:
        """Those of one step."""
        return self.test.flops + self.body.flops

    def __str__(self) -> str:
        return f"while_loop of {len(self.body.graph.instructions)} instructions"

    def split(self, leaves: Sequence) -> tuple[list, list, list]:
        """The leaves of the condition from outside, of the function from outside, and of the state."""
        first = len(self.test.outside)
        second = first + len(self.body.outside)
        return list(leaves[:first]), list(leaves[first:second]), list(leaves[second:])

    def record(self, interpreter: Any, leaves: Sequence) -> list:
        """An instruction. In a function that may not run, the loop might never end: its first state is an example."""
        examples = [example_of(x) for x in self.split(leaves)[2]] if interpreter.is_body else None
        return record(interpreter, self, leaves, examples)

    def move(self, leaves: Sequence[bool]) -> list[bool]:
        """Which results have a derivative, given which leaves move."""
        _, outside, state = self.split(leaves)
        states = find_moving(self.body, outside, state, [])
        return [i in states for i in range(len(state))]

    def follow(self, leaves: Sequence[bool]) -> tuple[list[bool], bool]:
        asked, outside, state = self.split(leaves)
        state = follow_state(self.body, outside, state, [])
        (decides,), reads = self.test.follow([*asked, *state])
        return [decides or depends for depends in state], decides or reads or self.body.follow([*outside, *state])[1]

    def iterate(self, leaves: Sequence) -> Iterator[list]:
        """The states, from the first to the last."""
        asked, outside, state = self.split(leaves)
        yield state
        while read_value(self.test([*asked, *state])[0], "the condition of mg.while_loop"):
            state = self.body([*outside, *state])
            yield state

    def run(self, leaves: Sequence) -> list:
        for state in self.iterate(leaves):
            last = state
        return last

    def forward(self, leaves: Sequence, out: Sequence) -> None:
        """Write the results for plain arrays, by programs."""
        asked, outside, state = self.split(leaves)
        with self.test.hold() as (tested, (goes_on,), check), self.body.hold() as (inputs, outputs, step):
            write(tested, asked)
            write(inputs, [*outside, *state])
            tested, state = tested[len(asked) :], inputs[len(outside) :]
            after = separate(outputs, state)
            while True:
                write(tested, state)
                check()
                if not goes_on:
                    break
                step()
                write(state, after())
            write(out, state)

    def push(self, leaves: Sequence, tangents: Sequence) -> tuple[list, list]:
        """The results and their tangents: a loop whose steps push tangents."""
        (asked, outside, state), (_, fixed, first) = self.split(leaves), self.split(tangents)
        given = [i for i, t in enumerate(fixed) if t is not None]
        inexact = find_moving(self.body, [t is not None for t in fixed], [t is not None for t in first], [])
        places = [*given, *[len(outside) + i for i in inexact]]

        def step(both: tuple) -> tuple:
            s, ds = both
            y, dots = self.body.push([*outside, *s], places, [*[fixed[i] for i in given], *ds])
            return y, [zeros_like_p(s[i]) if dots[i] is None else dots[i] for i in inexact]

        zeros = [zero_tangent(state[i]) if first[i] is None else first[i] for i in inexact]
        s, ds = while_loop(lambda both: self.test([*asked, *both[0]])[0], step, (state, zeros))
        return s, fill([None] * len(s), inexact, ds)

    def pull(self, leaves: Sequence, wanted: Sequence[bool]) -> tuple[list, Callable]:
        """The results, and the pullback through the steps, from the last to the first."""
        (_, outside, _), (_, asked, begun) = self.split(leaves), self.split(wanted)
        try:
            *states, last = self.iterate(leaves)
        except MissingRuleError:
            raise
        except OperandTypeError:
            raise OperandTypeError(
                "while_loop: reverse mode keeps a list of states, which neither a program nor mg.vmap can: give "
                "max_steps, the largest number of steps"
            ) from None
        moving = find_moving(self.body, asked, begun, [])
        fixed = [i for i, want in enumerate(asked) if want and is_inexact(outside[i])]
        places = [*fixed, *[len(outside) + i for i in moving]]

        def pull_leaves(cotangents: Sequence) -> list:
            found: dict[int, Any] = {}  # the sums of the cotangents of what comes from outside, by place
            g_state = list(cotangents)
            for state in reversed(states):
                pulled = self.body.pull([*outside, *state], places)[1](g_state)
                g_state = fill([None] * len(g_state), moving, pulled[len(fixed) :])
                for i, g in zip(fixed, pulled):
                    if g is not None:
                        accumulate(found, i, g)
            first = len(self.test.outside)
            g_places = [*map(found.get, fixed), *[g_state[i] for i in moving]]
            return fill([None] * len(leaves), [first + i for i in places], g_places)

        return last, pull_leaves

    def batch(self, batch: Batch, leaves: Sequence, is_batched: Sequence[bool]) -> list:
        """The results for all examples: a loop until none goes on, in which those that are done keep their state."""
        (asked, outside, state), (asked_own, fixed_own, first) = self.split(leaves), self.split(is_batched)

        def run(s: Sequence, own: Sequence[bool]) -> tuple[Any, list, list[bool]]:
            """Whether it goes on, the next state, and which of its leaves each example has for itself."""
            with batch.again() as level:
                old = lift(level, s, own)
                goes_on = self.test([*lift(level, asked, asked_own), *old])[0]
                if level.is_batched(goes_on):
                    given = borrow(level.lower(goes_on)[0], [*outside, *s], [*fixed_own, *own])
                    new = self.body(lift(level, given, [*fixed_own, *own]))
                    new = [where(goes_on, a, b) for a, b in zip(new, old, strict=True)]
                else:
                    new = self.body([*lift(level, outside, fixed_own), *old])
                return level.lower(goes_on)[0], [level.lower(y)[0] for y in new], [level.is_batched(y) for y in new]

        own, _ = settle(lambda s, flags: run(s, flags)[2], batch, state, first)

        def goes_on(s: list) -> Any:
            found = run(s, own)[0]
            return any_(found) if shape_of(found) else found

        def step(s: list) -> list:
            _, values, flags = run(s, own)
            return unify(batch, values, flags, own)

        return lift(batch, while_loop(goes_on, step, unify(batch, state, first, own)), own)
