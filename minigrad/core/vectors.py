"""What derivatives are made of: the operations that rules and transforms apply to tangents and cotangents.

As vectors, they are added, scaled, masked and set to zero; beside that they are broadcast, summed back, converted,
copied, reshaped and joined. These are operations like any other, with a formula and traits; their own rules stand at
the end of `minigrad.core.rules`, which needs them all to say what a rule is. `minigrad.ops` gives them public names.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.backends import NEUTRAL, store
from minigrad.backends.formulas import CONVERSION, Formula, numbers
from minigrad.core.arrays import dtype_of, is_inexact, shape_of
from minigrad.core.errors import OperandTypeError
from minigrad.core.interpreter import Primitive, concrete, primitive
from minigrad.core.traits import Cut, along_any_axis, no_flops, traits

LARGE = 4096  # elements: from here on, a call that takes longer to begin may be the faster one

# To add, scale, mask and set to zero


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
traits(multiply_p, formula=numbers("a * b", "(natural)a * (natural)b"), **_arithmetic)
traits(
    where_p,
    cuts=along_any_axis,
    formula=Formula("c ? a : b", "c ? a : b", truth="c ? a : b", selects=True),
    in_place=True,
)
traits(zeros_like_p, flops=no_flops, recordable=True)

# To broadcast and to sum back: the transposes of each other


@primitive("broadcast_to", view_of=0)
def broadcast_to_p(b, x, *, shape, out=None):
    return b.xp.broadcast_to(x, shape)


@primitive("sum_to")
def sum_to_p(b, x, *, shape, out=None):
    """Sum over whatever broadcasting added."""
    x = b.xp.asarray(x)
    leading = x.ndim - len(shape)
    rows = leading and x.shape[leading:] == tuple(shape) and x.flags.c_contiguous and math.prod(shape) > 1
    if rows and x.dtype in (np.float32, np.float64) and x.size >= LARGE:
        return store(b.column_sums(x.reshape(-1, math.prod(shape))).reshape(shape), out)
    axes = tuple(i for i in range(x.ndim) if i < leading or (shape[i - leading] == 1 and x.shape[i] != 1))
    if x.dtype == np.float16:  # where 2048 + 1 is 2048
        return store(b.xp.sum(x, axis=axes, keepdims=True, dtype=np.float32).reshape(shape).astype(x.dtype), out)
    return store(b.xp.sum(x, axis=axes, keepdims=True).reshape(shape), out)


def _cuts_of_sum_to(operands, result, params):
    leading = len(operands[0]) - len(result)
    for axis, n in enumerate(operands[0]):
        kept = axis >= leading and result[axis - leading] == n
        yield Cut((axis,), axis - leading if kept else None)


traits(broadcast_to_p, cuts=along_any_axis, formula=CONVERSION)
traits(sum_to_p, cuts=_cuts_of_sum_to, recordable=True)

# To convert and copy


def _astype(b, x, *, dtype, out=None):
    """A number stays one: it may meet arrays of any device."""
    if out is not None:
        return store(x, out)
    return (x if hasattr(x, "astype") else np.asarray(x)[()]).astype(dtype)


astype_p = Primitive("astype", _astype)  # between floating dtypes
astype_discrete_p = Primitive("astype_discrete", _astype)  # from or to integers and booleans


@primitive("copy")
def copy_p(b, x, *, order="K", out=None):
    return b.xp.array(x, copy=True, order=order) if out is None else store(x, out)


traits(astype_p, cuts=along_any_axis, formula=CONVERSION, flops=no_flops)
traits(astype_discrete_p, cuts=along_any_axis, formula=CONVERSION, kink=lambda x, dtype: x.astype(dtype))
traits(copy_p, cuts=along_any_axis, formula=CONVERSION, flops=no_flops)

# To reshape and join


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
    """Along axes that are there before and after, with as much in front of them."""
    (before,) = operands
    for axis, n in enumerate(result):
        for place, m in enumerate(before):
            if n == m and math.prod(result[:axis]) == math.prod(before[:place]):
                yield Cut((place,), axis)


def _cuts_of_transpose(operands, result, params):
    yield from (Cut((axis,), place) for place, axis in enumerate(params["axes"]))


traits(reshape_p, cuts=_cuts_of_reshape, formula=CONVERSION)
traits(transpose_p, cuts=_cuts_of_transpose, formula=CONVERSION)
traits(concatenate_p, flops=no_flops, recordable=True)

# What rules and transforms do with them


def cast(derivative: Any, like: Any) -> Any:
    """A tangent or cotangent in the dtype of what it belongs to. Raises TypeError for complex into real."""
    dtype = dtype_of(like)
    if dtype_of(derivative) == dtype:
        return derivative
    if dtype_of(derivative).kind == "c" and dtype.kind != "c":
        raise OperandTypeError(
            f"a complex derivative reached a real value of dtype {dtype}: only holomorphic functions of complex "
            "inputs are differentiated; make the input complex with mg.astype(x, 'complex128')"
        )
    return astype_p(derivative, dtype=dtype)


def promote(x: Any, dtype: np.dtype) -> Any:
    """x in the dtype of the result; Python numbers stay as they are, since they are weak."""
    if type(concrete(x)) in (bool, int, float, complex):
        return x
    found = dtype_of(x)
    if found == dtype or (found.kind == "c" and dtype.kind != "c"):  # complex, so that its rule can refuse it
        return x
    return (astype_p if is_inexact(x) else astype_discrete_p)(x, dtype=dtype)


def ones(x: Any) -> Any:
    """1 in every element, like x."""
    return add_p(zeros_like_p(x), 1)


def zero_tangent(x: Any) -> Any:
    """The tangent of a constant; that of a number stays a number, which belongs to no device."""
    return type(x)(0) if isinstance(x, NEUTRAL) else zeros_like_p(x)


def broadcast(x: Any, shape: tuple[int, ...]) -> Any:
    """x broadcast to a shape, where it has another."""
    return x if shape_of(x) == shape else broadcast_to_p(x, shape=shape)


def sum_back(x: Any, shape: tuple[int, ...]) -> Any:
    """x summed over whatever broadcasting added to this shape."""
    return x if shape_of(x) == shape else sum_to_p(x, shape=shape)
