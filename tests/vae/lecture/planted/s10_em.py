"""A mistake for each claim of vae/lecture/slides/s10_em.py, which must make it fail."""

from dataclasses import replace

import numpy as np

import minigrad as mg
from vae.lecture.models.exact import posterior
from vae.lecture.slides import s10_em


def _weights_left_out(monkeypatch):
    """A posterior that forgets π."""
    monkeypatch.setattr(s10_em, "e_step", lambda m, y: posterior(m.log_joint(y) - mg.log_softmax(m.logits)))


def _spread_about_old_means(monkeypatch):
    right = s10_em.m_step

    def m_step(mixture, y, log_p, learn=s10_em.EVERYTHING):
        widths = right(mixture, y, log_p, ("log_sigmas",))
        return replace(right(mixture, y, log_p, learn), log_sigmas=widths.log_sigmas)

    monkeypatch.setattr(s10_em, "m_step", m_step)


def variance_not_divided_by_d(monkeypatch):
    right = s10_em.m_step

    def m_step(mixture, y, log_p, learn=s10_em.EVERYTHING):
        made = right(mixture, y, log_p, learn)
        return replace(made, log_sigmas=made.log_sigmas + 0.5 * np.log(y.shape[1])) if "log_sigmas" in learn else made

    monkeypatch.setattr(s10_em, "m_step", m_step)


PLANTED = {
    "e_step_closes_the_gap": _weights_left_out,
    "gradient_vanishes_after_the_m_step": _spread_about_old_means,
    "m_step_is_the_best": variance_not_divided_by_d,
    "em_never_descends": variance_not_divided_by_d,
}
