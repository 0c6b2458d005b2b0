"""Declares an elementwise operation in one statement: its name, its derivative and its traits.

    sin = unary("sin", "sin x", lambda x: cos(x), formula=reals("sin(a)"))

registers the primitive `sin`, computed by NumPy's `sin`, with its rule and traits, and returns the public function
`mg.sin`. Arguments broadcast as in NumPy; a Python number takes the dtype of the other argument.

    degrees = wrap_unary(lambda x: multiply(x, 180 / math.pi), "x radians in degrees", "degrees")

gives the public face of an elementwise function to a formula composed of other operations, which needs no rule.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from minigrad.core.arguments import check_options
from minigrad.core.interpreter import Primitive
from minigrad.core.rules import constant, partials
from minigrad.core.traits import along_any_axis, traits


def unary(
    name: str, description: str, x: Callable | int | None, forward: Callable | None = None, **options: Any
) -> Callable[..., Any]:
    """Declare a primitive of one array and return its public function; `x` is its derivative, None if it has none.

    `forward` computes it; by default the function of that name in NumPy or CuPy does.
    """

    def default(b: Any, x: Any, out: Any = None) -> Any:
        return getattr(b.xp, name)(x, out=out)

    primitive = traits(Primitive(name, forward or default), cuts=along_any_axis, **options)
    return wrap_unary(partials(primitive, x=x) if x is not None else constant(primitive), description)


def binary(
    name: str, description: str, x1: Any, x2: Any, forward: Callable | None = None, **options: Any
) -> Callable[..., Any]:
    """The same for two arrays that broadcast; `x1` and `x2` are the partial derivatives."""

    def default(b: Any, x1: Any, x2: Any, out: Any = None) -> Any:
        return getattr(b.xp, name)(x1, x2, out=out)

    primitive = traits(Primitive(name, forward or default), cuts=along_any_axis, **options)
    has_derivative = x1 is not None or x2 is not None
    return wrap_binary(partials(primitive, x1=x1, x2=x2) if has_derivative else constant(primitive), description)


def wrap_unary(primitive: Callable, description: str, name: str = "") -> Callable[..., Any]:
    """The public function of a primitive of one array, or, with a `name`, of a formula composed of operations."""
    name = name or primitive.name

    def function(x, /, out=None, **options):
        if out is not None or options:
            check_options(name, out=out, **options)
        return primitive(x)

    return _name(function, primitive, name, description)


def wrap_binary(primitive: Callable, description: str, name: str = "") -> Callable[..., Any]:
    """The public function of a primitive of two arrays, or, with a `name`, of a formula composed of operations."""
    name = name or primitive.name

    def function(x1, x2, /, out=None, **options):
        if out is not None or options:
            check_options(name, out=out, **options)
        return primitive(x1, x2)

    return _name(function, primitive, name, description)


def _name(function: Callable, primitive: Callable, name: str, description: str) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{description}, elementwise."
    function.__module__ = _find_calling_module()
    function.primitive = primitive
    return function


def _find_calling_module() -> str:
    """The name of the module that declares the operation: pickling looks its function up there."""
    frame = sys._getframe(1)
    while frame.f_globals["__name__"] == __name__:
        frame = frame.f_back
    return frame.f_globals["__name__"]
