"""Slide 16: a stride-2 convolution halves the resolution, and a "deconvolution" doubles it again.

    down   y[i, j, c] = b[c] + Σ w[Δi, Δj, c′, c]·x[2i + Δi, 2j + Δj, c′]
    up     a stride-1 convolution with four times the channels, "divided among four higher resolution pixels":
           channel (2r + r′)·C + c of pixel (i, j) becomes channel c of pixel (2i + r, 2j + r′), r, r′ ∈ {0, 1}

For odd k, the second is the transpose of a stride-2 convolution. A transposed convolution with a kernel v of size 2k
and padding k − 1 adds v[a]·x[i] to pixel 2i + a − (k − 1). Pixel 2i + r thus gets v[r + (k − 1) − 2j]·x[i + j] for
j = −q … q with q = (k − 1)/2: for each phase r a stride-1 convolution of size k, with

    w_r[j] = v[r + (k − 1) − 2j]      in each of the two axes, every tap of v used once

"This is done by a simple reshaping", says the slide. But arrays are stored in the order row, column, channel, and each
phase must come directly after its row or column: a transpose is needed. The reshape alone puts the four pixels of one
position side by side in one row, and only one pixel in W ends up in its place.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import minigrad as mg
from vae.drawing import BLUE, VERMILION
from vae.lecture.claims import Setting, Sides, Slider, claim, equal

SIZES = (1, 3, 5)  # k
HEIGHT, WIDTH, CHANNELS, FEATURES = 4, 5, 2, 3  # of the small image


def naive_conv(x: np.ndarray, w: np.ndarray, b: np.ndarray, top: int) -> np.ndarray:
    """The slide's stride-2 convolution, term by term; x is padded with 0, by `top` pixels above and to the left."""
    k, height, width = len(w), -(-x.shape[1] // 2), -(-x.shape[2] // 2)
    y = np.zeros((len(x), height, width, w.shape[3])) + b
    for i, j, di, dj in np.ndindex(height, width, k, k):
        row, column = 2 * i + di - top, 2 * j + dj - top
        if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
            y[:, i, j] += x[:, row, column] @ w[di, dj]  # (N, C) @ (C, F)
    return y


def transposed_conv(x: np.ndarray, v: np.ndarray, pad: int) -> np.ndarray:
    """The transposed convolution of stride 2 by its definition: every pixel adds a multiple of v (K, K, C, F)."""
    n, height, width, _ = x.shape
    size = len(v)
    whole = np.zeros((n, 2 * height + size, 2 * width + size, v.shape[3]))
    for i, j, a, b in np.ndindex(height, width, size, size):
        whole[:, 2 * i + a, 2 * j + b] += x[:, i, j] @ v[a, b]
    return whole[:, pad : pad + 2 * height, pad : pad + 2 * width]


def phase_kernels(v: np.ndarray) -> np.ndarray:
    """The lecture's kernel (k, k, C, 4F) from v (2k, 2k, C, F): w_r[j] = v[r + (k − 1) − 2j] in both axes."""
    k = len(v) // 2
    j = np.arange(k) - k // 2  # −q … q
    taps = [r + (k - 1) - 2 * j for r in (0, 1)]
    return np.concatenate([v[np.ix_(rows, columns)] for rows in taps for columns in taps], axis=3)


def reshape_row_major(x: np.ndarray) -> np.ndarray:
    """The slide's "simple reshaping", in row-major order: (N, H, W, 4C) to (N, 2H, 2W, C)."""
    n, height, width, channels = x.shape
    return x.reshape(n, 2 * height, 2 * width, channels // 4)


@claim(
    16,
    "A stride-2 convolution computes the slide's sum.",
    "y[i, j, c] = b[c] + Σ w[Δi, Δj, c′, c]·x[2i + Δi, 2j + Δj, c′]",
)
def strided_convolution(setting: Setting) -> Sides:
    x = setting.normal("images", 2, 2 * HEIGHT, 2 * WIDTH, CHANNELS)
    b, left, right = setting.normal("b", FEATURES), [], []
    for k in SIZES:
        w = setting.normal(f"w {k}", k, k, CHANNELS, FEATURES)
        left.append(mg.conv2d(x, w, stride=2) + b)
        right.append(naive_conv(x, w, b, top=max(0, (k - 2) // 2)))  # padding of k − 2 in all, the larger half below
    return equal(np.stack(left), np.stack(right), draw=partial(_plot_strided, setting))


@claim(
    16,
    "The lecture's deconvolution equals a transposed convolution with a kernel of twice its size.",
    "odd k, “same” padding:   w_r[j] = v[r + (k − 1) − 2j]   ⇒   deconv(x, w) = convᵀ(x, v),  stride 2, padding k − 1",
)
def deconvolution_is_transposed(setting: Setting) -> Sides:
    x, left, right = setting.normal("images", 2, HEIGHT, WIDTH, CHANNELS), [], []
    for k in SIZES:
        v = setting.normal(f"v {k}", 2 * k, 2 * k, CHANNELS, FEATURES)
        left.append(mg.deconv2d(x, phase_kernels(v)))
        right.append(transposed_conv(x, v, pad=k - 1))
    slider = Slider("k", SIZES, _plot_taps)
    return equal(np.stack(left), np.stack(right), draw=lambda axes: _plot_taps(axes, 3), slider=slider)


@claim(16, "Down and up are each other's transpose.", "⟨conv(x, v), y⟩ = ⟨x, deconv(y, w)⟩,  v of size 2k as above")
def adjoints(setting: Setting) -> Sides:
    left, right = [], []
    for k in SIZES:
        v = setting.normal(f"v {k}", 2 * k, 2 * k, CHANNELS, FEATURES)
        y = setting.normal("y", 1, HEIGHT, WIDTH, CHANNELS)
        x = setting.normal("x", 1, 2 * HEIGHT, 2 * WIDTH, FEATURES)
        down = mg.conv2d(x, v.transpose(0, 1, 3, 2), stride=2, padding=k - 1)
        left.append(np.sum(down * y))
        right.append(np.sum(x * mg.deconv2d(y, phase_kernels(v))))
    return equal(left, right, draw=partial(_plot_matrices, setting))


@claim(
    16,
    "So reverse mode through a stride-2 convolution is the deconvolution of the cotangent.",
    "y = conv(x, v):   x̄ = convᵀ(ȳ, v) = deconv(ȳ, w)",
)
def pullback(setting: Setting) -> Sides:
    left, right = [], []
    for k in SIZES:
        v = setting.normal(f"v {k}", 2 * k, 2 * k, CHANNELS, FEATURES)
        x = setting.normal("x", 1, 2 * HEIGHT, 2 * WIDTH, FEATURES)
        cotangent = setting.normal("y", 1, HEIGHT, WIDTH, CHANNELS)
        down = partial(mg.conv2d, w=v.transpose(0, 1, 3, 2), stride=2, padding=k - 1)
        left.append(mg.vjp(down, x)[1](cotangent)[0])
        right.append(transposed_conv(cotangent, v, pad=k - 1))
    return equal(np.stack(left), np.stack(right), draw=partial(_plot_pullback, setting))


@claim(
    16,
    "The right permutation puts each pixel in its place.",
    "out[2i + r, 2j + r′, c] = in[i, j, (2r + r′)·C + c]",
)
def right_permutation(setting: Setting) -> Sides:
    x = setting.normal("channels", 2, HEIGHT, WIDTH, 4 * CHANNELS)
    right = np.zeros((2, 2 * HEIGHT, 2 * WIDTH, CHANNELS))
    for i, j, r, s, c in np.ndindex(HEIGHT, WIDTH, 2, 2, CHANNELS):
        right[:, 2 * i + r, 2 * j + s, c] = x[:, i, j, (2 * r + s) * CHANNELS + c]
    return equal(mg.depth_to_space(x), right, draw=partial(_plot_side_by_side, mg.depth_to_space))


@claim(
    16,
    "The simple reshape scrambles the image: only one pixel in W ends up in its place.",
    "4HW pixels, through space-to-depth and the row-major reshape:   4H stay where they were",
)
def simple_reshape(setting: Setting) -> Sides:
    sizes = [(int(h), int(w)) for h, w in 1 + 20 * setting.uniform("sizes", 6, 2)]
    pixels = [np.arange(4.0 * h * w).reshape(1, 2 * h, 2 * w, 1) for h, w in sizes]  # every pixel has its own number
    left = [np.sum(reshape_row_major(mg.space_to_depth(x)) == x) for x in pixels]
    return equal(left, [4 * h for h, w in sizes], roundings=0, draw=partial(_plot_side_by_side, reshape_row_major))


# Pictures


def glyph(side: int = 28) -> np.ndarray:
    """An image of a shaded ring with a tail, (1, side, side, 1) in [0, 1]."""
    y, x = (np.mgrid[0:side, 0:side] + 0.5) / side * 2 - 1
    ring = np.exp(-(((np.hypot(x, 1.1 * y) - 0.6) / 0.13) ** 2))
    tail = np.exp(-(((x - y) / 0.13) ** 2)) * (x > 0.2) * (x < 0.85)
    return np.clip(np.maximum(ring, tail) * (0.75 - 0.25 * y), 0, 1)[None, :, :, None]


def _plot_panels(axes: Any, panels: list[np.ndarray], names: list[str]) -> None:
    """Images side by side, each as high as the axes."""
    for i, (panel, name) in enumerate(zip(panels, names)):
        axes.imshow(panel, extent=(1.1 * i, 1.1 * i + 1, 0, 1), cmap="gray", interpolation="none")
        axes.text(1.1 * i + 0.5, -0.03, name, ha="center", va="top", size=9)
    axes.set(xlim=(0, 1.1 * len(panels) - 0.1), ylim=(-0.15, 1), aspect="equal")
    axes.axis("off")


def _plot_side_by_side(back: Any, axes: Any) -> None:
    y = glyph()
    stacked = mg.space_to_depth(y)
    image = back(stacked)[0, :, :, 0]
    four = np.block([[stacked[0, :, :, 0], stacked[0, :, :, 1]], [stacked[0, :, :, 2], stacked[0, :, :, 3]]])
    name = "depth to space" if back is not reshape_row_major else "simple reshape"
    _plot_panels(axes, [y[0, :, :, 0], four, image], ["image, 28×28", "as 14×14 with 4 channels", name])


def _plot_strided(setting: Setting, axes: Any) -> None:
    y, edge = glyph(), np.array([[-1.0, -1, -1], [0, 0, 0], [1, 1, 1]])[:, :, None, None]
    blur = np.full((3, 3, 1, 1), 1 / 9)
    down = [mg.conv2d(y, w, stride=2)[0, :, :, 0] for w in (blur, edge)]
    _plot_panels(axes, [y[0, :, :, 0], *down], ["x, 28×28", "stride 2, a mean: 14×14", "stride 2, an edge: 14×14"])


def _plot_taps(axes: Any, k: float) -> None:
    """The taps of v, coloured by the stride-1 kernel to which they belong."""
    size, pad = 2 * int(k), int(k) - 1
    colours = (BLUE, VERMILION, "#009e73", "#e69f00")
    for a, b in np.ndindex(size, size):
        r, s = (a - pad) % 2, (b - pad) % 2
        j, l = (r + pad - a) // 2, (s + pad - b) // 2
        look = dict(color=colours[2 * r + s], alpha=0.7, lw=0)
        axes.fill([b - 0.46, b + 0.46, b + 0.46, b - 0.46], [a - 0.46, a - 0.46, a + 0.46, a + 0.46], **look)
        axes.text(b, a, f"{j},{l}".replace("-", "−"), ha="center", va="center", size=min(9, 44 / size))
    for r, s in np.ndindex(2, 2):
        axes.plot([], [], "s", color=colours[2 * r + s], label=f"pixels (2i + {r}, 2j + {s})")
    axes.set(xlim=(-0.6, size - 0.4), ylim=(size - 0.4, -0.6), xlabel=f"column of v, {size} taps", ylabel="row of v")
    axes.set_aspect("equal")
    axes.set_xticks(range(size))
    axes.set_yticks(range(size))
    axes.set_title(
        f"k = {int(k)}: four kernels of {int(k)}×{int(k)} (numbers: their tap j) make one of {size}×{size}", size=9
    )
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.02, 0.5))


def _plot_matrices(setting: Setting, axes: Any) -> None:
    """Convolution and deconvolution as matrices, in one dimension for 8 pixels."""
    v = setting.normal("v picture", 6)
    down = np.zeros((4, 8))
    for i, a in np.ndindex(4, 6):
        if 0 <= 2 * i + a - 2 < 8:
            down[i, 2 * i + a - 2] = v[a]
    most = np.abs(v).max()
    look = dict(cmap="RdBu", vmin=-most, vmax=most, interpolation="none")
    axes.imshow(down, extent=(0, 2, 0.5, 1.5), **look)
    axes.imshow(down.T, extent=(2.5, 3.5, 0, 2), **look)
    for x, y, text in ((1, 0.45, "conv, stride 2: 8 → 4 pixels"), (3, -0.05, "deconv: 4 → 8, its transpose")):
        axes.text(x, y, text, ha="center", va="top", size=9)
    axes.set(xlim=(-0.1, 4.1), ylim=(-0.3, 2.1), aspect="equal")
    axes.axis("off")


def _plot_pullback(setting: Setting, axes: Any) -> None:
    """The pullback of a cotangent that is 1 at one pixel: a copy of v."""
    v = setting.normal("v picture", 6, 6, 1, 1)
    cotangent = np.zeros((1, 5, 5, 1))
    cotangent[0, 2, 2] = 1
    back = mg.vjp(lambda x: mg.conv2d(x, v, stride=2, padding=2), np.zeros((1, 10, 10, 1)))[1](cotangent)[0]
    panels = [cotangent[0, :, :, 0], back[0, :, :, 0], transposed_conv(cotangent, v, 2)[0, :, :, 0]]
    _plot_panels(axes, panels, ["cotangent ȳ, one pixel", "x̄ by reverse mode", "transposed convolution"])
