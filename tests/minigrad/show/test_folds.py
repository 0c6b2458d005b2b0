"""Folds: a call is one box with its values and cotangents, and its drawing has the operations that it made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import normal
from tests.support.peers import PEERS
from tests.support.pictures import check_geometry, format_number, read, read_all, words_of


def calls_of(picture):
    """The names and entries of the calls in a picture."""
    return [(box.words[0], box.entries) for box in picture.boxes if box.role == "call"]


def all_calls(pictures):
    return [call for picture in pictures for call in calls_of(picture)]


def walk(pictures, number=0):
    """The numbers of all pictures that clicks reach; each has the name and the operations of the box that opens it."""
    found = [number]
    for box in pictures[number].boxes:
        if box.opens:
            inside = [entry for b in pictures[box.opens].boxes for entry in b.entries]
            assert sorted(inside) == sorted(box.entries)
            assert any(words.startswith(f"{box.words[0]}(") for words in pictures[box.opens].head)
            found += walk(pictures, box.opens)
    return found


@st.composite
def programs(draw, depth=3):
    """Nested lists: a pair is an operation on two earlier values, a list is a call that does what is in it."""
    step = st.tuples(st.integers(0, 9), st.integers(0, 9))
    return draw(st.lists(step if depth == 0 else step | programs(depth - 1), min_size=1, max_size=4))


def run(steps, values, spans, count):
    """Run a program on a list of values, and note the entries of the tape that each call made."""
    first = count()
    for step in steps:
        if isinstance(step, list):
            run(step, values, spans, count)
        else:
            x, y = (values[-1 - i % len(values)] for i in step)
            values.append(mg.maximum(x, y) if step[0] % 2 else x * y)
    spans.add(tuple(range(first, count())))


@settings(max_examples=30)
@given(programs())
def test_calls_have_the_operations_that_ran_in_them(program):
    expected = set()
    with mg.Tape() as tape:
        run(program, [tape.watch(0.7), tape.watch(-1.3)], expected, lambda: len(tape))

    def f(x, y):
        values = [x, y]
        run(program, values, set(), lambda: 0)
        return sum(values[1:], values[0])

    pictures = read_all(mg.draw(f, 0.7, -1.3))
    assert {entries for _, entries in all_calls(pictures)} == expected
    assert sorted(walk(pictures)) == list(range(len(pictures))) == list(range(len(expected) + 1))
    additions = len(tape) - 1  # as many as values, but for one
    assert sorted(e for box in pictures[0].boxes for e in box.entries) == list(range(len(tape) + additions))
    for i, x in enumerate(mg.grad(f, (0, 1))(0.7, -1.3)):
        assert words_of(pictures[0], at=i)[3].endswith(f"= {format_number(x)}")
    for picture in pictures:
        check_geometry(picture)


def dense(x, w, b):
    return mg.tanh(x * w + b)


def three_layers(x, w, b):
    h = dense(x, w, b)
    k = dense(h, 0.5 * w, b)
    return dense(h * k, w, b) * h


def test_values_and_cotangents_of_a_call_are_those_of_jax():
    args = (0.7, -1.3, 0.4)
    pictures = read_all(mg.draw(three_layers, *args))
    top = pictures[0]
    assert calls_of(top) == [("dense", (3, 4, 5)), ("dense", (7, 8, 9)), ("dense", (11, 12, 13))]
    with PEERS["jax"]() as peer:
        results, cotangents, arguments, pulled = _by_jax(peer.top, peer.numpy, args)
    boxes = [box for box in top.boxes if box.role == "call"]
    for box, y, g, xs, pulled_xs in zip(boxes, results, cotangents, arguments, pulled, strict=True):
        assert box.words[3].endswith(f"= {format_number(y)}") and box.words[4].endswith(f"= {format_number(g)}")
        inside, number = pictures[box.opens], top.boxes.index(box)
        assert (f"outside ↑ {format_number(g)}") in labels_of(inside)
        assert sum(target == number for _, target in top.edges) == 3
        for at, (name, x, x_bar) in enumerate(zip("xwb", xs, pulled_xs, strict=True)):
            words = words_of(inside, at=at)
            assert words[0] == name and f"{name} = {format_number(x)}" in words
            assert words[-1].endswith(f"= {format_number(x_bar)}")
            assert f"{name} ↑ {format_number(x_bar)}" in labels_of(top)


def labels_of(picture):
    """The two lines beside each edge as one; the lower one is written first."""
    words = [words for words, _ in picture.labels]
    return [f"{words[i + 1]} {words[i]}" for i in range(len(words) - 1) if words[i].startswith("↑")]


def _by_jax(jax, jnp, args):
    """Of each of the three layers: its result, the cotangent of that, its arguments, and theirs through this layer."""

    def layer(x, w, b):
        return jnp.tanh(x * w + b)

    def f(changes, x, w, b):
        h = layer(x, w, b) + changes[0]
        k = layer(h, 0.5 * w, b) + changes[1]
        m = layer(h * k, w, b) + changes[2]
        return m * h, ((h, k, m), ((x, w, b), (h, 0.5 * w, b), (h * k, w, b)))

    cotangents, (results, arguments) = jax.grad(f, has_aux=True)(jnp.zeros(3), *args)
    pulled = [jax.vjp(layer, *map(float, xs))[1](g) for xs, g in zip(arguments, cotangents)]
    return results, cotangents, arguments, pulled


def test_several_results_have_lines_and_edges_of_their_own():
    def parts(x, y):
        s = mg.sin(x)
        return {"s": s, "c": (s * y, mg.exp(y))}

    def f(x, y):
        found = parts(x, y)
        return found["s"] * found["c"][0] + found["c"][1]

    pictures = read_all(mg.draw(f, 0.3, 2.0))
    ((name, entries),) = calls_of(pictures[0])
    assert (name, entries) == ("parts", (2, 3, 4))
    s, e = np.sin(0.3), np.exp(2.0)
    words = next(box.words for box in pictures[0].boxes if box.role == "call")
    assert words[2:] == [  # s is used outside once, and once inside, where its cotangent has a second term
        *(f"v₂ = {format_number(s)}", "float64[]", f"v̄₂ = {format_number(2 * s)}"),
        *(f"v₃ = {format_number(2 * s)}", "float64[]", f"v̄₃ = {format_number(s)}"),
        *(f"v₄ = {format_number(e)}", "float64[]", "v̄₄ = 1"),
        words[-1],
    ]
    inside = pictures[1]
    assert [box.words[0] for box in inside.boxes if box.role == "result"] == ["result v₂", "result v₃", "result v₄"]
    assert any(f"= {format_number(4 * s)}" in words for words in words_of(inside, "operation"))
    assert [words for words, _ in inside.labels].count("outside") == 3


def test_results_that_nobody_uses_and_values_from_closures():
    def f(x, y):
        def scaled(h):
            return h * y

        scaled(x)
        return scaled(2 * x)

    pictures = read_all(mg.draw(f, 1.5, -2.0))
    unused, used = [box for box in pictures[0].boxes if box.role == "call"]
    assert unused.words[:2] == ["scaled", "▸ 1 operation"] and not any("v" in words for words in unused.words[2:-1])
    assert [box.role for box in pictures[1].boxes].count("result") == 0
    inputs = [box.words for box in pictures[used.opens].boxes if box.role == "input"]
    assert inputs == [
        ["h", "float64[]", "outside: v₃", "h = 3", "h̄ = −2"],
        ["y", "float64[]", "y = −2", "y\u0304 = 3"],
    ]


def test_a_call_that_only_calls_another_is_one_box_and_small_calls_of_minigrad_are_none():
    def inner(x):
        return mg.sin(x) * 2

    def outer(x):
        return inner(x)

    def average(x):
        return mg.mean(x)

    def f(x):
        return mg.sum(outer(x)) + average(x)

    pictures = read_all(mg.draw(f, np.ones(2)))
    assert [name for name, _ in all_calls(pictures)] == ["outer › inner", "average"]
    assert [picture.head[1] for picture in pictures[1:]] == ["outer › inner(x)", "average(x)"]


def test_what_does_everything_is_opened():
    closed = read_all(mg.draw(lambda x: three_layers(x, 2.0, 1.0), 0.5))
    assert len(calls_of(closed[0])) == 3 and closed[0].head[0] == "f(x)"
    assert [b.words[0] for b in read(mg.draw(mg.mean, np.ones(3))).boxes if b.role == "operation"] == ["sum", "divide"]


def test_a_recursive_function_opens_step_by_step():
    def power(x, n):
        return x * power(x, n - 1) if n else mg.sin(x)

    pictures = read_all(mg.draw(lambda x: power(x, 5) + 1, 1.1))
    assert len(pictures) == 7
    assert [calls_of(picture) for picture in pictures[:2]] == [
        [("power", (1, 2, 3, 4, 5, 6))],
        [("power", (1, 2, 3, 4, 5))],
    ]
    assert pictures[1].head[:2] == ["‹ f(x)", "power(x)"]
    assert pictures[6].head[:4] == ["‹ f(x)", "› … › power(x)", "› power(x)", "power(x)"]


def test_a_deep_network_can_be_drawn_and_a_long_one_is_refused():
    def network(layers):
        def f(x):
            for i in range(layers):
                x = dense(x, 0.1 * i, 1.0)
            return x

        return f

    pictures = read_all(mg.draw(network(75), 1.0))
    assert len(pictures) == 76 and len(pictures[0].boxes) == 77
    with pytest.raises(ValueError, match=r"151 operations are too many.*the limit is 150.*functions of their own"):
        mg.draw(network(151), 1.0)
    with pytest.raises(ValueError, match=r"1,002 operations are too many.*the limit is 1,000"):
        mg.draw(network(334), 1.0)

    def deep(x):
        for _ in range(151):
            x = mg.sin(x)
        return x

    with pytest.raises(ValueError, match=r"151 operations in deep\(x\) are too many"):
        mg.draw(lambda x: deep(x) + 1, 1.0)


def test_chains_of_calls_run_straight_down():
    def f(x, layers):
        for w, b in layers:
            x = dense(x, w, b)
        return x

    picture = read(mg.draw(f, 1.0, [(normal((), i), normal((7, 3), i)) for i in range(8)]))
    spine = [x for x, (source, target) in zip(picture.starts, picture.edges) if picture.boxes[source].role == "call"]
    assert len(spine) == 8 and max(spine) - min(spine) < 1
    check_geometry(picture)


def test_calls_on_a_device_are_folded(on_device):
    x, w = on_device((np.array([1.0, -2.0], np.float32), np.array([0.5, 3.0], np.float32)))
    picture = read(mg.draw(lambda x, w: mg.sum(dense(x, w, 1.0)), x, w))
    assert calls_of(picture) == [("dense", (2, 3, 4))]


def test_nan_and_complex_numbers_pass_through_calls():
    def square(z):
        return z * z

    assert "v₁ = −3+4j" in words_of(read(mg.draw(lambda z: square(z) + 1, 1 + 2j)), "call")
    picture = read(mg.draw(lambda x: square(x) + 1, np.array([np.nan, 2.0])))
    assert {"v₁ = [nan, 4]", "v̄₁ = [1, 1]"} <= set(words_of(picture, "call"))
