"""Activation functions of neural networks, and logaddexp, of which softplus is a special case."""

from __future__ import annotations

import math
from typing import Any

from minigrad.backends import store
from minigrad.backends.formulas import reals
from minigrad.core.arrays import dtype_of, shape_of
from minigrad.core.vectors import LARGE, promote_together, zeros_like_p
from minigrad.ops.arithmetic import clip
from minigrad.ops.comparisons import equal, greater, less_equal, logical_and, where
from minigrad.ops.define import binary, in_float32, unary, wrap_binary
from minigrad.ops.functions import expm1, tanh
from minigrad.ops.reduce import make_inexact

# Sigmoid, softplus and logaddexp


def _decay(b, x, out=None):
    """e^−|x|; for complex x, e^−x where Re x ≥ 0 and e^x elsewhere, which is holomorphic on each side."""
    if dtype_of(x).kind == "c":
        return b.xp.exp(b.xp.where(b.xp.real(x) >= 0, -x, x), out=out)
    if dtype_of(x).kind == "i":  # the absolute value of the smallest integer overflows
        x = b.xp.multiply(x, 1.0)
    exponent = b.xp.subtract(0.0, b.xp.abs(x, out=out), out=out)
    return b.xp.exp(exponent, out=_reuse(b, exponent))


def _reuse(b, y):
    """y as an `out` to overwrite (allocating a large array costs more than filling it); None for a NumPy scalar."""
    return y if isinstance(y, b.array_type) else None


def _scratch_like(b, out):
    """A scratch array with the shape and dtype of `out`; None without `out`."""
    return None if out is None else b.scratch("activations", out.shape, out.dtype)


def _sigmoid(b, x, out=None):
    e = _decay(b, x, _scratch_like(b, out))  # y = 1/(1+e) where x ≥ 0, e/(1+e) where x < 0; |e| ≤ 1
    positive = b.xp.real(x) >= 0
    if dtype_of(x).kind == "c":
        y = store(b.xp.where(positive, 1, e), out)
    else:
        y = b.xp.maximum(e, positive, out=out)
    e += 1
    y /= e
    return y


def _softplus(b, x, out=None):
    y = _decay(b, x, out)
    y = b.xp.log1p(y, out=_reuse(b, y))
    if dtype_of(x).kind == "c":
        y += b.xp.where(b.xp.real(x) >= 0, x, 0 * x)
    else:
        y += b.xp.maximum(x, 0, out=_scratch_like(b, out))
    return y


def _log_sigmoid(b, x, out=None):
    return b.xp.negative(_softplus(b, b.xp.subtract(0.0, x)), out=out)


sigmoid = unary(
    "sigmoid",
    "1 / (1 + e⁻ˣ)",
    lambda x, y: y * sigmoid(-x),
    _sigmoid,
    formula=reals("(a >= 0 ? (real)1 : exp(-fabs(a))) / (1 + exp(-fabs(a)))"),
)
softplus = unary(
    "softplus",
    "ln(1 + eˣ)",
    lambda x: sigmoid(x),
    _softplus,
    formula=reals("(a < 0 ? (real)0 : a) + log1p(exp(-fabs(a)))"),
)
log_sigmoid = unary(
    "log_sigmoid",
    "ln(1 / (1 + e⁻ˣ))",
    lambda x: sigmoid(-x),
    _log_sigmoid,
    formula=reals("-((a > 0 ? (real)0 : -a) + log1p(exp(-fabs(a))))"),
)


def _gap(x1, x2):
    """x₁ − x₂, with (−∞) − (−∞) = −∞, so that neither argument gets a derivative where both are −∞."""
    both_infinite = logical_and(equal(x1, -math.inf), equal(x2, -math.inf))
    x2 = zeros_like_p(x1) + x2 if isinstance(x2, (int, float)) else x2
    return x1 - where(both_infinite, 0, x2)


logaddexp = binary(
    "logaddexp",
    "ln(e^x₁ + e^x₂)",
    lambda x1, x2: sigmoid(_gap(x1, x2)),
    lambda x1, x2: sigmoid(_gap(x2, x1)),
    formula=reals("a == b ? a + (real)0.6931471805599453 : (a > b ? a : b) + log1p(exp(-fabs(a - b)))"),
)


@in_float32
def _logaddexp2(x1, x2):
    x1, x2 = promote_together(x1, x2)
    return logaddexp(x1 * math.log(2), x2 * math.log(2)) * (1 / math.log(2))


logaddexp2 = wrap_binary(_logaddexp2, "log₂(2^x₁ + 2^x₂)", "logaddexp2")

# Rectifiers


def _relu(b, x, out=None):
    """NumPy takes the maximum with a row of zeros more than twice as fast as with the scalar 0."""
    shape = shape_of(x)
    rows = len(shape) > 1 and shape[0] > 1 and x.size >= LARGE
    return b.xp.maximum(x, b.xp.zeros(shape[1:], x.dtype) if rows else 0, out=out)


relu = unary(
    "relu",
    "max(x, 0)",
    lambda y: greater(y, 0),
    _relu,
    formula=reals("a < 0 ? (real)0 : a", costly=False),  # keeps NaN
    in_place=True,
    kink=lambda x: x > 0,
)


@in_float32
def leaky_relu(x: Any, slope: Any = 0.01) -> Any:
    """x where x > 0, else slope·x."""
    return where(greater(x, 0), x, slope * x)


@in_float32
def elu(x: Any, alpha: Any = 1.0) -> Any:
    """x where x > 0, else α(eˣ − 1)."""
    positive = greater(x, 0)
    return where(positive, x, alpha * expm1(where(positive, 0, x)))


@in_float32
def gelu(x: Any) -> Any:
    """½ x (1 + tanh(√(2/π) (x + 0.044715 x³))), the tanh form of Hendrycks and Gimpel, arXiv:1606.08415."""
    x = make_inexact(x)  # before NumPy 2.1, −20 is no bound for unsigned integers
    s = clip(x, -20, 20)  # beyond ±20 tanh is ±1, x³ may overflow, and −∞·0 is NaN
    return where(less_equal(x, 20), 0.5 * s * (1 + tanh(math.sqrt(2 / math.pi) * (s + 0.044715 * (s * s * s)))), x)
