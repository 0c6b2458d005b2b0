"""A mistake for each claim of vae/lecture/slides/s13_importance.py; the claim must fail with it."""

import math

import minigrad as mg
from vae.lecture.slides import s13_importance


def _forget_prior(monkeypatch):
    """Weights Q(y|z)/P(z|y), without the prior."""

    def log_weight(self, z):
        return s13_importance.log_normal(self.y, z, math.log(self.tau)) - s13_importance.log_normal(
            z, self.mean, math.log(self.std)
        )

    monkeypatch.setattr(s13_importance.Gaussians, "log_weight", log_weight)


def _average_logarithms(monkeypatch):
    """The mean of k logarithms for the logarithm of the mean."""
    monkeypatch.setattr(mg, "logsumexp", lambda x, axis: x.mean(axis) + math.log(x.shape[axis]))


def _enlarge_gap(monkeypatch):
    """A gap that is one per cent too large, which the bound on the error excludes at k = 512."""
    right = s13_importance.expected_gap
    monkeypatch.setattr(s13_importance, "expected_gap", lambda p, q, k: 1.01 * right(p, q, k))


def _truncate_integral(monkeypatch):
    """An integral that ends after 3 standard deviations."""
    right = s13_importance.truncated_second_moment
    monkeypatch.setattr(s13_importance, "truncated_second_moment", lambda model, reach: right(model, 3 * model.std))


def _double_ratio(monkeypatch):
    """An encoder of twice the variance, as if the condition were σ² ≤ s²."""
    right = s13_importance.random_gaussians
    wider = lambda setting, ratio=None, off=None: right(setting, ratio and 2 * ratio, off)
    monkeypatch.setattr(s13_importance, "random_gaussians", wider)


PLANTED = {
    "first_bound": _forget_prior,
    "bounds_of_draws": _average_logarithms,
    "half_the_variance": _enlarge_gap,
    "second_moment": _truncate_integral,
    "infinite_variance": _double_ratio,
}
