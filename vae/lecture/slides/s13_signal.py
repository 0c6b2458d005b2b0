"""Slide 13, continued: is the encoder's gradient lost in noise when the bound has many draws?

The bound L_k = ln (1/k) Σ_i w_i, with w = Q(z, y)/P(z|y), has two estimators of its gradient in ψ = (μ, ln σ):

    plain                     Σ_i v_i ∂ψ ln w_i,  v_i = w_i/Σ_j w_j           the derivative of L_k
    doubly reparameterised    Σ_i v_i² ∂z ln w_i · ∂ψ z_i                     Tucker, Lawson, Gu and Maddison 2018

In the second, ∂z holds μ and σ in ln P(z|y) fixed: this drops the score, and the weights v_i² make up for it. Both
have the same mean; training computes them with `--objective iwae` and `--objective dreg`. At the posterior N(m, s²),
v_i = 1/k, ∂z ln w = 0, ∂μ ln w = −ε/s and ∂ ln w/∂ ln σ = 1 − ε²: the second is 0 for every draw, the first is not.

Elsewhere, if P is wide enough for the moments of w to be finite, the mean of both falls like 1/k, as the bound
approaches ln Q(y). The standard deviation of the first falls only like 1/√k, so that its ratio of signal to noise,
|mean|/standard deviation, falls like 1/√k (Rainforth et al. 2018); that of the second falls like k^{−3/2}, so that its
ratio rises like √k.

For Gaussians, mean and variance are known. Both estimators are of the form Σ a_i/(Σ w_i)^n, with a = ∂ψ w and n = 1, or
a = w² ∂z ln w · ∂ψ z and n = 2. With x^{−n} = ∫₀^{∞} t^{n−1} e^{−tx} dt/(n−1)!, means over independent draws factor:

    E Σ a_i/(Σ w_i)^n = ∫ k A B^{k−1} t^{n−1} dt/(n−1)!,    A = E a e^{−tw},  B = E e^{−tw}
    E (Σ a_i)²/(Σ w_i)^{2n} = ∫ (k C B^{k−1} + k(k−1) A² B^{k−2}) t^{2n−1} dt/(2n−1)!,    C = E a² e^{−tw}
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from vae.drawing import BLUE, GREY, INK, VERMILION
from vae.lecture.claims import EPS, Setting, Sides, Slider, at_most, claim, equal, variance_of_draws, within_errors
from vae.lecture.slides.s13_importance import Gaussians, grid, random_gaussians
from vae.lecture.slides.s13_landing import estimates
from vae.objectives import log_normal

DRAWS = 2**15  # estimates, of k draws each
COUNTS = (1, 4, 16, 64)  # k
ESTIMATORS = {"iwae": ("plain", VERMILION), "dreg": ("doubly reparameterised", BLUE)}


class Parts(NamedTuple):
    """w and a on a grid of z, scaled to E w = 1; the probability of each z; Z is the number of points."""

    share: np.ndarray  # (Z,)
    weight: np.ndarray  # (Z,)
    plain: np.ndarray  # a = ∂ψ w, (2, Z)
    doubly: np.ndarray  # a = w² ∂z ln w · ∂ψ z, (2, Z)


def parts_of(model: Gaussians) -> Parts:
    """The parts of both estimators, by ∂z ln Q(z, y) = (m − z)/s² and −∂z ln P(z|y) = ε/σ."""
    (m, s2), (z, dz) = model.posterior, grid(model.mean, 10 * model.std)
    noise = (z - model.mean) / model.std
    weight = np.exp(model.log_weight(z) - model.log_evidence)
    moves = np.stack([np.ones_like(z), model.std * noise])  # ∂z/∂μ and ∂z/∂ ln σ
    plain = weight * ((m - z) / s2 * moves + np.array([[0.0], [1.0]]))  # −ln P(z|y) grows with ln σ alone
    doubly = weight**2 * ((m - z) / s2 + noise / model.std) * moves
    return Parts(np.exp(log_normal(noise)) * dz / model.std, weight, plain, doubly)


def moments(parts: Parts, a: np.ndarray, n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of Σ a_i/(Σ w_i)^n over k draws, (2,) each, by integrals over u = ln t."""
    u, du = np.linspace(-40, 50, 900, retstep=True)
    t = np.exp(u)[:, None]
    weight, a = parts.weight / k, a / k**n
    decay = np.exp(-t * weight) * parts.share  # (t, Z)
    log_all = np.log1p(np.maximum(np.expm1(-t * weight) @ parts.share, EPS - 1))[:, None]  # ln E e^{−tw}, (t, 1)
    one, two = decay @ a.T, decay @ (a * a).T  # (t, Z) @ (Z, 2)
    mean = k * one * np.exp((k - 1) * log_all) * t**n / math.factorial(n - 1)
    square = k * two * np.exp((k - 1) * log_all) + k * (k - 1) * one**2 * np.exp((k - 2) * log_all)
    square = square * t ** (2 * n) / math.factorial(2 * n - 1)
    return mean.sum(0) * du, square.sum(0) * du - (mean.sum(0) * du) ** 2


def both_moments(model: Gaussians, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact means and variances, (estimator, parameter) each."""
    parts = parts_of(model)
    plain, doubly = moments(parts, parts.plain, 1, k), moments(parts, parts.doubly, 2, k)
    return np.stack([plain[0], doubly[0]]), np.stack([plain[1], doubly[1]])


def draws_of(model: Gaussians, k: int, setting: Setting) -> np.ndarray:
    """Both estimators, (draws, estimator, parameter), as training computes them."""
    noise = setting.normal(f"noise {k}", k, DRAWS)
    return np.stack([estimates(objective, model, noise) for objective in ESTIMATORS]).transpose(2, 0, 1)


def at_posterior(setting: Setting) -> Gaussians:
    """A random model, whose encoder is the posterior."""
    return random_gaussians(setting, ratio=1.0, off=0.0)


@claim(
    13,
    "With k draws, the doubly reparameterised gradient has the mean of the plain one.",
    "E Σ_i v_i² ∂z ln w_i · ∂ψ z_i = E Σ_i v_i ∂ψ ln w_i = ∂ψ E L_k",
)
def doubly_reparameterised_mean(setting: Setting) -> Sides:
    model = random_gaussians(setting)
    plain, doubly = np.stack([both_moments(model, k)[0] for k in COUNTS], axis=1)
    return equal(doubly, plain, draw=partial(_plot_means, model))


@claim(
    13,
    "Training's estimates of the gradient have the mean and the variance that the integrals give.",
    "mean and variance of draws = those of Σ a_i/(Σ w_i)^n,  for both estimators, k = 1, 4, 16, 64",
)
def estimates_of_training(setting: Setting) -> Sides:
    model = random_gaussians(setting)
    draws = np.stack([draws_of(model, k, setting) for k in COUNTS])  # (k, draws, estimator, parameter)
    variance, fourth = draws.var(axis=1), ((draws - draws.mean(axis=1, keepdims=True)) ** 4).mean(axis=1)
    left = np.stack([draws.mean(axis=1), variance], axis=1)
    right = np.stack([both_moments(model, k) for k in COUNTS])
    errors = np.sqrt(np.stack([variance, fourth - variance**2], axis=1) / DRAWS)
    draw = partial(_plot_histogram, model, dict(zip(COUNTS, draws)))
    return within_errors(left, right, errors, draw=lambda axes: draw(axes, 16), slider=Slider("k", COUNTS, draw))


@claim(
    13,
    "At the posterior, the plain gradient is noisy for every number of draws.",
    "Var ∂L_k/∂μ = 1/(k s²),   Var ∂L_k/∂ ln σ = 2/k",
)
def plain_variance_at_posterior(setting: Setting) -> Sides:
    model = at_posterior(setting)
    draws = np.stack([draws_of(model, k, setting)[:, 0] for k in COUNTS], axis=1)  # (draws, k, parameter)
    right = np.array([[1 / (k * model.posterior[1]), 2 / k] for k in COUNTS])
    return variance_of_draws(draws, right, draw=partial(_plot_variances, model, draws))


@claim(
    13,
    "At the posterior, the doubly reparameterised gradient is 0 for every draw.",
    "Σ_i v_i² ∂z ln w_i · ∂ψ z_i = 0  for each ε_1, …, ε_k",
)
def doubly_sticking_the_landing(setting: Setting) -> Sides:
    model = at_posterior(setting)
    draws = {k: draws_of(model, k, setting) for k in COUNTS}
    doubly = np.stack([both[:, 1] for both in draws.values()])
    draw = partial(_plot_landing, setting, draws)
    roundings = 2.0**8 / model.tau**2  # the terms that cancel are up to 1/τ² in size
    slider = Slider("k", COUNTS, draw)
    return equal(doubly, np.zeros(doubly.shape), roundings, draw=lambda axes: draw(axes, 4), slider=slider)


def ratios(model: Gaussians, k: int) -> np.ndarray:
    """Signal to noise: |mean|/standard deviation, (estimator, parameter), times √k and divided by √k."""
    mean, variance = both_moments(model, k)
    return np.abs(mean) / np.sqrt(variance) * np.array([[math.sqrt(k)], [1 / math.sqrt(k)]])


def limits(model: Gaussians) -> np.ndarray:
    """What the `ratios` tend to, by the delta method: with means ā and w̄ = 1 + δ of k draws, ā/w̄² ≈ ā − 2δ E a."""
    parts = parts_of(model)
    signal = parts.doubly @ parts.share  # E a = lim k·∂E L_k
    spread = parts.doubly - signal[:, None] - 2 * signal[:, None] * (parts.weight - 1)
    return np.abs(signal) / np.sqrt(np.stack([parts.plain**2 @ parts.share, spread**2 @ parts.share]))


@claim(
    13,
    "The plain gradient's ratio of signal to noise falls like 1/√k, the doubly reparameterised one's rises like √k.",
    "a = w² ∂z ln w · ∂ψ z:   R_plain √k → |E a|/√E (∂ψ w)²,   R_doubly/√k → |E a|/√Var(a − 2w E a)",
    "r = R_plain √k or R_doubly/√k:   |r_k − lim r| ≤ |r_k − r_{k/4}| + |r_{k/4} − r_{k/16}|,   k = 1024",
)
def signal_to_noise(setting: Setting) -> Sides:
    model = random_gaussians(setting)
    before, last, now = (ratios(model, k) for k in (64, 256, 1024))
    remains, changes = np.abs(now - limits(model)), np.abs(now - last) + np.abs(last - before)
    return at_most(remains, changes, draw=partial(_plot_ratios, model, setting))


# Pictures

MANY = 2 ** np.arange(11)


def _plot_means(model: Gaussians, axes: Any) -> None:
    """The size of ∂μ's mean, and that of Σ v_i ∂z ln w_i · ∂μ z_i, which drops the score, and keeps v_i."""
    parts = parts_of(model)
    plain, doubly = np.stack([both_moments(model, int(k))[0][:, 0] for k in MANY], axis=1)
    halfway = [moments(parts, parts.doubly / parts.weight, 1, int(k))[0][0] for k in MANY]
    axes.plot(MANY, np.abs(halfway), color=GREY, label="without the score, weights v$_i$: another mean")
    axes.plot(MANY, np.abs(plain), color=VERMILION, label="plain")
    axes.plot(MANY, np.abs(doubly), "o", color=BLUE, label="doubly reparameterised: weights v$_i$²")
    axes.set(xscale="log", yscale="log", xlabel="draws k", ylabel="|mean of ∂μ| (nats)")
    axes.legend(frameon=False, fontsize=8)


def _plot_histogram(model: Gaussians, draws: dict[int, np.ndarray], axes: Any, k: float) -> None:
    bins = np.linspace(-4, 3, 141)
    for values, (name, colour) in zip(draws[int(k)][..., 0].T, ESTIMATORS.values()):
        axes.hist(values, bins, density=True, color=colour, alpha=0.5, label=name)
    mean = both_moments(model, int(k))[0][0, 0]
    axes.axvline(mean, color=INK, lw=1, label=f"exact mean of both, {mean:.3f}".replace("-", "−"))
    axes.set(yscale="log", ylim=(1e-3, 50), xlabel="estimate of ∂μ", ylabel="density", title=f"k = {k:g}")
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def _plot_variances(model: Gaussians, draws: np.ndarray, axes: Any) -> None:
    k, names = np.array(COUNTS), ("∂μ: 1/(k s²)", "∂ ln σ: 2/k")
    for i, (size, colour) in enumerate(((1 / model.posterior[1], BLUE), (2, VERMILION))):
        axes.plot(k, size / k, color=colour, label=names[i])
        axes.plot(k, draws[..., i].var(axis=0), "o", color=colour)
    axes.plot([], [], "o", color=GREY, label="draws")
    axes.set(xscale="log", yscale="log", xlabel="draws k", ylabel="variance of the plain gradient")
    axes.legend(frameon=False, fontsize=8)


def _plot_landing(setting: Setting, draws: dict[int, np.ndarray], axes: Any, k: float) -> None:
    """Each estimate of ∂μ against the mean of its k ε; the plain one is −mean/s."""
    noise = setting.normal(f"noise {int(k)}", int(k), DRAWS).mean(axis=0)
    for values, (name, colour) in zip(draws[int(k)][:400, :, 0].T, ESTIMATORS.values()):
        axes.plot(noise[:400], values, ".", color=colour, ms=4, label=name)
    axes.set(xlabel="mean of ε$_1$, …, ε$_k$", ylabel="estimate of ∂μ", xlim=(-3.2, 3.2), ylim=(-6, 6))
    axes.set_title(f"k = {k:g}")
    axes.legend(frameon=False, fontsize=8)


def _plot_ratios(model: Gaussians, setting: Setting, axes: Any) -> None:
    """Signal to noise of ∂μ against k: exact, of draws, and what it tends to."""
    exact = np.stack([ratios(model, int(k))[:, 0] for k in MANY], axis=1)
    power = np.stack([MANY**-0.5, MANY**0.5])
    draws = np.stack([draws_of(model, k, setting)[..., 0] for k in COUNTS])  # (k, draws, estimator)
    found = np.abs(draws.mean(axis=1)) / draws.std(axis=1)
    for i, (name, colour) in enumerate(ESTIMATORS.values()):
        axes.plot(MANY, exact[i] * power[i], color=colour, label=name)
        axes.plot(COUNTS, found[:, i], "o", color=colour)
        axes.plot(MANY, limits(model)[i, 0] * power[i], "--", color=colour, lw=0.8)
    axes.plot([], [], "o", color=GREY, label="draws")
    axes.plot([], [], "--", color=GREY, label="limit × √k or 1/√k")
    axes.set(xscale="log", yscale="log", xlabel="draws k", ylabel="|mean|/standard deviation of ∂μ")
    axes.legend(frameon=False, fontsize=8)
