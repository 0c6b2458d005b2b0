"""A mistake for each claim of vae/lecture/slides/s06_elbo.py; the claim must fail with it."""

import minigrad as mg
from vae.lecture.slides import s06_elbo


def _shrink_entropy(monkeypatch):
    right = s06_elbo.entropy
    monkeypatch.setattr(s06_elbo, "entropy", lambda log_p: 0.999 * right(log_p))


def _reverse_divergence(monkeypatch):
    """KL(Q, P) for KL(P, Q)."""
    right = s06_elbo.divergence
    monkeypatch.setattr(s06_elbo, "divergence", lambda log_p, log_q: right(log_q, log_p))


def _overstate_entropy(monkeypatch):
    monkeypatch.setattr(s06_elbo, "entropy", lambda log_p: 2 * mg.logsumexp(0 * log_p, axis=1))


def _use_entropy_of_p(monkeypatch):
    monkeypatch.setattr(s06_elbo, "cross_entropy", lambda log_p, log_q: s06_elbo.entropy(log_p))


def _halve_entropy(monkeypatch):
    """Half the entropy of the encoder."""
    right = s06_elbo.elbo
    halved = lambda log_joint, log_p: right(log_joint, log_p) + 0.5 * mg.sum(mg.exp(log_p) * log_p, axis=1)
    monkeypatch.setattr(s06_elbo, "elbo", halved)


PLANTED = {
    "pulled_towards_the_posterior": _halve_entropy,
    "two_expressions": _reverse_divergence,
    "lower_bound": _overstate_entropy,
    "tight_at_the_posterior": _shrink_entropy,
    "first_step": _use_entropy_of_p,
    "second_step": _shrink_entropy,
}
