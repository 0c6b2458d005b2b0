"""Slide 13, continued: why the reparameterised gradient, when others have the same mean? Because of its variance.

For f = z² and z = μ + σε, with a = μ² and b = σ²:

                                  variance of ∂μ          variance of ∂σ
    reparameterised               4b                      4a + 8b
    score function                a²/b + 14a + 15b        2a²/b + 60a + 74b
    … baseline E f = a + b        8a + 10b                40a + 56b
    … best constant a + 3b        8a + 6b                 40a + 32b            (best for ∂μ; for ∂σ it is a + 5b)

For f = ‖z‖² in D dimensions, at μ = 0 and σ = 1, the variance of the score function's ∂μ_i is (D + 2)(D + 4); that of
the reparameterised gradient is 4. Each entry is a moment of ε. For example, the score function's ∂μ is
z²ε/σ = aε/σ + 2με² + σε³; the mean of its square is a²/b + (12 + 6)a + 15b, and the square of its mean is 4a.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

import minigrad as mg
from vae.drawing import BLUE, GREY, VERMILION
from vae.lecture.claims import Setting, Sides, at_most, claim, equal, mean_of_draws, within_errors
from vae.lecture.slides.s11_reparameterisation import (
    normal_nodes,
    reparameterised_gradient,
    score_gradient,
    squared_norm,
)

DRAWS = 2**17
STD = np.array([[0.5], [0.7], [1.0], [1.4], [2.0]])  # values of σ, each with its own draws
DIMENSIONS = (1, 2, 4, 8, 16)
ESTIMATORS = score_gradient, reparameterised_gradient

GRADIENTS = {  # (2, draws…): ∂μ and ∂σ
    "reparameterised": partial(reparameterised_gradient, squared_norm),
    "score function": partial(score_gradient, squared_norm),
    "baseline E f": lambda mean, std, noise: score_gradient(squared_norm, mean, std, noise, mean**2 + std**2),
    "best constant": lambda mean, std, noise: score_gradient(squared_norm, mean, std, noise, mean**2 + 3 * std**2),
}
VARIANCES = {  # of ∂μ and ∂σ, for a = μ² and b = σ²
    "reparameterised": lambda a, b: (4 * b, 4 * a + 8 * b),
    "score function": lambda a, b: (a * a / b + 14 * a + 15 * b, 2 * a * a / b + 60 * a + 74 * b),
    "baseline E f": lambda a, b: (8 * a + 10 * b, 40 * a + 56 * b),
    "best constant": lambda a, b: (8 * a + 6 * b, 40 * a + 32 * b),
}


def moments(gradients: Callable) -> tuple[Any, Any]:
    """Variance and fourth central moment of gradients that are polynomials in ε of degree ≤ 4: exact, by 12 nodes."""
    noise, weight = normal_nodes(12)
    weight = weight[:, None, None]
    draws = gradients(noise[:, None, None])
    centred = draws - mg.sum(weight * draws, axis=1, keepdims=True)
    return mg.sum(weight * centred**2, axis=1), mg.sum(weight * centred**4, axis=1)


def mean_and_noise(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """A random μ, and noise for each σ, (draws, 5, 1)."""
    return 0.5 + setting.uniform("mean"), setting.normal("noise", DRAWS, len(STD), 1)


def standard_errors(name: str, mean: Any) -> np.ndarray:
    """Standard errors √((m₄ − s⁴)/n) of a variance, from exact moments: the tails are too heavy to estimate m₄."""
    variance, fourth = moments(partial(GRADIENTS[name], mean, STD))
    return np.sqrt((fourth - variance**2) / DRAWS)


@claim(13, "The variance of the reparameterised gradient stays bounded as σ → 0.", "Var ∂μ = 4σ²", "Var ∂σ = 4μ² + 8σ²")
def reparameterised_variance(setting: Setting) -> Sides:
    mean, noise = mean_and_noise(setting)
    left = GRADIENTS["reparameterised"](mean, STD, noise).var(axis=1)
    right, errors = VARIANCES["reparameterised"](mean**2, STD**2), standard_errors("reparameterised", mean)
    return within_errors(left, right, errors, draw=partial(_plot_against_std, mean, "reparameterised", left, errors))


@claim(
    13,
    "The variance of the score function's gradient diverges as σ → 0.",
    "Var ∂μ = μ⁴/σ² + 14μ² + 15σ²",
    "Var ∂σ = 2μ⁴/σ² + 60μ² + 74σ²",
)
def score_variance(setting: Setting) -> Sides:
    mean, noise = mean_and_noise(setting)
    left = GRADIENTS["score function"](mean, STD, noise).var(axis=1)
    right, errors = VARIANCES["score function"](mean**2, STD**2), standard_errors("score function", mean)
    return within_errors(left, right, errors, draw=partial(_plot_against_std, mean, "score function", left, errors))


@claim(
    13,
    "With the baseline c = E f, the variance no longer diverges as σ → 0.",
    "c = E f:  Var ∂μ = 8μ² + 10σ²",
    "Var ∂σ = 40μ² + 56σ²",
)
def baseline_variance(setting: Setting) -> Sides:
    mean, noise = mean_and_noise(setting)
    left = GRADIENTS["baseline E f"](mean, STD, noise).var(axis=1)
    right, errors = VARIANCES["baseline E f"](mean**2, STD**2), standard_errors("baseline E f", mean)
    return within_errors(left, right, errors, draw=partial(_plot_against_std, mean, "baseline E f", left, errors))


@claim(
    13,
    "The baseline that is best for ∂μ lowers the variance a little further.",
    "c = μ² + 3σ²:  Var ∂μ = 8μ² + 6σ²",
    "Var ∂σ = 40μ² + 32σ²",
)
def best_constant_variance(setting: Setting) -> Sides:
    mean, noise = mean_and_noise(setting)
    left = GRADIENTS["best constant"](mean, STD, noise).var(axis=1)
    right, errors = VARIANCES["best constant"](mean**2, STD**2), standard_errors("best constant", mean)
    return within_errors(left, right, errors, draw=partial(_plot_against_std, mean, "best constant", left, errors))


@claim(
    13,
    "Even with the best baseline, the score function's gradient varies more than the reparameterised one.",
    "Var ∂ reparameterised ≤ min_c Var ∂ score,    c = μ² + 3σ² for ∂μ, μ² + 5σ² for ∂σ",
)
def no_constant_is_enough(setting: Setting) -> Sides:
    mean = 0.5 + setting.uniform("mean")
    reparameterised = moments(partial(GRADIENTS["reparameterised"], mean, STD))[0]
    best_c = mean**2 + 3 * STD**2, mean**2 + 5 * STD**2
    best = [moments(partial(score_gradient, squared_norm, mean, STD, baseline=c))[0][i] for i, c in enumerate(best_c)]
    return at_most(reparameterised, np.stack(best))


@claim(13, "At the best baseline c, the derivative of the variance in c is 0.", "∂ Var(∂μ)/∂c = 0  at  c = μ² + 3σ²")
def best_constant(setting: Setting) -> Sides:
    mean, std = 0.5 + setting.uniform("mean"), 0.5 + setting.uniform("std")

    def variance(constant: Any) -> Any:
        return moments(lambda noise: score_gradient(squared_norm, mean, std, noise, constant))[0][0, 0, 0]

    slope = mg.grad(variance)(mean**2 + 3 * std**2)
    return equal(slope, 0.0, draw=partial(_plot_against_constant, mean, std, variance))


@claim(
    13,
    "The whole table without sampling: by quadrature, which is exact for polynomials of Gaussian noise.",
    "E g(ε) = Σ_k weight_k g(ε_k)  for polynomials g of degree < 24",
    "hence the variances above, for ∂μ and ∂σ at each σ",
)
def whole_table(setting: Setting) -> Sides:
    mean = 0.5 + setting.uniform("mean")
    left = np.stack([moments(partial(gradients, mean, STD))[0] for gradients in GRADIENTS.values()])
    right = np.stack([closed(mean**2, STD**2) for closed in VARIANCES.values()])
    return equal(left, right, draw=partial(_plot_table, mean, left))


@claim(
    13,
    "The score function's variance grows with the dimension, the reparameterised gradient's does not.",
    "f = ‖z‖², μ = 0, σ = 1:   Var ∂μ_i = (D + 2)(D + 4)  against  4",
)
def dimensions(setting: Setting) -> Sides:
    squares = []  # of gradients of mean 0, averaged over their D components
    for d in DIMENSIONS:
        noise = setting.normal(f"noise {d}", 2**15, d)
        squares += [np.mean(estimator(squared_norm, 0.0, 1.0, noise)[0] ** 2, axis=1) for estimator in ESTIMATORS]
    truth = np.concatenate([[(d + 2) * (d + 4), 4] for d in DIMENSIONS])
    draws = np.stack(squares, axis=1)
    error = draws.std(axis=0) / math.sqrt(len(draws))
    return mean_of_draws(draws, truth, draw=partial(_plot_against_dimension, DIMENSIONS, draws.mean(axis=0), error))


@claim(
    13,
    "The same variances without sampling, by quadrature over a grid of nodes.",
    "Σ_k weight_k ‖ε_k‖⁴ ε_{ki}² = (D + 2)(D + 4),  ε_k in D dimensions",
)
def dimensions_exactly(setting: Setting) -> Sides:
    low = range(1, 6)
    left = [second_moment_in_dimension(estimator, d) for d in low for estimator in ESTIMATORS]
    right = [closed for d in low for closed in ((d + 2) * (d + 4), 4)]
    return equal(left, right, draw=partial(_plot_against_dimension, low, np.array(left), np.zeros(len(left))))


def second_moment_in_dimension(estimator: Callable, d: int) -> float:
    """E (∂‖z‖²/∂μ₁)² at μ = 0 and σ = 1 by 4 nodes in each of d dimensions: exact up to degree 7."""
    noise, weight = (np.stack(np.meshgrid(*[x] * d), axis=-1).reshape(-1, d) for x in normal_nodes(4))
    return float(estimator(squared_norm, 0.0, 1.0, noise)[0, :, 0] ** 2 @ np.prod(weight, axis=1))


# Pictures

COLOURS = {"reparameterised": BLUE, "score function": VERMILION, "baseline E f": "#e69f00", "best constant": "#009e73"}


def _plot_against_std(mean: float, name: str, variance: np.ndarray, errors: np.ndarray, axes: Any) -> None:
    """Sampled variances with 4 standard errors, the closed form, and in grey the other rows of the table."""
    std = np.geomspace(0.4, 2.5, 100)
    for other, closed in VARIANCES.items():
        for line, style in zip(closed(mean**2, std**2), ("-", "--")):
            here = other == name
            axes.plot(std, line, style, color=COLOURS[other] if here else GREY, lw=1.8 if here else 0.6, alpha=0.8)
    for i, (marker, label) in enumerate((("o", "∂μ"), ("s", "∂σ"))):
        look = dict(color=COLOURS[name], capsize=3, ms=5, ls="", label=f"{label}, draws")
        axes.errorbar(STD[:, 0], variance[i, :, 0], 4 * errors[i, :, 0], marker=marker, **look)
    axes.set(xscale="log", yscale="log", xlabel=f"σ  (μ = {mean:.2f})", ylabel="variance of one draw's gradient")
    axes.set_xticks(STD[:, 0], [f"{s:g}" for s in STD[:, 0]])
    axes.minorticks_off()
    axes.set_title(f"{name}; grey: the table's other rows", size=9)
    axes.legend(frameon=False, fontsize=8)


def _plot_against_constant(mean: float, std: float, variance: Callable, axes: Any) -> None:
    constants = np.linspace(-2 * std**2, mean**2 + 8 * std**2, 60)
    axes.plot(constants, [variance(c) for c in constants], color=BLUE)
    a, b = mean**2, std**2
    for c, label in ((0.0, "none"), (a + b, "E f"), (a + 3 * b, "best, μ² + 3σ²")):
        axes.plot([c], [variance(c)], "o", color=VERMILION)
        axes.annotate(label, (c, variance(c)), (0, 8), textcoords="offset points", size=8, ha="center")
    axes.axhline(4 * b, color=GREY, ls="--", lw=1)
    axes.text(constants[-1], 4 * b, "reparameterised", color=GREY, size=8, ha="right", va="bottom")
    axes.set(xlabel=f"baseline c  (μ = {mean:.2f}, σ = {std:.2f})", ylabel="variance of ∂μ", ylim=(0, None))


def _plot_table(mean: float, variance: np.ndarray, axes: Any) -> None:
    """Bars for σ = 1, by quadrature; the numbers are the closed forms."""
    middle = 2
    for i, name in enumerate(GRADIENTS):
        for j, label in enumerate(("∂μ", "∂σ")):
            value, closed = variance[i, j, middle, 0], VARIANCES[name](mean**2, STD[middle, 0] ** 2)[j]
            axes.bar(i + 0.4 * j - 0.2, value, 0.36, color=COLOURS[name], alpha=1 - 0.5 * j)
            axes.text(i + 0.4 * j - 0.2, value * 1.08, f"{label}\n{closed:.1f}", ha="center", size=8)
    axes.set_xticks(range(len(GRADIENTS)), list(GRADIENTS), size=9)
    axes.set(yscale="log", ylim=(1, 3 * variance[:, :, middle].max()), ylabel=f"variance (μ = {mean:.2f}, σ = 1)")


def _plot_against_dimension(dimensions: Sequence[int], variance: np.ndarray, error: np.ndarray, axes: Any) -> None:
    d = np.arange(1, dimensions[-1] + 1)
    for i, (name, closed) in enumerate((("score function", (d + 2) * (d + 4)), ("reparameterised", 4 + 0 * d))):
        axes.plot(d, closed, color=COLOURS[name], label=name)
        look = dict(marker="o", ls="", capsize=3, color=COLOURS[name])
        axes.errorbar(dimensions, variance[i::2], 4 * error[i::2], **look)
    axes.set(xscale="log", yscale="log", xlabel="dimensions D", ylabel="variance of ∂μ$_i$")
    axes.set_xticks(dimensions, map(str, dimensions))
    closed = [4] + [(d + 2) * (d + 4) for d in dimensions]
    axes.set_yticks(closed, map(str, closed))
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=8)
