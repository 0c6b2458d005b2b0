"""All mutants: every damage to every rule, each with a name, a place in the source and a function that applies it."""

from __future__ import annotations

import ast
import functools
import os
from collections.abc import Callable, Collection, Hashable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import minigrad as mg
from minigrad.core import rules, vectors
from minigrad.core.interpreter import Primitive, Tracer
from minigrad.core.rules import Custom, Rule, Statement

from . import damages, source

KINDS = {
    "scaled": "a contribution × 1.001",
    "sign": "a minus sign too many, or too few",
    "dropped": "zeros instead of a contribution",
    "order": "the right numbers in reverse order",
    "transposed": "g, t or a matrix that a rule reads, transposed but in its old shape",
    "frozen": "a value that a rule reads treated as a constant: right to first order only",
    "stale": "a value that a rule reads taken from the first call with the same shapes",
    "broadcast": "no sum, or only a part, over broadcast axes; a tangent not broadcast",
    "axis": "metadata shifted by one axis: axes, shapes, strides, pads, subscripts",
    "term": "source: of a + b, a − b, a·b, a / b only a or only b",
    "operator": "source: + and −, · and / exchanged",
    "constant": "source: a number slightly changed, a flag negated",
    "comparison": "source: > for ≥, = for ≠, and for or, tril for triu",
    "operand": "source: another argument of the operation in place of one, or two exchanged",
    "call": "source: f(x, w) replaced by x, or by w",
    "branch": "source: a condition negated",
}
MACHINERY = "rules"  # the name of minigrad/core/rules.py in place of an operation


class Mutant(NamedTuple):
    """One damage. `owners` are the operations it may affect; `point` is what a test must execute to notice it."""

    owners: tuple[str, ...]
    subject: str  # operation, argument and direction; or the function
    kind: str
    what: str
    place: str  # file:line
    point: Hashable
    apply: Callable[[], None]

    @property
    def name(self) -> str:
        return f"{self.subject}: {self.kind}: {self.what}"


class Target(NamedTuple):
    """A function with code of rules; `statement` is set if it is the statement of `rule`."""

    owners: tuple[str, ...]
    subject: str
    function: FunctionType
    rule: Rule | None = None
    statement: Statement | None = None

    @property
    def others(self) -> tuple[str, ...]:
        """The names that the statement could read instead of its own."""
        return (*self.rule.names, "y") if self.rule is not None and not self.rule.variadic else ()


def owners() -> set[str]:
    """The names of the operations that have mutants, and MACHINERY."""
    return {*damages.differentiable_rules(), MACHINERY}


def all_mutants(of: Collection[str] = ()) -> list[Mutant]:
    """Every mutant, or every one that may affect one of these operations, in the order of the operations."""
    chosen = set(of) or owners()
    found = [*_mutate_rules(chosen), *_mutate_sources(chosen)]
    count: dict[str, int] = {}
    for i, mutant in enumerate(found):  # a text may occur twice in a function
        count[mutant.name] = count.get(mutant.name, 0) + 1
        if count[mutant.name] > 1:
            found[i] = mutant._replace(what=f"{mutant.what} (no. {count[mutant.name]})")
    return found


# Inputs and outputs of rules


def _mutate_rules(chosen: set[str]) -> Iterator[Mutant]:
    for operation, rule in damages.differentiable_rules().items():
        for name in damages.arguments(rule) if operation in chosen else ():
            for direction in ("vjp", "jvp"):
                for kind, what, wrong in damages.damages(rule, name, direction):
                    yield Mutant(
                        (operation,),
                        f"{operation}.{name} {direction}",
                        kind,
                        what,
                        place_of(rule),
                        (operation, name, direction),
                        functools.partial(damages.damage_rule, rule, name, direction, wrong),
                    )


def place_of(rule: Rule) -> str:
    """Where a rule is stated, as file:line."""
    functions = [f for _, f, _ in _statements(rule)]
    if functions:
        return _place(functions[0].__code__)
    code = rule.primitive.forward.__code__  # stated as 1 or -1, beside the call that names the operation
    for file in (code.co_filename, *map(str, sorted((Path(mg.__file__).parent / "ops").glob("*.py")))):
        for node in ast.walk(source.tree_of(file)):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                if node.args[0].value == rule.primitive.name:
                    return _line(file, node.lineno)
    return _place(code)


def _place(code: CodeType) -> str:
    return _line(code.co_filename, code.co_firstlineno)


def _line(file: str, line: int) -> str:
    return f"{os.path.relpath(file, Path(mg.__file__).parent.parent)}:{line}"


# The source of rules


def _mutate_sources(chosen: set[str]) -> Iterator[Mutant]:
    for target in targets():
        for change in source.changes(target.function, target.others) if chosen & {*target.owners} else ():
            yield Mutant(
                target.owners,
                target.subject,
                change.kind,
                f"{_shorten(change.before)} → {_shorten(change.after)}",
                _place(target.function.__code__),
                (target.subject, change.index),
                functools.partial(_apply, target, change),
            )


def _apply(target: Target, change: source.Change) -> None:
    asks = source.extended_arguments(target.function, change) if target.statement else None
    target.function.__code__ = source.mutate(target.function, change, asks)
    if target.statement and asks:
        target.statement.asks = asks
        target.rule._residuals.clear()


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:40]} … {text[-17:]}"


def targets() -> list[Target]:
    """Statements, the helper functions they call, and the methods of `minigrad.core.rules`."""
    found: list[Target] = []
    helpers: dict[FunctionType, list[str]] = {}
    for operation, rule in damages.differentiable_rules().items():
        for subject, function, statement in _statements(rule):
            found.append(Target((operation,), f"{operation}.{subject}", function, rule, statement))
            for helper in _helpers(function):
                helpers.setdefault(helper, []).append(operation)
    stated = {t.function for t in found}
    found += [Target(tuple(dict.fromkeys(o)), _title(f), f) for f, o in helpers.items() if f not in stated]
    return found + [Target((MACHINERY,), _title(f), f) for f in _machinery()]


def _title(function: FunctionType) -> str:
    module = function.__module__.rpartition(".")[2]
    return function.__qualname__ if module == MACHINERY else f"{module}.{function.__qualname__}"


def _statements(rule: Rule) -> list[tuple[str, FunctionType, Statement | None]]:
    """(argument and direction, function, statement) of each function that states a rule."""
    if rule.variadic:
        return [("xs vjp", rule.transpose, None)]
    both = " vjp" if isinstance(rule, Custom) else ""
    found = [(f"{n}{both}", s.function, s) for n, s in rule.statements.items() if isinstance(s, Statement)]
    if isinstance(rule, Custom):
        found += [(f"{n} jvp", s.function, s) for n, s in rule.pushes.items() if s]
    return found


def _helpers(function: FunctionType) -> list[FunctionType]:
    """The non-public functions of `minigrad.ops` that a statement calls, directly or indirectly."""
    public = {id(x) for x in (*vars(mg).values(), *vars(Tracer).values())}
    found: list[FunctionType] = []
    open_ = [function]
    while open_:
        current = open_.pop()
        for name in _names(current.__code__):
            value: Any = current.__globals__.get(name)
            if isinstance(value, Primitive) and value.rule.constant and not hasattr(mg, value.name):
                value, follow = value.forward, False  # a primitive used in rules only
            else:
                follow = True
            if not isinstance(value, FunctionType) or not value.__module__.startswith("minigrad.ops"):
                continue
            if id(value) not in public and value not in found and value is not function:
                found.append(value)
                open_ += [value] if follow else []
    return found


def _names(code: CodeType) -> set[str]:
    inner = [_names(c) for c in code.co_consts if isinstance(c, CodeType)]
    return set(code.co_names).union(*inner)


def _machinery() -> list[FunctionType]:
    """The methods of all kinds of rules, and the functions of `vectors` that they call."""
    kinds = [x for x in vars(rules).values() if isinstance(x, type) and x.__module__ == rules.__name__]
    methods = [m for kind in kinds for m in vars(kind).values()]
    methods = [m.fget if isinstance(m, property) else m for m in methods]
    return [
        m
        for m in [*methods, vectors.cast, vectors.promote, vectors.zero_tangent, vectors.broadcast, vectors.sum_back]
        if isinstance(m, FunctionType) and m.__module__.startswith("minigrad.core.") and m.__name__ != "__init__"
    ]
