"""A mistake for each claim of vae/lecture/slides/s18_rate_distortion.py; the claim must fail with it."""

import numpy as np

from vae.lecture.slides import s18_rate_distortion


def _use_plain_pca(monkeypatch):
    """√λ for √(λ − σ²)."""
    right = s18_rate_distortion.optimum
    monkeypatch.setattr(s18_rate_distortion, "optimum", lambda u, values, level: right(u, values + level, level))


def _drop_means(monkeypatch):
    """The divergence of N(0, s²), without μ(y)."""
    right = s18_rate_distortion.rate
    monkeypatch.setattr(s18_rate_distortion, "rate", lambda encoder, sigma: right(encoder, 0 * sigma))


def _drop_noise(monkeypatch):
    """The distortion of decoding μ(y), without the noise of z."""
    right = s18_rate_distortion.distortion

    def wrong(weights, encoder, sigma, u):
        return right(weights, encoder.__class__(encoder.weights, encoder.log_std - 100), sigma, u)

    monkeypatch.setattr(s18_rate_distortion, "distortion", wrong)


def _measure_rate_in_bits(monkeypatch):
    """The rate in bits, added to a distortion for nats."""
    right = s18_rate_distortion.shannon
    wrong = lambda values, level: (right(values, level)[0] / np.log(2), right(values, level)[1])
    monkeypatch.setattr(s18_rate_distortion, "shannon", wrong)


def _allow_negative_rates(monkeypatch):
    """Negative rates where σ² exceeds an eigenvalue."""
    monkeypatch.setattr(s18_rate_distortion.mg, "maximum", lambda low, x: x)


PLANTED = {
    "flat_at_the_optimum": _use_plain_pca,
    "rate_of_the_optimum": _drop_means,
    "distortion_of_the_optimum": _drop_noise,
    "none_below": _measure_rate_in_bits,
    "slope_of_the_curve": _allow_negative_rates,
}
