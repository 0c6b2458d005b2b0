"""Every exact claim draws its picture, and every position of its slider, without a warning."""

import pytest

from vae.lecture import CLAIMS, Setting
from vae.lecture import run as drawing
from vae.lecture.run import run

PNG = b"\x89PNG\r\n"


@pytest.mark.parametrize("claim", [c for c in CLAIMS if not c.images], ids=lambda claim: claim.name)
def test_picture_and_slider_are_drawn(claim, monkeypatch):
    monkeypatch.setattr(drawing, "DPI", 40)  # small pictures are drawn faster
    (row,) = run([claim], Setting(1))
    assert row.picture is None or row.picture.startswith(PNG)
    if row.sides.slider is not None:
        labels, frames = zip(*row.frames)
        assert len(set(labels)) == len(labels) == len(row.sides.slider.values) >= 3
        assert len(set(frames)) == len(frames)  # every position shows another picture
        assert all(frame.startswith(PNG) for frame in frames)
