"""Slides 14 and 17: the L2 decoder is a Gaussian, and slide 17 drops a constant without which σ cannot be learned.

Slide 14 defines Q(y|z) ∝ exp(−‖y − ŷ(z)‖²/2σ²). The integral over y is (2πσ²)^{D/2}, so with S = ‖y − ŷ‖²

    ln Q(y|z) = −S/2σ² − (D/2) ln 2πσ²

Slide 17 keeps only the first term. For a fixed σ that changes no gradient. But as a function of σ the first term alone
has no maximum: its derivative in ln σ, S/σ², is positive everywhere. With the constant the derivative is S/σ² − D,
which is 0 at σ² = S/D. At that σ, ln Q(y|z) is −(D/2) ln(2πe·S/D), whose gradient is the same as with that σ held
fixed.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.core import tree
from vae.autoencoder import Autoencoder
from vae.drawing import BLUE, GREY, VERMILION
from vae.lecture.claims import Setting, Sides, Slider, claim, equal
from vae.likelihoods import Gaussian
from vae.models import mlp
from vae.objectives import elbo, log_normal
from vae.sigma import LEARNED, PROFILED, Sigma

IMAGES, SHAPE, LATENT = 5, (3, 4, 1), 2
D = math.prod(SHAPE)  # pixels
REACH = 9  # standard deviations on both sides; 10⁻¹⁸ of a Gaussian lies beyond
SIGMAS = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)


def small_vae(setting: Setting, sigma: Sigma = LEARNED) -> tuple[Autoencoder, np.ndarray, np.ndarray]:
    """An autoencoder with the L2 decoder, images y and noise ε."""
    model = mlp(SHAPE, LATENT, hidden=8)
    autoencoder = Autoencoder(model, Gaussian(sigma), model.init(setting.key("parameters"), np.float64))
    return autoencoder, setting.uniform("images", IMAGES, *SHAPE), setting.normal("noise", IMAGES, LATENT)


def squared_error(autoencoder: Autoencoder, y: Any, z: Any) -> Any:
    """S = ‖y − ŷ(z)‖² of each image, (N,)."""
    return mg.sum((y - autoencoder.mean(z)) ** 2, axis=(1, 2, 3))


def slide_17_objective(autoencoder: Autoencoder, y: Any, noise: Any, sigma: Any) -> Any:
    """The slide's objective for each image, (N,), in nats: ln Q(z) − S/2σ² − ln P(z|y), sampled at z(y, ε)."""
    mean, log_std = autoencoder.encode(y)
    z = mg.gaussian_sample(mean, log_std, noise)
    entropy_and_prior = mg.sum(log_normal(z) - log_normal(z, mean, log_std), axis=1)
    return entropy_and_prior - squared_error(autoencoder, y, z) / (2 * sigma**2)


def flatten(gradients: Any) -> np.ndarray:
    """All numbers of a tree of gradients as one vector."""
    return np.concatenate([np.ravel(leaf) for leaf in tree.flatten(gradients)[0]])


@claim(14, "The L2 decoder is a Gaussian: this is its normalising constant.", "∫ exp(−‖y − ŷ‖²/2σ²) dy = (2πσ²)^{D/2}")
def normaliser(setting: Setting) -> Sides:
    left, right = [], []
    for d in (1, 2, 3):
        sigma, center = 0.2 + setting.uniform(f"sigma {d}"), setting.normal(f"center {d}", d)
        axis, step = np.linspace(-REACH * sigma, REACH * sigma, 61, retstep=True)  # around the center, ŷ
        y = center + np.stack(np.meshgrid(*[axis] * d), axis=-1)
        left.append(float(np.sum(np.exp(-np.sum((y - center) ** 2, axis=-1) / (2 * sigma**2)))) * step**d)
        right.append((2 * math.pi * sigma**2) ** (d / 2))
    slider = Slider("σ", (0.2, 0.4, 0.7, 1.0, 1.4), _plot_bells)
    return equal(left, right, draw=lambda axes: _plot_bells(axes, 0.7), slider=slider)


@claim(17, "The slide's objective is the ELBO, up to a constant.", "ELBO − slide's objective = −(D/2) ln 2πσ²")
def dropped_constant(setting: Setting) -> Sides:
    left = [elbo(*small_vae(setting, Sigma(sigma)), "sampled") for sigma in SIGMAS]
    slide = [slide_17_objective(*small_vae(setting), sigma) for sigma in SIGMAS]
    constant = [-D / 2 * math.log(2 * math.pi * sigma**2) for sigma in SIGMAS]
    right = np.stack(slide) + np.array(constant)[:, None]
    return equal(np.stack(left), right, draw=partial(_plot_both, np.array(left).mean(1), np.array(slide).mean(1)))


@claim(17, "For a fixed σ the constant changes no gradient.", "∂ ELBO/∂θ = ∂ slide's objective/∂θ  for each θ in Φ, Ψ")
def same_gradients(setting: Setting) -> Sides:
    autoencoder, y, noise = small_vae(setting, Sigma(0.3))
    at, parameters = autoencoder.with_parameters, autoencoder.parameters
    left = mg.grad(lambda p: mg.mean(elbo(at(p), y, noise, "sampled")))(parameters)
    right = mg.grad(lambda p: mg.mean(slide_17_objective(at(p), y, noise, 0.3)))(parameters)
    return equal(flatten(left), flatten(right), draw=partial(_plot_gradients, flatten(left), flatten(right)))


@claim(
    17,
    "Without the constant σ cannot be learned: the gradient in ln σ is positive everywhere.",
    "∂ slide's objective/∂ ln σ = S/σ² > 0",
)
def sigma_without_the_constant(setting: Setting) -> Sides:
    autoencoder, y, noise = small_vae(setting)
    slope = mg.grad(lambda log_sigma: mg.sum(slide_17_objective(autoencoder, y, noise, mg.exp(log_sigma))))
    left = [slope(math.log(sigma)) for sigma in SIGMAS]
    z = mg.gaussian_sample(*autoencoder.encode(y), noise)
    right = [mg.sum(squared_error(autoencoder, y, z)) / sigma**2 for sigma in SIGMAS]
    return equal(left, right, draw=partial(_plot_slopes, setting))


@claim(17, "With the constant, the best σ² is the mean squared error.", "σ² = S/D:   ∂ ln Q(y|z)/∂ ln σ = S/σ² − D = 0")
def best_sigma(setting: Setting) -> Sides:
    autoencoder, y, noise = small_vae(setting)
    z = mg.gaussian_sample(*autoencoder.encode(y), noise)
    best = 0.5 * np.log(squared_error(autoencoder, y, z) / D)[:, None, None, None]  # one ln σ per image
    pixels = autoencoder.decode(z)
    left = mg.grad(lambda log_sigma: mg.sum(autoencoder.likelihood.log_prob(y, pixels, log_sigma)))(best)
    slider = Slider("σ", SIGMAS, partial(_plot_residuals, setting))
    return equal(left / D, np.zeros(left.shape), draw=lambda axes: _plot_residuals(setting, axes, 0.3), slider=slider)


@claim(17, "At the best σ, ln Q(y|z) is a logarithm of the squared error.", "max_σ ln Q(y|z) = −(D/2) ln(2πe·S/D)")
def profiled(setting: Setting) -> Sides:
    autoencoder, y, noise = small_vae(setting)
    z = mg.gaussian_sample(*autoencoder.encode(y), noise)
    pixels = autoencoder.decode(z)
    left = [mg.sum(Gaussian(PROFILED).log_prob(y[i : i + 1], pixels[i : i + 1])) for i in range(IMAGES)]
    error = squared_error(autoencoder, y, z)
    right = -D / 2 * np.log(2 * math.pi * math.e * error / D)
    return equal(left, right, draw=partial(_plot_profiles, error))


@claim(
    17,
    "The gradient through the best σ is the same as with that σ held fixed.",
    "∂/∂θ max_σ ln Q(y|z; σ, θ) = ∂/∂θ ln Q(y|z; σ*, θ)  for each θ in Φ, Ψ",
)
def envelope(setting: Setting) -> Sides:
    autoencoder, y, noise = small_vae(setting)
    z = mg.gaussian_sample(*autoencoder.encode(y), noise)
    best = math.sqrt(mg.sum(squared_error(autoencoder, y, z)) / (D * IMAGES))  # of all images together
    vaes = (small_vae(setting, sigma)[0] for sigma in (PROFILED, Sigma(best)))
    left, right = (
        flatten(mg.grad(lambda p, vae=vae: mg.sum(elbo(vae.with_parameters(p), y, noise)))(vae.parameters))
        for vae in vaes
    )
    return equal(left, right, draw=partial(_plot_envelope, setting, best))


# Pictures


def _plot_bells(axes: Any, sigma: float) -> None:
    y = np.linspace(-4, 4, 401)
    bell = np.exp(-(y**2) / (2 * sigma**2))
    axes.plot(y, bell, color=VERMILION, label="exp(−(y − ŷ)²/2σ²)")
    axes.fill_between(y, bell, color=VERMILION, alpha=0.15, lw=0)
    axes.plot(y, bell / math.sqrt(2 * math.pi * sigma**2), color=BLUE, label="divided by √(2πσ²): area 1")
    axes.set(xlabel="y − ŷ, one pixel", ylim=(0, 2.1), ylabel="density")
    axes.set_title(f"σ = {sigma:g}: √(2πσ²) = {math.sqrt(2 * math.pi) * sigma:.2f}", size=9)
    axes.legend(frameon=False, fontsize=8)


def _plot_both(left: np.ndarray, slide: np.ndarray, axes: Any) -> None:
    axes.plot(SIGMAS, left, "o-", color=BLUE, label="ELBO")
    axes.plot(SIGMAS, slide, "s-", color=VERMILION, label="slide 17")
    axes.fill_between(SIGMAS, left, slide, color=GREY, alpha=0.2, lw=0, label="(D/2) ln 2πσ²")
    axes.set(xscale="log", xlabel="σ", ylabel="nats per image", ylim=(-60, 30))
    axes.legend(frameon=False, fontsize=8)


def _plot_gradients(left: np.ndarray, right: np.ndarray, axes: Any) -> None:
    order = np.argsort(right)
    axes.plot(right[order], color=VERMILION, lw=3, label="slide 17")
    axes.plot(left[order], ".", color=BLUE, ms=3, label="ELBO")
    axes.set(xlabel="parameters of encoder and decoder, in order of their gradient", ylabel="gradient (nats per image)")
    axes.legend(frameon=False, fontsize=8)


def _plot_slopes(setting: Setting, axes: Any) -> None:
    autoencoder, y, noise = small_vae(setting)
    z = mg.gaussian_sample(*autoencoder.encode(y), noise)
    error = float(mg.mean(squared_error(autoencoder, y, z)))
    sigma = np.geomspace(0.1, 5, 200)
    axes.plot(sigma, error / sigma**2, color=VERMILION, label="slide 17: S/σ²")
    axes.plot(sigma, error / sigma**2 - D, color=BLUE, label="with the constant: S/σ² − D")
    axes.plot([math.sqrt(error / D)], [0], "o", color=BLUE)
    axes.axhline(0, color=GREY, lw=0.8)
    axes.set(xscale="log", xlabel="σ", ylabel="∂/∂ ln σ  (nats per image)", ylim=(-1.5 * D, 4 * D))
    axes.legend(frameon=False, fontsize=8)


def _plot_residuals(setting: Setting, axes: Any, sigma: float) -> None:
    """The errors of all pixels, and the Gaussian densities with this σ and with the best one."""
    autoencoder, y, noise = small_vae(setting)
    z = mg.gaussian_sample(*autoencoder.encode(y), noise)
    error = np.ravel(y - autoencoder.mean(z))
    best = math.sqrt(np.mean(error**2))
    x = np.linspace(-1, 1, 301)
    axes.hist(error, bins=np.linspace(-1, 1, 21), density=True, color=GREY, alpha=0.4, label="y − ŷ, all pixels")
    for s, style, name in ((sigma, "-", f"σ = {sigma:g}"), (best, "--", f"best σ = {best:.2f}")):
        mean = np.mean(log_normal(error, 0.0, math.log(s)))
        density = np.exp(log_normal(x, 0.0, math.log(s)))
        axes.plot(
            x,
            density,
            style,
            color=BLUE if s == best else VERMILION,
            label=f"{name}: {mean:.2f} nats per pixel".replace("-", "−"),
        )
    axes.set(xlabel="y − ŷ", ylabel="density", ylim=(0, 3))
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def _plot_profiles(error: np.ndarray, axes: Any) -> None:
    mean_squared = np.geomspace(0.02, 0.3, 100)
    axes.plot(mean_squared, -D / 2 * np.log(2 * math.pi * math.e * mean_squared), color=BLUE, lw=2, label="best σ")
    for sigma, style in ((0.2, ":"), (0.3, "--"), (0.45, "-.")):
        line = -D / 2 * (mean_squared / sigma**2 + math.log(2 * math.pi * sigma**2))
        axes.plot(mean_squared, line, style, color=GREY, lw=1.2, label=f"σ = {sigma:g} (best at S/D = {sigma**2:g})")
    at = error / D
    axes.plot(at, -D / 2 * np.log(2 * math.pi * math.e * at), "o", color=VERMILION, label="the images")
    axes.set(xscale="log", xlabel="S/D, the mean squared error", ylabel="ln Q(y|z) (nats)", ylim=(-25, 12))
    axes.set_xticks((0.02, 0.05, 0.1, 0.2, 0.3), ("0.02", "0.05", "0.1", "0.2", "0.3"))
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=8)


def _plot_envelope(setting: Setting, best: float, axes: Any) -> None:
    """Both objectives along the gradient: they touch at the best σ, with the same slope."""
    autoencoder, y, noise = small_vae(setting)
    held, parameters = small_vae(setting, Sigma(best))[0], autoencoder.parameters
    vaes = {"σ at its best everywhere": small_vae(setting, PROFILED)[0], "σ held fixed": held}
    direction = mg.grad(lambda p: mg.mean(elbo(held.with_parameters(p), y, noise)))(parameters)
    steps = np.linspace(-0.3, 0.3, 61)
    for (name, vae), colour in zip(vaes.items(), (BLUE, VERMILION)):
        shifted = [tree.map(lambda p, d, t=t: p + t * d, parameters, direction) for t in steps]
        axes.plot(steps, [mg.mean(elbo(vae.with_parameters(p), y, noise)) for p in shifted], color=colour, label=name)
    axes.set(xlabel="step along the gradient", ylabel="ELBO (nats per image)")
    axes.legend(frameon=False, fontsize=8)
