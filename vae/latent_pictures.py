"""Pictures of the latents and of ln Q(y), in the style of `vae.pictures`: each function draws one figure to a file, and
returns the path. Raises ValueError for wrong shapes and values, and for unwritable paths."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from vae.drawing import BLUE, GREY, INK, VERMILION, default_style, make_axes, save, style, to_host, write_beside

SHADES = LinearSegmentedColormap.from_list("shades", ["#ffffff", BLUE, "#00304d"])
MOST_NUMBERS = 40  # latents whose numbers are written into the cells of a matrix, or below bars


@default_style()
def annealing_bounds(path: str | Path, temperatures: Any, lower: Any, upper: Any, title: str) -> Path:
    """Bounds on −ln Q(y) against the number T of temperatures, averaged over the same images.

    temperatures: (k,). lower, upper: bounds on ln Q(y) of each image, (k, N), N ≥ 2, in nats; upper may be None.
    Bars are standard errors of the difference, image by image, from the middle of the bounds of the last T: images
    differ by far more than bounds.
    """
    x = _to_numbers(temperatures, 1, "temperatures")
    bounds = [-_to_numbers(bound, 2, "bounds") for bound in (lower, upper) if bound is not None]  # on −ln Q(y)
    count = bounds[0].shape[1]
    if not x.size or not (x > 0).all() or count < 2 or any(y.shape != (x.size, count) for y in bounds):
        raise ValueError(f"bounds need T > 0 (k,) and (k, N), k ≥ 1, N ≥ 2, got {x.shape}, {[y.shape for y in bounds]}")
    middle = np.mean([y[-1] for y in bounds], axis=0)
    note = f"means over {count} images; bars: standard errors of differences from the last bounds, image by image"
    (axes,) = make_axes(4.4, 2.9, title, note, left=0.85, bottom=0.5, right=1.9)
    span = (x.min() / 1.3, 1.3 * x.max())  # Matplotlib's own limits around a single T may be equal after rounding
    style(axes, xlabel="temperatures T", ylabel="bounds on −ln Q(y) (nats per image)", xscale="log", xlim=span)
    labels = []
    looks = ("upper bound (forward)", BLUE, "o"), ("lower bound (backward)", VERMILION, "s")
    for y, (name, colour, marker) in zip(bounds, looks):
        mean, error = y.mean(axis=1), (y - middle).std(axis=1, ddof=1) / np.sqrt(count)
        axes.errorbar(x, mean, error, color=colour, marker=marker, ms=4, lw=1.6, elinewidth=0.9, capsize=2)
        labels.append((mean[-1], f"{name}\n{mean[-1]:,.2f}", colour))
    axes.set_xticks(x, [f"{t:g}" for t in x])
    write_beside(axes, labels)
    return save(axes, path)


@default_style()
def latent_rates(path: str | Path, rates: Any, active: Any, title: str) -> Path:
    """KL(P(z_u|y), Q(z_u)) of each latent as bars, sorted; rates (latent,) in nats, active (latent,) bool."""
    rates, active = _to_numbers(rates, 1, "rates"), np.asarray(to_host(active))
    if active.shape != rates.shape or active.dtype != bool:
        raise ValueError(f"rates {rates.shape} need one bool per latent, got {active.dtype}{active.shape}")
    order = np.argsort(-rates, kind="stable")
    note = f"{rates.sum():,.2f} nats in all; active: the posterior mean varies between images"
    (axes,) = make_axes(max(3.4, min(7.0, 0.26 * len(rates))), 2.5, title, note, left=0.7, bottom=0.5)
    style(axes, xlabel="latent u, the largest first", ylabel="mean KL (nats)", xlim=(-0.7, len(rates) - 0.3))
    axes.grid(visible=False, axis="x")
    colours, rest = [BLUE if used else "#c8c8c8" for used in active[order]], [((~active).sum(), "not active", GREY)]
    axes.bar(np.arange(len(rates)), rates[order], color=colours, width=0.75)
    axes.set_xticks(np.arange(len(rates)) if len(rates) <= MOST_NUMBERS else [])
    if len(rates) <= MOST_NUMBERS:
        axes.set_xticklabels([str(u + 1) for u in order])
    kinds = [(f"{n} {name}", colour) for n, name, colour in ((active.sum(), "active", BLUE), *rest) if n]
    for i, (text, colour) in enumerate(kinds):
        axes.text(0.99, 0.97 - 0.08 * i, text, color=colour, size=9, ha="right", va="top", transform=axes.transAxes)
    return save(axes, path)


@default_style()
def information_matrix(
    path: str | Path,
    information: Any,
    entropy: Any,
    names: Sequence[str],
    title: str,
    gap: Any = None,
    chance: Any = None,
) -> Path:
    """I(μᵤ; v)/H(v) of latents and factors as shades; information (latent, factors) and entropy H (factors,) in nats.

    Rows are latents, from the most to the least informative. With MIG(v), gap (factors,), a line below says it.
    With the information that is found where there is none, chance (factors,), a line above says how much that is.
    """
    information, entropy = _to_numbers(information, 2, "information"), _to_numbers(entropy, 1, "entropies")
    latents, factors = information.shape
    if entropy.shape != (factors,) or len(names) != factors or (entropy < 0).any():
        raise ValueError(
            f"information {information.shape} needs {factors} entropies ≥ 0 and names, got {entropy.shape}"
        )
    share = information / np.where(entropy > 0, entropy, 1)
    order = np.argsort(-share.max(axis=1), kind="stable")
    note = "I(μᵤ; v)/H(v): the share of factor v that latent u tells, in %"
    if chance is not None:
        chance = _to_numbers(chance, 1, "chances")
        if chance.shape != (factors,):
            raise ValueError(f"information {information.shape} needs {factors} chances, got {len(chance)} chances")
        least = 100 * chance / np.where(entropy > 0, entropy, 1)
        note += f", by chance {least.min():.0f} to {least.max():.0f}"
    numbers = latents <= MOST_NUMBERS
    width, height = max(2.5, 0.62 * factors), max(0.8, 0.2 * latents) if numbers else 8.0
    (axes,) = make_axes(width, height, title, note, left=0.65, bottom=0.62 if gap is None else 0.75)
    axes.imshow(share[order], cmap=SHADES, vmin=0, vmax=1, aspect="auto", interpolation="none")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8.5, color=GREY)
    axes.set_ylabel("latent u", color=INK)
    axes.set_yticks(np.arange(latents) if numbers else [], [str(u + 1) for u in order] if numbers else [])
    below = list(names)
    if gap is not None:
        gap = _to_numbers(gap, 1, "gaps")
        if gap.shape != (factors,):
            raise ValueError(f"information {information.shape} needs {factors} gaps, got {gap.shape}")
        below = [f"{name}\n{value:.3f}" for name, value in zip(names, gap)]
        axes.set_xlabel(f"factor v, and its gap MIG(v) (mean {gap.mean():.3f})")
    else:
        axes.set_xlabel("factor v")
    axes.set_xticks(np.arange(factors), below)
    for (row, column), value in np.ndenumerate(share[order] if numbers else np.empty((0, 0))):
        colour = "white" if value > 0.4 else INK
        axes.text(column, row, f"{100 * value:.0f}", size=7.5, ha="center", va="center", color=colour)
    return save(axes, path)


def _to_numbers(values: Any, dimensions: int, what: str) -> np.ndarray:
    numbers = np.asarray(to_host(values), float)
    if numbers.ndim != dimensions or not numbers.size or not np.isfinite(numbers).all():
        raise ValueError(f"a picture needs finite {what} of {dimensions} dimensions, got shape {numbers.shape}")
    return numbers
