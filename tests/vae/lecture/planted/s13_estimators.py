"""A mistake for each claim of vae/lecture/slides/s13_estimators.py; the claim must fail with it."""

import numpy as np

import minigrad as mg
from vae.lecture.slides import s13_estimators
from vae.lecture.slides.s11_reparameterisation import reparameterised_gradient, score_gradient, squared_norm


def _use_variance_as_deviation(monkeypatch):
    """σ² for σ."""
    wrong = lambda mean, std, noise: reparameterised_gradient(squared_norm, mean, std**2, noise)
    monkeypatch.setitem(s13_estimators.GRADIENTS, "reparameterised", wrong)


def _forget_square_of_mean(monkeypatch):
    """78σ² for 74σ² = 78σ² − 4σ²: the square of the mean is not subtracted."""
    right = s13_estimators.VARIANCES["score function"]
    wrong = lambda a, b: (right(a, b)[0] + 4 * a, right(a, b)[1] + 4 * b)
    monkeypatch.setitem(s13_estimators.VARIANCES, "score function", wrong)


def _use_f_of_mean(monkeypatch):
    """f(E z) = μ² for E f."""
    wrong = lambda mean, std, noise: score_gradient(squared_norm, mean, std, noise, mean**2)
    monkeypatch.setitem(s13_estimators.GRADIENTS, "baseline E f", wrong)


def _use_constant_for_sigma(monkeypatch):
    """The best constant for ∂σ used for ∂μ."""
    wrong = lambda mean, std, noise: score_gradient(squared_norm, mean, std, noise, mean**2 + 5 * std**2)
    monkeypatch.setitem(s13_estimators.GRADIENTS, "best constant", wrong)


def _divide_by_baseline(monkeypatch):
    """A baseline that divides the reward, as in normalised rewards, instead of being subtracted."""
    wrong = lambda f, mean, std, noise, c=0.0: score_gradient(f, mean, std, noise) / (1 + c)
    monkeypatch.setattr(s13_estimators, "score_gradient", wrong)


def _average_dimensions(monkeypatch):
    """‖z‖² replaced by its mean over the dimensions."""
    monkeypatch.setattr(s13_estimators, "squared_norm", lambda z: mg.mean(z * z, axis=-1, keepdims=True))


def _use_few_nodes(monkeypatch):
    """Four nodes, which are exact up to degree 7, for polynomials of degree 8."""
    right = s13_estimators.normal_nodes
    monkeypatch.setattr(s13_estimators, "normal_nodes", lambda count: right(4))


def _weight_nodes_equally(monkeypatch):
    """Equal weights for all nodes."""
    right = s13_estimators.normal_nodes
    monkeypatch.setattr(s13_estimators, "normal_nodes", lambda n: (right(n)[0], np.full(n, 1 / n)))


def _use_score_function(monkeypatch):
    """The score function for the reparameterised gradient."""
    monkeypatch.setitem(s13_estimators.GRADIENTS, "reparameterised", s13_estimators.GRADIENTS["score function"])


PLANTED = {
    "reparameterised_variance": _use_variance_as_deviation,
    "score_variance": _forget_square_of_mean,
    "baseline_variance": _use_f_of_mean,
    "best_constant_variance": _use_constant_for_sigma,
    "no_constant_is_enough": _use_score_function,
    "best_constant": _divide_by_baseline,
    "whole_table": _use_few_nodes,
    "dimensions": _average_dimensions,
    "dimensions_exactly": _weight_nodes_equally,
}
