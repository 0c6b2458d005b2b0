"""Slide 2, first half: the objective, computed exactly on models whose sum over z is tractable.

    Φ* = argmin E_{y~Pop} −ln Q_Φ(y)        Q_Φ(y) = Σ_z Q_Φ(z, y)

The sum is a logsumexp over every z (a belief net whose z are bits, a mixture) or an integral with a closed form (pPCA).
The other side computes the same number independently: by plain sums of probabilities, by a quadrature rule, or as the
density of a D-dimensional Gaussian. The last two claims are about the objective; with H the entropy of the population,

    E_{y~Pop} −ln Q(y) = H(Pop) + KL(Pop, Q) ≥ H(Pop),    with equality only if Q = Pop
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from statistics import NormalDist
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.core import tree
from vae.drawing import BLUE, COLOURS, GREY, INK, VERMILION
from vae.lecture.claims import Setting, Sides, Slider, at_most, claim, equal
from vae.lecture.models.exact import PPCA, BeliefNet, Mixture, gradient, random_mixture, random_net, random_ppca

SIGMAS = (0.1, 0.2, 0.4, 0.8, 1.6)
STEP = 1 / 128
GRID = np.arange(-14, 14, STEP)[:, None]  # every Q(z, y) below is 0 beyond it to rounding, and smooth within STEP


def sum_of_products(net: BeliefNet, y: np.ndarray) -> list[float]:
    """Q(y) of each image, Σ_z Π_i Q(z_i) Π_j Q(y_j|z), in plain Python."""

    def sigmoid(logit: float) -> float:
        return 1 / (1 + math.exp(-logit))

    prior = [sigmoid(a) for a in net.prior]
    sums = [0.0] * len(y)
    for z in product((0, 1), repeat=len(prior)):
        here = math.prod(p if bit else 1 - p for p, bit in zip(prior, z))
        pixels = [sigmoid(c + sum(w for w, bit in zip(column, z) if bit)) for column, c in zip(net.weights.T, net.bias)]
        for n, row in enumerate(y):
            sums[n] += here * math.prod(p if bit else 1 - p for p, bit in zip(pixels, row))
    return sums


@claim(
    2,
    "A belief net's Q(y) is a sum over every z: logsumexp agrees with a plain loop.",
    "−ln Q(y) = −ln Σ_z Q(z, y),    z ∈ {0, 1}^d",
)
def belief_net_sums_over_z(setting: Setting) -> Sides:
    net = random_net(setting, latent=9, size=12)
    y = np.round(setting.uniform("images", 8, 12))
    right = sum_of_products(net, y)
    return equal(-net.log_evidence(y), -np.log(right), draw=plot_running_sums(net, y, right))


def sum_of_densities(mixture: Mixture, y: np.ndarray) -> list[float]:
    """Q(y) of numbers y, Σ_k π_k N(y; μ_k, σ_k²), with densities from Python's standard library."""
    weights = np.exp(mixture.logits) / np.exp(mixture.logits).sum()
    parts = [NormalDist(m, math.exp(s)) for m, s in zip(mixture.means[:, 0], mixture.log_sigmas)]
    return [sum(w * part.pdf(x) for w, part in zip(weights, parts)) for x in y[:, 0]]


@claim(
    2,
    "A mixture's Q(y) is a sum over its components: logsumexp agrees with a plain sum of densities.",
    "−ln Q(y) = −ln Σ_k π_k N(y; μ_k, σ_k^2)",
)
def mixture_sums_over_components(setting: Setting) -> Sides:
    mixture = random_mixture(setting, components=4, size=1)
    y = np.linspace(-9, 9, 300)[:, None]
    right = sum_of_densities(mixture, y)
    return equal(-mixture.log_evidence(y), -np.log(right), draw=plot_densities(mixture, y, right))


def dense_gaussian(y: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """ln N(y; mean, covariance), by the determinant and a solve of the full D × D matrix."""
    error = y - mean
    far = np.sum(error * np.linalg.solve(covariance, error.T).T, axis=1)
    return -0.5 * (far + np.linalg.slogdet(2 * np.pi * covariance)[1])


@claim(
    2,
    "pPCA's evidence, computed from d × d matrices, is the density of a D-dimensional Gaussian.",
    "Q(y) = ∫ Q(z) Q(y|z) dz = N(y; μ, W W^{⊤} + σ^2 I)",
)
def ppca_is_a_dense_gaussian(setting: Setting) -> Sides:
    model = random_ppca(setting, latent=2, size=6, sigma=0.5)
    y = 2 * setting.normal("images", 50, 6)
    covariance = model.weights @ model.weights.T + 0.25 * np.eye(6)
    right = dense_gaussian(y, model.mean, covariance)
    roundings = 2**8 + 8 * np.linalg.cond(covariance)  # of the solve
    return equal(-model.log_evidence(y), -right, roundings, draw=plot_eigenvalues(model, covariance))


@claim(
    2,
    "pPCA's closed-form evidence is the integral over z, here computed by the trapezoidal rule.",
    "Q(y) = ∫ Q(z, y) dz ≈ h Σ_i Q(z = ih, y),    for any σ",
)
def ppca_is_an_integral(setting: Setting) -> Sides:
    z, noise = setting.normal("z", 20, 1), setting.normal("noise", 20, 3)
    models = [random_ppca(setting, latent=1, size=3, sigma=sigma) for sigma in SIGMAS]
    images = [model.mean + z @ model.weights.T + sigma * noise for model, sigma in zip(models, SIGMAS)]
    left = [-model.log_evidence(y) for model, y in zip(models, images)]
    right = [-mg.logsumexp(model.log_joint(y, GRID) + np.log(STEP), axis=1) for model, y in zip(models, images)]
    terms = max(np.sum((images[0] - models[0].mean) ** 2, axis=1)) / SIGMAS[0] ** 2  # they cancel in ln Q
    slider = Slider("σ", SIGMAS, lambda axes, sigma: plot_integrand(axes, models[SIGMAS.index(sigma)], images[0][:4]))
    return equal(left, right, roundings=2**8 + 8 * terms, draw=lambda axes: slider.draw(axes, 0.4), slider=slider)


def every_image(size: int) -> np.ndarray:
    """All 2^size images of `size` bits."""
    return np.array(list(product((0.0, 1.0), repeat=size)))


def objective(net: BeliefNet, population: np.ndarray) -> Any:
    """E_{y~Pop} −ln Q(y), in nats; `population` (2^D,) is the probability of every image."""
    return -mg.sum(population * net.log_evidence(every_image(net.bias.shape[0])))


@claim(
    2,
    "The objective is never below the entropy of the population.",
    "E_{y~Pop} −ln Q(y) = H(Pop) + KL(Pop, Q) ≥ H(Pop)",
)
def entropy_is_the_floor(setting: Setting) -> Sides:
    truth = random_net(setting, latent=3, size=4)
    population = np.array(sum_of_products(truth, every_image(4)))
    floor = -np.sum(population * np.log(population))
    steps, lines = np.linspace(-1, 1, 41), [random_direction(setting, truth, name) for name in "abcde"]
    right = [[objective(move_along(truth, line, t), population) for t in steps] for line in lines]
    return at_most(floor, right, draw=lambda axes: plot_objectives(axes, steps, right, floor))


@claim(2, "The objective's gradient is 0 if the model is the population.", "Q = Pop  ⇒  ∇_Φ E_{y~Pop} −ln Q_Φ(y) = 0")
def flat_at_the_population(setting: Setting) -> Sides:
    truth = random_net(setting, latent=3, size=4)
    population = np.array(sum_of_products(truth, every_image(4)))
    left = gradient(lambda net: objective(net, population), truth)
    line = random_direction(setting, truth, "a")
    return equal(left, np.zeros(left.size), draw=lambda axes: plot_slopes(axes, truth, line, population))


def random_direction(setting: Setting, net: BeliefNet, name: str) -> BeliefNet:
    """A random change of every parameter."""
    return tree.map(lambda x: setting.normal(f"direction {name} {x.shape}", *x.shape), net)


def move_along(net: BeliefNet, line: BeliefNet, t: float) -> BeliefNet:
    """The net with every parameter moved by t times `line`."""
    return tree.map(lambda x, v: x + t * v, net, line)


# Pictures


def plot_running_sums(net: BeliefNet, y: np.ndarray, evidence: Sequence[float]) -> Callable:
    """The running sum of Q(z, y) over z, most probable first: a few z hold most of Q(y)."""

    def draw(axes: Any) -> None:
        for n, joint in enumerate(np.exp(net.log_joint(y))):
            share = np.cumsum(np.sort(joint)[::-1]) / evidence[n]
            axes.plot(np.arange(1, len(share) + 1), share, color=COLOURS[n], lw=1.4)
        axes.axhline(1, color=INK, lw=0.8, ls="--")
        axes.set(
            xscale="log", xlabel="values of z summed, most probable first", ylabel="Σ Q(z, y) / Q(y) by a plain loop"
        )
        axes.set_title(f"{len(y)} images, d = {len(net.prior)} bits: 2^d = {share.size} values of z", fontsize=9)

    return draw


def plot_densities(mixture: Mixture, y: np.ndarray, sums: Sequence[float]) -> Callable:
    """π_k N(y; μ_k, σ_k²), stacked: the upper edge is Q(y)."""

    def draw(axes: Any) -> None:
        joint, x = np.exp(mixture.log_joint(y)), y[:, 0]
        names = [f"Q(z = {k + 1}, y)" for k in range(joint.shape[1])]
        axes.stackplot(x, joint.T, colors=COLOURS[1::2], alpha=0.75, labels=names)
        axes.plot(x[::6], sums[::6], "o", ms=3, color=INK, label="Q(y) by a plain sum")
        axes.set(xlabel="y (one pixel)", ylabel="density")
        axes.legend(fontsize=8, frameon=False)

    return draw


def plot_eigenvalues(model: PPCA, covariance: np.ndarray) -> Callable:
    """Why d × d matrices suffice: in D − d directions the eigenvalue of the dense covariance is σ²."""

    def draw(axes: Any) -> None:
        dense, small = (np.linalg.eigvalsh(m)[::-1] for m in (covariance, model.precision))
        axes.bar(range(1, len(dense) + 1), dense, width=0.5, color=BLUE, alpha=0.6, label="of W Wᵀ + σ²I, D × D")
        axes.plot(range(1, len(small) + 1), small, "D", color=VERMILION, label="of M = WᵀW + σ²I, d × d")
        axes.axhline(np.exp(2 * model.log_sigma), color=INK, lw=0.8, ls="--", label="σ²")
        axes.set(yscale="log", xlabel="direction", ylabel="eigenvalue (pixel²)")
        axes.legend(fontsize=8, frameon=False)

    return draw


def plot_integrand(axes: Any, model: PPCA, y: np.ndarray) -> None:
    """Q(z, y)/Q(y) against z: curves of area 1 that get narrower as σ falls."""
    z = GRID[np.abs(GRID[:, 0]) < 4]
    for n, log_joint in enumerate(model.log_joint(y, z) - model.log_evidence(y)[:, None]):
        axes.fill_between(z[:, 0], np.exp(log_joint), color=COLOURS[2 * n], alpha=0.3)
        axes.plot(z[:, 0], np.exp(log_joint), color=COLOURS[2 * n], lw=1.2)
    axes.set(xlabel="z", ylabel="Q(z, y) / Q(y), Q(y) in closed form", xlim=(-4, 4), ylim=(0, None))
    axes.set_title(f"σ = {np.exp(model.log_sigma):g}: four images, each curve of area 1", fontsize=9)


def plot_objectives(axes: Any, steps: np.ndarray, objectives: Sequence, floor: float) -> None:
    """The objective along lines through the population."""
    for colour, values in zip(COLOURS[::2], objectives):
        axes.plot(steps, values, color=colour, lw=1.4)
    axes.axhline(floor, color=INK, lw=0.8, ls="--")
    axes.text(steps[0], floor, "H(Pop)", va="bottom", fontsize=9)
    axes.set(xlabel="distance from the population's parameters, along five random lines", ylabel="E −ln Q(y) (nats)")


def plot_slopes(axes: Any, truth: BeliefNet, line: BeliefNet, population: np.ndarray) -> None:
    """The slope along one line, by forward mode: it is 0 where Q = Pop."""
    steps = np.linspace(-0.5, 0.5, 41)
    points = [mg.jvp(lambda net: objective(net, population), (move_along(truth, line, t),), (line,)) for t in steps]
    axes.plot(steps, [slope for _, slope in points], color=BLUE, lw=1.6)
    axes.axhline(0, color=GREY, lw=0.8)
    axes.plot(0, 0, "o", color=VERMILION)
    axes.annotate("Q = Pop", (0, 0), (8, -14), textcoords="offset points", color=VERMILION, fontsize=9)
    axes.set(xlabel="distance t from the population's parameters", ylabel="∂/∂t E −ln Q(y) (nats)")
