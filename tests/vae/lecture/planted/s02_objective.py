"""A mistake for each claim of vae/lecture/slides/s02_objective.py; the claim must fail with it."""

import math

import numpy as np

import minigrad as mg
from vae.lecture.models import exact
from vae.lecture.slides import s02_objective


def _drop_prior_normaliser(monkeypatch):
    monkeypatch.setattr(exact.BeliefNet, "log_prior", lambda net, z: z @ net.prior)


def _halve_two_pi(monkeypatch):
    monkeypatch.setattr(exact, "LN_2PI", math.log(math.pi))


def _use_sigma_as_variance(monkeypatch):
    def precision(model):
        return model.weights.T @ model.weights + mg.exp(model.log_sigma) * np.eye(model.weights.shape[1])

    monkeypatch.setattr(exact.PPCA, "precision", property(precision))


def _integrate_half_the_line(monkeypatch):
    monkeypatch.setattr(s02_objective, "GRID", s02_objective.GRID[s02_objective.GRID[:, 0] >= 0])


def _make_images_equally_likely(monkeypatch):
    monkeypatch.setattr(s02_objective, "sum_of_products", lambda net, y: [1 / len(y)] * len(y))


PLANTED = {
    "belief_net_sums_over_z": _drop_prior_normaliser,
    "mixture_sums_over_components": _halve_two_pi,
    "ppca_is_a_dense_gaussian": _use_sigma_as_variance,
    "ppca_is_an_integral": _integrate_half_the_line,
    "entropy_is_the_floor": _drop_prior_normaliser,
    "flat_at_the_population": _make_images_equally_likely,
}
