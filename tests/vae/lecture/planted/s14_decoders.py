"""A mistake for each claim of vae/lecture/slides/s14_decoders.py; the claim must fail with it."""

import minigrad as mg
from vae import likelihoods
from vae.lecture.slides import s14_decoders


def _truncate_integral(monkeypatch):
    """An integral that ends after 3 standard deviations and so misses 0.3 % of the Gaussian."""
    monkeypatch.setattr(s14_decoders, "REACH", 3)


def _count_one_pixel(monkeypatch):
    """½ ln 2πσ² once per image instead of once per pixel."""
    monkeypatch.setattr(s14_decoders, "D", 1)


def _average_pixels(monkeypatch):
    """The squared error as a mean over pixels, which amounts to another σ²."""
    right = s14_decoders.squared_error
    monkeypatch.setattr(s14_decoders, "squared_error", lambda *args: right(*args) / s14_decoders.D)


def _use_sigma_as_variance(monkeypatch):
    """2σ for 2σ²: σ used as the variance."""
    right = s14_decoders.slide_17_objective
    monkeypatch.setattr(s14_decoders, "slide_17_objective", lambda *args: right(*args[:-1], mg.sqrt(args[-1])))


def _drop_normaliser(monkeypatch):
    """The likelihood without its constant."""
    monkeypatch.setattr(likelihoods, "LN_2PI", 0.0)


def _enlarge_sigma(monkeypatch):
    """A σ that is 0.1 % too large."""
    right = likelihoods.Likelihood.log_sigma
    monkeypatch.setattr(likelihoods.Likelihood, "log_sigma", lambda self, d: right(self, d) + 1e-3)


PLANTED = {
    "normaliser": _truncate_integral,
    "dropped_constant": _count_one_pixel,
    "same_gradients": _average_pixels,
    "sigma_without_the_constant": _use_sigma_as_variance,
    "best_sigma": _average_pixels,
    "profiled": _drop_normaliser,
    "envelope": _enlarge_sigma,
}
