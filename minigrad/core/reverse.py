"""Reverse mode: record every operation, then walk back once.

Every primitive on a traced value appends a `Node` to a list, the *tape*. An operation can only use values that exist
already, so the tape is in topological order: walking it backwards visits every node after all of its users, when its
cotangent is complete.

    ȳ given;  for nodes from last to first:  x̄ᵢ += (∂y/∂xᵢ)ᵀ ȳ

The tape keeps the values that a rule needs, and only shape and dtype of the others. Kept values that the user can reach
are guarded against changes (`minigrad.core.guards`).
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

import numpy as np

from minigrad.backends import NEUTRAL
from minigrad.core.arrays import Shaped, describe, dtype_of, is_inexact, shape_of
from minigrad.core.errors import EscapedTracerError
from minigrad.core.guards import Guards, owner
from minigrad.core.interpreter import Interpreter, Primitive, Tracer, find_backend, refuse_traced
from minigrad.core.origin import Origin
from minigrad.core.rules import rule_of
from minigrad.core.vectors import add_p, cast


class Node(NamedTuple):
    """A tape entry for one operation: primitive, arguments and result."""

    primitive: Primitive | None  # None: an input, or a result of a checkpointed call
    args: tuple  # the values that the rule needs, a `Shaped` for each of the others
    parents: tuple[int | None, ...]  # tape index of each argument that gets a cotangent
    result: Any  # the value if the rule needs it, else a `Shaped`
    params: dict[str, Any]
    origin: Origin
    wanted: tuple[bool, ...] = ()  # arguments that get a cotangent

    @property
    def values(self) -> tuple:
        """Arguments and result, as the tape holds them."""
        return (*self.args, self.result)


class Entry(Protocol):
    """A tape entry that stands for several operations: a checkpointed call, or one with a derivative of its own."""

    leaves: tuple  # values of the arguments
    parents: tuple[int | None, ...]  # tape index of each leaf
    outputs: tuple[int | None, ...]  # tape index of each result; None if the call did not trace it
    reads: list[int]  # fingerprints of what its derivative reads besides guarded arrays
    shared: dict[int, set[int]]  # what `minigrad.core.checkpoint.find_shared` finds for each result, by tape index
    origin: Origin
    title: str  # the name of the operation, to print
    details: tuple[Callable, ...]  # functions to print before its arguments

    @property
    def values(self) -> tuple:
        """The values that the tape holds for it."""

    def pull(self, reverse: Reverse, index: int, cotangents: dict[int, Any], wanted: set[int]) -> None:
        """Replace the cotangents of its results by those of its inputs."""


class Application(NamedTuple):
    """The tape entry of a call of a function with its own derivative. Its results follow it on the tape."""

    title: str
    pullback: Callable[[list], list]
    leaves: tuple  # values of the arguments
    parents: tuple[int | None, ...]  # tape index of each leaf
    results: tuple[Shaped, ...] | None  # None if the pullback takes None for a cotangent of zero
    outputs: tuple[int | None, ...]  # tape index of each result; None if it has no derivative
    origin: Origin
    details: tuple = ()

    @property
    def values(self) -> tuple:
        """The values of the arguments."""
        return self.leaves

    @property
    def reads(self) -> list[int]:
        """No fingerprints: its derivative reads its arguments, which are guarded."""
        return []

    @property
    def shared(self) -> dict[int, set[int]]:
        """For each result, the tape indices that it depends on."""
        return {o: {p for p in self.parents if p is not None} for o in self.outputs if o is not None}

    def pull(self, reverse: Reverse, index: int, cotangents: dict[int, Any], wanted: set[int]) -> None:
        """Replace the cotangents of its results by those of its arguments."""
        seeds = {o: cotangents[o] for o in self.outputs if o is not None and o in cotangents}
        for output in seeds.keys() - wanted:
            del cotangents[output]
        if not seeds:
            return
        given = [seeds.get(o) for o in self.outputs]
        if self.results is not None:
            xp = find_backend(self.leaves[0]).xp
            given = [xp.zeros(y.shape, y.dtype) if g is None else g for g, y in zip(given, self.results, strict=True)]
        for parent, g in zip(self.parents, self.pullback(given), strict=True):
            if parent is not None and g is not None:
                accumulate(cotangents, parent, g)


class ReverseTracer(Tracer):
    """A value and its index on the tape; `reachable` if the user may hold its memory (an input, or a view of one)."""

    __slots__ = ("index", "reachable")

    def __init__(self, value: Any, level: object, origin: Origin, index: int, reachable: bool = False):
        super().__init__(value, level, origin)
        self.index, self.reachable = index, reachable


class Reverse(Interpreter):
    """Runs each primitive one level down and appends what its derivative will need to the tape.

    Tape indices count from `start`, which is 0 except while a checkpointed call runs again. With `keep_all` every value
    stays on the tape, for display.
    """

    def __init__(self, level: object | None = None, start: int = 0, keep_all: bool = False) -> None:
        self.level = object() if level is None else level
        self.start, self.keep_all = start, keep_all
        self.tape: list[Node | Entry] = []
        self.entry: Node | Entry | None = None  # the entry that is being pulled back
        self.guards = Guards()
        self.results: list[tuple[Any, Origin]] = []  # weak references to arrays that a pullback may read
        self.has_removed_entries = False  # whether a traced value may have lost its entry

    def watch(self, value: Any, name: str = "") -> ReverseTracer:
        """Put an input on the tape; its name, if any, is only displayed."""
        node = Node(None, (), (), self._drop_value(value), {"name": name} if name else {}, Origin("input"))
        return self._append(node, value, reachable=True)

    def lower(self, x: Any) -> tuple[Any, int | None]:
        """(value, tape index) of x; the index is None if x does not depend on the inputs."""
        if type(x) is ReverseTracer and x.level is self.level:
            if self.has_removed_entries:
                self._check_live(x)
            return x._value, x.index
        return x, None

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        level, values, traced = self.level, list(args), [False] * len(args)
        for i, arg in enumerate(args):
            if type(arg) is ReverseTracer and arg.level is level:
                if self.has_removed_entries:
                    self._check_live(arg)
                values[i], traced[i] = arg._value, True
            elif isinstance(arg, (list, tuple)):
                values[i] = np.asarray(arg)
        y = self.parent.process(primitive, values, params)
        residuals = rule_of(primitive, "reverse").residuals(tuple(traced)) if True in traced else None
        if residuals is None:
            return y
        origin = Origin(primitive.name, inside=3)  # in __init__, here and in Primitive.__call__
        parents = tuple([arg.index if want else None for arg, want in zip(args, residuals.wanted)])
        for i, keep in enumerate(residuals.keeps):
            if not (keep or self.keep_all):
                if traced[i] or not isinstance(values[i], NEUTRAL):  # untraced numbers stay, for display
                    values[i] = _as_shaped(values[i])
            elif not traced[i] or args[i].reachable:
                self.guards.add(values[i], origin)
        result = y if residuals.keeps_result else self._drop_value(y)
        node = Node(primitive, tuple(values), parents, result, params, origin, residuals.wanted)
        source = primitive.view_of
        return self._append(node, y, source is not None and (not traced[source] or args[source].reachable))

    def call(self, call: Any, leaves: Sequence[Any]) -> list[Any]:
        values, parents = zip(*map(self.lower, leaves)) if leaves else ((), ())
        wanted = [p is not None for p in parents]
        traced = any(wanted)
        results, pullback = call.pull(values, wanted) if traced else (self.parent.call(call, values), None)
        refuse_traced(call, [y.origin for y in results if self.lower(y)[1] is not None])
        if not traced:
            return results
        origin, index = Origin(call.name), self.start + len(self.tape)
        for value in values:
            self.guards.add(value, origin)
        if call.reads_results:
            self.results += [(weakref.ref(y), origin) for y in results if not isinstance(y, (Tracer, *NEUTRAL))]
        numbers = itertools.count(index + 1)
        moves = zip(results, call.move(wanted))
        outputs = tuple(next(numbers) if moving and is_inexact(y) else None for y, moving in moves)
        kinds = None if call.takes_none else tuple(map(_as_shaped, results))
        self.tape.append(Application(call.name, pullback, values, parents, kinds, outputs, origin))
        nodes = [Node(None, (), (index,), self._drop_value(y), {}, origin) for y in results]
        return [y if o is None else self._append(n, y, True) for y, o, n in zip(results, outputs, nodes)]

    def append_result(self, x: ReverseTracer, call: int) -> ReverseTracer:
        """Append an entry for a result of the checkpointed call at index `call`."""
        node = Node(None, (), (call,), self._drop_value(x._value), {}, x.origin)
        return self._append(node, x._value, x.reachable)

    def _drop_value(self, value: Any) -> Any:
        """Only shape and dtype of a value that no rule needs; the value itself with `keep_all`."""
        return value if self.keep_all else _as_shaped(value)

    def _append(self, node: Node, value: Any, reachable: bool) -> ReverseTracer:
        self.tape.append(node)
        return ReverseTracer(value, self.level, node.origin, self.start + len(self.tape) - 1, reachable)

    def _check_live(self, x: ReverseTracer) -> None:
        """Raise EscapedTracerError if x was made inside a checkpointed call that has ended."""
        place = x.index - self.start
        if place >= 0 and (place >= len(self.tape) or self.tape[place].origin is not x.origin):
            raise EscapedTracerError(
                f"a traced value made by {x.origin} left the checkpointed function it was made in: return it instead"
            )

    def guard_results(self, results: Sequence[Any]) -> None:
        """Guard the values on the tape that share memory with results the user is about to receive."""
        owners = {id(owner(value)) for value in results if not isinstance(value, (Tracer, *NEUTRAL))}
        for entry in self.tape:
            for value in entry.values:
                if not isinstance(value, (Shaped, Tracer, *NEUTRAL)) and id(owner(value)) in owners:
                    self.guards.add(value, entry.origin)
        for reference, origin in self.results:
            value = reference()
            if value is not None and id(owner(value)) in owners:
                self.guards.add(value, origin)

    # The backward pass

    def pull(self, cotangents: dict[int, Any], inputs: Sequence[int], release: bool = False) -> list[Any]:
        """The cotangents of the tape entries `inputs`, given those of other entries; None where they are zero.

        With `release` each entry is removed once it is visited, which frees memory during the backward pass.
        """
        self.guards.check()
        cotangents = dict(cotangents)
        self.walk_back(cotangents, set(inputs), release)
        return [cotangents.get(index) for index in inputs]

    def walk_back(self, cotangents: dict[int, Any], wanted: set[int], release: bool) -> None:
        """Pull cotangents back through all entries, from last to first; those at `wanted` indices stay in the dict."""
        token = _walking.set(self)
        try:
            for index in range(self.start + len(self.tape) - 1, self.start - 1, -1):
                self.entry = node = self.tape.pop() if release else self.tape[index - self.start]
                if type(node) is not Node:
                    node.pull(self, index, cotangents, wanted)
                    continue
                if node.primitive is None or index not in cotangents:
                    continue
                g = cotangents[index] if index in wanted else cotangents.pop(index)
                for parent, cotangent in zip(node.parents, pull_back(node, g)):
                    if parent is not None:
                        accumulate(cotangents, parent, cotangent)
        finally:
            self.entry = None
            _walking.reset(token)


_walking: ContextVar[Reverse | None] = ContextVar("minigrad tape in the backward pass", default=None)


def current_entry() -> Node | Entry | None:
    """The entry that this thread or task is pulling back; None outside of a backward pass."""
    reverse = _walking.get()
    return None if reverse is None else reverse.entry


def pull_back(node: Node, g: Any) -> list[Any]:
    """The cotangents of a node's arguments, given the cotangent g of its result; None where none is wanted."""
    cotangents = node.primitive.rule.vjp(g, node.args, node.wanted, node.result, node.params)
    for i, (parent, arg, cotangent) in enumerate(zip(node.parents, node.args, cotangents)):
        if parent is None:
            continue
        if shape_of(cotangent) != shape_of(arg):
            raise AssertionError(f"the vjp of {node.origin} is {describe(cotangent)}, expected {describe(arg)}")
        if dtype_of(cotangent) != dtype_of(arg):
            cotangents[i] = cast(cotangent, arg)
    return cotangents


def accumulate(cotangents: dict[int, Any], index: int, cotangent: Any) -> None:
    """Add to the cotangent of a tape entry."""
    before = cotangents.get(index)
    cotangents[index] = cotangent if before is None else add_p(before, cotangent)


def _as_shaped(x: Any) -> Shaped:
    try:
        return Shaped(x.shape, x.dtype)
    except AttributeError:
        return Shaped((), dtype_of(x))
