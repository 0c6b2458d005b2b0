"""Slide 18: the objective as code lengths, and a slip of the slide, which adds bits to nats.

An optimal code for Q(z) spends |z|_Φ = −log₂ Q(z) bits on z, one for P(z|y) spends |z|_{Ψ,y} = −log₂ P(z|y). So

    E_P[|z|_Φ − |z|_{Ψ,y}] = E_P log₂ P(z|y)/Q(z) = KL(P, Q)/ln 2   bits

For real z neither is the length of a code. On a grid both are, and finer grids bring their difference arbitrarily
close.

The slide then adds these bits to ‖y − ŷ‖²/2σ², which is in nats. Its objective is

    KL/ln 2 + S/2σ² = (1/ln 2)·[KL + S/(2σ²/ln 2)],      the right objective for a variance of σ²/ln 2 = 1.44σ²

so the decoder weighs pixel errors less than its σ says, and the optimum has 1.44 times the distortion.
"""

from __future__ import annotations

import math
from functools import partial
from statistics import NormalDist
from typing import Any

import numpy as np

import minigrad as mg
from vae.autoencoder import Autoencoder
from vae.drawing import BLUE, GREY, VERMILION
from vae.lecture.claims import Setting, Sides, Slider, at_most, claim, equal, mean_of_draws
from vae.lecture.slides.s14_decoders import flatten, slide_17_objective, small_vae, squared_error
from vae.objectives import kl_to_prior, log_normal

LN_2 = math.log(2)
QUANTILE = NormalDist().inv_cdf
IMAGES, LATENT = 3, 2


def random_encoding(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """Random μ(y) and ln σ(y), (images, latents), in place of an encoder's."""
    return setting.normal("mean", IMAGES, LATENT), 0.5 * setting.normal("log_std", IMAGES, LATENT) - 0.5


def code_length(log_density: Any) -> Any:
    """The code length of z in bits, from the log density of its entries in nats."""
    return -mg.sum(log_density, axis=-1) / LN_2


@claim(
    18,
    "On average, the two code lengths differ by the KL divergence, in bits.",
    "E_P [|z|_Φ − |z|_{Ψ,y}] = KL(P(z|y), Q(z)) / ln 2",
)
def divergence_in_bits(setting: Setting) -> Sides:
    mean, log_std = random_encoding(setting)
    z = mg.gaussian_sample(mean, log_std, setting.normal("noise", 2**18, IMAGES, LATENT))
    bits = code_length(log_normal(z)) - code_length(log_normal(z, mean, log_std))
    right = mg.sum(kl_to_prior(mean, log_std), axis=-1) / LN_2
    return mean_of_draws(bits, right, draw=partial(_plot_lengths, bits, right))


def cell_probabilities(mean: Any, log_std: Any, bits: int) -> np.ndarray:
    """P(z in cell), (…, 2^bits), of cells equally likely under Q = N(0, 1), so that each costs `bits` under Q."""
    edges = np.array([-np.inf, *(QUANTILE(j / 2**bits) for j in range(1, 2**bits)), np.inf])
    below = 0.5 * (1 + mg.erf((edges - mean[..., None]) / (math.sqrt(2) * mg.exp(log_std[..., None]))))
    return np.diff(below, axis=-1)


def bits_saved(mean: Any, log_std: Any, bits: int) -> np.ndarray:
    """E_P[|z|_Φ − |z|_{Ψ,y}] = bits − H₂(P) for z on that grid."""
    share = cell_probabilities(mean, log_std, bits)
    return bits + np.sum(share * np.log2(np.maximum(share, np.finfo(float).tiny)), axis=-1)


@claim(
    18,
    "On a grid both are lengths of codes; with each bit of z their difference gets closer to KL, from below.",
    "z on 2^b cells of equal Q:   b − H₂(P_b) ≤ (b + 1) − H₂(P_{b+1}) ≤ … ≤ KL/ln 2",
)
def lengths_on_a_grid(setting: Setting) -> Sides:
    mean, log_std = random_encoding(setting)
    saved = np.stack([bits_saved(mean, log_std, b) for b in range(11)])
    limit = kl_to_prior(mean, log_std) / LN_2
    slider = Slider("bits of z", (1, 2, 3, 4, 5, 6, 8), _plot_cells)
    return at_most(
        saved, np.concatenate([saved[1:], limit[None]]), draw=lambda axes: _plot_cells(axes, 4), slider=slider
    )


def slide_18_objective(autoencoder: Autoencoder, y: Any, noise: Any, sigma: Any) -> Any:
    """The slide's objective for each image, (N,): |z|_Φ + S/2σ² − |z|_{Ψ,y}, which adds bits and nats."""
    mean, log_std = autoencoder.encode(y)
    z = mg.gaussian_sample(mean, log_std, noise)
    bits = code_length(log_normal(z)) - code_length(log_normal(z, mean, log_std))
    return bits + squared_error(autoencoder, y, z) / (2 * sigma**2)


@claim(
    18,
    "The slide adds bits to nats: its objective is the right one for σ²/ln 2, in value and in every gradient.",
    "|z|_Φ + S/2σ² − |z|_{Ψ,y} = (1/ln 2)·[−ln Q(z) + S/2σ²_{eff} + ln P(z|y)],   σ²_{eff} = σ²/ln 2",
)
def bits_plus_nats(setting: Setting) -> Sides:
    autoencoder, y, noise = small_vae(setting)
    at, parameters = autoencoder.with_parameters, autoencoder.parameters
    sigma, effective = 0.3, 0.3 / math.sqrt(LN_2)
    left = mg.value_and_grad(lambda p: mg.sum(slide_18_objective(at(p), y, noise, sigma)))(parameters)
    right = mg.value_and_grad(lambda p: -mg.sum(slide_17_objective(at(p), y, noise, effective)) / LN_2)(parameters)
    slider = Slider("σ²", (0.05, 0.1, 0.2, 0.3, 0.4, 0.5), _plot_optima)
    return equal(flatten(left), flatten(right), draw=lambda axes: _plot_optima(axes, 0.2), slider=slider)


def rate(v: Any, log_s: Any, variance: Any) -> Any:
    """E KL(N(vy, s²), N(0, 1)) in nats, for one pixel y of this variance."""
    return mg.mean(kl_to_prior(v * math.sqrt(variance), log_s))


def distortion(w: Any, v: Any, log_s: Any, variance: Any) -> Any:
    """E (y − wz)², z ~ N(vy, s²)."""
    return (1 - w * v) ** 2 * variance + w**2 * mg.exp(2 * log_s)


@claim(
    18,
    "So the best autoencoder for one pixel has a distortion of σ²/ln 2, not σ².",
    "y ~ N(0, λ), ŷ = wz, P = N(vy, s²):   ∂_{w,v,s} [KL/ln 2 + S/2σ²] = 0,  E S = σ²/ln 2",
)
def too_much_distortion(setting: Setting) -> Sides:
    variance, sigma2 = 1 + float(setting.uniform("variance")), 0.1 + 0.4 * float(setting.uniform("sigma"))
    level = sigma2 / LN_2
    w = math.sqrt(variance - level)
    best = (w, w / variance, 0.5 * math.log(level / variance))

    def bits_and_nats(w: Any, v: Any, log_s: Any) -> Any:
        return rate(v, log_s, variance) / LN_2 + distortion(w, v, log_s, variance) / (2 * sigma2)

    slopes = mg.grad(bits_and_nats, argnums=(0, 1, 2))(*best)
    left = [*slopes, distortion(*best, variance)]
    return equal(left, [0.0, 0.0, 0.0, level], draw=partial(_plot_distortions, variance))


# Pictures


def _plot_lengths(bits: np.ndarray, exact: np.ndarray, axes: Any) -> None:
    for i, colour in zip(range(IMAGES), (BLUE, VERMILION, "#009e73")):
        axes.hist(bits[:, i], bins=150, density=True, histtype="step", color=colour, label=f"image {i + 1}")
        axes.axvline(exact[i], color=colour, ls="--", lw=1)
    axes.set(xlabel="|z|$_Φ$ − |z|$_{Ψ,y}$ of one draw (bits; dashed: KL/ln 2)", ylabel="density", xlim=(-5, 15))
    axes.legend(frameon=False, fontsize=8)


def _plot_cells(axes: Any, bits: float) -> None:
    """An encoder's probabilities of cells that are equally likely under the prior."""
    mean, log_std, bits = np.array([0.8]), np.array([-1.2]), int(bits)
    share = cell_probabilities(mean, log_std, bits)[0]
    edges = np.array([-3.5, *(QUANTILE(j / 2**bits) for j in range(1, 2**bits)), 3.5])
    width = np.diff(edges)
    axes.stairs(share / width, edges, fill=True, color=BLUE, alpha=0.5, label="P, cell by cell")
    axes.stairs(2.0**-bits / width, edges, color=GREY, label="Q: equal probabilities")
    z = np.linspace(-3.5, 3.5, 400)
    axes.plot(z, np.exp(log_normal(z, mean, log_std)), color=VERMILION, label="P(z|y)")
    saved, limit = float(bits_saved(mean, log_std, bits)[0]), float(kl_to_prior(mean, log_std)[0]) / LN_2
    title = f"|z| = {bits} bits under Q, {bits - saved:.3f} under P: {saved:.3f} fewer; KL/ln 2 = {limit:.3f}"
    axes.set(xlabel="z", ylabel="density", xlim=(-3.5, 3.5), ylim=(0, 1.7))
    axes.set_title(title, size=9)
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def _plot_optima(axes: Any, sigma2: float) -> None:
    """The rate–distortion curve of a pixel with λ = 1, and the optimum of each objective on it."""
    d = np.linspace(0.02, 1, 300)
    axes.plot(d, 0.5 * np.log2(1 / d), color=GREY, label="least rate: ½ log₂ λ/D, λ = 1")
    for level, colour, name in (
        (sigma2, BLUE, "bits + S/(2σ² ln 2): D = σ²"),
        (sigma2 / LN_2, VERMILION, "slide 18: D = σ²/ln 2"),
    ):
        at = 0.5 * math.log2(1 / level)
        near = np.array([level - 0.12, level + 0.12])
        axes.plot(near, at - (near - level) / (2 * level * LN_2), color=colour, lw=1.2)
        axes.plot([level], [at], "o", color=colour, label=name)
    axes.set(
        xlabel="distortion D = E (y − ŷ)²", ylabel="rate (bits)", xlim=(0, 1), ylim=(0, 3), title=f"σ² = {sigma2:g}"
    )
    axes.legend(frameon=False, fontsize=8)


def _plot_distortions(variance: float, axes: Any) -> None:
    sigma2 = np.linspace(0.01, variance, 200)
    axes.plot(sigma2, sigma2, color=BLUE, label="all in nats: D = σ²")
    axes.plot(sigma2, np.minimum(sigma2 / LN_2, variance), color=VERMILION, label="slide 18: D = σ²/ln 2")
    axes.axhline(variance, color=GREY, ls="--", lw=1)
    axes.text(0, variance, "λ: nothing is sent", color=GREY, size=8, va="bottom")
    axes.set(xlabel="σ²", ylabel="distortion of the best autoencoder")
    axes.legend(frameon=False, fontsize=8)
