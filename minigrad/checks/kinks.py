"""Kinks: which side of every jump of a derivative a computation is on.

Two evaluations of a function that took the same side everywhere lie in one smooth piece of it. That is exact, and needs
no tolerance. What it cannot see is a branch on a number taken out of the trace; `one_sided_gap` looks for the kink
itself, from values alone.
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
    """A value that only makes operations on it pass by: `x > 1` and np.sort(x) of plain arrays would not be seen."""

    __slots__ = ()


class Watch(Interpreter):
    """Runs every primitive one level down and looks at what went in and came out."""

    def __init__(self) -> None:
        self.level = object()

    def lift(self, x: Any) -> _WatchedTracer:
        """x, watched."""
        return _WatchedTracer(x, self.level, Origin("input"))

    def saw(self, primitive: Any, args: Sequence[Any], params: dict[str, Any], y: Any) -> None:
        """Called after each primitive, with values of the level below."""
        raise NotImplementedError

    def process(self, primitive: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
        mine = [isinstance(a, _WatchedTracer) and a.level is self.level for a in args]
        values = [a._value if m else a for a, m in zip(args, mine)]
        y = self.parent.process(primitive, values, params)
        self.saw(primitive, values, params, y)
        constant = primitive.rule is None or primitive.rule.constant
        return y if constant or True not in mine else _WatchedTracer(y, self.level, Origin(primitive.name))


class _Decisions(Watch):
    """Digests which side of its jump every operation is on whose derivative has one."""

    def __init__(self) -> None:
        super().__init__()
        self.digest = hashlib.blake2b(digest_size=16)

    def saw(self, primitive: Any, args: Sequence[Any], params: dict[str, Any], y: Any) -> None:
        kink = primitive.traits.kink
        if kink is not None:
            sides = kink(*map(host, args), **params)
            for side in sides if isinstance(sides, tuple) else (sides,):
                self.digest.update(np.ascontiguousarray(side).tobytes())


def decisions(f: Callable, *args: Any) -> tuple[Any, bytes]:
    """f(*args) as a tree of host arrays, and a digest of every comparison, kink and choice made on the way."""
    with _Decisions() as watch:
        y = f(*args)
    return tree.map(lambda leaf: np.asarray(host(leaf), np.float64), y), watch.digest.digest()


def one_sided_gap(f: Callable[[float], Any], step: float) -> float:
    """How far four derivatives of f(t) at 0 are certainly apart, over the largest: from the left, from the right, each
    with this step and half of it.

    They are taken from five points each, (−25f₀ + 48f₁ − 36f₂ + 16f₃ − 3f₄)/12h with error O(h⁴) (Fornberg 1988, table
    3); what rounding can do to them does not count. Of a smooth function the gap falls with h⁴; at a kink left and
    right stay apart, at a jump half the step gives twice the derivative.
    """
    weights = np.array([-25.0, 48.0, -36.0, 16.0, -3.0]) / 12
    with np.errstate(all="ignore"):
        at = {k: flat(f(k * step / 2)) for k in (-8, -6, *range(-4, 5), 6, 8)}
        ways = [sum(w * at[way * k] for k, w in enumerate(weights)) / (way * step / 2) for way in (1, 2, -1, -2)]
        size = np.max(np.abs(ways), initial=0.0)
        rounding = 2 * float(np.finfo(np.float64).eps) * np.sum(np.abs(weights)) / (step / 2)
        gap = np.max(np.ptp(ways, axis=0), initial=0.0) - 2 * rounding * np.max(np.abs(list(at.values())), initial=0.0)
    return max(0.0, float(gap / size)) if size else 0.0


def host(x: Any) -> np.ndarray:
    """The plain host array behind x."""
    x = concrete(x)
    return np.asarray(find_backend(x).to_host(x))


def flat(values: Any) -> np.ndarray:
    """The real numbers of a tree, one after the other, on the host in float64."""
    leaves = [np.ravel(host(leaf)).astype(np.float64) for leaf in tree.flatten(values)[0]]
    return np.concatenate(leaves) if leaves else np.zeros(0)
