"""Slides 15, 20 and 21: a convolutional autoencoder for images, and sampling from its second half, the decoder.

On images that it was not trained on, the bound of a trained model is far above the exact ln Q(y) of independent pixels,

    ln Q_0(y) = Σ_j y_j ln p_j + (1 − y_j) ln(1 − p_j),    p the mean image

Sampling uses only the second half, Q(z, y): draw z from Q(z) = N(0, I) and decode it. The encoder is needed only for
training. ln Q(y) also depends on the second half alone, and for two-dimensional z it can be computed:

    ln Q(y) = ln ∫ Q(z) Q(y|z) dz,    a sum over a fine grid

The ELBO of a trained model is compared with it. (Q(z|y) is smooth and negligible at the edge of the grid, so the sum is
exact to rounding once the grid is finer than the width of Q(z|y).)
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.core import tree
from vae.autoencoder import Autoencoder
from vae.data.blocks import blocks_of
from vae.drawing import BLUE, GREY, VERMILION
from vae.evaluation import generate
from vae.lecture.claims import Setting, Sides, Slider, at_most, claim, equal, mean_of_draws
from vae.lecture.models.exact import log_normal
from vae.lecture.models.trained import show_rows, test_images, train
from vae.lecture.slides.s06_elbo import plot_parts
from vae.models import Parameters
from vae.objectives import elbo
from vae.pictures import grid

LATENT, EPOCHS, BATCH, RATE, IMAGES = 12, 12, 64, 1e-3, 200
DRAWS, FEW = 64, 100  # draws of ε and images for comparing the two forms of the bound
PLANE_EPOCHS, PLANE_HIDDEN, PLANE_IMAGES, PLANE_DRAWS = 25, 128, 60, 400
REACH, STEP = 4.5, 0.03  # the grid over the plane, finer than the narrowest P(z|y)


def train_convolutional(setting: Setting) -> Autoencoder:
    """Train the network of slide 15."""
    return train(setting, EPOCHS, model="conv", latent=LATENT, batch=BATCH, learning_rate=RATE)


def train_plane(setting: Setting) -> Autoencoder:
    """Train an autoencoder with two-dimensional z."""
    return train(setting, PLANE_EPOCHS, latent=2, hidden=PLANE_HIDDEN)


def independent_pixels(train_images: np.ndarray, y: np.ndarray) -> np.ndarray:
    """ln Q(y), (N,) in nats, of pixels that are 1 with probability p_j: p is the mean image plus one pseudo-count."""
    total = sum(train_images[rows].sum(0, dtype=np.float64) for rows in blocks_of(train_images))
    p = (total + 0.5) / (len(train_images) + 1)
    return np.sum(y * np.log(p) + (1 - y) * np.log1p(-p), axis=(1, 2, 3))


@claim(
    15,
    "On unseen images, a convolutional VAE's ELBO is far above the ln Q(y) of independent pixels.",
    "mean_y Σ_j y_j ln p_j + (1 − y_j) ln(1 − p_j) ≤ mean_y ELBO(y),    by more than 4 standard errors",
    images=True,
)
def a_convolutional_vae_knows_images(setting: Setting) -> Sides:
    trained, y = train_convolutional(setting), test_images(setting, IMAGES)
    noise = setting.normal("test noise", len(y), LATENT)
    bound = elbo(trained, y, noise)
    baseline = independent_pixels(setting.images.train, y)
    error = np.std(bound - baseline, ddof=1) / np.sqrt(len(y))
    draw = plot_bounds(baseline, bound)
    return at_most(np.mean(baseline) + 4 * error, np.mean(bound), draw=draw)


@claim(
    15,
    "Both forms of the ELBO have the same mean, also for a convolutional VAE of images.",
    "E_ε [ln Q(y|z) + ln Q(z) − ln P(z|y)] = E_ε [ln Q(y|z)] − KL(P(z|y), Q(z))",
    images=True,
)
def both_forms_agree_on_images(setting: Setting) -> Sides:
    trained, y = train_convolutional(setting), test_images(setting, FEW)
    noise = setting.normal("noise of both forms", DRAWS, len(y), LATENT)
    sampled_form, closed_form = ([elbo(trained, y, eps, form) for eps in noise] for form in ("sampled", "closed"))
    difference = np.subtract(sampled_form, closed_form)  # (S, N)
    return mean_of_draws(difference.mean(1), 0.0, draw=lambda axes: plot_difference(axes, difference))


def erase_encoder(trained: Autoencoder) -> Autoencoder:
    """The same model with NaN for every parameter of the encoder: all that the encoder computes is NaN."""
    encoder = tree.map(lambda leaf: np.full(leaf.shape, np.nan), trained.parameters.encoder)
    return trained.with_parameters(Parameters(encoder, trained.parameters.decoder))


def sample_images(trained: Autoencoder, noise: np.ndarray) -> np.ndarray:
    """Images ŷ(z) at z = ε ~ N(0, I), (N, latent)."""
    return generate(trained, noise)


@claim(
    20,
    "Sampling uses only the second half: with the encoder erased, samples are the same bit for bit.",
    "z ~ Q(z),    ŷ(z; Φ, Ψ) = ŷ(z; Φ, NaN)",
    images=True,
)
def sampling_needs_no_encoder(setting: Setting) -> Sides:
    trained = train_convolutional(setting)
    noise = setting.normal("samples", 40, LATENT)
    left, right = sample_images(erase_encoder(trained), noise), sample_images(trained, noise)
    slider = Slider(
        "scale of ε",
        (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0),
        lambda axes, s: plot_sheet(axes, sample_images(trained, s * noise)),
    )
    return equal(left, right, roundings=0, draw=lambda axes: plot_sheet(axes, left), slider=slider)


# Two-dimensional z


def lattice(trained: Autoencoder, y: np.ndarray) -> np.ndarray:
    """The points of a square grid over the plane, (Z, 2), that covers Q(z) and every P(z|y)."""
    mean, log_std = trained.encode(y)
    reach = max(REACH, np.max(np.abs(mean) + 6 * np.exp(log_std)))
    line = np.arange(-reach, reach, STEP)
    return np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)


def log_joint(trained: Autoencoder, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """ln Q(z, y) of each image at each z (Z, 2), (N, Z), from the decoder and Q(z) alone.

    ln Q(y|z) = Σ_j y_j l_j − ln(1 + e^(l_j)) for logits l, as in `vae.objectives`.
    """
    flat, pieces = y.reshape(len(y), -1), []
    for piece in np.array_split(z, 200):
        logits = trained.decode(piece).reshape(len(piece), -1)
        pieces.append(flat @ logits.T - np.sum(mg.softplus(logits), axis=1) + log_normal(piece))
    return np.concatenate(pieces, axis=1)


def log_encoder(trained: Autoencoder, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """ln P(z|y) of each image at each z (Z, 2), (N, Z)."""
    mean, log_std = (out[:, None] for out in trained.encode(y))
    return log_normal((z - mean) * np.exp(-log_std)) - np.sum(log_std, axis=2)


@claim(
    20,
    "The second half alone determines ln Q(y); the ELBO falls short of it by KL(P, Q(z|y)).",
    "E_ε [ln Q(z, y) − ln P(z|y)] = ln Q(y) − KL(P, Q(z|y)),    ln Q(y) = ln ∫ Q(z) Q(y|z) dz over the plane",
    images=True,
)
def the_second_half_knows_the_evidence(setting: Setting) -> Sides:
    trained, y = train_plane(setting), test_images(setting, PLANE_IMAGES)
    z = lattice(trained, y)
    noise = setting.normal("plane noise", PLANE_DRAWS, len(y), 2)
    bound = np.array([elbo(trained, y, eps, "sampled") for eps in noise])
    joint, log_p = log_joint(trained, y, z), log_encoder(trained, y, z)
    evidence = mg.logsumexp(joint, axis=1) + 2 * np.log(STEP)
    divergence = np.sum(np.exp(log_p) * (log_p - joint + evidence[:, None]), axis=1) * STEP**2
    draw = plot_parts(evidence, evidence - divergence, ("ln Q(y)", "ELBO", "KL(P, Q(z|y))"))
    slider = Slider("test image", range(8), lambda axes, n: plot_posterior(axes, trained, y[[n]], z, joint[n]))
    return mean_of_draws(bound.mean(1), np.mean(evidence - divergence), draw=draw, slider=slider)


def quantiles(side: int) -> np.ndarray:
    """The (i + ½)/side quantiles of N(0, 1), (side,): steps of equal probability."""
    return np.array([NormalDist().inv_cdf((i + 0.5) / side) for i in range(side)])


@claim(
    21,
    "A grid of Gaussian quantiles shows what sampling draws: the images have the same mean.",
    "E ŷ(ε) = mean_{ij} ŷ(F^{−1}((i + ½)/n), F^{−1}((j + ½)/n)),    F the cumulative distribution of N(0, 1)",
    images=True,
)
def the_plane_is_what_sampling_draws(setting: Setting) -> Sides:
    trained, line = train_plane(setting), quantiles(100)
    drawn = sample_images(trained, setting.normal("plane samples", 10_000, 2))
    shown = sample_images(trained, np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2))
    slider = Slider(
        "z₁", (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0), lambda axes, z1: plot_column(axes, trained, z1)
    )
    return mean_of_draws(
        drawn.mean((1, 2, 3)), shown.mean(), draw=lambda axes: plot_plane(axes, trained), slider=slider
    )


# Pictures


def plot_bounds(baseline: np.ndarray, bound: np.ndarray) -> Callable[[Any], None]:
    """Histograms of the baseline and of the bound over test images."""

    def draw(axes: Any) -> None:
        edges = np.linspace(min(-baseline.max(), -bound.max()), max(-baseline.min(), -bound.min()), 40)
        axes.hist(-bound, edges, color=BLUE, alpha=0.8, label=f"VAE: −ELBO, mean {-bound.mean():.1f}")
        label = f"independent pixels: −ln Q(y), mean {-baseline.mean():.1f}"
        axes.hist(-baseline, edges, color=VERMILION, alpha=0.6, label=label)
        axes.set(xlabel="nats per image (fewer is better)", ylabel="test images")
        axes.set_ylim(0, 1.35 * axes.get_ylim()[1])
        axes.legend(fontsize=8, frameon=False)

    return draw


def plot_difference(axes: Any, difference: np.ndarray) -> None:
    """The mean difference of the two forms as draws are added, with 4 standard errors."""
    number = np.arange(2, len(difference) + 1)
    each = difference.mean(1)
    mean = np.array([each[:n].mean() for n in number])
    error = np.array([each[:n].std(ddof=1) / np.sqrt(n) for n in number])
    axes.fill_between(
        number, mean - 4 * error, mean + 4 * error, color=BLUE, alpha=0.2, lw=0, label="± 4 standard errors"
    )
    axes.plot(number, mean, color=BLUE, lw=1.5, label="sampled form − closed form")
    axes.axhline(0, color=GREY, lw=0.8)
    axes.set(xlabel="draws of ε for each image", ylabel="nats per image")
    axes.legend(fontsize=8, frameon=False)


def plot_sheet(axes: Any, images: np.ndarray) -> None:
    """Images in rows of ten."""
    show_rows(axes, [images[i : i + 10] for i in range(0, len(images), 10)], [""] * (len(images) // 10))


def plot_posterior(axes: Any, trained: Autoencoder, y: np.ndarray, z: np.ndarray, joint: np.ndarray) -> None:
    """Q(z|y) on the grid, and the encoder's P(z|y) as an ellipse of two standard deviations."""
    mean, log_std = (out[0] for out in trained.encode(y))
    side = int(np.sqrt(len(joint)))
    density = np.exp(joint - joint.max()).reshape(side, side)
    place = density.sum(0), density.sum(1)  # along z₁, along z₂
    line, ends = z[:side, 0], (z[0, 0], z[-1, 0])
    middle = [np.sum(line * p) / p.sum() for p in place]
    axes.imshow(density, origin="lower", extent=(*ends, *ends), cmap="Blues", interpolation="bilinear")
    turn = np.linspace(0, 2 * np.pi, 100)
    ring = mean[:, None] + 2 * np.exp(log_std)[:, None] * np.stack([np.cos(turn), np.sin(turn)])
    axes.plot(*ring, color=VERMILION, lw=1.4, label="encoder, 2 s")
    reach = max(0.5, 1.2 * np.max(np.abs(ring - np.array(middle)[:, None])))
    axes.set(xlim=(middle[0] - 1.4 * reach, middle[0] + 1.4 * reach), ylim=(middle[1] - reach, middle[1] + reach))
    axes.set(xlabel="z₁", ylabel="z₂")
    axes.locator_params(nbins=5)
    axes.legend(fontsize=8, frameon=False, loc="upper right")
    small = axes.inset_axes([1.03, 0.6, 0.35, 0.4])
    show_rows(small, [y], [""])
    small.set_title("y", fontsize=9)


def plot_plane(axes: Any, trained: Autoencoder) -> None:
    """ŷ(z) on a grid of quantiles, with z₂ increasing upwards."""
    rows, columns = 12, 21
    z = np.stack(np.meshgrid(quantiles(columns), quantiles(rows)[::-1]), axis=-1).reshape(-1, 2)
    whole = grid(sample_images(trained, z), columns)
    axes.imshow(np.broadcast_to(whole, (*whole.shape[:2], 3)), aspect="auto", interpolation="none", extent=(0, 1, 0, 1))
    ticks = np.array([-1.5, -1, -0.5, 0, 0.5, 1, 1.5])
    at = [NormalDist().cdf(z) for z in ticks]
    axes.set_xticks(at, [f"{z:g}".replace("-", "−") for z in ticks])
    axes.set_yticks(at, [f"{z:g}".replace("-", "−") for z in ticks])
    axes.set(xlabel="z₁, in steps of equal probability", ylabel="z₂")


def plot_column(axes: Any, trained: Autoencoder, z1: float) -> None:
    """ŷ(z) along z₂, for one z₁."""
    line = quantiles(24)
    images = sample_images(trained, np.stack([np.full(24, z1), line], axis=1))
    names = [f"z₂ from\n{line[i]:.1f}".replace("-", "−") for i in (0, 8, 16)]
    show_rows(axes, [images[:8], images[8:16], images[16:]], names)
