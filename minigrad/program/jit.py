"""`jit`: a function that captures itself once for each kind of arguments, and replays from then on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from minigrad import tree
from minigrad.core import Eval, OperandTypeError, Tracer, current, describe
from minigrad.program.capture import captured
from minigrad.program.instructions import kind_of
from minigrad.program.passes import simplified
from minigrad.program.program import Program, is_dynamic


def jit(f: Callable) -> Callable:
    """f, captured on its first call with arguments of a kind, and replayed without allocating from the second on.

    The kind of arguments is their tree structure, the shapes and dtypes of arrays, and the values of all other leaves
    (Python numbers, strings, None): a new kind is captured anew. Results equal those of f. Inside a derivative f runs
    as it is. `jitted.program(*args)` shows what will run.

    Raises CaptureError where f branches on values, MutationError if an array that f takes from outside has changed.

    >>> import minigrad as mg, numpy as np
    >>> step = mg.jit(mg.grad(lambda w: mg.sum(mg.tanh(w) ** 2)))
    >>> step(np.array([0.0, 1.0]))
    array([0.        , 0.63970001])
    """
    if not callable(f):
        raise OperandTypeError(f"jit: needs a function, got {describe(f)}")
    programs: dict[Any, Program] = {}

    def program_of(leaves: list, structure: Any, args: tuple, kwargs: dict[str, Any]) -> Program:
        key = structure, tuple(kind_of(x) if is_dynamic(x) else _static(x) for x in leaves)
        if key not in programs:
            programs[key] = simplified(captured(f, args, kwargs))
        return programs[key]

    @functools.wraps(f)
    def jitted(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = tree.flatten((args, kwargs))
        if not isinstance(current(), Eval) or any(isinstance(leaf, Tracer) for leaf in leaves):
            return f(*args, **kwargs)
        return program_of(leaves, structure, args, kwargs).run([leaf for leaf in leaves if is_dynamic(leaf)])

    def program(*args: Any, **kwargs: Any) -> Program:
        """The program that a call with these arguments runs."""
        return program_of(*tree.flatten((args, kwargs)), args, kwargs)

    jitted.program = program
    return jitted


def _static(leaf: Any) -> Any:
    """A leaf that is part of the code: 1, 1.0 and True are not the same."""
    try:
        hash(leaf)
    except TypeError:
        raise OperandTypeError(
            f"jit: an argument that is no array must be hashable, got {type(leaf).__name__}"
        ) from None
    return type(leaf), leaf
