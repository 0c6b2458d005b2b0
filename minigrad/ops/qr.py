"""The QR decomposition: A = Q·R with orthonormal columns and an upper triangle; both results state JVP and VJP.

As in `minigrad.ops.decompositions`, one primitive computes both results and has no derivative, and one more for each
result copies its part and has one. The diagonal of R keeps its sign, or the phase of its complex numbers.

Sources: S. F. Walter and L. Lehmann, "Algorithmic differentiation of linear algebra functions" (arXiv:1001.1654), and
M. Seeger et al., arXiv:1710.08717.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigrad.backends import store
from minigrad.core.arrays import shape_of
from minigrad.core.batching import batched
from minigrad.core.errors import OperandTypeError
from minigrad.core.interpreter import primitive
from minigrad.core.rules import constant, custom
from minigrad.ops.arrange import concatenate
from minigrad.ops.complex import conjugate_if_complex
from minigrad.ops.decompositions import UNCERTAIN, check_matrices
from minigrad.ops.indexing import getitem
from minigrad.ops.inverses import INVERSE, complete, fold_to_lower
from minigrad.ops.linalg import matmul_p, mH, mT


@batched
@constant
@primitive("qr")
def qr_p(b, x, out=None):
    """(…, m + n, n) for m×n matrices, m ≥ n: the matrix Q, and below it Rᵀ."""
    q, r = b.xp.linalg.qr(x)
    return b.xp.concatenate([q, r.swapaxes(-1, -2)], x.ndim - 2, out=out)


@batched
@primitive("orthogonal_factor")
def orthogonal_factor_p(b, x, q, r, out=None):
    return store(q.copy(), out)


@batched
@primitive("triangular_factor")
def triangular_factor_p(b, x, q, r, out=None):
    return store(r.copy(), out)


@batched
@primitive("inverse_triangle")
def inverse_triangle_p(b, x, out=None):
    """R⁻¹. Raises LinAlgError if a column depends on those before it, to rounding."""
    xp, rounding = b.xp, UNCERTAIN * x.shape[-1] * np.finfo(x.dtype).eps
    if bool(xp.any(xp.abs(xp.diagonal(x, 0, -2, -1)) <= rounding * xp.sum(xp.abs(x), axis=-2))):
        raise np.linalg.LinAlgError(
            "the QR factors of a matrix have no derivative where its first columns are linearly dependent"
        )
    return store(xp.linalg.inv(x), out)


custom(inverse_triangle_p, x=INVERSE)


def _to_upper(c):
    """The upper triangle of C plus its strict lower one, transposed and conjugated: what of C = QᴴȦR⁻¹ changes R. Its
    diagonal is real, so that the phases of the diagonal of R stay.
    """
    return mH(fold_to_lower(c))


def _from_upper(c):
    """The symmetric or Hermitian matrix with the upper triangle of C: the transpose of `_to_upper`."""
    return complete(mH(c))


def _orthogonal_jvp(t, y, x, q, r):
    """Q̇ = ȦR⁻¹ − Q·up(QᴴȦR⁻¹)."""
    moved = matmul_p(t, inverse_triangle_p(triangular_factor_p(x, q, r)))
    return moved - matmul_p(y, _to_upper(matmul_p(mH(y), moved)))


def _orthogonal_vjp(g, y, x, q, r):
    inverse = inverse_triangle_p(triangular_factor_p(x, q, r))
    return matmul_p(g - matmul_p(conjugate_if_complex(y), _from_upper(matmul_p(mT(y), g))), mT(inverse))


def _triangular_jvp(t, y, x, q, r):
    """Ṙ = up(QᴴȦR⁻¹)·R."""
    moved = matmul_p(t, inverse_triangle_p(y))
    return matmul_p(_to_upper(matmul_p(mH(orthogonal_factor_p(x, q, r)), moved)), y)


def _triangular_vjp(g, y, x, q, r):
    inside = matmul_p(_from_upper(matmul_p(g, mT(y))), mT(inverse_triangle_p(y)))
    return matmul_p(conjugate_if_complex(orthogonal_factor_p(x, q, r)), inside)


custom(orthogonal_factor_p, x=(_orthogonal_jvp, _orthogonal_vjp), q=None, r=None)
custom(triangular_factor_p, x=(_triangular_jvp, _triangular_vjp), q=None, r=None)


class QRResult(NamedTuple):
    """A = Q·R with QᴴQ = I and R upper triangular."""

    Q: object
    R: object


def qr(a: Any, mode: str = "reduced") -> Any:
    """Q of shape (…, m, k) and R (…, k, n) of each matrix, k = min(m, n). Signs, and phases of complex columns, are
    LAPACK's, and derivatives keep them.

    The derivative raises LinAlgError where the first k columns of a matrix are linearly dependent to rounding, that is,
    |Rⱼⱼ| is at most 8k·ε·Σᵢ|Rᵢⱼ|. Modes other than "reduced" raise TypeError.
    """
    check_matrices(a, "qr")
    if mode != "reduced":
        raise OperandTypeError(f"qr: mode={mode!r} is not supported: use 'reduced', of which R is the second result")
    k = min(shape_of(a)[-2:])
    x = a if k == shape_of(a)[-1] else getitem(a, (..., slice(k)))
    computed = qr_p(x)
    q, r = computed[..., : shape_of(x)[-2], :], mT(computed[..., shape_of(x)[-2] :, :])
    q, r = orthogonal_factor_p(x, q, r), triangular_factor_p(x, q, r)
    return QRResult(q, r if x is a else concatenate([r, matmul_p(mH(q), getitem(a, (..., slice(k, None))))], -1))
