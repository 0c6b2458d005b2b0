"""Kinks: on which side of each kink, jump or tie a computation lies.

Two evaluations on the same side of each belong to one smooth piece of the function. This test is exact and needs no
tolerance, but it misses a branch on a number taken out of the trace; `one_sided_gap` detects kinks from values alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.core import tree
from minigrad.core.interpreter import Interpreter, Tracer, concrete, find_backend
from minigrad.core.origin import Origin


class _WatchedTracer(Tracer):
    """Wraps an array so that `x > 1` and np.sort(x) reach the interpreter, as they would not for a plain array."""

    __slots__ = ()


class Watch(Interpreter):
    """Runs every primitive one level down and passes its arguments and its result to `observe`."""

    def __init__(self) -> None:
        self.level = object()
        self.origin = Origin("a function being checked")  # of all values: finding the line takes long below many frames

    def lift(self, x: Any) -> _WatchedTracer:
        """x wrapped, so that this interpreter processes the operations on it."""
        return _WatchedTracer(x, self.level, self.origin)

    def lower(self, x: Any) -> Any:
        """The value that this interpreter wraps in x, if it does."""
        return x._value if isinstance(x, _WatchedTracer) and x.level is self.level else x

    def observe(self, primitive: Any, args: Sequence[Any], params: dict[str, Any], y: Any) -> None:
        """Called after each primitive with its arguments and result, unwrapped by one level."""
        raise NotImplementedError

    def process(self, primitive: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
        mine = [isinstance(a, _WatchedTracer) and a.level is self.level for a in args]
        values = list(map(self.lower, args))
        y = self.parent.process(primitive, values, params)
        self.observe(primitive, values, params, y)
        constant = primitive.rule is None or primitive.rule.constant
        return y if constant or True not in mine else _WatchedTracer(y, self.level, self.origin)


class _Decisions(Watch):
    """Hashes the side on which each operation with a kink lies."""

    def __init__(self) -> None:
        super().__init__()
        self.digest = hashlib.blake2b(digest_size=16)

    def observe(self, primitive: Any, args: Sequence[Any], params: dict[str, Any], y: Any) -> None:
        kink = primitive.traits.kink
        if kink is not None:
            sides = kink(*map(to_host, args), **params)
            for side in sides if isinstance(sides, tuple) else (sides,):
                self.digest.update(np.ascontiguousarray(side).tobytes())


def decisions(f: Callable[..., Any], *args: Any) -> tuple[Any, bytes]:
    """f(*args) as a tree of host arrays, and a digest of every comparison, kink and selection inside f."""
    with _Decisions() as watch:
        y = f(*args)
    return tree.map(lambda leaf: np.asarray(to_host(leaf), np.float64), y), watch.digest.digest()


def one_sided_gap(f: Callable[[float], Any], step: float) -> float:
    """The largest distance between four one-sided derivatives of f(t) at 0, relative to the largest of them: from the
    left and from the right, each with this step and with half of it.

    Each uses five points, (−25f₀ + 48f₁ − 36f₂ + 16f₃ − 3f₄)/12h with error O(h⁴) (Fornberg 1988, table 3). A bound on
    the effect of rounding is subtracted. The gap of a smooth function falls with h⁴; at a kink the left and the right
    derivative stay apart, and at a jump half the step doubles the derivative.
    """
    weights = np.array([-25.0, 48.0, -36.0, 16.0, -3.0]) / 12
    with np.errstate(all="ignore"):
        at = {k: flatten_numbers(f(k * step / 2)) for k in (-8, -6, *range(-4, 5), 6, 8)}
        slopes = [sum(w * at[s * k] for k, w in enumerate(weights)) / (s * step / 2) for s in (1, 2, -1, -2)]
        size = np.max(np.abs(slopes), initial=0.0)
        rounding = 2 * float(np.finfo(np.float64).eps) * np.sum(np.abs(weights)) / (step / 2)
        gap = np.max(np.ptp(slopes, axis=0), initial=0.0) - 2 * rounding * np.max(
            np.abs(list(at.values())), initial=0.0
        )
    return max(0.0, float(gap / size)) if size else 0.0


def to_host(x: Any) -> np.ndarray:
    """x as a plain NumPy array."""
    x = concrete(x)
    return np.asarray(find_backend(x).to_host(x))


def flatten_numbers(values: Any) -> np.ndarray:
    """All numbers of a real tree in one float64 vector on the host."""
    leaves = [np.ravel(to_host(leaf)).astype(np.float64) for leaf in tree.flatten(values)[0]]
    return np.concatenate(leaves) if leaves else np.zeros(0)
