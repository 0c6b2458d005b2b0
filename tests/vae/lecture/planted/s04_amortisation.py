"""A mistake for each claim of vae/lecture/slides/s04_amortisation.py; the claim must fail with it."""

from dataclasses import replace

import numpy as np

import minigrad as mg
from vae.lecture.models.exact import PPCA, LinearEncoder
from vae.lecture.slides import s04_amortisation
from vae.optimisers import Optimiser


def _use_marginal_variances(monkeypatch):
    """s_i² = σ²(M⁻¹)_ii, the variance of z_i alone, for its variance given the other z."""

    def best_encoder(self):
        variances = np.exp(2 * self.log_sigma) * np.diag(np.linalg.inv(self.precision))
        return LinearEncoder(mg.solve(self.precision, self.weights.T), np.log(variances) / 2)

    monkeypatch.setattr(PPCA, "best_encoder", best_encoder)


def _drop_kl_from_search(monkeypatch):
    """A search that climbs ln Q(y|z) alone."""
    right = s04_amortisation.adam

    def adam(rate):
        def update(place, gradient, state):
            gradient = gradient - np.stack([place[0], np.exp(2 * place[1]) - 1])  # of −KL
            return right(rate).update(place, gradient, state)

        return Optimiser(right(rate).init, update)

    monkeypatch.setattr(s04_amortisation, "adam", adam)


def _swap_heads(monkeypatch):
    """ln s for μ and μ for ln s."""
    right = s04_amortisation.train

    def train(*choices, **named):
        trained = right(*choices, **named)
        encode = trained.model.encode
        return replace(trained, model=replace(trained.model, encode=lambda e, y: encode(e, y)[::-1]))

    monkeypatch.setattr(s04_amortisation, "train", train)


PLANTED = {
    "an_encoder_gives_what_search_finds": _use_marginal_variances,
    "search_closes_the_amortisation_gap": _drop_kl_from_search,
    "generation_replaces_search": _swap_heads,
}
