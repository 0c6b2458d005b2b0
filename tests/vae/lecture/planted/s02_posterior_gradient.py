"""A mistake for each claim of vae/lecture/slides/s02_posterior_gradient.py; the claim must fail with it."""

import numpy as np

import minigrad as mg
from vae.lecture.models import exact
from vae.lecture.slides import s02_posterior_gradient


def _weight_by_joint(monkeypatch):
    """Weights Q(z, y), which do not sum to 1, for Q(z|y)."""
    monkeypatch.setattr(s02_posterior_gradient, "posterior", lambda log_joint: log_joint)


def _weight_equally(monkeypatch):
    """Equal weights for every z."""
    monkeypatch.setattr(s02_posterior_gradient, "posterior", lambda log_joint: mg.log_softmax(0 * log_joint))


def _assign_to_one_component(monkeypatch):
    def hard(mixture, y):
        return np.eye(len(mixture.logits))[np.argmax(mixture.log_joint(y), axis=1)]

    monkeypatch.setattr(s02_posterior_gradient, "responsibilities", hard)


def _drop_density_width(monkeypatch):
    """ln Q(y|k) without −D ln σ_k."""
    right = exact.Mixture.log_joint

    def log_joint(mixture, y):
        return right(mixture, y) + y.shape[1] * mixture.log_sigmas

    monkeypatch.setattr(exact.Mixture, "log_joint", log_joint)


def _use_sigma_as_variance(monkeypatch):
    """A component of variance σ_k instead of σ_k²."""
    right = exact.Mixture.log_joint

    def log_joint(mixture, y):
        return right(exact.Mixture(mixture.logits, mixture.means, mixture.log_sigmas / 2), y)

    monkeypatch.setattr(exact.Mixture, "log_joint", log_joint)


PLANTED = {
    "expected_gradient_of_a_belief_net": _weight_by_joint,
    "expected_gradient_of_a_mixture": _weight_equally,
    "gradient_of_weights": _assign_to_one_component,
    "gradient_of_means": _use_sigma_as_variance,
    "gradient_of_widths": _drop_density_width,
}
