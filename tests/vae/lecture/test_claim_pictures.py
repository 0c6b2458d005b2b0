"""Every exact claim draws its picture, and three positions of its slider, without a warning."""

from dataclasses import replace

import pytest

from vae.lecture import CLAIMS, Setting
from vae.lecture import run as drawing
from vae.lecture.run import run

PNG = b"\x89PNG\r\n"


@pytest.mark.parametrize("claim", [c for c in CLAIMS if not c.images], ids=lambda claim: claim.name)
def test_claim_holds_and_its_picture_and_slider_are_drawn(claim, monkeypatch):
    def compute(setting):
        """The sides with only the first, middle and last position of the slider."""
        sides = claim.compute(setting)
        if sides.slider is None:
            return sides
        values = sides.slider.values
        assert len({f"{value:g}" for value in values}) == len(values) >= 3
        return replace(sides, slider=replace(sides.slider, values=[values[i] for i in (0, len(values) // 2, -1)]))

    monkeypatch.setattr(drawing, "DPI", 40)  # small pictures are drawn faster
    (row,) = run([replace(claim, compute=compute)], Setting(2))
    assert row.sides.passed, row.sides
    assert row.picture is None or row.picture.startswith(PNG)
    if row.sides.slider is not None:
        _, frames = zip(*row.frames)
        assert len(set(frames)) == 3  # every position shows another picture
        assert all(frame.startswith(PNG) for frame in frames)
