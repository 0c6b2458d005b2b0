"""Parses SVG drawings, and checks their geometry."""

from __future__ import annotations

import re
import unicodedata
from itertools import combinations
from typing import NamedTuple
from xml.etree import ElementTree

SVG, HTML = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xhtml}"


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
    opens: int  # the number of the picture that a click shows; 0 if there is none

    @property
    def words(self):
        return [words for words, _ in self.texts]


class Picture(NamedTuple):
    boxes: list[Box]
    edges: list[tuple[int, int]]
    starts: list[float]  # x coordinate at which each edge leaves its box
    paths: list[str]
    labels: list  # of (words, rectangle)
    head: list[str]


def read(svg):
    """The picture in this SVG text; of several, the one that is visible before any click."""
    return read_all(svg)[0]


def read_all(svg):
    """The picture in this SVG text, and those that clicks show."""
    root = ElementTree.fromstring(svg)
    return [_read(view) for view in root.findall(f"{SVG}svg") or [root]]


def _read(root):
    (drawing,) = root.findall(f"{SVG}g")
    groups = [(g, g.get("class").split()) for g in drawing.findall(f"{SVG}g")]
    boxes = []
    for number, g in enumerate(g for g, kinds in groups if "box" in kinds):
        assert int(g.get("data-box")) == number
        r = g.find(f"{SVG}rect")
        x, y, w, h = (float(r.get(name)) for name in ("x", "y", "width", "height"))
        entries = tuple(map(int, g.get("data-entries", "").split()))
        texts = [text(t) for t in g.findall(f"{SVG}text")]
        opens = [int(button.get("value")) for button in g.iter(f"{HTML}input")]
        boxes.append(Box(g.get("class").split()[1], entries, Rectangle(x, y, x + w, y + h), texts, *opens or [0]))
    edges = [g for g, kinds in groups if "edge" in kinds]
    ends = [(int(g.get("data-source")), int(g.get("data-target"))) for g in edges]
    paths = [p.get("d") for g in edges for p in g.findall(f"{SVG}path") if not p.get("class").startswith("tip")]
    starts = [float(g.find(f"{SVG}path").get("d")[1:].split()[0]) for g in edges]
    labels = [text(t) for t in drawing.findall(f"{SVG}text")]
    return Picture(boxes, ends, starts, paths, labels, [t.text for t in root.findall(f"{SVG}text")])


def text(element):
    """(words, their rectangle) of a text element, with the advance width of DejaVu Sans Mono: 1233 of 2048 units."""
    size, x, y = (float(element.get(name)) for name in ("font-size", "x", "y"))
    words = element.text.replace("\u00a0", " ")
    width = 1233 / 2048 * size * sum(not unicodedata.combining(c) for c in words)
    x -= width if element.get("text-anchor") == "end" else 0
    return words, Rectangle(x, y - 0.8 * size, x + width, y + 0.2 * size)


def format_number(x):
    """The expected text of a number."""
    return f"{float(x) + 0.0:.4g}".replace("-", "−")


def pieces(path):
    """The bounding rectangle of each straight or curved piece of a path, from end to end."""
    x, y, *rest = map(float, re.findall(r"-?\d+\.?\d*", path.split("V")[0]))
    assert not rest
    for command, numbers in re.findall(r"([VC])([^VCM]+)", path):
        numbers = [float(n) for n in numbers.split()]
        x1, y1 = (x, numbers[0]) if command == "V" else numbers[-2:]
        assert y1 >= y - 0.11, "an edge runs upwards"
        if command == "C":
            assert numbers[0] == x and numbers[2] == x1, "a curve that does not start and end vertically"
        yield Rectangle(min(x, x1), y, max(x, x1), y1)
        x, y = x1, y1


def check_geometry(picture):
    """Boxes do not overlap, words stay inside their boxes, labels overlap nothing, edges run down and cross no box."""
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
        for piece in pieces(path):
            assert not any(piece.meets(box.rectangle, apart=-0.11) for box in picture.boxes)
            assert not any(piece.meets(label) for _, label in picture.labels)


def words_of(picture, role="input", at=0):
    """The words in box number `at` of a role."""
    return [box for box in picture.boxes if box.role == role][at].words
