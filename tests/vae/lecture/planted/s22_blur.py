"""A mistake for each claim of vae/lecture/slides/s22_blur.py; the claim must fail with it."""

import numpy as np

import minigrad as mg
from vae.lecture.slides import s22_blur


def _use_l2_for_l1(monkeypatch):
    """The squared error for the absolute error."""
    monkeypatch.setattr(s22_blur, "best_l1", s22_blur.best_l2)


def _use_l1_for_l2(monkeypatch):
    monkeypatch.setattr(s22_blur, "best_l2", s22_blur.best_l1)


def _add_bits_to_nats(monkeypatch):
    """Code lengths in bits added to an error in nats, so that some images get the other code."""
    right = mg.softplus
    monkeypatch.setattr(mg, "softplus", lambda x: right(x) / np.log(2) + 0.1 * x)


def _rescale_reconstructions(monkeypatch):
    """Reconstructions in 0 … 255 for images in 0 … 1."""
    right = s22_blur.reconstruct

    def reconstruct(setting, trained, y):
        shown, rate = right(setting, trained, y)
        return 255 * shown, rate

    monkeypatch.setattr(s22_blur, "reconstruct", reconstruct)


def _reverse_table(monkeypatch):
    """A table with kinds and rates in reverse order."""
    right = s22_blur.sharpness_table
    monkeypatch.setattr(s22_blur, "sharpness_table", lambda *arguments: right(*arguments)[::-1, ::-1])


PLANTED = {
    "l2_shows_the_mean": _use_l1_for_l2,
    "l1_shows_the_median": _use_l2_for_l1,
    "rate_distortion_shows_the_mode": _add_bits_to_nats,
    "every_objective_blurs": _rescale_reconstructions,
    "l1_is_sharper": _reverse_table,
    "bits_make_l2_sharp": _reverse_table,
    "quantising_alone_is_not_sharper": _reverse_table,
}
