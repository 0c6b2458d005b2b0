"""Capture: run a function once, and record every primitive it applies to its arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, ParamSpec, overload

import numpy as np

from minigrad.backends import NEUTRAL, Backend, backend_of
from minigrad.collectives.group import rehearse
from minigrad.core import tree
from minigrad.core.checkpoint import awaited
from minigrad.core.errors import OperandTypeError
from minigrad.core.interpreter import Interpreter, Primitive, Tracer
from minigrad.core.origin import Origin
from minigrad.ops import linalg
from minigrad.program.graph import Constant, Graph, Instruction, Kind, is_array, is_dynamic, kind_of
from minigrad.program.program import Program
from minigrad.program.signature import Outside, Signature, fingerprint
from minigrad.program.tuning import DEFAULT, Tuning


class CaptureError(OperandTypeError):
    """The control flow of a function depends on the values of its arguments, so one program cannot replace it."""


class CaptureTracer(Tracer):
    """A value, and the slot that holds it."""

    __slots__ = ("slot",)

    def __init__(self, value: Any, level: object, origin: Origin, slot: int):
        super().__init__(value, level, origin)
        self.slot = slot

    def read_value(self, use: str) -> Any:
        raise CaptureError(
            f"{use} of a value made by {self.origin} inside mg.jit, mg.trace or a loop: a program cannot depend on the "
            "values of its arguments; select with mg.where, index with mg.take, build with mg.asarray, or pass the "
            "deciding value as a Python number"
        )


class Capture(Interpreter):
    """Runs each primitive one level down, and appends an instruction if it depends on an input.

    A result that depends on no input is computed once, during capture, and becomes a constant. Operations between
    processes are always recorded, each to wait for the one before it. During capture they only pretend to send, since
    other processes may have captured this kind of arguments before.
    """

    is_body = False  # whether the function may not run, or not on these values

    def __init__(self) -> None:
        self.level = object()
        self.kinds: list[Kind] = []
        self.instructions: list[Instruction] = []
        self.outside: dict[int, Outside] = {}  # by id
        self.folded: dict[int, Any] = {}  # results that depend on no input, by id
        self.units: dict[int, Any] = {}  # unit tangents and cotangents, by id
        self.last: tuple[CaptureTracer, ...] = ()  # the result of the last operation between processes

    def lift(self, value: Any, origin: Origin | None = None) -> CaptureTracer:
        """A value in a new slot."""
        self.kinds.append(kind_of(value))
        return CaptureTracer(value, self.level, origin or Origin("input"), len(self.kinds) - 1)

    def slot_of(self, x: Any) -> int | None:
        """The slot of a value of this capture; None for any other value."""
        return x.slot if type(x) is CaptureTracer and x.level is self.level else None

    def lower(self, x: Any) -> Any:
        """The value of this capture that a traced value of a derivative inside it wraps."""
        while isinstance(x, Tracer) and self.slot_of(x) is None:
            x = x._value
        return x

    def operand(self, x: Any) -> int | Constant:
        """x as an operand or result of the program."""
        slot = self.slot_of(x)
        if slot is not None:
            return slot
        return Constant(np.asarray(x) if isinstance(x, (list, tuple)) else x, id(x) in self.units)

    def note(self, x: Any, primitive: Primitive) -> None:
        """Remember how an outside array is now. Raises MutationError if it has changed since it was first noted."""
        if is_array(x) and id(x) not in self.units:
            self.outside.setdefault(id(x), Outside(x, fingerprint(x), Origin(primitive.name))).check()

    def note_units(self, array: Any) -> Any:
        self.units[id(array)] = array
        return self.parent.note_units(array)

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        values, collective = self.values_of(args), primitive.traits.collective
        quiet = np.errstate(all="ignore") if self.last else nullcontext()  # of values that were not really sent
        with rehearse() if collective else nullcontext(), quiet:
            y = self.parent.process(primitive, values, params)
        if all(self.slot_of(x) is None for x in args) and not collective:
            self.folded[id(y)] = y
            if any(id(x) in self.units for x in args) and all(not is_array(x) or id(x) in self.units for x in args):
                self.units[id(y)] = y
            for x in args:
                if id(x) not in self.folded:
                    self.note(x, primitive)
            return y
        return self.append(primitive, args, params, y)

    def values_of(self, args: Sequence[Any]) -> list[Any]:
        """The arguments, without what this interpreter wraps around them."""
        return [x._value if self.slot_of(x) is not None else x for x in args]

    def append(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any], y: Any) -> CaptureTracer:
        """Append an instruction whose result is y."""
        for x in args:
            self.note(x, primitive)
        origin, collective = Origin(primitive.name), primitive.traits.collective
        operands = tuple(map(self.operand, args))
        result = self.lift(y, origin)
        awaits = tuple(map(self.operand, map(self.lower, (*awaited(), *(self.last if collective else ())))))
        if collective:
            self.last = (result,)
        self.instructions.append(Instruction(primitive, operands, params, result.slot, origin, awaits))
        return result

    def results_of(self, call: Any, leaves: Sequence[Any]) -> list[Any]:
        """The results of a call, computed one level down."""
        with self.hidden():
            return self.parent.call(call, self.values_of(leaves))

    def call(self, call: Any, leaves: Sequence[Any]) -> list[Any]:
        if any(self.slot_of(x) is not None for x in leaves):
            return call.record(self, leaves)
        results = self.parent.call(call, leaves)
        self.folded |= {id(y): y for y in results}
        return results


def capture(f: Callable, args: tuple, kwargs: dict[str, Any], tuning: Tuning) -> Program:
    """The program of f(*args, **kwargs), before any passes."""
    leaves, structure = tree.flatten((args, kwargs))
    with Capture() as level:
        inputs = [level.lift(leaf) if is_dynamic(leaf) else leaf for leaf in leaves]
        arguments, keywords = tree.unflatten(structure, inputs)
        results, result_structure = tree.flatten(f(*arguments, **keywords))
        outputs = tuple(level.operand(result) for result in results)
    signature = Signature(structure, tuple(kind_of(x) if is_dynamic(x) else Constant(x) for x in leaves))
    slots = tuple(x.slot for x in inputs if isinstance(x, CaptureTracer))
    outside = tuple(level.outside.values())
    backend = _find_backend(
        leaves, [taken.array for taken in outside], [o.value for o in outputs if isinstance(o, Constant)]
    )
    for taken in outside:
        taken.check()
    graph = Graph(backend, tuple(level.kinds), slots, tuple(level.instructions), outputs)
    return Program(graph, signature, result_structure, outside, tuning)


P = ParamSpec("P")


@overload
def trace(f: Callable[P, Any], *, tuning: Tuning = DEFAULT) -> Callable[P, Program]: ...
@overload
def trace(f: np.ndarray | Tracer | Sequence[Any], *rest: Any, **options: Any) -> Any: ...
def trace(f: Any, *rest: Any, tuning: Tuning = DEFAULT, **options: Any) -> Any:
    """`trace(f)(*args)` is the program of everything f does with these arguments; print it.

    Gradients, optimisers and random draws inside f are part of it. Arrays among the arguments (trees of them) become
    inputs; Python numbers and other leaves are fixed. `tuning` has sizes that decide how the program runs. Raises
    CaptureError where f branches on values.

    For an array x, `trace(x, offset, axis1, axis2)` is the sum of its diagonal, as in NumPy.

    >>> import minigrad as mg, numpy as np
    >>> program = mg.trace(mg.grad(lambda x: mg.sum(x * x)))(np.ones(3))
    >>> [instruction.primitive.name for instruction in program.instructions]
    ['multiply', 'sum', 'zeros_like', 'add', 'reshape', 'broadcast_to', 'multiply', 'multiply', 'add']
    """
    if not callable(f) or isinstance(f, (Tracer, *NEUTRAL)) or hasattr(f, "dtype"):
        return linalg.trace(f, *rest, **options)
    if rest or options:
        raise OperandTypeError("trace: give the arguments in a second call, mg.trace(f)(*args)")

    def call(*args: Any, **kwargs: Any) -> Program:
        return capture(f, args, kwargs, tuning)

    return call


def _find_backend(*values: list[Any]) -> Backend:
    """The backend of the first of these lists that contains arrays."""
    arrays = [[x for x in some if is_array(x)] for some in values]
    return backend_of(next(filter(None, arrays), ()))
