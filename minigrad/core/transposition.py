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


class UnreadableError(MissingRuleError, OperandTypeError):
    """A function that is to be transposed depends on the values of its argument."""


class LinearTracer(Tracer):
    """A value that stands for any: operations may take it, but nothing may read it."""

    __slots__ = ()

    def read_value(self, use: str) -> Any:
        raise UnreadableError(f"{use} of a value made by {self.origin}: {self.level.remedy}")


class Linear(Interpreter):
    """Runs each primitive one level down, and wraps what depends on a wrapped value, booleans and integers, too."""

    def __init__(self, remedy: str) -> None:
        self.level = self  # a traced value leads to the remedy, which ends the message of an error
        self.remedy = remedy

    def lift(self, x: Any, name: str = "input") -> LinearTracer:
        return LinearTracer(x, self, Origin(name))

    def lower(self, x: Any) -> Any:
        return x._value if self.wraps(x) else x

    def wraps(self, x: Any) -> bool:
        return type(x) is LinearTracer and x.level is self

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        y = self.parent.process(primitive, [self.lower(x) for x in args], params)
        return self.lift(y, primitive.name) if any(map(self.wraps, args)) else y

    def call(self, call: Any, leaves: Sequence[Any]) -> list[Any]:
        if call.branches and any(map(self.wraps, leaves)):
            return call.run(leaves)
        results = self.parent.call(call, [self.lower(x) for x in leaves])
        return [self.lift(y, call.name) for y in results] if any(map(self.wraps, leaves)) else results


def transpose(f: Callable[[Any], Any], zeros: Any, remedy: str) -> Callable[[Any], Any]:
    """The transpose of a linear function of a tree, given zeros like its argument.

    Raises MissingRuleError, whose message ends with `remedy`, if anything in f depends on values of its argument.
    """
    level = Linear(remedy)
    with level:
        _, pullback = vjp(f, tree.map(level.lift, zeros))

    def transposed(g: Any) -> Any:
        with level:  # what the tape kept of a function that is not linear after all is wrapped
            return tree.map(level.lower, pullback(g)[0])

    return transposed
