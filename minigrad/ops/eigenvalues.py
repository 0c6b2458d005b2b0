"""Eigenvalues and eigenvectors of general square matrices, real or complex; each result states JVP and VJP.

As in `minigrad.ops.decompositions`, `eig` computes both without a derivative, and a primitive returns each of them with
one. All are complex, also where every eigenvalue of a real matrix is real: their dtype does not depend on numbers.

**Norms and phases.** An eigenvector may be multiplied by any number. LAPACK's have norm 1 and a real largest element;
those of real eigenvalues of a real matrix are real. Derivatives are those of vectors that keep their norm and do not
turn, as for `eigh`: VᴴV̇ has the diagonal 0. So they are right for every function that does not depend on phases;
PyTorch raises for others.

**Equal eigenvalues.** The derivative of vectors raises LinAlgError where two eigenvalues differ by 8n·ε·max|λ| or less.
That of values exists there, exact for functions symmetric in equal values, unless the eigenvectors are linearly
dependent: such eigenvalues move like √Ȧ. Near such a matrix derivatives are large, and lose digits as V⁻¹ does.

Source: M. B. Giles (2008), see `minigrad.ops.inverses`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigrad.backends import store
from minigrad.core.arrays import dtype_of
from minigrad.core.batching import batched
from minigrad.core.interpreter import primitive
from minigrad.core.rules import constant, custom
from minigrad.ops.complex import conjugate
from minigrad.ops.decompositions import UNCERTAIN, inverse_gaps_p
from minigrad.ops.inverses import INVERSE, check_square
from minigrad.ops.linalg import matmul_p, mT
from minigrad.ops.reduce import sum as sum_
from minigrad.ops.shape import astype, expand_dims


@batched
@constant
@primitive("eig")
def eig_p(b, x, out=None):
    """(…, 1 + n, n): the eigenvalues λ, and below them the matrix V of eigenvectors, computed by LAPACK on the host."""
    values, vectors = np.linalg.eig(b.to_host(x))
    both = np.concatenate([values[..., None, :], vectors], x.ndim - 2)
    return store(b.from_host(both.astype(np.result_type(both, np.complex64))), out)


@batched
@primitive("inverse_basis")
def inverse_basis_p(b, x, out=None):
    """V⁻¹ of columns of norm 1. Raises LinAlgError if they are linearly dependent to rounding."""
    xp, limit = b.xp, 1 / (UNCERTAIN * x.shape[-1] * np.finfo(x.dtype).eps) if x.size else np.inf
    try:
        y = xp.linalg.inv(x)
    except np.linalg.LinAlgError:
        y = xp.full_like(x, np.inf)
    if not bool(xp.all(xp.abs(y) < limit)):
        raise np.linalg.LinAlgError(
            "eigenvalues have no derivative where eigenvectors are linearly dependent; differentiate a function of the "
            "matrix (mg.matrix_power, mg.expm, mg.det)"
        )
    return store(y, out)


custom(inverse_basis_p, x=INVERSE)


@batched
@primitive("general_eigenvalues")
def general_eigenvalues_p(b, x, values, vectors, out=None):
    return store(values.copy(), out)


@batched
@primitive("general_eigenvectors")
def general_eigenvectors_p(b, x, values, vectors, out=None):
    return store(vectors.copy(), out)


def _basis(x, values, vectors):
    """(V, V⁻¹)."""
    v = general_eigenvectors_p(x, values, vectors)
    return v, inverse_basis_p(v)


def _values_jvp(t, x, values, vectors):
    """λ̇ᵢ = (V⁻¹ȦV)ᵢᵢ."""
    v, inverse = _basis(x, values, vectors)
    return sum_(mT(inverse) * matmul_p(t, v), -2)


def _values_vjp(g, x, values, vectors):
    v, inverse = _basis(x, values, vectors)
    return matmul_p(mT(inverse) * expand_dims(g, -2), mT(v))


custom(general_eigenvalues_p, x=(_values_jvp, _values_vjp), values=None, vectors=None)


def _vectors_jvp(t, y, x, values, vectors):
    """V̇ = M − V·diag(VᴴM), with M = V·(F∘V⁻¹ȦV)."""
    gaps = inverse_gaps_p(general_eigenvalues_p(x, values, vectors))
    moved = matmul_p(y, gaps * matmul_p(inverse_basis_p(y), matmul_p(t, y)))
    return moved - y * sum_(conjugate(y) * moved, -2, keepdims=True)


def _vectors_vjp(g, y, x, values, vectors):
    gaps = inverse_gaps_p(general_eigenvalues_p(x, values, vectors))
    across = g - conjugate(y) * sum_(y * g, -2, keepdims=True)
    return matmul_p(mT(inverse_basis_p(y)), matmul_p(gaps * matmul_p(mT(y), across), mT(y)))


custom(general_eigenvectors_p, x=(_vectors_jvp, _vectors_vjp), values=None, vectors=None)


class EigResult(NamedTuple):
    """A·V = V·diag(λ), with columns of V of norm 1."""

    eigenvalues: object
    eigenvectors: object


def eig(a: Any) -> Any:
    """Eigenvalues, in LAPACK's order, and eigenvectors (columns, of norm 1) of each square matrix; complex arrays.

    Phases of eigenvectors are LAPACK's; derivatives are those of vectors that keep them: VᴴV̇ has the diagonal 0. The
    derivative of eigenvectors raises LinAlgError where two eigenvalues differ by 8n·ε·max|λ| or less, and that of
    eigenvalues where eigenvectors are linearly dependent to rounding. On a GPU, the host computes both results. For
    symmetric and Hermitian matrices use `eigh`.

    >>> import minigrad as mg, numpy as np
    >>> rotation = np.array([[0.0, -1.0], [1.0, 0.0]])
    >>> mg.grad(lambda a: mg.sum(mg.abs(mg.eig(a).eigenvalues)))(rotation)
    array([[ 0., -1.],
           [ 1.,  0.]])
    """
    x, values, vectors = _compute(a, "eig")
    return EigResult(general_eigenvalues_p(x, values, vectors), general_eigenvectors_p(x, values, vectors))


def eigvals(a: Any) -> Any:
    """The eigenvalues of each square matrix, a complex array, in the order of `eig`.

    The derivative is exact at equal eigenvalues for functions that are symmetric in these, if they have linearly
    independent eigenvectors; else it raises LinAlgError, as a second derivative does at equal eigenvalues.
    """
    return general_eigenvalues_p(*_compute(a, "eigvals"))


def _compute(a, operation):
    """(the matrices as complex ones, their eigenvalues, their eigenvectors); the last two without a derivative."""
    check_square(a, operation)
    computed = eig_p(a)
    return astype(a, dtype_of(computed), copy=False), computed[..., 0, :], computed[..., 1:, :]
