"""Slide 19 on images: a VAE and a rate–distortion autoencoder share one objective; they differ in z and P.

    VAE                min E_ε |z| + ‖y − ŷ(z)‖²/2σ² − |z|_{Ψ,y}
    rate–distortion    min |ẑ| + ‖y − ŷ(ẑ)‖²/2σ²

The right side states each in its own terms: the VAE's as `vae.objectives` computes it for training, less the normaliser
of its density; the other's as the bits of a code and a squared error. The left side is −ELBO for both, by the function
that also gives k-means and EM in the previous theme.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vae.autoencoder import Autoencoder
from vae.drawing import BLUE, GREY, VERMILION
from vae.lecture.claims import Setting, Sides, Slider, claim, equal
from vae.lecture.models.bound import elbo
from vae.lecture.models.coders import LATENT, PricedCoder, decode, elbo_terms, encode, reconstruct, train_coder
from vae.lecture.models.exact import LN_2PI
from vae.lecture.models.trained import show_rows, test_images
from vae.lecture.slides.s19_ladder import code_length
from vae.likelihoods import Gaussian
from vae.objectives import elbo as training_objective
from vae.sigma import Sigma

BITS, IMAGES = (10, 20, 40), 100
NAMES = {"L2": "VAE", "quantised z": "rate–distortion"}


def vae_objective(priced: PricedCoder, y: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """−ELBO of each image, (N,) in nats, as training computes it, with σ² = T and without (D/2) ln 2πσ²."""
    vae = Autoencoder(priced.model, Gaussian(Sigma(math.sqrt(priced.price))), priced.coder.net)
    normaliser = 0.5 * y[0].size * (LN_2PI + math.log(priced.price))
    return -training_objective(vae, y, noise, "sampled") - normaliser


def rate_distortion_objective(priced: PricedCoder, y: np.ndarray) -> np.ndarray:
    """ln 2 times the bits of each image's code, plus its squared error over 2σ², (N,)."""
    z, _, _ = encode(priced, y, None)
    bits = np.sum(code_length(priced.coder, z), axis=1)
    return math.log(2) * bits + np.sum((y - decode(priced, z)) ** 2, axis=(1, 2, 3)) / (2 * priced.price)


@claim(
    19,
    "On images, too, VAE and rate–distortion minimise the same function, −ELBO.",
    "VAE:    −ln Q(z) + ln P(z|y) + ‖y − ŷ(z)‖^2/2σ^2    rate–distortion:    |ẑ| + ‖y − ŷ(ẑ)‖^2/2σ^2",
    "each  =  −E_P ln Q(z, y) − H(P)",
    images=True,
)
def one_elbo_for_images(setting: Setting) -> Sides:
    y, noise = test_images(setting, IMAGES), setting.normal("slide 19", IMAGES, LATENT)
    vae, rd = train_coder(setting, "L2", BITS[1]), train_coder(setting, "quantised z", BITS[1])
    left = [-elbo(*elbo_terms(priced, y, noise), np.ones(1)) for priced in (vae, rd)]
    right = [vae_objective(vae, y, noise), rate_distortion_objective(rd, y)]
    slider = Slider("bits of z", BITS, lambda axes, bits: plot_reconstructions(axes, setting, y, bits))
    return equal(left, right, draw=lambda axes: plot_rate_distortion(axes, setting, y), slider=slider)


# Pictures


def plot_reconstructions(axes: Any, setting: Setting, y: np.ndarray, bits: int) -> None:
    """Images, and their reconstructions by both autoencoders."""
    rows, names = [y[:8]], ["y"]
    for kind, name in NAMES.items():
        shown, rate = reconstruct(setting, train_coder(setting, kind, bits), y)
        rows.append(shown[:8])
        names.append(f"{name}\n{rate:.0f} bits")
    show_rows(axes, rows, names)


def plot_rate_distortion(axes: Any, setting: Setting, y: np.ndarray) -> None:
    """Distortion against rate of both autoencoders, at the rates they were trained for."""
    for (kind, name), marker, colour in zip(NAMES.items(), "os", (BLUE, VERMILION)):
        every = [reconstruct(setting, train_coder(setting, kind, bits), y) for bits in BITS]
        errors = [np.mean(np.sum((y - shown) ** 2, axis=(1, 2, 3))) for shown, _ in every]
        axes.plot([rate for _, rate in every], errors, marker=marker, color=colour, lw=1.4, label=name)
    axes.set(xlabel="rate on test images (bits)", ylabel="‖y − ŷ‖² per image", ylim=(0, None))
    axes.legend(fontsize=8, frameon=False)
    axes.set_title("one objective, two kinds of z", fontsize=9, color=GREY)
