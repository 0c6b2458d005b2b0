"""Powers, exponentials and logarithms, trigonometric and hyperbolic functions, and the error function.

Derivatives may use the result y, which often gives a more stable form: ẏ = (1−y²)·t for tanh.
"""

from __future__ import annotations

import math

from minigrad.backends.formulas import reals
from minigrad.core.arrays import dtype_of
from minigrad.ops.arithmetic import divide
from minigrad.ops.comparisons import equal, logical_and, where
from minigrad.ops.define import binary, unary

# Powers


def _plus_zero(x):
    """x with −0 replaced by 0, so that the derivatives of √x and ln x are +∞ at either zero."""
    return x + 0


sqrt = unary("sqrt", "√x", lambda y: divide(0.5, _plus_zero(y)), formula=reals("sqrt(a)", costly=False), in_place=True)


def _power_base(x1, x2):
    """∂x₁^x₂/∂x₁ = x₂·x₁^(x₂−1), with 0·0⁻¹ read as 0."""
    if isinstance(x2, (int, float)):
        return float(x2) if x2 in (0, 1) else x2 * (x1 if x2 == 2 else power(x1, x2 - 1))
    undefined = logical_and(equal(x1, 0), equal(x2, 0))
    return x2 * power(where(undefined, 1, x1), x2 - 1)


def _power_exponent(x1, y):
    """∂x₁^x₂/∂x₂ = y ln x₁, and 0 where x₁ is 0, even where y is ∞."""
    if isinstance(x1, (int, float)) and x1 >= 0:
        return y * math.log(x1) if x1 else 0.0
    zero = equal(x1, 0)
    base = where(zero, 1, x1)
    return where(zero, 0, y) * log(base + 0j if dtype_of(y).kind == "c" else base)


power = binary("power", "x₁ to the x₂", _power_base, _power_exponent, formula=reals("pow(a, b)"))

# Exponentials and logarithms

exp = unary("exp", "eˣ", lambda y: y, formula=reals("exp(a)"), in_place=True)
expm1 = unary("expm1", "eˣ − 1, accurate near 0", lambda x: exp(x), formula=reals("expm1(a)"))
log = unary("log", "ln x", lambda t, x: divide(t, _plus_zero(x)), formula=reals("log(a)"))
log1p = unary("log1p", "ln(1 + x), accurate near 0", lambda t, x: divide(t, 1 + x), formula=reals("log1p(a)"))
log2 = unary("log2", "log₂ x", lambda t, x: divide(t, _plus_zero(x)) * (1 / math.log(2)), formula=reals("log2(a)"))

# Trigonometric and hyperbolic

sin = unary("sin", "sin x", lambda x: cos(x), formula=reals("sin(a)"))
cos = unary("cos", "cos x", lambda x: -sin(x), formula=reals("cos(a)"))
tan = unary("tan", "tan x", lambda y: 1 + y * y, formula=reals("tan(a)"))
arcsin = unary("arcsin", "arcsin x", lambda t, x: divide(t, sqrt((1 - x) * (1 + x))), formula=reals("asin(a)"))
arccos = unary("arccos", "arccos x", lambda t, x: -divide(t, sqrt((1 - x) * (1 + x))), formula=reals("acos(a)"))
arctan = unary("arctan", "arctan x", lambda t, x: divide(t, 1 + x * x), formula=reals("atan(a)"))
sinh = unary("sinh", "sinh x", lambda x: cosh(x), formula=reals("sinh(a)"))
cosh = unary("cosh", "cosh x", lambda x: sinh(x), formula=reals("cosh(a)"))
tanh = unary("tanh", "tanh x", lambda y: 1 - y * y, formula=reals("tanh(a)"))


def _over_radius(x, r):
    """x / r, and 0 at the origin."""
    origin = equal(r, 0)
    return where(origin, 0, divide(x, where(origin, 1, r)))


hypot = binary(
    "hypot",
    "√(x₁² + x₂²)",
    lambda x1, y: _over_radius(x1, y),
    lambda x2, y: _over_radius(x2, y),
    formula=reals("hypot(a, b)"),
)


def _arctan2_slope(x, x1, x2):
    """x / (x₁² + x₂²) without squaring, and 0 at the origin."""
    r = hypot(x1, x2)
    return _over_radius(_over_radius(x, r), r)


arctan2 = binary(
    "arctan2",
    "the angle of the point (x₂, x₁)",
    lambda x1, x2: _arctan2_slope(x2, x1, x2),
    lambda x1, x2: -_arctan2_slope(x1, x1, x2),
    formula=reals("atan2(a, b)"),
)

# The error function

erf = unary(
    "erf",
    "2/√π ∫₀ˣ e^−s² ds",
    lambda x: 2 / math.sqrt(math.pi) * exp(-(x * x)),
    lambda b, x, out=None: b.erf(x, out),
    formula=reals("erf(a)"),
)
