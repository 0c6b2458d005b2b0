"""SVG text: escaped, the same on every run, readable on screens of any size and in dark mode."""

from __future__ import annotations

import os
import subprocess
import sys
from xml.etree import ElementTree

import minigrad as mg
from tests.support.pictures import SVG, read, words_of


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
