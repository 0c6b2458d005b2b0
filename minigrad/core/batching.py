"""Batching: a function of one example runs on many at once, without a loop.

A batched value holds the values of all examples in one array, whose first axis counts them; its own shape lacks that
axis. `Batch` runs each primitive one level down by a *batching statement*, which stands beside the rule:

    (none)                        elementwise: axes of length 1 are inserted, so that each example broadcasts alone
    batched(f, axis=shift_axis)   the same primitive of arrays with one more axis in front, and changed parameters
    batched(f, statement)         everything else: statement(size, args, is_batched, **params) returns the result of all
                                  `size` examples, given arguments of which some have the axis in front

Statements are written with operations, so every interpreter below sees those: vmap nests with derivatives and programs
in any order.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from minigrad.core.arrays import describe, shape_of
from minigrad.core.errors import MissingRuleError, OperandTypeError
from minigrad.core.interpreter import Interpreter, Primitive, Tracer, example_of
from minigrad.core.origin import Origin
from minigrad.core.rules import Elementwise
from minigrad.core.traits import along_any_axis
from minigrad.core.vectors import (
    broadcast_to_p,
    concatenate_p,
    copy_p,
    reshape_p,
    sum_to_p,
    transpose_p,
    zeros_like_p,
)


class BatchTracer(Tracer):
    """The values of all examples, in one array whose first axis counts them."""

    __slots__ = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return shape_of(self._value)[1:]

    def example(self) -> Any:
        values = example_of(self._value)
        return values[0] if len(values) else np.zeros_like(values, shape=self.shape)

    def read_value(self, use: str) -> Any:
        raise OperandTypeError(
            f"{use} of a value made by {self.origin} inside mg.vmap: each example has a value of its own; select with "
            "mg.where, index with mg.take, or loop over the examples"
        )


class Batch(Interpreter):
    """Runs each primitive one level down for `size` examples at once."""

    def __init__(self, size: int, level: object | None = None) -> None:
        self.level, self.size = level or object(), size

    def lift(self, value: Any) -> BatchTracer:
        """A traced input, given the values of all examples along the first axis."""
        return BatchTracer(value, self.level, Origin("input"))

    def is_batched(self, x: Any) -> bool:
        """Whether each example has its own x."""
        return type(x) is BatchTracer and x.level is self.level

    def lower(self, x: Any) -> tuple[Any, bool]:
        """(value, whether it has an axis of examples in front) of x."""
        return (x._value, True) if self.is_batched(x) else (x, False)

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        if not any(map(self.is_batched, args)):
            return self.parent.process(primitive, args, params)
        values, is_batched = zip(*map(self.lower, args))
        y = _statement_of(primitive)(self.size, values, is_batched, **params)
        if shape_of(y)[:1] != (self.size,):
            raise AssertionError(f"the batching of '{primitive.name}' gave {describe(y)} for {self.size} examples")
        return BatchTracer(y, self.level, Origin(primitive.name))

    def call(self, call: Any, leaves: Sequence[Any]) -> list[Any]:
        values, is_batched = zip(*map(self.lower, leaves)) if leaves else ((), ())
        if not any(is_batched):
            return self.parent.call(call, values)
        return call.batch(self, values, is_batched)

    def again(self) -> Batch:
        """An interpreter for the same batched values, to continue with them later."""
        return Batch(self.size, self.level)


class Call:
    """What `Interpreter.call` is given: a function of leaves that interpreters see as a whole. `name` is printed.

    `reads_results` is true if the pullback may read the results, which are then guarded against changes, and
    `takes_none` if the pullback takes None for a cotangent of zero, too, so that nothing is pulled back from there.

    `push` and `pull` are its derivatives: push(leaves, tangents) -> (results, their tangents), with None for tangents
    of zero, and pull(leaves, wanted) -> (results, pullback), whose pullback takes a list of cotangents and returns
    another, with None for zero or for leaves that are not `wanted`.
    """

    name: str
    reads_results = False
    takes_none = False

    def run(self, leaves: Sequence) -> list:
        """The results, by operations."""
        raise NotImplementedError

    def record(self, interpreter: Interpreter, leaves: Sequence) -> list:
        """The results as a part of a program that the interpreter captures."""
        return self.run(leaves)

    def batch(self, batch: Batch, leaves: Sequence, is_batched: Sequence[bool]) -> list:
        """The results for all examples as batched values, given leaves of which some have the axis in front."""
        return [batch.lift(y) for y in batch.parent.call(_BatchedCall(self, batch, is_batched), leaves)]

    def move(self, leaves: Sequence[bool]) -> Iterable[bool]:
        """Which results have a derivative, given which leaves move."""
        return itertools.repeat(any(leaves))

    def follow(self, leaves: Sequence[bool]) -> tuple[Iterable[bool], bool]:
        """Which results depend on these leaves in any way, and whether a choice or the end of a loop does."""
        return itertools.repeat(any(leaves)), False

    def push(self, leaves: Sequence, tangents: Sequence) -> tuple[list, list]:
        raise NotImplementedError

    def pull(self, leaves: Sequence, wanted: Sequence[bool]) -> tuple[list, Callable]:
        raise NotImplementedError


class _BatchedCall(Call):
    """A call for all examples at once, as a call one level down."""

    def __init__(self, call: Call, batch: Batch, is_batched: Sequence[bool]):
        self._call, self._batch, self._is_batched = call, batch, is_batched
        self.name, self.reads_results, self.takes_none = call.name, call.reads_results, call.takes_none

    def run(self, leaves: Sequence) -> list:
        with self._batch.again() as batch:
            return self._lower(batch, self._call.run(self._lift(batch, leaves)))

    def move(self, leaves: Sequence[bool]) -> Iterable[bool]:
        return self._call.move(leaves)

    def follow(self, leaves: Sequence[bool]) -> tuple[Iterable[bool], bool]:
        return self._call.follow(leaves)

    def push(self, leaves: Sequence, tangents: Sequence) -> tuple[list, list]:
        with self._batch.again() as batch:
            results, dots = self._call.push(self._lift(batch, leaves), self._lift(batch, tangents))
            moving = [i for i, t in enumerate(dots) if t is not None]
            found = self._lower(batch, [dots[i] for i in moving])
            return self._lower(batch, results), fill([None] * len(dots), moving, found)

    def pull(self, leaves: Sequence, wanted: Sequence[bool]) -> tuple[list, Callable]:
        with self._batch.again() as batch:
            results, pullback = self._call.pull(self._lift(batch, leaves), wanted)
            results = self._lower(batch, results)

        def pull_all(cotangents: Sequence) -> list:
            with self._batch.again() as batch:
                pulled = pullback([None if g is None else batch.lift(g) for g in cotangents])
                found = [None if g is None else self._lower(batch, [g])[0] for g in pulled]
            return [
                g if g is None or own else reshape_p(sum_to_p(g, shape=(1, *shape_of(g)[1:])), shape=shape_of(g)[1:])
                for g, own in zip(found, self._is_batched, strict=True)
            ]

        return results, pull_all

    def _lift(self, batch: Batch, values: Sequence) -> list:
        return [batch.lift(x) if own and x is not None else x for x, own in zip(values, self._is_batched)]

    def _lower(self, batch: Batch, results: Sequence) -> list:
        """The results for all examples, with the axis of examples in front."""
        return repeat(batch.size, *zip(*map(batch.lower, results))) if results else []


def batched(
    primitive: Primitive, statement: Callable[..., Any] | None = None, /, **changes: Callable[..., Any]
) -> Primitive:
    """State how a primitive is batched: by a statement, or by parameters changed for one more axis in front."""
    primitive.batching = statement or _make_shifted(primitive, changes)
    return primitive


def _statement_of(primitive: Primitive) -> Callable[..., Any]:
    """The batching statement of a primitive. Raises MissingRuleError if it has none and is not elementwise."""
    if primitive.batching is None:
        if not (isinstance(primitive.rule, Elementwise) or primitive.traits.cuts is along_any_axis):
            raise MissingRuleError(
                f"'{primitive.name}' has no batching statement, so mg.vmap cannot pass through it: state one with "
                "minigrad.core.batched, or loop over the examples"
            )
        primitive.batching = elementwise(primitive)
    return primitive.batching


def elementwise(primitive: Primitive) -> Callable:
    """The statement of a primitive whose arguments broadcast, all or those axes in front."""

    def statement(size: int, args: Sequence, is_batched: Sequence[bool], /, **params: Any) -> Any:
        return primitive(*align(args, is_batched), **params)

    return statement


def _make_shifted(primitive: Primitive, changes: dict[str, Callable]) -> Callable:
    """The statement of a primitive that treats one more axis in front as it treats the others."""

    def statement(size: int, args: Sequence, is_batched: Sequence[bool], /, **params: Any) -> Any:
        changed = {name: change(params[name], size) for name, change in changes.items()}
        return primitive(*repeat(size, args, is_batched), **{**params, **changed})

    return statement


# Functions for statements


def align(args: Sequence, is_batched: Sequence[bool]) -> list:
    """The arguments with axes of length 1 after that of the examples, so that each example broadcasts alone."""
    ndim = max(len(shape_of(x)) - b for x, b in zip(args, is_batched))
    return [insert_axes(x, ndim) if b else x for x, b in zip(args, is_batched)]


def insert_axes(x: Any, ndim: int) -> Any:
    """x, with the axis of examples in front, with axes of length 1 inserted after it, so that an example has `ndim`."""
    shape = shape_of(x)
    missing = ndim + 1 - len(shape)
    return reshape_p(x, shape=(shape[0], *(1,) * missing, *shape[1:])) if missing > 0 else x


def repeat(size: int, args: Sequence, is_batched: Sequence[bool]) -> list:
    """The arguments, all with the axis of examples in front: what all examples share is repeated, as a view."""
    return [x if b else broadcast_to_p(x, shape=(size, *shape_of(x))) for x, b in zip(args, is_batched)]


def fill(row: Sequence, places: Sequence[int], values: Sequence) -> list:
    """The row with these values at these places."""
    filled = list(row)
    for place, value in zip(places, values, strict=True):
        filled[place] = value
    return filled


def move_axis(x: Any, source: int, target: int) -> Any:
    """x with one axis moved to another place."""
    axes = list(range(len(shape_of(x))))
    axes.insert(target, axes.pop(source))
    return transpose_p(x, axes=tuple(axes)) if source != target else x


def shift_axis(axis: int, size: int) -> int:
    return axis + 1


def shift_axes(axes: Sequence[int], size: int) -> tuple[int, ...]:
    return tuple(axis + 1 for axis in axes)


def shift_shape(shape: Sequence[int], size: int) -> tuple[int, ...]:
    return (size, *shape)


def shift_index(index: tuple, size: int) -> tuple:
    return (slice(None), *index)


# Batching of the operations in `minigrad.core.vectors`; the others there are elementwise


def _batch_broadcast_to(size: int, args: Sequence, is_batched: Sequence[bool], *, shape: tuple[int, ...]) -> Any:
    return broadcast_to_p(insert_axes(args[0], len(shape)), shape=(size, *shape))


def _batch_sum_to(size: int, args: Sequence, is_batched: Sequence[bool], *, shape: tuple[int, ...]) -> Any:
    leading = len(shape_of(args[0])) - 1 - len(shape)
    return reshape_p(sum_to_p(args[0], shape=(size, *(1,) * leading, *shape)), shape=(size, *shape))


batched(broadcast_to_p, _batch_broadcast_to)
batched(sum_to_p, _batch_sum_to)
batched(zeros_like_p)
batched(copy_p)
batched(reshape_p, shape=shift_shape)
batched(transpose_p, axes=lambda axes, size: (0, *shift_axes(axes, size)))
batched(concatenate_p, axis=shift_axis)
