"""Functional updates: mg.at(x)[index].set(v), .add(v), … are copies of x in which the elements x[index] are changed.

`update` replaces a slice, and `put` replaces what integer arrays pick, or adds to it; both are linear in x and v
together. Every other operation is applied to x[index] before that.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backends.dtypes import is_numeric, result_type
from minigrad.core.arrays import describe, dtype_of, shape_of
from minigrad.core.batching import batched, insert_axes, repeat, shift_axes, shift_index
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.core.interpreter import Tracer, find_backend, primitive
from minigrad.core.rules import constant, linear
from minigrad.core.traits import no_flops, traits
from minigrad.core.vectors import (
    add_p,
    broadcast,
    concatenate_p,
    multiply_p,
    reshape_p,
    sum_back,
    transpose_p,
    where_p,
    zeros_like_p,
)
from minigrad.ops.arithmetic import add, divide, maximum, minimum, multiply, negative
from minigrad.ops.extremes import argsort
from minigrad.ops.functions import power
from minigrad.ops.indexing import gather_p, getitem, locate, positions, resolve, slice_p, take, with_example
from minigrad.ops.shape import astype, moveaxis


def _copy_to(b, x, out):
    """A copy of x: in new memory, or in `out`, which may be the memory of x itself."""
    if out is None:
        return b.xp.array(x)
    if b.address(x) != b.address(out) or x.strides != out.strides:
        out[...] = x
    return out


@primitive("update")
def update_p(b, x, v, *, index, out=None):
    """x with v, which broadcasts, in place of x[index], a slice."""
    y = _copy_to(b, x, out)
    y[index] = v
    return y


linear(
    update_p,
    x=lambda g, index: update_p(g, 0, index=index),
    v=lambda g, v, index: sum_back(slice_p(g, index=index), v.shape),
)


def _batch_update(size, args, is_batched, *, index):
    x, v = repeat(size, args[:1], is_batched[:1])[0], args[1]
    index = shift_index(index, size)
    v = insert_axes(v, len(shape_of(slice_p(x, index=index))) - 1) if is_batched[1] else v
    return update_p(x, v, index=index)


batched(update_p, _batch_update)
traits(update_p, flops=no_flops, recordable=True, edits=0)


@primitive("put")
def put_p(b, x, v, indices, *, axes, add=False, out=None):
    """x with v, which broadcasts, in place of the elements that gather picks, or added to them. Of repeated positions
    the last v stays; with `add`, they accumulate."""
    y = _copy_to(b, x, out)
    if add:
        b.add_at(y, positions(indices, axes), v)
        return y
    if indices[0].size > 1 and np.ndim(v):  # neither NumPy nor CuPy says in which order they write
        last = _find_last(b.xp, indices, [x.shape[axis] for axis in axes])
        lead, rest = x.shape[: axes[0]], x.shape[axes[-1] + 1 :]
        v = b.xp.broadcast_to(v, (*lead, *indices.shape[1:], *rest)).reshape(*lead, len(last), *rest)
        v = b.xp.take(v, last, axis=axes[0]).reshape(*lead, *indices.shape[1:], *rest)
    y[positions(indices, axes)] = v
    return y


def _find_last(xp, indices, lengths):
    """For each of the flattened positions, the number of the last one that is the same."""
    place = 0
    for row, length in zip(indices, lengths, strict=True):
        place = place * length + row.ravel() % length
    order = xp.argsort(place, kind="stable")
    place = place[order]
    last = xp.empty_like(order)
    last[order] = order[xp.searchsorted(place, place, side="right") - 1]
    return last


@constant
@primitive("is_last")
def is_last_p(b, indices, *, lengths, out=None):
    """Whether no later position is the same, for each position that `indices` gives along axes of these lengths."""
    last = _find_last(b.xp, indices, lengths).reshape(indices.shape[1:])
    return b.xp.equal(last, b.xp.arange(last.size).reshape(last.shape), out=out)


def _pull_put(g, v, indices, axes, add):
    """The cotangent of v: g at its positions, but 0 where a later v takes the place."""
    picked = gather_p(g, indices, axes=axes)
    if not add:
        last = is_last_p(indices, lengths=tuple(shape_of(g)[axis] for axis in axes))
        rest = [1] * (len(shape_of(g)) - axes[-1] - 1)
        picked = where_p(reshape_p(last, shape=(*shape_of(last), *rest)), picked, 0)
    return sum_back(picked, v.shape)


linear(
    put_p,
    x=lambda g, indices, axes, add: g if add else put_p(g, 0, indices, axes=axes),
    v=_pull_put,
    indices=None,
)


def _batch_put(size, args, is_batched, *, axes, add=False):
    x, v, indices = args
    (x,) = repeat(size, [x], is_batched[:1])
    axes, count = shift_axes(axes, size), len(shape_of(indices)) - 1 - is_batched[2]
    if is_batched[1]:
        v = insert_axes(v, len(shape_of(x)) - 1 - len(axes) + count)
    if not is_batched[2]:
        return put_p(x, v, indices, axes=axes, add=add)
    if shape_of(v):
        v = repeat(size, [v], is_batched[1:2])[0]
        v = moveaxis(v, range(axes[0], axes[0] + count), range(1, count + 1))
    first = tuple(range(len(axes) + 1))
    y = put_p(moveaxis(x, axes, first[1:]), v, with_example(indices, size), axes=first, add=add)
    return moveaxis(y, first[1:], axes)


batched(put_p, _batch_put)
batched(
    is_last_p,
    lambda size, args, is_batched, lengths: is_last_p(with_example(args[0], size), lengths=(size, *lengths)),
)
traits(put_p, flops=no_flops, edits=0)


_OPERATIONS = {"add": add, "multiply": multiply, "divide": divide, "power": power, "max": maximum, "min": minimum}
_COMBINED = {"multiply": multiply, "divide": multiply, "power": multiply, "max": maximum, "min": minimum}
"""By name, what a method does with x[index] and v, and how it first combines the v of a repeated position."""


class at:
    """x, to be changed at an index: `mg.at(x)[index].add(v)`. Every method returns a new array; x stays as it is.

    The index has any form that x[index] takes: integers, slices, None, Ellipsis, integer arrays, traced integers,
    boolean arrays. v broadcasts to the shape of x[index]. The result has the dtype of x, to which v is cast; as with
    NumPy's x += v, a v of another kind (a float for an integer x) is an OperandTypeError.

    Integer arrays may repeat a position. Then `set` keeps the last v, and those before it get no derivative. All other
    methods apply every v, as np.add.at does: `divide` divides by the product of the v of a position, `power` raises to
    it. At a tie, `max` and `min` share the derivative as mg.maximum does, pair by pair.

    A program of `mg.jit` writes the result over x if x is donated, or an intermediate value that nobody else needs.

    Raises OperandError if v does not broadcast, OperandIndexError for an index that x[index] does not take.

    >>> import minigrad as mg, numpy as np
    >>> x = np.array([1.0, 2.0, 3.0])
    >>> mg.at(x)[[0, 0, 2]].add(10)
    array([21.,  2., 13.])
    >>> float(mg.grad(lambda v: mg.sum(mg.at(x)[1:].multiply(v)))(2.0))
    5.0
    """

    __slots__ = ("_x",)

    def __init__(self, x: Any, /):
        self._x = x if hasattr(x, "dtype") and not isinstance(x, np.generic) else np.asarray(x)
        if not is_numeric(dtype_of(self._x)):
            raise OperandTypeError(f"at: x must be an array of numbers, got {describe(x)}")

    def __getitem__(self, index: Any) -> Place:
        return Place(self._x, index)

    def __repr__(self) -> str:
        return f"at({self._x!r})"


class Place:
    """The elements x[index], to be changed in a copy of x (`at`)."""

    __slots__ = ("_index", "_x")

    def __init__(self, x: Any, index: Any):
        self._x, self._index = x, index

    def __repr__(self) -> str:
        return f"at({self._x!r})[{self._index!r}]"

    def get(self) -> Any:
        """x[index]."""
        return getitem(self._x, self._index)

    def set(self, v: Any, /) -> Any:
        """x with x[index] = v."""
        return self._change("set", v)

    def add(self, v: Any, /) -> Any:
        """x with x[index] += v."""
        return self._change("add", v)

    def subtract(self, v: Any, /) -> Any:
        """x with x[index] -= v."""
        return self._change("subtract", v)

    def multiply(self, v: Any, /) -> Any:
        """x with x[index] *= v."""
        return self._change("multiply", v)

    def divide(self, v: Any, /) -> Any:
        """x with x[index] /= v."""
        return self._change("divide", v)

    def power(self, v: Any, /) -> Any:
        """x with x[index] **= v."""
        return self._change("power", v)

    def max(self, v: Any, /) -> Any:
        """x with x[index] = maximum(x[index], v)."""
        return self._change("max", v)

    def min(self, v: Any, /) -> Any:
        """x with x[index] = minimum(x[index], v)."""
        return self._change("min", v)

    def _change(self, name: str, v: Any) -> Any:
        x, v = self._x, _cast(v, self._x, name)
        if name == "subtract":
            name, v = "add", negative(v)
        basic, *gathered = resolve(x, self._index)
        part = x if basic is None else slice_p(x, index=basic)
        if gathered:
            part = _change_gathered(part, name, v, *gathered)
        else:
            v = _spread(v, shape_of(part), name)
            part = v if name == "set" else _cast(_OPERATIONS[name](part, v), x, name)
        return part if basic is None else update_p(x, part, index=basic)


def _cast(v: Any, x: Any, name: str) -> Any:
    """v in the dtype of x. Raises OperandTypeError unless both are of the same kind."""
    dtype = dtype_of(x)
    if isinstance(v, (list, tuple)):
        v = find_backend(x).from_host(np.asarray(v))
    is_weak = type(v) in (bool, int, float, complex)
    if not (result_type(dtype, v) == dtype if is_weak else np.can_cast(dtype_of(v), dtype, "same_kind")):
        raise OperandTypeError(
            f"at(x)[index].{name}: {describe(v)} does not fit into x, {describe(x)}: convert one of them with mg.astype"
        )
    try:
        return dtype.type(v) if is_weak else astype(v, dtype, copy=False)
    except OverflowError:
        raise OperandError(f"at(x)[index].{name}: {v} is out of the range of {dtype}, the dtype of x") from None


def _spread(v: Any, shape: tuple[int, ...], name: str) -> Any:
    """v broadcast to the shape of x[index]; a number, which combines with arrays on any device, as it is."""
    try:
        fits = np.broadcast_shapes(shape_of(v), shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise OperandError(f"at(x)[index].{name}: {describe(v)} does not broadcast to {shape}, the shape of x[index]")
    return v if shape_of(v) == () else broadcast(v, shape)


def _change_gathered(x: Any, name: str, v: Any, picks: list, axes: tuple[int, ...], together: bool) -> Any:
    """x changed at the elements that integer arrays pick along axes."""
    order, indices, places = locate(x, picks, axes, together)
    most, axes = _count_repeats(x, picks, axes) if name in _COMBINED else 1, places
    y = x if order is None else transpose_p(x, axes=order)
    shape = shape_of(y)
    v = _spread(v, (*shape[: axes[0]], *shape_of(indices)[1:], *shape[axes[-1] + 1 :]), name)
    if most > 1:
        zeros = zeros_like_p(gather_p(y, indices, axes=axes))
        v, indices = _combine(_COMBINED[name], where_p(zeros == 0, v, zeros), indices, axes, shape, most)
    if name in _COMBINED:
        v = _cast(_OPERATIONS[name](gather_p(y, indices, axes=axes), v), x, name)
    y = put_p(y, v, indices, axes=axes, add=name == "add")
    return y if order is None else transpose_p(y, axes=tuple(np.argsort(order).tolist()))


def _count_repeats(x: Any, picks: list, axes: tuple[int, ...]) -> int:
    """How often a position is picked, at most; how many there are if that is not known before the program runs."""
    if any(isinstance(pick, Tracer) for pick in picks):
        return int(np.prod(np.broadcast_shapes(*map(shape_of, picks)), dtype=np.int64))
    rows = np.broadcast_arrays(*[np.asarray(find_backend(pick).to_host(pick)) for pick in picks])
    if not rows[0].size:
        return 0
    places = np.stack([row.ravel() % max(1, shape_of(x)[axis]) for row, axis in zip(rows, axes, strict=True)])
    return int(np.unique(places, axis=1, return_counts=True)[1].max())


def _combine(operation: Any, v: Any, indices: Any, axes: tuple[int, ...], shape: tuple[int, ...], most: int) -> Any:
    """v and indices in the order of positions, where the last v of each position has all its v combined.

    Each step combines runs of twice as many, as in a parallel scan (Hillis and Steele 1986).
    """
    lead, count = axes[0], int(np.prod(shape_of(indices)[1:], dtype=np.int64))
    rest = shape[axes[-1] + 1 :]
    indices = reshape_p(indices, shape=(len(axes), count))
    v = reshape_p(v, shape=(*shape[:lead], count, *rest))
    place = 0
    for row, axis in enumerate(axes):
        along = indices[row]
        place = add_p(multiply_p(place, shape[axis]), where_p(along < 0, along + shape[axis], along))
    order = argsort(place)
    place, indices, v = take(place, order), take(indices, order, axis=1), take(v, order, axis=lead)
    run = 1
    while run < most:
        start, before, after = ((slice(None),) * lead + (s,) for s in (slice(run), slice(-run), slice(run, None)))
        same = reshape_p(place[run:] == place[:-run], shape=(count - run, *[1] * len(rest)))
        others = where_p(same, getitem(v, before), 1 if operation is multiply else getitem(v, after))
        v = concatenate_p(getitem(v, start), operation(others, getitem(v, after)), axis=lead)
        run *= 2
    return v, indices
