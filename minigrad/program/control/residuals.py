"""The derivative of a step, cut in two: what runs with the step, and what runs backward, given what the first kept.

before      (outside, state, row)                  → (results, residuals)
after       (outside, row, residuals, cotangents)  → pulled cotangents
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from minigrad.program.control.bodies import Body, capture_body
from minigrad.program.control.leaves import find_inexact
from minigrad.program.graph import Graph
from minigrad.program.passes import remove_dead_code
from minigrad.program.program import apply


@dataclass(frozen=True)
class Halves:
    """Both parts, as functions of leaves, and what rules take from outside of the step."""

    outside: tuple[Any, ...]
    first: Graph
    second: Graph

    def before(self, leaves: Sequence) -> list:
        return apply(self.first, [*self.outside, *leaves])

    def after(self, leaves: Sequence) -> list:
        return apply(self.second, [*self.outside, *leaves])


def cut_derivative(body: Body, examples: Sequence, places: Sequence[int], states: int, rerun: bool) -> Halves:
    """The derivative of a step for its leaves at these places, given examples of all leaves.

    The residuals are what the second part needs of the first, but for views and what is the same in every step, which
    it computes again. With `rerun`, it computes the whole step again, and the residuals are the state.
    """
    moving, count, xp = find_inexact(body.kinds), len(body.kinds), body.graph.backend.xp

    def step(*leaves: Any) -> list:
        values, cotangents = leaves[: len(examples)], leaves[len(examples) :]
        y, pullback = body.pull(values, places)
        return [*y, *pullback(cotangents)]

    whole = capture_body(step, [*examples, *[xp.zeros(*body.kinds[i]) for i in moving]])
    graph, fixed = whole.graph, len(whole.outside) + len(body.outside)
    end = len(graph.inputs) - len(moving)
    inputs, given = graph.inputs[:end], graph.inputs[end:]
    has = {*inputs[:fixed], *inputs[fixed + states :], *given}
    late, same = _follow(graph, given, any), _follow(graph, inputs[:fixed], all)

    makers = {i.result: i for i in graph.instructions}
    kept: list[int] = []
    waiting = [x for x in graph.outputs[count:] if isinstance(x, int)]
    while waiting:
        slot = waiting.pop()
        if slot in has:
            continue
        has.add(slot)
        maker = makers.get(slot)
        if maker and (rerun or slot in late or slot in same or maker.primitive.view_of is not None):
            waiting += maker.reads()
        else:
            kept.append(slot)

    first = [i for i in graph.instructions if i.result not in late]
    second = [i for i in graph.instructions if i.result in has and i.result not in kept]
    return Halves(
        whole.outside,
        _make_part(graph, inputs, first, (*graph.outputs[:count], *kept)),
        _make_part(graph, (*inputs[:fixed], *inputs[fixed + states :], *kept, *given), second, graph.outputs[count:]),
    )


def _follow(graph: Graph, start: Iterable[int], choose: Callable) -> set[int]:
    """These slots and what is computed from any of them, or from all of them alone, or waits for them."""
    found = set(start)
    for i in graph.instructions:
        if choose(slot in found for slot in (*i.reads(), *i.awaits)):
            found.add(i.result)
    return found


def _make_part(graph: Graph, inputs: Sequence[int], instructions: Sequence, outputs: Sequence) -> Graph:
    part = replace(graph, inputs=tuple(inputs), instructions=tuple(instructions), outputs=tuple(outputs))
    return remove_dead_code(part)
