"""Signature: the kinds of arguments that a program was captured with, and the arrays that it took from outside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from minigrad.backends import backend_of
from minigrad.core import tree
from minigrad.core.arrays import describe
from minigrad.core.errors import MutationError, OperandError
from minigrad.core.origin import Origin
from minigrad.program.graph import Constant, Kind, is_dynamic, kind_of


def exact_key(x: Any) -> Any:
    """A key, equal only for values no function tells apart: 1, 1.0, True differ; 0.0, -0.0 differ; NaNs are equal."""
    if isinstance(x, (float, complex)):
        return type(x), repr(x)
    if isinstance(x, (tuple, frozenset)):
        return type(x), (tuple if isinstance(x, tuple) else frozenset)(map(exact_key, x))
    return type(x), x


def name_leaves(structure: tree.Structure) -> list[str]:
    """A name for each leaf of (args, kwargs), as a user would write it: `argument 0['rate']`, `argument scale`."""
    arguments = [pair for some in structure.children for pair in zip(some.keys, some.children, strict=True)]
    return [f"argument {place}{path}" for place, child in arguments for path in _paths(child)]


def _paths(structure: tree.Structure) -> Iterator[str]:
    """How each leaf of a tree is reached from its root."""
    if structure.kind is None:
        yield ""
    for key, child in zip(structure.keys, structure.children, strict=True):
        is_field = isinstance(key, str) and not issubclass(structure.kind, dict)
        for path in _paths(child):
            yield f".{key}{path}" if is_field else f"[{key!r}]{path}"


@dataclass(frozen=True)
class Signature:
    """The tree of the arguments, and a `Kind` or a fixed value for each leaf."""

    structure: tree.Structure
    leaves: tuple[Kind | Constant, ...]

    def arrays(self, args: tuple, kwargs: dict[str, Any]) -> list[Any]:
        """The arrays among these arguments. Raises ValueError unless they are of the kind captured."""
        leaves, structure = tree.flatten((args, kwargs))
        if exact_key(structure) != exact_key(self.structure):
            raise OperandError(
                f"the program takes arguments {self.structure}, not {structure}: trace the function again"
            )
        for leaf, expected in zip(leaves, self.leaves, strict=True):
            if isinstance(expected, Constant):
                fits = not is_dynamic(leaf) and exact_key(leaf) == exact_key(expected.value)
            else:
                fits = is_dynamic(leaf) and kind_of(leaf) == expected
            if not fits:
                raise OperandError(
                    f"the program was captured with {expected}, not {describe(leaf)}: trace the function again, or let "
                    "mg.jit do that"
                )
        return [leaf for leaf in leaves if is_dynamic(leaf)]


class Outside(NamedTuple):
    """An array that a function took from outside, with its fingerprint at that time."""

    array: Any
    fingerprint: int
    origin: Origin

    def check(self) -> None:
        """Raise MutationError if the array has changed."""
        if fingerprint(self.array) != self.fingerprint:
            raise MutationError(
                f"{describe(self.array)}, which {self.origin} takes from outside the captured function, has changed "
                "since: pass it as an argument, or change a copy"
            )


def fingerprint(array: Any) -> int:
    """A hash of an array's elements."""
    return backend_of((array,)).fingerprint(array)
