"""Traits: what schedulers, generated kernels and gradient checks may know of a primitive.

Each is optional and stated beside the rule: without any, an operation runs as a whole, by its forward formula, and is
never combined with others.

    traits(tanh_p, formula=reals("tanh(a)"))
    traits(matmul_p, cuts=_cuts, flops=_flops, blas=True, recordable=…)

An operation can be *cut* along one axis of its result and of those operands that are needed in parts only:

    y[a:b] = x[a:b] @ w            Cut(operands=(0, None), result=0)        rows of a product
    y = Σ x[a:b]ᵀ @ g[a:b]         Cut(operands=(1, 0), result=None)        terms of a sum

Parts of the first kind give the same numbers as the whole (but for BLAS, which may add up a row in another order when
it has fewer of them); those of the second are added up in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from minigrad.backends.formulas import Formula

Shape = tuple[int, ...]


class Cut(NamedTuple):
    """Along which axis each operand is cut (None: it is needed whole), and the result (None: parts are added up)."""

    operands: tuple[int | None, ...]
    result: int | None


@dataclass(frozen=True)
class Traits:
    """What may be known of a primitive besides its forward formula and its derivative."""

    formula: Formula | None = None  # of one element, for generated kernels
    stream: str = ""  # the function of streams.cu that draws a number of its result where it is used
    cuts: Callable[[Sequence[Shape], Shape, dict[str, Any]], Iterator[Cut]] | None = None  # of shapes and parameters
    part: Callable[[dict[str, Any], Shape, slice], dict[str, Any]] | None = None  # parameters for rows of the result
    in_place: bool = False  # whether it is done with an element of an operand when it writes the result there
    exact: bool = False  # whether an element does not depend on how many are computed at once
    flops: Callable[[Sequence[Shape], Shape, dict[str, Any]], int] | None = None  # without it, one for each element
    blas: bool = False  # whether it is a matrix product, which is slow with few rows
    recordable: bool | Callable[[np.dtype], bool] = False  # whether it only launches work (for results of a dtype)
    kink: Callable[..., Any] | None = None  # arrays that say on which side of its kinks and jumps the arguments are

    def can_record(self, dtype: np.dtype) -> bool:
        """Whether a device can record it for a result of this dtype: it only launches work, and nothing comes to the
        host or stays with a library. What is generated always can."""
        if self.formula or self.stream:
            return True
        return self.recordable(dtype) if callable(self.recordable) else self.recordable


def traits(primitive: Any, **known: Any) -> Any:
    """State traits of a primitive."""
    primitive.traits = replace(primitive.traits, **known)
    return primitive


def no_flops(operands: Sequence[Shape], result: Shape, params: dict[str, Any]) -> int:
    """Of operations that only move numbers."""
    return 0


def along_any_axis(operands: Sequence[Shape], result: Shape, params: dict[str, Any]) -> Iterator[Cut]:
    """Cuts along any axis of the result, as of elementwise operations; what is broadcast along it is needed whole."""
    for axis, n in enumerate(result):
        places = [axis - len(result) + len(shape) for shape in operands]
        yield Cut(tuple(p if p >= 0 and s[p] == n else None for p, s in zip(places, operands)), axis)
