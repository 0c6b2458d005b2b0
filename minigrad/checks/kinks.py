"""Kinks: which side of every jump of a derivative a computation is on.

Two evaluations of a function that took the same side everywhere lie in one smooth piece of it.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad import tree
from minigrad.core import Interpreter, Origin, Tracer, backend_beside, concrete


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
            self.digest.update(np.packbits(side(*map(host, args), **asked)).tobytes())
        constant = primitive.rule is None or primitive.rule.constant
        return y if constant or True not in mine else _Watched(y, self.level, Origin(primitive.name))


def decisions(f: Callable, *args: Any) -> tuple[Any, bytes]:
    """f(*args) as a tree of host arrays, and a digest of every comparison, kink and choice made on the way."""
    with _Decisions() as watch:
        y = f(*args)
    return tree.map(lambda leaf: np.asarray(host(leaf), np.float64), y), watch.digest.digest()


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


def host(x: Any) -> np.ndarray:
    """The plain host array behind x."""
    x = concrete(x)
    return np.asarray(backend_beside(x).to_host(x))
