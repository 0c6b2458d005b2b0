"""Trees: parameters, gradients and optimiser states are nested containers with arrays at the leaves.

A tree is a tuple, list, dict, NamedTuple or dataclass of trees, a subclass of one of these, or an object of a class
registered with `register`. None is a tree without leaves; anything else is a leaf. `flatten` splits a tree into its
leaves and a structure that can be compared and printed; `unflatten` puts them together again.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from numbers import Integral
from typing import Any, NamedTuple

from minigrad.core.containers import TreeError, container_of, register

__all__ = ["Structure", "TreeError", "flatten", "map", "names", "register", "unflatten"]


class Structure(NamedTuple):
    """How to build a tree from leaves: the type of its container and the structures of its children."""

    kind: type | None  # None marks a leaf
    keys: tuple  # field names, positions, or the keys of a dict in its own order
    children: tuple[Structure, ...]
    static: tuple = ()  # what the container holds besides trees

    @property
    def leaves(self) -> int:
        """The number of leaves."""
        return 1 if self.kind is None else sum(child.leaves for child in self.children)

    def __str__(self) -> str:
        if self.kind is None:
            return "*"
        parts = [f"{key}: {child}" for key, child in zip(self.keys, self.children, strict=True)]
        return f"{self.kind.__name__}({', '.join(parts)})"


LEAF = Structure(None, (), ())


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves of a tree from left to right, and its structure.

    Raises TreeError for a container that cannot be rebuilt or that contains itself.

    >>> leaves, structure = flatten({"w": 1.0, "b": (2.0, 3.0)})
    >>> leaves, str(structure)
    ([1.0, 2.0, 3.0], 'dict(w: *, b: tuple(0: *, 1: *))')
    """
    leaves: list = []
    try:
        return leaves, _flatten(tree, leaves)
    except RecursionError:
        raise _explain_recursion(tree) from None


def _flatten(tree: Any, leaves: list) -> Structure:
    container = container_of(type(tree))
    if container is None:
        leaves.append(tree)
        return LEAF
    keys, children, static = container.flatten(tree)
    return Structure(type(tree), keys, tuple(_flatten(child, leaves) for child in children), static)


def unflatten(structure: Structure, leaves: list[Any]) -> Any:
    """The tree with this structure and these leaves: the inverse of `flatten`. Raises TreeError for a wrong count."""
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
    for child in structure.children:  # not a generator, which would turn StopIteration into RuntimeError
        children.append(_build(child, leaves))
    return container_of(structure.kind).unflatten(structure.keys, children, structure.static)


def _explain_recursion(tree: Any) -> TreeError:
    """The error for a tree beyond the recursion limit, usually because a container contains itself."""
    limit = sys.getrecursionlimit()
    waiting: list[tuple[Any, str, frozenset]] = [(tree, "", frozenset())]
    while waiting:
        node, name, above = waiting.pop()
        if id(node) in above:
            return TreeError(f"the tree contains itself: the container at {name[1:]!r} is its own ancestor")
        container = container_of(type(node))
        if container is not None and len(above) < limit:
            keys, children, _ = container.flatten(node)
            waiting += [(child, f"{name}.{key}", above | {id(node)}) for key, child in zip(keys, children)]
    return TreeError(f"the tree is nested too deeply for Python's recursion limit of {limit} calls")


def _is_flat(structure: Structure) -> bool:
    return all(child.kind is None for child in structure.children)


def make_flattener(structure: Structure) -> Callable[[Any, list[Any]], bool]:
    """A faster `flatten` for one known structure: a function (tree, leaves) that appends the tree's leaves.

    It returns whether the tree's containers are those of `structure`; the caller must check that the leaves are leaves.
    """
    kind, keys, static = structure.kind, structure.keys, structure.static
    if kind is None:
        return _append_leaf
    flatten_node, is_flat = container_of(kind).flatten, _is_flat(structure)
    flatten_children = [make_flattener(child) for child in structure.children]

    def append_leaves(tree: Any, leaves: list) -> bool:
        if type(tree) is not kind:
            return False
        found_keys, children, found_static = flatten_node(tree)
        if found_keys != keys or found_static != static:
            return False
        if is_flat:
            leaves += children
            return True
        return all([append(child, leaves) for append, child in zip(flatten_children, children)])

    return append_leaves


def _append_leaf(tree: Any, leaves: list) -> bool:
    leaves.append(tree)
    return True


def make_unflattener(structure: Structure, first: int = 0) -> Callable[[list[Any]], Any]:
    """A faster `unflatten` for one structure: a function of leaves, of which it uses those from `first` on."""
    if structure.kind is None:
        return operator.itemgetter(first)
    unflatten_node, keys, static = container_of(structure.kind).unflatten, structure.keys, structure.static
    unflatten_children, last = [], first
    for child in structure.children:
        unflatten_children.append(make_unflattener(child, last))
        last += child.leaves
    if _is_flat(structure):
        return lambda leaves: unflatten_node(keys, leaves[first:last], static)
    return lambda leaves: unflatten_node(keys, [build(leaves) for build in unflatten_children], static)


def map(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Apply `function` to corresponding leaves of trees with the same structure. Raises TreeError if they differ.

    Dicts are matched by key, in any order; the result has the order of the first tree.

    >>> map(lambda a, b: a + b, (1, [2]), (10, [20]))
    (11, [22])
    """
    leaves, structure = flatten(tree)
    columns = [leaves] + [leaves_like(structure, other) for other in others]
    return unflatten(structure, [function(*row) for row in zip(*columns, strict=True)])


def leaves_like(structure: Structure, tree: Any, what: str = "the second tree") -> list[Any]:
    """The leaves of `tree` in the order of `structure`.

    Raises TreeError, printing both structures, if they differ in more than the order of dict keys.
    """
    leaves, other = flatten(tree)
    if other != structure:
        order = _match(structure, other, 0)
        if order is None:
            raise TreeError(f"{what} has structure {other}, expected {structure}")
        leaves = [leaves[i] for i in order]
    return leaves


def _match(structure: Structure, other: Structure, first: int) -> list[int] | None:
    """For each leaf of `structure`, the position (from `first` on) of the leaf of `other` at the same keys; None if the
    structures differ in more than the order of dict keys.
    """
    if structure.kind is None and other.kind is None:
        return [first]
    if structure.kind is not other.kind or structure.static != other.static or len(structure.keys) != len(other.keys):
        return None
    if structure.keys != other.keys and not issubclass(structure.kind, dict):
        return None
    starts = {}
    for key, child in zip(other.keys, other.children):
        starts[key] = child, first
        first += child.leaves
    positions: list[int] = []
    for key, child in zip(structure.keys, structure.children):
        order = _match(child, *starts[key]) if key in starts else None
        if order is None:
            return None
        positions += order
    return positions


def spread(entry: Any, structure: Structure, what: str) -> list[int | None]:
    """An integer or None for each leaf of a structure, given as a tree of them like the structure or its upper part.

    Raises TreeError, naming `what`, if it has other containers.

    >>> spread((0, None), flatten(({"w": 1.0, "b": 2.0}, 3.0))[1], "axes")
    [0, 0, None]
    """
    if entry is None or (isinstance(entry, Integral) and not isinstance(entry, bool)):
        return [entry] * structure.leaves
    container = container_of(type(entry))
    if container is None:
        raise TreeError(f"{what} must be an integer, None, or a tree of these, got {entry!r}")
    keys, children, _ = container.flatten(entry)
    entries = dict(zip(keys, children))
    if type(entry) is not structure.kind or entries.keys() != set(structure.keys):
        raise TreeError(f"{what} has structure {flatten(entry)[1]}, which is not the upper part of {structure}")
    return [x for key, child in zip(structure.keys, structure.children) for x in spread(entries[key], child, what)]


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
