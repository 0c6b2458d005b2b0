"""Inverses, linear equations, Cholesky factors and determinants of square matrices; each rule states JVP and VJP.

Sources: M. B. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation"
(2008) for inverse, solve and determinant; I. Murray, arXiv:1602.07527, for Cholesky. Aᵀ below is the plain transpose,
also of complex matrices, and Aᴴ the conjugate one; inverse, solve and determinant are holomorphic.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from minigrad.backends import store
from minigrad.core.arrays import describe, shape_of
from minigrad.core.batching import batched, elementwise
from minigrad.core.errors import OperandError
from minigrad.core.interpreter import primitive
from minigrad.core.rules import constant, custom
from minigrad.ops.arrange import tril
from minigrad.ops.complex import imag, is_complex, real_if_complex
from minigrad.ops.linalg import fit, matmul_p, mH, mT
from minigrad.ops.reduce import sum as sum_
from minigrad.ops.shape import expand_dims, squeeze


@primitive("inv")
def inv_p(b, x, out=None):
    return store(b.xp.linalg.inv(x), out)


INVERSE = (lambda t, y: -matmul_p(matmul_p(y, t), y), lambda g, y: -matmul_p(matmul_p(mT(y), g), mT(y)))
"""The rule of y = A⁻¹."""
custom(inv_p, x=INVERSE)
batched(inv_p)


@primitive("solve")
def solve_p(b, a, x, out=None):
    return store(b.xp.linalg.solve(a, x), out)


custom(  # A·y = x, so A·ẏ = ẋ − Ȧ·y
    solve_p,
    a=(
        lambda t, a, y: -solve_p(a, matmul_p(t, y)),
        lambda g, a, y: fit(-matmul_p(solve_p(mT(a), g), mT(y)), a),
    ),
    x=(lambda t, a: solve_p(a, t), lambda g, a, x: fit(solve_p(mT(a), g), x)),
)
batched(solve_p, elementwise(solve_p))  # the leading axes broadcast


def check_square(x, operation):
    """Raise unless x has square matrices in its last two axes."""
    if len(shape_of(x)) < 2 or shape_of(x)[-1] != shape_of(x)[-2]:
        raise OperandError(f"{operation}: needs square matrices in the last two axes, got {describe(x)}")


def inv(a: Any) -> Any:
    """A⁻¹ of each matrix. Raises LinAlgError if one is singular."""
    check_square(a, "inv")
    return inv_p(a)


def solve(a: Any, b: Any) -> Any:
    """A⁻¹b of each matrix; a 1-d b is a vector. Raises LinAlgError if one is singular."""
    check_square(a, "solve")
    if len(shape_of(b)) == 1:
        return squeeze(solve_p(a, expand_dims(b, 1)), -1)
    return solve_p(a, b)


@primitive("cholesky")
def cholesky_p(b, x, out=None):
    return store(b.xp.linalg.cholesky(x), out)


def _half(x):
    """Φ(x): the lower triangle of x with its diagonal halved."""
    return 0.5 * (tril(x) + tril(x, -1))


custom(  # A = LLᴴ read from its lower triangle: L̇ = L·Φ(L⁻¹ȦL⁻ᴴ)
    cholesky_p,
    x=(
        lambda t, y: matmul_p(y, _half(_solve_both_sides(y, complete(t)))),
        lambda g, y: fold_to_lower(_solve_both_sides(mT(y), _half(matmul_p(mT(y), g)))),
    ),
)
batched(cholesky_p)


def _solve_both_sides(l, a):
    """L⁻¹·A·L⁻ᴴ."""
    return mH(solve_p(l, mH(solve_p(l, a))))


def complete(a):
    """The symmetric or Hermitian matrix with the lower triangle of A, and the real part of its diagonal."""
    half = _half(a)
    return half + mH(half)


def fold_to_lower(s):
    """S folded onto its lower triangle: the transpose of `complete`."""
    return _half(s + mH(s))


def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """The lower triangular L with LLᴴ = A and a positive diagonal, for symmetric or Hermitian A.

    Only the lower triangle of A is read, without the imaginary part of its diagonal, so only it gets a derivative. With
    `upper`, the upper triangular U with UᴴU = A, read from the upper triangle. Raises LinAlgError if a matrix is not
    positive definite.
    """
    check_square(a, "cholesky")
    return mH(cholesky_p(mH(a))) if upper else cholesky_p(a)


@primitive("det")
def det_p(b, x, out=None):
    return store(b.xp.linalg.det(x), out)


def _scaled_inverse(y, x):
    return expand_dims(y, (-1, -2)) * mT(inv_p(x))


custom(  # ẏ = y·tr(A⁻¹Ȧ)
    det_p,
    x=(
        lambda t, x, y: sum_(_scaled_inverse(y, x) * t, (-1, -2)),
        lambda g, x, y: expand_dims(g, (-1, -2)) * _scaled_inverse(y, x),
    ),
)
batched(det_p)


def det(a: Any) -> Any:
    """The determinant of each matrix. Its derivative needs the inverse and raises LinAlgError at a singular matrix."""
    check_square(a, "det")
    return det_p(a)


class SlogdetResult(NamedTuple):
    """det A = sign · e^logabsdet."""

    sign: object
    logabsdet: object


@constant
@primitive("det_sign")
def det_sign_p(b, x, out=None):
    return store(b.xp.linalg.slogdet(x)[0], out)


batched(det_sign_p)


@primitive("det_phase")
def det_phase_p(b, x, out=None):
    """det A / |det A| of complex matrices."""
    return store(b.xp.linalg.slogdet(x)[0], out)


custom(  # ẏ = y·i·Im tr(A⁻¹Ȧ), so x̄ = Im(g·y)·i·A⁻ᵀ
    det_phase_p,
    x=(
        lambda t, x, y: 1j * y * imag(sum_(mT(inv_p(x)) * t, (-1, -2))),
        lambda g, x, y: expand_dims(1j * imag(g * y), (-1, -2)) * mT(inv_p(x)),
    ),
)
batched(det_phase_p)


@primitive("logabsdet")
def logabsdet_p(b, x, out=None):
    return store(b.xp.linalg.slogdet(x)[1], out)


custom(  # ẏ = Re tr(A⁻¹Ȧ)
    logabsdet_p,
    x=(
        lambda t, x: real_if_complex(sum_(mT(inv_p(x)) * t, (-1, -2))),
        lambda g, x: expand_dims(g, (-1, -2)) * mT(inv_p(x)),
    ),
)
batched(logabsdet_p)


def slogdet(a: Any) -> Any:
    """(sign, ln|det A|) of each matrix. The sign of a complex determinant has the absolute value 1, or is 0, and has a
    derivative.
    """
    check_square(a, "slogdet")
    return SlogdetResult(det_phase_p(a) if is_complex(a) else det_sign_p(a), logabsdet_p(a))
