"""A mistake for each claim of vae/lecture/slides/s03_hardness.py; the claim must fail with it."""

import numpy as np

from vae.lecture.models import exact
from vae.lecture.slides import s03_hardness


def _weaken_clauses(monkeypatch):
    """Pixels that are 1 with probability 0.99 or 0.01 instead of 1 or 0."""
    monkeypatch.setattr(s03_hardness, "SURE", 2 * np.log(99))


def _forget_a_value(monkeypatch):
    right = exact.BeliefNet.every_z.fget
    monkeypatch.setattr(exact.BeliefNet, "every_z", property(lambda net: right(net)[1:]))


def _bias_draws(monkeypatch):
    """Bits drawn with logits that are 5 % too large."""
    right = s03_hardness.draw_bits
    monkeypatch.setattr(s03_hardness, "draw_bits", lambda setting, logits, count: right(setting, 1.05 * logits, count))


def _transpose_steps(monkeypatch):
    """Q(z_i|z_{i+1}) for Q(z_{i+1}|z_i) in the recursion."""
    right = s03_hardness.Chain.log_evidence

    def log_evidence(chain, y):
        return right(s03_hardness.Chain(chain.start, chain.step.T, chain.pixel), y)

    monkeypatch.setattr(s03_hardness.Chain, "log_evidence", log_evidence)


PLANTED = {
    "evidence_counts_solutions": _weaken_clauses,
    "terms_double_with_each_bit": _forget_a_value,
    "one_draw_has_no_bias": _bias_draws,
    "chains_are_easy": _transpose_steps,
}
