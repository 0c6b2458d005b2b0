"""How an elementwise operation is written in one statement: its name, its derivative and its traits.

    sin = unary("sin", "sin x", lambda x: cos(x), formula=reals("sin(a)"))

makes the primitive `sin` with NumPy's function of that name as its formula, states its rule and traits, and gives the
public function `mg.sin`. Arguments broadcast as in NumPy; a Python number takes the dtype of the array it meets.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from minigrad.core.arguments import check_options
from minigrad.core.interpreter import Primitive
from minigrad.core.rules import constant, partials
from minigrad.core.traits import along_any_axis, traits


def unary(name: str, words: str, x: Callable | int | None, forward: Callable | None = None, **known: Any) -> Callable:
    """A public function of one array with its partial derivative and traits; by default the backend's function of that
    name."""

    def default(b: Any, x: Any, out: Any = None) -> Any:
        return getattr(b.xp, name)(x, out=out)

    made = traits(Primitive(name, forward or default), cuts=along_any_axis, **known)
    return wrap_unary(partials(made, x=x) if x is not None else constant(made), words)


def binary(name: str, words: str, x1: Any, x2: Any, forward: Callable | None = None, **known: Any) -> Callable:
    """The same for two arrays that broadcast."""

    def default(b: Any, x1: Any, x2: Any, out: Any = None) -> Any:
        return getattr(b.xp, name)(x1, x2, out=out)

    made = traits(Primitive(name, forward or default), cuts=along_any_axis, **known)
    return wrap_binary(partials(made, x1=x1, x2=x2) if x1 is not None or x2 is not None else constant(made), words)


def wrap_unary(primitive: Primitive, words: str) -> Callable:
    """The public function of a primitive of one array."""

    def function(x, /, out=None, **options):
        if out is not None or options:
            check_options(primitive.name, out=out, **options)
        return primitive(x)

    return _name(function, primitive, words)


def wrap_binary(primitive: Primitive, words: str) -> Callable:
    """The public function of a primitive of two arrays."""

    def function(x1, x2, /, out=None, **options):
        if out is not None or options:
            check_options(primitive.name, out=out, **options)
        return primitive(x1, x2)

    return _name(function, primitive, words)


def _name(function: Callable, primitive: Primitive, words: str) -> Callable:
    function.__name__ = function.__qualname__ = primitive.name
    function.__doc__ = f"{words}, elementwise."
    function.__module__ = _caller()
    function.primitive = primitive
    return function


def _caller() -> str:
    """The module that an operation is defined in, so that its function is pickled by name."""
    frame = sys._getframe(1)
    while frame.f_globals["__name__"] == __name__:
        frame = frame.f_back
    return frame.f_globals["__name__"]
