"""What a picture shows: boxes and edges are those of the tape, and cotangents are the gradient."""

from __future__ import annotations

import functools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import normal
from tests.support.pictures import check_geometry, format_number, read, words_of

UNARY = {"sin": mg.sin, "exp": mg.exp, "square": mg.square, "sum": mg.sum, "flip": mg.flip, "tanh": mg.tanh}
BINARY = {"add": mg.add, "multiply": mg.multiply, "subtract": mg.subtract, "maximum": mg.maximum}


@st.composite
def programs(draw):
    """(inputs, steps, results): each step an operation on earlier values or a constant; results are values."""
    inputs = draw(st.lists(st.sampled_from([(), (2,), (3, 2), (9,)]), min_size=1, max_size=3))
    count, steps = len(inputs), []
    for _ in range(draw(st.integers(1, 12))):
        earlier = st.integers(0, count - 1)
        if draw(st.booleans()):
            steps.append((draw(st.sampled_from(sorted(UNARY))), draw(earlier)))
        else:
            steps.append((draw(st.sampled_from(sorted(BINARY))), draw(earlier), draw(earlier | st.just(None))))
        count += 1
    return inputs, steps, draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=2))


def run(program, arguments):
    """The results of a program; where shapes do not fit, both operands are summed first."""
    _, steps, results = program
    values = list(arguments)
    for name, first, *second in steps:
        x = values[first]
        if not second:
            values.append(mg.sum(x) if name == "flip" and x.ndim == 0 else UNARY[name](0.1 * x))
            continue
        y = 0.75 if second == [None] else values[second[0]]
        if second != [None] and x.shape != y.shape and () not in (x.shape, y.shape):
            x, y = mg.sum(x), mg.sum(y)
        values.append(BINARY[name](x, y))
    return [values[i] for i in results]


@given(programs())
def test_a_picture_agrees_with_the_tape_and_the_gradient(program):
    arguments = [normal(shape, i) for i, shape in enumerate(program[0])]
    picture = read(mg.draw(lambda *xs: run(program, xs), *arguments))
    with mg.Tape() as tape:
        inputs = tape.watch(arguments)
        run(program, inputs)

    box_of = {entry: i for i, box in enumerate(picture.boxes) for entry in box.entries}
    assert sorted(e for box in picture.boxes for e in box.entries) == list(range(len(tape)))  # each once
    names = [line.split(" = ")[1].split("(")[0] for line in str(tape).splitlines()]
    for entry, name in enumerate(names):
        box = picture.boxes[box_of[entry]]
        assert box.role == "input" if name == "input" else box.words[0] == name
    nodes = tape._reverse.tape
    parents = Counter((box_of[p], box_of[i]) for i, node in enumerate(nodes) for p in node.parents if p is not None)
    solid = [(a, b) for a, b in picture.edges if "constant" not in (picture.boxes[a].role, picture.boxes[b].role)]
    assert Counter(e for e in solid if picture.boxes[e[1]].role != "result") == parents
    assert [box.role for box in picture.boxes].count("result") == len(program[2])
    constants = sum(p is None for node in nodes for p in node.parents)
    assert [box.role for box in picture.boxes].count("constant") == constants

    gradients = mg.grad(lambda xs: sum(map(mg.sum, run(program, xs))))(arguments)
    for i, (x, gradient) in enumerate(zip(arguments, gradients)):
        box = picture.boxes[box_of[i]]
        if x.shape == ():
            assert f"x{i} = {format_number(x)}" in box.words or f"x = {format_number(x)}" in box.words
            (bar,) = [words for words in box.words if "̄" in words]
            assert bar.endswith(f"= {format_number(gradient)}") or (gradient == 0 and "= 0: " in bar)
    check_geometry(picture)


def test_a_result_that_is_no_scalar_starts_from_a_cotangent_of_ones_and_says_so():
    picture = read(mg.draw(lambda x: x * np.array([2.0, -3.0]), np.ones(2)))
    assert any("not a scalar" in words and "cotangent of ones" in words for words in picture.head)
    assert "x̄ = [2, −3]" in words_of(picture)
    several = read(mg.draw(lambda x: {"a": 2 * x, "b": x}, 1.0))
    assert any(words.startswith("2 results:") for words in several.head)
    assert [box.words[0] for box in several.boxes if box.role == "result"] == ["result a", "result b"]
    (bar,) = [words for words in words_of(several) if words.startswith("x̄")]
    assert bar in ("x̄ = 2 + 1 = 3", "x̄ = 1 + 2 = 3")  # 1 is the cotangent of the second result
    assert "x̄ = 1 + 1 = 2" in words_of(read(mg.draw(lambda x: (x, x), 1.0)))


def test_a_value_used_twice_by_one_operation_has_two_edges():
    picture = read(mg.draw(lambda x: x * x, 3.0))
    assert Counter(picture.edges) == {(0, 1): 2, (1, 2): 1}
    assert "x̄ = 3 + 3 = 6" in words_of(picture)


def test_values_that_the_result_does_not_need_have_no_backward_edge():
    def f(x, unused):
        mg.sin(x)
        return x * 2

    picture = read(mg.draw(f, 1.0, np.ones(2)))
    assert "u\u0304nused = 0: the result does not depend on it" in words_of(picture, at=1)
    assert "v̄₂ = 0: the result does not depend on it" in words_of(picture, "operation")
    assert [words for words, _ in picture.labels].count("start") == 1
    assert len(picture.paths) == len(picture.edges) + 2  # two edges backwards: into x, and from the result


def test_a_checkpoint_is_one_box_with_all_its_results():
    def inner(a, b, name):
        return mg.sin(a) * b, mg.exp(mg.exp(a))

    def f(x):
        h = 3 * x
        one, two = mg.checkpoint(inner)(x, 2.0, name="<&>")
        three = mg.checkpoint(lambda y: y * h)(x)  # closes over h
        return one * (one + two) + three

    picture = read(mg.draw(f, 0.5))
    calls = [box for box in picture.boxes if box.words[0] == "checkpoint"]
    assert len(calls) == 2 and calls[0].words[1] == "inner" and len(calls[0].entries) == 3
    assert not {"sin", "exp"} & {box.words[0] for box in picture.boxes}
    assert {f"v₃ = {format_number(2 * math.sin(0.5))}", f"v₄ = {format_number(math.exp(math.exp(0.5)))}"} <= set(
        calls[0].words
    )
    (h,) = [i for i, box in enumerate(picture.boxes) if box.entries == (1,)]
    one, two = 2 * math.sin(0.5), math.exp(math.exp(0.5))
    (bar,) = [words for words in calls[0].words if words.startswith("v̄₃")]
    assert bar.endswith(f"= {format_number(2 * one + two)}") and bar.count("+") == 1
    assert f"v̄₄ = {format_number(one)}" in calls[0].words
    assert (h, picture.boxes.index(calls[1])) in picture.edges and "v̄₁ = 0.5" in picture.boxes[h].words
    (bar,) = [words for words in words_of(picture) if words.startswith("x̄")]
    assert bar.endswith(f"= {format_number(mg.grad(f)(0.5))}")
    check_geometry(picture)


def test_gradient_functions_can_be_drawn():
    picture = read(mg.draw(mg.grad(lambda x: mg.sin(x) * x), 1.0))
    (bar,) = [words for words in words_of(picture) if words.startswith("x̄")]
    assert bar.endswith(f"= {format_number(2 * math.cos(1) - math.sin(1))}")


def test_arguments_are_named_after_parameters_and_trees():
    picture = read(mg.draw(lambda p, *rest: p["w"] * p["b"][0] * rest[0], {"w": 1.0, "b": (2.0,)}, 3.0))
    assert [box.words[0] for box in picture.boxes if box.role == "input"] == ["p.w", "p.b.0", "x1"]
    assert read(mg.draw(mg.sin, 1.0)).head[0] == "sin(x)"
    assert read(mg.draw(functools.partial(mg.multiply, 2.0), 1.0)).head[0] == "multiply(x2)"


def test_arrays_of_any_device_and_dtype_are_drawn(on_device, xp):
    x, c = on_device((np.array([1.0, -2.0], np.float32), np.arange(12, dtype=np.float32)))
    picture = read(mg.draw(lambda x: mg.sum(x[0] * c + x[1]), x))
    assert words_of(picture)[1:4] == ["float32[2]", "x = [1, −2]", "x̄ = [66, 12]"]
    assert ["float32[12]", "∈ [0, 11]"] in [box.words for box in picture.boxes]


def test_drawing_inside_a_derivative_shows_plain_numbers_and_changes_nothing():
    seen = []

    def f(x):
        seen.append(mg.draw(lambda y: y * y, x))
        return x * x

    with mg.Tape() as tape:
        y = f(tape.watch(3.0))
    assert len(tape) == 2 and float(tape.gradient(y, y)) == 1
    assert "y = 3" in words_of(read(seen[0]))


def test_the_function_runs_once():
    runs = []
    mg.draw(lambda x: (runs.append(x), x * x)[1], 1.0)
    assert len(runs) == 1


@pytest.mark.parametrize(
    ("f", "args", "kind", "message"),
    [
        (lambda x: None, (1.0,), TypeError, "returned nothing"),
        (lambda x: mg.argmax(x), (np.ones(2),), TypeError, r"result is int64\[\], .*floating-point results only"),
        (lambda x: {"a": x, "n": 3}, (1.0,), TypeError, "result 'n' is 3"),
        (lambda x: "x", (1.0,), TypeError, "must be an array, got a str"),
        (lambda x: 2.0, (1.0,), ValueError, "no result depends on the arguments"),
        (lambda: 2.0, (), ValueError, "no result depends on the arguments"),
        (lambda x: x, (1,), TypeError, "floating-point arguments, got 1: .* closure"),
        (lambda x: x, (np.arange(3),), TypeError, r"got int64\[3\]: .* closure"),
        (lambda x: x, ("a",), TypeError, "not an array: builtins.str"),
    ],
)
def test_functions_and_arguments_that_do_not_fit_are_refused(f, args, kind, message):
    with pytest.raises(kind, match=message):
        mg.draw(f, *args)


def test_a_graph_too_large_to_read_is_refused():
    def chain(x, times):
        for _ in range(times):
            x = mg.sin(x)
        return x

    assert len([b for b in read(mg.draw(lambda x: chain(x, 150), 1.0)).boxes if b.role == "operation"]) == 150
    with pytest.raises(ValueError, match=r"151 operations are too many to read.*mg\.checkpoint"):
        mg.draw(lambda x: chain(x, 151), 1.0)
    mg.draw(lambda x: mg.checkpoint(chain)(x, 1000), 1.0)


def test_an_array_changed_while_it_is_drawn_is_refused():
    c = np.ones(2)

    def f(x):
        y = x + c
        c[0] = 5  # no rule needs it, but the picture would show a value that it did not have
        return y

    with pytest.raises(mg.MutationError):
        mg.draw(f, np.ones(2))
