"""Covariances and correlation coefficients of several variables."""

from __future__ import annotations

from typing import Any

from minigrad.core.arrays import describe, shape_of
from minigrad.core.errors import OperandError
from minigrad.core.vectors import promote_together
from minigrad.ops.arithmetic import divide, multiply, subtract
from minigrad.ops.arrange import concatenate
from minigrad.ops.complex import real_if_complex
from minigrad.ops.define import in_float32
from minigrad.ops.functions import sqrt
from minigrad.ops.indexing import diagonal
from minigrad.ops.linalg import matmul, mH
from minigrad.ops.reduce import convert_operand, make_inexact, sum
from minigrad.ops.shape import expand_dims, squeeze, transpose
from minigrad.ops.stacking import atleast_2d
from minigrad.ops.statistics import average


@in_float32
def cov(
    m: Any,
    y: Any = None,
    rowvar: Any = True,
    bias: Any = False,
    ddof: Any = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    """The covariance matrix of variables in rows (in columns without `rowvar`), divided by n − ddof; ddof is 1 by
    default, 0 with `bias`. `fweights` counts repetitions of an observation, `aweights` weighs them.
    Of complex variables, the means of x·ȳ: a Hermitian matrix.
    """
    x = _join_variables("cov", m, y, rowvar, dtype)
    ddof = (0 if bias else 1) if ddof is None else ddof
    weights = None
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is not None and shape_of(given) != shape_of(x)[1:]:
            raise OperandError(f"cov: {name} needs one number for each of {shape_of(x)[1]} observations")
    if fweights is not None or aweights is not None:
        weights = multiply(1 if fweights is None else fweights, 1 if aweights is None else aweights)
    total = shape_of(x)[1] if weights is None else sum(weights)
    spent = ddof if aweights is None else ddof * sum(weights * aweights) / total
    deviation = subtract(x, expand_dims(average(x, 1, weights), 1))
    weighted = deviation if weights is None else multiply(deviation, weights)
    products = divide(matmul(weighted, mH(deviation)), total - spent)
    return squeeze(products)


@in_float32
def corrcoef(x: Any, y: Any = None, rowvar: Any = True, *, dtype: Any = None) -> Any:
    """The correlation coefficients cov(x)ᵢⱼ / √(cov(x)ᵢᵢ cov(x)ⱼⱼ), whose absolute value rounding may move beyond 1."""
    c = cov(x, y, rowvar, dtype=dtype)
    if not shape_of(c):
        return divide(c, c)
    spread = sqrt(real_if_complex(diagonal(c)))
    return divide(divide(c, expand_dims(spread, 1)), expand_dims(spread, 0))


def _join_variables(operation, m, y, rowvar, dtype):
    """The variables of m and y as the rows of one floating-point matrix."""
    rows = []
    for x in (m,) if y is None else promote_together(m, y):
        if len(shape_of(x)) > 2:
            raise OperandError(f"{operation}: needs arrays of at most 2 dimensions, got {describe(x)}")
        rows.append(atleast_2d(convert_operand(make_inexact(x), dtype, operation)))
        if not rowvar and (shape_of(rows[-1])[0] != 1 if rows[:-1] else len(shape_of(x)) == 2):
            rows[-1] = transpose(rows[-1])
    return concatenate(rows, 0)
