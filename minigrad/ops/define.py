"""Declares an elementwise operation in one statement: its name, its derivative and its traits.

    sin = unary("sin", "sin x", lambda x: cos(x), formula=reals("sin(a)"))

registers the primitive `sin`, computed by NumPy's `sin`, with its rule and traits, and returns the public function
`mg.sin`. Arguments broadcast as in NumPy; a Python number takes the dtype of the other argument.

    degrees = wrap_unary(lambda x: multiply(x, 180 / math.pi), "x radians in degrees", "degrees")

gives the public face of an elementwise function to a formula composed of other operations, which needs no rule.
`in_float32` decorates composed functions that should round bfloat16 once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from inspect import signature
from sys import modules
from typing import Any, TypeVar, cast

import numpy as np

from minigrad.backends.dtypes import FLOAT32, is_bfloat16, narrow_dtype
from minigrad.core.arguments import check_options
from minigrad.core.arrays import dtype_of
from minigrad.core.interpreter import Primitive
from minigrad.core.rules import constant, partials
from minigrad.core.traits import along_any_axis, traits
from minigrad.core.vectors import astype_p


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


# Formulas composed of operations, of bfloat16

F = TypeVar("F", bound=Callable[..., Any])


def in_float32(formula: F) -> F:
    """Decorator of a function composed of operations: it gets bfloat16 arguments in float32, and its result is rounded
    once instead of at every step, unless the caller chooses a dtype."""
    names = list(signature(formula).parameters)
    place = names.index("dtype") if "dtype" in names else len(names)

    @wraps(formula)
    def function(*args: Any, **kwargs: Any) -> Any:
        dtypes = [getattr(x, "dtype", None) for x in (*args, *kwargs.values())] if "ml_dtypes" in modules else []
        dtypes = [d if isinstance(d, np.dtype) else None for d in dtypes]  # the class np.float64 has a `dtype`, too
        if not any(d is not None and is_bfloat16(d) for d in dtypes):
            return formula(*args, **kwargs)
        wide = [_widen(x) for x in args], {name: _widen(x) for name, x in kwargs.items()}
        y = formula(*wide[0], **wide[1])
        if kwargs.get("dtype", args[place] if place < len(args) else None) is not None:
            return y
        return tuple(_narrow(part, dtypes) for part in y) if isinstance(y, tuple) else _narrow(y, dtypes)

    return cast("F", function)


def _widen(x: Any) -> Any:
    dtype = getattr(x, "dtype", None)
    return astype_p(x, dtype=FLOAT32) if isinstance(dtype, np.dtype) and is_bfloat16(dtype) else x


def _narrow(y: Any, dtypes: list) -> Any:
    dtype = narrow_dtype(dtype_of(y), dtypes)
    return y if dtype == dtype_of(y) else astype_p(y, dtype=dtype)
