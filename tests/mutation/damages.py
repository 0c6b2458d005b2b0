"""Mutants of the inputs and outputs of rules: one direction of a rule, for one argument, gets or returns wrong values.

These are mistakes that a change of the rule's text cannot make: operands permuted in memory, values of an earlier call,
a missing sum over broadcast axes, slopes that the next derivative sees as constants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import minigrad as mg
from minigrad.core.arrays import Shaped, shape_of
from minigrad.core.interpreter import Tracer, primitives
from minigrad.core.rules import Bilinear, Custom, Elementwise, Linear, Rule, Statement

FIRST, REST = "xs[0]", "xs[1:]"  # the arguments of a variadic operation


class Call(NamedTuple):
    """The contribution of an argument to a derivative: `right(values)`, with values (and `g` or `t`) by name."""

    rule: Rule
    position: int
    values: dict[str, Any]
    params: frozenset[str]
    right: Callable[[dict[str, Any]], Any]

    def after(self, damage: Callable) -> Any:
        """The contribution, damaged."""
        return damage(self.right(self.values))

    def before(self, name: str, damage: Callable) -> Any:
        """The contribution from a damaged value; `xs` stands for all arguments of a variadic operation."""
        damaged = {n: damage(x) for n, x in self.values.items() if n == name or (name == "xs" and n.startswith("xs["))}
        return self.right({**self.values, **damaged})


class Damage(NamedTuple):
    """A kind of mistake, its details, and the wrong contribution."""

    kind: str
    what: str
    contribution: Callable[[Call], Any]


# Rules, one argument and one direction at a time


def argument(rule: Rule, position: int) -> str:
    """The name of an argument."""
    return (REST if position else FIRST) if rule.variadic else rule.names[position]


def arguments(rule: Rule) -> list[str]:
    """The arguments of a rule that have a derivative."""
    return [FIRST, REST] if rule.variadic else [n for n, s in rule.statements.items() if s is not None]


def damage_rule(rule: Rule, name: str, direction: str, wrong: Callable[[Call], Any]) -> None:
    """Replaces one argument's contribution to one direction ("vjp" or "jvp") of a rule by `wrong(call)`."""
    if direction == "vjp":
        _wrap_method(rule, name, "pull", "g", wrong)
    elif isinstance(rule, Linear):
        _wrap_linear_jvp(rule, name, wrong)
    else:
        _wrap_method(rule, name, "push", "t", wrong)


def watch(rule: Rule, report: Callable[[str, str], Any]) -> None:
    """From now on, call `report(argument, direction)` for every contribution that a rule computes."""
    pull, jvp = rule.pull, rule.jvp

    def watched_pull(position, *rest):
        report(argument(rule, position), "vjp")
        return pull(position, *rest)

    def watched_jvp(args, tangents, *rest):
        for position, t in enumerate(tangents):
            if t is not None:
                report(argument(rule, position), "jvp")
        return jvp(args, tangents, *rest)

    rule.pull, rule.jvp = watched_pull, watched_jvp


def _by_name(rule: Rule, args: Any) -> dict[str, Any]:
    return {f"xs[{i}]": x for i, x in enumerate(args)} if rule.variadic else dict(zip(rule.names, args))


def _wrap_method(rule: Rule, name: str, method: str, vector: str, wrong: Callable[[Call], Any]) -> None:
    """Wraps `pull(position, g, …)` or `push(position, t, …)`."""
    right = getattr(rule, method)

    def damaged(position, v, known, args, params):
        if argument(rule, position) != name:
            return right(position, v, known, args, params)
        named = _by_name(rule, args)

        def run(values):
            given = {k: values[k] for k in params}
            return right(position, values[vector], values, [values[n] for n in named], given)

        return wrong(Call(rule, position, {**known, **named, vector: v}, frozenset(params), run))

    setattr(rule, method, damaged)


def _wrap_linear_jvp(rule: Rule, name: str, wrong: Callable[[Call], Any]) -> None:
    """A linear rule pushes all tangents at once; the contribution of one of them is the operation on it alone."""
    right = rule.jvp

    def jvp(args, tangents, y, params):
        named, total = _by_name(rule, args), None
        for i, t in enumerate(tangents):
            alone = [t if i == j else None for j in range(len(tangents))]
            if t is None:
                continue
            if argument(rule, i) != name:
                term = right(args, alone, y, params)
            else:

                def run(values, i=i):
                    alone = [values["t"] if i == j else None for j in range(len(tangents))]
                    return right([values[n] for n in named], alone, y, {k: values[k] for k in params})

                values = {**rule.defaults, **params, **named, "t": t}
                term = wrong(Call(rule, i, values, frozenset(params), run))
            total = term if total is None else mg.add(total, term)
        return total

    rule.jvp = jvp


def operands(rule: Rule, name: str, direction: str) -> list[str]:
    """The names of the arrays that a contribution is computed from, tangent or cotangent first; no metadata."""
    vector = "g" if direction == "vjp" else "t"
    if rule.variadic:
        return [vector, "xs"] if isinstance(rule, Bilinear) else [vector]
    if direction == "jvp" and isinstance(rule, Linear):
        asks = [n for n, s in rule.statements.items() if s is None]
    elif direction == "jvp" and isinstance(rule, Bilinear):
        asks = [n for n in rule.names if n != name]
    else:
        statement = rule.pushes[name] if direction == "jvp" and isinstance(rule, Custom) else rule.statements[name]
        shape_only = rule.shape_only(name) if direction == "vjp" else set()
        asks = [a for a in getattr(statement, "asks", ()) if a in (*rule.names, "y") and a not in shape_only]
    return [vector, *asks]


def parameters(rule: Rule, name: str, direction: str) -> list[str]:
    """The names of the metadata (axes, shapes, strides) that a contribution is computed from."""
    if rule.variadic or (direction == "jvp" and isinstance(rule, (Linear, Bilinear))):
        asks = set(_all_parameters(rule))
    else:
        statement = rule.pushes[name] if direction == "jvp" and isinstance(rule, Custom) else rule.statements[name]
        asks = set(statement.asks) if isinstance(statement, Statement) else set()
    return [p for p in _all_parameters(rule) if p in asks]


def _all_parameters(rule: Rule) -> list[str]:
    code = rule.primitive.forward.__code__
    begin = code.co_argcount
    return [n for n in code.co_varnames[begin : begin + code.co_kwonlyargcount] if n != "out"]


# Mistakes


def _on_arrays(damage: Callable) -> Callable:
    """Applies a damage to arrays only, not to shapes and numbers."""
    return lambda x: x if isinstance(x, Shaped) or not shape_of(x) else damage(x)


@_on_arrays
def _reverse(x: Any) -> Any:
    return mg.flip(x)


@_on_arrays
def _transpose(x: Any) -> Any:
    """Exchanges the last two axes but keeps the shape, so that only the numbers are wrong."""
    return mg.reshape(mg.swapaxes(x, -1, -2), shape_of(x)) if len(shape_of(x)) > 1 else x


def _freeze(x: Any) -> Any:
    return mg.stop_gradient(x) if isinstance(x, Tracer) else x


def _keep_first() -> Callable:
    """A damage that returns the array of the first call with this type, shape and dtype."""
    first: dict[tuple, Any] = {}

    def damage(x: Any) -> Any:
        if isinstance(x, (Shaped, Tracer)) or not hasattr(x, "dtype"):
            return x
        return first.setdefault((type(x), x.shape, x.dtype), x)

    return damage


def _skip_sum(call: Call) -> Any:
    return call.rule._scale(call.position, call.values, call.values["g"])


def _take_first(call: Call) -> Any:
    """Takes the first of the elements that broadcasting repeated: the right shape, but no sum."""
    x, shape = _skip_sum(call), shape_of(call.values[call.rule.names[call.position]])
    lead = len(shape_of(x)) - len(shape)
    index = [slice(0, 1) if n == 1 else slice(None) for n in shape]
    return mg.reshape(x[(*[0] * lead, *index)], shape) if shape_of(x) != shape else x


def _skip_broadcast(call: Call) -> Any:
    return call.rule._scale(call.position, call.values, call.values["t"])


def _shift_metadata(name: str) -> Callable[[Call], Any]:
    """Metadata shifted by one axis: an axis plus one, tuples with an entry per axis rotated."""

    def contribution(call: Call) -> Any:
        ndim = max([len(shape_of(x)) for n, x in call.values.items() if n not in call.params and hasattr(x, "shape")])

        def damage(value: Any) -> Any:
            if isinstance(value, bool):
                return not value
            if isinstance(value, int):
                return (value + 1) % max(ndim, 1)
            if name == "axes" and call.rule.primitive.name != "transpose":
                return tuple((a + 1) % max(ndim, 1) for a in value)
            if isinstance(value, str):  # einsum: the letters of the last operand
                head, _, last = value.partition("->")[0].rpartition(",")
                return f"{head}{',' if head else ''}{last[::-1]}->{value.partition('->')[2]}"
            return (*value[1:], *value[:1])

        return call.before(name, damage)

    return contribution


def damages(rule: Rule, name: str, direction: str) -> Iterator[Damage]:
    """Every mistake in one direction of a rule, for one argument."""
    yield Damage("scaled", "× 1.001", lambda call: call.after(lambda x: x * 1.001))
    yield Damage("sign", "× −1", lambda call: call.after(lambda x: -x))
    yield Damage("dropped", "lost", lambda call: call.after(mg.zeros_like))
    yield Damage("order", "backwards", lambda call: call.after(_reverse))
    for operand in operands(rule, name, direction):
        differentiable = operand in ("g", "t", "y", "xs") or rule.statements[operand] is not None
        yield Damage("transposed", operand, lambda call, operand=operand: call.before(operand, _transpose))
        if differentiable:
            yield Damage("frozen", operand, lambda call, operand=operand: call.before(operand, _freeze))
        if operand not in ("g", "t"):
            stale = _keep_first()
            yield Damage("stale", operand, lambda call, operand=operand, stale=stale: call.before(operand, stale))
    for parameter in parameters(rule, name, direction):
        if parameter != "dtype":
            yield Damage("axis", parameter, _shift_metadata(parameter))
    broadcasts = isinstance(rule, Elementwise) and len(rule.names) > 1
    if broadcasts and direction == "vjp":
        yield Damage("broadcast", "not summed", _skip_sum)
        yield Damage("broadcast", "one of the sum", _take_first)
    if broadcasts and direction == "jvp":
        yield Damage("broadcast", "not spread", _skip_broadcast)


def differentiable_rules() -> dict[str, Rule]:
    """The rules of all operations of minigrad that have a derivative."""
    return {
        name: p.rule
        for name, p in primitives.items()
        if p.forward.__module__.startswith("minigrad.") and p.rule is not None and not p.rule.constant
    }
