"""Slide 19, first half: hard EM is EM with a point mass for P, as in k-means and vector quantisation.

Where P(z|y) is all on one ẑ, H(P) = 0 and the ELBO is ln Q(ẑ, y). The E step becomes ẑ(y) = argmax Q(z|y), which is

    ẑ = argmin_k −ln π_k + ‖y − μ_k‖²/2σ²        (one fixed σ)

    equal π      ẑ is the nearest mean, whatever σ: k-means (Lloyd 1957)
    learned π    −ln π_k is the length of a code word for k: the cost of sending y as k is rate + distortion/2σ²
                 (entropy-constrained vector quantisation: Chou, Lookabaugh and Gray 1989)
    soft EM      tends to k-means as σ² → 0

The right sides are k-means and quantisation as their own papers state them, in distances and bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from vae.drawing import BLUE, GREY, INK, VERMILION
from vae.lecture.claims import EPS, Setting, Sides, Slider, claim, equal
from vae.lecture.models.bound import elbo
from vae.lecture.models.exact import LN_2PI, Mixture, posterior
from vae.lecture.slides.s10_em import (
    PALETTE,
    HalfRound,
    alternate,
    clusters,
    e_step,
    init_mixture,
    mix_colours,
    set_plane,
)

K, ROUNDS = 6, 8
SIGMAS = (0.01, 0.1, 1.0, 10.0, 100.0)
PRICES = (0.1, 0.5, 1.0, 2.0, 4.0, 16.0, 100.0)  # of a bit, in pixel²


def point_mass(log_joint: np.ndarray) -> np.ndarray:
    """ln P of the point mass at the most probable z, (N, K): 0 there, −∞ elsewhere."""
    best = np.argmax(log_joint, axis=1)
    return np.where(np.arange(log_joint.shape[1]) == best[:, None], 0.0, -np.inf)


def hard_e_step(mixture: Mixture, y: np.ndarray) -> np.ndarray:
    """ln P(z|y) of the best point mass, (N, K)."""
    return point_mass(mixture.log_joint(y))


def equal_mixture(y: np.ndarray, sigma: float) -> Mixture:
    """The start of k-means: means at the first images, equal weights, one σ."""
    return Mixture(np.zeros(K), y[:K], np.log(sigma))


class Stage(NamedTuple):
    """The state of k-means or of the quantiser after a round."""

    means: np.ndarray  # (K, D)
    codes: np.ndarray  # of the images, (N,)
    weights: np.ndarray  # of the codes, (K,)


def to_stages(halves: Sequence[HalfRound]) -> list[Stage]:
    """The states of EM after each M step."""
    after = halves[1::2]
    return [Stage(h.mixture.means, np.argmax(h.log_p, axis=1), np.exp(h.mixture.logits)) for h in after]


def to_vector(path: Sequence[Stage]) -> np.ndarray:
    """All numbers of some stages as one vector."""
    return np.concatenate([np.ravel(part) for stage in path for part in stage])


def distances(y: np.ndarray, means: np.ndarray) -> np.ndarray:
    """‖y − μ_k‖², (N, K)."""
    return np.sum((y[:, None] - means) ** 2, axis=2)


def update_means(y: np.ndarray, means: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The mean of the images with each code; a code without images keeps its mean."""
    return np.array([y[codes == k].mean(0) if (codes == k).any() else mean for k, mean in enumerate(means)])


def k_means(y: np.ndarray) -> list[Stage]:
    """Lloyd's algorithm: assign images to the nearest mean, then update the means; one stage per round."""
    path, means = [], y[:K]
    for _ in range(ROUNDS):
        codes = np.argmin(distances(y, means), axis=1)
        means = update_means(y, means, codes)
        path.append(Stage(means, codes, np.ones(K)))
    return path


def quantise(y: np.ndarray, price: float) -> tuple[list[Stage], list[float]]:
    """Codes that minimise distortion + price·bits, then new means and code lengths: the stages, and their costs."""
    path, costs, means, bits = [], [], y[:K], np.full(K, np.log2(K))
    for _ in range(ROUNDS):
        codes = np.argmin(distances(y, means) + price * bits, axis=1)
        means, shares = update_means(y, means, codes), np.bincount(codes, minlength=K) / len(y)
        bits = -np.log2(shares, where=shares > 0, out=np.full(K, -np.inf))
        path.append(Stage(means, codes, shares))
        costs.append(np.mean(distances(y, means)[np.arange(len(y)), codes] + price * bits[codes]))
    return path, costs


@claim(
    19,
    "If P is a point mass, its entropy is 0 and the ELBO is hard EM's ln Q(ẑ, y).",
    "P = δ_ẑ  ⇒  E_P ln Q(z, y) + H(P) = ln Q(ẑ, y),    ẑ = argmax_z Q(z|y)",
)
def a_point_has_no_entropy(setting: Setting) -> Sides:
    y = clusters(setting)
    log_joint = alternate(init_mixture(y, K), y, rounds=3)[-1].mixture.log_joint(y)
    left = elbo(log_joint, point_mass(log_joint))
    return equal(left, np.max(log_joint, axis=1), draw=plot_cooling(log_joint))


@claim(
    19,
    "With equal weights and one fixed σ, hard EM is k-means, for every σ.",
    "π_k = 1/K  ⇒  argmax_k Q(k|y) = argmin_k ‖y − μ_k‖^2,    the same codes and means each round",
)
def hard_em_is_k_means(setting: Setting) -> Sides:
    y = clusters(setting)
    runs = [alternate(equal_mixture(y, sigma), y, ROUNDS, learn=("means",), best_p=hard_e_step) for sigma in SIGMAS]
    left, right = [to_vector(to_stages(halves)) for halves in runs], to_vector(k_means(y))
    return equal(left, [right] * len(SIGMAS), draw=plot_paths(y, k_means(y), [to_stages(halves) for halves in runs]))


@claim(
    19,
    "Soft EM becomes k-means as σ² → 0.",
    "r_k = exp(−‖y − μ_k‖^2/2σ^2) / Σ_j exp(−‖y − μ_j‖^2/2σ^2)  →  [k is nearest]",
)
def soft_em_becomes_k_means(setting: Setting) -> Sides:
    y = clusters(setting)
    right = k_means(y)
    nearest = np.array([np.sort(distances(y, means))[:, :2] for means in (y[:K], *(stage.means for stage in right))])
    gap = np.min(nearest[:, :, 1] - nearest[:, :, 0])
    sigma = np.sqrt(gap / 2 / np.log(1 / EPS**2))  # at this σ, every r_k but the nearest is below EPS²
    left = to_stages(alternate(equal_mixture(y, sigma), y, ROUNDS, learn=("means",)))
    slider = Slider("σ²", (30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.01), lambda axes, v: plot_soft_em(axes, y, v))
    return equal(to_vector(left), to_vector(right), draw=lambda axes: plot_difference(axes, y), slider=slider)


@claim(
    19,
    "With learned weights and one fixed σ, hard EM is entropy-constrained vector quantisation.",
    "ẑ = argmin_k −ln π_k + ‖y − μ_k‖^2/2σ^2 = argmin_k ‖y − μ_k‖^2 + λ bits_k,    λ = 2σ^2 ln 2",
    "−2σ^2 (ELBO + (D/2) ln 2πσ^2) = E ‖y − μ_ẑ‖^2 + λ bits_ẑ",
)
def hard_em_with_weights_is_a_quantiser(setting: Setting) -> Sides:
    y = clusters(setting)
    left, right = [], []
    for price in PRICES:
        variance = price / (2 * np.log(2))
        start = equal_mixture(y, np.sqrt(variance))
        halves = alternate(start, y, ROUNDS, learn=("logits", "means"), best_p=hard_e_step)
        costs = [-2 * variance * (half.elbo + LN_2PI + np.log(variance)) for half in halves[1::2]]
        path, by_hand = quantise(y, price)
        left.append([*to_vector(to_stages(halves)), *costs])
        right.append([*to_vector(path), *by_hand])
    slider = Slider("λ", PRICES, lambda axes, price: plot_cells(axes, y, price))
    return equal(left, right, draw=lambda axes: plot_trade_off(axes, y), slider=slider)


# Pictures


def plot_cooling(log_joint: np.ndarray) -> Callable:
    """From the posterior to a point mass, P ∝ Q(z|y)^β: E_P ln Q(z, y) rises, but H(P) falls by more."""

    def draw(axes: Any) -> None:
        powers = np.geomspace(1, 100, 40)
        every = [posterior(beta * log_joint) for beta in powers]
        bound = [np.mean(elbo(log_joint, log_p)) for log_p in every]
        expected = [np.mean(np.sum(np.exp(log_p) * log_joint, axis=1)) for log_p in every]
        axes.plot(powers, bound, color=BLUE, lw=1.6, label="ELBO")
        axes.plot(powers, expected, color=GREY, lw=1.4, ls="--", label="E_P ln Q(z, y)")
        axes.fill_between(powers, expected, bound, color=GREY, alpha=0.2, lw=0, label="H(P)")
        hard = np.mean(elbo(log_joint, point_mass(log_joint)))
        axes.plot(powers[-1], hard, "o", color=VERMILION, label="ELBO of the point mass", clip_on=False)
        axes.set(xscale="log", xlabel="β of P ∝ Q(z|y)^β: 1 is soft EM, ∞ hard EM", ylabel="nats per image")
        axes.legend(fontsize=8, frameon=False)

    return draw


def plot_paths(y: np.ndarray, right: Sequence[Stage], left: Sequence[Sequence[Stage]]) -> Callable:
    """The path of each mean under k-means, and its final place under hard EM with every σ."""

    def draw(axes: Any) -> None:
        axes.scatter(*y.T, s=6, color=[PALETTE[code] for code in right[-1].codes], alpha=0.5, lw=0)
        for k in range(K):
            axes.plot(*np.array([y[k], *(stage.means[k] for stage in right)]).T, ".-", color=INK, lw=1, ms=3)
            for n, path in enumerate(left):
                axes.plot(*path[-1].means[k], "o", mfc="none", mec=VERMILION, ms=4 + 3 * n, mew=0.8)
        set_plane(axes, y)
        axes.set_title("lines: k-means; rings: hard EM with σ = " + ", ".join(f"{s:g}" for s in SIGMAS), fontsize=9)

    return draw


def plot_soft_em(axes: Any, y: np.ndarray, variance: float) -> None:
    """Soft EM with a fixed σ², images coloured by their P, beside the means of k-means."""
    mixture = alternate(equal_mixture(y, np.sqrt(variance)), y, ROUNDS, learn=("means",))[-1].mixture
    axes.scatter(*y.T, s=8, color=mix_colours(e_step(mixture, y)), lw=0)
    axes.plot(*k_means(y)[-1].means.T, "x", color=INK, ms=7, label="k-means")
    axes.plot(*mixture.means.T, "o", mfc="none", mec=VERMILION, ms=9, mew=1.5, label="soft EM")
    set_plane(axes, y)
    axes.legend(fontsize=8, frameon=False)
    axes.set_title(f"σ² = {variance:g}", fontsize=9)


def plot_difference(axes: Any, y: np.ndarray) -> None:
    """How far the means of soft EM are from those of k-means."""
    variances = np.geomspace(1e-4, 30, 24)
    runs = [
        to_stages(alternate(equal_mixture(y, np.sqrt(v)), y, ROUNDS, learn=("means",)))[-1].means for v in variances
    ]
    off = [np.max(np.abs(means - k_means(y)[-1].means)) for means in runs]
    axes.plot(variances, np.maximum(off, 1e-17), "o-", color=BLUE, ms=4)
    axes.set(xscale="log", yscale="log", xlabel="σ² (pixel²)", ylabel="largest |μ − k-means| (pixel)", ylim=(1e-18, 20))


def plot_cells(axes: Any, y: np.ndarray, price: float) -> None:
    """The code of each point of the plane when a bit costs λ; the area of a mean shows how often it is used."""
    path, costs = quantise(y, price)
    means, codes, shares = path[-1]
    used = shares > 0
    set_plane(axes, y)
    x0, x1, y0, y1 = *axes.get_xlim(), *axes.get_ylim()
    grid = np.stack(np.meshgrid(np.linspace(x0, x1, 180), np.linspace(y0, y1, 100)), axis=-1).reshape(-1, 2)
    bits = -np.log2(shares[used])
    inside = np.argmin(distances(grid, means[used]) + price * bits, axis=1).reshape(100, 180)
    for code in np.unique(inside)[1:]:
        axes.contour(inside == code, levels=[0.5], colors=GREY, linewidths=0.8, extent=(x0, x1, y0, y1))
    axes.scatter(*y.T, s=6, color=[PALETTE[code] for code in codes], lw=0)
    axes.scatter(*means[used].T, s=600 * shares[used], color=VERMILION, alpha=0.5, lw=0)
    rate = np.sum(shares[used] * bits)
    axes.set_title(f"λ = {price:g} pixel²/bit: {rate:.2f} bits, distortion {costs[-1] - price * rate:.2f}", fontsize=9)


def plot_trade_off(axes: Any, y: np.ndarray) -> None:
    """Rate against distortion, one point for each price of a bit."""
    prices = np.geomspace(0.01, 30, 30)
    rates, distortions = [], []
    for price in prices:
        path, costs = quantise(y, price)
        shares = path[-1].weights[path[-1].weights > 0]
        rates.append(-np.sum(shares * np.log2(shares)))
        distortions.append(costs[-1] - price * rates[-1])
    axes.plot(rates, distortions, "o-", color=BLUE, ms=4)
    axes.annotate("bits cost little", (rates[0], distortions[0]), (-60, 14), textcoords="offset points", fontsize=8)
    axes.annotate("bits cost much", (rates[-1], distortions[-1]), (8, 0), textcoords="offset points", fontsize=8)
    axes.set(xlabel="rate: entropy of the codes (bits per image)", ylabel="distortion (pixel²)")
