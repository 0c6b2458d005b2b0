"""mg.draw: files are written completely, or not at all."""

from __future__ import annotations

import os

import pytest

import minigrad as mg


def test_a_picture_is_written_completely_and_alone(tmp_path):
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
def test_a_path_that_does_not_end_in_svg_is_refused_before_anything_runs(path, kind):
    with pytest.raises(kind, match=r"draw: .*(ends in \.svg|name of a file)"):
        mg.draw(lambda x: pytest.fail("it ran"), 1.0, path=path)
