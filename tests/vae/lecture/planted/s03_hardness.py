"""A mistake for each claim of vae/lecture/slides/s03_hardness.py, which must make it fail."""

import numpy as np

from vae.lecture.models import exact
from vae.lecture.slides import s03_hardness


def _unsure(monkeypatch):
    """Clauses that hold with probability 0.99 only, or 0.01."""
    monkeypatch.setattr(s03_hardness, "SURE", 2 * np.log(99))


def _a_value_is_forgotten(monkeypatch):
    right = exact.BeliefNet.every_z.fget
    monkeypatch.setattr(exact.BeliefNet, "every_z", property(lambda net: right(net)[1:]))


def _draws_are_a_little_off(monkeypatch):
    """Bits drawn with logits that are 5 % too large."""
    right = s03_hardness.draws
    monkeypatch.setattr(s03_hardness, "draws", lambda setting, logits, count: right(setting, 1.05 * logits, count))


def _backwards(monkeypatch):
    """Q(z_i|z_{i+1}) for Q(z_{i+1}|z_i) in the recursion."""
    right = s03_hardness.Chain.log_evidence

    def log_evidence(chain, y):
        return right(s03_hardness.Chain(chain.start, chain.step.T, chain.pixel), y)

    monkeypatch.setattr(s03_hardness.Chain, "log_evidence", log_evidence)


PLANTED = {
    "evidence_counts_solutions": _unsure,
    "terms_double_with_each_bit": _a_value_is_forgotten,
    "one_draw_has_no_bias": _draws_are_a_little_off,
    "chains_are_easy": _backwards,
}
