"""Pictures of a VAE: each function draws one figure to a file, in the format of its suffix (.png, .jpg, .pdf, …), and
returns the path.

The folder must exist; the file is replaced atomically when the
drawing is done. Arrays may be on any device. Raises ValueError for wrong shapes and values, and for unwritable paths.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from vae.drawing import (
    BLUE,
    COLOURS,
    DPI,
    GREY,
    INK,
    MARKERS,
    VERMILION,
    default_style,
    make_axes,
    save,
    style,
    to_host,
    write_beside,
)
from vae.numbers import to_int

PAD = 2  # image pixels between two images


def grid(images: Any, columns: int, pad: int = 0) -> np.ndarray:
    """Images (n, H, W, C) row by row in one array (rows·(H+pad) − pad, columns·(W+pad) − pad, C); gaps are 1 (white).

    >>> grid(np.zeros((3, 1, 2, 1)), columns=2, pad=1)[..., 0]
    array([[0., 0., 1., 0., 0.],
           [1., 1., 1., 1., 1.],
           [0., 0., 1., 1., 1.]])
    """
    images, columns, pad = to_host(images), to_int(columns, "grid: columns", 1), to_int(pad, "grid: pad")
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(f"grid takes (n, H, W, C), got {images.shape}")
    n, height, width, channels = images.shape
    rows, height, width = -(-n // columns), height + pad, width + pad
    cells = np.ones((rows * columns, height, width, channels), images.dtype)
    cells[:n, : height - pad, : width - pad] = images
    sheet = cells.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return sheet.reshape(rows * height, columns * width, channels)[: rows * height - pad, : columns * width - pad]


@default_style()
def reconstructions(path: str | Path, images: Any, reconstructed: Any, title: str) -> Path:
    """Rows of up to ten images, each above a row of their reconstructions; both (n, H, W, C) in [0, 1], C = 1 or 3."""
    images, reconstructed = _to_images(images), _to_images(reconstructed)
    if images.shape != reconstructed.shape:
        raise ValueError(f"images and reconstructions differ in shape: {images.shape} and {reconstructed.shape}")
    n, height = images.shape[:2]
    columns, pad = -(-n // -(-n // 10)), PAD
    strips = [grid(x[i : i + columns], columns, pad) for i in range(0, n, columns) for x in (images, reconstructed)]
    pairs = [grid(np.stack(strips[i : i + 2]), 1, pad) for i in range(0, len(strips), 2)]
    axes = _draw_image(grid(np.stack(pairs), 1, 4 * pad), max(images.shape[1:3]), title, left=1.15)
    for i in range(len(strips)):
        middle = i // 2 * (2 * height + 5 * pad) + i % 2 * (height + pad) + height / 2
        label = ("input\ny", "reconstruction\nŷ(z)")[i % 2]
        axes.annotate(label, (0, middle), (-6, 0), textcoords="offset points", size=9, ha="right", va="center")
    return save(axes, path)


@default_style()
def samples(path: str | Path, images: Any, title: str) -> Path:
    """A square of decoder means (n, H, W, C) in [0, 1], C = 1 or 3, of z drawn from the prior (slides 20 and 21)."""
    images = _to_images(images)
    sheet = grid(images, math.isqrt(len(images) - 1) + 1, PAD)
    note = "decoder means ŷ(z) of z ~ N(0, I); no encoder involved"
    return save(_draw_image(sheet, max(images.shape[1:3]), title, note), path)


@default_style()
def latent_plane(path: str | Path, decode: Callable, side: int = 20, title: str = "The latent plane") -> Path:
    """Decoder means on a square of Gaussian quantiles (i + ½)/side of z₁ and z₂ (Kingma and Welling 2013, figure 4).

    `decode` maps float32 z (side², 2), row by row from the top left (z₂ largest), to images (side², H, W, C) in [0, 1].
    """
    side = to_int(side, "the side of the latent plane", 1)
    quantiles = np.array([NormalDist().inv_cdf((i + 0.5) / side) for i in range(side)], np.float32)
    images = _to_images(decode(np.stack(np.meshgrid(quantiles, quantiles[::-1]), -1).reshape(-1, 2)))
    if len(images) != side * side:
        raise ValueError(f"decode returned {len(images)} images for {side * side} latents")
    sheet = grid(images, side)
    note = "decoder means ŷ(z); axes in steps of equal probability under z ~ N(0, I)"
    axes = _draw_image(sheet, max(sheet.shape) / 10, title, note, left=0.75, bottom=0.5)
    ticks = [z for z in (-2, -1, -0.5, 0, 0.5, 1, 2) if abs(z) <= quantiles[-1] + 0.1]
    at, labels = np.array([NormalDist().cdf(z) for z in ticks]), [f"{z:g}".replace("-", "−") for z in ticks]
    axes.set_xticks(at * sheet.shape[1] - 0.5, labels)
    axes.set_yticks((1 - at) * sheet.shape[0] - 0.5, labels)
    axes.set(xlabel="z₁", ylabel="z₂")
    return save(axes, path)


@default_style()
def plane_encoding(path: str | Path, means: Any, labels: Any, title: str) -> Path:
    """Posterior means μ(y), (n, 2), of images, coloured by their integer labels (n,), if given."""
    means, labels = to_host(means), None if labels is None else to_host(labels)
    if means.ndim != 2 or means.shape[1] != 2 or not len(means) or not np.isfinite(means).all():
        raise ValueError(f"the plane needs finite means (n, 2), n ≥ 1, got shape {means.shape}")
    if labels is not None and (labels.shape != means.shape[:1] or labels.dtype.kind not in "iu"):
        raise ValueError(f"means {means.shape} need integer labels ({len(means)},), got {labels.dtype}{labels.shape}")
    note = "posterior means μ(y); the dashed circle holds 95 % of the prior N(0, I)"
    (axes,) = make_axes(4.7, 4.7, title, note, left=0.6, bottom=0.5, right=0.15 if labels is None else 0.7)
    radius, turn = math.sqrt(-2 * math.log(0.05)), np.linspace(0, 2 * math.pi, 200)  # P(‖z‖ > r) = e^(−r²/2)
    low, high = np.minimum(means.min(0), -radius), np.maximum(means.max(0), radius)
    (x, y), reach = (low + high) / 2, 0.53 * (high - low).max()
    style(axes, xlabel="μ₁", ylabel="μ₂", xlim=(x - reach, x + reach), ylim=(y - reach, y + reach), aspect="equal")
    axes.plot(radius * np.cos(turn), radius * np.sin(turn), "--", color=INK, lw=0.8)
    marks, kinds = {}, np.zeros(len(means), int) if labels is None else labels
    for i, kind in enumerate(np.unique(kinds)):
        marks[str(kind)] = colour, marker = COLOURS[i % len(COLOURS)], "." if labels is None else f"${kind}$"
        axes.plot(*means[kinds == kind].T, ls="", marker=marker, color=colour, ms=4.7, mew=0.4, alpha=0.75)
    if labels is not None and len(marks) <= 24:  # a longer legend would not fit
        _add_legend(axes, marks, "label")
    return save(axes, path)


@default_style()
def curves(path: str | Path, records: Sequence[dict], title: str) -> Path:
    """−ELBO in nats per image against the epoch.

    Records have epoch, train_elbo (or train_bound, of an importance-weighted objective), test_elbo, perhaps the
    validation part's valid_elbo or valid_bound, and the epoch's seconds.
    """
    first = records[0] if records else {}
    score = "bound" if "train_bound" in first else "elbo"
    parts = {"train": f"train_{score}", "test": "test_elbo", "valid": f"valid_{score}"}
    keys = ["epoch", "seconds", *(key for part, key in parts.items() if part != "valid" or key in first)]
    values = np.array([[record.get(key) for record in records] for key in keys], float)
    if not (values.size and np.isfinite(values).all()):
        raise ValueError(f"learning curves need at least one record, each with finite {', '.join(keys)}")
    epoch, seconds, *bounds = values
    note = f"{len(records)} epochs in {seconds.sum():,.0f} s" if len(records) > 1 else f"1 epoch in {seconds[0]:.1f} s"
    early = len(records) // 20  # epochs that would hide what happens later
    if early:
        note += f"; the first {early} may lie above"
    (axes,) = make_axes(4.8, 2.7, title, note, left=0.85, bottom=0.5, right=1.5 if score == "bound" else 1.05)
    style(axes, xlabel="epoch", ylabel="−ELBO (nats per image)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    labels = []
    for part, bound, colour in zip(parts, bounds, (BLUE, VERMILION, GREY), strict=False):
        axes.plot(epoch, -bound, color=colour, lw=1.8, marker="o", ms=3 if len(records) <= 40 else 0)
        name = part if parts[part].endswith("elbo") else f"{part}, weighted"
        labels.append((-bound[-1], f"{name} {-bound[-1]:,.1f}".replace("-", "−"), colour))
    if early:
        late = -np.stack(bounds)[:, early:]
        axes.set_ylim(late.min() - 0.05 * np.ptp(late), late.max() + 0.05 * np.ptp(late))
    write_beside(axes, labels, gap=0.09)
    return save(axes, path)


@default_style()
def bounds(path: str | Path, samples: Any, values: Any, errors: Any, title: str) -> Path:
    """−L_k in nats per image against the number of samples k: all (n,), with the standard errors over images."""
    k, loss, error = arrays = [np.asarray(to_host(a), float) for a in (samples, values, errors)]
    if k.ndim != 1 or not k.size or any(a.shape != k.shape or not np.isfinite(a).all() for a in arrays):
        raise ValueError(f"bounds need three finite arrays of one shape (n,), n ≥ 1, got {[a.shape for a in arrays]}")
    if not (k.min() >= 1 and (np.diff(k) > 0).all() and error.min() >= 0):
        raise ValueError(
            f"the numbers of samples must rise from at least 1, and errors be at least 0, got {k}, {error}"
        )
    note = "lower is better; bars are standard errors over images"
    (axes,) = make_axes(4.8, 2.7, title, note, left=0.85, bottom=0.5, right=0.5)
    style(axes, xlabel="samples k", ylabel="−L_k (nats per image)", xscale="log", xlim=(k[0] / 1.6, 1.6 * k[-1]))
    axes.set_xticks(k, [f"{x:,.0f}" for x in k])
    axes.errorbar(k, loss, error, color=BLUE, ecolor=GREY, lw=1.8, elinewidth=1, capsize=3, marker="o", ms=4)
    for x, y in zip(k, loss, strict=True):
        text = f"{y:,.2f}".replace("-", "−")
        axes.annotate(text, (x, y), (5, 4), textcoords="offset points", color=BLUE, size=8.5)
    return save(axes, path)


@default_style()
def agreement(
    path: str | Path, reverse: Any, difference: Any, names: Any, tolerance: float, title: str, *, relative: Any
) -> Path:
    """Reverse mode against five-point differences: all arrays (n,), one entry per coordinate, derivatives in nats.

    names: the parameter tensor; the part before the last dot sets the colour, the part after it the marker.
    relative: |reverse − difference| over the largest gradient entry of the tensor. Zeros are drawn at the axis floor.
    """
    y, x, relative = arrays = [np.asarray(to_host(a), float) for a in (reverse, difference, relative)]
    names = np.array(names, str)
    if names.ndim != 1 or not names.size or any(a.shape != names.shape for a in arrays):
        raise ValueError(f"all four arrays need one shape (n,), n ≥ 1, got {[a.shape for a in (*arrays, names)]}")
    if not (np.isfinite(arrays).all() and relative.min() >= 0 and 0 < tolerance < math.inf):
        raise ValueError("derivatives and relative errors must be finite, errors ≥ 0 and the tolerance positive")
    zeros, over = [(a == 0).sum() for a in arrays], (relative > tolerance).sum()
    note = (
        f"{len(x):,} coordinates, {over:,} above the tolerance; largest relative error {relative.max():.1e}; zeros, at "
        f"the axis floor: {zeros[0]:,} in reverse mode, {zeros[1]:,} in differences, {zeros[2]:,} in errors"
    )
    margins = dict(left=0.8, bottom=0.5, right=0.4 + 0.068 * max(20, *map(len, names)))
    above, below = make_axes(4.7, 5.1, title, note, parts=((1.8, 3.3), (0, 1.6)), **margins)
    opposite = np.sign(x) * np.sign(y) < 0
    (x, y), span = _fit_log_axis(abs(x), abs(y))
    (relative, _), limits = _fit_log_axis(relative, np.array([tolerance]))
    look = dict(xscale="log", yscale="log", xlim=span)
    style(above, ylabel="|reverse mode| (nats)", ylim=span, **look)
    style(below, xlabel="|five-point difference| (nats)", ylabel="relative error", ylim=limits, **look)
    above.tick_params(labelbottom=False)
    above.plot(span, span, color=GREY, lw=0.8, zorder=1)
    below.axhline(tolerance, color=VERMILION, lw=1, ls="--", zorder=1)
    below.text(1.3 * span[1], tolerance, f"tolerance {tolerance:.0e}", color=VERMILION, size=8, va="center")
    marks, layers, leaves = {}, {}, {}
    for name in dict.fromkeys(names.tolist()):
        layer, _, leaf = name.rpartition(".")
        colour = layers.setdefault(layer or leaf, COLOURS[len(layers) % len(COLOURS)])
        marks[name] = colour, leaves.setdefault(leaf, MARKERS[len(leaves) % len(MARKERS)])
    for name in sorted(marks, key=lambda name: -(names == name).sum()):  # small tensors on top
        here, (colour, marker) = names == name, marks[name]
        for axes, values in ((above, y), (below, relative)):
            axes.plot(x[here], values[here], marker, color=colour, ms=3.5, mec="white", mew=0.2, alpha=0.85)
    if opposite.any():
        above.plot(x[opposite], y[opposite], "x", color=VERMILION, ms=7, mew=1.2)
        marks[f"opposite signs ({opposite.sum():,})"] = (VERMILION, "x")
    _add_legend(above, marks, "tensor")
    return save(above, path)


def _to_images(values: Any) -> np.ndarray:
    images = np.asarray(to_host(values), np.float32)
    if images.ndim != 4 or 0 in images.shape or images.shape[3] not in (1, 3):
        raise ValueError(f"a picture takes non-empty images (n, H, W, C) with C = 1 or 3, got shape {images.shape}")
    if not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(f"pixels must lie in [0, 1], got {images.min():g} to {images.max():g}")
    return images


def _fit_log_axis(*values: np.ndarray) -> tuple[list[np.ndarray], tuple[float, float]]:
    """Values ≥ 0 with zeros raised to a floor one decade below the others, and the limits of a logarithmic axis."""
    every = np.concatenate(values)
    floor = max(every[every > 0].min(initial=1.0) / 10, 1e-100)
    return [np.maximum(x, floor) for x in values], (floor / 2, max(3 * every.max(), 1e4 * floor))


def _draw_image(picture: np.ndarray, cell: float, title: str, note: str = "", **margins: float) -> Axes:
    """Axes that show only a picture (H, W, C). Each of its pixels becomes k × k pixels of the file, with k such that
    `cell` pixels fill about half an inch, or smaller to save memory for large pictures."""
    inches = max(1, round(min(112 / cell, 2000 / max(picture.shape)))) / DPI
    (axes,) = make_axes(picture.shape[1] * inches, picture.shape[0] * inches, title, note, **margins)
    axes.imshow(np.broadcast_to(picture, (*picture.shape[:2], 3)), aspect="auto", interpolation="none", origin="upper")
    axes.set(frame_on=False, xticks=[], yticks=[])
    return axes


def _add_legend(axes: Axes, marks: dict[str, tuple[str, str]], title: str) -> None:
    handles = [Line2D([], [], ls="", marker=marker, color=colour, ms=5) for colour, marker in marks.values()]
    look = dict(fontsize=8, title_fontsize=8.5, frameon=False, handletextpad=0.1, alignment="left", borderaxespad=0)
    axes.legend(handles, list(marks), title=title, loc="upper left", bbox_to_anchor=(1.03, 1), **look)
