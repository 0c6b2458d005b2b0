"""Eigenvalues and singular values of matrices; each result states JVP and VJP.

A decomposition has several results, a primitive has one. So there are two kinds of primitives:

    eigh                       computes eigenvalues and eigenvectors, and returns them as the rows of one array; it has
                               no derivative
    eigenvalues, eigenvectors  take the matrix A and what `eigh` computed, and return one of the results, with a
                               derivative in A

and the same for `svd` (and in `minigrad.ops.qr`). The matrix is factorised once, whatever is differentiated: the rule
of a result needs the other results, and gets them from their primitives, which only copy. Derivatives of these flow to
A in turn, so that every order is right. In a program, results that nobody uses are dead code. And what has no
derivative is refused only where it is used: eigenvalues can be differentiated where eigenvectors cannot.

**Signs and phases.** The sign of an eigenvector, or of a pair of singular vectors, is the library's choice. Derivatives
are those of vectors that keep their sign, so they are right for every function that does not depend on it. The vectors
of a complex matrix have a free phase instead, e^iφ. Derivatives are those of vectors that do not turn: VᴴV̇ has the
diagonal 0 for eigenvectors, and for singular vectors UᴴU̇ + VᴴV̇ has, as their pairs may turn together. JAX does the
same for eigenvectors, and lets U alone turn for singular vectors; PyTorch raises for losses that depend on a phase. A
function that does not depend on it has the same derivative in all of them.

In the rules, a VJP has the plain transpose Aᵀ where its formula has Aᴴ, and the conjugate where it has A, as cotangents
are paired with tangents by Re Σ g·t (`minigrad.core.rules`).

**Equal eigenvalues.** Vectors of equal eigenvalues (or singular values) may be any basis of their space, and are no
differentiable function of A. A derivative of *vectors* raises LinAlgError where two eigenvalues of a matrix are equal
to rounding, that is, differ by 8n·ε·max|λ| or less, so that no digit would be certain. To leave out the infinite terms
instead would be wrong even for functions that do not depend on the basis: the gradient of V·f(λ)·Vᵀ needs f′ within the
space, which the cotangents of V and λ do not contain. Derivatives of *values* exist. They are exact for functions that
are symmetric in equal values (Σλᵢ, Σσᵢ²); for others they belong to the vectors that the library chose, and give an
element of the generalised gradient (of max λ, for example). The second derivative of values needs the first one of
vectors, and raises. Between eigenvalues that are close, the derivative of vectors is large; its relative error is about
ε·max|λ| / |λᵢ − λⱼ|.

Sources: M. B. Giles (2008), see `minigrad.ops.inverses`, for eigenvalues; J. Townsend, "Differentiating the singular
value decomposition" (2016).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigrad.backends import store
from minigrad.core.arguments import check_options
from minigrad.core.arrays import describe, shape_of
from minigrad.core.batching import batched
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.core.interpreter import find_backend, primitive
from minigrad.core.rules import constant, custom
from minigrad.ops.comparisons import where
from minigrad.ops.complex import conjugate_if_complex, is_complex, real_if_complex
from minigrad.ops.inverses import check_square, complete, fold_to_lower
from minigrad.ops.linalg import matmul_p, mH, mT
from minigrad.ops.reduce import sum as sum_
from minigrad.ops.shape import expand_dims, pad_p

UNCERTAIN = 8  # numbers that differ by 8n·ε or less may be equal: LAPACK's errors and those of the matrix are n·ε or so


def check_matrices(x, operation):
    """Raise unless x has matrices in its last two axes."""
    if len(shape_of(x)) < 2:
        raise OperandError(f"{operation}: needs matrices in the last two axes, got {describe(x)}")


def _row(x):
    """x along the last of two axes: A·diag(x) is A * _row(x)."""
    return expand_dims(x, -2)


@batched
@primitive("inverse_gaps")
def inverse_gaps_p(b, x, out=None):
    """Fᵢⱼ = 1/(xⱼ − xᵢ), and 0 for i = j. Raises LinAlgError if two numbers are equal to rounding."""
    xp, n = b.xp, x.shape[-1]
    gaps, same = x[..., None, :] - x[..., :, None], b.from_host(np.eye(n, dtype=bool))
    if n < 2:
        return store(xp.zeros_like(gaps), out)
    rounding = UNCERTAIN * n * np.finfo(x.dtype).eps * xp.max(xp.abs(x), -1)
    if bool(xp.any((xp.abs(gaps) <= rounding[..., None, None]) & ~same)):
        raise np.linalg.LinAlgError(
            "eigenvectors of equal eigenvalues have no derivative, nor have singular vectors of equal singular values, "
            "or of a singular value 0 if the matrix is complex or not square; differentiate the values alone "
            "(mg.eigvalsh, mg.eigvals, mg.svdvals), or a function of the matrix (mg.pinv, mg.expm, mg.solve)"
        )
    return store(xp.where(same, 0, 1 / xp.where(same, 1, gaps)), out)


def _inverse_gaps_vjp(g, y):
    slope = -y * y * g
    return sum_(slope, -2) - sum_(slope, -1)


custom(
    inverse_gaps_p,
    x=(lambda t, y: -y * y * (expand_dims(t, -2) - expand_dims(t, -1)), _inverse_gaps_vjp),
)

# Eigenvalues


@batched
@constant
@primitive("eigh")
def eigh_p(b, x, *, triangle="L", out=None):
    """(…, 1 + n, n): the eigenvalues λ, and below them the matrix V of eigenvectors."""
    values, vectors = b.xp.linalg.eigh(x, triangle)
    return b.xp.concatenate([values[..., None, :], vectors], x.ndim - 2, out=out)


@batched
@primitive("eigenvalues")
def eigenvalues_p(b, x, values, vectors, out=None):
    return store(values.copy(), out)


@batched
@primitive("eigenvectors")
def eigenvectors_p(b, x, values, vectors, out=None):
    return store(vectors.copy(), out)


def _along(v, t):
    """The diagonal of VᴴȦV, which is real."""
    return real_if_complex(sum_(conjugate_if_complex(v) * matmul_p(complete(t), v), -2))


def _scale(v, g):
    """V̄·diag(g)·Vᵀ, folded."""
    return fold_to_lower(matmul_p(conjugate_if_complex(v) * _row(g), mT(v)))


custom(  # A = V·diag(λ)·Vᴴ, of which the lower triangle is read: λ̇ᵢ = (VᴴȦV)ᵢᵢ
    eigenvalues_p,
    x=(
        lambda t, x, values, vectors: _along(eigenvectors_p(x, values, vectors), t),
        lambda g, x, values, vectors: _scale(eigenvectors_p(x, values, vectors), g),
    ),
    values=None,
    vectors=None,
)


def _eigenvectors_jvp(t, y, x, values, vectors):
    """V̇ = V·(F∘VᴴȦV)."""
    gaps = inverse_gaps_p(eigenvalues_p(x, values, vectors))
    return matmul_p(y, gaps * matmul_p(mH(y), matmul_p(complete(t), y)))


def _eigenvectors_vjp(g, y, x, values, vectors):
    gaps = inverse_gaps_p(eigenvalues_p(x, values, vectors))
    return fold_to_lower(matmul_p(matmul_p(conjugate_if_complex(y), gaps * matmul_p(mT(y), g)), mT(y)))


custom(eigenvectors_p, x=(_eigenvectors_jvp, _eigenvectors_vjp), values=None, vectors=None)


class EighResult(NamedTuple):
    """A = V·diag(λ)·Vᴴ with the eigenvalues λ ascending and VᴴV = I."""

    eigenvalues: object
    eigenvectors: object


def eigh(a: Any, UPLO: str = "L") -> Any:
    """Eigenvalues, ascending, and eigenvectors (columns) of each symmetric or Hermitian matrix.

    Only the lower triangle is read (the upper one with UPLO="U"), without imaginary parts of its diagonal, so only it
    gets a derivative. Signs and phases of eigenvectors are LAPACK's; derivatives are those of vectors that keep theirs:
    VᴴV̇ has the diagonal 0. The derivative of eigenvectors raises LinAlgError where two eigenvalues of a matrix differ
    by 8n·ε·max|λ| or less; that of eigenvalues does not. Forward mode differentiates both: use `eigvalsh` where only
    eigenvalues matter.

    >>> import minigrad as mg, numpy as np
    >>> mg.grad(lambda a: mg.eigh(a).eigenvalues[1])(np.array([[0.0, 0.0], [0.0, 3.0]]))
    array([[0., 0.],
           [0., 1.]])
    """
    x = _turn(a, UPLO, "eigh")
    computed = eigh_p(a, triangle=UPLO.upper())
    values, vectors = real_if_complex(computed[..., 0, :]), computed[..., 1:, :]
    return EighResult(eigenvalues_p(x, values, vectors), eigenvectors_p(x, values, vectors))


def _turn(a, triangle, operation):
    """The matrix whose lower triangle is this one of a, transposed and conjugated if it is the upper one."""
    check_square(a, operation)
    if triangle not in ("L", "U", "l", "u"):
        raise OperandError(
            f"{operation}: UPLO={triangle!r} is unknown: use 'L' (the lower triangle) or 'U' (the upper)"
        )
    return a if triangle in "Ll" else mH(a)


@batched
@primitive("eigvalsh")
def eigvalsh_p(b, x, out=None):
    return store(b.xp.linalg.eigvalsh(x), out)


custom(
    eigvalsh_p,
    x=(lambda t, x: _along(eigh(x).eigenvectors, t), lambda g, x: _scale(eigh(x).eigenvectors, g)),
)


def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """The eigenvalues of each symmetric or Hermitian matrix, ascending; reads one triangle as `eigh` does.

    The derivative computes eigenvectors. It is exact at equal eigenvalues for functions that are symmetric in these;
    for others it belongs to the eigenvectors that LAPACK chooses. A second derivative raises LinAlgError there.
    """
    return eigvalsh_p(_turn(a, UPLO, "eigvalsh"))


# Singular values


@batched
@constant
@primitive("svd")
def svd_p(b, x, out=None):
    """(…, m + 1 + n, k) for m×n matrices, k = min(m, n): the matrix U, then the singular values s, then V̄."""
    u, s, vh = b.xp.linalg.svd(x, full_matrices=False)
    return b.xp.concatenate([u, s[..., None, :], vh.swapaxes(-1, -2)], x.ndim - 2, out=out)


def compute_svd(x):
    """(U, s, V) with A = U·diag(s)·Vᴴ, without a derivative."""
    computed, m = svd_p(x), shape_of(x)[-2]
    s, v = real_if_complex(computed[..., m, :]), conjugate_if_complex(computed[..., m + 1 :, :])
    return computed[..., :m, :], s, v


@batched
@primitive("singular_values")
def singular_values_p(b, x, u, s, v, out=None):
    return store(s.copy(), out)


@batched
@primitive("left_vectors")
def left_vectors_p(b, x, u, s, v, out=None):
    """U. As Aᴴ = V·diag(s)·Uᴴ, the right vectors are left_vectors(Aᴴ, v, s, u)."""
    return store(u.copy(), out)


def _pair(x, u, s, v):
    """(U, V)."""
    return left_vectors_p(x, u, s, v), left_vectors_p(mH(x), v, s, u)


def _values_jvp(t, u, v):
    """ṡᵢ = Re (UᴴȦV)ᵢᵢ."""
    return real_if_complex(sum_(conjugate_if_complex(u) * matmul_p(t, v), -2))


def _values_vjp(g, u, v):
    return matmul_p(conjugate_if_complex(u) * _row(g), mT(v))


custom(
    singular_values_p,
    x=(
        lambda t, x, u, s, v: _values_jvp(t, *_pair(x, u, s, v)),
        lambda g, x, u, s, v: _values_vjp(g, *_pair(x, u, s, v)),
    ),
    **dict.fromkeys("usv"),
)


def _left_vectors_jvp(t, y, x, u, s, v):
    """U̇ = U·(F∘½(E + Eᴴ) + ½(E − Eᴴ)∘H) + (I − UUᴴ)·ȦV·diag(s)⁻¹, with E = UᴴȦV and Hᵢⱼ = 1/(sᵢ + sⱼ)."""
    gaps, sums, inverse = _factors(x, u, s, v)
    moved = matmul_p(t, left_vectors_p(mH(x), v, s, u))
    e = matmul_p(mH(y), moved)
    inside = matmul_p(y, 0.5 * (gaps * (e + mH(e)) + sums * (e - mH(e))))
    return inside if inverse is None else inside + (moved - matmul_p(y, e)) * inverse


def _left_vectors_vjp(g, y, x, u, s, v):
    gaps, sums, inverse = _factors(x, u, s, v)
    m, conjugate = matmul_p(mT(y), g), conjugate_if_complex(y)
    turn = gaps * m
    inside = matmul_p(conjugate, 0.5 * (turn + mH(turn) + sums * (m - mH(m))))
    total = inside if inverse is None else inside + (g - matmul_p(conjugate, m)) * inverse
    return matmul_p(total, mT(left_vectors_p(mH(x), v, s, u)))


def _factors(x, u, s, v):
    """(F, H, the row 1/s); None for 1/s if U is square, so that its columns span everything.

    The diagonal of H turns complex vectors, and is 0 for real ones.
    """
    (rows, k), values = shape_of(u)[-2:], singular_values_p(x, u, s, v)
    turns = is_complex(u)
    if rows > k or turns:  # 0 is one of the numbers to be apart from: its vectors complete the basis, or turn alone
        gaps = inverse_gaps_p(pad_p(values, widths=((0, 0),) * (len(shape_of(values)) - 1) + ((0, 1),)))
        gaps, inverse = gaps[..., :k, :k], gaps[..., k:, :k] if rows > k else None
    else:
        gaps, inverse = inverse_gaps_p(values), None
    counts = find_backend(values).from_host(np.full((k, k), True) if turns else ~np.eye(k, dtype=bool))
    return gaps, where(counts, 1 / where(counts, expand_dims(values, -1) + _row(values), 1), 0), inverse


custom(left_vectors_p, x=(_left_vectors_jvp, _left_vectors_vjp), **dict.fromkeys("usv"))


class SVDResult(NamedTuple):
    """A = U·diag(S)·Vh with the singular values S descending, UᴴU = I and Vh·Vhᴴ = I."""

    U: object
    S: object
    Vh: object


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """Singular vectors and values, descending, of each matrix: U of shape (…, m, k), S (…, k), Vh (…, k, n).

    k = min(m, n); with compute_uv=False, S alone. The default full_matrices=True is for square matrices: for others it
    raises, as the other columns are any basis of what is left, which has no derivative.

    The sign or phase of each pair of vectors is LAPACK's; derivatives are those of pairs that keep it: UᴴU̇ + VᴴV̇ has
    the diagonal 0. The derivative of vectors raises LinAlgError where two singular values of a matrix are equal to
    rounding, and, for matrices that are complex or not square, where one is 0; that of singular values does not. At 0 a
    singular value has a kink, as |x| has; its derivative there is that of a value which changes sign with its vectors,
    and so exact for even functions. Forward mode differentiates all results: use `svdvals` where only singular values
    matter.
    """
    check_options("svd", hermitian=hermitian)
    if not compute_uv:
        return svdvals(a)
    check_matrices(a, "svd")
    if full_matrices and shape_of(a)[-2] != shape_of(a)[-1]:
        raise OperandTypeError(
            f"svd: full_matrices=True of {describe(a)}, which is not square: use full_matrices=False"
        )
    computed = compute_svd(a)
    u, v = _pair(a, *computed)
    return SVDResult(u, singular_values_p(a, *computed), mH(v))


@batched
@primitive("svdvals")
def svdvals_p(b, x, out=None):
    return store(b.xp.linalg.svd(x, compute_uv=False), out)


custom(
    svdvals_p,
    x=(
        lambda t, x: _values_jvp(t, *_pair(x, *compute_svd(x))),
        lambda g, x: _values_vjp(g, *_pair(x, *compute_svd(x))),
    ),
)


def svdvals(x: Any, /) -> Any:
    """The singular values of each matrix, descending. The derivative computes singular vectors; see `svd`."""
    check_matrices(x, "svdvals")
    return svdvals_p(x)
