"""Slides 6–9: two expressions for the evidence lower bound, and why they are one.

With any encoder P(z|y), and Q(z|y) = Q(z, y)/Q(y) the posterior of the model,

    E_P ln Q(z, y) + H(P)  =  ln Q(y) − KL(P, Q(z|y))  ≤  ln Q(y)

Proved in two steps: E_P ln Q(z, y) = ln Q(y) − H(P, Q(z|y)), because ln Q(z, y) = ln Q(y) + ln Q(z|y) (slide 8); then
add H(P), because H(P, Q) − H(P) = KL(P, Q) (slide 9). Here z is one of K values, so that each side is a finite sum.

`elbo` is the bound that all models of the lecture share, whatever their z.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
from vae.lecture.claims import Setting, Sides, at_most, claim, equal

N, K = 64, 7  # images, values of z


def elbo(log_joint: Any, log_p: Any, weights: Any = None) -> Any:
    """E_P ln Q(z, y) + H(P) of each y, (N,), in nats, from ln Q(z, y) and ln P(z|y) of some z, (N, Z).

    Those are all the z there are, or, given `weights` that sum to 1, a sample from P: S draws of weight 1/S, or the
    points of a quadrature rule. A z that P never takes adds nothing, as 0 ln 0 = 0: where P is one point, H(P) = 0.
    """
    weights = mg.exp(log_p) if weights is None else weights
    possible = mg.greater(log_p, -np.inf)
    log_ratio = mg.where(possible, log_joint, 0.0) - mg.where(possible, log_p, 0.0)
    return mg.sum(weights * log_ratio, axis=1)


def tables(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """ln P(z|y) and ln Q(z, y) of random distributions, (N, K): P sums to 1 over z, Q to Q(y)."""
    log_p = mg.log_softmax(2 * setting.normal("encoder", N, K))
    return log_p, 2 * setting.normal("model", N, K) - 5


def entropy(log_p: np.ndarray) -> np.ndarray:
    """H(P) = −Σ P ln P, in nats."""
    return -mg.sum(mg.exp(log_p) * log_p, axis=1)


def cross_entropy(log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """H(P, Q) = −Σ P ln Q, in nats."""
    return -mg.sum(mg.exp(log_p) * log_q, axis=1)


def divergence(log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """KL(P, Q) = Σ P ln P/Q, in nats."""
    return mg.sum(mg.exp(log_p) * (log_p - log_q), axis=1)


@claim(
    7,
    "The two expressions for the ELBO are equal, for any encoder.",
    "E_P ln Q(z, y) + H(P) = ln Q(y) − KL(P, Q(z|y))",
)
def two_expressions(setting: Setting) -> Sides:
    log_p, log_joint = tables(setting)
    evidence = mg.logsumexp(log_joint, axis=1)
    posterior = log_joint - evidence[:, None]
    first = mg.sum(mg.exp(log_p) * log_joint, axis=1) + entropy(log_p)
    second = evidence - divergence(log_p, posterior)
    return equal(first, second)


@claim(7, "The ELBO is a lower bound on the evidence.", "E_P ln Q(z, y) + H(P) ≤ ln Q(y)")
def lower_bound(setting: Setting) -> Sides:
    log_p, log_joint = tables(setting)
    elbo = mg.sum(mg.exp(log_p) * log_joint, axis=1) + entropy(log_p)
    return at_most(elbo, mg.logsumexp(log_joint, axis=1))


@claim(7, "The bound is tight where the encoder is the posterior.", "P = Q(z|y)  ⇒  E_P ln Q(z, y) + H(P) = ln Q(y)")
def tight_at_the_posterior(setting: Setting) -> Sides:
    _, log_joint = tables(setting)
    evidence = mg.logsumexp(log_joint, axis=1)
    posterior = log_joint - evidence[:, None]
    return equal(mg.sum(mg.exp(posterior) * log_joint, axis=1) + entropy(posterior), evidence)


@claim(
    8,
    "First step: the expected joint is the evidence less a cross-entropy.",
    "E_P ln Q(z, y) = ln Q(y) − H(P, Q(z|y))",
)
def first_step(setting: Setting) -> Sides:
    log_p, log_joint = tables(setting)
    evidence = mg.logsumexp(log_joint, axis=1)
    right = evidence - cross_entropy(log_p, log_joint - evidence[:, None])
    return equal(mg.sum(mg.exp(log_p) * log_joint, axis=1), right)


@claim(9, "Second step: cross-entropy less entropy is the divergence.", "H(P, Q) − H(P) = KL(P, Q)")
def second_step(setting: Setting) -> Sides:
    log_p, log_joint = tables(setting)
    posterior = log_joint - mg.logsumexp(log_joint, axis=1, keepdims=True)
    return equal(cross_entropy(log_p, posterior) - entropy(log_p), divergence(log_p, posterior))
