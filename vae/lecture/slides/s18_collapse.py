"""Slide 18, continued: a latent collapses if the variance of its direction is below σ².

Let u be an eigenvector of the images' covariance with eigenvalue λ, and let W = wu, V = vuᵀ and s = 1. At w = v = 0
nothing is sent: P(z|y) = Q(z) for every image. There the ELBO's gradient is always 0, and its Hessian in (w, v) is

    −1/σ²    λ/σ²
     λ/σ²   −λ            with determinant (λ/σ²)(1 − λ/σ²)

If λ > σ², one direction leads up, and training leaves this point; if λ ≤ σ², none does, and the latent stays exactly
there. That is no failure of training (Lucas, Tucker, Grosse and Norouzi 2019): the best autoencoder is there, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import minigrad as mg
from vae.drawing import BLUE, GREY, INK, VERMILION
from vae.lecture.claims import Setting, Sides, Slider, claim, equal
from vae.lecture.models.exact import PPCA, LinearEncoder
from vae.lecture.slides.s18_rate_distortion import eigenvectors, objective, rate, shannon


def maximise(evaluate: Callable, start: np.ndarray) -> np.ndarray:
    """The maximum of a function by Newton's method, uphill along every eigenvector of its Hessian.

    Dividing by |curvature| leads away from saddle points; steps are at most 0.5 long. Stops where the gradient is 0 to
    rounding. Raises RuntimeError after 100 steps.
    """
    gradient, hessian = mg.grad(evaluate), mg.hessian(evaluate)
    for _ in range(100):
        slope = gradient(start)
        if np.max(np.abs(slope)) < 1e-13:
            return start
        curvature, along = np.linalg.eigh(hessian(start))
        step = along @ (along.T @ slope / np.maximum(np.abs(curvature), 0.05))
        start = start + step * min(1, 0.5 / np.linalg.norm(step))
    raise RuntimeError(f"Newton's method has not converged after 100 steps: gradient {np.max(np.abs(slope)):.2g}")


@claim(
    18,
    "Trained from a random start, a linear autoencoder reaches the optimal rates; one latent collapses exactly.",
    "λ_1 > λ_2 > σ² > λ_3:   rates of the three latents = ½ ln λ_1/σ², ½ ln λ_2/σ² and 0, in some order",
)
def training_ends_there(setting: Setting) -> Sides:
    level, u = 0.7, eigenvectors(setting, 3)
    eigenvalues = level * (np.array([3.0, 1.5, 0.3]) + [1, 0.5, 0.5] * setting.uniform("eigenvalues", 3))
    sigma, mean, log_sigma = u * eigenvalues @ u.T, np.zeros(3), 0.5 * math.log(level)

    def elbo(weights: Any) -> Any:
        model = PPCA(weights.reshape(3, 3), mean, log_sigma)
        return model.mean_elbo(model.best_encoder(), sigma)

    weights = maximise(elbo, 0.5 * setting.normal("start", 9)).reshape(3, 3)
    rates = np.sort(rate(PPCA(weights, mean, log_sigma).best_encoder(), sigma))[::-1]
    exact = shannon(eigenvalues, level)[0]  # to 2¹⁴ roundings: the gradient is below 1e-13, no curvature below 1/32
    return equal(rates, exact, roundings=2.0**14, draw=partial(_plot_rates, eigenvalues, level, rates))


@claim(
    18,
    "A latent collapses exactly if λ ≤ σ²: only then does no direction lead up from W = V = 0.",
    "largest eigenvalue of the Hessian in (w, v), for W = wu, V = vuᵀ, s = 1, w = v = 0:",
    "½[√((1/σ² − λ)² + 4λ²/σ⁴) − 1/σ² − λ],  which has the sign of λ − σ²",
)
def collapse(setting: Setting) -> Sides:
    level = 0.5 + setting.uniform("level")
    eigenvalues = level * np.array([0.2, 0.5, 0.9, 1.0, 1.1, 2.0, 5.0])
    left = [
        np.linalg.eigvalsh(mg.hessian(partial(one_latent_elbo, level, value))(np.zeros(2)))[-1] for value in eigenvalues
    ]
    root = np.sqrt((1 / level - eigenvalues) ** 2 + 4 * eigenvalues**2 / level**2)
    right = 0.5 * (root - 1 / level - eigenvalues)
    slider = Slider("σ²/λ", (0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 2.0), _plot_landscape)
    return equal(left, right, draw=lambda axes: _plot_landscape(axes, 0.4), slider=slider)


def one_latent_elbo(level: float, eigenvalue: float, wv: Any) -> Any:
    """The ELBO without its constant, for one pixel of variance `eigenvalue`, at W = w, V = v and s = 1."""
    encoder = LinearEncoder(mg.reshape(wv[1], (1, 1)), np.zeros(1))
    return -objective(mg.reshape(wv[0], (1, 1)), encoder, np.array([[eigenvalue]]), level)


# Pictures


def _plot_rates(eigenvalues: np.ndarray, level: float, rates: np.ndarray, axes: Any) -> None:
    x, exact = np.arange(3) + 1, shannon(eigenvalues, level)[0]
    axes.bar(x - 0.2, exact / math.log(2), 0.36, color=GREY, alpha=0.6, label="max(0, ½ log₂ λ/σ²)")
    axes.bar(x + 0.2, rates / math.log(2), 0.36, color=BLUE, label="trained, from a random start")
    for i, r in zip(x, rates):
        axes.text(i + 0.2, max(0, r) / math.log(2) + 0.02, f"{r / math.log(2):.2g}", ha="center", size=8)
    axes.set(xlabel="latent, by its rate", ylabel="rate (bits)")
    axes.set_xticks(x, [f"{i}: λ = {v / level:.2f} σ²" for i, v in zip(x, eigenvalues)])
    axes.legend(frameon=False, fontsize=8)


def _plot_landscape(axes: Any, level: float) -> None:
    """The ELBO over (w, v) for λ = 1 and the best s: it has two maxima, or one at 0."""
    w, v = np.meshgrid(np.linspace(-1.3, 1.3, 121), np.linspace(-1.3, 1.3, 121))
    s2 = 1 / (1 + w**2 / level)  # where ∂/∂s = 0
    height = -0.5 * (((1 - w * v) ** 2 + w**2 * s2) / level + s2 + v**2 - 1 - np.log(s2))
    levels = height.max() - np.geomspace(0.002, height.max() - height.min(), 14)[::-1]
    look = dict(colors=BLUE, linestyles="solid", linewidths=np.linspace(0.3, 1.3, len(levels)))
    axes.contour(w, v, height, levels=levels, **look)
    top = math.sqrt(max(0, 1 - level))
    for sign in (-1, 1):
        axes.plot([sign * top], [sign * top], "o", color=VERMILION, label="the best" if sign > 0 else None)
    axes.plot([0], [0], "+", color=INK, ms=9, label="collapsed")
    kind = "two maxima" if level < 1 else "one maximum, at w = v = 0"
    axes.set(xlabel="w, decoder", ylabel="v, encoder", title=f"σ² = {level:g} λ: {kind}")
    axes.legend(fontsize=8, loc="upper left", edgecolor="white", framealpha=1)
