"""A mistake for each claim of vae/lecture/slides/s14_decoders.py, which must make it fail."""

import minigrad as mg
from vae import likelihoods
from vae.lecture.slides import s14_decoders


def _three_deviations(monkeypatch):
    """The integral's ends where three thousandths of a Gaussian are still missing."""
    monkeypatch.setattr(s14_decoders, "REACH", 3)


def _once_for_all_pixels(monkeypatch):
    """½ ln 2πσ² once an image, not once a pixel."""
    monkeypatch.setattr(s14_decoders, "D", 1)


def _mean_for_sum(monkeypatch):
    """The squared error as a mean over pixels, which hides another σ²."""
    right = s14_decoders.squared_error
    monkeypatch.setattr(s14_decoders, "squared_error", lambda *args: right(*args) / s14_decoders.D)


def _variance_for_deviation(monkeypatch):
    """2σ for 2σ²: the parameter taken for the variance."""
    right = s14_decoders.slide_17
    monkeypatch.setattr(s14_decoders, "slide_17", lambda *args: right(*args[:-1], mg.sqrt(args[-1])))


def _no_normaliser(monkeypatch):
    """The likelihood without its constant."""
    monkeypatch.setattr(likelihoods, "LN_2PI", 0.0)


def _sigma_too_large(monkeypatch):
    """A σ that is a tenth of a per cent too large."""
    right = likelihoods.Likelihood.log_sigma
    monkeypatch.setattr(likelihoods.Likelihood, "log_sigma", lambda self, d: right(self, d) + 1e-3)


PLANTED = {
    "normaliser": _three_deviations,
    "dropped_constant": _once_for_all_pixels,
    "same_gradients": _mean_for_sum,
    "sigma_without_the_constant": _variance_for_deviation,
    "best_sigma": _mean_for_sum,
    "profiled": _no_normaliser,
    "envelope": _sigma_too_large,
}
