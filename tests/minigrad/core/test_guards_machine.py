"""Random sequences of in-place changes and pullbacks: each pullback gives the right gradient or raises MutationError.

A hypothesis state machine makes arrays and views of them, records functions of them, writes into anything it holds
(inputs, captured constants, results, cotangents, gradients, and other views of the same memory), undoes it, drops
references, and calls pullbacks. Its model is a NumPy twin of every array: views of one array have views of one twin,
and every write goes to both. Three things must always hold.

- A pullback gives the gradient at the recorded values, known in closed form, or raises MutationError.
- It raises only if an array it reads has changed.
- Every array equals its twin: only the user writes, and no arrays share memory unexpectedly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import minigrad as mg
from minigrad.backends import NEUTRAL
from minigrad.core import checkpoint, guards, reverse, tape, transforms
from minigrad.core.guards import Guards
from minigrad.core.interpreter import Tracer, concrete
from minigrad.core.reverse import Reverse
from minigrad.core.rules import Rule
from minigrad.testing import arrays as eighths
from minigrad.testing import normal
from tests.support.transfer import to_host

SHAPES = [(2, 3), (3, 2), (2, 2), (1, 3), (3,), ()]
ROUNDING = 1e-12  # a few dozen operations on numbers below e⁴
LARGEST = 4.0  # largest element a function is recorded on: gradients of gradients would overflow soon


@dataclass(eq=False)
class Held:
    """An array that the user holds, and its twin."""

    live: Any
    twin: np.ndarray

    @property
    def writable(self) -> bool:
        return self.twin.flags.writeable and 0 not in self.twin.strides

    def write(self, index: Any, values: np.ndarray, on_device: Callable) -> None:
        self.live[index] = on_device(np.array(values))
        self.twin[index] = values


def small(held: Held) -> bool:
    return bool(np.all(np.abs(held.twin) <= LARGEST))


def broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, to) == to
    except ValueError:
        return False


# Functions, and their gradients in closed form


class Operation(NamedTuple):
    """A function of an array x and an array c that broadcasts to its shape."""

    function: Callable  # in minigrad, of a traced x and a plain (or traced) c
    formula: Callable  # the same in NumPy
    gradient: Callable  # (x, c, *cotangents) -> x̄, or (x̄, c̄) before summing over broadcast axes
    reads: str = ""  # which of x, c and y (the first result) the derivative may read
    both: bool = False  # whether c is differentiated too
    writes: bool = False  # whether the function changes c and restores it: then MutationError is always allowed


@dataclass(eq=False)
class Pending:
    """A recorded function: its pullback, the exact one, and the arrays that pulling back may read, with their bits."""

    operation: Operation
    pull: Callable
    truth: Callable
    shapes: list[tuple[int, ...]]  # of the results
    reads: list[tuple[Held, bytes]]

    @property
    def stale(self) -> bool:
        return self.operation.writes or any(held.twin.tobytes() != before for held, before in self.reads)


def signs(c):
    return np.where(c > 0, 1.0, -1.0)


def rewrite(x, c):
    """2x·c, unless x is c."""
    first = x * c
    c *= -1
    try:
        return first - x * c
    finally:
        c *= -1


OPERATIONS = {
    "x + c": Operation(lambda x, c: x + c, np.add, lambda x, c, g: g),
    "x + x": Operation(lambda x, c: x + x, lambda x, c: x + x, lambda x, c, g: 2 * g),
    "c - x of both": Operation(lambda x, c: c - x, lambda x, c: c - x, lambda x, c, g: (-g, g), both=True),
    "x c": Operation(lambda x, c: x * c, np.multiply, lambda x, c, g: g * c, "c"),
    "x c of both": Operation(lambda x, c: x * c, np.multiply, lambda x, c, g: (g * c, g * x), "xc", both=True),
    "x x": Operation(lambda x, c: x * x, lambda x, c: x * x, lambda x, c, g: 2 * g * x, "x"),
    "sin": Operation(lambda x, c: mg.sin(x), lambda x, c: np.sin(x), lambda x, c, g: g * np.cos(x), "x"),
    "exp": Operation(lambda x, c: mg.exp(x), lambda x, c: np.exp(x), lambda x, c, g: g * np.exp(x), "y"),
    "tanh": Operation(lambda x, c: mg.tanh(x), lambda x, c: np.tanh(x), lambda x, c, g: g * (1 - np.tanh(x) ** 2), "y"),
    "maximum": Operation(
        lambda x, c: mg.maximum(x, c), np.maximum, lambda x, c, g: g * ((x > c) + 0.5 * (x == c)), "xc"
    ),
    "a condition made inside": Operation(
        lambda x, c: mg.where(c > 0, x, -x), lambda x, c: signs(c) * x, lambda x, c, g: signs(c) * g
    ),
    "a view as the result": Operation(lambda x, c: x.T, lambda x, c: x.T, lambda x, c, g: g.T),
    "a view of values on the tape": Operation(
        lambda x, c: mg.exp(x)[None, ..., None][::-1].T,
        lambda x, c: np.exp(x)[None, ..., None][::-1].T,
        lambda x, c, g: g[0, ..., 0].T * np.exp(x),
        "y",
    ),
    "an intermediate result returned": Operation(
        lambda x, c: (lambda h: (h, h * c))(mg.exp(x)),
        lambda x, c: (np.exp(x), np.exp(x) * c),
        lambda x, c, g, k: (g + k * c) * np.exp(x),
        "cy",
    ),
    "a sum of products": Operation(
        lambda x, c: mg.sum(x * c), lambda x, c: np.sum(x * c), lambda x, c, g: g * c + 0 * x, "c"
    ),
    "a view of the input": Operation(
        lambda x, c: mg.sin(x[None][..., None]) * 1.0,
        lambda x, c: np.sin(x[None, ..., None]),
        lambda x, c, g: g[0, ..., 0] * np.cos(x),
        "x",
    ),
    "a view of the constant": Operation(
        lambda x, c: mg.ravel(x) * mg.ravel(mg.broadcast_to(c, x.shape)),
        lambda x, c: (x * c).ravel(),
        lambda x, c, g: g.reshape(x.shape) * c,
        "c",
    ),
    "a derivative inside": Operation(
        lambda x, c: mg.grad(lambda z: mg.sum(mg.sin(z) * c))(x),
        lambda x, c: np.cos(x) * c,
        lambda x, c, g: -g * np.sin(x) * c,
        "xc",
    ),
    "a tangent inside": Operation(
        lambda x, c: mg.jvp(mg.sin, (x,), (mg.broadcast_to(c, x.shape),))[1],
        lambda x, c: np.cos(x) * c,
        lambda x, c, g: -g * np.sin(x) * c,
        "xc",
    ),
    "a checkpoint": Operation(lambda x, c: mg.checkpoint(mg.multiply)(x, c), np.multiply, lambda x, c, g: g * c, "xc"),
    "a checkpoint of both": Operation(
        lambda x, c: mg.checkpoint(mg.multiply)(x, c), np.multiply, lambda x, c, g: (g * c, g * x), "xc", both=True
    ),
    "a checkpoint that captures": Operation(
        lambda x, c: mg.checkpoint(lambda x: x * c)(mg.sin(x)),
        lambda x, c: np.sin(x) * c,
        lambda x, c, g: g * c * np.cos(x),
        "xc",
    ),
    "a checkpoint whose result is zero": Operation(
        lambda x, c: mg.checkpoint(lambda h: h * c)(x - mg.stop_gradient(x)),
        lambda x, c: 0 * x * c,
        lambda x, c, g: g * c,
        "c",
    ),
    "a checkpoint in a checkpoint": Operation(
        lambda x, c: mg.checkpoint(lambda x: mg.checkpoint(lambda x: x * c)(x) * 2.0)(x),
        lambda x, c: 2 * x * c,
        lambda x, c, g: 2 * g * c,
        "xc",
    ),
    "a constant rewritten inside": Operation(rewrite, rewrite, lambda x, c, g: 2 * g * c, "xc", writes=True),
}


def sum_to_shape(g: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """g summed over the axes that broadcasting from `shape` added, one element at a time."""
    total = np.zeros(shape)
    for place in np.ndindex(g.shape):
        back = place[g.ndim - len(shape) :]
        total[tuple(0 if n == 1 else i for i, n in zip(back, shape))] += g[place]
    return total


VIEWS = {
    "x[1:]": lambda xp, x: x[1:],
    "x[..., :1]": lambda xp, x: x[..., :1],
    "x[..., ::2]": lambda xp, x: x[..., ::2],
    "x[::-1]": lambda xp, x: x[::-1],
    "x.T": lambda xp, x: x.T,
    "x[0, 0, ...]": lambda xp, x: x[(*(0,) * x.ndim, ...)],
    "x[None]": lambda xp, x: x[None],
    "x.reshape(-1)": lambda xp, x: x.reshape(-1) if x.flags.c_contiguous else x,
    "broadcast": lambda xp, x: xp.broadcast_to(x, (2, *x.shape)),
    "read-only": lambda xp, x: mg.stop_gradient(x) if type(x) is np.ndarray else x,  # others have none
}
FOR_NUMBERS = ("x.T", "x[0, 0, ...]", "x[None]", "x.reshape(-1)", "broadcast", "read-only")


CHANGES = {  # x -> (an index, the values to write there)
    "one element": lambda x: ((-1,) * x.ndim, x[(-1,) * x.ndim] + 0.5),
    "negate": lambda x: (..., -x),
    "reverse": lambda x: (..., np.flip(x).copy()),
    "zero": lambda x: (..., 0.0),
    "unchanged": lambda x: (..., x.copy()),
}


class Machine(RuleBasedStateMachine):
    """`held` are the user's arrays, `pending` the pullbacks still to be called, `history` the overwritten values."""

    def __init__(self, backend: Any):
        super().__init__()
        self.backend, self.held, self.pending, self.history = backend, [], [], []

    def on_device(self, x: np.ndarray) -> Any:
        return self.backend.from_host(x)

    def hold(self, live: Any, twin: np.ndarray) -> Held:
        held = Held(live, twin)
        if isinstance(live, self.backend.array_type):  # NumPy's 0-d results are numbers, which cannot be changed
            self.held.append(held)
        return held

    def pick(self, data: Any, fit: Callable = lambda held: True, what: str = "x") -> Held | None:
        fitting = [held for held in self.held if fit(held)]
        return data.draw(st.sampled_from(fitting), what) if fitting else None

    # Arrays and views

    @initialize()
    def begin(self):
        for values in ([[1.0, -2.0, 0.5], [0.0, 3.0, 2.0]], [2.0, 0.0, -1.5], [[0.0, 0.0, 0.0]]):
            self.make(np.array(values), "C")

    @rule(values=st.sampled_from(SHAPES).flatmap(eighths), order=st.sampled_from("CF"))
    def make(self, values, order):
        self.hold(self.on_device(np.array(values, order=order)), np.array(values, order=order))

    @rule(data=st.data(), how=st.sampled_from(sorted(VIEWS)))
    def view(self, data, how):
        x = self.pick(data, lambda x: x.twin.size and x.twin.ndim < 3 and (x.twin.ndim or how in FOR_NUMBERS))
        if x is not None:
            self.hold(VIEWS[how](self.backend.xp, x.live), VIEWS[how](np, x.twin))

    @precondition(lambda self: len(self.held) > 4)
    @rule(data=st.data(), pullback=st.booleans())
    def drop(self, data, pullback):
        if pullback and self.pending:
            self.pending.remove(data.draw(st.sampled_from(self.pending)))
            return
        dropped = self.pick(data)
        self.held = [held for held in self.held if held is not dropped]
        self.history = [entry for entry in self.history if entry[0] is not dropped]

    # Changes in place

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), how=st.sampled_from(sorted(CHANGES)))
    def change_what_a_pullback_reads(self, data, how):
        self.change(data, how, [held for pending in self.pending for held, _ in pending.reads])

    @rule(data=st.data(), how=st.sampled_from(sorted(CHANGES)))
    def change_anything(self, data, how):
        self.change(data, how, self.held)

    def change(self, data: Any, how: str, among: list[Held]) -> None:
        x = self.pick(data, lambda x: x.writable and x.twin.size > 0 and any(x is one for one in among))
        if x is not None:
            self.history.append((x, x.twin.copy()))
            x.write(*CHANGES[how](x.twin), self.on_device)

    @precondition(lambda self: self.history)
    @rule()
    def undo(self):
        held, before = self.history.pop()
        held.write(..., before, self.on_device)

    # Derivatives

    @rule(data=st.data(), names=st.lists(st.sampled_from(sorted(OPERATIONS)), min_size=2, max_size=3))
    def record(self, data, names):
        for name in names:
            self.record_one(data, OPERATIONS[name], data.draw(st.booleans(), "by a tape"))

    def record_one(self, data: Any, operation: Operation, by_tape: bool) -> None:
        x = self.pick(data, small)
        if x is None:
            return
        fits = lambda c: small(c) and broadcasts(c.twin.shape, x.twin.shape) and (c.writable or not operation.writes)
        c = self.pick(data, fits, "c")
        if c is None:
            return
        expected = operation.formula(x.twin, c.twin)
        expected = expected if isinstance(expected, tuple) else (expected,)
        before = x.twin.copy(), c.twin.copy()
        reads = [held for letter, held in (("x", x), ("c", c)) if letter in operation.reads]
        primals = (x.live, c.live) if operation.both else (x.live,)
        f = operation.function if operation.both else lambda x: operation.function(x, c.live)
        by_tape = by_tape and len(expected) == 1
        try:
            if by_tape:
                with mg.Tape() as recorded:
                    inputs = recorded.watch(primals)
                    y = f(*inputs)
            else:
                y, pullback = mg.vjp(f, *primals)
        except mg.MutationError:
            assert operation.writes, "MutationError while recording, but the user wrote to nothing"
            return
        if by_tape:
            pull = lambda g: recorded.gradient(y, inputs, g)
        else:
            results = y if isinstance(y, tuple) else (y,)
            held = [self.hold_result(live, twin, (x, c)) for live, twin in zip(results, expected, strict=True)]
            reads += held[:1] if "y" in operation.reads else []
            pull = lambda *g: pullback(g if len(expected) > 1 else g[0])

        def truth(*g):
            cotangents = operation.gradient(*before, *g)
            cotangents = cotangents if operation.both else (cotangents,)
            return [sum_to_shape(np.asarray(x_bar), b.shape) for x_bar, b in zip(cotangents, before)]

        shapes = [np.shape(result) for result in expected]
        reads = [(held, held.twin.tobytes()) for held in reads]
        self.pending.append(Pending(operation, pull, truth, shapes, reads))

    def hold_result(self, live: Any, twin: Any, sources: tuple[Held, ...]) -> Held:
        """Holds a result; its twin is a view if NumPy's result is one."""
        twin = np.asarray(twin)
        np.testing.assert_allclose(to_host(live), twin, rtol=ROUNDING, atol=ROUNDING)
        if not any(np.shares_memory(twin, source.twin) for source in sources):
            twin = twin if twin.flags.writeable else twin.copy()
            twin[...] = to_host(live)
        return self.hold(live, twin)

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def pull(self, data):
        pending = data.draw(st.sampled_from(self.pending))
        self.check(pending, [self.cotangent(data, shape) for shape in pending.shapes])

    def check(self, pending: Pending, cotangents: list[Held]) -> None:
        stale = pending.stale
        try:
            found = pending.pull(*[g.live for g in cotangents])
        except mg.MutationError:
            assert stale, "MutationError, but no array it reads has changed"
            return
        for gradient, expected in zip(found, pending.truth(*[g.twin for g in cotangents]), strict=True):
            np.testing.assert_allclose(to_host(gradient), expected, rtol=ROUNDING, atol=ROUNDING)
            held = self.hold(gradient, np.array(to_host(gradient)))
            if held in self.held:
                held.write(..., -held.twin, self.on_device)  # the user may write to a gradient

    def cotangent(self, data: Any, shape: tuple[int, ...]) -> Held:
        """An array that is already held (an input, a gradient), or a new one."""
        if data.draw(st.booleans(), "an old cotangent"):
            old = self.pick(data, lambda held: held.twin.shape == shape and small(held), "g")
            if old is not None:
                return old
        values = np.array(data.draw(eighths(shape), "g"))
        return self.hold(self.on_device(values.copy()), values)

    @invariant()
    def only_the_user_writes(self):
        for held in self.held:
            assert np.array_equal(to_host(held.live), held.twin), "an array changed that the user did not write to"

    def teardown(self):
        """Calls every pending pullback twice."""
        for pending in 2 * self.pending:
            self.only_the_user_writes()
            values = [normal(shape) for shape in pending.shapes]
            self.check(pending, [self.hold(self.on_device(g.copy()), g) for g in map(np.array, values)])
        self.only_the_user_writes()


def run(backend: Any, **more: Any) -> None:
    run_state_machine_as_test(lambda: Machine(backend), settings=settings(stateful_step_count=40, **more))


def test_no_sequence_of_changes_and_pullbacks_gives_a_wrong_gradient(backend):
    run(backend, max_examples=max(150, settings().max_examples))


# The machine must find each of these faults in the engine


def _guard_once(self, array, origin):
    if id(array) not in self._guards and not isinstance(array, (Tracer, *NEUTRAL)):
        self._guards[id(array)] = guards.Guard(array, guards.fingerprint(array), origin)


def _accumulate_in_place(cotangents, index, cotangent):
    if index in cotangents:
        cotangents[index] += cotangent
    else:
        cotangents[index] = cotangent


def _keep_everything(residuals):
    return residuals and residuals._replace(keeps=(True,) * len(residuals.keeps), keeps_result=True)


FAULTS = {
    "guards are not checked": {(Guards, "check"): lambda self: None},
    "results are not guarded": {(Reverse, "guard_results"): lambda self, results: None},
    "inputs are not guarded": {
        (Reverse, "_append"): lambda self, node, value, reachable, append=Reverse._append: append(
            self, node, value, False
        )
    },
    "only the first use is guarded": {(Guards, "add"): _guard_once},
    "a checkpoint compares results alone": {(checkpoint, "fingerprint_reads"): lambda reverse, since=0: []},
    "the fingerprint ignores the order of elements": {
        (place, "fingerprint"): lambda x: float(np.sum(to_host(concrete(x)))) for place in (guards, checkpoint)
    },
    "the fingerprint ignores signs": {
        (place, "fingerprint"): lambda x: np.abs(to_host(concrete(x))).tobytes() for place in (guards, checkpoint)
    },
    "gradients are not copied": {
        (place, "separate"): lambda gradients, inputs, given: [
            mg.zeros_like(x._value) if g is None else g for g, x in zip(gradients, inputs)
        ]
        for place in (transforms, tape)
    },
    "cotangents are added in place": {(reverse, "accumulate"): _accumulate_in_place},
    "the tape keeps all values": {
        (Rule, "residuals"): lambda self, traced, find=Rule.residuals: _keep_everything(find(self, traced)),
    },
}


@pytest.mark.host
@pytest.mark.parametrize("fault", FAULTS)
def test_the_machine_finds_a_fault(fault, backend, monkeypatch):
    for (place, name), wrong in FAULTS[fault].items():
        monkeypatch.setattr(place, name, wrong)
    with pytest.raises((AssertionError, ExceptionGroup)):
        run(backend, max_examples=300, phases=[Phase.generate], print_blob=False)
