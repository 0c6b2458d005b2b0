"""Which calls of functions ran each operation: their names, their arguments, and the lines that call them."""

from __future__ import annotations

import functools

import numpy as np

import minigrad as mg
from minigrad.show.calls import CallRecorder


def record(f, *args):
    """The calls in which each entry was made that is no input, without that of f itself."""
    with CallRecorder() as recorder:
        f(*[recorder.watch(x) for x in args])
    found = [recorder.calls_of(i) for i in range(len(recorder.tape))]
    assert found[: len(args)] == [()] * len(args)
    assert len({calls[0] for calls in found[len(args) :]}) == 1
    return [calls[1:] for calls in found[len(args) :]]


def names(f, *args):
    return [" ".join(call.name for call in calls) for calls in record(f, *args)]


def double(x):
    return 2 * x


def quadruple(x):
    return double(double(x))


class Layer:
    def __call__(self, x):
        return mg.sin(x)

    def forward(self, x):
        return self(x) + 1

    @staticmethod
    def halve(x):
        return x / 2


def test_nested_calls_are_listed_from_the_outermost():
    def f(x):
        return mg.sin(quadruple(x)) + double(x)

    assert names(f, 1.0) == ["quadruple double", "quadruple double", "", "double", ""]
    first, second, _, third, _ = record(f, 1.0)
    assert first[0] is second[0] and len({first[1], second[1], third[0]}) == 3  # every call is a call of its own


def test_recursive_calls_are_calls_of_their_own():
    def power(x, n):
        return x * power(x, n - 1) if n else mg.sin(x)

    (inner, middle, outer) = record(lambda x: power(x, 2), 1.0)
    assert [len(calls) for calls in (inner, middle, outer)] == [3, 2, 1]
    assert inner[:2] == middle and middle[:1] == outer


def test_functions_of_every_kind_have_names():
    triple = lambda x: 3 * x
    layer = Layer()
    jitted = mg.jit(double)

    def f(x):
        return [
            triple(x),
            (lambda h: h + 1)(x),
            layer(x),
            Layer.halve(x),
            *map(double, [x]),
            functools.partial(double)(x),
            *[double(h) for h in [x]],
            jitted(x),
            mg.vmap(double)(np.ones(2) * x),
        ]

    assert names(f, 1.0) == [
        "triple",
        "lambda",
        "Layer",
        "Layer.halve",
        *["double"] * 4,
        "",
        "double",
    ]
    assert names(lambda x: layer.forward(x), 1.0) == ["Layer.forward Layer", "Layer.forward"]


def test_a_generator_is_one_call_and_comprehensions_are_none():
    def steps(x):
        for _ in range(2):
            x = mg.sin(x)
            yield x

    found = record(lambda x: [h * 2 for h in steps(x)], 1.0)
    assert [[call.name for call in calls] for calls in found] == [["steps"], [], ["steps"], []]
    assert found[0] == found[2]


def test_functions_of_minigrad_are_calls_up_to_those_inside():
    assert names(lambda x: (mg.mean(x), x.mean(), np.mean(x)), np.ones(3)) == ["mean"] * 6
    assert set(names(lambda x: mg.std(x), np.ones(3))) == {"std"}  # which calls mean
    assert names(lambda x: mg.sin(x) * x, 1.0) == ["", ""]
    assert names(lambda x: mg.grad(lambda y: double(y) * y)(x), 1.0)[:2] == ["lambda double", "lambda"]


def test_arguments_have_the_names_of_parameters_and_of_tree_paths():
    def dense(x, layer, *rest, scale=1.0, name="dense", **more):
        return x * layer["w"] + rest[0] * more["shift"] * scale

    def f(x, w, b, c):
        return dense(x, {"w": w, "deep": (w, [b])}, c, 3.0, scale=b, shift=x)

    ((call,), *_) = record(f, 1.0, 2.0, 3.0, 4.0)
    assert call.arguments == {0: "x", 1: "layer.w", 2: "layer.deep.1.0", 3: "rest.0"}

    def closure():
        return x * 2

    with CallRecorder() as recorder:
        x = recorder.watch(1.0)
        closure()
    assert [call.arguments for call in recorder.calls_of(1)] == [{}]


def test_arguments_inside_of_a_derivative_are_found():
    found = record(lambda x, y: mg.grad(double)(y) * x * y, 1.0, 2.0)
    assert found[0][0].arguments == {1: "x"}


def test_a_call_has_the_line_that_calls_it():
    def f(x):
        x = double(x)
        return quadruple(x)

    first, second, _ = record(f, 1.0)
    line = f.__code__.co_firstlineno
    assert first[0].place == (__file__, line + 1) and second[0].place == (__file__, line + 2)
    assert second[1].place == (__file__, quadruple.__code__.co_firstlineno + 1)


def test_entries_of_calls_as_a_whole_belong_to_the_function_that_makes_them():
    @mg.custom_derivative
    def own(x):
        return mg.sin(double(x))

    @own.jvp
    def _(primals, tangents):
        return own(*primals), tangents[0] * mg.cos(2 * primals[0]) * 2

    def f(x):
        return mg.checkpoint(quadruple)(x) + own(x) + mg.scan(lambda s, _: (double(s), None), x, length=3)[0]

    def around(x):
        return f(x) * double(x)

    found = names(around, 1.0)
    assert found[:2] == ["f", "f"] and found[-2:] == ["double", ""] and set(found[2:-2]) == {"f"}


def test_a_checkpoint_without_traced_results_leaves_nothing_behind():
    def f(x):
        mg.checkpoint(lambda y: mg.stop_gradient(double(y)))(x)
        return mg.sin(x)

    assert [len(calls) for calls in record_all(f, 1.0)] == [0, 0, 1]


def record_all(f, *args):
    with CallRecorder() as recorder:
        f(*[recorder.watch(x) for x in args])
    return [recorder.calls_of(i) for i in range(len(recorder.tape))]
