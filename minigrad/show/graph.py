"""The content of a picture: the tape as boxes and edges, with values and cotangents.

A box is an input, an operation, a constant or a result; a checkpointed call is one operation. An edge is one use of a
value. Backward, it carries the term that this use adds to the cotangent, so x̄ is the sum over the edges that leave x.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigrad.backends import NEUTRAL
from minigrad.core import tree
from minigrad.core.arrays import describe, is_inexact, shape_of
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.core.interpreter import Tracer, concrete
from minigrad.core.leaves import check_inexact
from minigrad.core.origin import Origin
from minigrad.core.reverse import Entry, Node, Reverse, accumulate, pull_back
from minigrad.core.rules import Bilinear, Elementwise, Linear
from minigrad.core.vectors import ones
from minigrad.show.text import function_name, parameters, summary

MAX_OPERATIONS = 150  # most operations in a picture
BROADCAST = "Σ ∂·v̄"  # written beside the edge of an argument that was broadcast
LABEL = 4, 24  # most numbers and characters beside an edge
INPUT, OPERATION, CONSTANT, RESULT = "input", "operation", "constant", "result"


@dataclass(frozen=True)
class Quantity:
    """A value on the tape and its cotangent, which is None if no result depends on the value."""

    symbol: str
    value: Any
    cotangent: Any = None


@dataclass(frozen=True)
class Box:
    """An input, an operation, a constant or a result."""

    role: str
    title: str
    quantities: list[Quantity]  # several only for a checkpointed call
    entries: tuple[int, ...] = ()  # of the tape, which the box stands for
    params: list[str] = field(default_factory=list)
    origin: Origin | None = None


@dataclass(frozen=True)
class Edge:
    """One use of a value: an edge from the box that computes it to the box that uses it."""

    source: int
    quantity: int  # index among those of the source
    target: int
    argument: str = ""  # its name, if the target has several
    sent: Any = None  # the cotangent it carries back, if any
    slope: str = ""  # how `sent` follows from the cotangent of the target, if that is short


@dataclass(frozen=True)
class Drawing:
    """Boxes in topological order; edges in the order of the arguments of their targets."""

    title: str
    note: str
    boxes: list[Box]
    edges: list[Edge]


def make_drawing(f: Callable, args: tuple) -> Drawing:
    """Run f in reverse mode, pull back ones from every result, and return the boxes and edges."""
    leaves, structure = tree.flatten(args)
    arguments = _argument_names(f, len(args))
    names = [".".join(filter(None, [a, n])) for a, arg in zip(arguments, args) for n in tree.names(arg)]
    for leaf in leaves:
        check_inexact(leaf, "draw")
    with Reverse(keep_all=True) as reverse:
        watched = [reverse.watch(concrete(leaf), name) for leaf, name in zip(leaves, names)]
        results = f(*tree.unflatten(structure, watched))
    result_names, results = tree.names(results), tree.flatten(results)[0]
    lowered = [reverse.lower(leaf) for leaf in results]
    _check_results(reverse, result_names, results, lowered)

    seeds: dict[int, Any] = {}
    for value, index in lowered:
        if index is not None:
            accumulate(seeds, index, ones(value))
    builder = _DrawingBuilder(reverse, reverse.pull(seeds, range(len(reverse.tape))))
    for name, (value, index) in zip(result_names, lowered):
        builder.add_result(name, value, index)
    title = f"{function_name(f)}({', '.join(arguments)})"
    return Drawing(title, _start_note([value for value, _ in lowered]), builder.boxes, builder.edges)


def _argument_names(f: Callable, count: int) -> list[str]:
    """The names of f's first `count` positional parameters; x or x0, x1, … where they are unknown."""
    try:
        known = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):  # some C functions have no signature
        known = ()
    arguments = [p.name for p in known if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][:count]
    return arguments + (["x"] if (count, arguments) == (1, []) else [f"x{i}" for i in range(len(arguments), count)])


def _check_results(reverse: Reverse, names: list[str], results: list, lowered: list) -> None:
    if not results:
        raise OperandTypeError("draw: the function returned nothing; return its result")
    for name, leaf in zip(names, results):
        if not isinstance(leaf, (Tracer, *NEUTRAL)) and not hasattr(leaf, "dtype"):
            raise OperandTypeError(f"draw: result{name and f' {name!r}'} must be an array, got a {type(leaf).__name__}")
        if not is_inexact(leaf):
            raise OperandTypeError(
                f"draw: result{name and f' {name!r}'} is {describe(leaf)}, which has no derivative; "
                "return floating-point results only"
            )
    if all(index is None for _, index in lowered):
        raise OperandError("draw: no result depends on the arguments, so there is nothing to draw")
    operations = sum(not isinstance(e, Node) or e.primitive is not None for e in reverse.tape)
    if operations > MAX_OPERATIONS:
        raise OperandError(
            f"draw: {operations:,} operations are too many to read, the limit is {MAX_OPERATIONS}: draw a part of the "
            "function, shorten its loops (layers, steps), or put parts under mg.checkpoint, which is drawn as one box"
        )


def _start_note(values: list[Any]) -> str:
    """A sentence that says from what the backward pass starts."""
    arrays = [value for value in values if shape_of(value) != ()]
    if len(values) == 1 and not arrays:
        return "The backward pass starts from a cotangent of 1 at the result."
    if len(values) == 1:
        return "The result is not a scalar: the backward pass starts from a cotangent of ones, as for its sum."
    return f"{len(values)} results: the backward pass starts from a cotangent of ones at each, as for the sum of all."


class _DrawingBuilder:
    """Turns the entries of a tape into boxes and edges."""

    def __init__(self, reverse: Reverse, cotangents: list[Any]):
        self.boxes: list[Box] = []
        self.edges: list[Edge] = []
        self.places: dict[int, tuple[int, int]] = {}  # tape entry → its box, index of its quantity
        self.reverse, self.cotangents = reverse, cotangents
        for index, entry in enumerate(reverse.tape):
            if not isinstance(entry, Node):
                self.add_call(index, entry)
            elif entry.primitive is not None:
                self.add_operation(index, entry)
            elif not entry.parents:
                name = entry.params["name"]
                last = name.rpartition(".")[2]
                self.add_box(Box(INPUT, name, [self.quantity(index, last if last.isidentifier() else name)], (index,)))

    def add_box(self, box: Box, uses: Sequence[tuple] = ()) -> None:
        """Add a box and the edges that enter it; a use is (place of the source, *fields of Edge after `target`)."""
        number = len(self.boxes)
        self.boxes.append(box)
        self.edges += [Edge(*place, number, *rest) for place, *rest in uses]
        self.places |= {entry: (number, i) for i, entry in enumerate(box.entries)}

    def quantity(self, index: int, symbol: str = "") -> Quantity:
        return Quantity(symbol or _subscript(index), self.reverse.tape[index].result, self.cotangents[index])

    def locate(self, index: int | None, value: Any) -> tuple[int, int]:
        """The box and quantity that a value comes from; every use of a constant gets its own box."""
        if index is not None:
            return self.places[index]
        self.add_box(Box(CONSTANT, "constant", [Quantity("", value)]))
        return len(self.boxes) - 1, 0

    def add_operation(self, index: int, node: Node) -> None:
        rule, g = node.primitive.rule, self.cotangents[index]
        sent = [None] * len(node.args) if g is None else pull_back(node, g)
        named = len(node.args) > 1 and not rule.variadic
        uses = [
            (self.locate(parent, arg), rule.names[i] if named else "", s, "" if s is None else _slope(node, i))
            for i, (parent, arg, s) in enumerate(zip(node.parents, node.args, sent))
        ]
        params = parameters(node.params)
        self.add_box(Box(OPERATION, node.primitive.name, [self.quantity(index)], (index,), params, node.origin), uses)

    def add_call(self, index: int, call: Entry) -> None:
        """Add one box for the call and all its results; all uses of one value are one edge."""
        outputs = [output for output in call.outputs if output is not None]
        sent = {output: self.cotangents[output] for output in outputs if self.cotangents[output] is not None}
        call.pull(self.reverse, index, sent, set())
        label = "run again" if call.title == "checkpoint" else "own derivative"
        arguments = list(zip(call.parents, call.leaves))
        arguments += [(parent, None) for parent in sorted(sent.keys() - set(call.parents))]  # from a closure
        uses, seen = [], set()
        for parent, leaf in arguments:
            if parent is None or parent not in seen:
                g = sent.get(parent)
                uses.append((self.locate(parent, leaf), "", g, "" if g is None else label))
            seen.add(parent)
        quantities, params = [self.quantity(o) for o in outputs], [*map(function_name, call.details)]
        self.add_box(Box(OPERATION, call.title, quantities, (*outputs, index), params, call.origin), uses)

    def add_result(self, name: str, value: Any, index: int | None) -> None:
        place = self.locate(index, value)
        seed = (None, "") if index is None else (ones(value), "start")
        self.add_box(Box(RESULT, f"result {name}".strip(), [Quantity("", value)]), [(place, "", *seed)])


def _slope(node: Node, position: int) -> str:
    """A short label: how the cotangent of an argument follows from that of the result. Empty if there is none."""
    rule, arg = node.primitive.rule, node.args[position]
    if isinstance(rule, (Linear, Bilinear)):
        return f"{node.primitive.name}ᵀ"
    if not isinstance(rule, Elementwise):
        return ""
    if shape_of(arg) != shape_of(node.result):
        return BROADCAST
    with np.errstate(all="ignore"):
        return f"∂ {summary(pull_back(node, ones(node.result))[position], *LABEL)}"


def _subscript(index: int) -> str:
    return "v" + str(index).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
