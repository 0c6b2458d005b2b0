"""Slides 6–9: two expressions for the evidence lower bound, and why they are equal.

With any encoder P(z|y), and Q(z|y) = Q(z, y)/Q(y) the posterior of the model,

    E_P ln Q(z, y) + H(P)  =  ln Q(y) − KL(P, Q(z|y))  ≤  ln Q(y)

The derivation has two steps. First, E_P ln Q(z, y) = ln Q(y) − H(P, Q(z|y)), because ln Q(z, y) = ln Q(y) + ln Q(z|y)
(slide 8). Then add H(P), because H(P, Q) − H(P) = KL(P, Q) (slide 9). Here z is one of K values, so each side is a
finite sum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from vae.lecture.claims import Setting, Sides, at_most, claim, equal
from vae.lecture.models.bound import elbo

N, K = 64, 7  # images, values of z


def random_tables(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """Random ln P(z|y) and ln Q(z, y), (N, K) each: over z, P sums to 1 and Q to Q(y)."""
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


def plot_parts(upper: np.ndarray, lower: np.ndarray, names: tuple[str, str, str]) -> Callable[[Any], None]:
    """Two numbers of each image and the difference between them, images sorted by the upper one."""

    def draw(axes: Any) -> None:
        order = np.argsort(upper)
        place = np.arange(len(order))
        axes.vlines(place, lower[order], upper[order], color="#e69f00", lw=3, label=names[2])
        axes.plot(place, upper[order], "_", color="#222222", ms=6, mew=2, label=names[0])
        axes.plot(place, lower[order], ".", color="#0072b2", ms=5, label=names[1])
        axes.set(xlabel="image", ylabel="nats")
        axes.legend(frameon=False, fontsize=8)

    return draw


@claim(
    6,
    "The ELBO pulls P towards the posterior: its gradient in P's logits has a closed form, which is 0 there.",
    "∂/∂l_z [E_P ln Q(z, y) + H(P)] = P(z|y)·(KL(P, Q(z|y)) − ln P(z|y)/Q(z|y)),    0 where P = Q(z|y)",
)
def pulled_towards_the_posterior(setting: Setting) -> Sides:
    log_p, log_joint = random_tables(setting)
    log_posterior = mg.log_softmax(log_joint)
    ratio = log_p - log_posterior
    pull = mg.exp(log_p) * (divergence(log_p, log_posterior)[:, None] - ratio)
    objective = mg.grad(lambda logits: mg.sum(elbo(log_joint, mg.log_softmax(logits))))
    left = objective(log_p), objective(log_posterior)  # at any encoder, and at the posterior
    return equal(np.stack(left), np.stack([pull, np.zeros_like(pull)]))


@claim(7, "Both expressions for the ELBO are equal for any encoder.", "E_P ln Q(z, y) + H(P) = ln Q(y) − KL(P, Q(z|y))")
def two_expressions(setting: Setting) -> Sides:
    log_p, log_joint = random_tables(setting)
    evidence = mg.logsumexp(log_joint, axis=1)
    posterior = log_joint - evidence[:, None]
    first = mg.sum(mg.exp(log_p) * log_joint, axis=1) + entropy(log_p)
    second = evidence - divergence(log_p, posterior)
    return equal(first, second, draw=plot_parts(evidence, first, ("ln Q(y)", "both expressions", "KL(P, Q(z|y))")))


@claim(7, "The ELBO is a lower bound on the evidence.", "E_P ln Q(z, y) + H(P) ≤ ln Q(y)")
def lower_bound(setting: Setting) -> Sides:
    log_p, log_joint = random_tables(setting)
    elbo = mg.sum(mg.exp(log_p) * log_joint, axis=1) + entropy(log_p)
    evidence = mg.logsumexp(log_joint, axis=1)
    return at_most(elbo, evidence, draw=plot_parts(evidence, elbo, ("ln Q(y)", "ELBO", "KL(P, Q(z|y))")))


@claim(7, "The bound is tight where the encoder is the posterior.", "P = Q(z|y)  ⇒  E_P ln Q(z, y) + H(P) = ln Q(y)")
def tight_at_the_posterior(setting: Setting) -> Sides:
    _, log_joint = random_tables(setting)
    evidence = mg.logsumexp(log_joint, axis=1)
    posterior = log_joint - evidence[:, None]
    return equal(mg.sum(mg.exp(posterior) * log_joint, axis=1) + entropy(posterior), evidence)


@claim(
    8,
    "First step: the expected log joint is the log evidence minus a cross-entropy.",
    "E_P ln Q(z, y) = ln Q(y) − H(P, Q(z|y))",
)
def first_step(setting: Setting) -> Sides:
    log_p, log_joint = random_tables(setting)
    evidence = mg.logsumexp(log_joint, axis=1)
    left = mg.sum(mg.exp(log_p) * log_joint, axis=1)
    right = evidence - cross_entropy(log_p, log_joint - evidence[:, None])
    return equal(left, right, draw=plot_parts(evidence, left, ("ln Q(y)", "E_P ln Q(z, y)", "H(P, Q(z|y))")))


@claim(9, "Second step: cross-entropy minus entropy is the KL divergence.", "H(P, Q) − H(P) = KL(P, Q)")
def second_step(setting: Setting) -> Sides:
    log_p, log_joint = random_tables(setting)
    posterior = log_joint - mg.logsumexp(log_joint, axis=1, keepdims=True)
    cross, own = cross_entropy(log_p, posterior), entropy(log_p)
    draw = plot_parts(cross, own, ("H(P, Q(z|y))", "H(P)", "KL(P, Q(z|y))"))
    return equal(cross - own, divergence(log_p, posterior), draw=draw)
