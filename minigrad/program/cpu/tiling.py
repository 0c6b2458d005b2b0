"""Cuts: how one instruction becomes several, each on a part of its arrays.

A cut runs along one axis of the result and of those operands that are needed in parts only:

    y[a:b] = x[a:b] @ w            Cut(operands=(0, None), result=0)        rows of a product
    y = Σ x[a:b]ᵀ @ g[a:b]         Cut(operands=(1, 0), result=None)        terms of a sum

Parts of the first kind give the same numbers as the whole (but for BLAS, which may add up a row in another order when
it has fewer of them); those of the second are added up in another order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from minigrad.core.arrays import shape_of
from minigrad.core.rules import Elementwise
from minigrad.program.graph import Instruction, Kind

Shape = tuple[int, ...]


class Cut(NamedTuple):
    """Along which axis each operand is cut (None: it is needed whole), and the result (None: parts are added up)."""

    operands: tuple[int | None, ...]
    result: int | None


def cuts(instruction: Instruction, kinds: Sequence[Kind]) -> list[Cut]:
    """All ways to cut an instruction along an axis of two or more; none for most."""
    primitive = instruction.primitive
    ways = WAYS.get(primitive.name, _elementwise if isinstance(primitive.rule, Elementwise) else None)
    if ways is None:
        return []
    shapes = [kinds[o].shape if isinstance(o, int) else tuple(shape_of(o.value)) for o in instruction.operands]
    result = kinds[instruction.result].shape
    return [cut for cut in ways(shapes, result, instruction.params) if length(cut, shapes, result) > 1]


def length(cut: Cut, operands: Sequence[Shape], result: Shape) -> int:
    """Of the axis that is cut."""
    if cut.result is not None:
        return result[cut.result]
    return next(shape[axis] for shape, axis in zip(operands, cut.operands) if axis is not None)


def params_of(instruction: Instruction, cut: Cut, result: Shape, rows: slice) -> dict[str, Any]:
    """The parameters of one part."""
    params, name = instruction.params, instruction.primitive.name
    if "shape" not in params or cut.result is None:
        return params
    shape = (*result[: cut.result], rows.stop - rows.start, *result[cut.result + 1 :])
    if name.startswith("random_"):  # rows a…b of a draw begin at position a·(numbers in a row) of its stream
        return {**params, "shape": shape, "offset": params["offset"] + rows.start * math.prod(shape[1:])}
    return {**params, "shape": shape}


# The ways of each primitive


def _elementwise(operands: Sequence[Shape], result: Shape, params: dict) -> Iterator[Cut]:
    """Along any axis of the result; what is broadcast along it is needed whole."""
    for axis, n in enumerate(result):
        places = [axis - len(result) + len(shape) for shape in operands]
        yield Cut(tuple(p if p >= 0 and s[p] == n else None for p, s in zip(places, operands)), axis)


def _matmul(operands: Sequence[Shape], result: Shape, params: dict) -> Iterator[Cut]:
    if list(map(len, operands)) == [2, 2]:
        yield Cut((0, None), 0)
        yield Cut((None, 1), 1)
        yield Cut((1, 0), None)


def _images(operands: Sequence[Shape], result: Shape, params: dict) -> Iterator[Cut]:
    yield Cut((0, None), 0)


def _images_added_up(operands: Sequence[Shape], result: Shape, params: dict) -> Iterator[Cut]:
    yield Cut((0, 0), None)


def _reduction(operands: Sequence[Shape], result: Shape, params: dict) -> Iterator[Cut]:
    kept = [axis for axis in range(len(operands[0])) if axis not in params["axes"]]
    yield from (Cut((axis,), place) for place, axis in enumerate(kept))


def _sum(operands: Sequence[Shape], result: Shape, params: dict) -> Iterator[Cut]:
    yield from _reduction(operands, result, params)
    yield from (Cut((axis,), None) for axis in params["axes"])


def _sum_to(operands: Sequence[Shape], result: Shape, params: dict) -> Iterator[Cut]:
    leading = len(operands[0]) - len(result)
    for axis, n in enumerate(operands[0]):
        kept = axis >= leading and result[axis - leading] == n
        yield Cut((axis,), axis - leading if kept else None)


def _reshape(operands: Sequence[Shape], result: Shape, params: dict) -> Iterator[Cut]:
    """Along axes that are there before and after, with as much in front of them."""
    (before,) = operands
    for axis, n in enumerate(result):
        for place, m in enumerate(before):
            if n == m and math.prod(result[:axis]) == math.prod(before[:place]):
                yield Cut((place,), axis)


def _transpose(operands: Sequence[Shape], result: Shape, params: dict) -> Iterator[Cut]:
    yield from (Cut((axis,), place) for place, axis in enumerate(params["axes"]))


def _draw(operands: Sequence[Shape], result: Shape, params: dict) -> Iterator[Cut]:
    if result:
        yield Cut((None,) * len(operands), 0)


WAYS: dict[str, Callable[[Sequence[Shape], Shape, dict], Iterator[Cut]]] = {
    **dict.fromkeys(
        "where astype astype_discrete copy step stop_gradient broadcast_to equal not_equal less less_equal greater "
        "greater_equal logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor invert isnan "
        "isinf isfinite sign floor ceil rint".split(),
        _elementwise,
    ),
    **dict.fromkeys(("max", "min", "logsumexp"), _reduction),
    **dict.fromkeys(("random_bits", "random_uniform", "random_normal"), _draw),
    "matmul": _matmul,
    "conv": _images,
    "conv_input": _images,
    "conv_kernel": _images_added_up,
    "sum": _sum,
    "sum_to": _sum_to,
    "reshape": _reshape,
    "transpose": _transpose,
}
"""Besides primitives with partial derivatives, which are elementwise."""
