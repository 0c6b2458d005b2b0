"""One or more cases for every primitive and every public array function: the function, a plain formula, arguments.

`test_ops_derivatives` puts every case through every oracle; a new operation needs a line here and no other test to have
its derivatives checked. Formulas are NumPy's own, or naive loops, and holomorphic around the arguments (so |x| is ±x by
the sign of its real part), which is what the complex step needs.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import oracles

import minigrad as mg
from minigrad.backends import streams
from minigrad.core import primitives
from minigrad.random import bits_p, fold_in_p, normal_p, split_p, uniform_p

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


@dataclass(frozen=True)
class Case:
    """An operation to test. `name` is the operation's, then what is special after a slash."""

    name: str
    function: Callable  # of the arguments, then the constants
    formula: Callable | None  # the same in NumPy; None if there is nothing to compare with
    shapes: tuple[tuple[int, ...], ...]
    draws: tuple[Draw, ...]
    constants: tuple[np.ndarray, ...] = ()  # arrays it needs but has no derivative in
    holomorphic: bool = True  # whether it also takes complex arguments
    oracle: str = "complex step"  # or "differences", where NumPy has no holomorphic formula
    third: bool = False  # whether third derivatives are checked too
    discrete: bool = False  # no derivative: results are constants
    ties: bool = True  # whether it can take arguments with equal rows
    float32: bool = True  # whether float32 in means float32 out

    @property
    def operation(self) -> str:
        return self.name.split("/")[0]

    def generator(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng(zlib.crc32(f"{self.name}: {purpose}".encode()))

    def arguments(self) -> tuple[np.ndarray, ...]:
        rng = self.generator("arguments")
        return tuple(np.asarray(draw(rng, shape), np.float64) for draw, shape in zip(self.draws, self.shapes))

    def like(self, arrays: Sequence[np.ndarray], purpose: str) -> tuple[np.ndarray, ...]:
        """Random signed arrays in the shapes and dtypes of these: tangents, cotangents."""
        rng = self.generator(purpose)
        made = []
        for array in arrays:
            values = rng.standard_normal(array.shape)
            if array.dtype.kind == "c":
                values = values + 1j * rng.standard_normal(array.shape)
            made.append(np.asarray(values, array.dtype))
        return tuple(made)


CASES: list[Case] = []


def case(name: str, function: Callable, formula: Callable | None, *arguments: tuple, **options: Any) -> None:
    """Add a case; an argument is (shape, draw)."""
    shapes, draws = [a[0] for a in arguments], [a[1] for a in arguments]
    made = Case(name, function, formula, tuple(shapes), tuple(draws), **options)
    assert all(made.name != other.name for other in CASES), f"two cases are called {name}"
    CASES.append(made)


def also(suffix: str, *shapes: tuple[int, ...], **options: Any) -> None:
    """Add the last case again with other shapes."""
    last = next(c for c in reversed(CASES) if c.name == CASES[-1].operation or "/" not in c.name)
    CASES.append(replace(last, name=f"{last.name}/{suffix}", shapes=shapes, **options))


# Where arguments come from


def between(low: float, high: float) -> Draw:
    return lambda rng, shape: rng.uniform(low, high, shape)


def signed(rng, shape):
    """Either sign, at least 0.5 from 0: how close to a singularity arguments come anywhere."""
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1.6, shape)


def apart(offset: float) -> Draw:
    """No two elements closer than 0.05, nor to those of another offset: no ties, and no kink within a difference."""

    def draw(rng, shape):
        size = math.prod(shape)
        return (rng.permutation(size) - size // 2).reshape(shape) * 0.3 + offset

    return draw


def definite(rng, shape):
    """Positive definite matrices."""
    root = rng.uniform(-1, 1, shape)
    return root @ np.swapaxes(root, -1, -2) + 1.5 * np.eye(shape[-1])


def regular(rng, shape):
    """Matrices far from singular, of either sign of determinant."""
    return rng.uniform(-0.5, 0.5, shape) + 1.5 * np.eye(shape[-1]) * np.where(np.arange(shape[-1]) % 3 == 1, -1, 1)


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

for _c in list(CASES):  # an elementwise operation is defined on any shape
    CASES += [
        replace(_c, name=f"{_c.name}/{what}", shapes=(shape,), third=False)
        for what, shape in {"0-d": (), "empty": (2, 0, 3)}.items()
    ]

POWERS = {"2": 2, "3": 3, "0.5": 0.5, "1": 1, "0": 0, "-1": -1, "-1.5": -1.5, "float32": np.float32(2.5)}
for _name, _p in POWERS.items():
    case(f"power/{_name}", lambda x, p=_p: x**p, lambda x, p=_p: x**p, ((3, 2), between(0.6, 2)), third=True)
case("power/of a negative", lambda x: x**3, lambda x: x**3, ((3, 2), between(-2, -0.6)), third=True)
case("power/number to the", lambda x: 2.0**x, lambda x: 2.0**x, ((3, 2), signed), third=True)
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
    "gaussian_sample",
    mg.gaussian_sample,
    lambda mean, log_std, noise: mean + np.exp(log_std) * noise,
    ((3, 2), signed),
    ((2,), signed),
    ((3, 2), signed),
    third=True,
)

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


# Shapes


def _same(name: str, function: Callable, *shapes: tuple[int, ...], what: str = "", draw: Draw = signed) -> None:
    """A case of a function that minigrad and NumPy write the same: `function` gets the namespace first."""
    case(
        f"{name}/{what}" if what else name,
        lambda *xs: function(mg, *xs),
        lambda *xs: function(np, *xs),
        *[(shape, draw) for shape in shapes],
    )


_same("reshape", lambda xp, x: xp.reshape(x, (2, -1)), (3, 4))
_same("reshape", lambda xp, x: xp.reshape(x, (1, 1)), (), what="0-d")
_same("reshape", lambda xp, x: xp.reshape(x, (3, 0)), (0, 2), what="empty")
_same("ravel", lambda xp, x: xp.ravel(x), (3, 4))
_same("ravel", lambda xp, x: xp.ravel(x), (0, 4), what="empty")
_same("transpose", lambda xp, x: xp.transpose(x), (2, 3, 4))
_same("transpose", lambda xp, x: xp.transpose(x, (-1, 0, -2)), (2, 3, 4), what="negative axes")
_same("transpose", lambda xp, x: xp.transpose(x), (), what="0-d")
_same("swapaxes", lambda xp, x: xp.swapaxes(x, 0, -1), (2, 3, 4))
_same("moveaxis", lambda xp, x: xp.moveaxis(x, 0, -1), (2, 3, 4))
_same("moveaxis", lambda xp, x: xp.moveaxis(x, (0, -1, 1), (-1, 1, 0)), (2, 3, 4, 2), what="several axes")
_same("expand_dims", lambda xp, x: xp.expand_dims(x, (0, -1)), (2, 3))
_same("squeeze", lambda xp, x: xp.squeeze(x), (1, 3, 1))
_same("squeeze", lambda xp, x: xp.squeeze(x, -1), (1, 3, 1), what="one axis")
_same("broadcast_to", lambda xp, x: xp.broadcast_to(x, (2, 3, 4)), (3, 1))
_same("broadcast_to", lambda xp, x: xp.broadcast_to(x, (2, 0)), (1,), what="empty")
_same("broadcast_to", lambda xp, x: xp.broadcast_to(x, (2, 3)), (), what="0-d")
case(
    "sum_to",
    lambda x: primitives["sum_to"](x, shape=(3, 1)),
    lambda x: x.sum(0).sum(1, keepdims=True),
    ((2, 3, 4), signed),
)
case("sum_to/same", lambda x: primitives["sum_to"](x, shape=(3,)), lambda x: x, ((3,), signed))
_same("copy", lambda xp, x: xp.copy(x), (2, 3))
_same("copy", lambda xp, x: xp.copy(x), (), what="0-d")
case("astype", lambda x: mg.astype(x, np.float64), lambda x: x, ((2, 3), signed), float32=False, holomorphic=False)
_same("zeros_like", lambda xp, x: x + xp.zeros_like(x), (2, 3))
_same("ones_like", lambda xp, x: x * xp.ones_like(x), (2, 3))

_same("concatenate", lambda xp, *xs: xp.concatenate(xs, -1), (2, 3), (2, 1), (2, 2))
_same("concatenate", lambda xp, *xs: xp.concatenate(xs, None), (2, 3), (1,), (), what="raveled")
_same("concatenate", lambda xp, *xs: xp.concatenate(xs), (2, 3), (0, 3), what="empty")
_same("concatenate", lambda xp, x: xp.concatenate([x, 2 * x, x]), (2, 3), what="itself")
_same("stack", lambda xp, *xs: xp.stack(xs, -2), (2, 3), (2, 3))
_same("stack", lambda xp, *xs: xp.stack(xs), (), (), what="0-d")
_same("split", lambda xp, x: xp.concatenate(xp.split(x, 3, 1)[::-1], 0), (2, 6))
_same("split", lambda xp, x: xp.concatenate(xp.split(x, [1, 4], -1)[::2], 1), (2, 6), what="at indices")
_same("flip", lambda xp, x: xp.flip(x), (2, 3))
_same("flip", lambda xp, x: xp.flip(x, -1), (2, 3), what="one axis")
_same("roll", lambda xp, x: xp.roll(x, 2), (2, 3))
_same("roll", lambda xp, x: xp.roll(x, (1, -4), (0, 1)), (3, 4), what="two axes")
_same("repeat", lambda xp, x: xp.repeat(x, 3, axis=-1), (2, 3))
_same("repeat", lambda xp, x: xp.repeat(x, [2, 0, 1], axis=1), (2, 3), what="each its own")
_same("repeat", lambda xp, x: xp.repeat(x, 2), (2, 3), what="raveled")
_same("tile", lambda xp, x: xp.tile(x, 2), (2, 3))
_same("tile", lambda xp, x: xp.tile(x, (2, 1, 3)), (2, 3), what="new axis")
_same("tril", lambda xp, x: xp.tril(x), (3, 4))
_same("tril", lambda xp, x: xp.tril(x, 1), (2, 3, 3), what="batch")
_same("triu", lambda xp, x: xp.triu(x, -1), (4, 3))
for _mode in ("constant", "edge", "reflect", "symmetric", "wrap"):
    _same("pad", lambda xp, x, mode=_mode: xp.pad(x, ((1, 2), (0, 3)), mode=mode), (3, 4), what=_mode)
_same("pad", lambda xp, x: xp.pad(x, 1), (3, 2))
_same("pad", lambda xp, x: xp.pad(x, ((0, 1), (2, 1)), constant_values=0.5), (3, 2), what="with a number")
_same("pad", lambda xp, x: xp.pad(x, (2, 1)), (0,), what="empty")

# Indexing

_same("slice", lambda xp, x: x[1:], (4,))
_same("slice", lambda xp, x: x[::-2, None, 1], (5, 3), what="negative step")
_same("slice", lambda xp, x: x[..., -1], (2, 3, 4), what="ellipsis")
_same("slice", lambda xp, x: x[1, 2], (3, 4), what="one element")
_same("slice", lambda xp, x: x[()], (), what="0-d")
_same("slice", lambda xp, x: x[3:1], (4, 2), what="empty")


def _put(shape: tuple[int, ...], index: tuple, x: np.ndarray, add: bool = False) -> np.ndarray:
    y = np.zeros(shape, x.dtype)
    np.add.at(y, index, x) if add else y.__setitem__(index, x)
    return y


_STEP = (slice(None, None, 2), 1)
case(
    "unslice",
    lambda x: primitives["unslice"](x, index=_STEP, shape=(5, 3)),
    lambda x: _put((5, 3), _STEP, x),
    ((3,), signed),
)
_ROWS = np.array([[0, 2, 0], [1, 1, 1]])
case(
    "gather",
    lambda x, rows: primitives["gather"](x, rows, axes=(0, 1)),
    lambda x, rows: x[rows[0], rows[1]],
    ((3, 2, 2), signed),
    constants=(_ROWS,),
)
case(
    "scatter_add",
    lambda x, rows: primitives["scatter_add"](x, rows, axes=(0, 1), shape=(3, 2, 2)),
    lambda x, rows: _put((3, 2, 2), (rows[0], rows[1]), x, add=True),
    ((3, 2), signed),
    constants=(_ROWS,),
)
_same("getitem", lambda xp, x: x[[0, 0, 1]], (3, 2), what="repeated")
_same("getitem", lambda xp, x: x[[0, -1], :, [1, 1]], (3, 2, 2), what="apart")
_same("getitem", lambda xp, x: x[[[True, False], [False, True], [True, True]]], (3, 2, 2), what="mask")
_same("getitem", lambda xp, x: x[None, [True, False, True], 1:], (3, 2), what="mask after a new axis")
_same("getitem", lambda xp, x: x[(0, 0, 1),], (3, 2), what="tuple in a tuple")
_same("getitem", lambda xp, x: x[[]], (3, 2), what="nothing")
_same("take", lambda xp, x: xp.take(x, [[0, 0], [2, 1]], axis=1), (2, 3))
_same("take", lambda xp, x: xp.take(x, 1, axis=0), (2, 3), what="one")
_same("take", lambda xp, x: xp.take(x, [5, 0, 0]), (2, 3), what="raveled")
_ORDER = np.array([[2, 0, 0], [1, 1, 0]])
case(
    "take_along_axis",
    lambda x, i: mg.take_along_axis(x, i, 1),
    lambda x, i: np.take_along_axis(x, i, 1),
    ((2, 3), signed),
    constants=(_ORDER,),
)
case(
    "take_along_axis/broadcast",
    lambda x, i: mg.take_along_axis(x, i, 0),
    lambda x, i: np.take_along_axis(x, i, 0),
    ((3, 2), signed),
    constants=(np.array([[2], [0]]),),
)
case(
    "add_along_axis",
    lambda x, i: primitives["add_along_axis"](x, i, axis=1, shape=(2, 4)),
    lambda x, i: _put((2, 4), (np.arange(2)[:, None], i), x, add=True),
    ((2, 3), signed),
    constants=(_ORDER,),
)
_same("diag", lambda xp, x: xp.diag(x), (3,))
_same("diag", lambda xp, x: xp.diag(x, -1), (2,), what="below")
_same("diag", lambda xp, x: xp.diag(x, 1), (2, 4), what="of a matrix that is not square")
_same("diagonal", lambda xp, x: xp.diagonal(x, -1, -1, 0), (3, 2, 4))
_same("trace", lambda xp, x: xp.trace(x, 1), (3, 4, 2))

# Reductions


def _top(x, axis):
    """The largest by real part: holomorphic where it is unique."""
    return np.take_along_axis(x, np.expand_dims(np.argmax(np.real(x), axis), axis), axis)


def _extreme(x, axis=None, keepdims=False, sign=1):
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    for a in axes:
        x = sign * _top(sign * x, a)
    return x if keepdims else np.squeeze(x, tuple(axes))


def _smallest(x, axis=None, keepdims=False):
    return _extreme(x, axis, keepdims, -1)


def _logsumexp(x, axis=None, keepdims=False):
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


def _var(x, axis=None, keepdims=False):
    deviation = x - np.mean(x, axis=axis, keepdims=True)
    return np.mean(deviation**2, axis=axis, keepdims=keepdims)


AXES = {
    "": {},
    "axis": {"axis": 1},
    "negative axis, kept": {"axis": -2, "keepdims": True},
    "two axes": {"axis": (0, -1)},
    "no axes": {"axis": ()},
}
REDUCTIONS = {
    "sum": (mg.sum, np.sum, signed),
    "mean": (mg.mean, np.mean, signed),
    "prod": (mg.prod, np.prod, signed),
    "max": (mg.max, _extreme, apart(0)),
    "min": (mg.min, _smallest, apart(0)),
    "logsumexp": (mg.logsumexp, _logsumexp, signed),
    "var": (mg.var, _var, signed),
}
for _name, (_function, _formula, _draw) in REDUCTIONS.items():
    for _what, _how in AXES.items():
        case(
            f"{_name}/{_what}" if _what else _name,
            lambda x, f=_function, how=_how: f(x, **how),
            lambda x, f=_formula, how=_how: f(x, **how),
            ((2, 3, 2), _draw),
            holomorphic=_name not in ("max", "min", "var"),
            third=_name == "logsumexp",
        )
    case(f"{_name}/0-d", _function, _formula, ((), _draw), holomorphic=_name not in ("max", "min", "var"))
for _name in ("sum", "prod"):
    case(f"{_name}/empty", REDUCTIONS[_name][0], REDUCTIONS[_name][1], ((0, 3), signed))
    _same(_name, lambda xp, x, name=_name: getattr(xp, name)(x, axis=0), (2, 0, 3), what="empty, axis")
_same("max", lambda xp, x: xp.max(x, axis=0), (2, 0), what="empty, axis")
case(
    "max/primitive",
    lambda x: primitives["max"](x, axes=(1,)),
    lambda x: _extreme(x, 1),
    ((2, 3), apart(0)),
    holomorphic=False,
)

_REAL = {"holomorphic": False}
case(
    "var/ddof",
    lambda x: mg.var(x, 0, ddof=1),
    lambda x: np.sum((x - np.mean(x, axis=0)) ** 2, axis=0) / 2,
    ((3, 2), signed),
    **_REAL,
)
case(
    "std",
    lambda x: mg.std(x, -1),
    lambda x: np.sqrt(np.mean((x - np.mean(x, -1, keepdims=True)) ** 2, -1)),
    ((2, 3), signed),
    ties=False,
    **_REAL,
)
case("norm", mg.norm, lambda x: np.sqrt(np.sum(x * x)), ((2, 3), signed), third=True, **_REAL)
for _p in (1, 2, 3, 2.5, -1):
    case(
        f"norm/{_p}",
        lambda x, p=_p: mg.norm(x, p, axis=1, keepdims=True),
        lambda x, p=_p: np.sum((x * np.sign(x.real)) ** p, axis=1, keepdims=True) ** (1 / p),
        ((2, 3), signed),
        **_REAL,
    )
case(
    "norm/inf",
    lambda x: mg.norm(x, math.inf, 1),
    lambda x: _extreme(x * np.sign(x.real), 1),
    ((2, 3), apart(0.1)),
    **_REAL,
)
case(
    "norm/-inf",
    lambda x: mg.norm(x, -math.inf, 1),
    lambda x: _smallest(x * np.sign(x.real), 1),
    ((2, 3), apart(0.1)),
    **_REAL,
)
_same("cumsum", lambda xp, x: xp.cumsum(x, -1), (2, 3))
_same("cumsum", lambda xp, x: xp.cumsum(x), (2, 3), what="raveled")
_same("cumsum", lambda xp, x: xp.cumsum(x, 0), (0, 3), what="empty")
case(
    "cumsum/reverse",
    lambda x: primitives["cumsum"](x, axis=1, reverse=True),
    lambda x: np.cumsum(x[:, ::-1], 1)[:, ::-1],
    ((2, 3), signed),
)


def _with_zeros(*places: int) -> Draw:
    def draw(rng, shape):
        x = signed(rng, shape)
        x.reshape(-1)[list(places)] = 0
        return x

    return draw


_same("cumprod", lambda xp, x: xp.cumprod(x, -1), (2, 5))
_same("cumprod", lambda xp, x: xp.cumprod(x), (2, 3), what="raveled")
_same("cumprod", lambda xp, x: xp.cumprod(x, 0), (0, 2), what="empty")
for _what, _zeros in {"one zero": (1,), "two zeros": (1, 3), "three zeros": (0, 2, 4)}.items():
    case(f"cumprod/{_what}", lambda x: mg.cumprod(x), lambda x: np.cumprod(x), ((5,), _with_zeros(*_zeros)), third=True)
    case(f"prod/{_what}", lambda x: mg.prod(x), lambda x: np.prod(x), ((5,), _with_zeros(*_zeros)), third=True)
for _what, _reverse in {"recurrence": False, "recurrence/reverse": True}.items():
    case(
        _what,
        lambda a, x, reverse=_reverse: primitives["recurrence"](a, x, axis=1, reverse=reverse),
        lambda a, x, reverse=_reverse: oracles.recurrence(a, x, 1, reverse),
        ((2, 5), signed),
        ((2, 5), signed),
        third=True,
    )
case("sort", mg.sort, lambda x: np.take_along_axis(x, np.argsort(x.real, -1), -1), ((2, 4), apart(0)), **_REAL)
case(
    "sort/raveled",
    lambda x: mg.sort(x, None),
    lambda x: x.ravel()[np.argsort(x.real, None)],
    ((2, 3), apart(0)),
    **_REAL,
)
_same("softmax", lambda xp, x: xp.exp(x) / xp.sum(xp.exp(x), axis=-1, keepdims=True), (2, 3), what="by hand")
case(
    "softmax", mg.softmax, lambda x: np.exp(x) / np.sum(np.exp(x), axis=-1, keepdims=True), ((2, 3), signed), third=True
)
case(
    "log_softmax",
    lambda x: mg.log_softmax(x, 0),
    lambda x: x - np.log(np.sum(np.exp(x), axis=0, keepdims=True)),
    ((3, 2), signed),
    third=True,
)

# Linear algebra

MATMULS = {
    "": ((2, 3), (3, 4)),
    "row": ((3,), (3, 2)),
    "column": ((2, 3), (3,)),
    "vectors": ((3,), (3,)),
    "batch": ((2, 2, 3), (2, 3, 2)),
    "batch left": ((2, 2, 3), (3, 2)),
    "batch right": ((2, 3), (2, 3, 2)),
    "batches broadcast": ((2, 1, 2, 3), (3, 3, 1)),
    "batch and column": ((2, 2, 3), (3,)),
    "empty": ((2, 0), (0, 3)),
    "no rows": ((0, 3), (3, 2)),
}
for _what, _shapes in MATMULS.items():
    _same("matmul", lambda xp, a, b: xp.matmul(a, b), *_shapes, what=_what)
_same("dot", lambda xp, a, b: xp.dot(a, b), (2, 3), (4, 3, 2))
_same("dot", lambda xp, a, b: xp.dot(a, b), (), (2, 3), what="number")
_same("tensordot", lambda xp, a, b: xp.tensordot(a, b), (2, 3, 4), (3, 4, 2))
_same("tensordot", lambda xp, a, b: xp.tensordot(a, b, ((0, -1), (1, 0))), (2, 3, 4), (4, 2, 3), what="axes")
_same("tensordot", lambda xp, a, b: xp.tensordot(a, b, 0), (2,), (3,), what="none")
_same("outer", lambda xp, a, b: xp.outer(a, b), (2, 2), (3,))
EINSUMS = {
    "ij,jk->ik": ((2, 3), (3, 4)),
    "ij,jk,kl": ((2, 3), (3, 2), (2, 2)),
    "ii": ((3, 3),),
    "ii->i": ((3, 3),),
    "iij->j": ((2, 2, 3),),
    "ij->j": ((2, 3),),
    "ij,k->ik": ((2, 3), (2,)),
    "...ij,...jk->...ik": ((2, 1, 2, 3), (3, 3, 2)),
    "i...,i...->...": ((3, 2, 1), (3, 4)),
    "ij,ij->i": ((3, 1), (3, 4)),
    "ij,jk": ((2, 1), (3, 2)),
    "i,i,i->i": ((3,), (3,), (1,)),
    "ij,ij->": ((2, 3), (2, 3)),
    "ji": ((2, 3),),
    "iji,jkk->kj": ((2, 3, 2), (3, 2, 2)),
    ",i->i": ((), (3,)),
    "ij->": ((0, 3),),
}
for _subscripts, _shapes in EINSUMS.items():
    case(
        f"einsum/{_subscripts}",
        lambda *xs, s=_subscripts: mg.einsum(s, *xs),
        lambda *xs, s=_subscripts: np.einsum(s, *xs),
        *[(shape, signed) for shape in _shapes],
        third=len(_shapes) == 3,
    )
case("inv", mg.inv, np.linalg.inv, ((3, 3), regular), ties=False, third=True)
case("inv/batch", mg.inv, np.linalg.inv, ((2, 2, 2), regular), ties=False)
SOLVES = {
    "": ((3, 3), (3, 2)),
    "vector": ((3, 3), (3,)),
    "batch": ((2, 2, 2), (2, 2, 1)),
    "batch left": ((2, 2, 2), (2, 3)),
    "batch right": ((2, 2), (3, 2, 1)),
}
for _what, _shapes in SOLVES.items():
    case(
        f"solve/{_what}" if _what else "solve",
        mg.solve,
        np.linalg.solve,
        (_shapes[0], regular),
        (_shapes[1], signed),
        ties=False,
        third=not _what,
    )
case("cholesky", mg.cholesky, oracles.cholesky, ((3, 3), definite), ties=False, third=True, **_REAL)
case("cholesky/batch", mg.cholesky, oracles.cholesky, ((2, 2, 2), definite), ties=False, **_REAL)
case("det", mg.det, np.linalg.det, ((3, 3), regular), ties=False, third=True)
case("det/batch", mg.det, np.linalg.det, ((2, 2, 2), regular), ties=False)
_log_det = lambda a: np.log(np.linalg.det(a) * np.sign(np.linalg.det(a.real)))
case("logabsdet", lambda a: mg.slogdet(a).logabsdet, _log_det, ((3, 3), regular), ties=False, third=True, **_REAL)
case("logabsdet/batch", lambda a: mg.slogdet(a)[1], _log_det, ((2, 2, 2), regular), ties=False, **_REAL)
case(
    "slogdet",
    lambda a: mg.slogdet(a)[0] * mg.slogdet(a)[1],
    lambda a: _log_det(a) * np.sign(np.linalg.det(a.real)),
    ((3, 3), regular),
    ties=False,
    **_REAL,
)

# Convolutions

_PADS = ((1, 0), (0, 2))
CONVOLUTIONS = {"": (1, 1), "stride": (2, 1)}
for _what, _stride in CONVOLUTIONS.items():
    _end = f"/{_what}" if _what else ""
    _out = ((4 + 1 - 3) // _stride[0] + 1, (3 + 2 - 2) // _stride[1] + 1)
    _how = {"stride": _stride, "pads": _PADS}
    case(
        f"conv{_end}",
        lambda x, w, how=_how: primitives["conv"](x, w, **how),
        lambda x, w, how=_how: oracles.convolve(x, w, **how),
        ((2, 4, 3, 2), signed),
        ((3, 2, 2, 3), signed),
    )
    case(
        f"conv_input{_end}",
        lambda d, w, how=_how: primitives["conv_input"](d, w, **how, size=(4, 3)),
        lambda d, w, how=_how: oracles.convolve_input(d, w, **how, size=(4, 3)),
        ((2, *_out, 3), signed),
        ((3, 2, 2, 3), signed),
    )
    case(
        f"conv_kernel{_end}",
        lambda x, d, how=_how: primitives["conv_kernel"](x, d, **how, kernel=(3, 2)),
        lambda x, d, how=_how: oracles.convolve_kernel(x, d, **how, kernel=(3, 2)),
        ((2, 4, 3, 2), signed),
        ((2, *_out, 3), signed),
    )
case(
    "conv2d",
    mg.conv2d,
    lambda x, w: oracles.convolve(x, w, (1, 1), ((1, 1), (1, 1))),
    ((1, 3, 4, 2), signed),
    ((3, 3, 2, 2), signed),
)
case(
    "conv2d/no images",
    mg.conv2d,
    lambda x, w: oracles.convolve(x, w, (1, 1), ((1, 1), (1, 1))),
    ((0, 3, 4, 2), signed),
    ((3, 3, 2, 2), signed),
)
case(
    "conv2d/thin",
    mg.conv2d,
    lambda x, w: oracles.convolve(x, w, (1, 1), ((1, 1), (1, 1))),
    ((2, 3, 3, 3), signed),
    ((3, 3, 3, 1), signed),
)


def shuffle(x: np.ndarray, factor: int) -> np.ndarray:
    """Depth to space, one channel at a time."""
    n, h, w, c = x.shape
    channels = c // factor**2
    y = np.zeros((n, h * factor, w * factor, channels), x.dtype)
    for i in range(factor):
        for j in range(factor):
            begin = (factor * i + j) * channels
            y[:, i::factor, j::factor] = x[..., begin : begin + channels]
    return y


def unshuffle(x: np.ndarray, factor: int) -> np.ndarray:
    """Space to depth, one phase at a time."""
    return np.concatenate([x[:, i::factor, j::factor] for i in range(factor) for j in range(factor)], axis=3)


case(
    "deconv2d",
    mg.deconv2d,
    lambda x, w: shuffle(oracles.convolve(x, w, (1, 1), ((1, 1), (1, 1))), 2),
    ((1, 3, 2, 2), signed),
    ((3, 3, 2, 4), signed),
)
case("depth_to_space", mg.depth_to_space, lambda x: shuffle(x, 2), ((1, 2, 3, 8), signed))
case("depth_to_space/3", lambda x: mg.depth_to_space(x, 3), lambda x: shuffle(x, 3), ((2, 1, 2, 9), signed))
case("space_to_depth", mg.space_to_depth, lambda x: unshuffle(x, 2), ((1, 4, 2, 3), signed))

# Constants: no derivative passes

_DISCRETE = {"discrete": True, "holomorphic": False}
_HALVES = lambda rng, shape: rng.integers(-3, 4, shape) / 2
for _name in "equal not_equal less less_equal greater greater_equal logical_and logical_or".split():
    case(_name, getattr(mg, _name), getattr(np, _name), ((3, 4), _HALVES), ((4,), _HALVES), **_DISCRETE)
for _name in "logical_not isnan isinf isfinite sign floor ceil rint".split():
    case(_name, getattr(mg, _name), getattr(np, _name), ((3, 4), _HALVES), **_DISCRETE)
case(
    "step",
    primitives["step"],
    lambda x1, x2: (x1 > x2) + 0.5 * (x1 == x2),
    ((3, 4), _HALVES),
    ((4,), lambda rng, shape: np.zeros(shape)),
    **_DISCRETE,
)
case(
    "top",
    lambda x: primitives["top"](x, axes=(1,)),
    lambda x: np.max(x, axis=1, keepdims=True),
    ((3, 4), _HALVES),
    **_DISCRETE,
)
case(
    "share",
    lambda x, y: primitives["share"](x, y, axes=(1,)),
    lambda x, y: (x == 1) / 2,
    ((2, 3), lambda rng, shape: np.array([[1.0, 0, 1], [1, 1, -2]])),
    ((2,), lambda rng, shape: np.ones(shape)),
    **_DISCRETE,
)
case("stop_gradient", mg.stop_gradient, lambda x: x, ((2, 3), signed), **_DISCRETE)
case("zeros_like/alone", mg.zeros_like, np.zeros_like, ((2, 3), signed), **_DISCRETE)
case("ones_like/alone", mg.ones_like, np.ones_like, ((2, 3), signed), **_DISCRETE)
case("astype_discrete", lambda x: mg.astype(x, np.int32), lambda x: x.astype(np.int32), ((2, 3), signed), **_DISCRETE)
for _name, _ours, _numpys in (("argmax", mg.argmax, np.argmax), ("argmin", mg.argmin, np.argmin)):
    case(_name, _ours, _numpys, ((3, 4), _HALVES), **_DISCRETE)
    case(
        f"{_name}/axis",
        lambda x, f=_ours: f(x, -1),
        lambda x, f=_numpys: f(x, -1),
        ((3, 4), _HALVES),
        **_DISCRETE,
    )
case("argsort", mg.argsort, lambda x: np.argsort(x, kind="stable"), ((3, 4), _HALVES), **_DISCRETE)
case(
    "det_sign",
    lambda a: mg.slogdet(a).sign,
    lambda a: np.sign(np.linalg.det(a)),
    ((2, 3, 3), regular),
    ties=False,
    **_DISCRETE,
)

_KEY = np.array([1, 2], np.uint32)
_RANDOM = {"constants": (_KEY,), **_DISCRETE}
_DRAWN = {"shape": (2, 3), "dtype": np.dtype(np.float64), "offset": 1}
case(
    "random_bits",
    lambda key: bits_p(key, **_DRAWN),
    lambda key: streams.random_bits(np, key, 6, 1).reshape(2, 3),
    **_RANDOM,
)
case(
    "random_uniform",
    lambda key: uniform_p(key, **_DRAWN),
    lambda key: streams.random_uniform(np, key, 6, np.float64, 1).reshape(2, 3),
    **_RANDOM,
)
case(
    "random_normal",
    lambda key: normal_p(key, **_DRAWN),
    lambda key: streams.random_normal(np, key, 6, np.float64, 1).reshape(2, 3),
    **_RANDOM,
)
case(
    "random_split",
    lambda key: split_p(key, count=3),
    lambda key: streams.random_bits(np, key, 6, lane=streams.SPLIT).reshape(3, 2),
    **_RANDOM,
)
case(
    "random_fold_in",
    lambda key: fold_in_p(key, 5),
    lambda key: streams.random_bits(np, key, 2, 20, lane=streams.FOLD_IN),
    **_RANDOM,
)
