"""Traits: what schedulers, kernel generators and gradient checks know about a primitive.

Every trait is optional and stated beside the rule. An operation without traits runs as a whole, by its forward formula,
and is never fused with others.

    traits(tanh_p, formula=reals("tanh(a)"))
    traits(matmul_p, cuts=_cuts, flops=_flops, blas=True, recordable=…)

An operation can be *cut* into parts along one axis. Some operands are cut with it, others are passed whole:

    y[a:b] = x[a:b] @ w            Cut(operands=(0, None), result=0)        rows of a product
    y = Σ x[a:b]ᵀ @ g[a:b]         Cut(operands=(1, 0), result=None)        terms of a sum

Parts of a result have the same numbers as the whole, except that BLAS may sum a row in another order when there are
fewer rows. Adding partial sums always changes the order of summation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from minigrad.backends.formulas import Formula

Shape = tuple[int, ...]


class Cut(NamedTuple):
    """The axis along which each operand is cut (None: passed whole), and the result (None: parts are added)."""

    operands: tuple[int | None, ...]
    result: int | None


@dataclass(frozen=True)
class Traits:
    """What is known about a primitive besides its forward formula and its derivative."""

    formula: Formula | None = None  # computes one element, in generated kernels
    stream: str = ""  # function in streams.cu that draws one element of the result inside a fused kernel
    cuts: Callable[[Sequence[Shape], Shape, dict[str, Any]], Iterator[Cut]] | None = None  # of shapes and parameters
    part: Callable[[dict[str, Any], Shape, slice], dict[str, Any]] | None = None  # the parameters for rows of a result
    in_place: bool = False  # whether it reads an element of an operand before it writes the result there
    edits: int | None = None  # the operand of which the result is a copy with changed elements: it may lie there
    transparent: bool = False  # whether a view has the derivative of a view, so that an equal one may take its place
    copies: Callable[[Sequence[Any]], int | None] | None = None  # the operand that equals a real result, or None: given
    # the constants among the operands that are units, or whose elements are all equal (that element), None for others
    exact: bool = False  # whether the bits of an element do not depend on how many are computed at once
    flops: Callable[[Sequence[Shape], Shape, dict[str, Any]], int] | None = None  # None: one per element
    blas: bool = False  # whether it is a BLAS matrix product, which is slow for few rows
    any_dtype: bool = False  # whether its formula takes bfloat16 as it is, because it computes nothing with it
    native: bool = False  # whether compiled programs on the CPU have a loop for it (`backends/native`)
    collective: bool = False  # whether all processes take part: each runs it, and others of its kind, in one order
    own: bool | None = None  # whether each process has its own result (or all share one); None: if an operand is own
    recordable: bool | Callable[[np.dtype], bool] = False  # whether a CUDA graph can record it (for a result dtype)
    kink: Callable[..., Any] | None = None  # arrays that tell on which side of each kink or jump the arguments lie

    def can_record(self, dtype: np.dtype) -> bool:
        """Whether a CUDA graph can record it for a result of this dtype: it only launches work on the device, copies
        nothing to the host and keeps no state in a library. Generated kernels always qualify. Operations between
        processes also need a group whose exchanges qualify (`minigrad.collectives.group`)."""
        if self.formula or self.stream:
            return True
        return self.recordable(dtype) if callable(self.recordable) else self.recordable


def traits(primitive: Any, **known: Any) -> Any:
    """State traits of a primitive, and return it."""
    primitive.traits = replace(primitive.traits, **known)
    return primitive


def no_flops(operands: Sequence[Shape], result: Shape, params: dict[str, Any]) -> int:
    """0, for operations that only move numbers."""
    return 0


def along_any_axis(operands: Sequence[Shape], result: Shape, params: dict[str, Any]) -> Iterator[Cut]:
    """Cuts of an elementwise operation, along any axis; operands that are broadcast along it are passed whole."""
    for axis, n in enumerate(result):
        places = [axis - len(result) + len(shape) for shape in operands]
        yield Cut(tuple(p if p >= 0 and s[p] == n else None for p, s in zip(places, operands)), axis)
