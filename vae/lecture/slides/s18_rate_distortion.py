"""Slide 18 for Gaussian images: the best linear autoencoder is Shannon's reverse water-filling.

For a fixed σ² the negative ELBO of a linear autoencoder is rate + distortion/2σ² plus a constant, with

    rate        E KL(P, Q(z)) = ½ Σᵢ [sᵢ² + (VΣVᵀ)ᵢᵢ − 1 − ln sᵢ²]         nats spent on z
    distortion  E ‖y − ŷ‖² = tr((I−WV)Σ(I−WV)ᵀ) + Σᵢ ‖Wᵢ‖² sᵢ²

Its optimum is pPCA with σ² given: Wᵢ = √max(0, λᵢ − σ²)·uᵢ along the eigenvectors of Σ, each latent with the rate
½ ln λᵢ/σ² and the distortion σ². Where λᵢ ≤ σ² the rate is 0 and the distortion is λᵢ. No code for a Gaussian does
better (Shannon 1959; Cover and Thomas, theorem 10.3.3). The picture is of water that stands at σ² over the eigenvalues:
what is under water is distortion, what rises above it costs rate.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

import minigrad as mg
from vae.drawing import BLUE, GREY, VERMILION
from vae.lecture.claims import Setting, Sides, Slider, at_most, claim, equal
from vae.lecture.models.exact import PPCA, LinearEncoder
from vae.lecture.slides.s14_decoders import flatten

EIGENVALUES = np.array([4.0, 2.0, 1.0, 0.5, 0.2])  # λ
LEVELS = (0.1, 0.3, 0.7, 1.5, 3.0, 5.0)  # σ²
SIZE = len(EIGENVALUES)


def eigenvectors(setting: Setting, size: int = SIZE) -> np.ndarray:
    """The eigenvectors u of Σ, (D, D), one per column: a random rotation."""
    return np.linalg.qr(setting.normal("directions", size, size))[0]


def rate(encoder: LinearEncoder, sigma: np.ndarray) -> Any:
    """E KL(P, Q(z)) of each latent, (d,), in nats, for images with covariance Σ."""
    spread = mg.diagonal(encoder.weights @ sigma @ encoder.weights.T)
    return 0.5 * (mg.exp(2 * encoder.log_std) + spread - 1 - 2 * encoder.log_std)


def distortion(weights: Any, encoder: LinearEncoder, sigma: np.ndarray, u: np.ndarray) -> Any:
    """E ‖y − ŷ‖² along each direction u, (D,)."""
    missed = u.T @ (np.eye(len(u)) - weights @ encoder.weights)
    return mg.diagonal(missed @ sigma @ missed.T) + mg.sum((u.T @ weights) ** 2 * mg.exp(2 * encoder.log_std), axis=1)


def objective(weights: Any, encoder: LinearEncoder, sigma: np.ndarray, level: float) -> Any:
    """Rate + distortion/2σ², in nats: −ELBO without (D/2) ln 2πσ²."""
    return mg.sum(rate(encoder, sigma)) + mg.sum(distortion(weights, encoder, sigma, np.eye(len(sigma)))) / (2 * level)


def optimum(u: np.ndarray, eigenvalues: np.ndarray, level: float) -> tuple[np.ndarray, LinearEncoder]:
    """W, and V and ln s, of the best linear autoencoder."""
    weights = u * np.sqrt(np.maximum(0, eigenvalues - level))
    return weights, PPCA(weights, np.zeros(len(u)), 0.5 * np.log(level)).best_encoder()


def shannon(eigenvalues: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Rate in nats and distortion of each direction, by reverse water-filling."""
    return np.maximum(0, 0.5 * np.log(eigenvalues / level)), np.minimum(eigenvalues, level)


@claim(
    18,
    "The best linear autoencoder has a closed form, at which the gradient is 0, for each water level σ².",
    "∂_{W,V,s} [rate + distortion/2σ²] = 0   at   W_i = √max(0, λ_i − σ²) u_i,  V = M⁻¹Wᵀ,  s_i² = σ²/M_{ii}",
)
def flat_at_the_optimum(setting: Setting) -> Sides:
    u = eigenvectors(setting)
    sigma = u * EIGENVALUES @ u.T
    slopes = []
    for level in LEVELS:
        gradient = mg.grad(lambda w, e, level=level: objective(w, e, sigma, level), argnums=(0, 1))
        slopes.append(flatten(gradient(*optimum(u, EIGENVALUES, level))))
    size = EIGENVALUES[0] / LEVELS[0]  # of the terms that cancel
    return equal(slopes, np.zeros(np.shape(slopes)), roundings=2.0**8 * size, draw=partial(_plot_lines, setting))


@claim(18, "The best autoencoder's rate is Shannon's, latent by latent.", "E KL(P_i, Q(z_i)) = max(0, ½ ln λ_i/σ²)")
def rate_of_the_optimum(setting: Setting) -> Sides:
    u = eigenvectors(setting)
    left = [rate(optimum(u, EIGENVALUES, level)[1], u * EIGENVALUES @ u.T) for level in LEVELS]
    right = [shannon(EIGENVALUES, level)[0] for level in LEVELS]
    slider = Slider("σ²", LEVELS, _plot_water)
    return equal(left, right, draw=lambda axes: _plot_water(axes, 0.7), slider=slider)


@claim(18, "The best autoencoder's distortion is Shannon's, direction by direction.", "E (u_iᵀ(y − ŷ))² = min(λ_i, σ²)")
def distortion_of_the_optimum(setting: Setting) -> Sides:
    u = eigenvectors(setting)
    left = [distortion(*optimum(u, EIGENVALUES, level), u * EIGENVALUES @ u.T, u) for level in LEVELS]
    right = [shannon(EIGENVALUES, level)[1] for level in LEVELS]
    return equal(left, right, draw=_plot_curve)


@claim(
    18,
    "No linear autoencoder gets below Shannon's bound.",
    "Σ max(0, ½ ln λ_i/σ²) + Σ min(λ_i, σ²)/2σ²  ≤  rate + distortion/2σ²   for each W, V, s",
)
def none_below(setting: Setting) -> Sides:
    u = eigenvectors(setting)
    sigma, level = u * EIGENVALUES @ u.T, 0.7
    weights, encoder = optimum(u, EIGENVALUES, level)
    off = np.geomspace(1e-3, 1, 300)[:, None, None] * setting.normal("off", 300, SIZE, 2 * SIZE + 1)
    points = []  # rate and distortion of autoencoders near the optimum and far from it
    for o in off:
        w, e = weights + o[:, :SIZE], LinearEncoder(encoder.weights + o[:, SIZE:-1], encoder.log_std + o[:, -1])
        points.append([np.sum(rate(e, sigma)), np.sum(distortion(w, e, sigma, u))])
    r, d = np.array(points).T
    least = [part.sum() for part in shannon(EIGENVALUES, level)]
    bound = np.full(len(r), least[0] + least[1] / (2 * level))
    return at_most(bound, r + d / (2 * level), draw=partial(_plot_cloud, level, r, d))


@claim(
    18,
    "The slope of the rate–distortion curve is −1/2σ²: σ² sets the price of distortion.",
    "dR/dσ² / dD/dσ² = −1/2σ²,  R and D by water-filling",
)
def slope_of_the_curve(setting: Setting) -> Sides:
    levels = np.exp(np.linspace(math.log(0.05), math.log(3.5), 12)) * (1 + 0.1 * setting.uniform("levels", 12))
    r = mg.grad(lambda s: mg.sum(mg.maximum(0, 0.5 * mg.log(EIGENVALUES / s[:, None]))))(levels)
    d = mg.grad(lambda s: mg.sum(mg.minimum(EIGENVALUES, s[:, None])))(levels)
    slider = Slider("σ²", LEVELS[:-1], _plot_tangent)
    return equal(r / d, -1 / (2 * levels), draw=lambda axes: _plot_tangent(axes, 0.7), slider=slider)


# Pictures


def _plot_lines(setting: Setting, axes: Any) -> None:
    """The objective along random lines through the optimum."""
    u, steps, level = eigenvectors(setting), np.linspace(-0.5, 0.5, 41), 0.7
    sigma, (weights, encoder) = u * EIGENVALUES @ u.T, optimum(u, EIGENVALUES, 0.7)
    for o in setting.normal("lines", 6, SIZE, 2 * SIZE + 1):
        values = []
        for t in steps:
            e = LinearEncoder(encoder.weights + t * o[:, SIZE:-1], encoder.log_std + t * o[:, -1])
            values.append(objective(weights + t * o[:, :SIZE], e, sigma, level))
        axes.plot(steps, values, color=GREY, lw=1)
    axes.plot([0], [objective(weights, encoder, sigma, level)], "o", color=BLUE, label="closed form")
    axes.set(
        xlabel="step from the optimum, in six random directions", ylabel="rate + distortion/2σ² (nats)", ylim=(2, 30)
    )
    axes.legend(frameon=False, fontsize=8)


def _plot_water(axes: Any, level: float) -> None:
    """Eigenvalues as columns, filled to σ²."""
    rates, under = shannon(EIGENVALUES, level)
    x = np.arange(SIZE) + 1
    axes.bar(x, under, color=BLUE, alpha=0.5, label="distortion, min(λ, σ²)")
    axes.bar(x, EIGENVALUES - under, bottom=under, color=VERMILION, alpha=0.6, label="above the water")
    axes.axhline(level, color=BLUE, lw=1)
    for i, r in zip(x, rates):
        text = f"{r / math.log(2):.2f} bits" if r > 0 else "0: collapsed"
        axes.text(i, max(EIGENVALUES[i - 1], level) + 0.08, text, ha="center", size=8)
    title = f"σ² = {level:g}: rate {rates.sum() / math.log(2):.2f} bits, distortion {under.sum():.2f}"
    axes.set(xlabel="direction", ylabel="variance λ", ylim=(0, 5.6), title=title)
    axes.legend(frameon=False, fontsize=8)


def _shannon_curve() -> tuple[np.ndarray, np.ndarray]:
    points = [[part.sum() for part in shannon(EIGENVALUES, s)] for s in np.geomspace(0.02, 4, 200)]
    r, d = np.array(points).T
    return r / math.log(2), d


def _plot_curve(axes: Any) -> None:
    r, d = _shannon_curve()
    axes.plot(d, r, color=GREY, label="Shannon: reverse water-filling")
    for level in LEVELS:
        weights, encoder = optimum(np.eye(SIZE), EIGENVALUES, level)
        sigma = np.diag(EIGENVALUES)
        at = np.sum(distortion(weights, encoder, sigma, np.eye(SIZE))), np.sum(rate(encoder, sigma)) / math.log(2)
        axes.plot(*at, "o", color=BLUE, label="best linear autoencoder" if level == LEVELS[0] else None)
        axes.annotate(f"σ² = {level:g}", at, (6, 4), textcoords="offset points", size=8, color=BLUE)
    axes.set(xlabel="distortion E ‖y − ŷ‖²", ylabel="rate (bits)")
    axes.legend(frameon=False, fontsize=8)


def _plot_cloud(level: float, r: np.ndarray, d: np.ndarray, axes: Any) -> None:
    curve, at = _shannon_curve(), [part.sum() for part in shannon(EIGENVALUES, level)]
    axes.plot(curve[1], curve[0], color=GREY, label="Shannon")
    axes.plot(d, r / math.log(2), ".", color=VERMILION, ms=4, label="other linear autoencoders")
    axes.plot([at[1]], [at[0] / math.log(2)], "o", color=BLUE, label=f"the best for σ² = {level:g}")
    line = np.array([0, at[1] + 2 * level * at[0]])
    axes.plot(line, (at[0] + (at[1] - line) / (2 * level)) / math.log(2), color=BLUE, lw=1, ls="--")
    axes.set(xlabel="distortion E ‖y − ŷ‖²", ylabel="rate (bits)", xlim=(0, 12), ylim=(0, 12))
    axes.legend(frameon=False, fontsize=8)


def _plot_tangent(axes: Any, level: float) -> None:
    (r, d), at = _shannon_curve(), [part.sum() for part in shannon(EIGENVALUES, level)]
    axes.plot(d, r, color=GREY, label="rate–distortion curve")
    line = np.array([at[1] - 2, at[1] + 2])
    label = f"slope −1/2σ² nats: σ² = {level:g}"
    axes.plot(line, (at[0] + (at[1] - line) / (2 * level)) / math.log(2), color=VERMILION, label=label)
    axes.plot([at[1]], [at[0] / math.log(2)], "o", color=VERMILION)
    axes.set(xlabel="distortion D", ylabel="rate R (bits)", xlim=(0, 8), ylim=(-0.3, 9))
    axes.legend(frameon=False, fontsize=8)
