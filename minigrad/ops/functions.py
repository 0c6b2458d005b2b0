"""Powers, exponentials and logarithms, trigonometric and hyperbolic functions, sinc and the error function.

Derivatives may use the result y, which often gives a more stable form: ẏ = (1−y²)·t for tanh.
"""

from __future__ import annotations

import math
from typing import Any

from minigrad.backends import store
from minigrad.backends.formulas import reals
from minigrad.core.arrays import dtype_of
from minigrad.core.interpreter import primitive
from minigrad.core.rules import partials
from minigrad.core.traits import along_any_axis, traits
from minigrad.ops.arithmetic import divide, multiply
from minigrad.ops.comparisons import equal, logical_and, where
from minigrad.ops.complex import imag, is_complex, real
from minigrad.ops.define import binary, unary, wrap_unary

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

cbrt = unary("cbrt", "∛x", lambda t, y: divide(t, 3 * y * y), formula=reals("cbrt(a)"))

# Exponentials and logarithms

exp = unary("exp", "eˣ", lambda y: y, formula=reals("exp(a)"), in_place=True)
expm1 = unary("expm1", "eˣ − 1, accurate near 0", lambda x: exp(x), formula=reals("expm1(a)"))
log = unary("log", "ln x", lambda t, x: divide(t, _plus_zero(x)), formula=reals("log(a)"))
log1p = unary("log1p", "ln(1 + x), accurate near 0", lambda t, x: divide(t, 1 + x), formula=reals("log1p(a)"))
log2 = unary("log2", "log₂ x", lambda t, x: divide(t, _plus_zero(x)) * (1 / math.log(2)), formula=reals("log2(a)"))
log10 = unary("log10", "log₁₀ x", lambda t, x: divide(t, _plus_zero(x)) * (1 / math.log(10)), formula=reals("log10(a)"))
exp2 = unary("exp2", "2ˣ", lambda y: math.log(2) * y, formula=reals("exp2(a)"))

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

arcsinh = unary("arcsinh", "arsinh x", lambda t, x: divide(t, _hypotenuse(x)), formula=reals("asinh(a)"))
arccosh = unary("arccosh", "arcosh x", lambda t, x: divide(t, sqrt(x - 1) * sqrt(x + 1)), formula=reals("acosh(a)"))
arctanh = unary("arctanh", "artanh x", lambda t, x: divide(t, (1 - x) * (1 + x)), formula=reals("atanh(a)"))


def _hypotenuse(x):
    """√(1 + x²), for real x without overflow."""
    return sqrt(1 + x * x) if dtype_of(x).kind == "c" else hypot(1, x)


degrees = wrap_unary(lambda x: multiply(x, 180 / math.pi), "x radians in degrees", "degrees")
radians = wrap_unary(lambda x: multiply(x, math.pi / 180), "x degrees in radians", "radians")

# The angle of complex numbers


def angle(z: Any, deg: Any = False) -> Any:
    """The angle of complex numbers (0 or π for real ones) in radians, or in degrees with `deg`; constant 0 at 0."""
    radians = arctan2(imag(z), real(z)) if is_complex(z) else arctan2(0, z)
    return 180 / math.pi * radians if deg else radians


# sin πx / πx


@primitive("sinc")
def sinc_p(b, x, *, order=0, out=None):
    """πⁿ s⁽ⁿ⁾(πx) for n = `order`, where s(u) = sin u / u and s(0) = 1.

    s⁽ⁿ⁾(u) = (sin⁽ⁿ⁾(u) − n s⁽ⁿ⁻¹⁾(u)) / u, which cancels near 0: there a power series takes its place.
    """
    xp, u = b.xp, b.xp.multiply(x, math.pi)
    divisor = xp.where(u == 0, 1, u)
    y = xp.where(u == 0, 1, xp.sin(u) / divisor)
    for n in range(1, order + 1):
        y = ((xp.sin, xp.cos)[n % 2](u) * (-1) ** (n // 2) - n * y) / divisor
    if order:
        near = xp.abs(u) < SINC_SERIES
        y = xp.where(near, _sum_sinc_series(xp.where(near, u, 0), order), y) * math.pi**order
    return store(xp.asarray(y, u.dtype)[()], out)


SINC_SERIES = 2.0


def _sum_sinc_series(u, order):
    """Σₖ (−1)ᵏ u²ᵏ⁻ⁿ / ((2k+1) (2k−n)!), which is s⁽ⁿ⁾(u), by Horner's rule; for |u| < 2 to double precision."""
    first, total = (order + 1) // 2, 0 * u
    for k in range(first + 13, first - 1, -1):
        total = total * (u * u) + (-1) ** k / ((2 * k + 1) * math.factorial(2 * k - order))
    return total * u if order % 2 else total


partials(sinc_p, x=lambda x, order: sinc_p(x, order=order + 1))
traits(sinc_p, cuts=along_any_axis, recordable=True)


def sinc(x: Any) -> Any:
    """sin πx / πx, elementwise; 1 at 0. Its derivatives of every order are exact at and near 0."""
    return sinc_p(x)


# The error function

erf = unary(
    "erf",
    "2/√π ∫₀ˣ e^−s² ds",
    lambda x: 2 / math.sqrt(math.pi) * exp(-(x * x)),
    lambda b, x, out=None: b.erf(x, out),
    formula=reals("erf(a)"),
)
