"""Containers: arguments and results keep type, order and fields; containers that cannot be rebuilt raise."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.tree import TreeError

Number = TypeVar("Number")


@dataclass
class Scaled:
    """`__post_init__` must not run again, and its results must be kept."""

    rate: Any
    power: int = field(default=2, metadata={"static": True})
    shift: Any = field(init=False, default=2.0)

    def __post_init__(self):
        self.rate = self.rate / 100


@dataclass(frozen=True, slots=True)
class Frozen:
    rate: Any
    shift: Any = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "shift", self.rate + 12.0)


class Point(namedtuple("Point", "x y")):
    __slots__ = ()

    def __new__(cls, x, y):
        return super().__new__(cls, 2 * x, y)


class Stack(list):
    def __init__(self, first, second):
        super().__init__([second, first])


class Window(tuple):
    def __new__(cls, *items):
        return super().__new__(cls, items[::-1])


class Parameters(OrderedDict):
    def __init__(self, *names):
        super().__init__((name, float(i)) for i, name in enumerate(names, 1))


class Reader(dict):
    """`dict` methods return other values and another order than are stored."""

    def __getitem__(self, key):
        return 10 * super().__getitem__(key)

    def __iter__(self):
        return iter(sorted(super().__iter__(), reverse=True))

    def values(self):
        return [self[key] for key in self]


class Attributes(dict):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.__dict__ = self


@dataclass
class Pair(Generic[Number]):
    rate: Number
    shift: Number


@dataclass
class Cached:
    rate: Any

    @cached_property
    def twice(self):
        return 2 * self.rate


def make_containers(cached=True):
    """{name: (container, a function of it that depends on its order, fields and type)}."""
    scaled, cached = Scaled(2.0, 3), Cached(3.0)
    scaled.shift = 14.0
    assert cached.twice == 6.0
    layers = {f"layer{i}": float(i) for i in range(1, 12)}
    default = defaultdict(list, {"b": 2.0, "a": 3.0})
    return {
        "dict": (layers, lambda p: chain(p.values())),
        "dict of mixed keys": ({2: 3.0, "a": 2.0, 1: 5.0, None: 1.5}, lambda p: chain(p.values())),
        "OrderedDict": (Parameters("b", "c", "a"), lambda p: chain(p.values()) + chain(reversed(p.values()))),
        "defaultdict": (default, lambda p: chain(p.values()) + len(p.default_factory())),
        "Counter": (Counter(b=2.0, a=3.0), lambda p: p["a"] ** 3 * p["b"] + p["no such key"]),
        "dict with overridden methods": (Reader(a=2.0, b=3.0), lambda p: chain(p.values())),
        "dict of attributes": (Attributes(b=2.0, a=3.0), lambda p: chain(p.values()) + p.a * p.b**2),
        "generic dataclass": (Pair[float](2.0, 3.0), lambda p: p.rate**2 * p.shift),
        "dataclass": (scaled, lambda p: p.rate**p.power * p.shift),
        "frozen dataclass with slots": (Frozen(2.0), lambda p: p.rate**2 * p.shift),
        "cached property": (cached, lambda p: p.twice * p.rate),
        "NamedTuple with __new__": (Point(1.0, 3.0), lambda p: p.x**2 * p.y),
        "list with __init__": (Stack(2.0, 3.0), chain),
        "tuple with __new__": (Window(2.0, 3.0, 4.0), chain),
        "nested": ({"z": [Point(1.0, 2.0)], "a": layers}, lambda p: chain(p["a"].values()) * p["z"][0].x),
    }


def chain(values):
    """A number that depends on the order of the values."""
    total = 0.5
    for value in values:
        total = 0.3 * total * value + value
    return total


def slopes(f, parameters):
    """Central differences of f, changing one number at a time in place, without flattening the container."""

    def places(node):
        if isinstance(node, dict):
            return [(node, key, dict.__setitem__, dict.__getitem__(node, key)) for key in dict.keys(node)]
        if isinstance(node, list):
            return [(node, i, list.__setitem__, value) for i, value in enumerate(node)]
        return [
            (node, name, object.__setattr__, getattr(node, name)) for name in node.__annotations__ if name != "power"
        ]

    found = []
    for node, name, put, value in places(parameters):
        moved = []
        for step in (1e-6, -1e-6):
            put(node, name, value + step)
            getattr(node, "__dict__", {}).pop("twice", None)  # stale after a change of `rate`
            moved.append(f(parameters))
        put(node, name, value)
        found.append((moved[0] - moved[1]) / 2e-6)
    return found


def same(one, other):
    """Assert that containers agree in type, order and contents."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(dict.keys(one)) == list(dict.keys(other))
        assert all(same(dict.__getitem__(one, key), dict.__getitem__(other, key)) for key in dict.keys(one))
        assert getattr(one, "default_factory", 0) is getattr(other, "default_factory", 0)
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other) and all(map(same, one, other))
    else:
        assert one == other
    return True


def as_floats(y):
    return mg.tree.map(float, y)


WAYS = {
    "grad": lambda f, p: mg.value_and_grad(f)(p)[0],
    "has_aux": lambda f, p: mg.grad(lambda p: (f(p), f(p)), has_aux=True)(p)[1],
    "vjp": lambda f, p: mg.vjp(f, p)[0],
    "jvp": lambda f, p: mg.jvp(f, (p,), (p,))[0],
    "jit": lambda f, p: mg.jit(lambda p, scale: scale * f(p))(mg.tree.map(np.array, p), np.array(1.0)),
    "trace": lambda f, p: mg.trace(f)(mg.tree.map(np.array, p))(mg.tree.map(np.array, p)),
    "checkpoint": lambda f, p: mg.value_and_grad(mg.checkpoint(f))(p)[0],
    "map": lambda f, p: f(mg.tree.map(lambda leaf: leaf, p)),
    "to_device": lambda f, p: f(mg.to_device(p, "cpu")),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", make_containers())
def test_a_function_receives_containers_unchanged(name, way):
    parameters, f = make_containers()[name]
    np.testing.assert_allclose(float(WAYS[way](f, parameters)), f(parameters), rtol=1e-13)
    assert same(parameters, make_containers()[name][0])


@pytest.mark.parametrize(
    "name", [name for name, (p, _) in make_containers().items() if not isinstance(p, tuple) and name != "nested"]
)
def test_a_gradient_has_the_type_and_order_of_its_argument(name):
    parameters, f = make_containers()[name]
    gradient = mg.grad(f)(parameters)
    assert type(gradient) is type(parameters)
    np.testing.assert_allclose(mg.tree.flatten(gradient)[0], slopes(f, parameters), rtol=1e-7)
    if isinstance(parameters, dict):
        assert list(dict.keys(gradient)) == list(dict.keys(parameters))


@pytest.mark.parametrize("name", make_containers())
def test_results_keep_type_and_order(name):
    def f(x):
        return mg.tree.map(lambda leaf: leaf * x, make_containers()[name][0])

    expected = make_containers()[name][0]
    for y in (
        mg.vjp(f, 1.0)[0],
        mg.jvp(f, (1.0,), (1.0,))[0],
        mg.jvp(f, (1.0,), (1.0,))[1],
        mg.grad(lambda x: (x, f(x)), has_aux=True)(1.0)[1],
        mg.jit(f)(np.array(1.0)),
        mg.trace(f)(np.array(1.0))(np.array(1.0)),
    ):
        assert same(as_floats(y), expected)


def test_trees_correspond_by_key_in_any_order():
    def step(p, g, m):
        m = mg.tree.map(lambda m, g: 0.9 * m + g, m, g)
        return mg.tree.map(lambda p, m: p - 0.1 * m, p, m), m

    p, g, m = {"w": np.ones(2), "b": np.zeros(3)}, {"b": np.full(3, 2.0), "w": np.full(2, 4.0)}, {}
    m["b"], m["w"] = np.full(3, -1.0), np.full(2, 10.0)
    for run in (step, mg.jit(step), mg.jit(step, donate=(0, 2))):
        for given in ((p, g, m), (dict(reversed(p.items())), g, m), (p, m, g), (p, dict(reversed(g.items())), m)):
            (new, state), (first, second) = run(*mg.tree.map(np.copy, given)), (given[1], given[2])
            assert list(new) == list(given[0]) and list(state) == list(given[2])
            for key in p:
                np.testing.assert_allclose(state[key], 0.9 * second[key] + first[key], rtol=1e-15)
                np.testing.assert_allclose(new[key], p[key] - 0.1 * state[key], rtol=1e-15)
    y, pullback = mg.vjp(lambda p: {"second": p["b"] * 2, "first": p["w"] * 3}, p)
    (back,) = pullback({"first": np.ones(2), "second": np.full(3, 5.0)})
    assert list(y) == ["second", "first"] and list(back) == ["w", "b"]
    np.testing.assert_array_equal(back["b"], np.full(3, 10.0))
    y_dot = mg.jvp(lambda p: p["w"][0] * p["b"][0], (p,), ({"b": np.full(3, 7.0), "w": np.ones(2)},))[1]
    assert y_dot == 7.0


def test_a_program_refuses_another_order_of_keys():
    p = {"w": np.array(2.0), "b": np.array(3.0)}
    program = mg.trace(lambda p: chain(p.values()))(p)
    with pytest.raises(ValueError, match=r"takes arguments .*w: \*, b: \*.* not .*b: \*, w: \*"):
        program({"b": p["b"], "w": p["w"]})


class Tagged(dict):
    pass


class Numbers(list):
    __slots__ = ("unit",)


@dataclass
class Record(OrderedDict):
    rate: Any = 1.0


@dataclass
class Empty:
    rate: Any
    shift: Any = field(init=False)


def with_attributes(container, **attributes):
    for name, value in attributes.items():
        setattr(container, name, value)
    return container


@pytest.mark.parametrize(
    ("container", "message"),
    [
        (with_attributes(Tagged(a=1.0), unit="m"), r"Tagged has attributes .* items \(unit\)"),
        (with_attributes(Numbers([1.0]), unit="m"), r"Numbers has attributes .* items \(unit\)"),
        (with_attributes(Window(1.0), twice=2.0), r"Window has attributes .* items \(twice\)"),
        (Record(2.0), r"Record has attributes .* items \(rate\)"),
        (with_attributes(Cached(1.0), thrice=3.0), r"Cached has attributes .* fields \(thrice\)"),
        (Empty(1.0), "a field of Empty has no value: .*shift"),
        (time.gmtime(0), "struct_time cannot be rebuilt"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize(
    "use", [mg.grad(lambda p: 1.0), mg.jit(lambda p: p), mg.tree.flatten], ids=["grad", "jit", "flatten"]
)
def test_containers_that_cannot_be_rebuilt_raise(container, message, use):
    with pytest.raises(TreeError, match=message):
        use({"p": [container]})


def test_a_tree_that_contains_itself_raises():
    knot: dict = {"a": 1.0, "b": [2.0]}
    knot["b"].append({"c": knot})
    for use in (mg.grad(lambda p: p["a"]), mg.jit(lambda p: p["a"]), mg.tree.flatten):
        with pytest.raises(TreeError, match=r"contains itself: the container at '.*b\.1\.c' is its own ancestor"):
            use(knot)
    deep: list = []
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(TreeError, match="nested too deeply"):
        mg.tree.flatten(deep)


class Line:
    """Neither a dict nor a dataclass."""

    def __init__(self, slope, intercept, *, name):
        self.slope, self.intercept, self.name = slope, intercept, name

    def __call__(self, x):
        return self.slope * x + self.intercept


def test_a_registered_class_is_a_tree():
    line = Line(3.0, 2.0, name="a")
    with pytest.raises(TypeError, match=r"Line.*mg\.tree\.register"):
        mg.grad(lambda line: line(2.0))(line)
    mg.tree.register(
        Line, lambda x: ((x.slope, x.intercept), x.name), lambda name, children: Line(*children, name=name)
    )
    for f in (lambda line: line(2.0) ** 2, mg.checkpoint(lambda line: line(2.0) ** 2)):
        gradient = mg.grad(f)(line)
        assert type(gradient) is Line and (gradient.slope, gradient.intercept, gradient.name) == (32.0, 16.0, "a")
    jitted = mg.jit(lambda line, x: Line(line(x), line.slope, name=line.name + "b"))
    for name in ("a", "c"):
        moved = jitted(Line(np.array(3.0), np.array(2.0), name=name), np.array(2.0))
        assert (float(moved.slope), float(moved.intercept), moved.name) == (8.0, 3.0, name + "b")
    assert mg.tree.names({"line": line}) == ["line.0", "line.1"]
    with pytest.raises(TreeError, match="has structure"):
        mg.tree.map(lambda a, b: a, line, Line(1.0, 1.0, name="another"))
    with pytest.raises(ValueError, match="Line is already registered or built in"):
        mg.tree.register(Line, lambda x: ((), None), lambda static, children: None)
    with pytest.raises(ValueError, match="dict is already registered or built in"):
        mg.tree.register(dict, lambda x: ((), None), lambda static, children: {})
    with pytest.raises(TypeError, match="needs a class, got 3"):
        mg.tree.register(3, lambda x: ((), None), lambda static, children: 3)
