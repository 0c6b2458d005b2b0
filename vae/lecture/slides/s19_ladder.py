"""Slide 19: soft EM is to hard EM as VAE is to rate–distortion. Six methods on one data set, one objective.

Every method minimises −ELBO = −E_P ln Q(z, y) − H(P), computed by the same `elbo`, for its own Q and P:

    method              Q(z)             decoder ŷ(z)    σ         P(z|y)
    k-means             1/K              a table μ_z     fixed     a point, by search
    quantiser           π, learned       a table         fixed     a point, by search
    hard EM             π, learned       a table         learned   a point, by search
    soft EM             π, learned       a table         learned   the posterior
    VAE                 N(0, 1)          a net           learned   N(m(y), s(y)²), by a net
    rate–distortion     over integers    a net           learned   a point, by a net, rounded

The right side is each method's objective as its own field states it: distances, bits, divergences. ("Quantiser" is
short for entropy-constrained vector quantiser. The methods are also called the rungs of a ladder.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps

from vae.drawing import BLUE, COLOURS, GREY, INK, VERMILION
from vae.lecture.claims import Setting, Sides, Slider, at_most, claim, equal
from vae.lecture.models.autoencoders import (
    PlaneNet,
    code_terms,
    dense,
    encode,
    log_table,
    round_code,
    train_rate_distortion,
    train_vae,
    vae_terms,
)
from vae.lecture.models.bound import elbo
from vae.lecture.models.exact import LN_2PI, Mixture
from vae.lecture.slides.s10_em import EVERYTHING, PALETTE, HalfRound, alternate, e_step, mix_colours, set_plane
from vae.lecture.slides.s19_hard_em import distances, hard_e_step

K, ROUNDS, SIGMA = 8, 15, 0.4
CLIMB = (  # rung, learned parameters, E step
    ("k-means", ("means",), hard_e_step),
    ("quantiser", ("logits", "means"), hard_e_step),
    ("hard EM", EVERYTHING, hard_e_step),
    ("soft EM", EVERYTHING, e_step),
)
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(32)  # a mean over ε ~ N(0, 1), once the weights sum to 1
CODES = np.arange(-64.0, 65.0)


def horseshoe(setting: Setting) -> np.ndarray:
    """Images of two pixels along an arc, (240, 2), denser at one end."""
    angle = np.pi * (0.9 - 1.3 * setting.uniform("way", 240) ** 1.5)
    return 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.15 * setting.normal("off", 240, 2)


def climb(y: np.ndarray) -> list[list[HalfRound]]:
    """EM on the four lower rungs, each started where the one below stopped."""
    mixture, rungs = Mixture(np.zeros(K), y[:K], np.log(SIGMA)), []
    for _, learn, best_p in CLIMB:
        rungs.append(alternate(mixture, y, ROUNDS, learn, best_p))
        mixture = rungs[-1][-1].mixture
    return rungs


class Rung(NamedTuple):
    """A method on the data: the arguments of `elbo`, and what its picture shows."""

    name: str
    terms: tuple  # ln Q(z, y) and ln P(z|y), (N, Z), and weights (Z,) if the z are a sample
    colours: Any  # of the images, by their z
    decoded: np.ndarray  # some ŷ(z), (Z, 2)
    shares: np.ndarray | None = None  # Q(z) of those z, if z is discrete


def train_coder(setting: Setting, y: np.ndarray) -> PlaneNet:
    """The rate–distortion autoencoder of the horseshoe, trained once."""
    return setting.once("rate–distortion", lambda: train_rate_distortion(setting, y))


def mixture_rung(name: str, mixture: Mixture, y: np.ndarray, best_p: Callable) -> Rung:
    """One of the four lower rungs."""
    log_p = best_p(mixture, y)
    shares = np.exp(mixture.logits) / np.exp(mixture.logits).sum()
    return Rung(name, (mixture.log_joint(y), log_p), mix_colours(log_p), mixture.means, shares)


def vae_rung(net: PlaneNet, y: np.ndarray) -> Rung:
    """The VAE, with the mean over its noise by Gauss–Hermite quadrature."""
    terms = vae_terms(net, y, np.broadcast_to(NODES, (len(y), len(NODES))))
    colours = colormaps["cividis"](0.5 + encode(net, y)[0][:, 0] / 4)
    curve = dense(net.decoder, np.linspace(-2.5, 2.5, 200)[:, None])
    return Rung("VAE", (*terms, WEIGHTS / WEIGHTS.sum()), colours, curve)


def code_rung(net: PlaneNet, y: np.ndarray) -> Rung:
    """The rate–distortion autoencoder with rounded codes."""
    z = round_code(net, y)
    used = np.unique(z)
    colours = [COLOURS[int(code) % len(COLOURS)] for code in z[:, 0]]
    means, shares = dense(net.decoder, used[:, None]), np.exp(log_table(net, used))
    return Rung("rate–distortion", (*code_terms(net, y, z), np.ones(1)), colours, means, shares)


def textbook_objectives(y: np.ndarray, mixtures: Sequence[Mixture], vae: PlaneNet, rd: PlaneNet) -> list:
    """The objective of every rung, (N,) each, by the formula of its own field. D = 2."""
    k_means, quantiser, hard, soft = mixtures
    # distances alone, and distances with bits at 2σ² ln 2 each
    constant = np.log(2 * np.pi * SIGMA**2)
    costs = [np.min(distances(y, k_means.means), axis=1) / (2 * SIGMA**2) + np.log(K) + constant]
    price, shares = 2 * SIGMA**2 * np.log(2), np.exp(quantiser.logits)
    bits = -np.log2(shares, where=shares > 0, out=np.full(K, -np.inf))
    costs.append(np.min(distances(y, quantiser.means) + price * bits, axis=1) / (2 * SIGMA**2) + constant)
    # densities: the largest term of Q(y), and all of it
    for mixture, over_z in ((hard, np.max), (soft, np.sum)):
        variance = np.exp(2 * mixture.log_sigmas)
        density = np.exp(-distances(y, mixture.means) / (2 * variance)) / (2 * np.pi * variance)
        costs.append(-np.log(over_z(np.exp(mixture.logits) * density, axis=1)))
    # a divergence, and a length in bits, with the error of the pixels
    mean, log_std = encode(vae, y)
    divergence = 0.5 * (mean**2 + np.exp(2 * log_std) - 1 - 2 * log_std)[:, 0]
    costs.append(divergence + pixel_cost(vae, y, mean + np.exp(log_std) * NODES) @ (WEIGHTS / WEIGHTS.sum()))
    z = round_code(rd, y)
    costs.append(np.log(2) * code_length(rd, z[:, 0]) + pixel_cost(rd, y, z)[:, 0])
    return costs


def pixel_cost(net: PlaneNet, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """‖y − ŷ(z)‖²/2σ² + ln 2πσ² of each image under each of its z, (N, Z)."""
    far = np.sum((y[:, None] - dense(net.decoder, z[:, :, None])) ** 2, axis=2)
    return far / (2 * np.exp(2 * net.log_sigma)) + LN_2PI + 2 * net.log_sigma


def code_length(net: PlaneNet, z: np.ndarray) -> np.ndarray:
    """−log₂ [F(z + ½) − F(z − ½)] of a logistic F, in bits; computed where F is small, to avoid cancellation."""
    below = -np.abs(z - net.prior[0])
    cumulative = [1 / (1 + np.exp(-(below + half) / np.exp(net.prior[1]))) for half in (0.5, -0.5)]
    return -np.log2(cumulative[0] - cumulative[1])


@claim(
    19,
    "Six methods, one function: each minimises −ELBO, with its own P and Q.",
    "k-means:    ‖y − μ_ẑ‖^2/2σ^2 + ln K",
    "quantiser:    (‖y − μ_ẑ‖^2 + λ bits_ẑ)/2σ^2",
    "hard EM:    −ln max_k π_k N(y; μ_k, σ^2)    soft EM:    −ln Σ_k π_k N(y; μ_k, σ^2)",
    "VAE:    E ‖y − ŷ(z)‖^2/2σ^2 + KL(P(z|y), Q(z))    rate–distortion:    ‖y − ŷ(ẑ)‖^2/2σ^2 + |ẑ|",
    "each, plus ln 2πσ^2 where it is missing,  =  −E_P ln Q(z, y) − H(P)",
)
def every_rung_is_one_elbo(setting: Setting) -> Sides:
    y = horseshoe(setting)
    mixtures = [halves[-1].mixture for halves in climb(y)]
    vae, rd = train_vae(setting, y), train_coder(setting, y)
    rungs = [mixture_rung(name, m, y, best_p) for m, (name, _, best_p) in zip(mixtures, CLIMB)]
    rungs += [vae_rung(vae, y), code_rung(rd, y)]
    left = [-elbo(*rung.terms) for rung in rungs]
    slider = Slider("rung", range(1, 7), lambda axes, n: plot_rung(axes, rungs[n - 1], y))
    right = textbook_objectives(y, mixtures, vae, rd)
    return equal(left, right, draw=lambda axes: plot_rungs(axes, rungs, y), slider=slider)


@claim(
    19,
    "From k-means to soft EM, each method starts where the last one stopped, and raises the ELBO.",
    "ELBO(k-means) ≤ ELBO(+ learned π) ≤ ELBO(+ learned σ) ≤ ELBO(+ P free to be the posterior)",
)
def every_rung_climbs(setting: Setting) -> Sides:
    rungs = climb(horseshoe(setting))
    values = np.array([half.elbo for halves in rungs for half in halves])
    return at_most(values[:-1], values[1:], draw=lambda axes: plot_rounds(axes, rungs))


def to_mixture(net: PlaneNet) -> Mixture:
    """The decoder's ŷ(z) as a table of means, one for each code."""
    log_sigma = np.asarray(net.log_sigma)
    return Mixture(log_table(net, CODES), dense(net.decoder, CODES[:, None]), log_sigma)


@claim(
    19,
    "Rate–distortion is hard EM in which one net computes the codebook and another replaces the search.",
    "Q(z), ŷ(z) are the π_k, μ_k of a mixture    ⇒    ln Q(ẑ(y), y) ≤ max_z ln Q(z, y) ≤ ln Q(y)",
)
def an_encoder_replaces_the_search(setting: Setting) -> Sides:
    y = horseshoe(setting)
    net = train_coder(setting, y)
    mixture = to_mixture(net)
    encoded = elbo(*code_terms(net, y, round_code(net, y)), np.ones(1))
    searched, soft = (elbo(mixture.log_joint(y), best_p(mixture, y)) for best_p in (hard_e_step, e_step))
    left, right = np.stack([encoded, searched]), np.stack([searched, soft])
    return at_most(left, right, draw=lambda axes: plot_codes(axes, encoded, searched, soft))


# Pictures


def plot_rung(axes: Any, rung: Rung, y: np.ndarray) -> None:
    """Images coloured by their z, and ŷ(z): a curve, or means whose area is Q(z)."""
    axes.scatter(*y.T, s=8, color=rung.colours, lw=0)
    if rung.shares is None:
        axes.plot(*rung.decoded.T, color=VERMILION, lw=2, alpha=0.8)
    else:
        axes.scatter(*rung.decoded.T, s=400 * rung.shares, color=VERMILION, alpha=0.6, lw=0)
    set_plane(axes, y)
    cost = f"{-np.mean(elbo(*rung.terms)):.2f}".replace("-", "−")
    axes.set_title(f"{rung.name}: {cost} nats", fontsize=9)


def plot_rungs(axes: Any, rungs: Sequence[Rung], y: np.ndarray) -> None:
    """All six methods, side by side."""
    axes.set_axis_off()
    for n, rung in enumerate(rungs):
        small = axes.inset_axes([n % 3 / 3 + 0.01, 0.53 - n // 3 * 0.53, 0.31, 0.41])
        plot_rung(small, rung, y)
        small.set(xlabel="", ylabel="", xticks=[], yticks=[])


def plot_rounds(axes: Any, rungs: Sequence[Sequence[HalfRound]]) -> None:
    """−ELBO over the rounds of the four lower rungs."""
    for n, ((name, _, _), halves) in enumerate(zip(CLIMB, rungs)):
        at = n * ROUNDS + np.arange(len(halves)) / 2
        axes.plot(at, [-half.elbo for half in halves], ".-", color=PALETTE[n], ms=4, lw=1.4)
        axes.text(at[0], -halves[0].elbo + 0.02, name, color=PALETTE[n], fontsize=9)
    axes.set(xlabel="round", ylabel="−ELBO (nats per image)")


def plot_codes(axes: Any, encoded: np.ndarray, searched: np.ndarray, soft: np.ndarray) -> None:
    """ELBO of each image by the encoder's code, by the best code, and by the posterior over codes."""
    order = np.argsort(soft)
    axes.plot(soft[order], color=INK, lw=1.2, label="posterior over codes: ln Q(y)")
    axes.plot(searched[order], color=BLUE, lw=1.2, label="best code, by search")
    axes.plot(encoded[order], ".", color=VERMILION, ms=4, label="the encoder's code")
    other = np.mean(encoded < searched - 1e-9)  # beyond rounding
    axes.set_title(f"the encoder misses the best code of {100 * other:.0f} % of images", fontsize=9, color=GREY)
    axes.set(xlabel="image", ylabel="ELBO (nats)")
    axes.legend(fontsize=8, frameon=False)
