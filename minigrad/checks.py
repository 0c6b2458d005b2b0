"""How do you know a gradient is right? Ask somebody who does not use the rules.

`check_grads` compares both modes with five-point differences and with each other, to any order. The oracles are small
functions that stand alone; none shares code with the rules they test. A function with a kink inside the difference's
stencil cannot be judged there: `decisions` sees that a comparison came out differently, so kinks are reported as kinks
and never mistaken for (or hidden behind) a wrong gradient. `debug_nans` names the operation that made the first NaN.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad import random, tree
from minigrad.core import (
    Interpreter,
    OperandError,
    OperandTypeError,
    Origin,
    Tracer,
    backend_beside,
    concrete,
    current,
    describe,
    dtype_of,
)
from minigrad.transforms import check_inexact, jvp, vjp

STENCIL = (-2.0, -1.0, 1.0, 2.0)
WEIGHTS = (1 / 12, -8 / 12, 8 / 12, -1 / 12)


class GradientError(AssertionError):
    """A derivative and its oracle disagree."""


class KinkError(GradientError):
    """Every direction tried crosses a kink: the function is not differentiable here."""


class Difference(NamedTuple):
    """A five-point derivative, an estimate of its own error, and whether a kink lies inside the stencil."""

    value: Any
    error: Any
    kink: bool


# Oracles


def five_point(f: Callable[[float], Any], step: float) -> Difference:
    """d f(t)/dt at 0 for an f with values in arrays (or trees of them), by five-point differences, once extrapolated.

    D(h) = (f(−2h) − 8f(−h) + 8f(h) − f(2h)) / 12h has error O(h⁴), so (16·D(h) − D(2h))/15 has O(h⁶) (Abramowitz and
    Stegun 25.3.6; Richardson 1911). The error is estimated by how far the extrapolation moved, plus rounding.
    """
    points = sorted({scale * s for scale in (1.0, 2.0) for s in STENCIL})
    evaluated = {t: decisions(f, t * step) for t in (0.0, *points)}
    kink = len({decision for _, decision in evaluated.values()}) > 1

    def at(scale: float, *values: np.ndarray) -> np.ndarray:
        known = dict(zip(points, values))
        return sum(w * known[scale * s] for s, w in zip(STENCIL, WEIGHTS, strict=True)) / (scale * step)

    def value(*values: np.ndarray) -> np.ndarray:
        return (16 * at(1.0, *values) - at(2.0, *values)) / 15

    def error(*values: np.ndarray) -> np.ndarray:
        rounding = 2 * np.finfo(np.float64).eps * np.max([np.abs(v) for v in values], axis=0) / step
        return np.abs(value(*values) - at(1.0, *values)) / 15 + rounding

    trees = [evaluated[t][0] for t in points]
    return Difference(tree.map(value, *trees), tree.map(error, *trees), kink)


class _Watched(Tracer):
    """A value that only makes operations on it pass by: `x > 1` and np.sort(x) of plain arrays would not be seen."""

    __slots__ = ()


class _Decisions(Interpreter):
    """Watches the operations whose derivative jumps, and digests which side of the jump they are on."""

    def __init__(self) -> None:
        self.digest, self.level = hashlib.blake2b(digest_size=16), object()

    def lift(self, x: Any) -> _Watched:
        """x, watched."""
        return _Watched(x, self.level, Origin("input"))

    def process(self, primitive: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
        mine = [isinstance(a, _Watched) and a.level is self.level for a in args]
        y = self.parent.process(primitive, [a._value if m else a for a, m in zip(args, mine)], params)
        side = KINKS.get(primitive.name)
        if side is not None:
            asked = {name: params[name] for name in inspect.signature(side).parameters if name in params}
            self.digest.update(np.packbits(side(*map(_host, args), **asked)).tobytes())
        constant = primitive.rule is None or primitive.rule.constant
        return y if constant or True not in mine else _Watched(y, self.level, Origin(primitive.name))


def decisions(f: Callable, *args: Any) -> tuple[Any, bytes]:
    """f(*args) as a tree of host arrays, and a digest of every comparison, kink and choice made on the way."""
    with _Decisions() as watch:
        y = f(*args)
    return tree.map(lambda leaf: np.asarray(_host(leaf), np.float64), y), watch.digest.digest()


def _bits(x: np.ndarray) -> np.ndarray:
    return np.unpackbits(np.ascontiguousarray(x).reshape(-1).view(np.uint8))


def _attained(x: np.ndarray, axes: tuple[int, ...], best: Callable) -> np.ndarray:
    """Which element along `axes` is the extreme one."""
    rows = np.moveaxis(x, axes, range(-len(axes), 0)) if axes else x[..., None]
    rows = rows.reshape(*rows.shape[: rows.ndim - max(1, len(axes))], -1)
    return _bits(best(rows, axis=-1)) if rows.size else np.zeros(0, np.uint8)


def _comparison(name: str) -> Callable:
    return lambda x1, x2: _bits(getattr(np, name)(x1, x2))


KINKS: dict[str, Callable] = {
    "relu": lambda x: _bits(x > 0),
    "absolute": lambda x: _bits(x > 0),
    "sign": lambda x: _bits(np.sign(x)),
    "maximum": lambda x1, x2: _bits(np.greater(x1, x2)),
    "minimum": lambda x1, x2: _bits(np.greater(x1, x2)),
    "clip": lambda x, low, high: np.concatenate([_bits(np.greater(x, low)), _bits(np.less(x, high))]),
    "floor": lambda x: _bits(np.floor(x)),
    "ceil": lambda x: _bits(np.ceil(x)),
    "rint": lambda x: _bits(np.rint(x)),
    "astype_discrete": lambda x, dtype: _bits(x.astype(dtype)),
    "max": lambda x, axes: _attained(x, axes, np.argmax),
    "min": lambda x, axes: _attained(x, axes, np.argmin),
    "argmax": lambda x, axis: _bits(np.argmax(x, axis=axis)),
    "argmin": lambda x, axis: _bits(np.argmin(x, axis=axis)),
    "argsort": lambda x, axis: _bits(np.argsort(x, axis=axis, kind="stable")),
    **{name: _comparison(name) for name in "equal not_equal less less_equal greater greater_equal".split()},
}
"""Operations with kinks or jumps, and bits that say which side arguments are on."""


def _host(x: Any) -> np.ndarray:
    x = concrete(x)
    return np.asarray(backend_beside(x).to_host(x))


def adjoint_gap(f: Callable, args: tuple, seed: int = 0) -> float:
    """|⟨Jv, u⟩ − ⟨v, Jᵀu⟩| relative to the larger of the two, for random v and u: no step size, no truncation.

    Real arguments and results only.
    """
    y, pullback = vjp(f, *args)
    for leaf in tree.flatten((args, y))[0]:
        _check_real(leaf)
    v, u = (_random_like(like, k) for like, k in zip((args, y), random.split(random.key(seed), 2)))
    left, right = _inner(jvp(f, args, v)[1], u), _inner(v, pullback(u))
    return abs(left - right) / (max(abs(left), abs(right)) or 1.0)


def _random_like(values: Any, key: Any) -> Any:
    """Normal numbers in the structure, shapes, dtypes and devices of a tree."""
    leaves, structure = tree.flatten(values)
    made = []
    for k, leaf in zip(random.split(key, max(1, len(leaves))), leaves):
        host = _host(leaf)
        draw = random.normal(k, host.shape, np.float64).astype(host.dtype)
        made.append(backend_beside(leaf).from_host(draw) if np.ndim(host) else draw[()])
    return tree.unflatten(structure, made)


def _inner(a: Any, b: Any) -> float:
    pairs = zip(tree.flatten(a)[0], tree.flatten(b)[0], strict=True)
    return math.fsum(float(np.sum(_host(x).astype(np.float64) * _host(y))) for x, y in pairs)


# The checker


def check_grads(
    f: Callable,
    args: tuple,
    order: int = 2,
    modes: Sequence[str] = ("forward", "reverse"),
    tolerance: float = 1e-6,
    directions: int = 3,
    seed: int = 0,
) -> None:
    """Raise GradientError unless the derivatives of f at args, up to `order`, agree with five-point differences.

    f takes and returns trees of real floating arrays and is computed in float64. Along random directions v, J v by
    forward mode is compared entry by entry with the difference of f, result by result, and ⟨v, Jᵀu⟩ by reverse mode
    with ⟨u, J v⟩ for random signed u; both relative to the largest entry of that result's own derivative, plus what
    the difference itself may be off. Then the same for the derivatives. Returns None if all agree. Raises KinkError
    where every direction tried crosses a kink, TypeError or ValueError for a function or arguments that do not fit.

    >>> import minigrad as mg
    >>> mg.checks.check_grads(lambda x: mg.sin(x) * x, (1.0,))
    """
    if not modes or set(modes) - {"forward", "reverse"} or order < 1 or directions < 1:
        raise OperandError(
            "check_grads: modes are 'forward' and 'reverse', order and directions at least 1, "
            f"got {tuple(modes)}, {order} and {directions}"
        )
    if not isinstance(args, (tuple, list)):
        raise OperandTypeError("check_grads: args is a tuple with one entry per argument, as in check_grads(f, (x,))")
    precise = tree.map(_as_float64, tuple(args))
    _same_twice(f, tuple(args))
    _check_order(f, precise, 1, order, tuple(modes), tolerance, directions, random.key(seed))


def _as_float64(leaf: Any) -> Any:
    try:
        _check_real(leaf)
    except TypeError as error:
        raise OperandTypeError(f"{error}; what has no derivative belongs into a closure, not into args") from None
    return backend_beside(leaf).xp.asarray(leaf, dtype=np.float64)


def _check_real(leaf: Any) -> None:
    check_inexact(leaf, "check_grads")
    if dtype_of(leaf).kind == "c":
        raise OperandTypeError(f"check_grads: real numbers only, got {describe(leaf)}")


def _same_twice(f: Callable, args: tuple) -> None:
    before = [np.array(_host(leaf)) for leaf in tree.flatten(args)[0]]
    first, second = (tree.flatten(f(*args))[0] for _ in range(2))
    if not first:
        raise OperandTypeError("check_grads: the function returned nothing; return its result")
    for leaf in first:
        _check_real(leaf)
    if any(not np.array_equal(_host(a), _host(b), equal_nan=True) for a, b in zip(first, second, strict=True)):
        raise OperandError(
            "check_grads: the function gives different results for the same arguments; pass its noise in"
        )
    if any(not np.array_equal(a, _host(b)) for a, b in zip(before, tree.flatten(args)[0], strict=True)):
        raise OperandError("check_grads: the function changes its arguments in place")


def _check_order(f, args, at, order, modes, tolerance, directions, key) -> None:
    for trial, k in enumerate(random.split(key, directions)):
        v, truths = _differenced(f, args, random.fold_in(k, 0))
        _, y_dot = jvp(f, args, v)
        if "forward" in modes:
            for name, found, truth in zip(tree.names(y_dot), tree.flatten(y_dot)[0], truths):
                what = f"order {at}, forward mode{_of(name)}, direction {trial + 1}"
                _compare(_host(found), truth.value, np.max(truth.error, initial=0.0), tolerance, what)
        if "reverse" in modes:
            _check_reverse(f, args, at, v, y_dot, truths, tolerance, random.fold_in(k, 1))
    if at < order:
        u, v = _random_like(f(*args), random.fold_in(key, 2)), _random_like(args, random.fold_in(key, 3))
        if "forward" in modes:
            rest = at + 1, order, modes, tolerance, directions, random.fold_in(key, 4)
            _check_order(lambda *a: jvp(f, a, v)[1], args, *rest)
        if "reverse" in modes:
            rest = at + 1, order, modes, tolerance, directions, random.fold_in(key, 5)
            _check_order(lambda *a: vjp(f, *a)[1](u), args, *rest)


def _check_reverse(f, args, at, v, y_dot, truths, tolerance, key) -> None:
    """⟨v, Jᵀu⟩ against ⟨u, difference⟩, and against forward mode, for a u in one result at a time."""
    y, pullback = vjp(f, *args)
    structure = tree.flatten(y)[1]
    us = tree.flatten(_random_like(y, key))[0]
    for i, (name, truth) in enumerate(zip(tree.names(y), truths)):
        one = [u if j == i else 0 * u for j, u in enumerate(us)]
        back = pullback(tree.unflatten(structure, one))
        found, forward = _inner(back, v), _inner(one[i], tree.flatten(y_dot)[0][i])
        u = _host(one[i])
        what, size = f"order {at}, reverse mode{_of(name)}", float(np.sum(np.abs(u * truth.value)))
        error = float(np.sum(np.abs(u) * truth.error))
        _compare(np.float64(found), np.float64(np.sum(u * truth.value)), error, tolerance, what, size)
        scale = sum(float(np.sum(np.abs(_host(a) * _host(b)))) for a, b in _pairs(back, v)) + size
        if not abs(found - forward) <= 1e-10 * scale + error:
            raise GradientError(
                f"order {at}: reverse mode {found:.15g} and forward mode {forward:.15g} differ{_of(name)}"
            )


def _pairs(a: Any, b: Any) -> list[tuple[Any, Any]]:
    return list(zip(tree.flatten(a)[0], tree.flatten(b)[0], strict=True))


def _of(name: str) -> str:
    return f" of result '{name}'" if name else ""


def _compare(found, truth, error: float, tolerance: float, what: str, size: float | None = None) -> None:
    """Raise GradientError unless found is truth to tolerance · size, plus the difference's own error."""
    size = float(np.max(np.abs(truth), initial=0.0)) if size is None else size
    off = np.abs(found - truth)
    if not np.all(off <= tolerance * size + error):
        place = np.unravel_index(int(np.argmax(np.where(np.isnan(off), np.inf, off))), off.shape)
        index = f" at index {tuple(map(int, place))}" if place else ""
        raise GradientError(
            f"{what}: {found[place]:.12g}{index}, five-point difference {truth[place]:.12g}; off by "
            f"{off[place] / (size or 1.0):.2g} of the derivative's size, allowed {tolerance:.2g}"
        )


def _relative(error: np.ndarray, value: np.ndarray) -> float:
    return float(np.max(error, initial=0.0)) / (float(np.max(np.abs(value), initial=0.0)) or 1.0)


def _differenced(f: Callable, args: tuple, key: Any) -> tuple[Any, list[Difference]]:
    """A random direction that crosses no kink, and the difference of every result of f along it.

    The step is the one with the smallest error estimate, from a fraction of the arguments' size downwards.
    """
    sizes = [float(np.max(np.abs(_host(leaf)), initial=0.0)) for leaf in tree.flatten(args)[0]]
    first = max([1.0, *sizes]) * np.finfo(np.float64).eps ** (1 / 7)
    for k in random.split(key, 8):
        v = _random_like(args, k)

        def along(t: float, v: Any = v) -> Any:
            watch = current()  # by `decisions`
            return f(*tree.map(lambda x, direction: watch.lift(x + t * direction), args, v))

        best, smallest = None, math.inf
        with np.errstate(all="ignore"):  # a step may leave the domain; a smaller one will not
            for halvings in range(0, 27, 3):
                found = five_point(along, first / 2**halvings)
                values = tree.flatten(found.value)[0]
                errors = tree.flatten(found.error)[0]
                worst = max([_relative(e, d) for e, d in zip(errors, values)], default=0.0)
                if not found.kink and worst < smallest:
                    best, smallest = [Difference(*pair, False) for pair in zip(values, errors)], worst
                if smallest < 1e-9:
                    break
        if best is not None:
            return v, best
    raise KinkError("every direction tried crosses a kink of the function: it is not differentiable at these arguments")


# The first NaN


class NanError(ArithmeticError):
    """An operation made a NaN."""


class debug_nans(Interpreter):
    """Context manager: the first operation whose result has a NaN raises NanError.

    The message names the primitive, the user's line, and whether it arose in the forward or the backward pass.
    """

    def process(self, primitive: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
        y = self.parent.process(primitive, args, params)
        value = concrete(y)
        if getattr(value, "dtype", None) is not None and value.dtype.kind in "fc":
            if bool(backend_beside(value).xp.isnan(value).any()):
                made_by = _node_being_pulled()
                where = made_by or str(Origin(primitive.name))
                way = (
                    f"backward pass of {where}, in its rule's '{primitive.name}'"
                    if made_by
                    else f"forward pass: {where}"
                )
                raise NanError(f"the first NaN arose in the {way}")
        return y


def _node_being_pulled() -> str | None:
    """The tape entry whose rule is running, if a backward pass is."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "_walk" and frame.f_globals.get("__name__") == "minigrad.reverse":
            return str(frame.f_locals["node"].origin)
        frame = frame.f_back
    return None


__all__ = [
    "GradientError",
    "KinkError",
    "NanError",
    "adjoint_gap",
    "check_grads",
    "debug_nans",
    "decisions",
    "five_point",
]
