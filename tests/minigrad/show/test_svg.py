"""SVG text: escaped, the same on every run, readable on screens of any size and in dark mode."""

from __future__ import annotations

import os
import subprocess
import sys
from xml.etree import ElementTree

import minigrad as mg
from tests.support.pictures import HTML, SVG, read, read_all, words_of


def test_all_text_is_escaped():
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


def test_pictures_scale_and_have_dark_colours():
    svg = mg.draw(mg.sin, 1.0)
    root = ElementTree.fromstring(svg)
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
    assert "prefers-color-scheme: dark" in svg and "http" not in svg.replace("http://www.w3.org/2000/svg", "")
    assert svg._repr_svg_() == svg and type(svg._repr_svg_()) is str


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


def layer(x):
    return mg.sin(x) * 2


def block(x):
    return layer(layer(x)) + x


def test_a_click_shows_the_drawing_of_a_call_without_a_script():
    svg = mg.draw(lambda x: block(x) * block(2 * x), 1.0)
    assert "<script" not in svg and " onclick" not in svg and "<a " not in svg and svg._repr_html_() == svg
    root = ElementTree.fromstring(svg)
    _, name = root.get("class").split()
    rules, views = root.find(f"{SVG}style").text, root.findall(f"{SVG}svg")
    assert [view.get("class") for view in views] == [f"v{i}" for i in range(len(views))] and len(views) == 7
    assert [view.get("display") for view in views] == [None] + 6 * ["none"]  # where the style is not understood
    for i, view in enumerate(views):
        _, _, width, height = view.get("viewBox").split()
        chosen = f".{name}:has(input[value='{i}']:checked)" if i else f".{name}"
        assert f"\n{chosen} {{ width: {width}px; aspect-ratio: {width} / {height}; }}" in rules
        assert (f"\n{chosen} > .v{i} {{ display: inline; }}" in rules) == (i > 0)
        buttons = list(view.iter(f"{HTML}input"))
        assert {(b.get("type"), b.get("name")) for b in buttons} <= {("radio", name)}
        back = [b.get("title") for b in buttons if int(b.get("value")) < i]
        assert back == ["back to f(x)", "back to block(x)"][: (0, 1, 1, 2, 2, 2, 2)[i]]
    assert f"\n.{name}:has(input:not([value='0']):checked) > .v0 {{ display: none; }}" in rules
    assert (root.get("width"), root.get("height")) == tuple(views[0].get("viewBox").split()[2:])


def test_a_button_covers_its_box():
    root = ElementTree.fromstring(mg.draw(lambda x: block(x) + 1, 1.0))
    for box in [g for g in root.iter(f"{SVG}g") if g.get("class") == "box call"]:
        rectangle, place = box.find(f"{SVG}rect"), box.find(f"{SVG}foreignObject")
        assert [rectangle.get(a) for a in ("x", "y", "width", "height")] == [
            place.get(a) for a in ("x", "y", "width", "height")
        ]


def test_two_pictures_on_a_page_have_buttons_of_their_own():
    names = [ElementTree.fromstring(mg.draw(lambda x: block(x) + 1, x)).get("class").split()[1] for x in (1.0, 2.0)]
    assert len(set(names)) == 2


def test_text_about_calls_is_escaped():
    source = "def g(h):\n    return h['a\"b<&>\\x00'] * 2  # '<&>'\ndef f(p):\n    return g(p) + 1\n"
    namespace = {}
    exec(compile(source, "/somewhere/<&'\">.py", "exec"), namespace)
    svg = mg.draw(namespace["f"], {'a"b<&>\x00': 1.0})
    pictures = read_all(svg)
    assert [box.words[0] for box in pictures[0].boxes] == ['p.a"b<&>�', "g", "1", "add", "result"]
    assert words_of(pictures[1])[0] == 'h.a"b<&>�'
    button = next(b for b in ElementTree.fromstring(svg).iter(f"{HTML}input"))
    assert button.get("title").splitlines()[0] == "g" and "<&'\">.py:4" in button.get("title")
