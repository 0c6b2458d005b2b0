"""A mistake for each claim of vae/lecture/slides/s18_codes.py; the claim must fail with it."""

import math

import numpy as np

from vae.lecture.slides import s18_codes


def _measure_in_nats(monkeypatch):
    """Code lengths by the natural logarithm."""
    right = s18_codes.code_length
    monkeypatch.setattr(s18_codes, "code_length", lambda log_density: right(log_density) * math.log(2))


def _take_entropy_in_nats(monkeypatch):
    """b bits minus the entropy in nats."""

    def wrong(mean, log_std, bits):
        share = s18_codes.cell_probabilities(mean, log_std, bits)
        return bits + np.sum(share * np.log(share + 1e-300), axis=-1)

    monkeypatch.setattr(s18_codes, "bits_saved", wrong)


def _multiply_by_ln_2(monkeypatch):
    """σ² ln 2 for σ²/ln 2."""
    right = s18_codes.slide_17_objective
    monkeypatch.setattr(s18_codes, "slide_17_objective", lambda *args: right(*args[:-1], args[-1] * math.log(2)))


def _drop_noise(monkeypatch):
    """The distortion of decoding the mean, without the noise of z."""
    wrong = lambda w, v, log_s, variance: (1 - w * v) ** 2 * variance
    monkeypatch.setattr(s18_codes, "distortion", wrong)


PLANTED = {
    "divergence_in_bits": _measure_in_nats,
    "lengths_on_a_grid": _take_entropy_in_nats,
    "bits_plus_nats": _multiply_by_ln_2,
    "too_much_distortion": _drop_noise,
}
