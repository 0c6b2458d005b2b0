"""The derivative of a step, cut in two: what runs with the step, and what runs backward, given what the first kept.

before      (outside, state, row)                  → (results, residuals)
after       (outside, row, residuals, cotangents)  → pulled cotangents
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from minigrad.core.batching import fill
from minigrad.core.interpreter import current
from minigrad.program.control.bodies import Body, capture_body
from minigrad.program.control.leaves import find_inexact
from minigrad.program.graph import Graph, Instruction
from minigrad.program.passes import remove_dead_code
from minigrad.program.program import apply


@dataclass(frozen=True)
class Halves:
    """Both parts, as functions of leaves, and what rules take from outside of the step.

    Cotangents of zero are left out: the second part takes those of the results that are `given`, and returns those of
    the places that are `pulled`, so that no infinite derivative is multiplied by zero.
    """

    outside: tuple[Any, ...]
    first: Graph
    second: Graph
    kept: tuple[int, ...]  # slots of the residuals
    given: tuple[bool, ...]
    pulled: tuple[bool, ...]

    def before(self, leaves: Sequence) -> list:
        return apply(self.first, [*self.outside, *leaves])

    def after(self, leaves: Sequence) -> list:
        return apply(self.second, [*self.outside, *leaves])


def cut_derivative(
    body: Body,
    examples: Sequence,
    places: Sequence[int],
    states: int,
    rerun: bool,
    given: Sequence[bool] | None = None,
    kept: Sequence[int] | None = None,
) -> Halves:
    """The derivative of a step for its leaves at these places, given examples of all leaves.

    The residuals are what the second part needs of the step, but for views and what is the same in every step, which
    it computes again. With `rerun`, it computes the whole step again, and the residuals are the state.

    The cotangents of all results are given, or of some: then the residuals are those `kept` for all.
    """
    count, xp = len(body.kinds), body.graph.backend.xp
    inexact = find_inexact(body.kinds)
    given = tuple(i in inexact and (given is None or given[i]) for i in range(count))
    found: list = []  # the number of slots before the pullback, and which cotangents are not zero

    def step(*leaves: Any) -> list:
        cotangents = fill([None] * count, inexact, leaves[len(examples) :])
        y, pullback = body.pull(leaves[: len(examples)], places)
        slots = len(current().kinds)
        pulled = pullback([g if has else None for g, has in zip(cotangents, given, strict=True)])
        found[:] = slots, tuple(g is not None for g in pulled)
        return [*y, *[g for g in pulled if g is not None]]

    whole = capture_body(step, [*examples, *[xp.zeros(*body.kinds[i]) for i in inexact]])
    (slots, pulled), graph, fixed = found, whole.graph, len(whole.outside) + len(body.outside)
    end = len(graph.inputs) - len(inexact)
    inputs, cotangents = graph.inputs[:end], graph.inputs[end:]
    rows = [*inputs[:fixed], *inputs[fixed + states :]]
    same = _find_same(graph, inputs[:fixed])

    def again(i: Instruction) -> bool:
        """Whether the second part computes it, though the first may, too."""
        return rerun or i.result >= slots or i.result in same or i.primitive.view_of is not None

    computed, needed = _trace_back(graph, graph.outputs[count:], {*rows, *cotangents, *(kept or ())}, again)
    if kept is not None and needed:
        raise AssertionError("the pullback of some cotangents reads what that of all does not")
    kept = tuple(needed if kept is None else kept)
    taken = [x for x, i in zip(cotangents, inexact, strict=True) if given[i]]
    first = [i for i in graph.instructions if i.result < slots]
    second = [i for i in graph.instructions if i.result in computed]
    return Halves(
        whole.outside,
        _make_part(graph, inputs, first, (*graph.outputs[:count], *kept)),
        _make_part(graph, (*rows, *kept, *taken), second, graph.outputs[count:]),
        kept,
        given,
        pulled,
    )


def _trace_back(
    graph: Graph, outputs: Iterable[Any], known: set[int], again: Callable[[Instruction], bool]
) -> tuple[set[int], list[int]]:
    """What these outputs need besides known slots: the slots that run `again`, and the others that these read."""
    makers = {i.result: i for i in graph.instructions}
    computed: set[int] = set()
    needed: list[int] = []
    waiting, seen = [x for x in outputs if isinstance(x, int)], set(known)
    while waiting:
        slot = waiting.pop()
        if slot in seen:
            continue
        seen.add(slot)
        if slot in makers and again(makers[slot]):
            computed.add(slot)
            waiting += makers[slot].reads()
        else:
            needed.append(slot)
    return computed, needed


def _find_same(graph: Graph, fixed: Iterable[int]) -> set[int]:
    """The slots that are computed from these alone."""
    found = set(fixed)
    for i in graph.instructions:
        if all(slot in found for slot in (*i.reads(), *i.awaits)):
            found.add(i.result)
    return found


def _make_part(graph: Graph, inputs: Sequence[int], instructions: Sequence, outputs: Sequence) -> Graph:
    part = replace(graph, inputs=tuple(inputs), instructions=tuple(instructions), outputs=tuple(outputs))
    return remove_dead_code(part)
