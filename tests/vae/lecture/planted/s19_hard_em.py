"""A mistake for each claim of vae/lecture/slides/s19_hard_em.py, which must make it fail."""

import numpy as np

from vae.lecture.models.exact import Mixture
from vae.lecture.slides import s19_hard_em


def _two_points(monkeypatch):
    """P shared by the best two values of z."""

    def point(log_joint):
        second = np.sort(log_joint, axis=1)[:, -2:-1]
        return np.where(log_joint >= second, -np.log(2), -np.inf)

    monkeypatch.setattr(s19_hard_em, "point", point)


def _unequal_weights(monkeypatch):
    def narrow(y, sigma):
        return Mixture(np.linspace(0, 1, s19_hard_em.K), y[: s19_hard_em.K], np.log(sigma))

    monkeypatch.setattr(s19_hard_em, "narrow", narrow)


def _not_narrow_enough(monkeypatch):
    monkeypatch.setattr(s19_hard_em, "EPS", 0.1)


def _price_of_a_nat(monkeypatch):
    """λ = 2σ², which is what a nat costs, for a bit."""
    right = s19_hard_em.quantiser
    monkeypatch.setattr(s19_hard_em, "quantiser", lambda y, price: right(y, price / np.log(2)))


PLANTED = {
    "a_point_has_no_entropy": _two_points,
    "hard_em_is_k_means": _unequal_weights,
    "soft_em_becomes_k_means": _not_narrow_enough,
    "hard_em_with_weights_is_a_quantiser": _price_of_a_nat,
}
