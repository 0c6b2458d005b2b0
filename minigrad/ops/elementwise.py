"""Elementwise operations: each line is a formula and its derivative.

Arguments broadcast as in NumPy; a Python number takes the dtype of the array it meets. Statements name what they need:
`y` is the result, which often gives the stabler form (ẏ = (1−y²)·t for tanh). At kinks and ties the conventions are
those of `minigrad.ops.CONVENTIONS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.backends import stored
from minigrad.backends.formulas import CONVERSION, Formula, bits, numbers, reals, truth
from minigrad.core.arguments import not_offered
from minigrad.core.arrays import dtype_of, shape_of
from minigrad.core.errors import OperandTypeError
from minigrad.core.interpreter import Primitive, primitive
from minigrad.core.rules import constant, linear, partials
from minigrad.core.traits import Cut, along_any_axis, no_flops, traits


def _unary(name: str, words: str, x: Callable | int | None, forward: Callable | None = None, **known: Any) -> Callable:
    """A public function of one array with its partial derivative and traits; by default the backend's function of that
    name."""

    def default(b: Any, x: Any, out: Any = None) -> Any:
        return getattr(b.xp, name)(x, out=out)

    made = traits(Primitive(name, forward or default), cuts=along_any_axis, **known)
    partials(made, x=x) if x is not None else constant(made)

    def function(x, /, out=None, **options):
        if out is not None or options:
            not_offered(made.name, out=out, **options)
        return made(x)

    return _named(function, made, words)


def _binary(name: str, words: str, x1: Any, x2: Any, forward: Callable | None = None, **known: Any) -> Callable:
    """The same for two arrays that broadcast."""

    def default(b: Any, x1: Any, x2: Any, out: Any = None) -> Any:
        return getattr(b.xp, name)(x1, x2, out=out)

    made = traits(Primitive(name, forward or default), cuts=along_any_axis, **known)
    partials(made, x1=x1, x2=x2) if x1 is not None or x2 is not None else constant(made)

    def function(x1, x2, /, out=None, **options):
        if out is not None or options:
            not_offered(made.name, out=out, **options)
        return made(x1, x2)

    return _named(function, made, words)


def _named(function: Callable, made: Primitive, words: str) -> Callable:
    function.__name__ = function.__qualname__ = made.name
    function.__doc__ = f"{words}, elementwise."
    function.primitive = made
    return function


LARGE = 4096  # elements: from here on, a call that takes longer to begin may be the faster one

# Comparisons and rounding: no derivative


def _comparison(name: str, words: str, sign: str) -> Callable:
    """A comparison of two arrays, written `sign` in C++."""
    return _binary(name, words, None, None, formula=truth(f"a {sign} b"), kink=getattr(np, name))


equal = _comparison("equal", "x₁ = x₂", "==")
not_equal = _comparison("not_equal", "x₁ ≠ x₂", "!=")
less = _comparison("less", "x₁ < x₂", "<")
less_equal = _comparison("less_equal", "x₁ ≤ x₂", "<=")
greater = _comparison("greater", "x₁ > x₂", ">")
greater_equal = _comparison("greater_equal", "x₁ ≥ x₂", ">=")
logical_and = _binary("logical_and", "x₁ and x₂", None, None, formula=truth("a && b"))
logical_or = _binary("logical_or", "x₁ or x₂", None, None, formula=truth("a || b"))
logical_xor = _binary("logical_xor", "either x₁ or x₂", None, None, formula=truth("!a != !b"))
logical_not = _unary("logical_not", "not x", None, formula=truth("!a"))
bitwise_and = _binary(
    "bitwise_and", "x₁ & x₂ of booleans, or of the bits of integers", None, None, formula=bits("a & b")
)
bitwise_or = _binary("bitwise_or", "x₁ | x₂ of booleans, or of the bits of integers", None, None, formula=bits("a | b"))
bitwise_xor = _binary(
    "bitwise_xor", "x₁ ^ x₂ of booleans, or of the bits of integers", None, None, formula=bits("a ^ b")
)
invert = _unary("invert", "~x of booleans, or of the bits of integers", None, formula=bits("a ^ (real)-1"))
isnan = _unary("isnan", "whether x is NaN", None, formula=truth("a != a", of_reals=True))
isinf = _unary("isinf", "whether x is ±∞", None, formula=truth("isinf(a)", of_reals=True))
isfinite = _unary("isfinite", "whether x is finite", None, formula=truth("isfinite(a)", of_reals=True))


def _sign(b, x, out=None):
    if dtype_of(x).kind == "c":
        raise TypeError("the sign of a complex number has no holomorphic derivative, so it is not offered")
    return b.xp.sign(x, out=out)


sign = _unary(
    "sign",
    "−1, 0 or 1",
    None,
    _sign,
    formula=reals("a > 0 ? (real)1 : a < 0 ? (real)-1 : a + 0", costly=False),  # of −0, NumPy's is 0
    kink=np.sign,
)
floor = _unary("floor", "⌊x⌋", None, formula=reals("floor(a)"), kink=np.floor)
ceil = _unary("ceil", "⌈x⌉", None, formula=reals("ceil(a)"), kink=np.ceil)
rint = _unary("rint", "the nearest integer", None, formula=reals("rint(a)"), kink=np.rint)


@constant
@primitive("stop_gradient", view_of=0)
def stop_gradient_p(b, x, out=None):
    return b.freeze(x)


traits(stop_gradient_p, cuts=along_any_axis)


@constant
@primitive("zeros_like")
def zeros_like_p(b, x, out=None):
    return b.xp.zeros_like(x) if out is None else stored(0, out)


traits(zeros_like_p, flops=no_flops, recordable=True)


@constant
@primitive("step")
def step(b, x1, x2, out=None):
    """1 where x₁ > x₂, ½ where they tie, else 0: the share of x₁ in their maximum."""
    dtype = b.xp.result_type(x1, x2)
    return stored(b.xp.greater(x1, x2).astype(dtype) + b.xp.equal(x1, x2) * dtype.type(0.5), out)


traits(step, cuts=along_any_axis, formula=reals("a > b ? (real)1 : a == b ? (real)0.5 : (real)0", costly=False))


# Selection


@primitive("where")
def where_p(b, condition, x1, x2, out=None):
    return b.where(condition, x1, x2, out)


linear(
    where_p,  # linear in both branches together, so that a NaN in the branch not taken stays there
    condition=None,
    x1=lambda g, condition, x1: sum_to_p(where_p(condition, g, 0), shape=x1.shape),
    x2=lambda g, condition, x2: sum_to_p(where_p(condition, 0, g), shape=x2.shape),
)
traits(
    where_p,
    cuts=along_any_axis,
    formula=Formula("c ? a : b", "c ? a : b", truth="c ? a : b", selects=True),
    in_place=True,
)


def where(condition, x=None, y=None, /):
    """x where `condition` holds, else y.

    The branch not taken gets a zero cotangent, even where its value is NaN. What made that branch multiplies the zero
    by its own slope, though, and 0·∞ is NaN in reverse mode: for √x where x > 0, also mask the argument,
    `where(x > 0, sqrt(where(x > 0, x, 1)), 0)`.
    """
    if x is None or y is None:
        raise OperandTypeError("where: give x and y as well; for the positions of true elements use mg.nonzero")
    return where_p(condition, x, y)


@primitive("sum_to")
def sum_to_p(b, x, *, shape, out=None):
    """Sum over whatever broadcasting added: the transpose of broadcast_to."""
    x = b.xp.asarray(x)
    leading = x.ndim - len(shape)
    rows = leading and x.shape[leading:] == tuple(shape) and x.flags.c_contiguous and math.prod(shape) > 1
    if rows and x.dtype in (np.float32, np.float64) and x.size >= LARGE:
        return stored(b.column_sums(x.reshape(-1, math.prod(shape))).reshape(shape), out)
    axes = tuple(i for i in range(x.ndim) if i < leading or (shape[i - leading] == 1 and x.shape[i] != 1))
    if x.dtype == np.float16:  # where 2048 + 1 is 2048
        return stored(b.xp.sum(x, axis=axes, keepdims=True, dtype=np.float32).reshape(shape).astype(x.dtype), out)
    return stored(b.xp.sum(x, axis=axes, keepdims=True).reshape(shape), out)


@primitive("broadcast_to", view_of=0)
def broadcast_to_p(b, x, *, shape, out=None):
    return b.xp.broadcast_to(x, shape)


def _cuts_of_sum_to(operands, result, params):
    leading = len(operands[0]) - len(result)
    for axis, n in enumerate(operands[0]):
        kept = axis >= leading and result[axis - leading] == n
        yield Cut((axis,), axis - leading if kept else None)


linear(sum_to_p, x=lambda g, x: broadcast_to_p(g, shape=x.shape))
traits(sum_to_p, cuts=_cuts_of_sum_to, recordable=True)
linear(broadcast_to_p, x=lambda g, x: sum_to_p(g, shape=x.shape))
traits(broadcast_to_p, cuts=along_any_axis, formula=CONVERSION)

# Arithmetic

add = _binary("add", "x₁ + x₂", 1, 1, formula=numbers("a + b", "(natural)a + (natural)b"), in_place=True, exact=True)
subtract = _binary(
    "subtract", "x₁ − x₂", 1, -1, formula=numbers("a - b", "(natural)a - (natural)b"), in_place=True, exact=True
)
multiply = _binary(
    "multiply",
    "x₁·x₂",
    lambda x2: x2,
    lambda x1: x1,
    formula=numbers("a * b", "(natural)a * (natural)b"),
    in_place=True,
    exact=True,
)
add_p = add.primitive
divide = _binary(
    "divide",
    "x₁ / x₂",
    lambda t, x2: divide(t, x2),
    lambda x2, y: -divide(y, x2),
    formula=reals("a / b", costly=False),
    in_place=True,
    exact=True,
)
negative = _unary("negative", "−x", -1, formula=numbers("-a", "-(natural)a"), in_place=True, exact=True)
reciprocal = _unary(
    "reciprocal",
    "1 / x",
    lambda t, y: -(t * y * y),
    lambda b, x, out=None: b.xp.divide(1, x, out=out),  # NumPy's reciprocal divides integers as integers
    formula=reals("1 / a"),
)
square = _unary("square", "x²", lambda x: 2 * x, formula=numbers("a * a", "(natural)a * (natural)a"), in_place=True)


def _plus_zero(x):
    """x, with 0 for −0: the slopes of √x and ln x at 0 are +∞."""
    return x + 0


sqrt = _unary("sqrt", "√x", lambda y: divide(0.5, _plus_zero(y)), formula=reals("sqrt(a)", costly=False), in_place=True)


def _power_base(x1, x2):
    """∂x₁^x₂/∂x₁ = x₂·x₁^(x₂−1), with 0·0⁻¹ read as 0."""
    if isinstance(x2, (int, float)):
        return x2 * power(x1, x2 - 1) if x2 else 0.0
    undefined = logical_and(equal(x1, 0), equal(x2, 0))
    return x2 * power(where(undefined, 1, x1), x2 - 1)


def _power_exponent(x1, y):
    """∂x₁^x₂/∂x₂ = y ln x₁, and 0 where x₁ is 0, even where y is ∞."""
    if isinstance(x1, (int, float)) and x1 >= 0:
        return y * math.log(x1) if x1 else 0.0
    zero = equal(x1, 0)
    base = where(zero, 1, x1)
    return where(zero, 0, y) * log(base + 0j if dtype_of(y).kind == "c" else base)


power = _binary("power", "x₁ to the x₂", _power_base, _power_exponent, formula=reals("pow(a, b)"))

# Exponentials and logarithms

exp = _unary("exp", "eˣ", lambda y: y, formula=reals("exp(a)"), in_place=True)
expm1 = _unary("expm1", "eˣ − 1, accurate near 0", lambda x: exp(x), formula=reals("expm1(a)"))
log = _unary("log", "ln x", lambda t, x: divide(t, _plus_zero(x)), formula=reals("log(a)"))
log1p = _unary("log1p", "ln(1 + x), accurate near 0", lambda t, x: divide(t, 1 + x), formula=reals("log1p(a)"))
log2 = _unary("log2", "log₂ x", lambda t, x: divide(t, _plus_zero(x)) * (1 / math.log(2)), formula=reals("log2(a)"))


def _gap(x1, x2):
    """x₁ − x₂, with (−∞) − (−∞) read as −∞: nothing has no share in nothing."""
    nothing = logical_and(equal(x1, -math.inf), equal(x2, -math.inf))
    x2 = zeros_like_p(x1) + x2 if isinstance(x2, (int, float)) else x2
    return x1 - where(nothing, 0, x2)


logaddexp = _binary(
    "logaddexp",
    "ln(e^x₁ + e^x₂)",
    lambda x1, x2: sigmoid(_gap(x1, x2)),
    lambda x1, x2: sigmoid(_gap(x2, x1)),
    formula=reals("a == b ? a + (real)0.6931471805599453 : (a > b ? a : b) + log1p(exp(-fabs(a - b)))"),
)

# Trigonometric and hyperbolic

sin = _unary("sin", "sin x", lambda x: cos(x), formula=reals("sin(a)"))
cos = _unary("cos", "cos x", lambda x: -sin(x), formula=reals("cos(a)"))
tan = _unary("tan", "tan x", lambda y: 1 + y * y, formula=reals("tan(a)"))
arcsin = _unary("arcsin", "arcsin x", lambda t, x: divide(t, sqrt((1 - x) * (1 + x))), formula=reals("asin(a)"))
arccos = _unary("arccos", "arccos x", lambda t, x: -divide(t, sqrt((1 - x) * (1 + x))), formula=reals("acos(a)"))
arctan = _unary("arctan", "arctan x", lambda t, x: divide(t, 1 + x * x), formula=reals("atan(a)"))
sinh = _unary("sinh", "sinh x", lambda x: cosh(x), formula=reals("sinh(a)"))
cosh = _unary("cosh", "cosh x", lambda x: sinh(x), formula=reals("cosh(a)"))
tanh = _unary("tanh", "tanh x", lambda y: 1 - y * y, formula=reals("tanh(a)"))


def _over_radius(x, r):
    """x / r, and 0 at the origin."""
    origin = equal(r, 0)
    return where(origin, 0, divide(x, where(origin, 1, r)))


hypot = _binary(
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


arctan2 = _binary(
    "arctan2",
    "the angle of the point (x₂, x₁)",
    lambda x1, x2: _arctan2_slope(x2, x1, x2),
    lambda x1, x2: -_arctan2_slope(x1, x1, x2),
    formula=reals("atan2(a, b)"),
)

# Neural networks


def _decay(b, x, out=None):
    """e^−|x|, with Re x for |x| where x is complex, so that it stays holomorphic on either side."""
    if dtype_of(x).kind == "c":
        return b.xp.exp(b.xp.where(b.xp.real(x) >= 0, -x, x), out=out)
    if dtype_of(x).kind == "i":  # whose smallest number has no absolute value
        x = b.xp.multiply(x, 1.0)
    exponent = b.xp.subtract(0.0, b.xp.abs(x, out=out), out=out)
    return b.xp.exp(exponent, out=_again(b, exponent))


def _again(b, y):
    """y, to be written over: large arrays cost more to allocate than to fill. NumPy's numbers cannot be."""
    return y if isinstance(y, b.array_type) else None


def _beside(b, out):
    """Room for another array like `out`, if there is one."""
    return None if out is None else b.scratch("beside", out.shape, out.dtype)


def _sigmoid(b, x, out=None):
    e = _decay(b, x, _beside(b, out))  # 1/(1+e) where x ≥ 0, e/(1+e) where x < 0; e never exceeds 1 in size
    positive = b.xp.real(x) >= 0
    if dtype_of(x).kind == "c":
        y = stored(b.xp.where(positive, 1, e), out)
    else:
        y = b.xp.maximum(e, positive, out=out)
    e += 1
    y /= e
    return y


def _softplus(b, x, out=None):
    y = _decay(b, x, out)
    y = b.xp.log1p(y, out=_again(b, y))
    if dtype_of(x).kind == "c":
        y += b.xp.where(b.xp.real(x) >= 0, x, 0 * x)
    else:
        y += b.xp.maximum(x, 0, out=_beside(b, out))
    return y


def _log_sigmoid(b, x, out=None):
    return b.xp.negative(_softplus(b, b.xp.subtract(0.0, x)), out=out)


sigmoid = _unary(
    "sigmoid",
    "1 / (1 + e⁻ˣ)",
    lambda x, y: y * sigmoid(-x),
    _sigmoid,
    formula=reals("(a >= 0 ? (real)1 : exp(a)) / (1 + exp(-fabs(a)))"),
)
softplus = _unary(
    "softplus",
    "ln(1 + eˣ)",
    lambda x: sigmoid(x),
    _softplus,
    formula=reals("(a < 0 ? (real)0 : a) + log1p(exp(-fabs(a)))"),
)
log_sigmoid = _unary(
    "log_sigmoid",
    "ln(1 / (1 + e⁻ˣ))",
    lambda x: sigmoid(-x),
    _log_sigmoid,
    formula=reals("-((a > 0 ? (real)0 : -a) + log1p(exp(-fabs(a))))"),
)


def _relu(b, x, out=None):
    """NumPy compares with a row of zeros more than twice as fast as with one zero."""
    shape = shape_of(x)
    rows = len(shape) > 1 and shape[0] > 1 and x.size >= LARGE
    return b.xp.maximum(x, b.xp.zeros(shape[1:], x.dtype) if rows else 0, out=out)


relu = _unary(
    "relu",
    "max(x, 0)",
    lambda y: greater(y, 0),
    _relu,
    formula=reals("a < 0 ? (real)0 : a", costly=False),  # a NaN stays one
    in_place=True,
    kink=lambda x: x > 0,
)
erf = _unary(
    "erf",
    "2/√π ∫₀ˣ e^−s² ds",
    lambda x: 2 / math.sqrt(math.pi) * exp(-(x * x)),
    lambda b, x, out=None: b.erf(x, out),
    formula=reals("erf(a)"),
)


def leaky_relu(x, slope=0.01):
    """x where x > 0, else slope·x."""
    return where(greater(x, 0), x, slope * x)


def elu(x, alpha=1.0):
    """x where x > 0, else α(eˣ − 1)."""
    positive = greater(x, 0)
    return where(positive, x, alpha * expm1(where(positive, 0, x)))


def gelu(x):
    """½ x (1 + tanh(√(2/π) (x + 0.044715 x³))), the tanh form of Hendrycks and Gimpel, arXiv:1606.08415."""
    s = clip(x, -20, 20)  # tanh is ±1 long before, x³ would overflow, and −∞·0 is no number
    return where(less_equal(x, 20), 0.5 * s * (1 + tanh(math.sqrt(2 / math.pi) * (s + 0.044715 * (s * s * s)))), x)


# Kinks


def _real_sign(x):
    if dtype_of(x).kind == "c":
        raise OperandTypeError("absolute: |x| of a complex x is not holomorphic, so it has no complex derivative")
    return sign(x)


abs = absolute = _unary(
    "absolute", "|x|", lambda x: _real_sign(x), formula=reals("fabs(a)", costly=False), kink=lambda x: x > 0
)
maximum = _binary(
    "maximum",
    "the larger",
    lambda x1, x2: step(x1, x2),
    lambda x1, x2: step(x2, x1),
    formula=reals("larger(a, b)", costly=False),
    kink=np.greater,
)
minimum = _binary(
    "minimum",
    "the smaller",
    lambda x1, x2: step(x2, x1),
    lambda x1, x2: step(x1, x2),
    formula=reals("smaller(a, b)", costly=False),
    kink=np.greater,
)


@primitive("clip")
def clip_p(b, x, low, high, out=None):
    return b.xp.clip(x, low, high, out=out)


partials(
    clip_p,
    x=lambda x, low, high: logical_and(greater_equal(x, low), less_equal(x, high)),
    low=lambda x, low, high: logical_and(less(x, low), less_equal(low, high)),
    high=lambda x, low, high: logical_or(greater(x, high), greater(low, high)),
)
traits(
    clip_p,
    formula=reals("smaller(larger(a, b), c)", costly=False),
    kink=lambda x, low, high: (np.greater(x, low), np.less(x, high)),
)


def clip(a, a_min=None, a_max=None, out=None, *, min=None, max=None, **options):
    """a kept within [a_min, a_max], or [min, max]; its derivative is 1 inside and on both edges, 0 outside."""
    not_offered("clip", out=out, **options)
    if (a_min is not None or a_max is not None) and (min is not None or max is not None):
        raise OperandTypeError("clip: give either a_min and a_max, or min and max, which are the same bounds")
    low, high = -math.inf, math.inf
    if dtype_of(a).kind in "iu":  # integers stay integers
        low, high = int(np.iinfo(dtype_of(a)).min), int(np.iinfo(dtype_of(a)).max)
    a_min, a_max = min if a_min is None else a_min, max if a_max is None else a_max
    return clip_p(a, low if a_min is None else a_min, high if a_max is None else a_max)


def stop_gradient(x):
    """x itself, as a constant: derivatives do not pass.

    >>> import minigrad as mg
    >>> float(mg.grad(lambda x: x * mg.stop_gradient(x))(3.0))
    3.0
    """
    return stop_gradient_p(x)
