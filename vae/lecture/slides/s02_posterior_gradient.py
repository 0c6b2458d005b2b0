"""Slide 2, second half: the gradient of ln Q(y) is an expected gradient (the slide's EG identity).

    ∇ ln Q(y) = E_{z~Q(z|y)} ∇ ln Q(z, y)

because ∇ ln Σ_z Q(z, y) = Σ_z ∇Q(z, y) / Q(y) and ∇Q(z, y) = Q(z, y) ∇ ln Q(z, y). The left side is reverse mode
through logsumexp over every z. The right side is the mean, under the posterior, of one gradient for each z.

For a mixture the expectation has a closed form. With r_k = Q(k|y), the responsibility of component k for y,

    ∂/∂logit_k = r_k − π_k        ∂/∂μ_k = r_k (y − μ_k)/σ_k²        ∂/∂ln σ_k = r_k (‖y − μ_k‖²/σ_k² − D)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.patches import Circle

import minigrad as mg
from vae.drawing import COLOURS, GREY, INK, VERMILION
from vae.lecture.claims import Setting, Sides, Slider, claim, equal
from vae.lecture.models.exact import Mixture, gradient, posterior, random_mixture, random_net


@claim(
    2,
    "EG identity for a belief net: ∇ ln Q(y) is the posterior mean of ∇ ln Q(z, y).",
    "∇ ln Q(y) = E_{z~Q(z|y)} ∇ ln Q(z, y)",
)
def expected_gradient_of_a_belief_net(setting: Setting) -> Sides:
    net, y = random_net(setting, latent=6, size=5), np.round(setting.uniform("image", 1, 5))
    left = gradient(lambda net: net.log_evidence(y)[0], net)
    each = np.array([gradient(lambda net, z=z: net.log_joint(y, z[None])[0, 0], net) for z in net.every_z])
    weights = np.exp(posterior(net.log_joint(y))[0])
    return equal(left, weights @ each, draw=plot_gradients(left, each, weights))


@claim(
    2,
    "EG identity for a mixture: ∇ ln Q(y) is the posterior mean of ∇ ln Q(z, y).",
    "∇ ln Q(y) = E_{z~Q(z|y)} ∇ ln Q(z, y) = Σ_k r_k ∇ ln Q(k, y)",
)
def expected_gradient_of_a_mixture(setting: Setting) -> Sides:
    mixture, y = random_mixture(setting, components=5, size=2), setting.normal("image", 1, 2)
    left = gradient(lambda mixture: mixture.log_evidence(y)[0], mixture)
    each = np.array([gradient(lambda mixture, k=k: mixture.log_joint(y)[0, k], mixture) for k in range(5)])
    weights = np.exp(posterior(mixture.log_joint(y))[0])
    return equal(left, weights @ each, draw=plot_gradients(left, each, weights))


LINE = np.stack([np.linspace(-6, 6, 97), np.full(97, 0.5)], axis=1)  # images of two pixels; only the first pixel varies


def triangle_mixture(setting: Setting) -> Mixture:
    """A mixture of three components around LINE."""
    corners = np.array([[-2.5, -1.0], [2.5, -1.0], [0.0, 2.0]])
    mixture = random_mixture(setting, components=3, size=2)
    return replace(mixture, means=corners + mixture.means / 6)


def reverse_mode_gradient(mixture: Mixture, name: str) -> np.ndarray:
    """∂ ln Q(y)/∂(the named parameters) for each y on LINE, (97, …)."""

    def evidence(parameter: Any) -> Any:
        return replace(mixture, **{name: parameter}).log_evidence(LINE)

    return mg.jacobian(evidence)(getattr(mixture, name))


def responsibilities(mixture: Mixture, y: np.ndarray) -> np.ndarray:
    """r_k = Q(k|y), (N, K)."""
    return np.exp(posterior(mixture.log_joint(y)))


@claim(2, "A mixture's weights: the gradient is the responsibility minus the weight.", "∂ ln Q(y)/∂logit_k = r_k − π_k")
def gradient_of_weights(setting: Setting) -> Sides:
    mixture = triangle_mixture(setting)
    left = reverse_mode_gradient(mixture, "logits")
    right = responsibilities(mixture, LINE) - np.exp(mixture.logits) / np.sum(np.exp(mixture.logits))
    return equal(left, right, draw=plot_along_line(left, right, "∂ ln Q(y) / ∂logit_k (nats)"))


@claim(
    2,
    "A mixture's means: y pulls each mean towards itself, in proportion to its responsibility.",
    "∂ ln Q(y)/∂μ_k = r_k (y − μ_k)/σ_k^2",
)
def gradient_of_means(setting: Setting) -> Sides:
    mixture = triangle_mixture(setting)
    left = reverse_mode_gradient(mixture, "means")
    pull = (LINE[:, None] - mixture.means) / np.exp(2 * mixture.log_sigmas)[:, None]
    right = responsibilities(mixture, LINE)[:, :, None] * pull
    slider = Slider("pixel 1 of y", tuple(LINE[::12, 0]), lambda axes, x: plot_pulls(axes, mixture, left, x))
    return equal(left, right, draw=lambda axes: slider.draw(axes, 0.0), slider=slider)


@claim(
    2,
    "A mixture's widths: y widens the components that are too narrow for it.",
    "∂ ln Q(y)/∂ln σ_k = r_k (‖y − μ_k‖^2/σ_k^2 − D)",
)
def gradient_of_widths(setting: Setting) -> Sides:
    mixture = triangle_mixture(setting)
    left = reverse_mode_gradient(mixture, "log_sigmas")
    far = np.sum((LINE[:, None] - mixture.means) ** 2, axis=2) / np.exp(2 * mixture.log_sigmas)
    right = responsibilities(mixture, LINE) * (far - 2)
    return equal(left, right, draw=plot_along_line(left, right, "∂ ln Q(y) / ∂ln σ_k (nats)"))


# Pictures


def plot_gradients(left: np.ndarray, each: np.ndarray, weights: np.ndarray) -> Callable:
    """For each parameter: its derivative at every z, their posterior mean, and reverse mode through the sum."""

    def draw(axes: Any) -> None:
        at = np.arange(len(left))
        for gradients, weight in zip(each, weights):
            axes.scatter(at, gradients, s=60 * weight, color=COLOURS[1], alpha=0.6, lw=0)
        axes.scatter([], [], s=30, color=COLOURS[1], alpha=0.6, lw=0, label="∇ ln Q(z, y), area ∝ Q(z|y)")
        axes.plot(at, weights @ each, "o", mfc="none", mec=VERMILION, ms=6, label="their mean under Q(z|y)")
        axes.plot(at, left, "+", color=INK, ms=6, label="∇ ln Q(y)")
        shown = each[weights > 0.01]
        axes.set(xlabel="parameter", ylabel="derivative (nats)", ylim=(shown.min() * 1.1, shown.max() * 1.1))
        axes.locator_params(axis="x", integer=True)
        axes.legend(fontsize=8, frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))

    return draw


def plot_along_line(left: np.ndarray, right: np.ndarray, label: str) -> Callable:
    """Derivatives against the pixel that varies, one colour per component."""

    def draw(axes: Any) -> None:
        for k in range(left.shape[1]):
            axes.plot(LINE[:, 0], left[:, k], color=COLOURS[3 * k], lw=1.4, label=f"k = {k + 1}")
            axes.plot(LINE[::4, 0], right[::4, k], "o", color=COLOURS[3 * k], ms=3)
        axes.set(xlabel="pixel 1 of y (lines: reverse mode; dots: closed form)", ylabel=label)
        axes.legend(fontsize=8, frameon=False)

    return draw


def plot_pulls(axes: Any, mixture: Mixture, gradients: np.ndarray, x: float) -> None:
    """An image y of two pixels, the components, and how moving each mean would raise ln Q(y)."""
    n = int(np.argmin(np.abs(LINE[:, 0] - x)))
    share = responsibilities(mixture, LINE[n : n + 1])[0]
    for k, (mean, sigma) in enumerate(zip(mixture.means, np.exp(mixture.log_sigmas))):
        axes.add_patch(Circle(mean, sigma, color=COLOURS[3 * k], alpha=0.25, lw=0))
        pull = sigma**2 * gradients[n, k]
        if np.hypot(*pull) > 0.1:
            axes.annotate("", mean + pull, mean, arrowprops={"arrowstyle": "->", "color": COLOURS[3 * k], "lw": 2})
        axes.annotate(f"r = {share[k]:.2f}", mean, (0, -24), textcoords="offset points", ha="center", fontsize=8)
    axes.plot(*LINE.T, color=GREY, lw=0.6, ls=":")
    axes.plot(*LINE[n], "*", color=INK, ms=9)
    axes.set(xlabel="pixel 1", ylabel="pixel 2", xlim=(-8, 8), ylim=(-5, 5), aspect="equal")
    axes.set_title("arrows: σ² ∂ ln Q(y)/∂μ = r (y − μ) for the image ★; discs: radius σ", fontsize=9)
