"""How do you know a gradient is right? Ask somebody who does not use the rules.

`check_grads` compares both modes with five-point differences and with each other, to any order. The oracles are small
functions that stand alone; none shares code with the rules they test. A function with a kink inside the difference's
stencil cannot be judged there: `decisions` sees that a comparison came out differently, so kinks are reported as kinks
and never mistaken for (or hidden behind) a wrong gradient. `debug_nans` names the operation that made the first NaN.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad import random, tree
from minigrad.core import Interpreter, OperandError, OperandTypeError, Origin, backend_beside, concrete
from minigrad.transforms import check_inexact, jvp, vjp

STENCIL = (-2.0, -1.0, 1.0, 2.0)
WEIGHTS = (1 / 12, -8 / 12, 8 / 12, -1 / 12)


class GradientError(AssertionError):
    """A derivative and its oracle disagree."""


class KinkError(GradientError):
    """Every direction tried crosses a kink: the function is not differentiable here."""


class Difference(NamedTuple):
    """A five-point derivative, an estimate of its own error, and whether a kink lies inside the stencil."""

    value: np.ndarray
    error: np.ndarray
    kink: bool


# Oracles


def five_point(f: Callable[[float], Any], step: float) -> Difference:
    """d f(t)/dt at 0 for an array-valued f, by five-point differences with one Richardson step.

    D(h) = (f(−2h) − 8f(−h) + 8f(h) − f(2h)) / 12h has error O(h⁴), so (16·D(h) − D(2h))/15 has O(h⁶) (Abramowitz and
    Stegun 25.3.6; Richardson 1911). The error is estimated by how far the last step moved, plus rounding.
    """
    decided: set[bytes] = set()
    values: dict[float, np.ndarray] = {}
    for t in sorted({scale * s for scale in (1.0, 2.0) for s in STENCIL}):
        values[t], decision = decisions(f, t * step)
        decided.add(decision)
    decided.add(decisions(f, 0.0)[1])
    fine, coarse = (
        sum(w * values[scale * s] for s, w in zip(STENCIL, WEIGHTS, strict=True)) / (scale * step)
        for scale in (1.0, 2.0)
    )
    size = max(float(np.max(np.abs(v), initial=0.0)) for v in values.values())
    rounding = 2 * np.finfo(np.float64).eps * size / step
    value = (16 * fine - coarse) / 15
    return Difference(value, np.abs(value - fine) / 15 + rounding, len(decided) > 1)


class _Decisions(Interpreter):
    """Watches the operations whose derivative jumps, and digests which side of the jump they are on."""

    def __init__(self) -> None:
        self.digest = hashlib.blake2b(digest_size=16)

    def process(self, primitive: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
        y = self.parent.process(primitive, args, params)
        side = KINKS.get(primitive.name)
        if side is not None:
            host = [_host(a) for a in args]
            self.digest.update(np.packbits(np.asarray(side(*host, **_accepted(side, params)))).tobytes())
        return y


def decisions(f: Callable, *args: Any) -> tuple[np.ndarray, bytes]:
    """f(*args) as a host array, and a digest of every comparison, kink and choice made on the way."""
    with _Decisions() as watch:
        y = f(*args)
    return np.asarray(_host(y), np.float64), watch.digest.digest()


def _ranks(x: np.ndarray, axes: Any = None, axis: Any = None) -> np.ndarray:
    """Bits of the order of elements: changes when two of them change places."""
    order = np.argsort(np.ravel(x), kind="stable")
    return np.unpackbits(order.astype(np.int64).view(np.uint8))


KINKS: dict[str, Callable] = {
    "relu": lambda x: x > 0,
    "absolute": lambda x: x > 0,
    "sign": lambda x: np.stack([x > 0, x < 0]),
    "maximum": lambda x1, x2: np.greater(x1, x2),
    "minimum": lambda x1, x2: np.greater(x1, x2),
    "clip": lambda x, low, high: np.stack([x > low, x < high]),
    "floor": lambda x: np.unpackbits(np.floor(x).astype(np.int64).reshape(-1).view(np.uint8)),
    "ceil": lambda x: np.unpackbits(np.ceil(x).astype(np.int64).reshape(-1).view(np.uint8)),
    "rint": lambda x: np.unpackbits(np.rint(x).astype(np.int64).reshape(-1).view(np.uint8)),
    "max": _ranks,
    "min": _ranks,
    "argmax": _ranks,
    "argmin": _ranks,
    "argsort": _ranks,
    **{name: getattr(np, name) for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")},
}
"""Operations with kinks or jumps, and which side an argument is on."""


def _accepted(side: Callable, params: dict[str, Any]) -> dict[str, Any]:
    return params if side is _ranks else {}


def _host(x: Any) -> np.ndarray:
    x = concrete(x)
    return np.asarray(backend_beside(x).to_host(x))


def adjoint_gap(f: Callable, args: tuple, seed: int = 0) -> float:
    """|⟨Jv, u⟩ − ⟨v, Jᵀu⟩| relative to the larger of the two, for random v and u: no step size, no truncation."""
    y, pullback = vjp(f, *args)
    v = _random_like(args, seed)
    u = _random_like(y, seed + 1)
    _, y_dot = jvp(f, args, v)
    back = pullback(u)
    left, right = _inner(y_dot, u), _inner(v, back)
    return abs(left - right) / (max(abs(left), abs(right)) or 1.0)


def _random_like(values: Any, seed: int) -> Any:
    """Normal numbers in the structure, shapes, dtypes and devices of a tree."""
    leaves, structure = tree.flatten(values)
    keys = random.split(random.key(seed), max(1, len(leaves)))
    made = []
    for k, leaf in zip(keys, leaves, strict=False):
        host = _host(leaf)
        draw = random.normal(k, host.shape, np.float64).astype(host.dtype)
        made.append(backend_beside(leaf).from_host(draw) if np.ndim(host) else draw[()])
    return tree.unflatten(structure, made)


def _inner(a: Any, b: Any) -> float:
    pairs = zip(tree.flatten(a)[0], tree.flatten(b)[0], strict=True)
    return float(sum(np.sum(_host(x).astype(np.float64) * _host(y)) for x, y in pairs))


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

    f takes and returns trees of floating arrays, computed in float64 for the check. Along random directions v and
    random signed cotangents u, ⟨u, J v⟩ by each mode is compared with the difference of ⟨u, f⟩, relative to the
    larger of the derivative and ‖u‖·‖f‖ (never with the size of arrays); then forward and reverse mode with each
    other to rounding; then the same for the derivatives themselves. Raises KinkError where every direction tried
    crosses a kink, TypeError for functions without floating arguments or results.

    >>> import minigrad as mg
    >>> mg.checks.check_grads(lambda x: mg.sin(x) * x, (1.0,))
    """
    unknown = set(modes) - {"forward", "reverse"}
    if unknown or order < 1:
        raise OperandError(f"check_grads: modes are 'forward' and 'reverse' and order ≥ 1, got {modes} and {order}")
    args = tuple(args)
    precise = tree.map(_as_float64, args)
    _same_twice(f, args)
    _check_order(f, precise, 1, order, tuple(modes), tolerance, directions, seed)


def _as_float64(leaf: Any) -> Any:
    check_inexact(leaf, "check_grads")
    b = backend_beside(leaf)
    return b.xp.asarray(leaf, dtype=np.float64)


def _same_twice(f: Callable, args: tuple) -> None:
    before = [np.array(_host(leaf)) for leaf in tree.flatten(args)[0]]
    first, second = (tree.flatten(f(*args))[0] for _ in range(2))
    if not first:
        raise OperandTypeError("check_grads: the function returned nothing; return its result")
    for leaf in first:
        check_inexact(leaf, "check_grads: a result")
    if any(not np.array_equal(_host(a), _host(b), equal_nan=True) for a, b in zip(first, second, strict=True)):
        raise OperandError(
            "check_grads: the function gives different results for the same arguments; pass its noise in"
        )
    if any(not np.array_equal(a, _host(b)) for a, b in zip(before, tree.flatten(args)[0], strict=True)):
        raise OperandError("check_grads: the function changes its arguments in place")


def _check_order(f, args, at, order, modes, tolerance, directions, seed) -> None:
    y = f(*args)
    for trial in range(directions):
        u = _random_like(y, seed + 2 * trial)
        expected, v = _expected(f, args, u, seed + 1000 * trial)
        found = {}
        if "forward" in modes:
            found["forward"] = _inner(jvp(f, args, v)[1], u)
        if "reverse" in modes:
            found["reverse"] = _inner(vjp(f, *args)[1](u), v)
        scale = max(abs(float(expected.value)), math.sqrt(_inner(u, u) * _inner(y, y)), 1e-30)
        for mode, value in found.items():
            error = abs(value - float(expected.value)) / scale
            if not error <= tolerance + float(expected.error) / scale:
                raise GradientError(
                    f"order {at}, {mode} mode: ⟨u, J v⟩ = {value:.12g}, five-point difference "
                    f"{float(expected.value):.12g}, relative error {error:.2g} > {tolerance:.2g}"
                )
        if len(found) == 2:
            gap = abs(found["forward"] - found["reverse"]) / scale
            if not gap <= 1e-10:
                raise GradientError(
                    f"order {at}: forward {found['forward']:.15g} and reverse {found['reverse']:.15g} differ"
                )
    if at < order:
        u, v = _random_like(y, seed + 7), _random_like(args, seed + 8)
        if "forward" in modes:
            _check_order(lambda *a: jvp(f, a, v)[1], args, at + 1, order, modes, tolerance, directions, seed + 10)
        if "reverse" in modes:
            _check_order(lambda *a: vjp(f, *a)[1](u), args, at + 1, order, modes, tolerance, directions, seed + 10)


def _expected(f: Callable, args: tuple, u: Any, seed: int) -> tuple[Difference, Any]:
    """The difference of ⟨u, f⟩ along a random direction that crosses no kink."""
    size = max([1.0, *[float(np.max(np.abs(_host(leaf)), initial=0.0)) for leaf in tree.flatten(args)[0]]])
    step = size * np.finfo(np.float64).eps ** (1 / 7)
    for attempt in range(12):
        v = _random_like(args, seed + attempt)

        def along(t: float, v: Any = v) -> Any:
            moved = tree.map(lambda x, d: x + t * d, args, v)
            return _dot(u, f(*moved))

        found = five_point(along, step / 2**attempt)
        if not found.kink:
            return found, v
    raise KinkError("every direction tried crosses a kink of the function: it is not differentiable at these arguments")


def _dot(u: Any, y: Any) -> Any:
    pairs = zip(tree.flatten(u)[0], tree.flatten(y)[0], strict=True)
    return sum(backend_beside(b).xp.sum(a * b) for a, b in pairs)


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
