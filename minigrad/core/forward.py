"""Forward mode: every traced value carries its tangent, and each primitive pushes tangents through its rule.

    y = f(x),  ẏ = J_f ẋ

One pass computes both, at about twice the cost of f, and stores nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad.core.arrays import is_inexact, shape_of
from minigrad.core.interpreter import Interpreter, Primitive, Tracer, refuse_traced
from minigrad.core.origin import Origin
from minigrad.core.rules import rule_of
from minigrad.core.vectors import cast


class ForwardTracer(Tracer):
    """A value with its tangent."""

    __slots__ = ("tangent",)

    def __init__(self, value: Any, level: object, origin: Origin, tangent: Any):
        super().__init__(value, level, origin)
        self.tangent = tangent


class Forward(Interpreter):
    """Runs each primitive one level down and pushes tangents through its rule."""

    def __init__(self) -> None:
        self.level = object()

    def lift(self, value: Any, tangent: Any) -> ForwardTracer:
        """A traced input that carries the tangent."""
        return ForwardTracer(value, self.level, Origin("input"), tangent)

    def lower(self, x: Any) -> tuple[Any, Any]:
        """(value, tangent) of x; the tangent is None if x does not depend on the inputs."""
        if isinstance(x, ForwardTracer) and x.level is self.level:
            return x._value, x.tangent
        return x, None

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        pairs = [self.lower(arg) for arg in args]
        values, tangents = [p[0] for p in pairs], [p[1] for p in pairs]
        y = self.parent.process(primitive, values, params)
        if all(t is None for t in tangents):
            return y
        rule = rule_of(primitive, "forward")
        tangents = [t if t is not None and rule.differentiable(i) else None for i, t in enumerate(tangents)]
        if rule.constant or all(t is None for t in tangents):
            return y
        tangent = rule.jvp(values, tangents, y, params)
        if shape_of(tangent) != shape_of(y):
            raise AssertionError(f"the jvp of '{primitive.name}' has shape {shape_of(tangent)}, expected {shape_of(y)}")
        return ForwardTracer(y, self.level, Origin(primitive.name), cast(tangent, y))

    def call(self, call: Any, leaves: Sequence[Any]) -> list[Any]:
        values, tangents = zip(*map(self.lower, leaves)) if leaves else ((), ())
        traced = any(t is not None for t in tangents)
        results, dots = call.push(values, tangents) if traced else (self.parent.call(call, values), ())
        refuse_traced(call, [y.origin for y in results if self.lower(y)[1] is not None])
        if not traced:
            return results
        return [
            y if t is None or not is_inexact(y) else ForwardTracer(y, self.level, Origin(call.name), t)
            for y, t in zip(results, dots, strict=True)
        ]
