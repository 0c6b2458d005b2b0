"""Mutants in the source: one expression of a derivative rule, changed.

A rule is a handful of lambdas and small functions. Each is located in its file, parsed with `ast`, changed in one place
and compiled again; the new code replaces the old in the *same* function object, so that every reference to the function
runs the mutant. Use this in a forked process, because the change is not undone.
"""

from __future__ import annotations

import ast
import copy
import functools
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import NamedTuple

import minigrad as mg

Function = ast.Lambda | ast.FunctionDef

MARK = "_reached_by_a_test"


class Change(NamedTuple):
    """One expression replaced by another; `index` is the position of the old one in `ast.walk` of the function."""

    index: int
    kind: str
    before: str
    after: str
    new: ast.expr


# Finding the source of a function


@functools.cache
def tree_of(file: str) -> ast.Module:
    """The syntax tree of a file."""
    with open(file, encoding="utf-8") as source:
        return ast.parse(source.read())


@functools.cache
def source_of(function: FunctionType) -> Function:
    """The syntax tree of a function. Raises LookupError unless its file contains it exactly once."""
    code = function.__code__
    spans = [((line, column), (end, stop)) for line, end, column, stop in code.co_positions() if column != stop]
    found = []
    for node in ast.walk(tree_of(code.co_filename)):
        if isinstance(node, ast.Lambda) and code.co_name == "<lambda>":
            first, last = (node.body.lineno, node.body.col_offset), (node.body.end_lineno, node.body.end_col_offset)
            fits = node.lineno == code.co_firstlineno and all(first <= a and b <= last for a, b in spans)
        elif isinstance(node, ast.FunctionDef):
            first = min([node.lineno, *[decorator.lineno for decorator in node.decorator_list]])
            fits = node.name == code.co_name and first == code.co_firstlineno
        else:
            continue
        names = tuple(a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs))
        if fits and names == code.co_varnames[: len(names)]:
            found.append(node)
    if len(found) != 1:
        raise LookupError(f"{code.co_filename}:{code.co_firstlineno}: {len(found)} functions could be {code.co_name}")
    return found[0]


def compile_function(node: Function, file: str) -> CodeType:
    """The code of a function from its syntax tree, without executing its module."""
    node = copy.deepcopy(node)
    name = "<lambda>"
    if isinstance(node, ast.FunctionDef):
        name, node.decorator_list, node.returns = node.name, [], None
        for argument in (*node.args.args, *node.args.kwonlyargs):
            argument.annotation = None
    body = [node if isinstance(node, ast.FunctionDef) else ast.copy_location(ast.Expr(node), node)]
    around = compile(ast.fix_missing_locations(ast.Module(body, [])), file, "exec", dont_inherit=True)
    return next(c for c in around.co_consts if isinstance(c, CodeType) and c.co_name == name)


def _replace(node: Function, new: dict[int, Callable[[ast.expr], ast.expr]]) -> Function:
    """A copy of a function in which `new[i]` is applied to the expression at index i."""
    node = copy.deepcopy(node)
    makers = {id(part): new[i] for i, part in enumerate(ast.walk(node)) if i in new}

    class Replace(ast.NodeTransformer):
        def visit(self, part: ast.AST) -> ast.AST:
            maker = makers.get(id(part))
            part = self.generic_visit(part)
            return ast.copy_location(maker(part), part) if maker else part

    return Replace().visit(node)


def mutate(function: FunctionType, change: Change, arguments: tuple[str, ...] | None = None) -> CodeType:
    """The code of a function with one change, and with new argument names if given."""
    node = _replace(source_of(function), {change.index: lambda old: copy.deepcopy(change.new)})
    if change.kind == "comparison" and isinstance(change.new, ast.Call) and isinstance(change.new.func, ast.Name):
        name = change.new.func.id  # the module of the rule may not import it
        function.__globals__.setdefault(name, getattr(mg, name, None))
    if arguments is not None:
        node.args.args = [ast.arg(name) for name in arguments]
    return compile_function(node, function.__code__.co_filename)


def mark_parts(function: FunctionType, indices: set[int]) -> CodeType:
    """The code of a function that calls MARK(id of the function, index) before each of these expressions."""

    def mark(index: int) -> Callable[[ast.expr], ast.expr]:
        def maker(old: ast.expr) -> ast.expr:
            said = ast.Call(ast.Name(MARK, ast.Load()), [ast.Constant(id(function)), ast.Constant(index)], [])
            return ast.Subscript(ast.Tuple([said, old], ast.Load()), ast.Constant(1), ast.Load())

        return maker

    return compile_function(_replace(source_of(function), {i: mark(i) for i in indices}), function.__code__.co_filename)


# Possible changes

_OPERATORS: dict[type, type] = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
_COMPARISONS: dict[type, type] = {
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_CONFUSED = {"greater": "greater_equal", "less": "less_equal", "logical_and": "logical_or", "equal": "not_equal"}
_CONFUSED |= {right: left for left, right in _CONFUSED.items()}
_CONFUSED |= {"tril": "triu", "max": "min", "maximum": "minimum", "sum": "max"}
# Calls that are not replaced by one of their arguments, which would be of another type.
_NO_PART = {"isinstance", "getattr", "len", "range", "tuple", "list", "set", "zip", "enumerate", "type", "sorted"}
_NO_PART |= {"shape_of", "dtype_of", "slice", "next", "any", "all"}
_SYMMETRIC = {"equal", "not_equal", "logical_and", "logical_or", "add", "multiply", "maximum", "minimum", "hypot"}
_SYMMETRIC |= {"result_type", "swapaxes"}
_ARITHMETIC = {"where", "divide", "multiply", "power", "maximum", "log", "log1p", "add", "subtract"}


@functools.cache
def changes(function: FunctionType, others: tuple[str, ...] = ()) -> list[Change]:
    """Every possible change of a function; `others` are names that may replace an argument."""
    found, seen = [], {_behaviour(function.__code__)}
    for index, part, parent in _parts(source_of(function)):
        for kind, new in _alternatives(part, parent, others):
            change = Change(index, kind, ast.unparse(part), ast.unparse(new), new)
            if kind == "comparison" and isinstance(new, ast.Call) and not _exists(part.func, new.func, function):
                continue
            code = mutate(function, change, extended_arguments(function, change))
            if _behaviour(code) not in seen:  # two texts may compile to the same code
                seen.add(_behaviour(code))
                found.append(change)
    return found


def _exists(called: ast.expr, other: ast.expr, function: FunctionType) -> bool:
    """Whether the function `other` is available in place of `called`, which may be a Python builtin."""
    if not isinstance(called, ast.Name):
        return True
    return called.id in function.__globals__ and (other.id in function.__globals__ or hasattr(mg, other.id))


def extended_arguments(function: FunctionType, change: Change) -> tuple[str, ...] | None:
    """The argument names of a mutant that reads one more value; None if they are unchanged."""
    old = function.__code__.co_varnames[: function.__code__.co_argcount]
    new = change.new.id if change.kind == "operand" and isinstance(change.new, ast.Name) else None
    return None if new is None or new in function.__code__.co_varnames else (*old, new)


def _behaviour(code: CodeType) -> tuple:
    inner = tuple(_behaviour(c) if isinstance(c, CodeType) else (type(c), repr(c)) for c in code.co_consts)
    return code.co_code, inner, code.co_names, code.co_varnames


def _parts(node: Function) -> Iterator[tuple[int, ast.expr, ast.AST]]:
    """(index, expression, parent) of the computations in a function, without raise statements and annotations."""
    indices = {id(part): i for i, part in enumerate(ast.walk(node))}

    def walk(part: ast.AST, parent: ast.AST) -> Iterator[tuple[int, ast.expr, ast.AST]]:
        if isinstance(part, (ast.Raise, ast.JoinedStr, ast.arguments, ast.Delete)):
            return
        if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant):
            return  # a docstring
        loaded = isinstance(getattr(part, "ctx", ast.Load()), ast.Load)
        if isinstance(part, ast.expr) and loaded and not isinstance(part, (ast.Slice, ast.Starred)):
            yield indices[id(part)], part, parent
        if isinstance(part, ast.keyword) and part.arg == "strict":
            return  # an internal check, which never fails
        for field, child in ast.iter_fields(part):
            if field in ("annotation", "returns", "decorator_list"):
                continue
            for one in child if isinstance(child, list) else [child]:
                if isinstance(one, ast.AST):
                    yield from walk(one, part)

    bodies = [node.body] if isinstance(node, ast.Lambda) else node.body
    for body in bodies:
        yield from walk(body, node)


def _alternatives(part: ast.expr, parent: ast.AST, others: tuple[str, ...]) -> Iterator[tuple[str, ast.expr]]:
    """(kind of damage, replacement) of an expression."""
    if isinstance(parent, (ast.If, ast.IfExp)) and part is parent.test:
        yield "branch", ast.UnaryOp(ast.Not(), part)
    match part:
        case ast.BinOp(left, operator, right) if not any(isinstance(x, (ast.Tuple, ast.List)) for x in (left, right)):
            yield "term", left
            yield "term", right
            if type(operator) in _OPERATORS:
                yield "operator", ast.BinOp(left, _OPERATORS[type(operator)](), right)
        case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as value)):
            yield "constant", ast.Constant(_nudge(-value, parent))
        case ast.UnaryOp(ast.USub(), operand):
            yield "sign", operand
        case ast.UnaryOp(ast.Not(), operand) if not isinstance(parent, (ast.If, ast.IfExp)):
            yield "branch", operand
        case ast.Constant(bool() as value):
            yield "constant", ast.Constant(not value)
        case ast.Constant(int() | float() as value):
            if not (isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.USub)):
                yield "constant", ast.Constant(_nudge(value, parent))
        case ast.BoolOp(operator, values):
            yield "branch", ast.BoolOp(ast.And() if isinstance(operator, ast.Or) else ast.Or(), values)
        case ast.Compare(left, [operator], right) if type(operator) in _COMPARISONS:
            yield "comparison", ast.Compare(left, [_COMPARISONS[type(operator)]()], right)
        case ast.Name(name) if name in others:
            yield from (("operand", ast.Name(other, ast.Load())) for other in others if other != name)
        case ast.Call(called, arguments, keywords):
            yield from _calls(part, called, arguments, keywords)


def _calls(part: ast.Call, called: ast.expr, arguments: list, keywords: list) -> Iterator[tuple[str, ast.expr]]:
    name = _name(called)
    plain = [a for a in arguments if not isinstance(a, (ast.Starred, ast.GeneratorExp))]
    if name in _NO_PART or len(plain) != len(arguments):
        return
    for argument in plain:
        if not isinstance(argument, (ast.Constant, ast.Tuple)):
            yield "call", argument
    last = plain[-2:]
    unchanged = all(isinstance(a, ast.Constant) for a in last) or any(isinstance(a, ast.Tuple) for a in last)
    if len(last) == 2 and name not in _SYMMETRIC and not unchanged:
        yield "operand", ast.Call(called, [*plain[:-2], plain[-1], plain[-2]], keywords)
    if name in _CONFUSED:
        other = _CONFUSED[name]
        new = ast.Attribute(called.value, other, ast.Load()) if isinstance(called, ast.Attribute) else None
        yield "comparison", ast.Call(new or ast.Name(other, ast.Load()), arguments, keywords)


def _name(called: ast.expr) -> str:
    """The name of a called function, the same for a primitive (`add_p`) and a public one (`add`, `e.add`)."""
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name.removesuffix("_p")


def _nudge(value: float, parent: ast.AST) -> float:
    """A number changed by 0.1 % in arithmetic; plus one if it is a count or an axis."""
    arithmetic = isinstance(parent, (ast.BinOp, ast.UnaryOp)) or (
        isinstance(parent, ast.Call) and _name(parent.func) in _ARITHMETIC
    )
    if isinstance(value, float) or arithmetic:
        return value * 1.001 if value else 0.001
    return value + 1
