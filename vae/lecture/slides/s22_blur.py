"""Slide 22: why are the images blurry?

A pixel is dark in some images and bright in others, and z does not say which. The decoder shows it at one value ŷ:

    L2                  min_ŷ mean (y − ŷ)²                    the mean, which may be a grey that is in no image
    L1                  min_ŷ mean |y − ŷ|                     the median, which is a value of the larger mode
    rate–distortion     min mean [(y − ŷ_z)²/2σ² + |z|]        a bit says which mode, and ŷ_z is the mean of that mode

So L2 alone does not make grey: it shows the mean over what z leaves open, and with more bits z leaves less open. On
images, autoencoders of one architecture under four objectives, all at the same rate (see `coders`), are compared by
their

    sharpness = mean |gradient of ŷ over the pixels| / mean |gradient of y|

L1 is sharper than L2, as the slide says, where z leaves something open: at 10 and 20 bits. At 40 bits little is left
open, and all are close. L2 gets sharper with more bits. At equal bits the quantised autoencoder is not sharper here: of
what the slide says about rate–distortion, only the effect of more bits is confirmed. These results are measurements of
small networks after little training, not theorems; with even less training they can differ. The rates shown beside the
pictures are those on test images.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from vae.drawing import BLUE, COLOURS, GREY, VERMILION
from vae.lecture.claims import Setting, Sides, Slider, at_most, claim, equal
from vae.lecture.models.coders import KINDS, reconstruct, train_coder
from vae.lecture.models.trained import show_rows, test_images

PIXELS, SHARE = 41, 0.6  # values of one pixel (odd, so that the median is one of them); share of bright ones
DARK, BRIGHT, SIGMA = 0.1, 0.8, 0.1
BITS, IMAGES = (10, 20, 40), 200
FEW_BITS = BITS[:2]  # where z leaves something open


# One pixel


def pixel_values(setting: Setting, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Values of a pixel, (N,), and whether each belongs to the bright mode."""
    bright = np.arange(PIXELS) < round(share * PIXELS)
    spread = setting.uniform("pixel", PIXELS) ** 2  # not symmetric: the median of a mode is not its mean
    return np.where(bright, BRIGHT, DARK) + 0.15 * spread, bright


def descend(loss: Callable[[Any], Any], start: Any) -> np.ndarray:
    """A minimum by steps along the gradient's sign, each a tenth shorter than the last: they converge at kinks, too."""
    place, step, slope = np.asarray(start, np.float64), 0.3, mg.jit(mg.grad(loss))
    while step > 1e-17:
        place, step = place - step * np.sign(slope(place)), 0.9 * step
    return place


def best_l2(y: np.ndarray) -> np.ndarray:
    """The best ŷ under L2, by descent."""
    return descend(lambda shown: mg.mean((y - shown) ** 2), 0.5)


def best_l1(y: np.ndarray) -> np.ndarray:
    """The best ŷ under L1, by descent."""
    return descend(lambda shown: mg.mean(mg.abs(y - shown)), 0.5)


def best_rate_distortion(y: np.ndarray) -> np.ndarray:
    """The best ŷ_0, ŷ_1 and logit of Q(z = 1), (3,), by descent: each image is sent with the cheaper of two codes."""

    def cost(place: Any) -> Any:
        nats = mg.stack([mg.softplus(place[2]), mg.softplus(-place[2])])  # −ln Q(z = 0), −ln Q(z = 1)
        return mg.mean(mg.min((y[:, None] - place[:2]) ** 2 / (2 * SIGMA**2) + nats, axis=1))

    return descend(cost, [0.3, 0.6, 0.0])


@claim(22, "Under L2 the best value for a pixel is its mean, a grey between modes.", "argmin_ŷ mean (y − ŷ)^2 = mean y")
def l2_shows_the_mean(setting: Setting) -> Sides:
    y, _ = pixel_values(setting, SHARE)
    slider = Slider(
        "share of bright images",
        (0.1, 0.2, 0.35, 0.45, 0.55, 0.65, 0.8, 0.9),
        lambda axes, p: plot_modes(axes, *pixel_values(setting, p)),
    )
    return equal(best_l2(y), np.mean(y), draw=lambda axes: plot_losses(axes, y), slider=slider)


@claim(22, "Under L1 the best value is the median, a value of the larger mode.", "argmin_ŷ mean |y − ŷ| = median y")
def l1_shows_the_median(setting: Setting) -> Sides:
    y, _ = pixel_values(setting, SHARE)
    return equal(best_l1(y), np.median(y), draw=lambda axes: plot_losses(axes, y, absolute=True))


@claim(
    22,
    "Under L2 with rate–distortion the best value is the mean of a mode: the code says which one.",
    "argmin mean min_z [(y − ŷ_z)^2/2σ^2 − ln Q(z)]:    ŷ_z = mean of mode z,    Q(z) = share of mode z",
)
def rate_distortion_shows_the_mode(setting: Setting) -> Sides:
    y, bright = pixel_values(setting, SHARE)
    right = np.mean(y[~bright]), np.mean(y[bright]), np.log(bright.sum() / (~bright).sum())
    return equal(best_rate_distortion(y), right, draw=lambda axes: plot_modes(axes, y, bright))


# Images


def sharpness(images: np.ndarray) -> float:
    """The mean length of the gradient over the pixels of images (N, H, W, C), by differences of neighbours."""
    down, across = np.diff(images, axis=1)[:, :, :-1], np.diff(images, axis=2)[:, :-1]
    return float(np.mean(np.sqrt(down**2 + across**2)))


def sharpness_table(setting: Setting, kinds: tuple[str, ...] = KINDS, rates: tuple[int, ...] = BITS) -> np.ndarray:
    """Sharpness of reconstructions relative to the data's, (kinds, rates)."""
    y = test_images(setting, IMAGES)
    sharp = [
        [sharpness(reconstruct(setting, train_coder(setting, kind, bits), y)[0]) for bits in rates] for kind in kinds
    ]
    return np.array(sharp) / sharpness(y)


@claim(
    22,
    "Every autoencoder blurs: under each objective and at each rate, reconstructions are less sharp than images.",
    "sharpness ≤ 1",
    images=True,
)
def every_objective_blurs(setting: Setting) -> Sides:
    slider = Slider("bits of z", BITS, lambda axes, bits: plot_reconstructions(axes, setting, bits))
    return at_most(sharpness_table(setting), 1.0, draw=lambda axes: plot_sharpness(axes, setting), slider=slider)


@claim(
    22,
    "L1 works better: where bits are few, it is sharper than L2 at the same rate.",
    "sharpness(L2) ≤ sharpness(L1),    10 and 20 bits",
    images=True,
)
def l1_is_sharper(setting: Setting) -> Sides:
    under_l2, under_l1 = sharpness_table(setting, ("L2", "L1"), FEW_BITS)
    return at_most(under_l2, under_l1, draw=lambda axes: plot_bars(axes, ("L2", "L1"), (under_l2, under_l1)))


@claim(
    22,
    "L2 can be sharp: more bits make it sharper, with rate–distortion as in a VAE.",
    "sharpness(10 bits) ≤ sharpness(20 bits),    sharpness(10 bits) ≤ sharpness(40 bits)",
    images=True,
)
def bits_make_l2_sharp(setting: Setting) -> Sides:
    kinds = "L2", "quantised z"
    sharp = sharpness_table(setting, kinds)
    return at_most(sharp[:, :1], sharp[:, 1:], draw=lambda axes: plot_bars(axes, kinds, sharp))


@claim(
    22,
    "Measured here, unlike the slide: at the same rate, quantised z is no sharper than a VAE, both under L2.",
    "sharpness(quantised z) ≤ sharpness(VAE),    10 and 20 bits",
    images=True,
)
def quantising_alone_is_not_sharper(setting: Setting) -> Sides:
    quantised, vae = sharpness_table(setting, ("quantised z", "L2"), FEW_BITS)
    return at_most(quantised, vae, draw=lambda axes: plot_reconstructions(axes, setting, BITS[0]))


# Pictures


def plot_losses(axes: Any, y: np.ndarray, absolute: bool = False) -> None:
    """The mean distortion of the pixel against the value shown, and its minimum."""
    shown = np.linspace(0, 1.05, 400)
    off = y[:, None] - shown
    cost, best, name = (np.abs(off), best_l1(y), "|y − ŷ|") if absolute else (off**2, best_l2(y), "(y − ŷ)²")
    cost = cost.mean(0)
    axes.plot(shown, cost, color=BLUE, lw=1.6, label=f"mean {name}")
    axes.plot(y, np.full(len(y), 0.0), "|", color=GREY, ms=12, label="the pixel's values")
    axes.axvline(best, color=VERMILION, lw=1.4, label=f"least at {best:.3f}")
    axes.set(xlabel="value shown, ŷ", ylabel="distortion", xlim=(0, 1.05))
    axes.legend(fontsize=8, frameon=False)


def plot_modes(axes: Any, y: np.ndarray, bright: np.ndarray) -> None:
    """The values of the pixel, and the value that each objective shows."""
    axes.hist(y, np.linspace(0, 1.05, 43), color=GREY, alpha=0.4)
    mean, median, (dark, light, _) = best_l2(y), best_l1(y), best_rate_distortion(y)
    axes.axvline(mean, ymax=0.86, color=BLUE, lw=2, label=f"L2: {mean:.2f}")
    axes.axvline(median, ymax=0.86, color=COLOURS[5], lw=2, ls="--", label=f"L1: {median:.2f}")
    axes.axvline(dark, ymax=0.86, color=VERMILION, lw=2, ls=":", label=f"rate–distortion: {dark:.2f} or {light:.2f}")
    axes.axvline(light, ymax=0.86, color=VERMILION, lw=2, ls=":")
    axes.set(
        xlabel="value of the pixel",
        ylabel="images",
        xlim=(0, 1.05),
        title=f"bright in {bright.sum()} of {len(y)} images",
    )
    axes.set_ylim(0, 1.4 * axes.get_ylim()[1])
    axes.legend(fontsize=8, frameon=False, loc="upper left", ncols=3)


def plot_reconstructions(axes: Any, setting: Setting, bits: int) -> None:
    """Images, and their reconstructions under each objective at one rate."""
    y = test_images(setting, IMAGES)
    rows, names = [y[:12]], ["y"]
    for kind in KINDS:
        shown, rate = reconstruct(setting, train_coder(setting, kind, bits), y)
        rows.append(shown[:12])
        names.append(f"{kind}\n{rate:.0f} bits, {100 * sharpness(shown) / sharpness(y):.0f} %")
    show_rows(axes, rows, names)
    axes.set_title("rate on test images, sharpness relative to the images", fontsize=9, color=GREY)


def plot_sharpness(axes: Any, setting: Setting) -> None:
    """Sharpness against the measured rate, a line for each objective."""
    y = test_images(setting, IMAGES)
    for kind, marker, colour in zip(KINDS, "os^D", (BLUE, COLOURS[5], COLOURS[3], VERMILION)):
        every = [reconstruct(setting, train_coder(setting, kind, bits), y) for bits in BITS]
        rates, sharp = [rate for _, rate in every], [sharpness(shown) / sharpness(y) for shown, _ in every]
        axes.plot(rates, sharp, marker=marker, color=colour, lw=1.4, ms=5, label=kind)
    axes.axhline(1, color=GREY, lw=0.8)
    axes.annotate("the images", (BITS[0], 1), (0, -11), textcoords="offset points", fontsize=8, color=GREY)
    axes.set(xscale="log", xlabel="rate on test images (bits)", ylabel="sharpness relative to the images")
    axes.set_xticks(BITS, BITS)
    axes.minorticks_off()
    axes.legend(fontsize=8, frameon=False, loc="lower right")


def plot_bars(axes: Any, kinds: tuple[str, ...], sharp: Any) -> None:
    """Sharpness at each rate, side by side."""
    for n, (kind, values) in enumerate(zip(kinds, sharp)):
        place = np.arange(len(values)) + 0.36 * (n - 0.5)
        drawn = axes.bar(place, values, 0.34, color=(BLUE, VERMILION)[n], label=kind)
        axes.bar_label(drawn, fmt="%.3f", fontsize=8)
    axes.axhline(1, color=GREY, lw=0.8)
    axes.set(ylabel="sharpness relative to the images", ylim=(0, 1.25))
    axes.set_xticks(range(len(values)), [f"{bits} bits" for bits in BITS[: len(values)]])
    axes.legend(fontsize=8, frameon=False, ncols=2)
