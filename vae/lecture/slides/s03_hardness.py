"""Slide 3: exact computation is #P-hard, so a VAE replaces the posterior by a distribution that is easy to sample.

Computing Q(y) counts the solutions of a logical formula: let the bits of z be fair coins, and let pixel c be 1 where
clause c of the formula holds. Then

    2^d Q(y = 1) = Σ_z [every clause holds] = number of solutions,

and counting solutions is #P-complete (Valiant 1979). The sum over z has 2^d terms. There are two ways around it:

    directed trees   on a chain z₁ → z₂ → …, the sum factorises: 4 terms per bit
    the ELBO         draw z ~ P(z|y) and compute one term, ln Q(z, y) − ln P(z|y): an unbiased estimate
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.core import tree
from vae.drawing import BLUE, COLOURS, GREY, INK, VERMILION
from vae.lecture.claims import Setting, Sides, Slider, claim, equal, mean_of_draws
from vae.lecture.models.bound import elbo
from vae.lecture.models.exact import BeliefNet, log_bernoulli, posterior, random_net

BITS = tuple(range(1, 13))
SURE = 100.0  # a logit of ±50 is a probability of 1 − 2e-22 or 2e-22


def random_formula(setting: Setting, variables: int, clauses: int) -> list[list[tuple[int, bool]]]:
    """Random clauses of three literals, each (variable, required value)."""
    order = np.argsort(setting.uniform("clauses", clauses, variables), axis=1)[:, :3]
    values = setting.uniform("literals", clauses, 3) < 0.5
    return [list(zip(v.tolist(), s.tolist())) for v, s in zip(order, values)]


def count_solutions(formula: list[list[tuple[int, bool]]], variables: int) -> int:
    """The number of the 2^variables assignments that make every clause true, by trying each."""
    every = product((False, True), repeat=variables)
    return sum(all(any(z[v] == value for v, value in clause) for clause in formula) for z in every)


def to_net(formula: list[list[tuple[int, bool]]], variables: int) -> BeliefNet:
    """A belief net of fair coins z whose pixel c is 1 where clause c holds: its logit is 100 (true literals − ½)."""
    weights, bias = np.zeros((variables, len(formula))), np.full(len(formula), -SURE / 2)
    for c, clause in enumerate(formula):
        for v, value in clause:
            weights[v, c] = SURE if value else -SURE
            bias[c] += 0 if value else SURE
    return BeliefNet(np.zeros(variables), weights, bias)


@claim(
    3,
    "Exact computation is #P-hard: the evidence counts the solutions of a formula.",
    "2^d Q(y = 1) = number of z that make every clause true",
)
def evidence_counts_solutions(setting: Setting) -> Sides:
    lengths = range(3, 34, 3)
    formula = random_formula(setting, variables=9, clauses=33)
    nets = [to_net(formula[:n], variables=9) for n in lengths]
    left = [2**9 * np.exp(net.log_evidence(np.ones((1, n)))[0]) for n, net in zip(lengths, nets)]
    right = [count_solutions(formula[:n], variables=9) for n in lengths]
    return equal(left, right, draw=plot_solutions(lengths, left, right))


def guess_logits(net: BeliefNet, y: np.ndarray) -> np.ndarray:
    """Logits of an encoder P(z|y) = Π Bernoulli: each bit with its probability under Q(z|y), within 0.05 … 0.95."""
    marginals = np.clip(np.exp(posterior(net.log_joint(y))[0]) @ net.every_z, 0.05, 0.95)
    return np.log(marginals) - np.log1p(-marginals)


def draw_bits(setting: Setting, logits: np.ndarray, count: int) -> np.ndarray:
    """z ~ Π Bernoulli(sigmoid(logits)), (count, d)."""
    return np.float64(setting.uniform("draws", count, len(logits)) < 1 / (1 + np.exp(-logits)))


@claim(
    3,
    "Every bit of z doubles the terms of the evidence; the ELBO of one draw has one term.",
    "#{z in Σ_z Q(z, y)} = 2^d,    #{z ~ P(z|y)} = 1",
)
def terms_double_with_each_bit(setting: Setting) -> Sides:
    nets = [random_net(setting, latent=d, size=16) for d in BITS]
    y = np.round(setting.uniform("image", 1, 16))
    sums = [np.unique(net.every_z, axis=0) for net in nets]
    drawn = [draw_bits(setting, guess_logits(net, y), 1) for net in nets]
    left = [[net.log_joint(y, z).size for z in pair] for net, *pair in zip(nets, sums, drawn)]
    slider = Slider("bits of z", BITS[1::2], lambda axes, d: plot_posterior(axes, nets[d - 1], y, drawn[d - 1]))
    return equal(left, [[2**d, 1] for d in BITS], draw=plot_times(nets, drawn, np.repeat(y, 32, axis=0)), slider=slider)


@claim(
    3,
    "One draw from an easy P(z|y) estimates the ELBO without bias, from a single term.",
    "E_{z~P} [ln Q(z, y) − ln P(z|y)] = Σ_z P(z|y) (ln Q(z, y) − ln P(z|y))",
)
def one_draw_has_no_bias(setting: Setting) -> Sides:
    net, y = random_net(setting, latent=8, size=16), np.round(setting.uniform("image", 1, 16))
    logits = guess_logits(net, y)
    z = draw_bits(setting, logits, 40_000)
    each = net.log_joint(y, z)[0] - log_bernoulli(z, logits)
    exact = elbo(net.log_joint(y), log_bernoulli(net.every_z, logits)[None])[0]
    return mean_of_draws(each, exact, draw=plot_running_mean(each, exact, net.log_evidence(y)[0]))


@dataclass(frozen=True)
class Chain:
    """Bits z₁ → z₂ → … → z_d, each with a pixel y_i: a directed tree (a hidden Markov model)."""

    start: Any  # logits of z₁, (2,)
    step: Any  # logits of z_{i+1} given z_i, (2, 2)
    pixel: Any  # logit of y_i given z_i, (2,)

    def log_pixels(self, y: Any) -> Any:
        """ln Q(y_i|z_i) for both values of z_i: (N, d, 2)."""
        return log_bernoulli(y[:, :, None, None], self.pixel[:, None])

    def log_joint(self, y: Any) -> Any:
        """ln Q(z, y) for each of the 2^d values of z: (N, 2^d)."""
        z = np.array(list(product((0, 1), repeat=y.shape[1])))
        prior = mg.log_softmax(self.start)[z[:, 0]]
        steps = mg.sum(mg.log_softmax(self.step)[z[:, :-1], z[:, 1:]], axis=1)
        return prior + steps + mg.sum(self.log_pixels(y)[:, np.arange(y.shape[1]), z], axis=2)

    def log_evidence(self, y: Any) -> Any:
        """ln Q(y), (N,), by the forward algorithm, which sums out one bit after the other."""
        pixels, step = self.log_pixels(y), mg.log_softmax(self.step)
        so_far = mg.log_softmax(self.start) + pixels[:, 0]  # ln Q(z_i, y_1 … y_i), (N, 2)
        for i in range(1, y.shape[1]):
            so_far = mg.logsumexp(so_far[:, :, None] + step, axis=1) + pixels[:, i]
        return mg.logsumexp(so_far, axis=1)


@claim(
    3,
    "Directed trees are the exception: a chain's evidence and gradient are exact with 4 terms per bit.",
    "Σ_z Q(z, y) = Σ_{z_d} Q(y_d|z_d) … Σ_{z_2} Q(z_3|z_2) Q(y_2|z_2) Σ_{z_1} Q(z_2|z_1) Q(z_1) Q(y_1|z_1)",
)
def chains_are_easy(setting: Setting) -> Sides:
    chain = Chain(setting.normal("start", 2), 2 * setting.normal("step", 2, 2), 2 * setting.normal("pixel", 2))
    y = np.round(setting.uniform("images", 6, 10))
    left = mg.value_and_grad(lambda chain: mg.mean(chain.log_evidence(y)))(chain)
    right = mg.value_and_grad(lambda chain: mg.mean(mg.logsumexp(chain.log_joint(y), axis=1)))(chain)
    left, right = (np.concatenate([np.ravel(g) for g in tree.flatten(side)[0]]) for side in (left, right))
    return equal(left, right, draw=plot_terms)


# Pictures


def plot_solutions(lengths: Sequence[int], left: Sequence[float], right: Sequence[int]) -> Callable:
    """The number of solutions against the number of clauses, counted in both ways."""

    def draw(axes: Any) -> None:
        axes.plot(lengths, right, color=BLUE, lw=1.6, label="solutions, by trying all 512 assignments")
        axes.plot(lengths, left, "o", color=VERMILION, ms=5, label="2^d Q(y = 1) of the belief net, d = 9")
        axes.set_yscale("symlog", linthresh=1)
        axes.set(xlabel="clauses of three literals", ylabel="solutions", ylim=(0, 1000))
        axes.legend(fontsize=8, frameon=False)

    return draw


def time_call(f: Callable) -> float:
    """Seconds of the fastest of three calls."""
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        f()
        taken.append(time.perf_counter() - began)
    return min(taken)


def plot_times(nets: Sequence[BeliefNet], drawn: Sequence[np.ndarray], y: np.ndarray) -> Callable:
    """Time of the gradient of the evidence, and of the joint at one draw, against the bits of z."""

    def time_gradient(log_q: Callable, net: BeliefNet) -> float:
        return 1e3 * time_call(lambda: mg.grad(lambda net: mg.sum(log_q(net)))(net))

    def draw(axes: Any) -> None:
        exact = [time_gradient(lambda net: net.log_evidence(y), net) for net in nets]
        one = [time_gradient(lambda net, z=z: net.log_joint(y, z), net) for net, z in zip(nets, drawn)]
        axes.plot(BITS, exact, "o-", color=VERMILION, label="∇ ln Q(y): 2^d terms")
        axes.plot(BITS, one, "s-", color=BLUE, label="∇ ln Q(z, y) at one draw: 1 term")
        axes.plot(BITS[6:], [exact[-1] * 2.0 ** (d - BITS[-1]) for d in BITS[6:]], color=GREY, ls="--", lw=1)
        axes.annotate(
            "doubling", (BITS[6], exact[-1] / 2.0**5), (-8, 0), textcoords="offset points", fontsize=8, ha="right"
        )
        axes.set(yscale="log", xlabel="bits of z", ylabel=f"milliseconds, {len(y)} images (measured)")
        axes.legend(fontsize=8, frameon=False)

    return draw


def plot_posterior(axes: Any, net: BeliefNet, y: np.ndarray, drawn: np.ndarray) -> None:
    """Q(z|y) over all z, and the one draw that the ELBO uses."""
    share = np.exp(posterior(net.log_joint(y))[0])
    axes.vlines(np.arange(len(share)), 0, share, color=BLUE, lw=max(1.5, 60 / len(share)))
    axes.plot(drawn[0] @ 2.0 ** np.arange(len(net.prior))[::-1], 0, "^", color=VERMILION, clip_on=False)
    axes.set(xlabel="value of z, read as a binary number", ylabel="Q(z|y)", ylim=(0, 1), xlim=(-1, len(share)))
    axes.set_title(f"{len(net.prior)} bits: the evidence sums {len(share):,} terms, one draw (▲) is 1 term", fontsize=9)


def plot_running_mean(each: np.ndarray, exact: float, evidence: float) -> Callable:
    """The mean of the first n draws, with four standard errors around the exact ELBO."""

    def draw(axes: Any) -> None:
        n = np.arange(1, len(each) + 1)
        width = 4 * each.std() / np.sqrt(n)
        axes.fill_between(n, exact - width, exact + width, color=BLUE, alpha=0.15, lw=0, label="± 4 standard errors")
        axes.plot(n, np.cumsum(each) / n, color=BLUE, lw=1.4, label="mean of n draws")
        axes.axhline(exact, color=INK, lw=0.8, ls="--", label="ELBO, summed over all z")
        axes.axhline(evidence, color=VERMILION, lw=0.8, ls=":", label="ln Q(y)")
        axes.set(xscale="log", xlabel="draws n", ylabel="nats", ylim=(exact - 3 * each.std(), exact + 3 * each.std()))
        axes.legend(fontsize=8, frameon=False)

    return draw


def plot_terms(axes: Any) -> None:
    """The number of terms in a chain's evidence: over all z, and bit by bit."""
    bits = np.arange(1, 31)
    axes.plot(bits, 2.0**bits, "o-", ms=3, color=VERMILION, label="sum over z: 2^d")
    axes.plot(bits, 4 * bits - 2, "s-", ms=3, color=COLOURS[2], label="bit by bit: 4 (d − 1) + 2")
    axes.set(yscale="log", xlabel="bits d of z", ylabel="terms of ln Q(y)")
    axes.legend(fontsize=8, frameon=False)
