"""Slide 13, continued: more draws of ε per image give a tighter bound (Burda, Grosse and Salakhutdinov 2015).

    L_k = ln (1/k) Σ_i Q(z_i, y)/P(z_i|y),  z_i ~ P:      E L_1 is the ELBO, and E L_k rises to ln Q(y)

Let w = Q(z, y)/P(z|y)Q(y) = Q(z|y)/P(z|y), whose mean is 1, and let δ be the mean of k draws of w − 1. Then
L_k = ln Q(y) + ln(1 + δ). As E δ² = Var(w)/k, and ln(1 + δ) = δ − δ²/2 + δ³/3 + r(δ),

    E L_k ≈ ln Q(y) − Var(w)/2k,   off by at most  |E (w−1)³|/3k² + max(1, 1/min w)·E δ⁴/4

because r(δ) = −∫₀^δ u³/(1 + u) du lies between 0 and −δ⁴/4 for δ > 0, and between 0 and −δ⁴/4(1 + δ) for δ < 0. Both
error terms fall like 1/k². So few draws suffice where Var(w) is small; it is infinite where P is too narrow.

E L_k is known for two models. For one bit of z it is a sum over the number of draws that are 1. For Gaussians it
follows from ln x = ∫₀^{∞} (e^{−t} − e^{−tx}) dt/t (Frullani), whose mean needs only (E e^{−tw/k})^k.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from vae.drawing import BLUE, GREY, VERMILION
from vae.lecture.claims import EPS, Setting, Sides, Slider, at_most, claim, equal, within_errors
from vae.objectives import log_normal


class Gaussians(NamedTuple):
    """Q(z) = N(0, 1), Q(y|z) = N(z, τ²) for one y, and an encoder P(z|y) = N(μ, σ²)."""

    y: float
    tau: float
    mean: float
    std: float

    @property
    def posterior(self) -> tuple[float, float]:
        """Mean m and variance s² of Q(z|y)."""
        return self.y / (1 + self.tau**2), self.tau**2 / (1 + self.tau**2)

    @property
    def log_evidence(self) -> float:
        return log_normal(self.y, 0.0, 0.5 * math.log(1 + self.tau**2))

    def log_weight(self, z: Any) -> Any:
        """ln Q(z, y)/P(z|y)."""
        joint = log_normal(z) + log_normal(self.y, z, math.log(self.tau))
        return joint - log_normal(z, self.mean, math.log(self.std))


def random_gaussians(setting: Setting, ratio: float | None = None, off: float | None = None) -> Gaussians:
    """A model, and an encoder with σ² = ratio·s² and mean m + off·s."""
    y, tau = 2 * setting.normal("y"), 0.5 + setting.uniform("tau")
    ratio = 1.3 + 0.6 * float(setting.uniform("ratio")) if ratio is None else ratio
    off = 0.3 + 0.4 * float(setting.uniform("off")) if off is None else off
    m, s2 = Gaussians(float(y), float(tau), 0.0, 1.0).posterior
    return Gaussians(float(y), float(tau), m + off * math.sqrt(s2), math.sqrt(ratio * s2))


def grid(mean: float, reach: float, count: int = 400) -> tuple[np.ndarray, float]:
    """Equidistant points z around a mean, and their step: sums over them integrate Gaussians to rounding."""
    return np.linspace(mean - reach, mean + reach, count, retstep=True)


def expected_bound(model: Gaussians, k: int) -> float:
    """E L_k in nats, by Frullani's integral over u = ln t: ∫ (e^{−t} − (E e^{−tw/k})^k) du."""
    z, dz = grid(model.mean, 10 * model.std)
    share = np.exp(log_normal(z, model.mean, math.log(model.std))) * dz
    weight = np.exp(model.log_weight(z) - model.log_evidence)
    u, du = np.linspace(-40, 50, 900, retstep=True)
    t = np.exp(u)
    falls = np.maximum(np.expm1(-t[:, None] * weight / k) @ share, EPS - 1)  # E e^{−tw/k} − 1, without cancellation
    return model.log_evidence + float(np.sum(np.expm1(-t) - np.expm1(k * np.log1p(falls))) * du)


@claim(13, "The bound with one draw is the ELBO.", "E L_1 = ln Q(y) − KL(P, Q(z|y))")
def first_bound(setting: Setting) -> Sides:
    model = random_gaussians(setting)
    (m, s2), sigma2 = model.posterior, model.std**2
    divergence = 0.5 * ((sigma2 + (model.mean - m) ** 2) / s2 - 1 - math.log(sigma2 / s2))
    return equal(expected_bound(model, 1), model.log_evidence - divergence, draw=partial(_plot_gap, model))


@claim(
    13,
    "With k draws, the mean of the bound is the value of an integral.",
    "E L_k = ln Q(y) + ∫ (e^{−t} − (E e^{−tw/k})^k) dt/t",
)
def bounds_of_draws(setting: Setting) -> Sides:
    model, counts = random_gaussians(setting), (1, 2, 4, 8, 16, 32)
    log_weight = model.log_weight(model.mean + model.std * setting.normal("noise", 2**19))
    bounds = [mg.logsumexp(log_weight.reshape(-1, k), axis=1) - math.log(k) for k in counts]
    means, errors = [b.mean() for b in bounds], [b.std() / math.sqrt(len(b)) for b in bounds]
    exact = [expected_bound(model, k) for k in counts]
    draw = partial(_plot_bounds, model, counts, means, errors)
    return within_errors(means, exact, errors, draw=draw)


def random_probabilities(setting: Setting) -> tuple[float, float]:
    """P(z = 1|y) of the encoder and Q(z = 1|y) of the posterior."""
    p = 0.3 + 0.2 * float(setting.uniform("encoder"))
    return p, p + 0.2 + 0.2 * float(setting.uniform("posterior"))


def expected_gap(p: float, q: float, k: int) -> float:
    """ln Q(y) − E L_k in nats for one bit of z: a sum over the number of draws that are 1."""
    ones = np.arange(k + 1)
    chance = np.array([math.comb(k, int(j)) * p**j * (1 - p) ** (k - j) for j in ones])
    mean = (ones * q / p + (k - ones) * (1 - q) / (1 - p)) / k
    return -float(chance @ np.log(mean))


@claim(
    13,
    "The bound falls short of ln Q(y) by Var(w)/2k, up to a bounded error of order 1/k².",
    "|ln Q(y) − E L_k − Var(w)/2k| ≤ |E (w−1)³|/3k² + max(1, 1/min w)·(3(k−1) Var(w)² + E (w−1)⁴)/4k³",
)
def half_the_variance(setting: Setting) -> Sides:
    p, q = random_probabilities(setting)
    chance, weight = np.array([1 - p, p]), np.array([(1 - q) / (1 - p), q / p])
    second, third, fourth = (chance @ (weight - 1) ** n for n in (2, 3, 4))
    k = 2 ** np.arange(10)
    gap = np.array([expected_gap(p, q, int(n)) for n in k])
    powers = max(1, 1 / weight.min()) * (3 * (k - 1) * second**2 + fourth) / (4 * k**3)
    allowed = abs(third) / (3 * k**2) + powers
    return at_most(np.abs(gap - second / (2 * k)), allowed, draw=partial(_plot_shortfall, k, gap, second, allowed))


@claim(
    13,
    "The variance of the weights has a closed form where it is finite.",
    "E w² = σ²/(s √(2σ² − s²)) · exp((m − μ)²/(2σ² − s²)),   2σ² > s²",
)
def second_moment(setting: Setting) -> Sides:
    models = [random_gaussians(setting, ratio) for ratio in (0.6, 0.75, 1.0, 1.5, 3.0)]
    left = [truncated_second_moment(model, 60 * model.std) for model in models]
    right = []
    for model in models:
        (m, s2), sigma2 = model.posterior, model.std**2
        right.append(sigma2 / math.sqrt(s2 * (2 * sigma2 - s2)) * math.exp((m - model.mean) ** 2 / (2 * sigma2 - s2)))
    slider = Slider("σ²/s²", RATIOS, partial(_plot_integrand, setting))
    return equal(left, right, draw=lambda axes: _plot_integrand(setting, axes, 0.75), slider=slider)


def truncated_second_moment(model: Gaussians, reach: float) -> float:
    """∫ w² P dz over |z − μ| < reach."""
    z, dz = grid(model.mean, reach, 2001)
    values = np.exp(2 * (model.log_weight(z) - model.log_evidence) + log_normal(z, model.mean, math.log(model.std)))
    return float(values.sum() - (values[0] + values[-1]) / 2) * dz


@claim(
    13,
    "The variance is infinite when 2σ² ≤ s²: the integral grows at least linearly with its limits.",
    "2σ² ≤ s², μ = m:   ln 2R σ/(s² √2π) ≤ ln ∫_{|z−m|<R} w² P dz  for each R",
)
def infinite_variance(setting: Setting) -> Sides:
    models = [random_gaussians(setting, ratio, off=0.0) for ratio in (0.5, 0.45, 0.4)]
    reach = [1.0, 2.0, 4.0, 8.0, 16.0]
    below = [[2 * r * model.std**2 / (model.posterior[1] * math.sqrt(2 * math.pi)) for r in reach] for model in models]
    grows = [[truncated_second_moment(model, r * model.std) for r in reach] for model in models]
    return at_most(np.log(below), np.log(grows), draw=partial(_plot_growth, setting))


# Pictures

RATIOS = (0.4, 0.5, 0.6, 0.75, 1.0, 1.5, 3.0)


def _plot_gap(model: Gaussians, axes: Any) -> None:
    """ln Q(z, y)/P(z|y) against z, its mean under P, and the logarithm of the weights' mean."""
    z, _ = grid(model.mean, 3.5 * model.std)
    log_w = model.log_weight(z)
    scale = np.exp(log_normal(z, model.mean, math.log(model.std)))
    axes.plot(z, log_w, color=BLUE, label="ln Q(z, y)/P(z|y)")
    axes.fill_between(
        z, log_w.min(), log_w.min() + scale / scale.max() * np.ptp(log_w) / 2, color=GREY, alpha=0.25, lw=0
    )
    axes.axhline(model.log_evidence, color=VERMILION, label="ln Q(y)")
    axes.axhline(expected_bound(model, 1), color=BLUE, ls="--", label="its mean under P, the ELBO")
    axes.set(xlabel="z (grey: density of P)", ylabel="nats")
    axes.legend(frameon=False, fontsize=8)


def _plot_bounds(model: Gaussians, counts: tuple, means: list, errors: list, axes: Any) -> None:
    k = np.arange(1, 65)
    axes.plot(k, [expected_bound(model, int(n)) for n in k], color=BLUE, label="E L$_k$ by the integral")
    axes.errorbar(counts, means, 4 * np.array(errors), fmt="o", color=BLUE, capsize=3, label="draws, 4 standard errors")
    axes.axhline(model.log_evidence, color=VERMILION, label="ln Q(y)")
    axes.set(xscale="log", xlabel="draws k", ylabel="nats")
    axes.set_xticks(2 ** np.arange(7), 2 ** np.arange(7))
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=8)


def _plot_shortfall(k: np.ndarray, gap: np.ndarray, variance: float, allowed: np.ndarray, axes: Any) -> None:
    axes.plot(k, variance / (2 * k), color=BLUE, label="Var(w)/2k")
    axes.plot(k, gap, "o", color=VERMILION, label="ln Q(y) − E L$_k$")
    axes.plot(k, np.abs(gap - variance / (2 * k)), "s", color=GREY, ms=4, label="their difference")
    axes.plot(k, allowed, "--", color=GREY, label="its bound")
    axes.set(xscale="log", yscale="log", xlabel="draws k", ylabel="nats")
    axes.legend(frameon=False, fontsize=8)


def _plot_integrand(setting: Setting, axes: Any, ratio: float) -> None:
    """Posterior, encoder, and w²P, whose area is E w²."""
    model = random_gaussians(setting, ratio, off=0.0)
    m, s2 = model.posterior
    z, _ = grid(m, 6 * math.sqrt(s2))
    at, encoder = (z - m) / math.sqrt(s2), np.exp(log_normal(z, model.mean, math.log(model.std)))
    square = np.exp(2 * (model.log_weight(z) - model.log_evidence)) * encoder
    scale = math.sqrt(s2)
    axes.plot(at, scale * np.exp(log_normal(z, m, 0.5 * math.log(s2))), color=GREY, label="posterior Q(z|y)")
    axes.plot(at, scale * encoder, color=BLUE, label="encoder P(z|y)")
    axes.plot(at, scale * square, color=VERMILION, label="w² P")
    axes.fill_between(at, scale * square, color=VERMILION, alpha=0.2, lw=0)
    value = f"E w² = {ratio / math.sqrt(2 * ratio - 1):.2f}" if ratio > 0.5 else "E w² = ∞"
    axes.set(
        xlabel="(z − m)/s", ylabel="density (1/s)", xlim=(-6, 6), ylim=(0, 1.0), title=f"σ² = {ratio:g} s²,  {value}"
    )
    axes.legend(frameon=False, fontsize=8)


def _plot_growth(setting: Setting, axes: Any) -> None:
    reach = np.geomspace(0.5, 30, 40)
    for ratio, colour in zip((0.45, 0.5, 0.6, 1.0), (VERMILION, "#e69f00", "#009e73", BLUE)):
        model = random_gaussians(setting, ratio, off=0.0)
        s = math.sqrt(model.posterior[1])
        axes.plot(
            reach, [truncated_second_moment(model, r * s) for r in reach], color=colour, label=f"σ² = {ratio:g} s²"
        )
    axes.set(xscale="log", yscale="log", ylim=(0.3, 1e3), xlabel="R, in units of s", ylabel="∫ w² P over |z − m| < R")
    axes.legend(frameon=False, fontsize=8)
