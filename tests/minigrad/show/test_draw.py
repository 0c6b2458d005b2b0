"""The picture of a computation: it says what the tape and the gradient say, nothing overlaps, and files are whole."""

from __future__ import annotations

import functools
import math
import os
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from itertools import combinations, pairwise
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.show.layout import Size, arrange
from tests.support.strategies import signed

SVG = "{http://www.w3.org/2000/svg}"


class Rectangle(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other, apart=0.0):
        across = self.left < other.right + apart and other.left < self.right + apart
        return across and self.top < other.bottom + apart and other.top < self.bottom + apart


class Box(NamedTuple):
    role: str
    entries: tuple[int, ...]
    rectangle: Rectangle
    texts: list  # of (words, rectangle)

    @property
    def words(self):
        return [words for words, _ in self.texts]


class Picture(NamedTuple):
    boxes: list[Box]
    edges: list[tuple[int, int]]
    starts: list[float]  # where each leaves its box, from the left
    paths: list[str]
    labels: list  # of (words, rectangle)
    head: list[str]


def read(svg):
    """A picture read back from its text."""
    root = ElementTree.fromstring(svg)
    (drawing,) = root.findall(f"{SVG}g")
    groups = [(g, g.get("class").split()) for g in drawing.findall(f"{SVG}g")]
    boxes = []
    for number, g in enumerate(g for g, kinds in groups if "box" in kinds):
        assert int(g.get("data-box")) == number
        r = g.find(f"{SVG}rect")
        x, y, w, h = (float(r.get(name)) for name in ("x", "y", "width", "height"))
        entries = tuple(map(int, g.get("data-entries", "").split()))
        texts = [text(t) for t in g.findall(f"{SVG}text")]
        boxes.append(Box(g.get("class").split()[1], entries, Rectangle(x, y, x + w, y + h), texts))
    edges = [g for g, kinds in groups if "edge" in kinds]
    ends = [(int(g.get("data-source")), int(g.get("data-target"))) for g in edges]
    paths = [p.get("d") for g in edges for p in g.findall(f"{SVG}path") if not p.get("class").startswith("tip")]
    starts = [float(g.find(f"{SVG}path").get("d")[1:].split()[0]) for g in edges]
    labels = [text(t) for t in drawing.findall(f"{SVG}text")]
    return Picture(boxes, ends, starts, paths, labels, [t.text for t in root.findall(f"{SVG}text")])


def text(element):
    """(words, where they stand) by the width of a letter of DejaVu Sans Mono: 1233 of 2048 units."""
    size, x, y = (float(element.get(name)) for name in ("font-size", "x", "y"))
    words = element.text.replace("\u00a0", " ")
    width = 1233 / 2048 * size * sum(not unicodedata.combining(c) for c in words)
    x -= width if element.get("text-anchor") == "end" else 0
    return words, Rectangle(x, y - 0.8 * size, x + width, y + 0.2 * size)


def shown(x):
    """How a number is expected to be written."""
    return f"{float(x) + 0.0:.4g}".replace("-", "−")


def stretches(path):
    """The straight and the curved pieces of a path, each as the rectangle of its ends."""
    x, y, *rest = map(float, re.findall(r"-?\d+\.?\d*", path.split("V")[0]))
    assert not rest
    for command, numbers in re.findall(r"([VC])([^VCM]+)", path):
        numbers = [float(n) for n in numbers.split()]
        x1, y1 = (x, numbers[0]) if command == "V" else numbers[-2:]
        assert y1 >= y - 0.11, "an edge runs upwards"
        if command == "C":
            assert numbers[0] == x and numbers[2] == x1, "a curve that does not start and end straight down"
        yield Rectangle(min(x, x1), y, max(x, x1), y1)
        x, y = x1, y1


def check_geometry(picture):
    """No two boxes meet, words stay in their boxes, labels meet nothing, edges run down and through no box."""
    for a, b in combinations(picture.boxes, 2):
        assert not a.rectangle.meets(b.rectangle, apart=4)
    for box in picture.boxes:
        r = box.rectangle
        for _, t in box.texts:
            assert r.left < t.left and t.right < r.right and r.top < t.top and t.bottom < r.bottom
        for (_, t), (_, u) in combinations(box.texts, 2):
            assert not t.meets(u)
    for (_, a), (_, b) in combinations(picture.labels, 2):
        assert not a.meets(b)
    for _, label in picture.labels:
        assert not any(label.meets(box.rectangle) for box in picture.boxes)
    for path in picture.paths:
        for piece in stretches(path):
            assert not any(piece.meets(box.rectangle, apart=-0.11) for box in picture.boxes)
            assert not any(piece.meets(label) for _, label in picture.labels)


# Random programs

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
def test_a_picture_says_what_the_tape_and_the_gradient_say(program):
    arguments = [signed(shape, i) for i, shape in enumerate(program[0])]
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
            assert f"x{i} = {shown(x)}" in box.words or f"x = {shown(x)}" in box.words
            (bar,) = [words for words in box.words if "̄" in words]
            assert bar.endswith(f"= {shown(gradient)}") or (gradient == 0 and "= 0: " in bar)
    check_geometry(picture)


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 25))
    side = st.integers(20, 300)
    edges = [(draw(st.integers(0, t - 1)), t) for t in range(1, count) for _ in range(draw(st.integers(0, 3)))]
    entering = Counter(t for _, t in edges)
    sizes = []
    for box in range(count):
        width = draw(side) + 20 * entering[box]
        ports = tuple(width * (i + 0.5) / entering[box] for i in range(entering[box]))
        sizes.append(Size(width, draw(side), ports, draw(st.integers(0, 40)), draw(st.integers(0, 60))))
    return sizes, edges


@given(graphs())
def test_boxes_of_any_sizes_and_edges_have_room(graph):
    sizes, edges = graph
    layout = arrange(sizes, edges)
    boxes = [Rectangle(x, y, x + s.width, y + s.height) for (x, y), s in zip(layout.corners, sizes)]
    for box, size in zip(boxes, sizes):
        assert -1e-6 <= box.left and box.right + size.beside <= layout.width + 1e-6
        assert (size.above if size.ports else 0) <= box.top + 1e-6 and box.bottom <= layout.height + 1e-6
    lanes = [
        Rectangle(b.left, b.top - (s.above if s.ports else 0), b.right + s.beside, b.bottom)
        for b, s in zip(boxes, sizes)
    ]
    for a, b in combinations(lanes, 2):
        assert not a.meets(b, apart=4)
    entered = Counter()
    for (source, target), route in zip(edges, layout.routes):
        assert boxes[source].left <= route[0][0] <= boxes[source].right and route[0][1] == boxes[source].bottom
        port = boxes[target].left + sizes[target].ports[entered[target]]
        assert math.isclose(route[-1][0], port, abs_tol=1e-6) and route[-1][1] == boxes[target].top
        entered[target] += 1
        for (fellow, _), other in zip(edges, layout.routes):
            if fellow == source and route[2][0] < other[2][0]:
                assert route[0][0] < other[0][0], "two edges cross on leaving their box"
        for i, ((x0, y0), (x1, y1)) in enumerate(pairwise(route)):
            assert y1 >= y0 and (x0 == x1 or i % 2 == 1), "straight down first, then a curve, and so on"
            piece = Rectangle(min(x0, x1), y0, max(x0, x1), y1)
            assert not any(piece.meets(box, apart=-1e-6) for box in boxes)


def crossings(layout):
    """How many pairs of curves between two levels swap sides."""
    curves = [(a[1], a[0], b[0]) for route in layout.routes for a, b in zip(route[1::2], route[2::2])]
    return sum(y == z and (a - c) * (b - d) < -1e-6 for (y, a, b), (z, c, d) in combinations(curves, 2))


def placed(edges, widths):
    """A layout of boxes of these widths, with ports side by side."""
    entering = Counter(target for _, target in edges)
    ports = [tuple(w * (i + 0.5) / entering[box] for i in range(entering[box])) for box, w in enumerate(widths)]
    return arrange([Size(w, 30.0, p) for w, p in zip(widths, ports)], edges)


def test_edges_are_straight_where_they_can_be():
    assert {x for x, _ in placed([(i, i + 1) for i in range(5)], [100.0] * 6).corners} == {0.0}
    edges = [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)]
    layout = placed(edges, [120.0, 80.0, 200.0, 60.0, 300.0])
    assert len({round(x, 6) for x, _ in layout.routes[4][1:-1]}) == 1  # the one that passes by
    assert len({round(x, 6) for route in layout.routes[1:4] for x, _ in route}) == 1  # the chain beside it


@pytest.mark.parametrize(
    "edges",
    [
        [(1, 3), (0, 3), (0, 4), (2, 4)],  # 1, 0, 2 from left to right crosses nothing
        [(1, 2), (1, 3), (1, 4), (2, 4), (0, 5), (5, 6), (0, 6)],
    ],
)
def test_edges_do_not_cross_where_an_order_is_found(edges):
    assert crossings(placed(edges, [100.0] * (max(map(max, edges)) + 1))) == 0


# What is written


def words_of(picture, role="input", at=0):
    return [box for box in picture.boxes if box.role == role][at].words


def test_x_bar_is_written_as_the_sum_over_its_edges():
    def f(x):
        return x * mg.sin(x)

    picture = read(mg.draw(f, 3.0))
    s, c = math.sin(3), math.cos(3)  # of these the first is positive, the second negative
    through_sine, direct = sorted((edge[1], x) for edge, x in zip(picture.edges, picture.starts) if edge[0] == 0)
    sums = f"{shown(s)} − {shown(-3 * c)}", f"{shown(3 * c)} + {shown(s)}"  # as the edges stand, from left to right
    assert f"x̄ = {sums[direct[1] > through_sine[1]]} = {shown(s + 3 * c)}" in words_of(picture)
    assert words_of(picture)[:3] == ["x", "float64[]", "x = 3"]
    sine, product = words_of(picture, "operation"), words_of(picture, "operation", 1)
    assert sine[:4] == ["sin", "float64[]", f"v₁ = {shown(s)}", "v̄₁ = 3"]
    assert product[:4] == ["multiply", "float64[]", f"v₂ = {shown(3 * s)}", "v̄₂ = 1"]
    line = f.__code__.co_firstlineno + 1
    assert sine[4] == f"{Path(__file__).name}:{line}  return x * mg.sin(x)"
    labels = Counter(words for words, _ in picture.labels)
    slopes = [f"∂ = {shown(c)}", f"∂ = {shown(s)}", "∂ = 3", "start"]
    assert labels == Counter([*slopes, f"↑ {shown(3 * c)}", f"↑ {shown(s)}", "↑ 3", "↑ 1"])
    assert "The backward pass starts from a cotangent of 1 at the result." in picture.head


def test_arrays_show_numbers_while_few_and_their_range_when_many():
    w, b = np.array([[1.0, -2.0], [0.5, 4.0]]), np.arange(9.0)
    picture = read(mg.draw(lambda w, b: mg.sum(w * w) + mg.sum(2 * b), w, b))
    assert words_of(picture)[1:6] == ["float64[2, 2]", "w = [[1, −2], [0.5, 4]]", "w̄ = [[2, −4], [1, 8]]", "Σ 2 edges"]
    assert words_of(picture, at=1)[1:] == ["float64[9]", "b ∈ [0, 8]", "b̄ = 2 everywhere"]
    constants = [box.words for box in picture.boxes if box.role == "constant"]
    assert constants == [["2"]]
    assert "sumᵀ" in [words for words, _ in picture.labels]


def test_a_matrix_that_is_wide_takes_a_line_a_row():
    x = np.array([[0.123, -4.56, 7.89], [-0.0123, 45.6, -789.0]])
    picture = read(mg.draw(lambda x: mg.sum(mg.sin(x)), x))
    assert words_of(picture)[2:4] == ["x = [[0.123, −4.56, 7.89],", "     [−0.0123, 45.6, −789]]"]


def test_broadcast_arguments_and_matrix_products_say_how_they_are_pulled_back():
    picture = read(mg.draw(lambda w, b: np.ones((4, 3)) @ w + b, signed((3, 2)), signed((2,))))
    labels = [words for words, _ in picture.labels]
    assert labels.count("matmulᵀ") == 1 and labels.count("Σ ∂·v̄") == 1 and labels.count("∂ = 1 everywhere") == 1
    assert "↑ [4, 4]" in labels  # of b: four rows of ones


def test_a_result_that_is_no_scalar_starts_from_ones_and_says_so():
    picture = read(mg.draw(lambda x: x * np.array([2.0, -3.0]), np.ones(2)))
    assert any("no scalar" in words and "cotangent of ones" in words for words in picture.head)
    assert "x̄ = [2, −3]" in words_of(picture)
    several = read(mg.draw(lambda x: {"a": 2 * x, "b": x}, 1.0))
    assert any(words.startswith("2 results:") for words in several.head)
    assert [box.words[0] for box in several.boxes if box.role == "result"] == ["result a", "result b"]
    (bar,) = [words for words in words_of(several) if words.startswith("x̄")]
    assert bar in ("x̄ = 2 + 1 = 3", "x̄ = 1 + 2 = 3")  # 1 is the start at the second result
    assert "x̄ = 1 + 1 = 2" in words_of(read(mg.draw(lambda x: (x, x), 1.0)))


def test_a_value_used_twice_by_one_operation_has_two_edges():
    picture = read(mg.draw(lambda x: x * x, 3.0))
    assert Counter(picture.edges) == {(0, 1): 2, (1, 2): 1}
    assert "x̄ = 3 + 3 = 6" in words_of(picture)


def test_what_the_result_does_not_need_has_no_edge_back():
    def f(x, unused):
        mg.sin(x)
        return x * 2

    picture = read(mg.draw(f, 1.0, np.ones(2)))
    assert "u\u0304nused = 0: the result does not depend on it" in words_of(picture, at=1)
    assert "v̄₂ = 0: the result does not depend on it" in words_of(picture, "operation")
    assert [words for words, _ in picture.labels].count("start") == 1
    assert len(picture.paths) == len(picture.edges) + 2  # two edges go back: into x, and from the result


def test_parameters_of_operations_are_shown():
    picture = read(mg.draw(lambda x: mg.sum(mg.transpose(x)[1:, 0], axis=0), signed((2, 3))))
    words = [words for box in picture.boxes for words in box.words]
    assert {"axes=(1, 0)", "index=(1:, 0)", "axes=(0,)"} <= set(words)


def test_a_checkpoint_is_one_box_with_all_its_results():
    def inner(a, b, name):
        return mg.sin(a) * b, mg.exp(mg.exp(a))

    def f(x):
        h = 3 * x
        one, two = mg.checkpoint(inner)(x, 2.0, name="<&>")
        three = mg.checkpoint(lambda y: y * h)(x)  # uses h without being given it
        return one * (one + two) + three

    picture = read(mg.draw(f, 0.5))
    calls = [box for box in picture.boxes if box.words[0] == "checkpoint"]
    assert len(calls) == 2 and calls[0].words[1] == "inner" and len(calls[0].entries) == 3
    assert not {"sin", "exp"} & {box.words[0] for box in picture.boxes}
    assert {f"v₃ = {shown(2 * math.sin(0.5))}", f"v₄ = {shown(math.exp(math.exp(0.5)))}"} <= set(calls[0].words)
    (h,) = [i for i, box in enumerate(picture.boxes) if box.entries == (1,)]
    one, two = 2 * math.sin(0.5), math.exp(math.exp(0.5))
    (bar,) = [words for words in calls[0].words if words.startswith("v̄₃")]
    assert bar.endswith(f"= {shown(2 * one + two)}") and bar.count("+") == 1
    assert f"v̄₄ = {shown(one)}" in calls[0].words
    assert (h, picture.boxes.index(calls[1])) in picture.edges and "v̄₁ = 0.5" in picture.boxes[h].words
    (bar,) = [words for words in words_of(picture) if words.startswith("x̄")]
    assert bar.endswith(f"= {shown(mg.grad(f)(0.5))}")
    check_geometry(picture)


def test_gradients_can_be_drawn_too():
    picture = read(mg.draw(mg.grad(lambda x: mg.sin(x) * x), 1.0))
    (bar,) = [words for words in words_of(picture) if words.startswith("x̄")]
    assert bar.endswith(f"= {shown(2 * math.cos(1) - math.sin(1))}")


def test_arguments_are_named_after_parameters_and_trees():
    picture = read(mg.draw(lambda p, *rest: p["w"] * p["b"][0] * rest[0], {"w": 1.0, "b": (2.0,)}, 3.0))
    assert [box.words[0] for box in picture.boxes if box.role == "input"] == ["p.w", "p.b.0", "x1"]
    assert read(mg.draw(mg.sin, 1.0)).head[0] == "sin(x)"
    assert read(mg.draw(functools.partial(mg.multiply, 2.0), 1.0)).head[0] == "multiply(x2)"


def test_whatever_is_written_is_escaped():
    source = 'def f(p):\n    return p["<&>"] * p["]]>\\ud800\\x00"]  # "a" & <b>\n'
    namespace = {"mg": mg}
    exec(compile(source, "/somewhere/<&'\">.py", "exec"), namespace)
    namespace["f"].__name__ = "<script>"
    picture = read(mg.draw(namespace["f"], {"<&>": 1.0, "]]>\ud800\x00": 2.0}))
    assert picture.head[0] == "<script>(p)"
    assert [box.words[0] for box in picture.boxes if box.role == "input"] == ["p.<&>", "p.]]>��"]
    assert words_of(picture, "operation")[-1] == "<&'\">.py:2"


def test_wide_letters_stay_in_their_boxes():
    picture = mg.draw(lambda p: p["数" * 60] * 2, {"数" * 60: 1.0})
    box = next(g for g in ElementTree.fromstring(picture).iter(f"{SVG}g") if "input" in (g.get("class") or ""))
    title = box.find(f"{SVG}text")
    assert (
        title.text.endswith("…")
        and len(title.text) == 22
        and 13 * len(title.text) < float(box.find(f"{SVG}rect").get("width"))
    )


def test_nan_and_infinity_and_complex_numbers_and_nothing_at_all_are_shown():
    with np.errstate(all="ignore"):
        picture = read(mg.draw(mg.log, np.array([-1.0, 0.0, 1.0] * 3)))
    assert any("v₁ ∈ [−inf, 0], 3 nan" in words for words in words_of(picture, "operation"))
    assert "z = 1+2j" in words_of(read(mg.draw(lambda z: z * z, 1 + 2j)))
    assert "z̄ = 1+2j + 1+2j = 2+4j" in words_of(read(mg.draw(lambda z: z * z, 1 + 2j)))
    assert "x = []" in words_of(read(mg.draw(lambda x: mg.sum(x), np.ones(0))))


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


def test_the_text_is_the_same_on_every_run(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import numpy as np, minigrad as mg\n"
        "f = lambda p, x: mg.sum(mg.checkpoint(lambda y: mg.tanh(y @ p['w']) * p['s'])(x)) + p['s']\n"
        "print(mg.draw(f, {'w': np.ones((2, 2)), 's': 2.0}, np.ones((3, 2))))\n"
    )
    texts = set()
    for seed in "12":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, check=True)
        texts.add(done.stdout)
    assert len(texts) == 1 and "checkpoint" in texts.pop()


def test_pictures_scale_and_know_the_dark():
    svg = mg.draw(mg.sin, 1.0)
    root = ElementTree.fromstring(svg)
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
    assert "prefers-color-scheme: dark" in svg and "http" not in svg.replace("http://www.w3.org/2000/svg", "")
    assert svg._repr_svg_() == svg and type(svg._repr_svg_()) is str


# What cannot be drawn


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
        c[0] = 5  # no rule needs it, but it would be shown with another value than it had
        return y

    with pytest.raises(mg.MutationError):
        mg.draw(f, np.ones(2))


# Files


def test_a_picture_is_written_as_a_whole_file(tmp_path):
    path = tmp_path / "a picture <&>.svg"
    svg = mg.draw(mg.sin, 1.0, path=path)
    assert path.read_text(encoding="utf-8") == svg and os.listdir(tmp_path) == [path.name]
    mg.draw(mg.cos, 1.0, path=str(path))
    assert "cos" in path.read_text(encoding="utf-8")
    mg.draw(mg.cos, 1.0, path=os.fsencode(tmp_path / "b.SVG"))
    assert sorted(os.listdir(tmp_path)) == [path.name, "b.SVG"]


@pytest.mark.parametrize("name", ["missing/x.svg", "folder.svg", "nul\0.svg", "n" * 300 + ".svg"])
def test_a_path_that_cannot_be_written_is_refused(tmp_path, name):
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(ValueError, match=r"draw: cannot write .*\.svg': \w+"):
        mg.draw(mg.sin, 1.0, path=tmp_path / name)
    assert os.listdir(tmp_path) == ["folder.svg"] and not os.listdir(tmp_path / "folder.svg")


def test_a_file_survives_when_its_replacement_fails(tmp_path, monkeypatch):
    path = tmp_path / "x.svg"
    mg.draw(mg.sin, 1.0, path=path)
    before = path.read_text()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(ValueError, match="No space left on device"):
        mg.draw(mg.cos, 1.0, path=path)
    assert path.read_text() == before and os.listdir(tmp_path) == ["x.svg"]


@pytest.mark.parametrize(
    ("path", "kind"), [("x.png", ValueError), ("", ValueError), ("svg", ValueError), (3, TypeError)]
)
def test_a_path_that_is_no_svg_file_is_refused_before_anything_runs(path, kind):
    with pytest.raises(kind, match=r"draw: .*(ends in \.svg|name of a file)"):
        mg.draw(lambda x: pytest.fail("it ran"), 1.0, path=path)
