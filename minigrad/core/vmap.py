"""vmap: a function of one example becomes a function of many."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from minigrad.core import tree
from minigrad.core.arguments import check_callable
from minigrad.core.arrays import describe, shape_of
from minigrad.core.batching import Batch, move_axis
from minigrad.core.errors import OperandError, OperandIndexError
from minigrad.core.leaves import copy_if_shared
from minigrad.core.vectors import broadcast_to_p

Axes = Any  # an axis, None, or a tree of them


def vmap(f: Callable[..., Any], in_axes: Axes = 0, out_axes: Axes = 0) -> Callable[..., Any]:
    """f for many examples at once, as a function of the same arguments with one more axis each.

    `in_axes` says along which axis of the arguments the examples lie: an integer for all; or a tuple with one entry for
    each positional argument, an integer, None for an argument that all examples share, or a tree of these like the
    argument, or like its upper part. `out_axes` says the same of the result, where None requires a result that does not
    depend on the example. Keyword arguments are shared.

    f runs once, on values that have the shapes of one example, so it may not branch on them. A random draw needs a key
    for each example (`mg.random.split`), or all get the same numbers. vmap nests with itself, with derivatives and with
    `mg.jit` in any order.

    Raises ValueError if the examples differ in number or `in_axes` has another structure than the arguments, IndexError
    for an axis that an argument lacks, TypeError where f needs the values of one example, MissingRuleError for a
    primitive without a batching statement.

    >>> import minigrad as mg, numpy as np
    >>> x, w = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([1.0, -1.0])
    >>> loss = lambda w, x: mg.tanh(x @ w) ** 2
    >>> mg.vmap(mg.grad(loss), in_axes=(None, 0))(w, x).shape  # the gradient of each example
    (3, 2)
    """

    check_callable(f, "vmap")

    @functools.wraps(f)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = tree.flatten(args)
        axes = tree.spread(tuple(in_axes) if isinstance(in_axes, list) else in_axes, structure, "vmap: in_axes")
        axes = [_normalise(axis, x, "in_axes") for axis, x in zip(axes, leaves, strict=True)]
        with Batch(_count(leaves, axes, tree.names(args))) as level:
            inputs = [x if axis is None else level.lift(move_axis(x, axis, 0)) for x, axis in zip(leaves, axes)]
            results, result_structure = tree.flatten(f(*tree.unflatten(structure, inputs), **kwargs))
            pairs = [level.lower(result) for result in results]
        targets = tree.spread(out_axes, result_structure, "vmap: out_axes")
        outputs: list = []
        for (value, is_batched), axis in zip(pairs, targets, strict=True):
            value = _place(value, is_batched, axis, level.size)
            outputs.append(copy_if_shared(value, [*leaves, *outputs]))
        return tree.unflatten(result_structure, outputs)

    return mapped


def _normalise(axis: int | None, x: Any, name: str) -> int | None:
    """The axis of x counted from 0. Raises OperandIndexError, naming the option, if x does not have it."""
    if axis is None:
        return None
    ndim = len(shape_of(x))
    if not -ndim <= axis < ndim:
        raise OperandIndexError(
            f"vmap: {name} gives axis {axis} for {describe(x)}, which has {ndim} axes: give None for what all examples "
            "share"
        )
    return axis % ndim


def _count(leaves: Sequence, axes: Sequence[int | None], names: Sequence[str]) -> int:
    """The number of examples. Raises OperandError if arguments differ in it, or none has any."""
    sizes = {name: shape_of(x)[axis] for name, x, axis in zip(names, leaves, axes) if axis is not None}
    if not sizes:
        raise OperandError("vmap: no argument has an axis of examples, so nothing says how many there are")
    if len(set(sizes.values())) > 1:
        shown = ", ".join(f"{size} in argument {name}" for name, size in sizes.items())
        raise OperandError(f"vmap: the arguments differ in the number of examples: {shown}")
    return next(iter(sizes.values()))


def _place(value: Any, is_batched: bool, axis: int | None, size: int) -> Any:
    """The values of all examples, along this axis; None for a value that they share."""
    if axis is None:
        if is_batched:
            raise OperandError(
                "vmap: out_axes is None for a result that depends on the example: give the axis for the examples"
            )
        return value
    value = value if is_batched else broadcast_to_p(value, shape=(size, *shape_of(value)))
    return move_axis(value, 0, _normalise(axis, value, "out_axes"))
