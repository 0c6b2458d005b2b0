"""Finds the operation whose rule causes a wrong derivative."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minigrad.checks.kinks import Watch
from minigrad.core import tree
from minigrad.core.arrays import is_inexact
from minigrad.core.origin import Origin


class _Calls(Watch):
    """Records every primitive call with its arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, list, dict, Origin]] = []

    def observe(self, primitive: Any, args: Sequence[Any], params: dict[str, Any], y: Any) -> None:
        self.calls.append((primitive, list(args), params, Origin(primitive.name)))

    def call(self, call: Any, leaves: Sequence[Any]) -> list[Any]:
        self.calls.append((call, [self.lower(x) for x in leaves], {}, Origin(call.name)))
        return super().call(call, leaves)


def blame(f: Callable, args: tuple, agrees: Callable[[Callable, tuple], bool]) -> str:
    """A clause that names the first operation of f that fails on its own: `agrees(operation, arguments)` is false.

    Each operation is checked once, at the arguments it had; this costs a few evaluations of f, less than bisection.
    """
    with _Calls() as watch:
        f(*tree.map(watch.lift, args))
    for primitive, values, params, origin in watch.calls:
        positions = [i for i, value in enumerate(values) if not isinstance(value, (bool, int)) and is_inexact(value)]

        def alone(*xs: Any, p: Any = primitive, values: list = values, at: list = positions, kw: dict = params) -> Any:
            operands = list(values)
            for i, x in zip(at, xs, strict=True):
                operands[i] = x
            return p(*operands, **kw)

        own = tuple(values[i] for i in positions)
        if positions and any(map(is_inexact, tree.flatten(alone(*own))[0])) and not agrees(alone, own):
            return f"the operation to blame is {origin}"
    return (
        "every operation is right on its own, so the function must take a value out of the trace "
        "(x.value, np.asarray, a result kept from another call)"
    )
