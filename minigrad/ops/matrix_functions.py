"""Functions of matrices: pseudoinverse, least squares, powers, exponential.

Sources: G. H. Golub and V. Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems whose
variables separate" (1973); N. J. Higham, "The scaling and squaring method for the matrix exponential revisited" (2005);
A. H. Al-Mohy and N. J. Higham, "Computing the Fréchet derivative of the matrix exponential" (2009).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from minigrad.backends import store
from minigrad.backends.dtypes import finfo, result_type
from minigrad.core.arguments import check_options, integer
from minigrad.core.arrays import describe, dtype_of, is_inexact, shape_of
from minigrad.core.batching import batched
from minigrad.core.errors import OperandError
from minigrad.core.interpreter import find_backend, primitive
from minigrad.core.rules import custom
from minigrad.ops.arithmetic import abs, divide, multiply, square_abs
from minigrad.ops.arrange import concatenate
from minigrad.ops.comparisons import stop_gradient, stop_gradient_p, where
from minigrad.ops.complex import conjugate_if_complex
from minigrad.ops.decompositions import check_matrices, compute_svd, singular_values_p, svdvals
from minigrad.ops.extremes import max as max_
from minigrad.ops.inverses import check_square, inv
from minigrad.ops.linalg import matmul_p, mH, mT
from minigrad.ops.reduce import any, count_nonzero
from minigrad.ops.reduce import sum as sum_
from minigrad.ops.shape import astype, expand_dims, squeeze, zeros_like

# Pseudoinverse and least squares


@batched
@primitive("pinv")
def pinv_p(b, x, computed, out=None):
    """The pseudoinverse of x, which has been computed."""
    return store(computed.copy(), out)


def _pinv_jvp(t, y, x):
    """Ẏ = −YȦY + YYᴴȦᴴ(I − AY) + (I − YA)ȦᴴYᴴY, for a change Ȧ that keeps the rank; products of n×n first."""
    yt, yx = matmul_p(y, t), matmul_p(y, x)
    left, right = matmul_p(matmul_p(y, mH(y)), mH(t)), matmul_p(mH(yt), y)
    outside = left - matmul_p(matmul_p(left, x), y) + right - matmul_p(yx, right)
    return outside - matmul_p(yt, y)


def _pinv_vjp(g, y, x):
    left, right = matmul_p(mT(g), matmul_p(y, mH(y))), matmul_p(mH(y), matmul_p(y, mT(g)))
    outside = left - matmul_p(x, matmul_p(y, left)) + right - matmul_p(right, matmul_p(y, x))
    return conjugate_if_complex(outside) - matmul_p(mT(y), matmul_p(g, mT(y)))


custom(pinv_p, x=(_pinv_jvp, _pinv_vjp), computed=None)


def _pseudoinverse(a, svd, rcond):
    """(the pseudoinverse, which singular values count) of matrices that are not wide, from their U, s and V."""
    u, s, v = svd
    counted = s > _relative(rcond, s)
    inverse = where(counted, 1 / where(counted, s, 1), 0)
    return pinv_p(a, matmul_p(v * expand_dims(inverse, -2), mH(u))), counted


def _relative(tolerance, s):
    """A tolerance, or one for each matrix, times the largest singular value."""
    return (expand_dims(tolerance, -1) if shape_of(tolerance) else tolerance) * s[..., :1]


def _is_wide(a):
    return shape_of(a)[-1] > shape_of(a)[-2]


_UNSET = object()


def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = _UNSET) -> Any:
    """The Moore–Penrose pseudoinverse of each matrix.

    Singular values up to `rcond` times the largest count as 0. It is 1e-15 by default; `rtol` is another name for it,
    with which None means max(m, n)·ε, as in NumPy. The derivative (Golub and Pereyra 1973) is that along changes of A
    which keep its rank: where the rank is not full, the pseudoinverse jumps along others.

    >>> import minigrad as mg, numpy as np
    >>> mg.pinv(np.array([[2.0, 0.0], [0.0, 0.0], [0.0, 0.0]]))
    array([[0.5, 0. , 0. ],
           [0. , 0. , 0. ]])
    """
    check_options("pinv", hermitian=hermitian)
    check_matrices(a, "pinv")
    if rcond is not None and rtol is not _UNSET:
        raise OperandError("pinv: give either rcond or rtol, not both")
    if rcond is None:
        rcond = 1e-15 if rtol is _UNSET else _rounding(a) if rtol is None else rtol
    tall = mT(a) if _is_wide(a) else a
    y, _ = _pseudoinverse(tall, compute_svd(tall), rcond)
    return mT(y) if _is_wide(a) else y


def _rounding(a):
    """max(m, n)·ε."""
    dtype = dtype_of(a)
    return max(shape_of(a)[-2:]) * float(finfo(dtype if is_inexact(a) else np.dtype(np.float64)).eps)


def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """The rank of each real matrix: how many singular values are above `tol`, or `rtol` times the largest; without a
    derivative. `rtol` is max(m, n)·ε by default. The rank of a vector is 1 unless all its elements are 0.
    """
    check_options("matrix_rank", hermitian=hermitian)
    if tol is not None and rtol is not None:
        raise OperandError("matrix_rank: give either tol or rtol, not both")
    if len(shape_of(A)) < 2:
        return astype(any(A), np.int64)
    s = svdvals(stop_gradient_p(A))
    if tol is None:
        return count_nonzero(s > _relative(_rounding(A) if rtol is None else rtol, s), -1)
    return count_nonzero(s > (expand_dims(tol, -1) if shape_of(tol) else tol), -1)


class LstsqResult(NamedTuple):
    """The solution x of least norm, the sums of squared residuals, the rank, and the singular values of a."""

    x: object
    residuals: object
    rank: object
    s: object


def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """The x of least norm that minimises |a·x − b|², for each matrix; a 1-d b is a vector.

    Singular values up to `rcond` times the largest count as 0; max(m, n)·ε by default. Returns (x, residuals, rank, s)
    as NumPy does; also for stacks of matrices. All but the rank have derivatives: x that of `pinv`, along changes of a
    that keep its rank; s that of `svdvals`. The residuals are sums of squares over each column of a·x − b, also where a
    has not full rank; they are empty unless a has more rows than columns.
    """
    check_matrices(a, "lstsq")
    if not shape_of(b) or shape_of(a)[-2] != shape_of(b)[0 if len(shape_of(b)) == 1 else -2]:
        raise OperandError(f"lstsq: {describe(a)} and {describe(b)} must have the same number of rows")
    dtypes = [dtype_of(x) if is_inexact(x) else np.dtype(np.float64) for x in (a, b)]  # of integers, as in NumPy
    dtype = result_type(*dtypes)
    a, b = astype(a, dtype, copy=False), astype(b, dtype, copy=False)
    rcond = _rounding(a) if rcond is None else rcond
    tall = mT(a) if _is_wide(a) else a
    svd = compute_svd(tall)
    y, counted = _pseudoinverse(tall, svd, rcond)
    right = expand_dims(b, 1) if len(shape_of(b)) == 1 else b
    x = matmul_p(mT(y) if _is_wide(a) else y, right)
    residuals = sum_(square_abs(matmul_p(a, x) - right), -2)
    residuals = residuals if shape_of(a)[-2] > shape_of(a)[-1] else residuals[..., :0]
    rank = astype(count_nonzero(counted, -1), np.int32)
    return LstsqResult(squeeze(x, -1) if len(shape_of(b)) == 1 else x, residuals, rank, singular_values_p(tall, *svd))


# Powers


def matrix_power(a: Any, n: Any) -> Any:
    """Each matrix multiplied n times by itself; the identity for n = 0, powers of the inverse for n < 0."""
    check_square(a, "matrix_power")
    n = integer(n, "matrix_power: n")
    if n == 0:
        return zeros_like(a) + find_backend(a).from_host(np.eye(shape_of(a)[-1], dtype=dtype_of(a)))
    a, n, result = (a, n, None) if n > 0 else (inv(a), -n, None)
    while n:  # a, a², a⁴, … for the binary digits of n
        if n % 2:
            result = a if result is None else matmul_p(result, a)
        n //= 2
        a = matmul_p(a, a) if n else a
    return result


# Exponential

_PADE = [math.comb(13, k) / (math.comb(26, k) * math.factorial(k)) for k in range(14)]
"""The coefficients of the numerator of the diagonal Padé approximant of eˣ of degree 13."""


@batched
@primitive("expm")
def expm_p(b, x, out=None):
    """Scaling and squaring: the Padé approximant of degree 13 of A/2ˢ, whose error is below ε if ‖A/2ˢ‖₁ ≤ 5.37."""
    xp, eye = b.xp, b.from_host(np.eye(x.shape[-1], dtype=x.dtype))
    if not x.size:
        return store(xp.exp(x), out)
    size = xp.max(xp.sum(xp.abs(x), axis=-2), axis=-1)[..., None, None]
    halvings = xp.ceil(xp.log2(xp.maximum(xp.where(xp.isfinite(size), size, 0) / 5.37, 1)))
    a = x * 0.5**halvings
    a2 = a @ a
    a4 = a2 @ a2
    a6 = a4 @ a2
    c = _PADE
    odd = a @ (a6 @ (c[13] * a6 + c[11] * a4 + c[9] * a2) + c[7] * a6 + c[5] * a4 + c[3] * a2 + c[1] * eye)
    even = a6 @ (c[12] * a6 + c[10] * a4 + c[8] * a2) + c[6] * a6 + c[4] * a4 + c[2] * a2 + c[0] * eye
    y = xp.linalg.solve(even - odd, even + odd)
    for k in range(int(xp.max(halvings))):
        y = xp.where(halvings > k, y @ y, y)
    return store(y, out)


def _derivative(x, t):
    """L(A, Ȧ), the derivative along Ȧ: the upper right block of exp [[A, Ȧ], [0, A]].

    It is linear in Ȧ, which is divided by its size first: the size of the block decides on the halvings.
    """
    n = shape_of(x)[-1]
    if not n:
        return t
    size = max_(sum_(abs(stop_gradient(t)), -2, keepdims=True), -1, keepdims=True)
    size = where(size > 0, size, 1)
    rows = concatenate([x, divide(t, size)], -1), concatenate([zeros_like(x), x], -1)
    return multiply(expm_p(concatenate(rows, -2))[..., :n, n:], size)


custom(expm_p, x=(lambda t, x: _derivative(x, t), lambda g, x: _derivative(mT(x), g)))  # the transpose is L(Aᵀ, ·)


def expm(a: Any) -> Any:
    """The exponential I + A + A²/2! + … of each square matrix, real or complex. float32 and float64.

    A derivative takes one exponential of twice the size, and each further order doubles the size again.

    >>> import minigrad as mg, numpy as np
    >>> mg.expm(np.array([[0.0, 1.0], [0.0, 0.0]]))
    array([[1., 1.],
           [0., 1.]])
    """
    check_square(a, "expm")
    return expm_p(a)
