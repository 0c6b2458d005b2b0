"""Slide 17 in closed form: with a linear decoder the model is probabilistic PCA, and its ELBO is a formula.

Let Q(z) = N(0, I), Q(y|z) = N(Wz + μ, σ²I) and P(z|y) = N(V(y − μ), diag s²), for images with covariance Σ about μ. All
expectations are of squares, so with M = WᵀW + σ²I the mean ELBO is

    −(D/2) ln 2πσ² − [tr((I−WV)Σ(I−WV)ᵀ) + Σᵢ ‖Wᵢ‖² sᵢ²]/2σ² − ½[Σᵢ sᵢ² + tr(VΣVᵀ) − d − Σᵢ ln sᵢ²]

The best encoder, V = M⁻¹Wᵀ and sᵢ² = σ²/Mᵢᵢ, has the posterior's mean, but not its covariance σ²M⁻¹, because its
latents are independent. The remaining gap, ½[Σᵢ ln Mᵢᵢ − ln|M|], is 0 exactly if WᵀW is diagonal (Hadamard's
inequality). Maximum likelihood leaves the rotation of z open (Tipping and Bishop 1999); the ELBO chooses one without a
gap.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.core import tree
from vae import objectives
from vae.drawing import BLUE, GREY, VERMILION
from vae.lecture.claims import Setting, Sides, Slider, at_most, claim, equal, mean_of_draws
from vae.lecture.models.exact import PPCA, LinearEncoder, random_ppca
from vae.lecture.slides.s14_decoders import flatten

IMAGES, SIZE, LATENT = 20, 5, 2  # N, D, d
TENS = 2.0**8 * 32  # roundings, where terms of some tens of nats cancel


def random_images(setting: Setting) -> np.ndarray:
    """Random images y (N, D) with correlated pixels and some noise in every direction."""
    correlated = setting.normal("images", IMAGES, SIZE) @ setting.normal("mixing", SIZE, SIZE)
    return 0.7 * correlated + 0.7 * setting.normal("pixel noise", IMAGES, SIZE)


def covariance(y: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The images' covariance Σ about `mean`, (D, D)."""
    return (y - mean).T @ (y - mean) / len(y)


def random_encoder(setting: Setting) -> LinearEncoder:
    return LinearEncoder(0.3 * setting.normal("V", LATENT, SIZE), 0.5 * setting.normal("ln s", LATENT))


def divergence(model: PPCA, encoder: LinearEncoder, y: np.ndarray) -> np.ndarray:
    """KL(P, Q(z|y)) of each image, (N,), between a Gaussian with independent latents and the posterior."""
    center, spread = model.posterior(y)
    off = (y - model.mean) @ encoder.weights.T - center
    precision, variance = np.linalg.inv(spread), np.exp(2 * encoder.log_std)
    volume = np.linalg.slogdet(spread)[1] - np.sum(np.log(variance))
    return 0.5 * (np.diagonal(precision) @ variance + np.sum(off @ precision * off, axis=1) - LATENT + volume)


def mean_elbo(model: PPCA, sigma: np.ndarray, encoder: LinearEncoder) -> Any:
    """The formula, with the encoder as its last argument."""
    return model.mean_elbo(encoder, sigma)


@claim(
    17,
    "A linear autoencoder's mean ELBO has a closed form; the mean over draws of ε agrees with it.",
    "mean over images of E_ε [ln Q(y|z) + ln Q(z) − ln P(z|y)], z = V(y − μ) + sε,",
    "= −(D/2) ln 2πσ² − [tr((I−WV)Σ(I−WV)ᵀ) + Σ_i ‖W_i‖²s_i²]/2σ² − ½[Σ s_i² + tr(VΣVᵀ) − d − Σ ln s_i²]",
)
def elbo_of_draws(setting: Setting) -> Sides:
    y, model, encoder = random_images(setting), random_ppca(setting, LATENT, SIZE, sigma=0.8), random_encoder(setting)
    mean = (y - model.mean) @ encoder.weights.T
    noise = setting.normal("noise", IMAGES, 2**15, LATENT)
    z = mg.gaussian_sample(mean[:, None], encoder.log_std, noise)
    log_p = mg.sum(objectives.log_normal(z, mean[:, None], encoder.log_std), axis=-1)
    draws = mg.mean(model.log_joint(y, z) - log_p, axis=0)  # over images: one number per draw
    exact = model.mean_elbo(encoder, covariance(y, model.mean))
    return mean_of_draws(draws, exact, draw=partial(_plot_draws, draws, exact))


@claim(17, "The gap to ln Q(y) is the divergence from the posterior.", "mean ln Q(y) − ELBO = mean KL(P, Q(z|y))")
def gap_is_the_divergence(setting: Setting) -> Sides:
    y, model, encoder = random_images(setting), random_ppca(setting, LATENT, SIZE, sigma=0.8), random_encoder(setting)
    gap = mg.mean(model.log_evidence(y)) - model.mean_elbo(encoder, covariance(y, model.mean))
    return equal(gap, divergence(model, encoder, y).mean(), draw=partial(_plot_gaps, y, model, encoder))


@claim(
    17,
    "The best encoder has a closed form, at which the ELBO's gradient is 0.",
    "∂ELBO/∂V = 0,  ∂ELBO/∂ ln s = 0   at   V = M⁻¹Wᵀ,  s_i² = σ²/M_{ii}",
)
def best_encoder(setting: Setting) -> Sides:
    y, model = random_images(setting), random_ppca(setting, LATENT, SIZE, sigma=0.8)
    elbo = partial(mean_elbo, model, covariance(y, model.mean))
    gradient = flatten(mg.grad(elbo)(model.best_encoder()))
    return equal(gradient, np.zeros(gradient.shape), TENS, draw=partial(_plot_through_the_best, setting, elbo, model))


@claim(17, "With the best encoder, the gap is the same for all images.", "ln Q(y) − ELBO = ½[Σ_i ln M_{ii} − ln|M|]")
def remaining_gap(setting: Setting) -> Sides:
    y, model = random_images(setting), random_ppca(setting, LATENT, SIZE, sigma=0.8)
    encoder = model.best_encoder()
    gaps = [
        mg.mean(model.log_evidence(part)) - mean_elbo(model, covariance(part, model.mean), encoder)
        for part in np.split(y, 5)
    ]
    right = 0.5 * (np.sum(np.log(np.diagonal(model.precision))) - np.linalg.slogdet(model.precision)[1])
    return equal(gaps, np.full(5, right), TENS, draw=partial(_plot_ellipses, model))


def ppca_at_angle(angle: float, first: float = 2.0, second: float = 0.7) -> PPCA:
    """W = U·diag(2, 0.7)·R(angle): WᵀW is diagonal if the angle is a multiple of 90°."""
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return PPCA(np.eye(3, 2) * [first, second] @ turn, np.zeros(3), math.log(0.8))


@claim(
    17,
    "The gap is 0 only if WᵀW is diagonal: a rotation of z changes the gap, but not ln Q(y).",
    "M = R(θ)ᵀ diag(a, b) R(θ):   ½[Σ_i ln M_{ii} − ln|M|] = ½ ln(1 + (a − b)² sin² 2θ / 4ab)",
)
def gap_of_a_turn(setting: Setting) -> Sides:
    y, angles = setting.normal("images", IMAGES, 3), np.radians(np.arange(0, 181, 15))
    models = [ppca_at_angle(angle) for angle in angles]
    left = [mg.mean(m.log_evidence(y)) - mean_elbo(m, covariance(y, m.mean), m.best_encoder()) for m in models]
    a, b = 2.0**2 + 0.8**2, 0.7**2 + 0.8**2
    right = 0.5 * np.log(1 + (a - b) ** 2 * np.sin(2 * angles) ** 2 / (4 * a * b))
    slider = Slider(
        "θ in degrees",
        (0, 15, 30, 45, 60, 75, 90),
        lambda axes, t: _plot_ellipses(ppca_at_angle(math.radians(t)), axes),
    )
    return equal(
        left, right, TENS, draw=partial(_plot_gap_of_angles, np.degrees(angles), np.array(left)), slider=slider
    )


def maximum_likelihood(setting: Setting, y: np.ndarray) -> PPCA:
    """W = U_d (Λ_d − σ²I)^½ R with a random rotation R, σ² the mean of the discarded eigenvalues of the covariance."""
    values, vectors = np.linalg.eigh(covariance(y, y.mean(axis=0)))  # ascending
    sigma2 = values[:-LATENT].mean()
    rotation, _ = np.linalg.qr(setting.normal("R", LATENT, LATENT))
    weights = vectors[:, -LATENT:] * np.sqrt(values[-LATENT:] - sigma2) @ rotation
    return PPCA(weights, y.mean(axis=0), 0.5 * np.log(sigma2))


def mean_evidence(y: np.ndarray, model: PPCA) -> Any:
    return mg.mean(model.log_evidence(y))


@claim(
    17,
    "Principal components maximise the likelihood: there the gradient of ln Q(y) in W, μ and σ is 0.",
    "W = U_d (Λ_d − σ²I)^½ R,   σ² = mean of the discarded eigenvalues:   ∂ mean ln Q(y) = 0",
)
def principal_components(setting: Setting) -> Sides:
    y = random_images(setting)
    gradient = flatten(mg.grad(partial(mean_evidence, y))(maximum_likelihood(setting, y)))
    return equal(gradient, np.zeros(gradient.shape), TENS, draw=partial(_plot_eigenvalues, y))


@claim(17, "No W and σ give a higher likelihood.", "mean ln Q(y) ≤ −½[D ln 2π + Σ_{i ≤ d} ln λ_i + (D − d) ln σ² + D]")
def none_more_likely(setting: Setting) -> Sides:
    y = random_images(setting)
    best, size = maximum_likelihood(setting, y), np.geomspace(1e-4, 1, 200)
    off = setting.normal("off", 200, SIZE + 1, LATENT) * size[:, None, None]
    others = [replace(best, weights=best.weights + o[:-1], log_sigma=best.log_sigma + o[-1, 0]) for o in off]
    kept = np.linalg.eigvalsh(covariance(y, best.mean))[-LATENT:]
    noise = (SIZE - LATENT) * 2 * best.log_sigma
    most = -0.5 * (SIZE * math.log(2 * math.pi) + np.sum(np.log(kept)) + noise + SIZE)
    left = np.array([mean_evidence(y, model) for model in others])
    return at_most(left, most, draw=partial(_plot_others, size, left, most))


# Pictures


def _plot_draws(draws: np.ndarray, exact: float, axes: Any) -> None:
    mean, error = draws.mean(), draws.std() / math.sqrt(len(draws))
    axes.hist(draws, bins=80, color=GREY, alpha=0.4, label="one ε for each image")
    axes.axvspan(mean - 4 * error, mean + 4 * error, color=BLUE, alpha=0.4, label="their mean, 4 standard errors")
    axes.axvline(exact, color=VERMILION, lw=1, label="the formula")
    axes.set(xlabel="ELBO, mean over images (nats)", ylabel=f"draws (of {len(draws)})")
    axes.legend(frameon=False, fontsize=8)


def _interpolate(first: LinearEncoder, last: LinearEncoder, t: float) -> LinearEncoder:
    return tree.map(lambda a, b: (1 - t) * a + t * b, first, last)


def _plot_gaps(y: np.ndarray, model: PPCA, encoder: LinearEncoder, axes: Any) -> None:
    """From a random encoder to the best one: the ELBO, and the evidence minus the divergence."""
    steps, sigma = np.linspace(0, 1.3, 14), covariance(y, model.mean)
    path = [_interpolate(encoder, model.best_encoder(), t) for t in steps]
    top = mean_evidence(y, model)
    below = [top - divergence(model, e, y).mean() for e in path]
    axes.axhline(top, color=VERMILION, label="ln Q(y)")
    axes.fill_between(steps, below, top, color=GREY, alpha=0.25, lw=0, label="KL(P, Q(z|y))")
    axes.plot(steps, [mean_elbo(model, sigma, e) for e in path], "o", color=BLUE, label="ELBO")
    axes.set(xlabel="from a random encoder (0) to the best one (1), and beyond", ylabel="nats per image")
    axes.legend(frameon=False, fontsize=8)


def _plot_through_the_best(setting: Setting, elbo: Any, model: PPCA, axes: Any) -> None:
    """The ELBO along random lines through the best encoder."""
    best, steps = model.best_encoder(), np.linspace(-0.4, 0.4, 41)
    ways = zip(setting.normal("lines: V", 6, LATENT, SIZE), setting.normal("lines: ln s", 6, LATENT))
    for v, log_s in ways:
        path = [LinearEncoder(best.weights + t * v, best.log_std + t * log_s) for t in steps]
        axes.plot(steps, [elbo(encoder) for encoder in path], color=GREY, lw=1)
    axes.plot([0], [elbo(best)], "o", color=BLUE, label="V = M⁻¹Wᵀ, s$_i$² = σ²/M$_{ii}$")
    axes.set(xlabel="step from the best encoder, in six random directions", ylabel="ELBO (nats per image)")
    axes.legend(frameon=False, fontsize=8, loc="lower center")


def _plot_ellipses(model: PPCA, axes: Any) -> None:
    """One standard deviation of the posterior and of the best P, which have the same precision along each axis."""
    _, posterior = model.posterior(np.zeros((1, len(model.mean))))
    encoder = np.diag(np.exp(2 * model.best_encoder().log_std))
    t = np.linspace(0, 2 * math.pi, 200)
    for spread, colour, name in ((posterior, VERMILION, "posterior"), (encoder, BLUE, "best P, latents independent")):
        x, y = np.linalg.cholesky(spread) @ np.stack([np.cos(t), np.sin(t)])
        axes.plot(x, y, color=colour, label=name)
    gap = 0.5 * (np.sum(np.log(np.diagonal(model.precision))) - np.linalg.slogdet(model.precision)[1])
    axes.set(xlabel="z₁ (one standard deviation)", ylabel="z₂", xlim=(-1.6, 1.6), ylim=(-0.85, 0.85), aspect="equal")
    axes.set_title(f"gap {gap:.3f} nats", size=9)
    axes.legend(frameon=False, fontsize=8, loc="lower left")


def _plot_gap_of_angles(degrees: np.ndarray, gaps: np.ndarray, axes: Any) -> None:
    t, a, b = np.radians(np.linspace(0, 180, 200)), 2.0**2 + 0.8**2, 0.7**2 + 0.8**2
    closed = 0.5 * np.log(1 + (a - b) ** 2 * np.sin(2 * t) ** 2 / (4 * a * b))
    axes.plot(np.degrees(t), closed, color=BLUE, label="½ ln(1 + (a − b)² sin² 2θ / 4ab)")
    axes.plot(degrees, gaps, "o", color=VERMILION, label="ln Q(y) − ELBO")
    axes.set(xlabel="θ (degrees)", ylabel="gap (nats)", ylim=(-0.01, 0.31))
    axes.set_xticks(range(0, 181, 45))
    axes.legend(frameon=False, fontsize=8, loc="upper center")


def _plot_eigenvalues(y: np.ndarray, axes: Any) -> None:
    values = np.linalg.eigvalsh(covariance(y, y.mean(axis=0)))[::-1]
    sigma2 = values[LATENT:].mean()
    kept = np.arange(SIZE) < LATENT
    axes.bar(np.arange(SIZE) + 1, values, color=[BLUE if k else GREY for k in kept], alpha=0.7)
    axes.axhline(sigma2, color=VERMILION, label="σ², the mean of the grey ones")
    axes.set(xlabel="direction", ylabel="variance of the images (eigenvalue)")
    axes.set_title("blue: in W, each with λ − σ²", size=9)
    axes.legend(frameon=False, fontsize=8)


def _plot_others(size: np.ndarray, left: np.ndarray, most: float, axes: Any) -> None:
    axes.plot(size, most - left, ".", color=BLUE)
    axes.set(
        xscale="log", yscale="log", xlabel="size of the change to W and ln σ", ylabel="evidence lost (nats per image)"
    )
