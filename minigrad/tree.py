"""Trees: parameters, gradients and optimiser states are nested containers with arrays at the leaves.

A tree is a tuple, list, dict, NamedTuple or dataclass of trees; None is a tree without leaves; anything else is
a leaf. `flatten` splits a tree into its leaves and a structure that can be compared, printed and put together again.
"""

from __future__ import annotations

import dataclasses
import operator
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple


class TreeError(ValueError):
    """Two trees that had to have one structure do not."""


class Structure(NamedTuple):
    """How to put leaves together: the container, what it needs besides its children, and the children."""

    kind: type | None  # None marks a leaf
    keys: tuple  # field names, dict keys or positions
    children: tuple[Structure, ...]
    static: tuple = ()  # values of dataclass fields that hold no arrays

    @property
    def leaves(self) -> int:
        """How many there are."""
        return 1 if self.kind is None else sum(child.leaves for child in self.children)

    def __str__(self) -> str:
        if self.kind is None:
            return "*"
        parts = [f"{key}: {child}" for key, child in zip(self.keys, self.children, strict=True)]
        return f"{self.kind.__name__}({', '.join(parts)})"


LEAF = Structure(None, (), ())


def _open(tree: Any) -> tuple[tuple, Any, tuple] | None:
    """(keys, children, static) of a container, None for a leaf."""
    kind = type(tree)
    try:
        opener = _openers[kind]
    except KeyError:
        opener = _openers[kind] = _opener(kind)
    return None if opener is None else opener(tree)


_openers: dict[type, Callable | None] = {}  # by type, as they are met


def _opener(kind: type) -> Callable | None:
    """How to open the containers of a type; None if its values are leaves."""
    if kind is type(None):
        return lambda tree: ((), (), ())
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return lambda tree: (kind._fields, tree, ())
    if issubclass(kind, (tuple, list)):
        return lambda tree: (tuple(range(len(tree))), tree, ())
    if issubclass(kind, dict):
        return _open_dict
    if dataclasses.is_dataclass(kind):
        fields = [f for f in dataclasses.fields(kind) if f.init]
        names = tuple(f.name for f in fields if not f.metadata.get("static"))
        others = tuple(f.name for f in fields if f.metadata.get("static"))
        return lambda tree: (
            names,
            [getattr(tree, name) for name in names],
            tuple((name, getattr(tree, name)) for name in others),
        )
    return None


def _open_dict(tree: dict) -> tuple[tuple, list, tuple]:
    try:
        keys = tuple(sorted(tree))
    except TypeError:  # keys of several kinds
        keys = tuple(sorted(tree, key=lambda key: (type(key).__name__, repr(key))))
    static = (("default_factory", tree.default_factory),) if isinstance(tree, defaultdict) else ()
    return keys, [tree[key] for key in keys], static


def flatten(tree: Any) -> tuple[list, Structure]:
    """The leaves of a tree from left to right, and its structure.

    >>> leaves, structure = flatten({"w": 1.0, "b": (2.0, 3.0)})
    >>> leaves, str(structure)
    ([2.0, 3.0, 1.0], 'dict(b: tuple(0: *, 1: *), w: *)')
    """
    leaves: list = []
    return leaves, _flatten(tree, leaves)


def _flatten(tree: Any, leaves: list) -> Structure:
    opened = _open(tree)
    if opened is None:
        leaves.append(tree)
        return LEAF
    keys, children, static = opened
    return Structure(type(tree), keys, tuple(_flatten(child, leaves) for child in children), static)


def unflatten(structure: Structure, leaves: list) -> Any:
    """The tree of this structure with these leaves: the inverse of `flatten`. Raises TreeError on a wrong count."""
    remaining = iter(leaves)
    try:
        tree = _build(structure, remaining)
    except StopIteration:
        raise TreeError(f"{len(leaves)} leaves are too few for the structure {structure}") from None
    if next(remaining, LEAF) is not LEAF:
        raise TreeError(f"{len(leaves)} leaves are too many for the structure {structure}")
    return tree


def _build(structure: Structure, leaves: Any) -> Any:
    if structure.kind is None:
        return next(leaves)
    children = []
    for child in structure.children:  # a plain loop: StopIteration must reach `unflatten` as itself
        children.append(_build(child, leaves))
    return _closer(structure)(children)


def _closer(structure: Structure) -> Callable[[list], Any]:
    """How to put children together: the inverse of an opener."""
    kind, keys, static = structure.kind, structure.keys, structure.static
    if kind is type(None):
        return lambda children: None
    if issubclass(kind, dict):
        return lambda children: kind(*(factory for _, factory in static), dict(zip(keys, children, strict=True)))
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return lambda children: kind(*children)
    if issubclass(kind, (tuple, list)):
        return kind
    return lambda children: kind(**dict(zip(keys, children, strict=True)), **dict(static))


def _is_flat(structure: Structure) -> bool:
    return all(child.kind is None for child in structure.children)


def taker(structure: Structure) -> Callable[[Any, list], bool]:
    """A function (tree, leaves) that appends the leaves of a tree, made to be called often: `flatten` where the
    structure is known. It tells whether the containers are those of `structure`; whether leaves are leaves is for the
    caller to see.
    """
    kind, keys, static = structure.kind, structure.keys, structure.static
    below, flat = [taker(child) for child in structure.children], _is_flat(structure)

    def take(tree: Any, leaves: list) -> bool:
        if type(tree) is not kind:
            return False
        found, children, others = _openers[kind](tree)
        if found != keys or others != static:
            return False
        if flat:
            leaves += children
            return True
        return all([take_child(child, leaves) for take_child, child in zip(below, children)])

    def take_leaf(tree: Any, leaves: list) -> bool:
        leaves.append(tree)
        return True

    return take_leaf if kind is None else take


def builder(structure: Structure, first: int = 0) -> Callable[[list], Any]:
    """A function that gives the tree with these leaves, from number `first` on, made to be called often."""
    if structure.kind is None:
        return operator.itemgetter(first)
    close, below, last = _closer(structure), [], first
    for child in structure.children:
        below.append(builder(child, last))
        last += child.leaves
    if _is_flat(structure):
        return lambda leaves: close(leaves[first:last])
    return lambda leaves: close([build(leaves) for build in below])


def map(function: Callable, tree: Any, *others: Any) -> Any:
    """Apply `function` to corresponding leaves of trees of one structure. Raises TreeError where they differ.

    >>> map(lambda a, b: a + b, (1, [2]), (10, [20]))
    (11, [22])
    """
    leaves, structure = flatten(tree)
    columns = [leaves] + [leaves_like(structure, other) for other in others]
    return unflatten(structure, [function(*row) for row in zip(*columns, strict=True)])


def leaves_like(structure: Structure, tree: Any, what: str = "the second tree") -> list:
    """The leaves of `tree`, which must have this structure. Raises TreeError, printing both."""
    leaves, other = flatten(tree)
    if other != structure:
        raise TreeError(f"{what} has structure {other}, expected {structure}")
    return leaves


def names(tree: Any) -> list[str]:
    """A dotted name for each leaf.

    >>> names({"encoder": [1, 2], "mean": 3})
    ['encoder.0', 'encoder.1', 'mean']
    """
    return _named(flatten(tree)[1], "")


def _named(structure: Structure, prefix: str) -> list[str]:
    found = [prefix] if structure.kind is None else []
    for key, child in zip(structure.keys, structure.children, strict=True):
        found += _named(child, f"{prefix}.{key}" if prefix else str(key))
    return found
