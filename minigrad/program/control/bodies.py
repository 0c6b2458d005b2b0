"""Bodies: the functions that control flow is made of, captured as graphs, and the instruction that runs them.

An instruction has one result. `control` packs the results of a call into one block of bytes, from which `unpack` copies
each of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from minigrad.backends import NEUTRAL, store
from minigrad.core import tree
from minigrad.core.interpreter import Primitive, Tracer, current, find_backend
from minigrad.core.traits import no_flops, traits
from minigrad.program.capture import Capture, CaptureTracer
from minigrad.program.cost import total_cost
from minigrad.program.graph import Constant, Graph, Kind
from minigrad.program.passes import remove_dead_code, simplify
from minigrad.program.program import Program, apply
from minigrad.program.signature import Signature
from minigrad.program.tuning import DEFAULT

ALIGNMENT = 64  # bytes: results begin at multiples of it


@dataclass(frozen=True, eq=False, repr=False)
class Body:
    """A function as a graph of leaves. Its first inputs are `outside`, the values that it uses from outside."""

    graph: Graph
    outside: tuple[Any, ...]
    structure: tree.Structure  # of the result

    def __call__(self, leaves: Sequence[Any]) -> list[Any]:
        """The leaves of the result, operation by operation, given those of `outside` and of the arguments."""
        return apply(self.graph, leaves)

    def run(self, leaves: Sequence[Any]) -> list[Any]:
        """The same for plain arrays, by a program."""
        return self._program.run(leaves)

    def hold(self) -> AbstractContextManager:
        """Arrays for inputs and outputs, and a function that computes the outputs from the inputs."""
        return self._program.hold()

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
        return Program(simplify(self.graph, tuning), Signature(tree.LEAF, ()), structure, (), tuning)


class BodyCapture(Capture):
    """Captures a function that may not run, and not on these values."""


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
        inputs = [level.lift(x) for x in examples]
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

    instructions = [i._replace(operands=tuple(map(to_slot, i.operands)), awaits=()) for i in level.instructions]
    outputs = tuple(map(to_slot, outputs))
    backend = find_backend([*examples, *outside, 0.0][0])
    first = (*slots.values(), *[x.slot for x in inputs])
    graph = Graph(backend, tuple(level.kinds), first, tuple(instructions), outputs)
    return Body(remove_dead_code(graph), tuple(outside), structure)


# The instruction


class _ControlPrimitive(Primitive):
    """Where a graph is applied in another interpreter, the call gives its results instead of a block."""

    def __call__(self, *leaves: Any, call: Any) -> Any:
        return current().call(call, leaves)


class _UnpackPrimitive(Primitive):
    def __call__(self, results: Any, *, index: int, begin: int, kind: Kind) -> Any:
        return results[index]


def _control(b, *leaves, call, out=None):
    """The results of a call, packed into one block of bytes."""
    results = call.forward([b.xp.asarray(x) for x in leaves])
    begins, size = _lay_out(call.kinds)
    block = b.xp.empty(size, np.uint8) if out is None else out
    for y, begin, kind in zip(results, begins, call.kinds, strict=True):
        _part(block, begin, kind)[...] = y
    return block


def _unpack(b, block, *, index, begin, kind, out=None):
    """A copy of one result."""
    part = _part(block, begin, kind)
    return part.copy() if out is None else store(part, out)


control_p = _ControlPrimitive("control", _control)
unpack_p = _UnpackPrimitive("unpack", _unpack)
traits(control_p, flops=lambda operands, result, params: params["call"].flops)
traits(unpack_p, flops=no_flops)


def _part(block: Any, begin: int, kind: Kind) -> Any:
    return block[begin : begin + kind.bytes].view(kind.dtype).reshape(kind.shape)


def _lay_out(kinds: Sequence[Kind]) -> tuple[list[int], int]:
    """Where each result begins in a block, and the size of the block, in bytes."""
    ends = [0, *itertools.accumulate(-(-kind.bytes // ALIGNMENT) * ALIGNMENT for kind in kinds)]
    return ends[:-1], max(ends[-1], 1)


def record(capture: Capture, call: Any, leaves: Sequence[Any], examples: Sequence[Any] | None = None) -> list[Any]:
    """The results of a call, as one instruction and copies of its results. The call runs unless `examples` of its
    results are given."""
    with capture.hidden():
        results = examples or capture.parent.call(call, capture.values_of(leaves))
    begins, size = _lay_out(call.kinds)
    block = capture.append(control_p, leaves, {"call": call}, np.broadcast_to(np.uint8(0), (size,)))
    return [
        capture.append(unpack_p, (block,), {"index": i, "begin": begin, "kind": kind}, y)
        for i, (begin, kind, y) in enumerate(zip(begins, call.kinds, results, strict=True))
    ]
