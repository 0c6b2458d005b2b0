"""Reductions and scans."""

from __future__ import annotations

import math

import numpy as np

import minigrad as mg
from minigrad.checks.cases import formulas
from minigrad.checks.cases.registry import REAL, Draw, apart, case, same, signed
from minigrad.core.interpreter import primitives


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
    "last axis": {"axis": 2},
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
    same(_name, lambda xp, x, name=_name: getattr(xp, name)(x, axis=0), (2, 0, 3), what="empty, axis")
same("max", lambda xp, x: xp.max(x, axis=0), (2, 0), what="empty, axis")
same("prod", lambda xp, x: xp.prod(x, axis=1), (2, 1), what="of one factor")
same("prod", lambda xp, x: xp.prod(x, axis=0), (2, 1), what="one column")
case(
    "max/primitive",
    lambda x: primitives["max"](x, axes=(1,)),
    lambda x: _extreme(x, 1),
    ((2, 3), apart(0)),
    holomorphic=False,
)

case(
    "var/ddof",
    lambda x: mg.var(x, 0, ddof=1),
    lambda x: np.sum((x - np.mean(x, axis=0)) ** 2, axis=0) / 2,
    ((3, 2), signed),
    **REAL,
)
case(
    "std",
    lambda x: mg.std(x, -1),
    lambda x: np.sqrt(np.mean((x - np.mean(x, -1, keepdims=True)) ** 2, -1)),
    ((2, 3), signed),
    ties=False,
    **REAL,
)
case("norm", mg.norm, lambda x: np.sqrt(np.sum(x * x)), ((2, 3), signed), third=True, **REAL)
for _p in (1, 2, 3, 2.5, -1):
    case(
        f"norm/{_p}",
        lambda x, p=_p: mg.norm(x, p, axis=1, keepdims=True),
        lambda x, p=_p: np.sum((x * np.sign(x.real)) ** p, axis=1, keepdims=True) ** (1 / p),
        ((2, 3), signed),
        **REAL,
    )
case(
    "norm/inf",
    lambda x: mg.norm(x, math.inf, 1),
    lambda x: _extreme(x * np.sign(x.real), 1),
    ((2, 3), apart(0.1)),
    **REAL,
)
case(
    "norm/-inf",
    lambda x: mg.norm(x, -math.inf, 1),
    lambda x: _smallest(x * np.sign(x.real), 1),
    ((2, 3), apart(0.1)),
    **REAL,
)
same("cumsum", lambda xp, x: xp.cumsum(x, -1), (2, 3))
same("cumsum", lambda xp, x: xp.cumsum(x), (2, 3), what="raveled")
same("cumsum", lambda xp, x: xp.cumsum(x, 0), (0, 3), what="empty")
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


same("cumprod", lambda xp, x: xp.cumprod(x, -1), (2, 5))
same("cumprod", lambda xp, x: xp.cumprod(x), (2, 3), what="raveled")
same("cumprod", lambda xp, x: xp.cumprod(x, 0), (0, 2), what="empty")
for _what, _zeros in {"one zero": (1,), "two zeros": (1, 3), "three zeros": (0, 2, 4)}.items():
    case(f"cumprod/{_what}", lambda x: mg.cumprod(x), lambda x: np.cumprod(x), ((5,), _with_zeros(*_zeros)), third=True)
    case(f"prod/{_what}", lambda x: mg.prod(x), lambda x: np.prod(x), ((5,), _with_zeros(*_zeros)), third=True)
for _what, _reverse in {"recurrence": False, "recurrence/reverse": True}.items():
    case(
        _what,
        lambda a, x, reverse=_reverse: primitives["recurrence"](a, x, axis=1, reverse=reverse),
        lambda a, x, reverse=_reverse: formulas.recurrence(a, x, 1, reverse),
        ((2, 5), signed),
        ((2, 5), signed),
        third=True,
    )
case("sort", mg.sort, lambda x: np.take_along_axis(x, np.argsort(x.real, -1), -1), ((2, 4), apart(0)), **REAL)
case(
    "sort/raveled",
    lambda x: mg.sort(x, None),
    lambda x: x.ravel()[np.argsort(x.real, None)],
    ((2, 3), apart(0)),
    **REAL,
)
same("softmax", lambda xp, x: xp.exp(x) / xp.sum(xp.exp(x), axis=-1, keepdims=True), (2, 3), what="by hand")
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
