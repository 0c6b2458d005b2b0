"""Checkpoints: the tape keeps only the arguments of a call, which runs again in the backward pass.

    forward    x → y        f runs; a `Segment` replaces the entries that it put on the tape
    backward   ȳ → x̄        f runs again on a tape of its own, through which ȳ is pulled back

This saves memory and costs one more evaluation. Fingerprints check that the second run reads the same values and
returns the same results as the first.

Whoever records operations to run them later (`minigrad.program`) must not reuse results of the first run in the second,
nor do the second run before ȳ is there: `awaited` tells it what an operation of a second run has to wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

from minigrad.backends import NEUTRAL
from minigrad.core.arguments import check_callable
from minigrad.core.batching import Batch
from minigrad.core.errors import MutationError
from minigrad.core.guards import Guards, fingerprint
from minigrad.core.interpreter import Interpreter, current
from minigrad.core.origin import Origin
from minigrad.core.reverse import Node, Reverse, ReverseTracer, accumulate
from minigrad.core.tree import Structure, flatten, unflatten

P = ParamSpec("P")
Y = TypeVar("Y")


def checkpoint(f: Callable[P, Y]) -> Callable[P, Y]:
    """f, but reverse mode keeps only its arguments and runs it again in the backward pass.

    This saves memory and costs one more evaluation, also in a program (`mg.jit`) and under `mg.vmap`. It has an effect
    only if reverse mode is the innermost derivative. Random draws repeat exactly, since they are functions of keys.
    MutationError is raised if the second run gives another result than the first. Traced values may leave f only as
    results.
    """
    check_callable(f, "checkpoint")

    def call(*args: Any, **kwargs: Any) -> Any:
        return _run(current(), partial(f, **kwargs) if kwargs else f, args)

    return call


def _run(interpreter: Interpreter, function: Callable, args: tuple) -> Any:
    """function(*args), recorded as one entry of a tape if the interpreter or the one under a batch has a tape."""
    if isinstance(interpreter, Reverse):
        return _record(interpreter, function, args)
    if isinstance(interpreter, Batch):
        return _run_batch(interpreter, function, args)
    return interpreter.checkpoint(function, args)


def _run_batch(batch: Batch, function: Callable, args: tuple) -> Any:
    """The same for all examples of a batch, as a function of their values one level down."""
    leaves, structure = flatten(args)
    values, is_batched = zip(*map(batch.lower, leaves), strict=True) if leaves else ((), ())
    found: list = []  # the structure of the result, and whether each leaf has an axis of examples

    @wraps(function)
    def run(*values: Any) -> list:
        with batch.again() as level:
            inputs = [level.lift(x) if own else x for x, own in zip(values, is_batched, strict=True)]
            results, result_structure = flatten(function(*unflatten(structure, inputs)))
            pairs = [level.lower(y) for y in results]
        found[:] = result_structure, [own for _, own in pairs]
        return [y for y, _ in pairs]

    with batch.hidden():
        results = _run(batch.parent, run, values)
    result_structure, is_batched_result = found
    pairs = zip(results, is_batched_result, strict=True)
    return unflatten(result_structure, [batch.lift(y) if own else y for y, own in pairs])


_awaited: ContextVar[tuple] = ContextVar("minigrad cotangents that a second run waits for", default=())


def awaited() -> tuple:
    """The cotangents for which this thread or task runs a checkpointed call again; empty outside of second runs."""
    return _awaited.get()


@contextmanager
def awaiting(cotangents: Iterable[Any]) -> Iterator[None]:
    """A second run, for these cotangents and for those of the second runs that it is a part of."""
    token = _awaited.set((*_awaited.get(), *cotangents))
    try:
        yield
    finally:
        _awaited.reset(token)


class Segment(NamedTuple):
    """The tape entry of a checkpointed call, with what is needed to run it again. Its results follow it on the tape."""

    function: Callable
    structure: Structure  # of the arguments
    leaves: tuple  # values of the arguments
    parents: tuple[int | None, ...]  # tape index of each leaf
    reachable: tuple[bool, ...]  # whether the user can reach each leaf
    outputs: tuple[int | None, ...]  # tape index of each result; None if the call did not trace it
    digests: dict[int, int]  # fingerprint of each result, by tape index
    reads: list[int]  # fingerprints of the numbers and user arrays that its derivative reads
    shared: dict[int, set[int]]  # what `find_shared` finds for each result, by tape index
    origin: Origin

    @property
    def values(self) -> tuple:
        """The values of the arguments."""
        return self.leaves

    @property
    def title(self) -> str:
        return "checkpoint"

    @property
    def details(self) -> tuple[Callable, ...]:
        return (self.function,)

    def pull(self, reverse: Reverse, index: int, cotangents: dict[int, Any], wanted: set[int]) -> None:
        """Run the call again on a new tape, and pull the cotangents of its results back through it."""
        seeds = {o: cotangents[o] for o in self.outputs if o is not None and o in cotangents}
        for output in seeds.keys() - wanted:
            del cotangents[output]
        if not seeds:
            return
        with awaiting(seeds.values()):
            self._run_again(reverse, index, seeds, cotangents)

    def _run_again(self, reverse: Reverse, index: int, seeds: dict[int, Any], cotangents: dict[int, Any]) -> None:
        """Add the cotangents of its arguments to `cotangents`, given those of its results."""
        leaves = [
            value if parent is None else ReverseTracer(value, reverse.level, self.origin, parent, reachable)
            for value, parent, reachable in zip(self.leaves, self.parents, self.reachable, strict=True)
        ]
        with Reverse(reverse.level, start=index, keep_all=reverse.keep_all) as rerun:
            results, _ = flatten(self.function(*unflatten(self.structure, leaves)))
        same = len(results) == len(self.outputs) and fingerprint_reads(rerun) == self.reads
        pulled: dict[int, Any] = {}
        for result, output in zip(results, self.outputs, strict=False):
            if output is None:
                continue
            value, place = rerun.lower(result)
            if not same or place is None or fingerprint(value) != self.digests[output]:
                raise MutationError(
                    f"{self.origin} gave another result or read other values when it ran again in the backward pass: "
                    "an array it uses was changed in place, or its random numbers do not come from mg.random"
                )
            if output in seeds:
                accumulate(pulled, place, seeds[output])
        rerun.walk_back(pulled, set(), release=True)
        for parent, cotangent in pulled.items():
            accumulate(cotangents, parent, cotangent)


def _record(reverse: Reverse, function: Callable, args: tuple) -> Any:
    """Call `function(*args)`, and replace the tape entries of the call by a Segment."""
    origin = Origin("checkpoint")
    leaves, structure = flatten(args)
    values, parents = zip(*map(reverse.lower, leaves), strict=True) if leaves else ((), ())
    reachable = tuple(isinstance(leaf, ReverseTracer) and leaf.reachable for leaf in leaves)
    length, guards, reverse.guards = len(reverse.tape), reverse.guards, Guards()
    segment, digests, shared = reverse.start + length, {}, {}
    outputs: list[int | None] = []
    try:
        results, result_structure = flatten(function(*args))
        for result in results:
            value, index = reverse.lower(result)
            computed_here = index is not None and index >= segment
            outputs.append(segment + 1 + len(digests) if computed_here else None)
            if computed_here:
                digests[outputs[-1]] = fingerprint(value)
                shared[outputs[-1]] = {min(i, segment) for i in find_shared(reverse, index, segment)}
        reads = fingerprint_reads(reverse, since=length)
    finally:  # digests and reads of the Segment take the place of these entries and guards
        del reverse.tape[length:]
        reverse.guards, reverse.has_removed_entries = guards, True
    reverse.tape.append(
        Segment(function, structure, values, parents, reachable, tuple(outputs), digests, reads, shared, origin)
    )
    for i, output in enumerate(outputs):
        if output is not None:
            results[i] = reverse.append_result(results[i], segment)
    return unflatten(result_structure, results)


def find_shared(reverse: Reverse, index: int, since: int = 0) -> set[int]:
    """Tape indices of the shared values that the one at `index` depends on, except through an operation that makes them
    own (`Traits.own`): inputs, shared results, and checkpointed calls for what is shared inside.

    Entries before `since` and those of an outer tape are returned as they are.
    """
    found: set[int] = set()
    waiting, seen = [index], {index}
    while waiting:
        index = waiting.pop()
        entry = reverse.tape[index - reverse.start] if index >= max(since, reverse.start) else None
        shared, parents = True, ()  # an input, an entry that is not followed, or a call with a shared value inside
        if isinstance(entry, Node) and entry.primitive:
            own = entry.primitive.traits.own
            shared, parents = own is False, entry.parents if own is None else ()
        elif isinstance(entry, Node) and entry.parents:  # a result of a checkpointed call
            shared, parents = False, reverse.tape[entry.parents[0] - reverse.start].shared[index]
        if shared:
            found.add(index)
        new = {parent for parent in parents if parent is not None} - seen
        seen |= new
        waiting += new
    return found


def fingerprint_reads(reverse: Reverse, since: int = 0) -> list[int]:
    """Fingerprints of the guarded arrays, and of the numbers in the entries from position `since` on."""
    reads = [guard.fingerprint for guard in reverse.guards]
    for entry in reverse.tape[since:]:
        if isinstance(entry, Node):
            reads += [fingerprint(x) for x in entry.args if isinstance(x, NEUTRAL)]
        else:
            reads += entry.reads
    return reads
