"""Reverse mode: remember what was done, then walk back once.

Every primitive on a traced value appends a `Node` to a list. Because an operation can only use what exists already,
that list, the tape, is in topological order: walking it backwards meets every node after all of its users, with its
cotangent complete.

    ȳ given;  for nodes from last to first:  x̄ᵢ += (∂y/∂xᵢ)ᵀ ȳ

The tape keeps the values a rule will ask for and only the shapes of the rest. Arrays the user can reach (inputs,
captured constants, returned results) are fingerprinted when they are kept, so that changing one in place before the
derivative is computed raises MutationError instead of giving a wrong gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.backends import NEUTRAL, backend_of
from minigrad.core.arrays import Shaped, describe, dtype_of, shape_of
from minigrad.core.errors import EscapedTracerError, MutationError
from minigrad.core.interpreter import Interpreter, Primitive, Tracer, concrete
from minigrad.core.origin import Origin
from minigrad.core.rules import rule_of
from minigrad.core.tree import Structure, flatten, unflatten
from minigrad.core.vectors import add_p, cast


class Node(NamedTuple):
    """One line of the tape: what was done, to what, and what came out."""

    primitive: Primitive | None  # None: an input, or a result of the segment before it
    args: tuple  # values the rule asks for, `Shaped` for the rest
    parents: tuple[int | None, ...]  # tape index of each argument that has a derivative
    result: Any  # the value if the rule asks for it, else its `Shaped`
    params: dict[str, Any]
    origin: Origin
    wanted: tuple[bool, ...] = ()  # arguments that get a cotangent


class Segment(NamedTuple):
    """A checkpointed call: enough to run it again when its derivative is due. Its results follow it on the tape."""

    function: Callable
    structure: Structure  # of the arguments
    leaves: tuple  # their values
    parents: tuple[int | None, ...]
    reachable: tuple[bool, ...]  # which of them the user can reach
    outputs: tuple[int | None, ...]  # tape index of each result, None for those that are no results of this call
    digests: dict[int, int]  # fingerprint of each, by tape index
    reads: list[int]  # fingerprints of what else its derivative will read: arrays of the user's, and numbers
    origin: Origin


class ReverseTracer(Tracer):
    """A value with its place on the tape; `reachable` if its memory may be the user's (an input, or a view of one)."""

    __slots__ = ("index", "reachable")

    def __init__(self, value: Any, level: object, origin: Origin, index: int, reachable: bool = False):
        super().__init__(value, level, origin)
        self.index, self.reachable = index, reachable


class Guard(NamedTuple):
    """A reachable array that a pending derivative needs, as it was."""

    array: Any
    fingerprint: int
    origin: Origin


class Reverse(Interpreter):
    """Runs each primitive one level down and appends what its derivative will need to the tape.

    Index 0 of `tape` has the number `start`, which is not 0 only while a checkpointed segment is run again. With
    `keep_all` every value stays on the tape, to be looked at.
    """

    def __init__(self, level: object | None = None, start: int = 0, keep_all: bool = False) -> None:
        self.level = object() if level is None else level
        self.start, self.keep_all = start, keep_all
        self.tape: list[Node | Segment] = []
        self.guards: dict[int, Guard] = {}
        self.cut = False  # whether entries were taken off again, so that a traced value may have lost its own

    def watch(self, value: Any, name: str = "") -> ReverseTracer:
        """Put an input on the tape; its name, if it has one, is for people to read."""
        node = Node(None, (), (), self._result(value), {"name": name} if name else {}, Origin("input"))
        return self._append(node, value, reachable=True)

    def lower(self, x: Any) -> tuple[Any, int | None]:
        """(value, tape index) of a result; the index is None where it does not depend on the inputs."""
        if type(x) is ReverseTracer and x.level is self.level:
            if self.cut:
                self._check_live(x)
            return x._value, x.index
        return x, None

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        level, values, traced = self.level, list(args), [False] * len(args)
        for i, arg in enumerate(args):
            if type(arg) is ReverseTracer and arg.level is level:
                if self.cut:
                    self._check_live(arg)
                values[i], traced[i] = arg._value, True
            elif isinstance(arg, (list, tuple)):
                values[i] = np.asarray(arg)
        y = self.parent.process(primitive, values, params)
        plan = rule_of(primitive, "reverse").plan(tuple(traced)) if True in traced else None
        if plan is None:
            return y
        origin = Origin(primitive.name)
        parents = tuple([arg.index if want else None for arg, want in zip(args, plan.wanted)])
        for i, keep in enumerate(plan.keeps):
            if not (keep or self.keep_all):
                if traced[i] or not isinstance(values[i], NEUTRAL):  # a number costs nothing to keep, and is printed
                    values[i] = _without_value(values[i])
            elif not traced[i] or args[i].reachable:
                self._guard(values[i], origin)
        result = y if plan.keeps_result else self._result(y)
        node = Node(primitive, tuple(values), parents, result, params, origin, plan.wanted)
        source = primitive.view_of
        return self._append(node, y, source is not None and (not traced[source] or args[source].reachable))

    def _result(self, value: Any) -> Any:
        """A result that no rule asks for, as the tape has it."""
        return value if self.keep_all else _without_value(value)

    def _append(self, node: Node, value: Any, reachable: bool) -> ReverseTracer:
        self.tape.append(node)
        return ReverseTracer(value, self.level, node.origin, self.start + len(self.tape) - 1, reachable)

    def _check_live(self, x: ReverseTracer) -> None:
        """Raise EscapedTracerError for a value made inside a checkpointed call that is over."""
        place = x.index - self.start
        if place >= 0 and (place >= len(self.tape) or self.tape[place].origin is not x.origin):
            raise EscapedTracerError(
                f"a traced value made by {x.origin} left the checkpointed function it was made in: return it instead"
            )

    # Arrays that must not change

    def _guard(self, array: Any, origin: Origin) -> None:
        """Note an array as it is. Raises MutationError if an earlier operation used it and it was another then."""
        if isinstance(array, (Tracer, *NEUTRAL)):
            return
        fingerprint = _fingerprint(array)
        first = self.guards.setdefault(id(array), Guard(array, fingerprint, origin))
        if first.fingerprint != fingerprint:
            raise _changed(first)

    def guard_results(self, results: Sequence[Any]) -> None:
        """Guard kept values that share memory with results about to be handed to the user."""
        owners = {id(_owner(value)) for value in results if not isinstance(value, (Tracer, *NEUTRAL))}
        for node in self.tape:
            kept = (*node.args, node.result) if isinstance(node, Node) else node.leaves
            for value in kept:
                if not isinstance(value, (Shaped, Tracer, *NEUTRAL)) and id(_owner(value)) in owners:
                    self._guard(value, node.origin)

    def check_guards(self) -> None:
        """Raise MutationError if an array that a pending derivative needs has changed."""
        for guard in self.guards.values():
            if _fingerprint(guard.array) != guard.fingerprint:
                raise _changed(guard)

    def _reads(self, since: int = 0) -> list[int]:
        """Fingerprints of what derivatives of the tape from `since` on will read: guarded arrays, and numbers."""
        reads = [guard.fingerprint for guard in self.guards.values()]
        for node in self.tape[since:]:
            if isinstance(node, Segment):
                reads += node.reads
            else:
                reads += [_fingerprint(x) for x in node.args if isinstance(x, NEUTRAL)]
        return reads

    # Walking back

    def pull(self, cotangents: dict[int, Any], inputs: Sequence[int], release: bool = False) -> list[Any]:
        """Cotangents of the tape entries `inputs` given those of some others; None where they are zero.

        With `release` the tape is emptied on the way, so that memory falls while gradients are made.
        """
        self.check_guards()
        cotangents = dict(cotangents)
        self._walk(cotangents, set(inputs), release)
        return [cotangents.get(index) for index in inputs]

    def _walk(self, cotangents: dict[int, Any], wanted: set[int], release: bool) -> None:
        for index in range(self.start + len(self.tape) - 1, self.start - 1, -1):
            node = self.tape.pop() if release else self.tape[index - self.start]
            if isinstance(node, Segment):
                self.replay(node, index, cotangents, wanted)
                continue
            if node.primitive is None or index not in cotangents:
                continue
            g = cotangents[index] if index in wanted else cotangents.pop(index)
            for parent, cotangent in zip(node.parents, pulled(node, g)):
                if parent is not None:
                    accumulate(cotangents, parent, cotangent)

    # Checkpoints

    def checkpoint(self, function: Callable, args: tuple) -> Any:
        """Call `function(*args)` keeping only its arguments: it will run again when its derivative is due."""
        origin = Origin("checkpoint")
        leaves, structure = flatten(args)
        values, parents = zip(*map(self.lower, leaves), strict=True) if leaves else ((), ())
        reachable = tuple(isinstance(leaf, ReverseTracer) and leaf.reachable for leaf in leaves)
        length, guards, self.guards = len(self.tape), self.guards, {}
        segment, digests = self.start + length, {}
        outputs: list[int | None] = []
        try:
            results, result_structure = flatten(function(*args))
            for result in results:
                value, index = self.lower(result)
                made_here = index is not None and index >= segment
                outputs.append(segment + 1 + len(digests) if made_here else None)
                if made_here:
                    digests[outputs[-1]] = _fingerprint(value)
            reads = self._reads(since=length)
        finally:  # what it kept is gone; digests and reads will show whether it runs the same again
            del self.tape[length:]
            self.guards, self.cut = guards, True
        self.tape.append(
            Segment(function, structure, values, parents, reachable, tuple(outputs), digests, reads, origin)
        )
        for i, output in enumerate(outputs):
            if output is not None:
                made = results[i]
                node = Node(None, (), (segment,), self._result(made._value), {}, made.origin)
                results[i] = self._append(node, made._value, made.reachable)
        return unflatten(result_structure, results)

    def replay(self, segment: Segment, index: int, cotangents: dict[int, Any], wanted: set[int]) -> None:
        """Run a checkpointed call again, recording, and pull the cotangents of its results through it."""
        seeds = {o: cotangents[o] for o in segment.outputs if o is not None and o in cotangents}
        for output in seeds.keys() - wanted:
            del cotangents[output]
        if not seeds:
            return
        leaves = [
            value if parent is None else ReverseTracer(value, self.level, segment.origin, parent, reachable)
            for value, parent, reachable in zip(segment.leaves, segment.parents, segment.reachable, strict=True)
        ]
        with Reverse(self.level, start=index, keep_all=self.keep_all) as again:
            results, _ = flatten(segment.function(*unflatten(segment.structure, leaves)))
        same = len(results) == len(segment.outputs) and again._reads() == segment.reads
        sent: dict[int, Any] = {}
        for result, output in zip(results, segment.outputs, strict=False):
            if output is None:
                continue
            value, place = again.lower(result)
            if not same or place is None or _fingerprint(value) != segment.digests[output]:
                raise MutationError(
                    f"{segment.origin} gave another result or read other values when it ran again for its derivative: "
                    "an array it uses was changed in place, or its noise is no function of a key (use mg.random)"
                )
            if output in seeds:
                accumulate(sent, place, seeds[output])
        again._walk(sent, set(), release=True)
        for earlier, cotangent in sent.items():
            accumulate(cotangents, earlier, cotangent)


def pulled(node: Node, g: Any) -> list[Any]:
    """What a node with cotangent g sends back to each of its arguments; None where no cotangent is wanted."""
    cotangents = node.primitive.rule.vjp(g, node.args, node.wanted, node.result, node.params)
    for i, (parent, arg, cotangent) in enumerate(zip(node.parents, node.args, cotangents)):
        if parent is None:
            continue
        if shape_of(cotangent) != shape_of(arg):
            raise AssertionError(f"the vjp of {node.origin} gave {describe(cotangent)} for {describe(arg)}")
        if dtype_of(cotangent) != dtype_of(arg):
            cotangents[i] = cast(cotangent, arg)
    return cotangents


def accumulate(cotangents: dict[int, Any], index: int, cotangent: Any) -> None:
    """Add a cotangent to those of a tape entry."""
    before = cotangents.get(index)
    cotangents[index] = cotangent if before is None else add_p(before, cotangent)


def _changed(guard: Guard) -> MutationError:
    return MutationError(
        f"{describe(guard.array)}, used by {guard.origin}, was changed in place before its derivative was computed: "
        "change a copy instead (x.copy()), or compute the derivative first"
    )


def _fingerprint(x: Any) -> int:
    """A number that changes with any element of x, or their order."""
    x = concrete(x)
    if isinstance(x, NEUTRAL):
        return hash(repr(x))  # tells -0.0 from 0.0, and a NaN is itself
    return backend_of((x,)).fingerprint(x)


def _without_value(x: Any) -> Any:
    return Shaped((), dtype_of(x)) if isinstance(x, NEUTRAL) else Shaped(x.shape, x.dtype)


def _owner(array: Any) -> Any:
    """The array whose memory this one is a view of."""
    while isinstance(getattr(array, "base", None), type(array)):
        array = array.base
    return array
