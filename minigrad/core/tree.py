"""Trees: parameters, gradients and optimiser states are nested containers with arrays at the leaves.

A tree is a tuple, list, dict, NamedTuple or dataclass of trees, a subclass of one of these, or an object of a class
made known with `register`; None is a tree without leaves; anything else is a leaf. `flatten` splits a tree into its
leaves and a structure that can be compared, printed and put together again. What comes back is what went in, in its
order.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from minigrad.core.containers import TreeError, container_of
from minigrad.core.containers import register as register


class Structure(NamedTuple):
    """How to put leaves together: the container, what it needs besides its children, and the children."""

    kind: type | None  # None marks a leaf
    keys: tuple  # field names, positions, or the keys of a dict in its own order
    children: tuple[Structure, ...]
    static: tuple = ()  # what a container holds besides trees

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


def flatten(tree: Any) -> tuple[list, Structure]:
    """The leaves of a tree from left to right, and its structure.

    Raises TreeError for a container that could not be rebuilt as it is, or that contains itself.

    >>> leaves, structure = flatten({"w": 1.0, "b": (2.0, 3.0)})
    >>> leaves, str(structure)
    ([1.0, 2.0, 3.0], 'dict(w: *, b: tuple(0: *, 1: *))')
    """
    leaves: list = []
    try:
        return leaves, _flatten(tree, leaves)
    except RecursionError:
        raise _too_deep(tree) from None


def _flatten(tree: Any, leaves: list) -> Structure:
    container = container_of(type(tree))
    if container is None:
        leaves.append(tree)
        return LEAF
    keys, children, static = container.open(tree)
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
    return container_of(structure.kind).close(structure.keys, children, structure.static)


def _too_deep(tree: Any) -> TreeError:
    """The error for a tree beyond the recursion limit: usually one of its containers contains itself."""
    limit = sys.getrecursionlimit()
    waiting: list[tuple[Any, str, frozenset]] = [(tree, "", frozenset())]
    while waiting:
        node, name, above = waiting.pop()
        if id(node) in above:
            return TreeError(f"the tree contains itself: the container at {name[1:]!r} is also one of those around it")
        container = container_of(type(node))
        if container is not None and len(above) < limit:
            keys, children, _ = container.open(node)
            waiting += [(child, f"{name}.{key}", above | {id(node)}) for key, child in zip(keys, children)]
    return TreeError(f"the tree is nested too deeply for Python's recursion limit of {limit} calls")


def _is_flat(structure: Structure) -> bool:
    return all(child.kind is None for child in structure.children)


def make_flattener(structure: Structure) -> Callable[[Any, list], bool]:
    """A function (tree, leaves) that appends the leaves of a tree, made to be called often: `flatten` where the
    structure is known. It tells whether the containers are those of `structure`; whether leaves are leaves is for the
    caller to see.
    """
    kind, keys, static = structure.kind, structure.keys, structure.static
    if kind is None:
        return _append_leaf
    open_, below, flat = container_of(kind).open, [make_flattener(c) for c in structure.children], _is_flat(structure)

    def take(tree: Any, leaves: list) -> bool:
        if type(tree) is not kind:
            return False
        found, children, others = open_(tree)
        if found != keys or others != static:
            return False
        if flat:
            leaves += children
            return True
        return all([take_child(child, leaves) for take_child, child in zip(below, children)])

    return take


def _append_leaf(tree: Any, leaves: list) -> bool:
    leaves.append(tree)
    return True


def make_unflattener(structure: Structure, first: int = 0) -> Callable[[list], Any]:
    """A function that gives the tree with these leaves, from number `first` on, made to be called often."""
    if structure.kind is None:
        return operator.itemgetter(first)
    close, keys, static = container_of(structure.kind).close, structure.keys, structure.static
    below, last = [], first
    for child in structure.children:
        below.append(make_unflattener(child, last))
        last += child.leaves
    if _is_flat(structure):
        return lambda leaves: close(keys, leaves[first:last], static)
    return lambda leaves: close(keys, [build(leaves) for build in below], static)


def map(function: Callable, tree: Any, *others: Any) -> Any:
    """Apply `function` to corresponding leaves of trees of one structure. Raises TreeError where they differ.

    Dicts correspond key by key, in whatever order; the result is in the order of the first tree.

    >>> map(lambda a, b: a + b, (1, [2]), (10, [20]))
    (11, [22])
    """
    leaves, structure = flatten(tree)
    columns = [leaves] + [leaves_like(structure, other) for other in others]
    return unflatten(structure, [function(*row) for row in zip(*columns, strict=True)])


def leaves_like(structure: Structure, tree: Any, what: str = "the second tree") -> list:
    """The leaves of `tree` in the order of `structure`. The two must agree, except in the order of dict keys. Raises
    TreeError, printing both.
    """
    leaves, other = flatten(tree)
    if other != structure:
        order = _match(structure, other, 0)
        if order is None:
            raise TreeError(f"{what} has structure {other}, expected {structure}")
        leaves = [leaves[i] for i in order]
    return leaves


def _match(structure: Structure, other: Structure, first: int) -> list[int] | None:
    """For each leaf of `structure`, the position of the leaf of `other` at the same keys, counted from `first`; None if
    the structures differ in more than the order of keys.
    """
    if structure.kind is None and other.kind is None:
        return [first]
    if structure.kind is not other.kind or structure.static != other.static or len(structure.keys) != len(other.keys):
        return None
    if structure.keys != other.keys and not issubclass(structure.kind, dict):
        return None
    places = {}
    for key, child in zip(other.keys, other.children):
        places[key] = child, first
        first += child.leaves
    found: list[int] = []
    for key, child in zip(structure.keys, structure.children):
        order = _match(child, *places[key]) if key in places else None
        if order is None:
            return None
        found += order
    return found


def names(tree: Any) -> list[str]:
    """A dotted name for each leaf.

    >>> names({"encoder": [1, 2], "mean": 3})
    ['encoder.0', 'encoder.1', 'mean']
    """
    return _name_leaves(flatten(tree)[1], "")


def _name_leaves(structure: Structure, prefix: str) -> list[str]:
    found = [prefix] if structure.kind is None else []
    for key, child in zip(structure.keys, structure.children, strict=True):
        found += _name_leaves(child, f"{prefix}.{key}" if prefix else str(key))
    return found
