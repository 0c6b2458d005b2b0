"""`jit`: a function that captures itself once for each kind of arguments, and replays from then on."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from minigrad import tree
from minigrad.backends import NEUTRAL
from minigrad.core import Eval, OperandError, OperandTypeError, Tracer, current, describe
from minigrad.program.capture import captured
from minigrad.program.instructions import exact, is_dynamic
from minigrad.program.passes import simplified
from minigrad.program.program import Program


def jit(f: Callable, donate: int | Sequence[int] = ()) -> Callable:
    """f, captured on its first call with arguments of a kind, and replayed without allocating from the second on.

    The kind of arguments is their tree structure, the shapes and dtypes of arrays, and the values of all other leaves
    (Python numbers, strings, None): a new kind is captured anew. Results equal those of f, but that sums may be added
    up in another order: those that are made part by part, products, and sums of arrays that are not contiguous. Memory
    for everything between is reused from run to run; large results are new arrays each time. Inside a derivative f runs
    as it is. `jitted.program(*args)` shows what will run.

    `donate` are positions of arguments that the caller gives away, with the memory they lie in: results of their shapes
    and dtypes are written over them where possible, so that a training step updates its parameters in place. They must
    not be used again, nor views of them.

    On a GPU the first two calls run as they are, the third is recorded as a CUDA graph, and that is repeated from then
    on (`minigrad.program.recorded` says what becomes of arguments): numbers that change belong into arrays there.

    An array from outside that f computes with, or indexes by, is part of the program, and it is an error if it changes.
    What f makes of such an array with NumPy alone is taken as it was when captured.

    Raises CaptureError where f branches on values, MutationError if an array that f takes from outside has changed,
    ValueError for an argument that an earlier call was given for good.

    >>> import minigrad as mg, numpy as np
    >>> step = mg.jit(mg.grad(lambda w: mg.sum(mg.tanh(w) ** 2)))
    >>> step(np.array([0.0, 1.0]))
    array([0.        , 0.63970001])
    """
    if not callable(f):
        raise OperandTypeError(f"jit: needs a function, got {describe(f)}")
    donate = (donate,) if isinstance(donate, int) else tuple(donate)
    programs: dict[Any, list[tuple[Any, Program, list[bool]]]] = {}
    gone: dict[int, weakref.ref] = {}  # donated arrays that somebody still has

    def program_of(leaves: list, structure: Any, args: tuple, kwargs: dict[str, Any]) -> tuple[Program, list[bool]]:
        """The program for arguments of this kind, and which leaves are given away."""
        key = structure, tuple([(type(x), x.shape, x.dtype) if is_dynamic(x) else _static(x) for x in leaves])
        try:
            known = programs.setdefault(key, [])
        except TypeError as error:
            raise OperandTypeError(f"jit: static fields and keys of arguments must be hashable: {error}") from None
        told_apart = None if _is_plain(structure) else exact(structure)
        for other, program, given in known:
            if other == told_apart:
                return program, given
        positions = {d % len(args) for d in donate} if args else set()
        given = [i in positions for i, arg in enumerate(args) for _ in tree.flatten(arg)[0]]
        given += [False] * (len(leaves) - len(given))
        program = simplified(captured(f, args, kwargs))
        donated = [is_given for leaf, is_given in zip(leaves, given, strict=True) if is_dynamic(leaf)]
        program = replace(program, donated=tuple(slot for slot, d in zip(program.inputs, donated, strict=True) if d))
        known.append((told_apart, program, given))
        return program, given

    @functools.wraps(f)
    def jitted(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = tree.flatten((args, kwargs))
        if not isinstance(current(), Eval) or any(isinstance(leaf, Tracer) for leaf in leaves):
            return f(*args, **kwargs)
        if any(not -len(args) <= position < len(args) for position in donate):
            raise OperandError(f"jit: donate={donate} does not fit a call with {len(args)} positional arguments")
        for leaf in leaves if gone else ():
            if id(leaf) in gone and gone[id(leaf)]() is leaf:
                raise OperandError(
                    f"jit: {describe(leaf)} was donated to an earlier call, which wrote over it; use its result"
                )
        program, given = program_of(leaves, structure, args, kwargs)
        program.check()
        try:
            return program.run([leaf for leaf in leaves if is_dynamic(leaf)])
        finally:  # also if it breaks off, half-way through
            for leaf, is_given in zip(leaves, given, strict=True) if donate else ():
                if is_given and is_dynamic(leaf) and not isinstance(leaf, NEUTRAL):
                    _remember(gone, leaf)

    def program(*args: Any, **kwargs: Any) -> Program:
        """The program that a call with these arguments runs."""
        return program_of(*tree.flatten((args, kwargs)), args, kwargs)[0]

    jitted.program = program
    return jitted


def _remember(gone: dict[int, weakref.ref], array: Any) -> None:
    key = id(array)
    gone[key] = weakref.ref(array, lambda _: gone.pop(key, None))


def _is_plain(structure: tree.Structure) -> bool:
    """Whether equal structures are the same: a dict may have keys, and a dataclass fields, like 1, 1.0 and True."""
    if structure.static or (structure.kind is not None and issubclass(structure.kind, dict)):
        if structure.static or not all(isinstance(key, str) for key in structure.keys):
            return False
    return all([child.kind is None or _is_plain(child) for child in structure.children])


def _static(leaf: Any) -> Any:
    """A leaf that is part of the code."""
    try:
        hash(leaf)
    except TypeError:
        raise OperandTypeError(
            f"jit: an argument that is no array of numbers must be hashable, got {type(leaf).__name__}"
        ) from None
    return exact(leaf)
