"""The transpose of a linear function, by reverse mode where its arguments are 0.

A function that is linear in x has the same derivative at every x, so 0 will do, if the operations are the same whatever
x is. A loop that ends once x is small would end at once: reading the values of what depends on x is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minigrad.core import tree
from minigrad.core.errors import MissingRuleError, OperandTypeError
from minigrad.core.interpreter import Interpreter, Primitive, Tracer
from minigrad.core.origin import Origin
from minigrad.core.transforms import vjp
from minigrad.core.vectors import zeros_like_p


class UnreadableError(MissingRuleError, OperandTypeError):
    """A function that is to be transposed depends on the values of its argument."""


class LinearTracer(Tracer):
    """A value that stands for any: operations may take it, but nothing may read it."""

    __slots__ = ()

    def read_value(self, use: str) -> Any:
        raise UnreadableError(f"{use} of a value made by {self.origin}: {self.level.remedy}")


class Linear(Interpreter):
    """Runs each primitive and call one level down, and wraps what depends on a wrapped value, integers and booleans,
    too. `remedy` ends the message of an error."""

    def __init__(self, remedy: str, level: Linear | None = None) -> None:
        self.remedy, self.level = remedy, level or self

    def again(self) -> Linear:
        """An interpreter for the same traced values: this one may be active in another thread."""
        return Linear(self.remedy, self.level)

    def lift(self, x: Any, name: str = "input") -> LinearTracer:
        return LinearTracer(x, self.level, Origin(name))

    def lower(self, x: Any) -> Any:
        return x._value if self.wraps(x) else x

    def wraps(self, x: Any) -> bool:
        return type(x) is LinearTracer and x.level is self.level

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        y = self.parent.process(primitive, [self.lower(x) for x in args], params)
        depends = primitive is not zeros_like_p and any(map(self.wraps, args))
        return self.lift(y, primitive.name) if depends else y

    def call(self, call: Any, leaves: Sequence[Any]) -> list[Any]:
        depends, reads = call.follow([self.wraps(x) for x in leaves])
        if reads:
            next(x for x in leaves if self.wraps(x)).read_value(f"a condition in {call.name}")
        results = self.parent.call(call, [self.lower(x) for x in leaves])
        return [self.lift(y, call.name) if d else y for y, d in zip(results, depends)]


def transpose(f: Callable[[Any], Any], zeros: Any, remedy: str) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """The transpose of a linear function of a tree, given zeros like its argument; and a function that unwraps what f
    has computed besides its result.

    Raises MissingRuleError, whose message ends with `remedy`, if Python code, a loop or a choice in f reads values of
    what depends on its argument. Values that are selected element by element, as by where, are not checked.
    """
    with Linear(remedy) as level:
        _, pullback = vjp(f, tree.map(level.lift, zeros))

    def transposed(g: Any) -> Any:
        with level.again() as again:  # what the tape kept of a function that is not linear after all is wrapped
            return tree.map(again.lower, pullback(g)[0])

    return transposed, level.lower
