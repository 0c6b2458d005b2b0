"""Operations without a derivative: comparisons, choices, rounding, random draws."""

from __future__ import annotations

import numpy as np

import minigrad as mg
from minigrad.backends.numpy import streams
from minigrad.backends.streams import FOLD_IN, SPLIT
from minigrad.checks.cases.registry import case, regular, signed
from minigrad.core.interpreter import primitives
from minigrad.random import bits_p, fold_in_p, normal_p, split_p, uniform_p

_DISCRETE = {"discrete": True, "holomorphic": False}


def _halves(rng, shape):
    return rng.integers(-3, 4, shape) / 2


def _of_masks(f):
    return lambda x1, x2: f(x1 > 0, x2 < 1)


def _of_integers(f):
    return lambda x1, x2: f(2 * x1 == 1, (2 * x2).astype(np.int64))


for _name in "equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor".split():
    case(_name, getattr(mg, _name), getattr(np, _name), ((3, 4), _halves), ((4,), _halves), **_DISCRETE)
for _name in "bitwise_and bitwise_or bitwise_xor".split():
    _ours, _numpys = getattr(mg, _name), getattr(np, _name)
    for _what, _of in (("", _of_masks), ("/integers", _of_integers)):
        case(_name + _what, _of(_ours), _of(_numpys), ((3, 4), _halves), ((4,), _halves), **_DISCRETE)
case("invert", lambda x: mg.invert(x > 0), lambda x: ~(x > 0), ((3, 4), _halves), **_DISCRETE)
case(
    "invert/integers",
    lambda x: mg.invert((2 * x).astype(np.int32)),
    lambda x: ~(2 * x).astype(np.int32),
    ((3, 4), _halves),
    **_DISCRETE,
)
for _name in "logical_not isnan isinf isfinite sign floor ceil rint".split():
    case(_name, getattr(mg, _name), getattr(np, _name), ((3, 4), _halves), **_DISCRETE)
case(
    "step",
    primitives["step"],
    lambda x1, x2: (x1 > x2) + 0.5 * (x1 == x2),
    ((3, 4), _halves),
    ((4,), lambda rng, shape: np.zeros(shape)),
    **_DISCRETE,
)
case(
    "top",
    lambda x: primitives["top"](x, axes=(1,)),
    lambda x: np.max(x, axis=1, keepdims=True),
    ((3, 4), _halves),
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
    case(_name, _ours, _numpys, ((3, 4), _halves), **_DISCRETE)
    case(
        f"{_name}/axis",
        lambda x, f=_ours: f(x, -1),
        lambda x, f=_numpys: f(x, -1),
        ((3, 4), _halves),
        **_DISCRETE,
    )
for _name in "all any count_nonzero".split():
    _ours, _numpys = getattr(mg, _name), getattr(np, _name)
    case(_name, _ours, _numpys, ((3, 4), _halves), **_DISCRETE)
    case(
        f"{_name}/axis",
        lambda x, f=_ours: f(x, 0, keepdims=True),
        lambda x, f=_numpys: f(x, 0, keepdims=True),
        ((3, 4), _halves),
        **_DISCRETE,
    )
case("argsort", mg.argsort, lambda x: np.argsort(x, kind="stable"), ((3, 4), _halves), **_DISCRETE)
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
    lambda key: bits_p(key, 2, **{**_DRAWN, "dtype": np.dtype(np.uint32)}),
    lambda key: streams.random_bits(np, key, 6, 3).reshape(2, 3),
    **_RANDOM,
)
case(
    "random_uniform",
    lambda key: uniform_p(key, 2, **_DRAWN),
    lambda key: streams.random_uniform(np, key, 6, np.float64, 3).reshape(2, 3),
    **_RANDOM,
)
case(
    "random_normal",
    lambda key: normal_p(key, 2, **_DRAWN),
    lambda key: streams.random_normal(np, key, 6, np.float64, 3).reshape(2, 3),
    **_RANDOM,
)
case(
    "random_split",
    lambda key: split_p(key, count=3),
    lambda key: streams.random_bits(np, key, 6, lane=SPLIT).reshape(3, 2),
    **_RANDOM,
)
case(
    "random_fold_in",
    lambda key: fold_in_p(key, 5),
    lambda key: streams.random_bits(np, key, 2, 20, lane=FOLD_IN),
    **_RANDOM,
)
