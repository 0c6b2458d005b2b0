"""Slides 11–13: how do we differentiate through sampling? By making the noise an input.

    z(y, ε) = μ(y) + σ(y)·ε,   ε ~ N(0, I)

has density P(z|y) = N(μ, σ²), and the distribution of ε does not depend on the parameters. So the gradient of an
expectation over ε is the expectation of the gradients, and for a fixed ε the ELBO is an ordinary function, which
reverse mode differentiates like any other. The same draws estimate the entropy H(P) = E_ε −ln P(z(y, ε)|y).

The alternative, the score function, needs no derivative of f: ∇ E_P f(z) = E_P f(z) ∇ ln P(z). Both have the right
mean, shown here for f(z) = z², where E f = μ² + σ²; the next theme compares their variances.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.core import tree
from vae.autoencoder import Autoencoder
from vae.drawing import BLUE, GREY, INK, VERMILION
from vae.gradient_report import TOLERANCE
from vae.gradients import check
from vae.lecture.claims import Setting, Sides, Slider, claim, equal, mean_of_draws
from vae.likelihoods import Gaussian
from vae.models import conv
from vae.objectives import elbo, log_normal
from vae.sigma import Sigma

IMAGES, LATENT = 3, 2
GAUSSIAN = Gaussian(Sigma(0.5))


def small_vae(setting: Setting) -> tuple[Autoencoder, np.ndarray, np.ndarray]:
    """The lecture's convolutional autoencoder for 4×4 images, images y and noise ε."""
    model = conv((4, 4, 1), LATENT, features=(1, 2))
    autoencoder = Autoencoder(model, GAUSSIAN, model.init(setting.key("parameters"), np.float64))
    return autoencoder, setting.uniform("images", IMAGES, 4, 4, 1), setting.normal("noise", IMAGES, LATENT)


def random_encoding(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """Random μ(y) and ln σ(y), (images, latents), in place of an encoder's."""
    return setting.normal("mean", IMAGES, LATENT), 0.5 * setting.normal("log_std", IMAGES, LATENT) - 0.5


def normal_nodes(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss–Hermite nodes ε and weights: Σ weight·f(ε) = E f(ε), exact for polynomials f of degree < 2·count."""
    noise, weight = np.polynomial.hermite_e.hermegauss(count)
    return noise, weight / math.sqrt(2 * math.pi)


def grad_per_draw(f: Callable, shape: tuple[int, ...], *at: Any) -> np.ndarray:
    """The gradient of f for every draw, (arguments, *shape): each draw gets its own copy of the arguments."""
    copies = [np.broadcast_to(x, shape).copy() for x in at]
    return mg.stack(mg.grad(lambda *own: mg.sum(f(*own)), argnums=tuple(range(len(at))))(*copies))


def reparameterised_gradient(f: Callable, mean: Any, std: Any, noise: np.ndarray) -> np.ndarray:
    """∂f(μ + σε)/∂μ and ∂f(μ + σε)/∂σ, (2, draws…)."""
    shape = np.broadcast_shapes(np.shape(mean), np.shape(std), noise.shape)
    return grad_per_draw(lambda m, s: f(m + s * noise), shape, mean, std)


def score_gradient(f: Callable, mean: Any, std: Any, noise: np.ndarray, baseline: Any = 0.0) -> np.ndarray:
    """(f(z) − c) ∂ ln P(z)/∂μ and ∂σ, (2, draws…), at z = μ + σε, which is held fixed; c is the baseline."""
    z = mean + std * noise
    reward = f(z) - baseline
    return grad_per_draw(lambda m, s: reward * log_normal(z, m, mg.log(s)), z.shape, mean, std)


def squared_norm(z: Any) -> Any:
    """‖z‖² over the last axis, which is kept."""
    return mg.sum(z * z, axis=-1, keepdims=True)


@claim(
    11,
    "With the noise as an input, the gradient of the mean is the mean of the gradients.",
    "f = sin:  E_ε ∂f(μ + σε) = ∂(e^{−σ²/2} sin μ)",
)
def gradient_of_the_mean(setting: Setting) -> Sides:
    noise, weight = normal_nodes(40)
    mean, std = 3 * setting.normal("mean", 9, 1), 0.3 + setting.uniform("std", 9, 1)
    left = reparameterised_gradient(mg.sin, mean, std, noise) @ weight
    right = np.exp(-(std**2) / 2) * np.stack([np.cos(mean), -std * np.sin(mean)])
    slider = Slider("σ", (0.1, 0.25, 0.5, 0.75, 1.0, 1.5), _plot_frozen_noise)
    return equal(left, right[..., 0], draw=lambda axes: _plot_frozen_noise(axes, 0.75), slider=slider)


@claim(12, "Shifted and scaled noise is a draw from the encoder.", "ln P(z(y, ε)|y) = ln N(ε; 0, I) − ln |∂z/∂ε|")
def density_of_the_sample(setting: Setting) -> Sides:
    mean, log_std = random_encoding(setting)
    noise = setting.normal("noise", IMAGES, LATENT)
    jacobians = [mg.jacobian(partial(mg.gaussian_sample, m, s))(e) for m, s, e in zip(mean, log_std, noise)]
    volume = mg.slogdet(np.stack(jacobians))[1]
    z = mg.gaussian_sample(mean, log_std, noise)
    left = mg.sum(log_normal(z, mean, log_std), axis=1)
    draw = partial(_plot_one_draw, mean[0, 0], math.exp(log_std[0, 0]))
    slider = Slider("ε", (-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2), draw)
    return equal(left, mg.sum(log_normal(noise), axis=1) - volume, draw=lambda axes: draw(axes, 1.0), slider=slider)


@claim(
    13,
    "With ε frozen, reverse mode equals finite differences for every parameter of an autoencoder.",
    "L(Φ, Ψ) = ln Q(y|z) + ln Q(z) − ln P(z|y),  z = μ(y) + σ(y)·ε",
    "∂L/∂θ by reverse mode = (L(θ − 2h) − 8 L(θ − h) + 8 L(θ + h) − L(θ + 2h)) / 12h, for each number θ in Φ and Ψ",
)
def every_parameter(setting: Setting) -> Sides:
    autoencoder, y, noise = small_vae(setting)
    count = sum(leaf.size for leaf in tree.flatten(autoencoder.parameters)[0])
    report = check(autoencoder, y, noise, form="sampled", coordinates=count)
    worst = max(report.coordinates, key=lambda c: c.relative)
    error = report.max_relative_error if len(report.coordinates) == count else math.inf
    draw = partial(_plot_along_parameter, setting)
    return Sides(worst.reverse, worst.difference, error, TOLERANCE, "of the tensor's largest entry", count, draw)


@claim(13, "The entropy is the mean of −ln P(z|y) over draws of z.", "E_ε −ln P(z(y, ε)|y) = Σ_i ½ ln 2πe σ_i²")
def entropy_of_the_encoder(setting: Setting) -> Sides:
    mean, log_std = random_encoding(setting)
    z = mg.gaussian_sample(mean, log_std, setting.normal("noise", 2**18, IMAGES, LATENT))
    surprise = -mg.sum(log_normal(z, mean, log_std), axis=-1)
    entropy = mg.sum(0.5 * math.log(2 * math.pi * math.e) + log_std, axis=-1)
    draw = partial(_plot_means, surprise, entropy, "−ln P(z|y) (nats)", [f"image {i + 1}" for i in range(IMAGES)])
    return mean_of_draws(surprise, entropy, draw=draw)


@claim(
    13,
    "The entropy's gradient needs no averaging: it is exact for every single draw.",
    "−∂ ln P(z(y, ε)|y) / ∂μ = 0,   −∂ ln P(z(y, ε)|y) / ∂ ln σ = 1,   for each ε",
)
def entropy_gradient(setting: Setting) -> Sides:
    mean, log_std = (x[0, 0] for x in random_encoding(setting))
    noise = setting.normal("noise", 1000)
    left = grad_per_draw(lambda m, s: -log_normal(mg.gaussian_sample(m, s, noise), m, s), noise.shape, mean, log_std)
    right = np.stack([np.zeros(1000), np.ones(1000)])
    held = grad_per_draw(lambda m, s: -log_normal(mean + math.exp(log_std) * noise, m, s), noise.shape, mean, log_std)
    return equal(left, right, draw=partial(_plot_by_noise, noise, left, held))


@claim(
    13,
    "The reparameterised gradient has the right mean.",
    "f = z²,  z = μ + σε:   E_ε ∂f/∂μ = 2μ,   E_ε ∂f/∂σ = 2σ",
)
def reparameterised_mean(setting: Setting) -> Sides:
    mean, std = 0.5 + setting.uniform("mean"), 0.5 + setting.uniform("std")
    draws = reparameterised_gradient(squared_norm, mean, std, setting.normal("noise", 2**18, 1))[..., 0].T
    truth = np.array([2 * mean, 2 * std])
    return mean_of_draws(draws, truth, draw=partial(_plot_means, draws, truth, "mean of ∂z²", ["by μ", "by σ"]))


@claim(
    13,
    "The score function's gradient has the same mean.",
    "f = z²,  z ~ P = N(μ, σ²):   E_P f ∂ ln P/∂μ = 2μ,   E_P f ∂ ln P/∂σ = 2σ",
)
def score_mean(setting: Setting) -> Sides:
    mean, std = 0.5 + setting.uniform("mean"), 0.5 + setting.uniform("std")
    draws = score_gradient(squared_norm, mean, std, setting.normal("noise", 2**19, 1))[..., 0].T
    truth = np.array([2 * mean, 2 * std])
    return mean_of_draws(draws, truth, draw=partial(_plot_means, draws, truth, "mean of z² ∂ ln P", ["by μ", "by σ"]))


# Pictures


def _plot_one_draw(mean: float, std: float, axes: Any, noise: float) -> None:
    """The same probability lies left of ε under N(0, 1) and left of z = μ + σε under P."""
    reach = max(4.0, abs(mean) + 4 * std)
    x = np.linspace(-reach, reach, 801)
    for m, s, colour, name in ((0.0, 1.0, GREY, "N(0, 1), of ε"), (mean, std, BLUE, "P(z|y), of z = μ + σε")):
        at = m + s * noise
        axes.plot(x, np.exp(log_normal(x, m, math.log(s))), color=colour, label=name)
        left = np.linspace(-reach, at, 400)
        axes.fill_between(left, np.exp(log_normal(left, m, math.log(s))), color=colour, alpha=0.25, lw=0)
        axes.plot([at], [math.exp(log_normal(at, m, math.log(s)))], "o", color=colour)
    share = 0.5 * (1 + math.erf(noise / math.sqrt(2)))
    title = f"ε = {noise:g}, z = {mean:.2f} + {std:.2f}·ε = {mean + std * noise:.2f}; {share:.0%} lies left of each dot"
    axes.set_title(title.replace("-", "−"), size=9)
    axes.set(xlabel="ε, and z", ylabel="density", xlim=(-reach, reach), ylim=(0, 1.15 / math.sqrt(2 * math.pi) / std))
    axes.legend(frameon=False, fontsize=8)


def _plot_frozen_noise(axes: Any, std: float) -> None:
    """sin(μ + σε) against μ for some frozen ε, and its mean with the tangent that reverse mode gives."""
    mean, (noise, weight) = np.linspace(-math.pi, math.pi, 201), normal_nodes(40)
    for e in (-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2):
        axes.plot(mean, np.sin(mean + std * e), color=GREY, lw=0.7, alpha=0.7, label="one frozen ε" if e == 0 else None)
    average = np.sin(mean[:, None] + std * noise) @ weight
    axes.plot(mean, average, color=BLUE, lw=2.2, label="mean over ε")
    axes.plot(mean[::10], np.exp(-(std**2) / 2) * np.sin(mean[::10]), "o", color=INK, ms=3, label="e$^{−σ²/2}$ sin μ")
    at = np.array([-2.0, 0.7])
    slope = reparameterised_gradient(mg.sin, at[:, None], std, noise)[0] @ weight
    for m, g in zip(at, slope, strict=True):
        near = np.array([m - 0.6, m + 0.6])
        value = math.exp(-(std**2) / 2) * math.sin(m)
        label = "mean of the gradients" if m > 0 else None
        axes.plot(near, value + g * (near - m), color=VERMILION, lw=2.5, label=label)
    axes.set(xlabel="μ", ylabel="sin z", ylim=(-1.05, 1.05), title=f"σ = {std:g}")
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def _plot_along_parameter(setting: Setting, axes: Any) -> None:
    """The ELBO against one parameter: with one fixed ε, and with a new ε at each point."""
    autoencoder, y, noise = small_vae(setting)
    parameters = autoencoder.parameters

    def bound(t: float, noise: np.ndarray) -> Any:
        head = parameters.encoder.mean
        shifted = parameters.encoder._replace(mean=head._replace(b=head.b + t * np.eye(LATENT)[0]))
        return mg.mean(elbo(autoencoder.with_parameters(parameters._replace(encoder=shifted)), y, noise, "sampled"))

    steps = np.linspace(-2, 2, 81)
    fresh = setting.normal("fresh", len(steps), IMAGES, LATENT)
    axes.plot(steps, [bound(t, e) for t, e in zip(steps, fresh)], ".", color=GREY, ms=4, label="a new ε at each point")
    axes.plot(steps, [bound(t, noise) for t in steps], color=BLUE, lw=2, label="ε frozen")
    for at, label in ((-1.2, "reverse mode"), (1.2, None)):
        value, slope = mg.value_and_grad(lambda t: bound(t, noise))(at)
        near = np.array([-0.5, 0.5])
        axes.plot(at + near, value + slope * near, color=VERMILION, lw=2.5, label=label)
    axes.set(xlabel="change of one parameter (a bias of the layer that gives μ)", ylabel="ELBO (nats per image)")
    axes.legend(frameon=False, fontsize=8)


def _plot_by_noise(noise: np.ndarray, through: np.ndarray, held: np.ndarray, axes: Any) -> None:
    """The entropy's gradient for each draw: through the sample, and with the sample held fixed."""
    colours, names = (VERMILION, "#e69f00"), ("μ", "ln σ")
    for g, colour, name in zip(held, colours, names):
        axes.plot(noise, g, ".", color=colour, ms=3, alpha=0.6, label=f"by {name}, z held fixed")
    for g, marker, name in zip(through, "-:", names):
        axes.plot(np.sort(noise), g[np.argsort(noise)], marker, color=BLUE, lw=2, label=f"by {name}, through z(y, ε)")
    axes.set(xlabel="ε", ylabel="gradient of −ln P(z|y)")
    axes.legend(frameon=False, fontsize=8)


def _plot_means(draws: np.ndarray, truth: np.ndarray, name: str, labels: list[str], axes: Any) -> None:
    """The mean of the first n draws with 4 standard errors, and the exact mean."""
    counts = np.unique(np.geomspace(50, len(draws), 120).astype(int))
    for i, colour in zip(range(draws.shape[1]), (BLUE, VERMILION, "#009e73")):
        total, squares = np.cumsum(draws[:, i])[counts - 1], np.cumsum(draws[:, i] ** 2)[counts - 1]
        mean = total / counts
        error = np.sqrt(np.maximum(squares / counts - mean**2, 0) / counts)
        axes.fill_between(counts, mean - 4 * error, mean + 4 * error, color=colour, alpha=0.2, lw=0)
        axes.plot(counts, mean, color=colour, lw=1.5, label=labels[i])
        axes.axhline(truth[i], color=colour, lw=1, ls="--")
    axes.set(xscale="log", xlabel="draws (band: 4 standard errors; dashed: exact)", ylabel=name)
    axes.legend(frameon=False, fontsize=8)
