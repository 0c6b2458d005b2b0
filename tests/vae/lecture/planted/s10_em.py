"""A mistake for each claim of slides s10_em.py, s19_hard_em.py and s19_ladder.py, which must make it fail."""

from dataclasses import replace

import numpy as np

import minigrad as mg
from vae.lecture.models.exact import Mixture, posterior
from vae.lecture.slides import s10_em as em
from vae.lecture.slides import s19_hard_em as hard_em
from vae.lecture.slides import s19_ladder as ladder


def _weights_left_out(monkeypatch):
    """A posterior that forgets π."""
    monkeypatch.setattr(em, "e_step", lambda m, y: posterior(m.log_joint(y) - mg.log_softmax(m.logits)))


def _spread_about_old_means(monkeypatch):
    right = em.m_step

    def m_step(mixture, y, log_p, learn=em.EVERYTHING):
        widths = right(mixture, y, log_p, ("log_sigmas",))
        return replace(right(mixture, y, log_p, learn), log_sigmas=widths.log_sigmas)

    monkeypatch.setattr(em, "m_step", m_step)


def _variance_not_divided_by_d(monkeypatch):
    right = em.m_step

    def m_step(mixture, y, log_p, learn=em.EVERYTHING):
        made = right(mixture, y, log_p, learn)
        return replace(made, log_sigmas=made.log_sigmas + 0.5 * np.log(y.shape[1])) if "log_sigmas" in learn else made

    monkeypatch.setattr(em, "m_step", m_step)


def _two_points(monkeypatch):
    """P shared by the best two values of z."""

    def point(log_joint):
        second = np.sort(log_joint, axis=1)[:, -2:-1]
        return np.where(log_joint >= second, -np.log(2), -np.inf)

    monkeypatch.setattr(hard_em, "point", point)


def _unequal_weights(monkeypatch):
    def narrow(y, sigma):
        return Mixture(np.linspace(0, 1, hard_em.K), y[: hard_em.K], np.log(sigma))

    monkeypatch.setattr(hard_em, "narrow", narrow)


def _not_narrow_enough(monkeypatch):
    monkeypatch.setattr(hard_em, "EPS", 0.1)


def _price_of_a_nat(monkeypatch):
    """λ = 2σ², which is what a nat costs, for a bit."""
    right = hard_em.quantiser
    monkeypatch.setattr(hard_em, "quantiser", lambda y, price: right(y, price / np.log(2)))


def _nats_for_bits(monkeypatch):
    right = ladder.code_length
    monkeypatch.setattr(ladder, "code_length", lambda net, z: np.log(2) * right(net, z))


def _few_codes(monkeypatch):
    """A search among three codes, where the encoder uses more."""
    monkeypatch.setattr(ladder, "CODES", np.arange(-1.0, 2.0))


PLANTED = {
    "e_step_closes_the_gap": _weights_left_out,
    "gradient_vanishes_after_the_m_step": _spread_about_old_means,
    "m_step_is_the_best": _variance_not_divided_by_d,
    "em_never_descends": _variance_not_divided_by_d,
    "a_point_has_no_entropy": _two_points,
    "hard_em_is_k_means": _unequal_weights,
    "soft_em_becomes_k_means": _not_narrow_enough,
    "hard_em_with_weights_is_a_quantiser": _price_of_a_nat,
    "every_rung_is_one_elbo": _nats_for_bits,
    "every_rung_climbs": _variance_not_divided_by_d,
    "an_encoder_replaces_the_search": _few_codes,
}
