"""A mistake for each claim of vae/lecture/slides/s06_elbo.py, which must make it fail."""

import minigrad as mg
from vae.lecture.slides import s06_elbo


def _half_entropy(monkeypatch):
    right = s06_elbo.entropy
    monkeypatch.setattr(s06_elbo, "entropy", lambda log_p: 0.999 * right(log_p))


def _backwards(monkeypatch):
    """KL(Q, P) for KL(P, Q)."""
    right = s06_elbo.divergence
    monkeypatch.setattr(s06_elbo, "divergence", lambda log_p, log_q: right(log_q, log_p))


def _too_much_entropy(monkeypatch):
    monkeypatch.setattr(s06_elbo, "entropy", lambda log_p: 2 * mg.logsumexp(0 * log_p, axis=1))


def _of_itself(monkeypatch):
    monkeypatch.setattr(s06_elbo, "cross_entropy", lambda log_p, log_q: s06_elbo.entropy(log_p))


def _gradient_of_half(monkeypatch):
    """The entropy of the encoder counted half."""
    right = s06_elbo.elbo
    half = lambda log_joint, log_p: right(log_joint, log_p) + 0.5 * mg.sum(mg.exp(log_p) * log_p, axis=1)
    monkeypatch.setattr(s06_elbo, "elbo", half)


PLANTED = {
    "pulled_towards_the_posterior": _gradient_of_half,
    "two_expressions": _backwards,
    "lower_bound": _too_much_entropy,
    "tight_at_the_posterior": _half_entropy,
    "first_step": _of_itself,
    "second_step": _half_entropy,
}
