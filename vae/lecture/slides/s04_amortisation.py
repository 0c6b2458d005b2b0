"""Slides 4 and 5: generation replaces search. An encoder computes at once almost the z that a search would find.

The best P(z|y) = N(μ, diag s²) for one image can be found by search: start anywhere and climb its ELBO in μ and ln s.
An encoder instead computes μ and ln s from y in one pass, with one set of weights for all images:

    ELBO(y; encoder) ≤ max_{μ, s} ELBO(y; μ, s) ≤ ln Q(y)

The gap of the first inequality is the amortisation gap. For probabilistic PCA it is 0: the best μ is a linear function
of y, and the best s is the same for all y. For a trained autoencoder it is some nats, measured here on test images.

Encoder and search are compared on the same noise, which the search has not used.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from vae.autoencoder import Autoencoder
from vae.drawing import BLUE, GREY, VERMILION
from vae.lecture.claims import Setting, Sides, Slider, at_most, claim, equal
from vae.lecture.models.bound import elbo
from vae.lecture.models.exact import PPCA, log_normal, random_ppca
from vae.lecture.models.trained import show_rows, test_images, train
from vae.objectives import kl_to_prior
from vae.optimisers import adam

LATENT, HIDDEN, EPOCHS = 8, 128, 20
IMAGES, DRAWS, FRESH = 32, 16, 256  # test images, draws of ε per step, draws for the comparison
STEPS, RATE = 200, 0.05
HEAD_START = 20  # steps of search


# Probabilistic PCA, whose best encoder is known


def exact_bound(model: PPCA, y: np.ndarray, mean: Any, log_std: Any) -> Any:
    """The exact ELBO of each image under N(μ, diag s²), μ and ln s (N, d): a mean over 2d points ε = ±√d e_i.

    The points have the mean and covariance of N(0, I), which suffices because ln Q(z, y) is quadratic in z.
    """
    d = mean.shape[1]
    points = np.sqrt(d) * np.concatenate([np.eye(d), -np.eye(d)])  # (2d, d)
    z = mean[:, None] + mg.exp(log_std)[:, None] * points
    log_p = log_normal(points) - mg.sum(log_std, axis=1)[:, None]
    return elbo(model.log_joint(y, z), log_p, np.full(2 * d, 1 / (2 * d)))


def climb(model: PPCA, y: np.ndarray, steps: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Gradient ascent on the exact bound from μ = 0, s = 1: μ and ln s of each image, (N, d) each, at every step."""
    step = 0.5 / np.trace(model.precision * np.exp(-2 * model.log_sigma))  # below one over the largest curvature
    slope = mg.jit(mg.grad(lambda place: mg.sum(exact_bound(model, y, *place))))
    path = [np.zeros((2, len(y), model.weights.shape[1]))]
    for _ in range(steps):
        path.append(path[-1] + step * slope(path[-1]))
    return path


@claim(
    5,
    "Where the best encoder is linear, it computes at once what a search finds for each image.",
    "max_{μ, s} ELBO(y; μ, s) = ELBO(y; M^{−1}W^{T}(y − m), s_i^2 = σ^2/M_{ii}),    M = W^{T}W + σ^2 I",
)
def an_encoder_gives_what_search_finds(setting: Setting) -> Sides:
    model = random_ppca(setting, latent=2, size=8, sigma=1.0)
    y = model.mean + 4 * setting.normal("images", 12, 8)
    encoder = model.best_encoder()
    encoded = (y - model.mean) @ encoder.weights.T, np.tile(encoder.log_std, (12, 1))
    path = climb(model, y, steps=1500)
    left, right = exact_bound(model, y, *path[-1]), exact_bound(model, y, *encoded)
    return equal(left, right, draw=lambda axes: plot_paths(axes, path, encoded))


# Images


class Search(NamedTuple):
    """A search for μ and ln s of some images, the encoder's μ and ln s, and the time of both."""

    y: np.ndarray  # (N, H, W, C)
    encoded: tuple[np.ndarray, np.ndarray]  # μ and ln s, (N, d) each
    path: list[tuple[np.ndarray, np.ndarray]]  # μ and ln s before the first step and after each
    seconds: tuple[float, float]  # of the encoder, of the search


def bounds(model: Autoencoder, y: np.ndarray, place: tuple[Any, Any], noise: np.ndarray) -> Any:
    """The ELBO in nats, (S, N), of each image under N(μ, diag s²), μ and ln s (N, d), for each noise (S, N, d)."""
    mean, log_std = place[0], place[1]
    z = mg.reshape(mean + mg.exp(log_std) * noise, (-1, mean.shape[1]))
    pixels = mg.reshape(model.decode(z), (len(noise), *y.shape))
    log_prob = mg.sum(model.likelihood.log_prob(y, pixels), axis=(2, 3, 4))
    return log_prob - mg.sum(kl_to_prior(mean, log_std), axis=1)


def run_search(setting: Setting, start: str) -> tuple[Autoencoder, Search]:
    """Train an autoencoder, and search by Adam for μ and ln s of test images, from `start`: "prior" or "encoder".

    The search has a loop of its own because it keeps μ and ln s of every step, for the mean and for the pictures;
    the captured step of `vae.steps.make_step` would overwrite them.
    """
    model = train(setting, EPOCHS, latent=LATENT, hidden=HIDDEN)
    y, began = test_images(setting, IMAGES), time.perf_counter()
    encoded = model.encode(y)
    took = time.perf_counter() - began
    place = np.zeros((2, len(y), LATENT)) if start == "prior" else np.stack(encoded)
    noise = setting.normal("search", STEPS, DRAWS, len(y), LATENT)  # new in each step, so no overfitting to it
    optimiser = adam(RATE)
    state, path, began = optimiser.init(place), [place], time.perf_counter()
    for eps in noise:
        gradient = mg.grad(lambda place, eps=eps: -mg.sum(bounds(model, y, place, eps)) / DRAWS)(place)
        place, state = optimiser.update(place, gradient, state)
        path.append(place)
    path[-1] = np.mean(path[STEPS // 2 :], axis=0)  # single steps of Adam stay noisy; their mean does not
    return model, Search(y, encoded, path, (took, time.perf_counter() - began))


def evaluate_bounds(setting: Setting, model: Autoencoder, found: Search, *places: Any) -> list[np.ndarray]:
    """The ELBO of each image at each of `places`, (S, N) each, on the same noise, which no search has used."""
    noise = setting.normal("judge", FRESH, len(found.y), LATENT)
    return [bounds(model, found.y, place, noise) for place in places]


@claim(
    5,
    "On images the encoder's ELBO is below the one that a search finds: the amortisation gap.",
    "mean ELBO(y; encoder) ≤ mean max_{μ, s} ELBO(y; μ, s),    by more than 4 standard errors of the draws",
    images=True,
)
def search_closes_the_amortisation_gap(setting: Setting) -> Sides:
    model, found = run_search(setting, "encoder")
    encoder, search = evaluate_bounds(setting, model, found, found.encoded, found.path[-1])
    gap = search - encoder
    error = gap.mean(1).std(ddof=1) / np.sqrt(FRESH)
    return at_most(encoder.mean() + 4 * error, search.mean(), draw=lambda axes: plot_gaps(axes, gap))


@claim(
    4,
    f"Generation replaces search: one pass of the encoder beats {HEAD_START} steps of search.",
    "mean ELBO(y; after some steps of search from Q(z)) ≤ mean ELBO(y; encoder)",
    images=True,
)
def generation_replaces_search(setting: Setting) -> Sides:
    model, found = run_search(setting, "prior")
    encoder, search = evaluate_bounds(setting, model, found, found.encoded, found.path[HEAD_START])
    draw = plot_race(setting, model, found)
    slider = Slider(
        "steps of search", (0, 5, 10, 20, 50, 100, 200), lambda axes, n: plot_side_by_side(axes, model, found, n)
    )
    return at_most(search.mean(), encoder.mean(), draw=draw, slider=slider)


# Pictures


def plot_paths(axes: Any, path: list, encoded: tuple) -> None:
    """The path of each search's μ from 0, and the encoder's μ."""
    means = np.array([place[0] for place in path])  # (steps + 1, N, 2)
    for n in range(means.shape[1]):
        axes.plot(*means[:, n].T, ".-", color=BLUE, lw=1, ms=3, label="search, step by step" if n == 0 else None)
    axes.plot(*encoded[0].T, "o", mfc="none", mec=VERMILION, ms=9, mew=1.5, label="encoder, in one pass")
    axes.set(xlabel="μ₁", ylabel="μ₂")
    axes.legend(fontsize=8, frameon=False)


def plot_gaps(axes: Any, draws: np.ndarray) -> None:
    """The amortisation gap of each image, the mean of draws (S, N), with 4 standard errors."""
    gap, error = draws.mean(0), draws.std(0, ddof=1) / np.sqrt(len(draws))
    order = np.argsort(gap)
    axes.errorbar(np.arange(len(gap)), gap[order], 4 * error[order], fmt="o", color=BLUE, ms=4, lw=1)
    axes.axhline(gap.mean(), color=VERMILION, lw=1.2)
    axes.annotate(f"mean {gap.mean():.2f} nats", (0, gap.mean()), (0, 4), textcoords="offset points", color=VERMILION)
    axes.axhline(0, color=GREY, lw=0.8)
    axes.set(xlabel="test images, sorted by gap", ylabel="amortisation gap (nats)")


def plot_race(setting: Setting, model: Autoencoder, found: Search) -> Callable[[Any], None]:
    """The mean bound against the steps of search, and the encoder's."""

    def draw(axes: Any) -> None:
        steps = np.unique(np.rint(np.geomspace(1, STEPS, 14)).astype(int))
        search = [-b.mean() for b in evaluate_bounds(setting, model, found, *(found.path[n] for n in steps))]
        (encoder,) = evaluate_bounds(setting, model, found, found.encoded)
        encode, hunting = (1000 * s / len(found.y) for s in found.seconds)
        axes.plot(steps, search, "o-", color=BLUE, ms=4, label=f"search ({hunting:.0f} ms per image for {STEPS} steps)")
        axes.axhline(-encoder.mean(), color=VERMILION, lw=1.4, label=f"encoder ({encode:.2g} ms per image)")
        axes.set(xscale="log", xlabel="steps of search from μ = 0, s = 1", ylabel="−ELBO (nats per image)")
        axes.legend(fontsize=8, frameon=False)

    return draw


def plot_side_by_side(axes: Any, model: Autoencoder, found: Search, steps: float) -> None:
    """Eight images, their reconstructions after some steps of search, and by the encoder."""
    rows = [found.y[:8], model.mean(found.path[int(steps)][0][:8]), model.mean(found.encoded[0][:8])]
    show_rows(axes, rows, ("y", f"{int(steps)} steps\nof search", "encoder"))
