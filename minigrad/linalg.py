"""Linear algebra, with the names and arguments of `numpy.linalg` and of the array API standard.

Most functions are those at the top of the package. As in NumPy, `diagonal`, `trace` and `cross` have other arguments
here: they take the last two axes, or one axis for both arrays.
"""

from __future__ import annotations

from typing import Any

from minigrad.ops import indexing, linalg, products
from minigrad.ops.decompositions import eigh, eigvalsh, svd, svdvals
from minigrad.ops.eigenvalues import eig, eigvals
from minigrad.ops.inverses import cholesky, det, inv, slogdet, solve
from minigrad.ops.linalg import matmul, matrix_transpose, multi_dot, outer, tensordot
from minigrad.ops.matrix_functions import lstsq, matrix_power, matrix_rank, pinv
from minigrad.ops.products import vecdot
from minigrad.ops.qr import qr
from minigrad.ops.statistics import matrix_norm, norm, vector_norm

# fmt: off
__all__ = [
    "cholesky", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh", "inv", "lstsq", "matmul",
    "matrix_norm", "matrix_power", "matrix_rank", "matrix_transpose", "multi_dot", "norm", "outer", "pinv", "qr",
    "slogdet", "solve", "svd", "svdvals", "tensordot", "trace", "vecdot", "vector_norm",
]
# fmt: on


def cross(x1: Any, x2: Any, /, *, axis: Any = -1) -> Any:
    """The cross product of vectors of three components along an axis; the other axes broadcast."""
    return products.cross(x1, x2, axis=axis)


def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """The diagonal of each matrix in the last two axes."""
    return indexing.diagonal(x, offset, -2, -1)


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """The sum of the diagonal of each matrix in the last two axes, in `dtype`.

    >>> import minigrad as mg, numpy as np
    >>> mg.grad(mg.linalg.trace)(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[1., 0.],
           [0., 1.]])
    """
    return linalg.trace(x, offset, -2, -1, dtype)
