"""A mistake for each claim of vae/lecture/slides/s19_hard_em.py; the claim must fail with it."""

import numpy as np

from vae.lecture.models.exact import Mixture
from vae.lecture.slides import s19_hard_em


def _split_between_two(monkeypatch):
    """P split equally between the best two values of z."""

    def point_mass(log_joint):
        second = np.sort(log_joint, axis=1)[:, -2:-1]
        return np.where(log_joint >= second, -np.log(2), -np.inf)

    monkeypatch.setattr(s19_hard_em, "point_mass", point_mass)


def _use_unequal_weights(monkeypatch):
    def equal_mixture(y, sigma):
        return Mixture(np.linspace(0, 1, s19_hard_em.K), y[: s19_hard_em.K], np.log(sigma))

    monkeypatch.setattr(s19_hard_em, "equal_mixture", equal_mixture)


def _widen_sigma(monkeypatch):
    monkeypatch.setattr(s19_hard_em, "EPS", 0.1)


def _charge_per_nat(monkeypatch):
    """λ = 2σ², the price of a nat, for that of a bit."""
    right = s19_hard_em.quantise
    monkeypatch.setattr(s19_hard_em, "quantise", lambda y, price: right(y, price / np.log(2)))


PLANTED = {
    "a_point_has_no_entropy": _split_between_two,
    "hard_em_is_k_means": _use_unequal_weights,
    "soft_em_becomes_k_means": _widen_sigma,
    "hard_em_with_weights_is_a_quantiser": _charge_per_nat,
}
