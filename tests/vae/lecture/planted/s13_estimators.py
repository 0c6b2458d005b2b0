"""A mistake for each claim of vae/lecture/slides/s13_estimators.py, which must make it fail."""

import numpy as np

import minigrad as mg
from vae.lecture.slides import s13_estimators
from vae.lecture.slides.s11_reparameterisation import reparameterised, score, squared


def _noise_of_its_square(monkeypatch):
    """σ² for σ."""
    wrong = lambda mean, std, noise: reparameterised(squared, mean, std**2, noise)
    monkeypatch.setitem(s13_estimators.GRADIENTS, "reparameterised", wrong)


def _one_hundredth(monkeypatch):
    """74σ² for 78σ² − 4σ² is right; forget the square of the mean and it is 78."""
    right = s13_estimators.VARIANCES["score function"]
    wrong = lambda a, b: (right(a, b)[0] + 4 * a, right(a, b)[1] + 4 * b)
    monkeypatch.setitem(s13_estimators.VARIANCES, "score function", wrong)


def _baseline_of_mean(monkeypatch):
    """f(E z) = μ² for E f."""
    wrong = lambda mean, std, noise: score(squared, mean, std, noise, mean**2)
    monkeypatch.setitem(s13_estimators.GRADIENTS, "baseline E f", wrong)


def _not_the_best(monkeypatch):
    """The best constant for ∂σ used for ∂μ."""
    wrong = lambda mean, std, noise: score(squared, mean, std, noise, mean**2 + 5 * std**2)
    monkeypatch.setitem(s13_estimators.GRADIENTS, "best constant", wrong)


def _scaled_reward(monkeypatch):
    """A baseline that is not subtracted from the reward but divides it, as normalised rewards do."""
    wrong = lambda f, mean, std, noise, c=0.0: score(f, mean, std, noise) / (1 + c)
    monkeypatch.setattr(s13_estimators, "score", wrong)


def _through_the_sum(monkeypatch):
    """‖z‖² replaced by its mean over the dimensions."""
    monkeypatch.setattr(s13_estimators, "squared", lambda z: mg.mean(z * z, axis=-1, keepdims=True))


def _few_nodes(monkeypatch):
    """Too few nodes for polynomials of degree 8."""
    right = s13_estimators.normal_nodes
    monkeypatch.setattr(s13_estimators, "normal_nodes", lambda count: right(4))


def _unweighted(monkeypatch):
    """Nodes as if they were equally likely."""
    right = s13_estimators.normal_nodes
    monkeypatch.setattr(s13_estimators, "normal_nodes", lambda n: (right(n)[0], np.full(n, 1 / n)))


def _score_for_reparameterised(monkeypatch):
    """The rows of the table exchanged."""
    monkeypatch.setitem(s13_estimators.GRADIENTS, "reparameterised", s13_estimators.GRADIENTS["score function"])


PLANTED = {
    "reparameterised_variance": _noise_of_its_square,
    "score_variance": _one_hundredth,
    "baseline_variance": _baseline_of_mean,
    "best_constant_variance": _not_the_best,
    "no_constant_is_enough": _score_for_reparameterised,
    "best_constant": _scaled_reward,
    "whole_table": _few_nodes,
    "dimensions": _through_the_sum,
    "dimensions_exactly": _unweighted,
}
