"""The operations that rules and transforms apply to tangents and cotangents.

Tangents and cotangents are added, scaled, masked and set to zero, as vectors are; they are also broadcast, summed back,
converted, copied, reshaped and concatenated. These primitives have a formula and traits like all others. Their own
rules are at the end of `minigrad.core.rules`, which uses them to define rules. `minigrad.ops` gives them public names.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.backends import NEUTRAL, store
from minigrad.backends.dtypes import result_type
from minigrad.backends.formulas import CONVERSION, Formula, numbers
from minigrad.core.arrays import dtype_of, is_inexact, shape_of
from minigrad.core.interpreter import Primitive, concrete, primitive
from minigrad.core.traits import Cut, along_any_axis, no_flops, traits

LARGE = 4096  # elements: from this size on, a routine with more overhead per call may be faster

# Add, scale, mask, set to zero


@primitive("add")
def add_p(b, x1, x2, out=None):
    return b.xp.add(x1, x2, out=out)


@primitive("negative")
def negative_p(b, x, out=None):
    return b.xp.negative(x, out=out)


@primitive("multiply")
def multiply_p(b, x1, x2, out=None):
    return b.xp.multiply(x1, x2, out=out)


@primitive("where")
def where_p(b, condition, x1, x2, out=None):
    return b.where(condition, x1, x2, out)


@primitive("zeros_like")
def zeros_like_p(b, x, out=None):
    return b.xp.zeros_like(x) if out is None else store(0, out)


_arithmetic = {"cuts": along_any_axis, "in_place": True, "exact": True}
traits(add_p, formula=numbers("a + b", "(natural)a + (natural)b"), **_arithmetic)
traits(negative_p, formula=numbers("-a", "-(natural)a"), **_arithmetic)
traits(
    multiply_p,
    formula=numbers("a * b", "(natural)a * (natural)b"),
    copies=lambda xs: next((1 - i for i, x in enumerate(xs) if np.ndim(x) == 0 and x == 1), None),
    **_arithmetic,
)
traits(
    where_p,
    cuts=along_any_axis,
    formula=Formula("c ? a : b", "c ? a : b", truth="c ? a : b", selects=True),
    in_place=True,
)
traits(zeros_like_p, flops=no_flops, recordable=True)

# Broadcast and sum back: each is the transpose of the other


@primitive("broadcast_to", view_of=0)
def broadcast_to_p(b, x, *, shape, out=None):
    return b.xp.broadcast_to(x, shape)


@primitive("sum_to")
def sum_to_p(b, x, *, shape, out=None):
    """Sum over the axes that broadcasting from `shape` added or stretched."""
    x = b.xp.asarray(x)
    leading = x.ndim - len(shape)
    rows = leading and x.shape[leading:] == tuple(shape) and x.flags.c_contiguous and math.prod(shape) > 1
    if rows and x.dtype in (np.float32, np.float64) and x.size >= LARGE:
        return store(b.column_sums(x.reshape(-1, math.prod(shape))).reshape(shape), out)
    axes = tuple(i for i in range(x.ndim) if i < leading or (shape[i - leading] == 1 and x.shape[i] != 1))
    if x.dtype == np.float16:  # in which 2048 + 1 = 2048, so add in float32
        return store(b.xp.sum(x, axis=axes, keepdims=True, dtype=np.float32).reshape(shape).astype(x.dtype), out)
    return store(b.xp.sum(x, axis=axes, keepdims=True).reshape(shape), out)


def _cuts_of_sum_to(operands, result, params):
    leading = len(operands[0]) - len(result)
    for axis, n in enumerate(operands[0]):
        kept = axis >= leading and result[axis - leading] == n
        yield Cut((axis,), axis - leading if kept else None)


traits(broadcast_to_p, cuts=along_any_axis, formula=CONVERSION, transparent=True)
traits(sum_to_p, cuts=_cuts_of_sum_to, recordable=True)

# Convert and copy


def _astype(b, x, *, dtype, out=None):
    """Convert x to `dtype`. A number becomes a NumPy scalar, which combines with arrays on any device."""
    if out is not None:
        return store(x, out)
    return (x if hasattr(x, "astype") else np.asarray(x)[()]).astype(dtype)


astype_p = Primitive("astype", _astype)  # between floating dtypes
astype_discrete_p = Primitive("astype_discrete", _astype)  # from or to integers and booleans


@primitive("real")
def real_p(b, x, out=None):
    return b.xp.positive(b.xp.real(x), out=out)  # a copy: memory is shared in elements of one dtype only


@primitive("copy")
def copy_p(b, x, *, order="K", out=None):
    return b.xp.array(x, copy=True, order=order) if out is None else store(x, out)


traits(astype_p, cuts=along_any_axis, formula=CONVERSION, flops=no_flops)
traits(astype_discrete_p, cuts=along_any_axis, formula=CONVERSION, kink=lambda x, dtype: x.astype(dtype))
traits(real_p, cuts=along_any_axis, flops=no_flops, recordable=True)
traits(copy_p, cuts=along_any_axis, formula=CONVERSION, flops=no_flops)

# Reshape and concatenate


@primitive("reshape", view_of=0)
def reshape_p(b, x, *, shape, out=None):
    return b.xp.reshape(x, shape)


@primitive("transpose", view_of=0)
def transpose_p(b, x, *, axes, out=None):
    return b.xp.transpose(x, axes)


@primitive("concatenate")
def concatenate_p(b, *xs, axis, out=None):
    return b.xp.concatenate(xs, axis=axis, out=out)


def _cuts_of_reshape(operands, result, params):
    """Cuts along axes that keep their length, if the axes before them keep their total size."""
    (before,) = operands
    for axis, n in enumerate(result):
        for place, m in enumerate(before):
            if n == m and math.prod(result[:axis]) == math.prod(before[:place]):
                yield Cut((place,), axis)


def _cuts_of_transpose(operands, result, params):
    yield from (Cut((axis,), place) for place, axis in enumerate(params["axes"]))


traits(reshape_p, cuts=_cuts_of_reshape, formula=CONVERSION, transparent=True)
traits(transpose_p, cuts=_cuts_of_transpose, formula=CONVERSION, transparent=True)
traits(concatenate_p, flops=no_flops, recordable=True)

# Functions for rules and transforms


def cast(derivative: Any, like: Any) -> Any:
    """A tangent or cotangent converted to the dtype of `like`: a real value keeps the real part of a complex one, as
    `minigrad.core.rules` explains."""
    dtype = dtype_of(like)
    if dtype_of(derivative).kind == "c" and dtype.kind != "c":
        derivative = real_p(derivative)
    return derivative if dtype_of(derivative) == dtype else astype_p(derivative, dtype=dtype)


def promote(x: Any, dtype: np.dtype) -> Any:
    """x converted to `dtype`; Python numbers stay as they are, since their dtype is weak."""
    if getattr(x, "dtype", None) == dtype or type(concrete(x)) in (bool, int, float, complex):
        return x
    found = dtype_of(x)
    if found.kind == "c" and dtype.kind != "c":  # as in |x|, whose derivative needs all of x
        return x
    return (astype_p if is_inexact(x) else astype_discrete_p)(x, dtype=dtype)


def promote_together(*arrays: Any) -> list:
    """Arrays converted to their common dtype, so that no step computes in a narrower one; Python numbers stay."""
    weak = [type(concrete(x)) in (bool, int, float, complex) for x in arrays]
    dtype = result_type(*[concrete(x) if number else dtype_of(x) for x, number in zip(arrays, weak)])
    return [promote(x, dtype) for x in arrays]


def ones(x: Any) -> Any:
    """An array of ones like x."""
    return add_p(zeros_like_p(x), 1)


def zero_tangent(x: Any) -> Any:
    """Zeros like x; for a number, the number 0, which combines with arrays on any device."""
    return type(x)(0) if isinstance(x, NEUTRAL) else zeros_like_p(x)


def broadcast(x: Any, shape: tuple[int, ...]) -> Any:
    """x broadcast to a shape; x itself if it has that shape."""
    return x if shape_of(x) == shape else broadcast_to_p(x, shape=shape)


def sum_back(x: Any, shape: tuple[int, ...]) -> Any:
    """x summed over the axes that broadcasting from a shape added; x itself if it has that shape."""
    return x if shape_of(x) == shape else sum_to_p(x, shape=shape)
