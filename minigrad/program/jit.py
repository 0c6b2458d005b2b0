"""`jit`: a function that captures itself once for each kind of arguments, and replays from then on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from minigrad import tree
from minigrad.backends import NEUTRAL, backend_of
from minigrad.core import Eval, MutationError, OperandTypeError, Tracer, current, describe
from minigrad.program.capture import captured, is_dynamic
from minigrad.program.passes import simplified
from minigrad.program.program import Constant, Program, kind_of
from minigrad.program.replay import Replay


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
    replays: dict[Any, _Kept] = {}

    def kept_for(args: tuple, kwargs: dict[str, Any]) -> tuple[_Kept, list]:
        leaves, structure = tree.flatten((args, kwargs))
        key = structure, tuple(kind_of(x) if is_dynamic(x) else _static(x) for x in leaves)
        dynamic = [x for x in leaves if is_dynamic(x)]
        if key not in replays:
            program, _ = captured(f, args, kwargs)
            program = simplified(program)
            replays[key] = _Kept(program, Replay(program, backend_of(dynamic)))
        return replays[key], dynamic

    @functools.wraps(f)
    def jitted(*args: Any, **kwargs: Any) -> Any:
        if any(isinstance(leaf, Tracer) for leaf in tree.flatten((args, kwargs))[0]) or not isinstance(current(), Eval):
            return f(*args, **kwargs)
        kept, dynamic = kept_for(args, kwargs)
        kept.check()
        return kept.replay(*dynamic)

    def program(*args: Any, **kwargs: Any) -> Program:
        """The program that a call with these arguments runs."""
        return kept_for(args, kwargs)[0].program

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


class _Kept:
    """A replay, and the arrays its program took from outside, as they were."""

    def __init__(self, program: Program, replay: Replay):
        self.program, self.replay = program, replay
        self._constants: dict[int, tuple[Any, int, Any]] = {}
        for instruction in program.instructions:
            for operand in instruction.operands:
                if isinstance(operand, Constant) and not isinstance(operand.value, (*NEUTRAL, type(None))):
                    value = operand.value
                    self._constants[id(value)] = value, backend_of((value,)).fingerprint(value), instruction.origin

    def check(self) -> None:
        """Raise MutationError if a constant has changed since the capture."""
        for value, fingerprint, origin in self._constants.values():
            if backend_of((value,)).fingerprint(value) != fingerprint:
                raise MutationError(
                    f"{describe(value)}, which {origin} takes from outside the jitted function, has changed since it was "
                    "captured: pass it as an argument"
                )
