"""Products of vectors: inner, Kronecker and cross products, composed of matrix products and multiplications.

As in NumPy, vdot, vecdot and vecmat take the complex conjugate of their first argument.
"""

from __future__ import annotations

import math
from typing import Any

from minigrad.core.arguments import check_options
from minigrad.core.arrays import describe, shape_of
from minigrad.core.errors import OperandError
from minigrad.core.vectors import reshape_p
from minigrad.ops.arithmetic import multiply, subtract
from minigrad.ops.arrange import stack
from minigrad.ops.complex import conjugate_if_complex
from minigrad.ops.indexing import getitem
from minigrad.ops.linalg import matmul, tensordot
from minigrad.ops.shape import expand_dims, moveaxis, ravel, squeeze


def inner(a: Any, b: Any, /) -> Any:
    """Sum of products over the last axes: y[…, …] = Σₖ a[…, k]·b[…, k]; the product if one is a number."""
    if not shape_of(a) or not shape_of(b):
        return multiply(a, b)
    return tensordot(a, b, axes=((-1,), (-1,)))


def vdot(a: Any, b: Any, /) -> Any:
    """The sum of all products of corresponding elements of conj(a) and b, raveled."""
    return tensordot(conjugate_if_complex(ravel(a)), ravel(b), axes=1)


def vecdot(x1: Any, x2: Any, /, out: None = None, *, axis: Any = -1, keepdims: bool = False, **options: Any) -> Any:
    """Sum of products of conj(x₁) and x₂ along an axis; the others broadcast."""
    check_options("vecdot", out=out, **options)
    if axis != -1:
        x1, x2 = moveaxis(x1, axis, -1), moveaxis(x2, axis, -1)
    if not shape_of(x1) or not shape_of(x2) or shape_of(x1)[-1] != shape_of(x2)[-1]:
        raise OperandError(f"vecdot: {describe(x1)} and {describe(x2)} differ in length along axis {axis}")
    y = squeeze(matmul(expand_dims(conjugate_if_complex(x1), -2), expand_dims(x2, -1)), -1)  # (…, 1, n) @ (…, n, 1)
    return moveaxis(y, -1, axis) if keepdims else squeeze(y, -1)


def matvec(x1: Any, x2: Any, /, out: None = None, **options: Any) -> Any:
    """Matrices (…, m, n) times vectors (…, n); the other axes broadcast."""
    check_options("matvec", out=out, **options)
    return squeeze(matmul(x1, expand_dims(x2, -1)), -1)  # (…, m, n) @ (…, n, 1)


def vecmat(x1: Any, x2: Any, /, out: None = None, **options: Any) -> Any:
    """Conjugates of vectors (…, m) times matrices (…, m, n); the other axes broadcast."""
    check_options("vecmat", out=out, **options)
    return squeeze(matmul(expand_dims(conjugate_if_complex(x1), -2), x2), -2)  # (…, 1, m) @ (…, m, n)


def kron(a: Any, b: Any) -> Any:
    """The Kronecker product: blocks a[i, j, …]·b in place of the elements of a; missing axes come first."""
    ndim = max(len(shape_of(a)), len(shape_of(b)))
    shape1, shape2 = ((1,) * (ndim - len(shape_of(x))) + shape_of(x) for x in (a, b))
    apart = multiply(
        reshape_p(a, shape=tuple(n for m in shape1 for n in (m, 1))),
        reshape_p(b, shape=tuple(n for m in shape2 for n in (1, m))),
    )
    return reshape_p(apart, shape=tuple(math.prod(pair) for pair in zip(shape1, shape2)))


def cross(a: Any, b: Any, axisa: Any = -1, axisb: Any = -1, axisc: Any = -1, axis: Any = None) -> Any:
    """The cross product of vectors of three components along the given axes; the other axes broadcast."""
    if axis is not None:
        axisa = axisb = axisc = axis
    (a1, a2, a3), (b1, b2, b3) = _components(a, axisa), _components(b, axisb)
    factors = (a2, b3, a3, b2), (a3, b1, a1, b3), (a1, b2, a2, b1)
    return moveaxis(stack([subtract(multiply(p, q), multiply(r, s)) for p, q, r, s in factors]), 0, axisc)


def _components(x, axis):
    front = moveaxis(x, axis, 0) if shape_of(x) else x
    if shape_of(front)[:1] != (3,):
        raise OperandError(f"cross: needs vectors of 3 components along axis {axis}, got {describe(x)}")
    return [getitem(front, i) for i in range(3)]
