"""The core: primitives and interpreters, derivative rules, and the two modes made of them.

The names below are what an operation is written with outside this package.
"""

from minigrad.core.interpreter import (
    Eval,
    Interpreter,
    Primitive,
    Tracer,
    backend_beside,
    concrete,
    current,
    primitive,
    primitives,
)
from minigrad.core.rules import bilinear, constant, custom, linear, partials

__all__ = [
    "Eval",
    "Interpreter",
    "Primitive",
    "Tracer",
    "backend_beside",
    "bilinear",
    "concrete",
    "constant",
    "current",
    "custom",
    "linear",
    "partials",
    "primitive",
    "primitives",
]
