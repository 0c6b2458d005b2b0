"""A mistake for each claim of vae/lecture/slides/s22_blur.py, which must make it fail."""

import numpy as np

import minigrad as mg
from vae.lecture.slides import s22_blur


def _mean_for_median(monkeypatch):
    """A squared error where the absolute one belongs."""
    monkeypatch.setattr(s22_blur, "l1", s22_blur.l2)


def _median_for_mean(monkeypatch):
    monkeypatch.setattr(s22_blur, "l2", s22_blur.l1)


def _bits_for_nats(monkeypatch):
    """Code lengths in bits added to an error in nats: not every image goes where the closed form has it."""
    right = mg.softplus
    monkeypatch.setattr(mg, "softplus", lambda x: right(x) / np.log(2) + 0.1 * x)


def _no_common_scale(monkeypatch):
    """Pixels in 0 … 255 after decoding, in 0 … 1 before."""
    right = s22_blur.code_images

    def code_images(setting, trained, y):
        shown, rate = right(setting, trained, y)
        return 255 * shown, rate

    monkeypatch.setattr(s22_blur, "code_images", code_images)


def _rows_swapped(monkeypatch):
    """A table whose rows, or rates, are in the other order."""
    right = s22_blur.table
    monkeypatch.setattr(s22_blur, "table", lambda *arguments: right(*arguments)[::-1, ::-1])


PLANTED = {
    "l2_shows_the_mean": _median_for_mean,
    "l1_shows_the_median": _mean_for_median,
    "rate_distortion_shows_the_mode": _bits_for_nats,
    "every_objective_blurs": _no_common_scale,
    "l1_is_sharper": _rows_swapped,
    "bits_make_l2_sharp": _rows_swapped,
    "quantising_alone_is_not_sharper": _rows_swapped,
}
