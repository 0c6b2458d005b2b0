"""Arrays of evenly spaced numbers, grids and filled arrays, whose ends and values may be traced."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.core.arguments import check_options, dtype_from, integer, integers
from minigrad.core.arrays import describe, dtype_of, shape_of
from minigrad.core.errors import OperandError
from minigrad.core.interpreter import find_backend
from minigrad.core.vectors import broadcast_to_p, copy_p, promote_together
from minigrad.ops.arithmetic import add, multiply, subtract
from minigrad.ops.comparisons import floor, sign
from minigrad.ops.define import in_float32
from minigrad.ops.functions import exp, log, power
from minigrad.ops.placement import place
from minigrad.ops.reduce import make_inexact
from minigrad.ops.shape import astype, broadcast_to, moveaxis, reshape, zeros_like


@in_float32
def linspace(
    start: Any,
    stop: Any,
    num: Any = 50,
    endpoint: bool = True,
    retstep: Any = False,
    dtype: Any = None,
    axis: Any = 0,
    *,
    device: str | None = None,
) -> Any:
    """`num` evenly spaced numbers from start to stop, along a new axis: (1−t)·start + t·stop for t from 0 to 1.

    Without `endpoint`, t ends one step before 1. With `retstep`, the result is (numbers, step). An integer `dtype`
    rounds down, and has no derivative.
    """
    start, stop = place(start, device, "linspace"), place(stop, device, "linspace")
    num = integer(num, "linspace: num")
    if num < 0:
        raise OperandError(f"linspace: the number of samples must not be negative, got {num}")
    gap = make_inexact(subtract(stop, start))
    steps = num - 1 if endpoint else num
    t = np.arange(num) / max(steps, 1)
    t = find_backend(gap).from_host(t.astype(np.real(np.zeros(0, dtype_of(gap))).dtype))
    t = reshape(t, (num, *(1,) * len(shape_of(gap))))
    y = add(multiply(1 - t, start), multiply(t, stop))
    if dtype is not None:
        dtype = dtype_from(dtype, "linspace")
        y = astype(floor(y) if dtype.kind in "iu" else y, dtype)
    y = place(moveaxis(y, 0, axis), device, "linspace")
    return (y, multiply(gap, 1 / steps if steps else np.nan)) if retstep else y


@in_float32
def logspace(
    start: Any, stop: Any, num: Any = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: Any = 0
) -> Any:
    """base to the power of evenly spaced exponents from start to stop; `base` is a number, or an array of no axes."""
    if shape_of(base):
        raise OperandError(
            f"logspace: base must be one number, got {describe(base)}; use mg.power(base, mg.linspace(…))"
        )
    y = power(base, linspace(start, stop, num, endpoint, axis=axis))
    return y if dtype is None else astype(y, dtype)


@in_float32
def geomspace(start: Any, stop: Any, num: Any = 50, endpoint: bool = True, dtype: Any = None, axis: Any = 0) -> Any:
    """`num` numbers from start to stop with equal ratios; the ends are real, of the same sign and not 0."""
    start, stop = promote_together(start, stop)
    side = sign(start)
    exponents = linspace(log(multiply(side, start)), log(multiply(side, stop)), num, endpoint)
    y = moveaxis(multiply(side, exp(exponents)), 0, axis)
    return y if dtype is None else astype(y, dtype)


def meshgrid(*xi: Any, copy: Any = True, sparse: Any = False, indexing: Any = "xy") -> Any:
    """The coordinates of a grid, one array for each vector: the i-th varies along axis i, or, with indexing "xy", the
    first along axis 1 and the second along axis 0. With `sparse`, their other axes have length 1.
    """
    if indexing not in ("xy", "ij"):
        raise OperandError(f"meshgrid: indexing={indexing!r} is unknown; use 'xy' or 'ij'")
    count = len(xi)
    order = [1, 0, *range(2, count)] if indexing == "xy" and count > 1 else range(count)
    grid = [reshape(x, shape=tuple(-1 if i == axis else 1 for i in range(count))) for axis, x in zip(order, xi)]
    shape = np.broadcast_shapes(*map(shape_of, grid))
    return tuple((copy_p if copy else _same)(x if sparse else broadcast_to_p(x, shape=shape)) for x in grid)


def _same(x):
    return x


def full(
    shape: Any, fill_value: Any, dtype: Any = None, order: Any = "C", *, device: str | None = None, like: Any = None
) -> Any:
    """An array of this shape filled with a value that broadcasts to it, on the device of that value by default."""
    check_options("full", order=None if order == "C" else order, like=like)
    y = copy_p(broadcast_to(fill_value, integers(shape, "full: an entry of the shape")), order="C")
    y = place(y, device, "full")
    return y if dtype is None else astype(y, dtype_from(dtype, "full"), copy=False)


def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: Any = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: str | None = None,
) -> Any:
    """An array with the shape, dtype and device of a, filled with a value that broadcasts to it."""
    check_options("full_like", order=order, subok=subok, shape=shape)
    zeros, fill_value = zeros_like(a, dtype, device=device), place(fill_value, device, "full_like")
    return astype(add(zeros_like(zeros, bool) if dtype_of(zeros).kind == "b" else zeros, fill_value), dtype_of(zeros))
