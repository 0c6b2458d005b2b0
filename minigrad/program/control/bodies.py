"""Bodies: the functions that control flow is made of, captured as graphs, and the instruction that runs them.

An instruction has one result. `control` packs the results of a call into one block of bytes, from which `unpack` copies
each of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from minigrad.backends import NEUTRAL, backend_of, store
from minigrad.core import tree
from minigrad.core.arrays import dtype_of, shape_of
from minigrad.core.batching import Call
from minigrad.core.errors import EscapedTracerError
from minigrad.core.interpreter import Primitive, Tracer, concrete, current, find_backend, refuse_traced
from minigrad.core.origin import Origin
from minigrad.core.traits import no_flops, traits
from minigrad.program.capture import Capture, CaptureTracer
from minigrad.program.control.leaves import fill
from minigrad.program.cost import total_cost
from minigrad.program.graph import Constant, Graph, Kind, is_dynamic
from minigrad.program.passes import remove_dead_code, simplify, substitute
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
    """Captures a function that may not run, and not on these values. Calls of functions with their own derivative stay
    calls."""

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        try:
            return super().process(primitive, args, params)
        except np.linalg.LinAlgError:
            example = self.parent.process(primitive, [_identity(x) for x in args], params)
            return self.append(primitive, args, params, example)

    def call(self, call: Any, leaves: Sequence[Any]) -> list[Any]:
        places = [i for i, x in enumerate(leaves) if is_dynamic(x)]
        if type(call).record is not Call.record or all(self.slot_of(leaves[i]) is None for i in places):
            return super().call(call, leaves)
        given = [leaves[i] for i in places]
        body = capture_body(lambda *xs: call.run(fill(leaves, places, xs)), self.values_of(given))
        origins = tuple(getattr(x, "origin", None) for x in body.outside)
        kept = _Kept(call, body.forget(), origins, tuple(None if is_dynamic(x) else x for x in leaves), tuple(places))
        return kept.record(self, [*body.outside, *given])


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
    backend = backend_of(list(map(concrete, [*examples, *outside])))
    first = (*slots.values(), *[x.slot for x in inputs])
    graph = Graph(backend, tuple(level.kinds), first, tuple(instructions), outputs)
    return Body(remove_dead_code(graph), tuple(outside), structure)


@dataclass(frozen=True, eq=False, repr=False)
class _Kept(Call):
    """A call with a derivative of its own, as an instruction. Its leaves are those of `body.outside`, which have no
    derivative, and those that are arrays. A program runs its operations."""

    inner: Call
    body: Body
    origins: tuple[Origin | None, ...]  # of what it takes from outside
    row: tuple[Any, ...]  # its leaves, of which some are arrays
    places: tuple[int, ...]  # of arrays

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def reads_results(self) -> bool:
        return self.inner.reads_results

    @property
    def kinds(self) -> list[Kind]:
        return self.body.kinds

    @property
    def flops(self) -> int:
        return self.body.flops

    def __str__(self) -> str:
        return self.name

    def record(self, interpreter: Any, leaves: Sequence) -> list:
        return record(interpreter, self, leaves) if isinstance(interpreter, BodyCapture) else self.run(leaves)

    def run(self, leaves: Sequence) -> list:
        return self.body(leaves)

    def forward(self, leaves: Sequence) -> list:
        return self.body.run(leaves)

    def push(self, leaves: Sequence, tangents: Sequence) -> tuple[list, list]:
        first = len(self.body.outside)
        refuse_traced(self, [o for o, t in zip(self.origins, tangents) if t is not None])
        row = fill([None] * len(self.row), self.places, tangents[first:])
        with self._explain():
            return self.inner.push(self._fill(leaves), row)

    def pull(self, leaves: Sequence, wanted: Sequence[bool]) -> tuple[list, Callable]:
        first = len(self.body.outside)
        refuse_traced(self, [o for o, want in zip(self.origins, wanted) if want])
        row = fill([False] * len(self.row), self.places, wanted[first:])
        with self._explain():
            results, pullback = self.inner.pull(self._fill(leaves), row)

        def pull_leaves(cotangents: Sequence) -> list:
            with self._explain():
                pulled = pullback(cotangents)
            return [*[None] * first, *[pulled[i] for i in self.places]]

        return results, pull_leaves

    @contextmanager
    def _explain(self) -> Iterator[None]:
        """Explain the error of a rule that uses a value of the step in which the function was captured."""
        try:
            yield
        except EscapedTracerError:
            refuse_traced(self, [o for o in self.origins if o])
            raise

    def _fill(self, leaves: Sequence) -> list:
        return fill(self.row, self.places, leaves[len(self.body.outside) :])


def _inline(graph: Graph) -> Graph:
    """The graph with the operations of calls that have a derivative of their own instead of these calls."""
    kinds, instructions = list(graph.kinds), []
    known: dict[int, int | Constant] = {}  # what takes the place of a slot
    blocks: dict[int, list[int | Constant]] = {}  # the results of a call, by the slot of its block
    for i in graph.instructions:
        operands = substitute(i.operands, known)
        if i.primitive is control_p and isinstance(i.params["call"], _Kept):
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
            instructions.append(i._replace(operands=operands))
    outputs = substitute(graph.outputs, known)
    return replace(graph, kinds=tuple(kinds), instructions=tuple(instructions), outputs=outputs)


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
traits(control_p, any_dtype=True, flops=lambda operands, result, params: params["call"].flops)
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
