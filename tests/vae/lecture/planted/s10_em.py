"""A mistake for each claim of vae/lecture/slides/s10_em.py; the claim must fail with it."""

from dataclasses import replace

import numpy as np

import minigrad as mg
from vae.lecture.models.exact import posterior
from vae.lecture.slides import s10_em


def _forget_weights(monkeypatch):
    """A posterior without π."""
    monkeypatch.setattr(s10_em, "e_step", lambda m, y: posterior(m.log_joint(y) - mg.log_softmax(m.logits)))


def _use_old_means(monkeypatch):
    """Variances about the means before the M step."""
    right = s10_em.m_step

    def m_step(mixture, y, log_p, learn=s10_em.EVERYTHING):
        widths = right(mixture, y, log_p, ("log_sigmas",))
        return replace(right(mixture, y, log_p, learn), log_sigmas=widths.log_sigmas)

    monkeypatch.setattr(s10_em, "m_step", m_step)


def forget_dimension_in_variance(monkeypatch):
    """A variance that is not divided by D."""
    right = s10_em.m_step

    def m_step(mixture, y, log_p, learn=s10_em.EVERYTHING):
        changed = right(mixture, y, log_p, learn)
        if "log_sigmas" not in learn:
            return changed
        return replace(changed, log_sigmas=changed.log_sigmas + 0.5 * np.log(y.shape[1]))

    monkeypatch.setattr(s10_em, "m_step", m_step)


PLANTED = {
    "e_step_closes_the_gap": _forget_weights,
    "gradient_vanishes_after_the_m_step": _use_old_means,
    "m_step_is_the_best": forget_dimension_in_variance,
    "em_never_descends": forget_dimension_in_variance,
}
