"""Checkpoints: a call of which the tape keeps only the arguments, and which runs again when its derivative is due.

    forward    x → y        the tape entries made by f are taken off again; a `Segment` stands for them
    backward   ȳ → x̄        f runs again on a tape of its own, and ȳ is pulled through that

Memory falls for the price of one more evaluation. The second run must read and give what the first did, which
fingerprints show.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from minigrad.backends import NEUTRAL
from minigrad.core.errors import MutationError
from minigrad.core.guards import Guards, fingerprint
from minigrad.core.interpreter import current
from minigrad.core.origin import Origin
from minigrad.core.reverse import Node, Reverse, ReverseTracer, accumulate
from minigrad.core.tree import Structure, flatten, unflatten


def checkpoint(f: Callable) -> Callable:
    """f, but in reverse mode only its arguments are remembered, and it runs again when its derivative is due.

    Memory falls for the price of one more evaluation, provided reverse mode is the innermost derivative. Random draws
    repeat exactly, since they are functions of keys; if f gives another result the second time, MutationError is
    raised. Traced values that f makes must leave it as results.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        interpreter = current()
        if isinstance(interpreter, Reverse):
            return _record(interpreter, partial(f, **kwargs) if kwargs else f, args)
        return f(*args, **kwargs)

    return call


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

    @property
    def values(self) -> tuple:
        """The values that the tape keeps for it."""
        return self.leaves

    def pull(self, reverse: Reverse, index: int, cotangents: dict[int, Any], wanted: set[int]) -> None:
        """Run the call again, recording, and pull the cotangents of its results through it."""
        seeds = {o: cotangents[o] for o in self.outputs if o is not None and o in cotangents}
        for output in seeds.keys() - wanted:
            del cotangents[output]
        if not seeds:
            return
        leaves = [
            value if parent is None else ReverseTracer(value, reverse.level, self.origin, parent, reachable)
            for value, parent, reachable in zip(self.leaves, self.parents, self.reachable, strict=True)
        ]
        with Reverse(reverse.level, start=index, keep_all=reverse.keep_all) as again:
            results, _ = flatten(self.function(*unflatten(self.structure, leaves)))
        same = len(results) == len(self.outputs) and fingerprint_reads(again) == self.reads
        sent: dict[int, Any] = {}
        for result, output in zip(results, self.outputs, strict=False):
            if output is None:
                continue
            value, place = again.lower(result)
            if not same or place is None or fingerprint(value) != self.digests[output]:
                raise MutationError(
                    f"{self.origin} gave another result or read other values when it ran again for its derivative: "
                    "an array it uses was changed in place, or its noise is no function of a key (use mg.random)"
                )
            if output in seeds:
                accumulate(sent, place, seeds[output])
        again.walk_back(sent, set(), release=True)
        for earlier, cotangent in sent.items():
            accumulate(cotangents, earlier, cotangent)


def _record(reverse: Reverse, function: Callable, args: tuple) -> Any:
    """Call `function(*args)` and put a Segment on the tape in place of what it did."""
    origin = Origin("checkpoint")
    leaves, structure = flatten(args)
    values, parents = zip(*map(reverse.lower, leaves), strict=True) if leaves else ((), ())
    reachable = tuple(isinstance(leaf, ReverseTracer) and leaf.reachable for leaf in leaves)
    length, guards, reverse.guards = len(reverse.tape), reverse.guards, Guards()
    segment, digests = reverse.start + length, {}
    outputs: list[int | None] = []
    try:
        results, result_structure = flatten(function(*args))
        for result in results:
            value, index = reverse.lower(result)
            made_here = index is not None and index >= segment
            outputs.append(segment + 1 + len(digests) if made_here else None)
            if made_here:
                digests[outputs[-1]] = fingerprint(value)
        reads = fingerprint_reads(reverse, since=length)
    finally:
        del reverse.tape[length:]
        reverse.guards, reverse.has_removed_entries = guards, True
    reverse.tape.append(
        Segment(function, structure, values, parents, reachable, tuple(outputs), digests, reads, origin)
    )
    for i, output in enumerate(outputs):
        if output is not None:
            results[i] = reverse.append_result(results[i], segment)
    return unflatten(result_structure, results)


def fingerprint_reads(reverse: Reverse, since: int = 0) -> list[int]:
    """Fingerprints of what derivatives of a tape from `since` on will read: guarded arrays, and numbers."""
    reads = [guard.fingerprint for guard in reverse.guards]
    for entry in reverse.tape[since:]:
        if isinstance(entry, Node):
            reads += [fingerprint(x) for x in entry.args if isinstance(x, NEUTRAL)]
        else:
            reads += entry.reads
    return reads
