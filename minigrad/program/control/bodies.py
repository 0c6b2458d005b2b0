"""Bodies: the functions that control flow is made of, captured as graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from minigrad.backends import NEUTRAL, backend_of
from minigrad.backends.dtypes import is_inexact
from minigrad.collectives.group import rehearse
from minigrad.core import tree
from minigrad.core.arrays import dtype_of, shape_of
from minigrad.core.batching import Call, fill
from minigrad.core.forward import Forward
from minigrad.core.interpreter import (
    Eval,
    Interpreter,
    Primitive,
    Tracer,
    concrete,
    evaluating,
    example_of,
    find_backend,
)
from minigrad.core.reverse import Reverse, accumulate
from minigrad.core.vectors import zeros_like_p
from minigrad.program.capture import Capture, CaptureTracer
from minigrad.program.control.instruction import Inlined, control_p, unpack_p
from minigrad.program.control.kept import Kept, Rerun
from minigrad.program.cost import total_cost
from minigrad.program.graph import Constant, Graph, Kind, is_dynamic
from minigrad.program.passes import remove_dead_code, simplify, substitute
from minigrad.program.program import Program, apply
from minigrad.program.signature import Signature
from minigrad.program.tuning import DEFAULT


@dataclass(frozen=True, eq=False, repr=False)
class Body:
    """A function as a graph of leaves. Its first inputs are `outside`, the values that it uses from outside."""

    graph: Graph
    outside: tuple[Any, ...]
    structure: tree.Structure  # of the result

    def __call__(self, leaves: Sequence[Any]) -> list[Any]:
        """The leaves of the result, operation by operation, given those of `outside` and of the arguments."""
        return apply(self.graph, leaves)

    def push(self, leaves: Sequence, places: Sequence[int], tangents: Iterable[Any]) -> tuple[list, list]:
        """The results and their tangents, None for zero, given those of the leaves at these places."""
        return push_leaves(lambda *moved: self(fill(leaves, places, moved)), [leaves[i] for i in places], tangents)

    def pull(self, leaves: Sequence, places: Sequence[int]) -> tuple[list, Callable]:
        """The results, and the pullback of their cotangents to the leaves at these places. Both are None for zero."""
        return pull_leaves(lambda *moved: self(fill(leaves, places, moved)), [leaves[i] for i in places])

    def move(self, leaves: Sequence[bool]) -> list[bool]:
        """Which results have a derivative, given which leaves move."""
        kinds = self.graph.kinds
        return self._spread(leaves, lambda call, moving: call.move(moving), lambda i: is_inexact(kinds[i.result].dtype))

    def follow(self, leaves: Sequence[bool]) -> tuple[list[bool], bool]:
        """Which results depend on these leaves in any way, and whether a choice or the end of a loop does."""
        read = []

        def ask(call: Any, known: list[bool]) -> Sequence[bool]:
            depends, reads = call.follow(known)
            read.append(reads)
            return depends

        return self._spread(leaves, ask, lambda i: i.primitive is not zeros_like_p), any(read)

    def _spread(self, leaves: Sequence[bool], ask: Callable, counts: Callable) -> list[bool]:
        """Which results are reached from these leaves, by instructions that count; `ask` says which of a call are."""
        reached = {slot for slot, reaches in zip(self.graph.inputs, leaves, strict=True) if reaches}
        blocks: dict[int, Sequence[bool]] = {}  # which results of a call are reached, by the slot of its block
        for i in self.graph.instructions:
            if i.primitive is control_p:
                blocks[i.result] = ask(i.params["call"], [isinstance(x, int) and x in reached for x in i.operands])
            elif i.primitive is unpack_p:
                reaches = blocks[i.operands[0]][i.params["index"]]
            else:
                reaches = bool(reached.intersection(i.reads()))
            if i.primitive is not control_p and reaches and counts(i):
                reached.add(i.result)
        return [isinstance(output, int) and output in reached for output in self.graph.outputs]

    def run(self, leaves: Sequence[Any]) -> list[Any]:
        """The same for plain arrays, by a program."""
        return self._program.run(leaves)

    def hold(self) -> AbstractContextManager:
        """Arrays for inputs and outputs, and a function that computes the outputs from the inputs."""
        return self._program.hold()

    def forget(self) -> Body:
        """The same without the values from outside, for a call, which is given them as leaves."""
        return replace(self, outside=(None,) * len(self.outside))

    def __reduce__(self) -> tuple:
        return Body, (_inline(self.graph), self.outside, self.structure)

    @property
    def kinds(self) -> list[Kind]:
        """Shapes and dtypes of the leaves of the result."""
        return [self.graph.kind(output) for output in self.graph.outputs]

    @cached_property
    def flops(self) -> int:
        return total_cost(self._program.graph).flops

    @cached_property
    def _program(self) -> Program:
        tuning = replace(DEFAULT, threads=1)  # it runs inside of another program
        structure = tree.flatten([0.0] * len(self.graph.outputs))[1]
        return Program(simplify(_inline(self.graph), tuning), Signature(tree.LEAF, ()), structure, (), tuning)


class BodyCapture(Capture):
    """Captures a function that may not run, and not on these values: operations are seen by no other interpreter. Calls
    of functions with their own derivative stay calls."""

    is_body = True

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        if all(self.slot_of(x) is None for x in args) and not primitive.traits.collective:
            return super().process(primitive, args, params)
        examples = self.examples_of(args)
        with evaluating() as interpreter, rehearse() if primitive.traits.collective else nullcontext():
            try:
                y = interpreter.process(primitive, examples, params)
            except np.linalg.LinAlgError:
                y = interpreter.process(primitive, [_identity(x) for x in examples], params)
        return self.append(primitive, args, params, y)

    def results_of(self, call: Any, leaves: Sequence[Any]) -> list[Any]:
        with evaluating() as interpreter:
            return interpreter.call(call, self.examples_of(leaves))

    def examples_of(self, args: Sequence[Any]) -> list[Any]:
        """Plain arrays for traced values, except those whose interpreter has ended: no operation takes them."""
        levels: set[object] = set()
        interpreter: Interpreter = self
        while not isinstance(interpreter, Eval):
            levels.add(interpreter.level)
            interpreter = interpreter.parent
        return [example_of(x) if not isinstance(x, Tracer) or x.level in levels else x for x in args]

    def call(self, call: Any, leaves: Sequence[Any]) -> list[Any]:
        places = [i for i, x in enumerate(leaves) if is_dynamic(x)]
        if type(call).record is not Call.record or all(self.slot_of(leaves[i]) is None for i in places):
            return super().call(call, leaves)
        given = [leaves[i] for i in places]
        body = capture_body(lambda *xs: call.run(fill(leaves, places, xs)), given)
        origins = tuple(getattr(x, "origin", None) for x in body.outside)
        kept = Kept(body.forget(), call, origins, tuple(None if is_dynamic(x) else x for x in leaves), tuple(places))
        return kept.record(self, [*body.outside, *given])

    def checkpoint(self, function: Callable, args: tuple) -> Any:
        leaves, structure = tree.flatten(args)
        places = [i for i, x in enumerate(leaves) if is_dynamic(x)]
        given = [leaves[i] for i in places]
        body = capture_body(lambda *xs: function(*tree.unflatten(structure, fill(leaves, places, xs))), given)
        return tree.unflatten(body.structure, Rerun(body.forget()).record(self, [*body.outside, *given]))


class _InnerCapture(BodyCapture):
    """Records operations on values from outside, too, instead of having them computed before the body runs."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: dict[int, tuple[Any, CaptureTracer]] = {}  # values from outside, and their slots, by id

    def take(self, x: Any) -> Any:
        """A traced value from outside as an input; anything else unchanged."""
        if not isinstance(x, Tracer) or self.slot_of(x) is not None:
            return x
        return self.taken.setdefault(id(x), (x, self.lift(x)))[1]

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        taken = [self.take(x) for x in args]
        with self.hidden():  # or it would take what the interpreters below compute
            return super().process(primitive, taken, params)

    def call(self, call: Any, leaves: Sequence[Any]) -> list[Any]:
        return super().call(call, [self.take(x) for x in leaves])


def push_leaves(f: Callable, primals: Sequence, tangents: Iterable) -> tuple[list, list]:
    """The results of f(*primals), a list, and their tangents, None for zero."""
    with Forward() as level:
        lowered = [level.lower(y) for y in f(*map(level.lift, primals, tangents))]
    return [y for y, _ in lowered], [t for _, t in lowered]


def pull_leaves(f: Callable, primals: Sequence) -> tuple[list, Callable]:
    """The results of f(*primals), a list, and the pullback of a list of cotangents. Cotangents are None for zero, which
    is not pulled back, so that no infinite derivative is multiplied by it."""
    with Reverse() as tape:
        inputs = [tape.watch(x) for x in primals]
        lowered = [tape.lower(y) for y in f(*inputs)]

    def pullback(cotangents: Sequence) -> list:
        seeds: dict[int, Any] = {}
        for g, (_, index) in zip(cotangents, lowered, strict=True):
            if g is not None and index is not None:
                accumulate(seeds, index, g)
        return tape.pull(seeds, [x.index for x in inputs])

    return [y for y, _ in lowered], pullback


def _identity(x: Any) -> Any:
    """Identity matrices of the shape of x, as an example that every matrix function takes; ones if it is smaller."""
    xp, shape = find_backend(x).xp, shape_of(x)
    one = xp.eye(*shape[-2:], dtype=dtype_of(x)) if len(shape) > 1 else xp.ones((), dtype_of(x))
    return xp.broadcast_to(one, shape)


def capture_body(f: Callable, examples: Sequence[Any]) -> Body:
    """f(*leaves) as a graph, captured with leaves of the kinds that it will get.

    What depends on nothing but values from outside is computed once, before a loop runs.
    """
    return _capture(BodyCapture(), f, examples)


def capture_branch(f: Callable, examples: Sequence[Any]) -> Body:
    """The same for a function that may not run at all, so that nothing of it is computed before."""
    return _capture(_InnerCapture(), f, examples)


def _capture(level: BodyCapture, f: Callable, examples: Sequence[Any]) -> Body:
    with level, np.errstate(all="ignore"):  # the values of leaves do not matter
        inputs = [level.lift(example_of(x)) for x in examples]
        results, structure = tree.flatten(f(*inputs))
        outputs = [level.operand(y) for y in results]
    taken = level.taken if isinstance(level, _InnerCapture) else {}
    slots, outside = {key: tracer.slot for key, (_, tracer) in taken.items()}, [x for x, _ in taken.values()]

    def to_slot(operand: int | Constant) -> int | Constant:
        """The operand, with arrays from outside replaced by inputs."""
        if isinstance(operand, int) or isinstance(operand.value, NEUTRAL):
            return operand
        if id(operand.value) not in slots:
            slots[id(operand.value)] = level.lift(operand.value).slot
            outside.append(operand.value)
        return slots[id(operand.value)]

    instructions = [
        i._replace(operands=tuple(map(to_slot, i.operands)), awaits=tuple(x for x in i.awaits if isinstance(x, int)))
        for i in level.instructions
    ]
    outputs = tuple(map(to_slot, outputs))
    backend = backend_of(list(map(concrete, [*examples, *outside])))
    first = (*slots.values(), *[x.slot for x in inputs])
    graph = Graph(backend, tuple(level.kinds), first, tuple(instructions), outputs)
    return Body(remove_dead_code(graph), tuple(outside), structure)


def _inline(graph: Graph) -> Graph:
    """The graph with the operations of calls that have a derivative of their own instead of these calls."""
    kinds, instructions = list(graph.kinds), []
    known: dict[int, int | Constant] = {}  # what takes the place of a slot
    blocks: dict[int, list[int | Constant]] = {}  # the results of a call, by the slot of its block
    for i in graph.instructions:
        operands = substitute(i.operands, known)
        if i.primitive is control_p and isinstance(i.params["call"], Inlined):
            inner = _inline(i.params["call"].body.graph)
            names: dict[int, int | Constant] = dict(zip(inner.inputs, operands, strict=True))
            for j in inner.instructions:
                names[j.result] = len(kinds)
                kinds.append(inner.kinds[j.result])
                instructions.append(j._replace(operands=substitute(j.operands, names), result=len(kinds) - 1))
            blocks[i.result] = list(substitute(inner.outputs, names))
        elif i.primitive is unpack_p and i.operands[0] in blocks:
            known[i.result] = blocks[i.operands[0]][i.params["index"]]
        else:
            instructions.append(i._replace(operands=operands, awaits=substitute(i.awaits, known)))
    outputs = substitute(graph.outputs, known)
    return replace(graph, kinds=tuple(kinds), instructions=tuple(instructions), outputs=outputs)
