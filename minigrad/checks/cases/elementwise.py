"""Elementwise operations, on shapes that broadcast."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

import minigrad as mg
from minigrad.checks.cases.registry import CASES, also, apart, between, case, signed

# Elementwise, of one array


def _positive(x):
    return np.real(x) > 0


def _softplus(x):
    return np.log1p(np.exp(x))


def _gelu(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


_erf = np.vectorize(math.erf, otypes=[float])

UNARY = {
    "negative": (mg.negative, np.negative, signed),
    "reciprocal": (mg.reciprocal, lambda x: 1 / x, signed),
    "square": (mg.square, np.square, signed),
    "sqrt": (mg.sqrt, np.sqrt, between(0.6, 3)),
    "exp": (mg.exp, np.exp, signed),
    "expm1": (mg.expm1, np.expm1, signed),
    "log": (mg.log, np.log, between(0.6, 3)),
    "log1p": (mg.log1p, np.log1p, between(-0.4, 2)),
    "log2": (mg.log2, np.log2, between(0.6, 3)),
    "sin": (mg.sin, np.sin, signed),
    "cos": (mg.cos, np.cos, signed),
    "tan": (mg.tan, np.tan, between(-1, 1)),
    "arcsin": (mg.arcsin, np.arcsin, between(-0.4, 0.4)),
    "arccos": (mg.arccos, np.arccos, between(-0.4, 0.4)),
    "arctan": (mg.arctan, np.arctan, signed),
    "sinh": (mg.sinh, np.sinh, signed),
    "cosh": (mg.cosh, np.cosh, signed),
    "tanh": (mg.tanh, np.tanh, signed),
    "sigmoid": (mg.sigmoid, lambda x: 1 / (1 + np.exp(-x)), signed),
    "softplus": (mg.softplus, _softplus, signed),
    "log_sigmoid": (mg.log_sigmoid, lambda x: -_softplus(-x), signed),
    "gelu": (mg.gelu, _gelu, signed),
}
for _name, (_function, _formula, _draw) in UNARY.items():
    case(_name, _function, _formula, ((3, 4), _draw), third=True)

KINKED = {
    "absolute": (mg.abs, lambda x: np.where(_positive(x), x, -x), signed),
    "relu": (mg.relu, lambda x: np.where(_positive(x), x, 0), signed),
    "leaky_relu": (mg.leaky_relu, lambda x: np.where(_positive(x), x, 0.01 * x), signed),
    "elu": (mg.elu, lambda x: np.where(_positive(x), x, np.expm1(x)), signed),
    "clip/numbers": (lambda x: mg.clip(x, -1, 1), lambda x: np.where(abs(x.real) < 1, x, np.sign(x.real)), apart(0.16)),
    "clip/one-sided": (lambda x: mg.clip(x, None, 1), lambda x: np.where(np.real(x) < 1, x, 1), apart(0.16)),
}
for _name, (_function, _formula, _draw) in KINKED.items():
    case(_name, _function, _formula, ((3, 4), _draw), holomorphic=False, third=True)
case("erf", mg.erf, _erf, ((3, 4), between(-2, 2)), holomorphic=False, oracle="differences")

ANY_SHAPE = (*UNARY, *KINKED, "erf")
for _c in [c for c in CASES if c.name in ANY_SHAPE]:
    CASES += [
        replace(_c, name=f"{_c.name}/{what}", shapes=(shape,), third=False)
        for what, shape in {"0-d": (), "empty": (2, 0, 3)}.items()
    ]

POWERS = {"2": 2, "3": 3, "0.5": 0.5, "1": 1, "0": 0, "-1": -1, "-1.5": -1.5, "float32": np.float32(2.5)}
for _name, _p in POWERS.items():
    case(f"power/{_name}", lambda x, p=_p: x**p, lambda x, p=_p: x**p, ((3, 2), between(0.6, 2)), third=True)
case("power/of a negative", lambda x: x**3, lambda x: x**3, ((3, 2), between(-2, -0.6)), third=True)
case("power/number to the", lambda x: 2.0**x, lambda x: 2.0**x, ((3, 2), signed), third=True)
case("power/fraction to the", lambda x: 0.5**x, lambda x: 0.5**x, ((3, 2), signed), third=True)
case(
    "power/to the zeroth",  # an array of zeros: ∂²/∂x₁∂x₂ is 1/x₁ there
    mg.power,
    np.power,
    ((3, 2), between(0.6, 2)),
    ((3, 2), lambda rng, shape: np.zeros(shape)),
    third=True,
)
case("subtract/number", lambda x: 2 - x, lambda x: 2 - x, ((3, 2), signed))
case("divide/number", lambda x: 2 / x, lambda x: 2 / x, ((3, 2), signed), third=True)
case("divide/by a number", lambda x: x / 3, lambda x: x / 3, ((3, 2), signed))
case("multiply/number", lambda x: 3 * x, lambda x: 3 * x, ((3, 2), signed))
case(
    "maximum/number",
    lambda x: mg.maximum(x, 0.1),
    lambda x: np.where(np.real(x) > 0.1, x, 0.1),
    ((3, 2), signed),
    holomorphic=False,
)
case("hypot/number", lambda x: mg.hypot(x, 2), lambda x: np.sqrt(x * x + 4), ((3, 2), signed), holomorphic=False)
case("arctan2/number", lambda x: mg.arctan2(x, 2.0), lambda x: np.arctan(x / 2), ((3, 2), signed), holomorphic=False)
case(
    "logaddexp/number",
    lambda x: mg.logaddexp(0, x),
    lambda x: np.log(1 + np.exp(x)),
    ((3, 2), signed),
    holomorphic=False,
)

# Elementwise, of two and three arrays


def _arctan2(x1, x2):
    return np.arctan(x1 / x2) + np.where(np.real(x2) < 0, np.sign(np.real(x1)) * np.pi, 0)


BINARY = {
    "add": (mg.add, np.add, signed, signed),
    "subtract": (mg.subtract, np.subtract, signed, signed),
    "multiply": (mg.multiply, np.multiply, signed, signed),
    "divide": (mg.divide, np.divide, signed, signed),
    "power": (mg.power, np.power, between(0.6, 2), between(-1.5, 2)),
    "logaddexp": (mg.logaddexp, lambda a, b: np.log(np.exp(a) + np.exp(b)), signed, signed),
    "hypot": (mg.hypot, lambda a, b: np.sqrt(a * a + b * b), signed, signed),
    "arctan2": (mg.arctan2, _arctan2, signed, signed),
    "maximum": (mg.maximum, lambda a, b: np.where(np.real(a) > np.real(b), a, b), apart(0), apart(0.14)),
    "minimum": (mg.minimum, lambda a, b: np.where(np.real(a) < np.real(b), a, b), apart(0), apart(0.14)),
}
REAL_ONLY = ("logaddexp", "hypot", "arctan2", "maximum", "minimum")
BROADCASTS = {
    "each other": ((3, 1), (1, 2)),
    "left": ((2,), (3, 2)),
    "lengthwise": ((2, 1, 3), (1, 2, 1)),
    "0-d": ((), ()),
    "0-d with 1-d": ((), (3,)),
    "empty": ((0, 3), (1, 3)),
}
for _name, (_function, _formula, *_draws) in BINARY.items():
    case(
        _name,
        _function,
        _formula,
        ((3, 2), _draws[0]),
        ((3, 2), _draws[1]),
        third=True,
        holomorphic=_name not in REAL_ONLY,
    )
    for _what, _shapes in BROADCASTS.items():
        also(_what, *_shapes, third=False)

case(
    "clip",
    mg.clip,
    lambda x, low, high: np.where(x.real < low.real, low, np.where(x.real > high.real, high, x)),
    ((3, 4), apart(0)),
    ((4,), lambda rng, shape: apart(0.14)(rng, shape) - 0.9),
    ((3, 1), lambda rng, shape: apart(0.07)(rng, shape) + 0.9),
    holomorphic=False,
)
case(
    "clip/bounds that cross",  # NumPy gives the upper one there
    mg.clip,
    lambda x, low, high: np.where(np.maximum(x.real, low.real) > high.real, high, np.where(x.real < low.real, low, x)),
    ((3, 4), apart(0)),
    ((3, 4), apart(0.14)),
    ((3, 4), apart(0.07)),
    holomorphic=False,
)
case(
    "gaussian_sample",
    mg.gaussian_sample,
    lambda mean, log_std, noise: mean + np.exp(log_std) * noise,
    ((3, 2), signed),
    ((2,), signed),
    ((3, 2), signed),
    third=True,
)

also("broadcast", (1, 2), (3, 2), (3, 2))

_CHECKERS = np.indices((3, 2)).sum(0) % 2 == 0
case(
    "where",
    lambda x1, x2, condition: mg.where(condition, x1, x2),
    lambda x1, x2, condition: np.where(condition, x1, x2),
    ((3, 2), signed),
    ((3, 2), signed),
    constants=(_CHECKERS,),
)
also("broadcast", (2,), (3, 1))
also("0-d", (), ())
case(
    "where/number",
    lambda x, condition: mg.where(condition, x, 0.5),
    lambda x, condition: np.where(condition, x, 0.5),
    ((3, 2), signed),
    constants=(_CHECKERS,),
)
