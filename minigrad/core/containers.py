"""Containers: how to flatten and rebuild one node of a tree, for every type that can be a container.

A rebuilt container equals the original: dicts keep the order of their keys, and `__init__`, `__new__` and
`__post_init__` of a class do not run again. A container that has attributes besides its items or fields is refused,
since they would be lost.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from functools import cache, cached_property
from typing import Any, NamedTuple

BUILT_IN = (type(None), tuple, list, OrderedDict, defaultdict, dict)  # subclasses before their bases

ATTRIBUTES = "self.__dict__ = self"  # marks a dict whose items are its attributes


class TreeError(ValueError):
    """Trees that must have the same structure differ, or a container cannot be rebuilt."""


class Container(NamedTuple):
    """How to flatten a type by one level, `flatten(x)` -> (keys, children, static), and the inverse, `unflatten`."""

    flatten: Callable[[Any], tuple[tuple, Iterable, tuple]]
    unflatten: Callable[[tuple, list, tuple], Any]


def register(
    kind: type[Any], flatten: Callable[[Any], tuple[Iterable[Any], Any]], unflatten: Callable[[Any, list[Any]], Any]
) -> None:
    """Make a class a container: `flatten(x)` returns (children, static), `unflatten(static, children)` rebuilds x.

    Children are trees; `static` is everything else, hashable and comparable with ==. Subclasses are not included.
    Raises TypeError if `kind` is not a class, TreeError (a ValueError) if it is already registered or built in.

    >>> import minigrad as mg
    >>> class Line:
    ...     def __init__(self, slope, name):
    ...         self.slope, self.name = slope, name
    >>> mg.tree.register(Line, lambda x: ([x.slope], x.name), lambda name, children: Line(*children, name))
    >>> gradient = mg.grad(lambda line: line.slope**2)(Line(3.0, "a"))
    >>> float(gradient.slope), gradient.name
    (6.0, 'a')
    """
    if not isinstance(kind, type):
        raise TypeError(f"register: needs a class, got {kind!r}")
    if kind in _registered or kind in BUILT_IN:
        raise TreeError(f"register: {kind.__name__} is already registered or built in")

    def flatten_by_position(tree: Any) -> tuple[tuple, Iterable, tuple]:
        children, static = flatten(tree)
        children = tuple(children)
        return tuple(range(len(children))), children, (static,)

    _registered[kind] = Container(flatten_by_position, lambda keys, children, static: unflatten(*static, children))
    container_of.cache_clear()  # which may hold that this class is a leaf


_registered: dict[type, Container] = {}


@cache
def container_of(kind: type) -> Container | None:
    """The container of a type; None if values of the type are leaves."""
    if kind in _registered:
        return _registered[kind]
    base = next((base for base in BUILT_IN if issubclass(kind, base)), object)
    if base is object and not dataclasses.is_dataclass(kind):
        return None
    try:
        base.__new__(kind)  # as `unflatten` will, without the class's own __new__ and __init__
    except TypeError as error:
        raise _tree_error(kind, f"cannot be rebuilt from its items ({error})") from None
    container = _factories[base](kind, base)
    may_have_attributes = kind.__dictoffset__ or any(vars(c).get("__slots__") for c in kind.__mro__)
    fields = {field.name for field in dataclasses.fields(kind)} if base is object else set()
    return _refuse_attributes(kind, container, fields) if may_have_attributes else container


def _none_container(kind: type, base: type) -> Container:
    return Container(lambda tree: ((), (), ()), lambda keys, children, static: None)


def _item_reader(kind: type, base: type) -> Callable[[Any], Iterable]:
    """A function that returns the items of a tuple or list, even if a subclass overrides `__iter__`."""
    return base.__iter__ if kind.__iter__ is not base.__iter__ else lambda tree: tree


def _tuple_container(kind: type, base: type) -> Container:
    fields = getattr(kind, "_fields", None)  # of a NamedTuple
    items = _item_reader(kind, base)

    def flatten(tree: tuple) -> tuple[tuple, Iterable, tuple]:
        return tuple(range(tuple.__len__(tree))) if fields is None else fields, items(tree), ()

    return Container(flatten, lambda keys, children, static: tuple.__new__(kind, children))


def _list_container(kind: type, base: type) -> Container:
    items = _item_reader(kind, base)

    def unflatten(keys: tuple, children: list, static: tuple) -> list:
        rebuilt = list.__new__(kind)
        list.extend(rebuilt, children)
        return rebuilt

    unflatten = (lambda keys, children, static: children.copy()) if kind is list else unflatten
    return Container(lambda tree: (tuple(range(list.__len__(tree))), items(tree), ()), unflatten)


def _dict_container(kind: type, base: type) -> Container:
    def flatten(tree: dict) -> tuple[tuple, Iterable, tuple]:
        static = (tree.default_factory,) if base is defaultdict else ()
        if kind.__dictoffset__ and vars(tree) is tree:
            static += (ATTRIBUTES,)
        return tuple(base.keys(tree)), base.values(tree), static

    def unflatten(keys: tuple, children: list, static: tuple) -> dict:
        rebuilt = base.__new__(kind)
        if base is defaultdict:
            base.__init__(rebuilt, static[0])
        for key, child in zip(keys, children, strict=True):
            base.__setitem__(rebuilt, key, child)
        if static[-1:] == (ATTRIBUTES,):
            object.__setattr__(rebuilt, "__dict__", rebuilt)
        return rebuilt

    return Container(flatten, unflatten)


def _dataclass_container(kind: type, base: type) -> Container:
    fields = dataclasses.fields(kind)
    names = tuple(field.name for field in fields if not field.metadata.get("static"))
    static_names = tuple(field.name for field in fields if field.metadata.get("static"))

    def flatten(tree: Any) -> tuple[tuple, Iterable, tuple]:
        try:
            return names, [getattr(tree, name) for name in names], tuple([getattr(tree, name) for name in static_names])
        except AttributeError as error:
            raise TreeError(f"a field of {kind.__name__} has no value: {error}") from None

    def unflatten(keys: tuple, children: list, static: tuple) -> Any:
        rebuilt = object.__new__(kind)
        for name, value in zip((*names, *static_names), (*children, *static), strict=True):
            object.__setattr__(rebuilt, name, value)  # which also sets fields of frozen dataclasses
        return rebuilt

    return Container(flatten, unflatten)


_factories: dict[type, Callable[[type, type], Container]] = {
    type(None): _none_container,
    tuple: _tuple_container,
    list: _list_container,
    OrderedDict: _dict_container,
    defaultdict: _dict_container,
    dict: _dict_container,
    object: _dataclass_container,
}


def _refuse_attributes(kind: type, container: Container, fields: set[str]) -> Container:
    """The same container, but `flatten` raises TreeError for attributes besides items or fields."""
    recomputed = {name for c in kind.__mro__ for name, value in vars(c).items() if isinstance(value, cached_property)}
    expected = fields | recomputed | {"__orig_class__"}  # which typing sets when C[int](…) is called
    slots = any(vars(c).get("__slots__") for c in kind.__mro__)

    def flatten(tree: Any) -> tuple[tuple, Iterable, tuple]:
        held = _attributes(tree) if slots else vars(tree).keys()
        if not held <= expected and getattr(tree, "__dict__", None) is not tree:
            what, more = "fields" if fields else "items", ", ".join(sorted(map(str, held - expected)))
            raise _tree_error(kind, f"has attributes that are not among its {what} ({more})")
        return container.flatten(tree)

    return Container(flatten, container.unflatten)


def _attributes(tree: Any) -> set[str]:
    """The names of all attributes of an object with slots."""
    state = object.__getstate__(tree)  # a dict, or a pair of a dict and a dict of slots, or None
    return {name for part in (state if isinstance(state, tuple) else (state,)) for name in part or ()}


def _tree_error(kind: type, why: str) -> TreeError:
    return TreeError(f"{kind.__name__} {why}: register how to flatten and rebuild it with mg.tree.register")
