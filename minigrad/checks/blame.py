"""Which operation is to blame for a wrong derivative."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minigrad.checks.kinks import Watch
from minigrad.core import tree
from minigrad.core.arrays import is_inexact
from minigrad.core.origin import Origin


class _Calls(Watch):
    """Every primitive call with its values."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, list, dict, Origin]] = []

    def saw(self, primitive: Any, args: Sequence[Any], params: dict[str, Any], y: Any) -> None:
        self.calls.append((primitive, list(args), params, Origin(primitive.name)))


def blame(f: Callable, args: tuple, agrees: Callable[[Callable, tuple], bool]) -> str:
    """The first operation of f that, alone and at the values it had, does not pass: `agrees(function, args)` is false.

    Each is tried once, which costs as much as a few evaluations of f; halving the tape would evaluate more.
    """
    with _Calls() as watch:
        f(*tree.map(watch.lift, args))
    for primitive, values, params, origin in watch.calls:
        positions = [i for i, value in enumerate(values) if not isinstance(value, (bool, int)) and is_inexact(value)]

        def alone(*xs: Any, p: Any = primitive, rest: list = values, at: list = positions, how: dict = params) -> Any:
            filled = list(rest)
            for i, x in zip(at, xs, strict=True):
                filled[i] = x
            return p(*filled, **how)

        own = tuple(values[i] for i in positions)
        if positions and is_inexact(alone(*own)) and not agrees(alone, own):
            return f"the operation to blame is {origin}"
    return (
        "every operation on its own is right, so a value must leave the derivative on the way "
        "(x.value, np.asarray, a result kept from another call)"
    )
