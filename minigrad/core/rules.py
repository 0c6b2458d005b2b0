"""Four ways to state a derivative once, for forward and reverse mode together.

A primitive computes y = f(x₁, …, xₙ); t is the tangent of an argument, g the cotangent of y. Use the first form that
fits:

    partials(f, x=∂y/∂x, …)      elementwise: ẏ = Σ ∂ᵢ·tᵢ, and x̄ᵢ = ∂ᵢ·g summed back to the shape of xᵢ
                                 (∂ᵢ may be a boolean mask, or the constant 1 or -1; a function with a parameter `t`,
                                 a tangent or cotangent, returns ∂ᵢ·t: t / x may be in range where 1 / x is not)
    linear(f, x=transpose, …)    f is linear in these arguments together: ẏ = f(t), and x̄ = transpose(g)
    bilinear(f, x=…, w=…)        f is linear in each argument alone: ẏ = f(tₓ, w) + f(x, t_w); x̄ and w̄ from transposes
    custom(f, x=(jvp, vjp), …)   everything else: both directions side by side, one pair per argument

A *statement* is a function whose parameter names select its inputs: arguments and parameters of the forward formula,
`y` for the result, `g` or `t`. The tape keeps only the values that statements select in reverse mode. Where a transpose
needs only shape and dtype, it receives a `Shaped`. Partial derivatives receive arguments converted to the dtype of y,
so that they are not computed in a narrower one; the other forms combine arguments with g or t, which promotes them. If
y is bfloat16, partial derivatives and custom statements compute in float32. None states that an argument has no
derivative; a primitive without a rule raises MissingRuleError. Statements are written with operations, so they can be
differentiated themselves.

Complex numbers: derivatives are linear over the reals, and a cotangent is paired with a tangent by Re Σ g·t, without a
conjugate, as in JAX. So

    y = f(x) holomorphic      ẏ = f′·t                  x̄ = f′·g     the plain transpose
    y complex, x real         ẏ = ∂·t                   x̄ = Re ∂·g   `cast` takes the real part
    y real, x complex         ẏ = Re ∂·t (`cast` too)   x̄ = ∂·g      for |x|, ∂ is the conjugate of x/|x|

and the gradient of a real y with respect to x = a + ib is ∂y/∂a − i ∂y/∂b; y grows fastest along its conjugate.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from minigrad.backends.dtypes import FLOAT32, is_bfloat16
from minigrad.core.arrays import dtype_of, shape_of
from minigrad.core.errors import MissingRuleError
from minigrad.core.interpreter import Primitive
from minigrad.core.vectors import (
    add_p,
    astype_discrete_p,
    astype_p,
    broadcast,
    broadcast_to_p,
    cast,
    concatenate_p,
    copy_p,
    multiply_p,
    negative_p,
    promote,
    real_p,
    reshape_p,
    sum_back,
    sum_to_p,
    transpose_p,
    where_p,
    zero_tangent,
    zeros_like_p,
)


class Statement:
    """A function whose parameter names (`asks`) select the quantities it is called with."""

    __slots__ = ("asks", "function")

    def __init__(self, function: Callable):
        self.function, self.asks = function, tuple(inspect.signature(function).parameters)

    def __call__(self, known: dict[str, Any]) -> Any:
        return self.function(*[known[name] for name in self.asks])


class Residuals(NamedTuple):
    """Which arguments of a call get a cotangent, and which values reverse mode keeps for that."""

    wanted: tuple[bool, ...]  # arguments that get a cotangent
    keeps: tuple[bool, ...]  # arguments whose value the rule needs
    keeps_result: bool


class Rule:
    """A derivative: `jvp` pushes tangents forward, `vjp` pulls a cotangent back. None always stands for zero."""

    variadic = False

    def __init__(self, primitive: Primitive, statements: dict[str, Callable | int | None]):
        self.primitive = primitive
        self.names, self.defaults, known = _read_signature(primitive.forward)
        self.statements = {n: Statement(s) if callable(s) else s for n, s in statements.items()}
        self.constant = not self.variadic and all(s is None for s in statements.values())  # it has no derivative
        self._residuals: dict[tuple[bool, ...], Residuals | None] = {}
        for name, statement in self.statements.items():
            unknown = set(getattr(statement, "asks", ())) - known - {"y", "g", "t"}
            if name not in self.names or unknown:
                raise ValueError(f"the rule of '{primitive.name}' refers to {unknown or name}; the formula has {known}")
            if not callable(statements[name]) and statements[name] not in (None, 1, -1):
                raise ValueError(f"the rule of '{primitive.name}' states {name}={statements[name]}; use a function")
        missing = [name for name in self.names if name not in statements]
        if statements and missing:
            raise ValueError(f"the rule of '{primitive.name}' lacks {missing}; state None where there is no derivative")

    def differentiable(self, position: int) -> bool:
        """Whether the argument at this position has a derivative."""
        return self.variadic or self.statements.get(self.names[position]) is not None

    def residuals(self, traced: tuple[bool, ...]) -> Residuals | None:
        """What reverse mode keeps from a call with these arguments traced; None if none has a derivative."""
        try:
            return self._residuals[traced]
        except KeyError:
            wanted = tuple(t and self.differentiable(i) for i, t in enumerate(traced))
            self._residuals[traced] = Residuals(wanted, *self.needs(wanted)) if any(wanted) else None
            return self._residuals[traced]

    def needs(self, wanted: tuple[bool, ...]) -> tuple[tuple[bool, ...], bool]:
        """The arguments whose value reverse mode needs for the `wanted` cotangents; whether it needs the result."""
        needed: set[str] = set()
        for name, want in zip(self.names, wanted):
            if want:
                needed |= set(getattr(self.statements[name], "asks", ())) - self.shape_only(name)
        return tuple(n in needed for n in self.names), "y" in needed

    def shape_only(self, name: str) -> set[str]:
        """The arguments of which the statement for `name` needs only shape and dtype."""
        return set()

    def jvp(self, args: Sequence, tangents: Sequence, y: Any, params: dict) -> Any:
        """The tangent of y, or None."""
        known = {**self.defaults, **dict(zip(self.names, args)), "y": y, **params}
        total = None
        for position, tangent in enumerate(tangents):
            if tangent is not None:
                term = self.push(position, tangent, known, args, params)
                total = term if total is None else add_p(total, term)
        return total

    def vjp(self, g: Any, args: Sequence, wanted: tuple[bool, ...], y: Any, params: dict) -> list:
        """One cotangent per argument, None where not wanted."""
        known = {**self.defaults, **dict(zip(self.names, args)), "y": y, "g": g, **params}
        return [self.pull(i, g, known, args, params) if want else None for i, want in enumerate(wanted)]

    def push(self, position: int, t: Any, known: dict, args: Sequence, params: dict) -> Any:
        """The contribution of one argument's tangent to the tangent of y."""
        raise NotImplementedError

    def pull(self, position: int, g: Any, known: dict, args: Sequence, params: dict) -> Any:
        """The cotangent of one argument."""
        return self.statements[self.names[position]](known)


def _in_float32(known: dict, asks: Sequence[str]) -> dict:
    """The known values, with those that a statement asks for in float32 if they are bfloat16: it computes in float32,
    and the result is rounded once."""
    narrow = [name for name in asks if is_bfloat16(getattr(known[name], "dtype", FLOAT32))]
    return {**known, **{name: astype_p(known[name], dtype=FLOAT32) for name in narrow}}


class Elementwise(Rule):
    """ẏ = Σ ∂ᵢ·tᵢ; x̄ᵢ = ∂ᵢ·g, summed over the axes that were broadcast."""

    def push(self, position: int, t: Any, known: dict, args: Sequence, params: dict) -> Any:
        return broadcast(self._scale(position, known, t), shape_of(known["y"]))

    def pull(self, position: int, g: Any, known: dict, args: Sequence, params: dict) -> Any:
        return sum_back(self._scale(position, known, g), shape_of(args[position]))

    def _scale(self, position: int, known: dict, vector: Any) -> Any:
        partial = self.statements[self.names[position]]
        if isinstance(partial, int):
            return vector if partial == 1 else negative_p(vector)
        known["t"], dtype = vector, dtype_of(known["y"])
        if dtype.kind == "V":  # bfloat16
            dtype, known = FLOAT32, _in_float32(known, partial.asks)
        for name in partial.asks:
            if name in self.names:
                known[name] = promote(known[name], dtype)
        slope = partial(known)
        if "t" in partial.asks:
            return slope
        if dtype_of(slope).kind == "b":  # select, since multiplying an infinite vector by a mask gives 0·∞
            return where_p(slope, vector, 0)
        return multiply_p(slope, vector)


class Linear(Rule):
    """Linear in all stated arguments together: ẏ is the primitive applied to the tangents."""

    def jvp(self, args: Sequence, tangents: Sequence, y: Any, params: dict) -> Any:
        if all(t is None for t in tangents):
            return None
        filled = list(args)
        for i, (arg, t) in enumerate(zip(args, tangents, strict=True)):
            if self.differentiable(i):
                filled[i] = zero_tangent(arg) if t is None else t
        return self.primitive(*filled, **params)

    def shape_only(self, name: str) -> set[str]:
        return {n for n, statement in self.statements.items() if statement is not None}


class Bilinear(Rule):
    """Linear in each stated argument alone: ẏ sums the primitive with one argument replaced by its tangent."""

    def push(self, position: int, t: Any, known: dict, args: Sequence, params: dict) -> Any:
        return self.primitive(*args[:position], t, *args[position + 1 :], **params)

    def shape_only(self, name: str) -> set[str]:
        return {name}


class _Variadic:
    """For primitives with any number of arguments: one statement, `transpose(g, i, args, **params)`, for all."""

    variadic = True

    def __init__(self, primitive: Primitive, transpose: Callable):
        super().__init__(primitive, {})
        self.transpose = transpose

    def pull(self, position: int, g: Any, known: dict, args: Sequence, params: dict) -> Any:
        return self.transpose(g, position, args, **params)


class LinearVariadic(_Variadic, Linear):
    def needs(self, wanted: tuple[bool, ...]) -> tuple[tuple[bool, ...], bool]:
        return (False,) * len(wanted), False


class BilinearVariadic(_Variadic, Bilinear):
    def needs(self, wanted: tuple[bool, ...]) -> tuple[tuple[bool, ...], bool]:
        alone = sum(wanted) == 1  # the transpose for an argument does not use its value
        return tuple(not (alone and want) for want in wanted), False


class Custom(Rule):
    """A (jvp, vjp) pair for each argument."""

    def __init__(self, primitive: Primitive, pairs: dict[str, tuple[Callable, Callable] | None]):
        for name, pair in pairs.items():  # half a pair would give a silent zero in the other mode
            if pair is not None and [*map(callable, pair)] != [True, True]:
                raise ValueError(f"the rule of '{primitive.name}' states {name} in one mode only; write (jvp, vjp)")
        super().__init__(primitive, {n: pair and pair[1] for n, pair in pairs.items()})
        self.pushes = {n: pair and Statement(pair[0]) for n, pair in pairs.items()}

    def push(self, position: int, t: Any, known: dict, args: Sequence, params: dict) -> Any:
        return self._state(self.pushes[self.names[position]], known | {"t": t})

    def pull(self, position: int, g: Any, known: dict, args: Sequence, params: dict) -> Any:
        return self._state(self.statements[self.names[position]], known)

    def _state(self, statement: Statement, known: dict) -> Any:
        return statement(_in_float32(known, statement.asks) if dtype_of(known["y"]).kind == "V" else known)


def rule_of(primitive: Primitive, mode: str) -> Rule:
    """The rule of a primitive. Raises MissingRuleError, naming the primitive and the mode."""
    if primitive.rule is None:
        raise MissingRuleError(
            f"'{primitive.name}' has no derivative rule, so {mode} mode cannot pass through it: state one with "
            "minigrad.core (partials, linear, bilinear, custom), or apply mg.stop_gradient to its input"
        )
    return primitive.rule


def partials(primitive: Primitive, **statements: Callable[..., Any] | int | None) -> Primitive:
    """State the partial derivative for each argument of an elementwise primitive: a function, 1, -1 or None."""
    primitive.rule = Elementwise(primitive, statements)
    return primitive


def linear(
    primitive: Primitive, transpose: Callable[..., Any] | None = None, /, **statements: Callable[..., Any] | None
) -> Primitive:
    """State the transpose for each argument of a linear primitive, or one for any number of arguments."""
    primitive.rule = LinearVariadic(primitive, transpose) if transpose else Linear(primitive, statements)
    return primitive


def bilinear(
    primitive: Primitive, transpose: Callable[..., Any] | None = None, /, **statements: Callable[..., Any] | None
) -> Primitive:
    """State the transpose for each argument of a bilinear primitive, or one for any number of arguments."""
    primitive.rule = BilinearVariadic(primitive, transpose) if transpose else Bilinear(primitive, statements)
    return primitive


def custom(primitive: Primitive, **pairs: tuple[Callable[..., Any], Callable[..., Any]] | None) -> Primitive:
    """State (jvp, vjp) or None for each argument."""
    primitive.rule = Custom(primitive, pairs)
    return primitive


def constant(primitive: Primitive) -> Primitive:
    """State that a primitive has no derivative in any argument: comparisons, counts, rounding, random draws."""
    primitive.rule = Rule(primitive, {})
    return primitive


def _read_signature(forward: Callable) -> tuple[tuple[str, ...], dict[str, Any], set[str]]:
    """The array arguments of a forward formula (after the backend), the defaults of its parameters, and all names."""
    parameters = [p for p in list(inspect.signature(forward).parameters.values())[1:] if p.name != "out"]
    arguments = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
    defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is not p.empty}
    return arguments, defaults, {p.name for p in parameters}


# Rules of the operations in `minigrad.core.vectors`

partials(add_p, x1=1, x2=1)  # ẏ = ẋ₁ + ẋ₂
partials(negative_p, x=-1)  # ẏ = −ẋ
partials(multiply_p, x1=lambda x2: x2, x2=lambda x1: x1)  # ẏ = x₂·ẋ₁ + x₁·ẋ₂
linear(
    where_p,  # linear in both branches together, so a NaN in the branch not taken does not spread
    condition=None,
    x1=lambda g, condition, x1: sum_to_p(where_p(condition, g, 0), shape=x1.shape),
    x2=lambda g, condition, x2: sum_to_p(where_p(condition, 0, g), shape=x2.shape),
)
constant(zeros_like_p)
linear(broadcast_to_p, x=lambda g, x: sum_to_p(g, shape=x.shape))
linear(sum_to_p, x=lambda g, x: broadcast_to_p(g, shape=x.shape))
linear(astype_p, x=lambda g, x: cast(g, x))
linear(real_p, x=lambda g, x: cast(g, x))  # Re(g·Re t) = Re(g·t)
constant(astype_discrete_p)
linear(copy_p, x=lambda g: g)
linear(reshape_p, x=lambda g, x: reshape_p(g, shape=x.shape))
linear(transpose_p, x=lambda g, axes: transpose_p(g, axes=tuple(sorted(range(len(axes)), key=axes.__getitem__))))


def _concatenate_transpose(g: Any, i: int, xs: Sequence, *, axis: int) -> Any:
    """The part of g that belongs to the i-th array."""
    begin = sum(x.shape[axis] for x in xs[:i])
    return g[(slice(None),) * axis + (slice(begin, begin + xs[i].shape[axis]),)]


linear(concatenate_p, _concatenate_transpose)
