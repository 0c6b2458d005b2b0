"""A derivative of one's own for one function, instead of the derivative of the operations in it.

The decorated function is a call that interpreters see as a whole (`Interpreter.call`). A program, or a derivative that
does not reach its arguments, runs its operations. Forward mode runs its `jvp` and reverse mode its `vjp`; where only
one of them is stated, the other is its transpose, since both are linear in the tangents or cotangents:

    jvp  t ↦ J·t          vjp  g ↦ gᵀ·J, the transpose of t ↦ J·t, and the other way round

Both are written with operations, so they can be differentiated themselves.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Generic, ParamSpec, TypeVar

from minigrad.backends import NEUTRAL
from minigrad.core import tree
from minigrad.core.arguments import check_callable
from minigrad.core.arrays import describe, is_inexact, shape_of
from minigrad.core.batching import Call, fill
from minigrad.core.errors import MissingRuleError, OperandError, OperandTypeError
from minigrad.core.interpreter import current
from minigrad.core.transposition import transpose
from minigrad.core.vectors import cast, zero_tangent, zeros_like_p

P = ParamSpec("P")
Y = TypeVar("Y")


class custom_derivative(Generic[P, Y]):
    """A function with a derivative of its own, stated by decorators `jvp`, `vjp` or both.

    `@f.jvp` takes (primals, tangents), two tuples, and returns (y, y_dot), like `mg.jvp`. `@f.vjp` takes the arguments
    and returns (y, pullback), like `mg.vjp`; the pullback returns a tuple with a cotangent for each argument, None for
    zero. Arguments and results are trees; keyword arguments are passed on and have no derivative.
    `mg.checks.check_grads` checks the derivative against differences, and one mode against the other.

    Where only one is stated, the other mode is its transpose. A rule that reads the values of tangents or cotangents,
    such as a solver whose loop ends at a tolerance, has none: MissingRuleError says so. State both then, and also if
    the rule selects by these values (mg.where), which is not noticed.

    Traced values must be arguments: those that the function takes from outside have no derivative and raise
    EscapedTracerError. Arguments and results are guarded against changes before the derivative is computed; a plain
    array from outside that a pullback reads is not, so do not change it. A missing derivative raises MissingRuleError,
    one that does not fit ValueError or TreeError.

    >>> import minigrad as mg
    >>> @mg.custom_derivative
    ... def log1pexp(x):
    ...     return mg.log(1 + mg.exp(x))
    >>> @log1pexp.jvp
    ... def _(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return log1pexp(x), t * mg.sigmoid(x)
    >>> float(mg.grad(log1pexp)(0.0)), float(mg.grad(log1pexp)(100.0))
    (0.5, 1.0)
    """

    def __init__(self, f: Callable[P, Y]):
        check_callable(f, "custom_derivative")
        functools.update_wrapper(self, f)
        self.function, self.push_rule, self.pull_rule = f, None, None

    def jvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """State the derivative for forward mode: rule(primals, tangents) -> (y, y_dot)."""
        self.push_rule = rule
        return rule

    def vjp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """State the derivative for reverse mode: rule(*primals) -> (y, pullback)."""
        self.pull_rule = rule
        return rule

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Y:
        leaves, structure = tree.flatten(args)
        call = CustomCall(self, structure, kwargs)
        for x in leaves:
            if not isinstance(x, NEUTRAL) and not hasattr(x, "dtype"):
                raise OperandTypeError(
                    f"{call.name}: a positional argument contains {describe(x)}, which is not an array: pass it by "
                    "keyword"
                )
        results = current().call(call, leaves)
        return tree.unflatten(call.result_structure, results)


class CustomCall(Call):
    """A call of a function with its own derivative, on the leaves of its arguments, for `Interpreter.call`."""

    def __init__(self, custom: custom_derivative, structure: tree.Structure, options: dict[str, Any]):
        self.custom, self.structure, self.options = custom, structure, options
        self.result_structure = tree.LEAF  # known after a run

    @property
    def name(self) -> str:
        return getattr(self.custom, "__name__", type(self.custom.function).__name__)

    @property
    def reads_results(self) -> bool:
        return self.custom.pull_rule is not None

    def __call__(self, *leaves: Any) -> list:
        """The results that have a derivative, like an operation on the leaves."""
        return [y for y in current().call(self, leaves) if is_inexact(y)]

    def run(self, leaves: Sequence) -> list:
        """The leaves of the result, by the operations of the function."""
        return self._read(self.custom.function(*self._arguments(leaves), **self.options))

    def push(self, leaves: Sequence, tangents: Sequence) -> tuple[list, list]:
        """The leaves of the result and their tangents; a tangent of an argument is None for zero."""
        self._check_stated()
        if self.custom.push_rule is None:
            return self._push_by_transposition(leaves, tangents)
        filled = [zero_tangent(x) if t is None else t for x, t in zip(leaves, tangents)]
        return self._push(leaves, filled)

    def pull(self, leaves: Sequence, wanted: Sequence[bool]) -> tuple[list, Callable]:
        """The leaves of the result, and the pullback of a list of cotangents, with None for zero in its result."""
        self._check_stated()
        if self.custom.pull_rule is None:
            return self._pull_by_transposition(leaves)
        found = self.custom.pull_rule(*self._arguments(leaves), **self.options)
        y, pullback = self._pair(found, "vjp", "(y, pullback)")
        results = self._read(y)

        def pull_leaves(cotangents: Sequence) -> list:
            pulled = pullback(tree.unflatten(self.result_structure, list(cotangents)))
            if not isinstance(pulled, tuple) or len(pulled) != len(self.structure.children):
                raise OperandTypeError(
                    f"{self.name}: the pullback of its vjp must return a tuple with one cotangent for each of "
                    f"{len(self.structure.children)} arguments, got {describe(pulled)}"
                )
            return [
                None if g is None or not is_inexact(x) else self._fit(g, x, "cotangent", "its argument")
                for g, x in zip(self._cotangent_leaves(pulled), leaves, strict=True)
            ]

        return results, pull_leaves

    def _check_stated(self) -> None:
        if self.custom.push_rule is None and self.custom.pull_rule is None:
            raise MissingRuleError(
                f"{self.name} has no derivative: state one with @{self.name}.jvp or @{self.name}.vjp"
            )

    def _push(self, leaves: Sequence, tangents: Sequence) -> tuple[list, list]:
        """What the stated jvp returns."""
        rule = self.custom.push_rule
        found = rule(self._arguments(leaves), self._arguments(tangents), **self.options)
        y, y_dot = self._pair(found, "jvp", "(y, y_dot)")
        results = self._read(y)
        dots = tree.leaves_like(self.result_structure, y_dot, f"{self.name}: the tangent that its jvp returns")
        return results, [self._fit(t, x, "tangent", "the result") for t, x in zip(dots, results, strict=True)]

    def _push_by_transposition(self, leaves: Sequence, tangents: Sequence) -> tuple[list, list]:
        """The pullback is linear in the cotangents: its transpose pushes tangents."""
        results, pullback = self.pull(leaves, [True] * len(leaves))
        zeros = [zeros_like_p(y) for y in results]
        given = [i for i, t in enumerate(tangents) if t is not None]

        def pull_given(cotangents: list) -> list:
            pulled = pullback(fill(zeros, moving, cotangents))
            return [zeros_like_p(leaves[i]) if pulled[i] is None else pulled[i] for i in given]

        moving = _find_inexact(results)
        push, _ = transpose(pull_given, [zeros[i] for i in moving], self._state("vjp", "cotangents", "jvp"))
        return results, fill(zeros, moving, push([tangents[i] for i in given]))

    def _pull_by_transposition(self, leaves: Sequence) -> tuple[list, Callable]:
        """The tangents of the result are linear in those of the arguments: the transpose pulls cotangents back."""
        moving, zeros, results = _find_inexact(leaves), [zero_tangent(x) for x in leaves], []

        def push_moving(tangents: list) -> list:
            results[:], dots = self._push(leaves, fill(zeros, moving, tangents))
            return dots

        first = [zeros_like_p(leaves[i]) for i in moving]
        pullback, lower = transpose(push_moving, first, self._state("jvp", "tangents", "vjp"))

        def pull_moving(cotangents: Sequence) -> list:
            return fill([None] * len(leaves), moving, pullback(list(cotangents)))

        return [lower(y) for y in results], pull_moving

    def _state(self, stated: str, vectors: str, missing: str) -> str:
        return (
            f"{self.name} states its {stated} alone, which is transposed, so nothing may depend on the values of its "
            f"{vectors}: state its {missing}, too"
        )

    def _arguments(self, leaves: Sequence) -> tuple:
        return tree.unflatten(self.structure, list(leaves))

    def _read(self, y: Any) -> list:
        """The leaves of a result, whose structure is remembered."""
        leaves, self.result_structure = tree.flatten(y)
        return leaves

    def _pair(self, found: Any, rule: str, expected: str) -> tuple:
        if not isinstance(found, tuple) or len(found) != 2:
            raise OperandTypeError(f"{self.name}: its {rule} must return {expected}, got {describe(found)}")
        return found

    def _cotangent_leaves(self, found: tuple) -> list:
        """The leaves of the cotangents of all arguments; None for those of an argument whose cotangent is None."""
        leaves: list = []
        for child, g in zip(self.structure.children, found, strict=True):
            what = f"{self.name}: a cotangent that its vjp returns"
            leaves += [None] * child.leaves if g is None else tree.leaves_like(child, g, what)
        return leaves

    def _fit(self, t: Any, x: Any, what: str, like: str) -> Any:
        """A tangent or cotangent in the dtype of what it belongs to. Raises OperandError if its shape differs."""
        if shape_of(t) != shape_of(x):
            raise OperandError(f"{self.name}: its derivative returns the {what} {describe(t)} for {like} {describe(x)}")
        return cast(t, x) if is_inexact(x) else t


def _find_inexact(leaves: Sequence) -> list[int]:
    """The positions of leaves that have a derivative."""
    return [i for i, x in enumerate(leaves) if is_inexact(x)]
