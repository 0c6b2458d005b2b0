"""Slide 10: EM is alternating optimisation of the ELBO.

    ELBO = E_P ln Q_Φ(z, y) + H(P)                (1)
         = ln Q_Φ(y) − KL(P, Q_Φ(z|y))            (2)

    E step   best P for this Φ: by (2) the posterior, where the divergence is 0 and the ELBO is ln Q_Φ(y)
    M step   best Φ for this P: by (1) argmax E_P ln Q_Φ(z, y)

For a mixture with P(k|y_n) = r_nk the M step is π_k = mean r, μ_k = Σ r y/Σ r and σ_k² = Σ r ‖y − μ_k‖²/(D Σ r), sums
over n. Both steps maximise the same number, so EM never lowers it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Circle

import minigrad as mg
from minigrad.core import tree
from vae.drawing import BLUE, COLOURS, GREY, INK, VERMILION
from vae.lecture.claims import Setting, Sides, Slider, at_most, claim, equal
from vae.lecture.models.bound import elbo
from vae.lecture.models.exact import Mixture, gradient, posterior, random_mixture

PALETTE = [COLOURS[i] for i in (0, 5, 3, 1, 6, 4, 2, 7)]  # of the components; neighbours differ clearly
EVERYTHING = ("logits", "means", "log_sigmas")


def e_step(mixture: Mixture, y: np.ndarray) -> np.ndarray:
    """ln P(z|y) of the best P for a mixture, (N, K): its posterior."""
    return posterior(mixture.log_joint(y))


def m_step(mixture: Mixture, y: np.ndarray, log_p: np.ndarray, learn: Sequence[str] = EVERYTHING) -> Mixture:
    """The best mixture for a given P. Parameters not in `learn` are kept, as are means of components without images."""
    r = np.exp(log_p)[:, :, None]  # (N, K, 1)
    held = r.sum(0)[:, 0]
    if "logits" in learn:
        share = held / len(y)
        mixture = replace(mixture, logits=np.log(share, where=share > 0, out=np.full(len(share), -np.inf)))
    if "means" in learn:
        sums = (r * y[:, None]).sum(0)
        means = np.divide(sums, held[:, None], where=held[:, None] > 0, out=np.array(mixture.means))
        mixture = replace(mixture, means=means)
    if "log_sigmas" in learn:
        squares = (r * (y[:, None] - mixture.means) ** 2).sum((0, 2))
        if mixture.log_sigmas.ndim == 0:  # one σ for all
            squares, held = squares.sum(), held.sum()
        mixture = replace(mixture, log_sigmas=0.5 * np.log(squares / (y.shape[1] * held)))
    return mixture


def mean_elbo(mixture: Mixture, y: np.ndarray, log_p: np.ndarray) -> Any:
    """E_y ELBO, in nats per image."""
    return mg.mean(elbo(mixture.log_joint(y), log_p))


class HalfRound(NamedTuple):
    """The state after an E step or an M step: the mixture, ln P, and the ELBO."""

    mixture: Mixture
    log_p: np.ndarray
    elbo: float


def alternate(
    mixture: Mixture, y: np.ndarray, rounds: int, learn: Sequence[str] = EVERYTHING, best_p: Callable = e_step
) -> list[HalfRound]:
    """E and M steps in turn, and the state after each, 2·rounds in all. `best_p` is the E step: it returns ln P."""
    halves = []
    for _ in range(rounds):
        log_p = best_p(mixture, y)
        halves.append(HalfRound(mixture, log_p, float(mean_elbo(mixture, y, log_p))))
        mixture = m_step(mixture, y, log_p, learn)
        halves.append(HalfRound(mixture, log_p, float(mean_elbo(mixture, y, log_p))))
    return halves


def clusters(setting: Setting, count: int = 200) -> np.ndarray:
    """Images of two pixels, (count, 2), from three clusters."""
    truth = random_mixture(setting, components=3, size=2)
    which = np.argmax(setting.uniform("shuffle", count, 3), axis=1)
    noise = np.exp(truth.log_sigmas)[which, None] * setting.normal("noise", count, 2)
    return truth.means[which] + noise


def init_mixture(y: np.ndarray, components: int) -> Mixture:
    """The start of EM: means at the first images, equal weights, every σ the standard deviation of all images."""
    widths = np.full(components, np.log(y.std()))
    return Mixture(np.zeros(components), y[:components], widths)


@claim(10, "The E step closes the gap: after it the ELBO is ln Q(y).", "P = Q_Φ(z|y)  ⇒  ELBO = ln Q_Φ(y)")
def e_step_closes_the_gap(setting: Setting) -> Sides:
    y = clusters(setting)
    mixture, stale, _ = alternate(init_mixture(y, 3), y, rounds=1)[-1]
    before, after = (elbo(mixture.log_joint(y), log_p) for log_p in (stale, e_step(mixture, y)))
    return equal(after, mixture.log_evidence(y), draw=plot_gaps(before, after, mixture.log_evidence(y)))


@claim(
    10,
    "At the closed forms of the M step, the gradient of the ELBO is 0.",
    "π_k = mean r_k,    μ_k = Σ r_k y / Σ r_k,    σ_k^2 = Σ r_k ‖y − μ_k‖^2 / D Σ r_k    ⇒    ∇_Φ ELBO = 0",
)
def gradient_vanishes_after_the_m_step(setting: Setting) -> Sides:
    y = clusters(setting)
    before = init_mixture(y, 3)
    log_p = e_step(before, y)
    at = [gradient(lambda m: mean_elbo(m, y, log_p), m) for m in (before, m_step(before, y, log_p))]
    return equal(at[1], np.zeros(at[1].size), draw=plot_gradients(*at))


@claim(
    10,
    "For the same P, no other parameters have a higher ELBO than those of the M step.",
    "E_P ln Q_{Φ'}(z, y) + H(P) ≤ E_P ln Q_Φ(z, y) + H(P),    Φ from the M step, any Φ'",
)
def m_step_is_the_best(setting: Setting) -> Sides:
    y = clusters(setting)
    log_p = e_step(init_mixture(y, 3), y)
    best = m_step(init_mixture(y, 3), y, log_p)
    steps, lines = np.linspace(-1, 1, 41), [random_direction(setting, best, name) for name in "abcdef"]
    left = [[mean_elbo(tree.map(lambda x, v, t=t: x + t * v, best, v), y, log_p) for t in steps] for v in lines]
    return at_most(left, mean_elbo(best, y, log_p), draw=plot_lines(steps, left))


def random_direction(setting: Setting, mixture: Mixture, name: str) -> Mixture:
    """A random change of every parameter, of length about 1."""
    return tree.map(lambda x: setting.normal(f"{name} {x.shape}", *x.shape) / 4, mixture)


@claim(10, "EM never lowers the ELBO, neither in the E step nor in the M step.", "ELBO_t ≤ ELBO_{t+½} ≤ ELBO_{t+1}")
def em_never_descends(setting: Setting) -> Sides:
    y = clusters(setting)
    halves = alternate(init_mixture(y, 3), y, rounds=30)
    values = np.array([half.elbo for half in halves])
    slider = Slider("round", (1, 2, 3, 5, 8, 15, 30), lambda axes, t: plot_responsibilities(axes, halves[2 * t - 2], y))
    return at_most(values[:-1], values[1:], draw=plot_staircase(halves, y), slider=slider)


# Pictures


def plot_gaps(before: np.ndarray, after: np.ndarray, evidence: np.ndarray) -> Callable:
    """The ELBO of each image before and after the E step, images sorted by evidence."""

    def draw(axes: Any) -> None:
        order = np.argsort(evidence)
        at = np.arange(len(order))
        axes.fill_between(at, before[order], evidence[order], color=GREY, alpha=0.25, lw=0, label="KL(P, Q(z|y))")
        axes.plot(at, before[order], color=GREY, lw=1, label="ELBO with P of the previous round")
        axes.plot(at, evidence[order], color=INK, lw=1, label="ln Q(y)")
        axes.plot(at[::8], after[order][::8], "o", ms=4, color=VERMILION, label="ELBO after the E step")
        axes.set(xlabel="image", ylabel="nats")
        axes.legend(fontsize=8, frameon=False)

    return draw


def plot_gradients(before: np.ndarray, after: np.ndarray) -> Callable:
    """Every derivative of the ELBO before and after the M step."""

    def draw(axes: Any) -> None:
        axes.bar(np.arange(len(before)), before, color=BLUE, alpha=0.6, label="before the M step")
        axes.plot(np.arange(len(after)), after, "o", ms=4, color=VERMILION, label="after")
        parts = {"logits": 3, "μ": 6, "ln σ": 3}
        at = np.cumsum([0, *parts.values()])
        axes.set_xticks((at[1:] + at[:-1] - 1) / 2, list(parts))
        axes.set(ylabel="∂ ELBO / ∂ parameter (nats)")
        axes.legend(fontsize=8, frameon=False)

    return draw


def plot_lines(steps: np.ndarray, values: Sequence) -> Callable:
    """The ELBO along lines through the M step's parameters."""

    def draw(axes: Any) -> None:
        for colour, line in zip(COLOURS, values):
            axes.plot(steps, line, color=colour, lw=1.4)
        axes.axvline(0, color=INK, lw=0.8, ls="--")
        axes.set(xlabel="distance from the M step's parameters, along six random lines", ylabel="ELBO (nats per image)")

    return draw


def plot_staircase(halves: Sequence[HalfRound], y: np.ndarray) -> Callable:
    """The ELBO after each E and M step, and the evidence, which it reaches in the E step."""

    def draw(axes: Any) -> None:
        shown = halves[:16]
        evidence = [np.mean(half.mixture.log_evidence(y)) for half in shown]
        at = np.arange(len(shown)) / 2 + 1
        axes.plot(at, evidence, color=INK, lw=1, ls="--", label="E ln Q(y)")
        axes.plot(at, [half.elbo for half in shown], color=GREY, lw=1)
        axes.plot(at[::2], [half.elbo for half in shown[::2]], "o", color=BLUE, label="ELBO after the E step")
        axes.plot(at[1::2], [half.elbo for half in shown[1::2]], "s", color=VERMILION, label="ELBO after the M step")
        axes.set(xlabel="round", ylabel="nats per image")
        axes.legend(fontsize=8, frameon=False)

    return draw


def plot_responsibilities(axes: Any, half: HalfRound, y: np.ndarray) -> None:
    """Images of two pixels, coloured by P(z|y), and the components as circles of radius σ."""
    axes.scatter(*y.T, s=9, color=mix_colours(half.log_p), lw=0)
    widths = np.broadcast_to(np.exp(half.mixture.log_sigmas), len(half.mixture.means))
    for mean, width, colour in zip(half.mixture.means, widths, PALETTE):
        axes.add_patch(Circle(mean, width, fill=False, color=colour, lw=1.5))
        axes.plot(*mean, "+", color=colour, ms=9, mew=2)
    set_plane(axes, y)
    axes.set_title(f"ELBO {half.elbo:.4f} nats per image".replace("-", "−"), fontsize=9)


def mix_colours(log_p: np.ndarray) -> np.ndarray:
    """The colours of the components, mixed in proportion to P: (N, 3)."""
    return np.clip(np.exp(log_p) @ np.array([to_rgb(colour) for colour in PALETTE[: log_p.shape[1]]]), 0, 1)


def set_plane(axes: Any, y: np.ndarray) -> None:
    """Set axes with equal scales that show every image of two pixels."""
    low, high = y.min(0), y.max(0)
    height = 1.1 * max(high[1] - low[1], (high[0] - low[0]) / 1.8) / 2
    middle = (low + high) / 2
    (left, right), (bottom, top) = ((m - h, m + h) for m, h in zip(middle, (1.8 * height, height)))
    axes.set(xlabel="pixel 1", ylabel="pixel 2", xlim=(left, right), ylim=(bottom, top), aspect="equal")
