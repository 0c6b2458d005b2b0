"""Containers: how to take one apart and how to rebuild it, for every type that can be an inner node of a tree.

A rebuilt container is as the original was: dicts keep the order of their keys, and the `__init__`, `__new__` and
`__post_init__` of a class do not run again. A container that has attributes besides its items or fields is refused by
name, since they would be lost.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from functools import cache, cached_property
from typing import Any, NamedTuple

BUILT_IN = (type(None), tuple, list, OrderedDict, defaultdict, dict)  # subclasses before their bases

ATTRIBUTES = "self.__dict__ = self"  # of a dict whose items are its attributes


class TreeError(ValueError):
    """Trees differ in structure where they must not, or a container cannot be rebuilt as it was."""


class Container(NamedTuple):
    """How to take one type apart, `open(x)` -> (keys, children, static), and to rebuild x, `close` of these three."""

    open: Callable[[Any], tuple[tuple, Iterable, tuple]]
    close: Callable[[tuple, list, tuple], Any]


def register(kind: type, flatten: Callable[[Any], tuple[Iterable, Any]], unflatten: Callable[[Any, list], Any]) -> None:
    """Make a class a tree node: `flatten(x)` gives (children, static), `unflatten(static, children)` rebuilds x.

    Children are trees; `static` is everything else, hashable and comparable with ==. This holds for objects of exactly
    this class, not of subclasses. Raises TypeError for what is not a class, TreeError (a ValueError) for a class that
    is registered already or built in.

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

    def take(tree: Any) -> tuple[tuple, Iterable, tuple]:
        children, static = flatten(tree)
        children = tuple(children)
        return tuple(range(len(children))), children, (static,)

    _registered[kind] = Container(take, lambda keys, children, static: unflatten(*static, children))
    container_of.cache_clear()  # the class may be there as one of leaves


_registered: dict[type, Container] = {}


@cache
def container_of(kind: type) -> Container | None:
    """How to open and close the containers of a type; None if its values are leaves."""
    if kind in _registered:
        return _registered[kind]
    base = next((base for base in BUILT_IN if issubclass(kind, base)), object)
    if base is object and not dataclasses.is_dataclass(kind):
        return None
    try:
        base.__new__(kind)  # as `close` will, without a __new__ or __init__ of the class
    except TypeError as error:
        raise _refusal(kind, f"cannot be rebuilt from its items ({error})") from None
    container = _makers[base](kind, base)
    may_hold_more = kind.__dictoffset__ or any(vars(c).get("__slots__") for c in kind.__mro__)
    fields = {field.name for field in dataclasses.fields(kind)} if base is object else set()
    return _refuse_attributes(kind, container, fields) if may_hold_more else container


def _of_none(kind: type, base: type) -> Container:
    return Container(lambda tree: ((), (), ()), lambda keys, children, static: None)


def _reader(kind: type, base: type) -> Callable[[Any], Iterable]:
    """How to read the items of a tuple or list: the slower way where a subclass has a way of its own."""
    return base.__iter__ if kind.__iter__ is not base.__iter__ else lambda tree: tree


def _of_tuple(kind: type, base: type) -> Container:
    fields = getattr(kind, "_fields", None)  # of a NamedTuple
    items = _reader(kind, base)

    def take(tree: tuple) -> tuple[tuple, Iterable, tuple]:
        return tuple(range(tuple.__len__(tree))) if fields is None else fields, items(tree), ()

    return Container(take, lambda keys, children, static: tuple.__new__(kind, children))


def _of_list(kind: type, base: type) -> Container:
    items = _reader(kind, base)

    def put(keys: tuple, children: list, static: tuple) -> list:
        made = list.__new__(kind)
        list.extend(made, children)
        return made

    put = (lambda keys, children, static: children.copy()) if kind is list else put
    return Container(lambda tree: (tuple(range(list.__len__(tree))), items(tree), ()), put)


def _of_dict(kind: type, base: type) -> Container:
    def take(tree: dict) -> tuple[tuple, Iterable, tuple]:
        static = (tree.default_factory,) if base is defaultdict else ()
        if kind.__dictoffset__ and vars(tree) is tree:
            static += (ATTRIBUTES,)
        return tuple(base.keys(tree)), base.values(tree), static

    def put(keys: tuple, children: list, static: tuple) -> dict:
        made = base.__new__(kind)
        if base is defaultdict:
            base.__init__(made, static[0])
        for key, child in zip(keys, children, strict=True):
            base.__setitem__(made, key, child)
        if static[-1:] == (ATTRIBUTES,):
            object.__setattr__(made, "__dict__", made)
        return made

    return Container(take, put)


def _of_dataclass(kind: type, base: type) -> Container:
    fields = dataclasses.fields(kind)
    names = tuple(field.name for field in fields if not field.metadata.get("static"))
    others = tuple(field.name for field in fields if field.metadata.get("static"))

    def take(tree: Any) -> tuple[tuple, Iterable, tuple]:
        try:
            return names, [getattr(tree, name) for name in names], tuple([getattr(tree, name) for name in others])
        except AttributeError as error:
            raise TreeError(f"a field of a {kind.__name__} has no value: {error}") from None

    def put(keys: tuple, children: list, static: tuple) -> Any:
        made = object.__new__(kind)
        for name, value in zip((*names, *others), (*children, *static), strict=True):
            object.__setattr__(made, name, value)  # also where it is frozen
        return made

    return Container(take, put)


_makers: dict[type, Callable[[type, type], Container]] = {
    type(None): _of_none,
    tuple: _of_tuple,
    list: _of_list,
    OrderedDict: _of_dict,
    defaultdict: _of_dict,
    dict: _of_dict,
    object: _of_dataclass,
}


def _refuse_attributes(kind: type, container: Container, fields: set[str]) -> Container:
    """The same, but refusing a container with attributes besides its items or fields, which would be lost."""
    recomputed = {name for c in kind.__mro__ for name, value in vars(c).items() if isinstance(value, cached_property)}
    expected = fields | recomputed | {"__orig_class__"}  # which typing sets to C[int] where C[int](…) is called
    slots = any(vars(c).get("__slots__") for c in kind.__mro__)

    def take(tree: Any) -> tuple[tuple, Iterable, tuple]:
        held = _attributes(tree) if slots else vars(tree).keys()
        if not held <= expected and getattr(tree, "__dict__", None) is not tree:
            what, more = "fields" if fields else "items", ", ".join(sorted(map(str, held - expected)))
            raise _refusal(kind, f"has attributes that are not among its {what} ({more})")
        return container.open(tree)

    return Container(take, container.close)


def _attributes(tree: Any) -> set[str]:
    """The names of all attributes of an object with slots."""
    state = object.__getstate__(tree)  # a dict, or that and a dict of slots, or None
    return {name for part in (state if isinstance(state, tuple) else (state,)) for name in part or ()}


def _refusal(kind: type, why: str) -> TreeError:
    return TreeError(f"a {kind.__name__} {why}: say how to take it apart and rebuild it with mg.tree.register")
