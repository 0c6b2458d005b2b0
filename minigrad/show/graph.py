"""What a picture shows: the tape as boxes and edges, with the value and the cotangent of everything.

A box is an input, an operation, a constant or a result; a checkpointed call is one operation. An edge is one use of a
value. Backward, it carries what that use adds to the value's cotangent, so x̄ is the sum over the edges that leave x.
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
from minigrad.core.checkpoint import Segment
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.core.interpreter import Tracer, concrete
from minigrad.core.leaves import check_inexact
from minigrad.core.origin import Origin
from minigrad.core.reverse import Node, Reverse, accumulate, pull_back
from minigrad.core.rules import Bilinear, Elementwise, Linear
from minigrad.core.vectors import ones
from minigrad.show.text import function_name, parameters, summary

LARGEST = 150  # operations in a picture
BROADCAST = "Σ ∂·v̄"  # the slope of an argument that was broadcast
LABEL = 4, 24  # numbers, and characters, that stand beside an edge
INPUT, OPERATION, CONSTANT, RESULT = "input", "operation", "constant", "result"


@dataclass(frozen=True)
class Quantity:
    """A value of the tape, and the cotangent that arrived at it: None where the result does not depend on it."""

    symbol: str
    value: Any
    cotangent: Any = None


@dataclass(frozen=True)
class Box:
    """An input, an operation, a constant or a result."""

    role: str
    title: str
    quantities: list[Quantity]  # several only for a checkpointed call
    entries: tuple[int, ...] = ()  # those of the tape that it stands for
    params: list[str] = field(default_factory=list)
    origin: Origin | None = None


@dataclass(frozen=True)
class Edge:
    """One use of a value: an edge from the box that computes it to the box that uses it."""

    source: int
    quantity: int  # which of the source's
    target: int
    argument: str = ""  # its name, where the target has several
    sent: Any = None  # the cotangent it carries back, None where there is none
    slope: str = ""  # how `sent` follows from the cotangent of the target, where a few words say it


@dataclass(frozen=True)
class Drawing:
    """Boxes, every one after those it uses; edges in the order of the arguments of their targets."""

    title: str
    note: str
    boxes: list[Box]
    edges: list[Edge]


def make_drawing(f: Callable, args: tuple) -> Drawing:
    """Run f in reverse mode and back once, from a cotangent of ones at every result."""
    leaves, structure = tree.flatten(args)
    heads = _heads(f, len(args))
    names = [".".join(filter(None, [h, n])) for h, arg in zip(heads, args) for n in tree.names(arg)]
    for leaf in leaves:
        check_inexact(leaf, "draw", "bring it in through a closure, as in mg.draw(lambda x: f(x, n), x)")
    with Reverse(keep_all=True) as reverse:
        watched = [reverse.watch(concrete(leaf), name) for leaf, name in zip(leaves, names)]
        results = f(*tree.unflatten(structure, watched))
    result_names, results = tree.names(results), tree.flatten(results)[0]
    lowered = [reverse.lower(leaf) for leaf in results]
    _check(reverse, result_names, results, lowered)

    seeds: dict[int, Any] = {}
    for value, index in lowered:
        if index is not None:
            accumulate(seeds, index, ones(value))
    builder = _DrawingBuilder(reverse, reverse.pull(seeds, range(len(reverse.tape))))
    for name, (value, index) in zip(result_names, lowered):
        builder.result(name, value, index)
    title = f"{function_name(f)}({', '.join(heads)})"
    return Drawing(title, _note([value for value, _ in lowered]), builder.boxes, builder.edges)


def _heads(f: Callable, count: int) -> list[str]:
    """The names of f's first `count` parameters; where f does not tell them, x or x0, x1, …"""
    try:
        known = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):  # of some functions of C
        known = ()
    heads = [p.name for p in known if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][:count]
    return heads + (["x"] if (count, heads) == (1, []) else [f"x{i}" for i in range(len(heads), count)])


def _check(reverse: Reverse, names: list[str], results: list, lowered: list) -> None:
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
    operations = sum(isinstance(e, Segment) or e.primitive is not None for e in reverse.tape)
    if operations > LARGEST:
        raise OperandError(
            f"draw: {operations:,} operations are too many to read, {LARGEST} fit a picture: draw a part of the "
            "function, shorten its loops (layers, steps), or put parts under mg.checkpoint, which is drawn as one box"
        )


def _note(values: list[Any]) -> str:
    """Where the backward pass starts."""
    arrays = [value for value in values if shape_of(value) != ()]
    if len(values) == 1 and not arrays:
        return "The backward pass starts from a cotangent of 1 at the result."
    if len(values) == 1:
        return "The result is no scalar: the backward pass starts from a cotangent of ones, as for its sum."
    return f"{len(values)} results: the backward pass starts from a cotangent of ones at each, as for the sum of all."


class _DrawingBuilder:
    """Turns the entries of a tape into boxes and edges."""

    def __init__(self, reverse: Reverse, cotangents: list[Any]):
        self.boxes: list[Box] = []
        self.edges: list[Edge] = []
        self.places: dict[int, tuple[int, int]] = {}  # of a tape entry: its box, and which of its quantities it is
        self.reverse, self.cotangents = reverse, cotangents
        for index, entry in enumerate(reverse.tape):
            if isinstance(entry, Segment):
                self.checkpoint(index, entry)
            elif entry.primitive is not None:
                self.operation(index, entry)
            elif not entry.parents:
                name = entry.params["name"]
                last = name.rpartition(".")[2]
                self.add(Box(INPUT, name, [self.quantity(index, last if last.isidentifier() else name)], (index,)))

    def add(self, box: Box, uses: Sequence[tuple] = ()) -> None:
        """A box and the edges that enter it: for each a place, then what else an edge has."""
        number = len(self.boxes)
        self.boxes.append(box)
        self.edges += [Edge(*place, number, *rest) for place, *rest in uses]
        self.places |= {entry: (number, i) for i, entry in enumerate(box.entries)}

    def quantity(self, index: int, symbol: str = "") -> Quantity:
        return Quantity(symbol or _subscript(index), self.reverse.tape[index].result, self.cotangents[index])

    def place(self, index: int | None, value: Any) -> tuple[int, int]:
        """Where a value comes from; a constant gets a box of its own for every use."""
        if index is not None:
            return self.places[index]
        self.add(Box(CONSTANT, "constant", [Quantity("", value)]))
        return len(self.boxes) - 1, 0

    def operation(self, index: int, node: Node) -> None:
        rule, g = node.primitive.rule, self.cotangents[index]
        sent = [None] * len(node.args) if g is None else pull_back(node, g)
        named = len(node.args) > 1 and not rule.variadic
        uses = [
            (self.place(parent, arg), rule.names[i] if named else "", s, "" if s is None else _slope(node, i))
            for i, (parent, arg, s) in enumerate(zip(node.parents, node.args, sent))
        ]
        params = parameters(node.params)
        self.add(Box(OPERATION, node.primitive.name, [self.quantity(index)], (index,), params, node.origin), uses)

    def checkpoint(self, index: int, segment: Segment) -> None:
        """One box for the call and all its results; all uses of one value are one edge."""
        outputs = [output for output in segment.outputs if output is not None]
        sent = {output: self.cotangents[output] for output in outputs if self.cotangents[output] is not None}
        segment.pull(self.reverse, index, sent, set())
        arguments = list(zip(segment.parents, segment.leaves))
        arguments += [(parent, None) for parent in sorted(sent.keys() - set(segment.parents))]  # used, but not given
        uses, met = [], set()
        for parent, leaf in arguments:
            if parent is None or parent not in met:
                g = sent.get(parent)
                uses.append((self.place(parent, leaf), "", g, "" if g is None else "run again"))
            met.add(parent)
        quantities, params = [self.quantity(o) for o in outputs], [function_name(segment.function)]
        self.add(Box(OPERATION, "checkpoint", quantities, (*outputs, index), params, segment.origin), uses)

    def result(self, name: str, value: Any, index: int | None) -> None:
        place = self.place(index, value)
        seed = (None, "") if index is None else (ones(value), "start")
        self.add(Box(RESULT, f"result {name}".strip(), [Quantity("", value)]), [(place, "", *seed)])


def _slope(node: Node, position: int) -> str:
    """How the cotangent of one argument follows from that of the result, in a few words, or empty."""
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
