"""Convolutions as matrix products, whose kernels gather the windows while they read the images (convolution.cu)."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

from minigrad.backends.backend import store
from minigrad.backends.convolution import Pads, out_size
from minigrad.backends.cuda import epilogue
from minigrad.backends.cuda.launch import SUFFIX, Array, Kernels, blocks_of, ints
from minigrad.backends.cuda.products import TILES, count_splits, launch_tiles
from minigrad.backends.cuda.sums import launch_in_parts
from minigrad.backends.numpy import convolution as twin

FEW = 4  # channels or features: if there are no more, each thread computes one number


def conv(
    kernels: Kernels, x: Array, w: Array, stride: Any, pads: Pads, out: Array | None = None, **ending: Any
) -> Array:
    """Twin of numpy.convolution.conv, with an epilogue: `ending` is bias, relu, factor (see `epilogue.arguments`)."""
    dtype = kernels.xp.result_type(x, w)
    if dtype not in SUFFIX:
        return twin.conv(kernels, x, w, stride, pads, out)
    x, w = kernels.operand(x, dtype), kernels.operand(w, dtype)
    geometry = _geometry(x.shape, w.shape, stride, pads)
    n, _, _, c, ho, wo, f, kh, kw = geometry[:9]
    factor = ending.get("factor", 1)
    y = kernels.result((n, ho * factor, wo * factor, f // factor**2), dtype, out)
    rows, arguments = n * ho * wo, epilogue.arguments(kernels, w, **ending)
    if y.size and min(c, f) <= FEW:
        args = x, w, y, *arguments, *ints(*geometry)
        kernels.launch(f"conv_few_{SUFFIX[dtype]}", (blocks_of(rows * f),), args)
    elif y.size:
        blocks = TILES[dtype].grid(rows, f)
        splits = count_splits(kernels, dtype, blocks, kh * kw * c)

        def launch(to: Array, ending: tuple) -> None:
            launch_tiles(kernels, "conv", dtype, (*blocks, splits), (x, w, to, *ending, *ints(*geometry)))

        launch_in_parts(kernels, launch, splits, y, arguments, (ho, wo, f))
    return store(y, out)


def conv_input(
    kernels: Kernels, d: Array, w: Array, stride: Any, pads: Pads, size: Any, out: Array | None = None
) -> Array:
    """Twin of numpy.convolution.conv_input."""
    dtype = kernels.xp.result_type(d, w)
    if dtype not in SUFFIX:
        return twin.conv_input(kernels, d, w, stride, pads, size, out)
    d, w = kernels.operand(d, dtype), kernels.operand(w, dtype)
    shape = len(d), *size, w.shape[2]
    geometry = (*shape, *d.shape[1:], *w.shape[:2], *stride, pads[0][0], pads[1][0])
    n, h, width, c, _, _, f, kh, kw, sh, sw = geometry[:11]
    x = kernels.result(shape, dtype, out)
    if x.size and min(c, f) <= FEW:
        kernels.launch(f"conv_input_few_{SUFFIX[dtype]}", (blocks_of(x.size),), (d, w, x, *ints(*geometry)))
    elif x.size:
        rows = n * -(-h // sh) * -(-width // sw)  # of the first phase, which has the most
        blocks = TILES[dtype].grid(rows, c)
        splits = count_splits(kernels, dtype, (*blocks, sh * sw), f * -(-kh // sh) * -(-kw // sw))
        grid = *blocks, splits * sh * sw

        def launch(to: Array, ending: tuple) -> None:
            launch_tiles(kernels, "conv_input", dtype, grid, (d, w, to, *ints(*geometry)))

        launch_in_parts(kernels, launch, splits, x, epilogue.arguments(kernels, x), (1, 1, c))
    return store(x, out)


def conv_kernel(
    kernels: Kernels, x: Array, d: Array, stride: Any, pads: Pads, kernel: Any, out: Array | None = None
) -> Array:
    """Twin of numpy.convolution.conv_kernel."""
    dtype = kernels.xp.result_type(x, d)
    if dtype not in SUFFIX:
        return twin.conv_kernel(kernels, x, d, stride, pads, kernel, out)
    x, d = kernels.operand(x, dtype), kernels.operand(d, dtype)
    geometry = (*x.shape, *d.shape[1:], *kernel, *stride, pads[0][0], pads[1][0])
    n, _, _, c, ho, wo, f = geometry[:7]
    w = kernels.result((*kernel, c, f), dtype, out)
    if not x.size or not d.size:
        w[...] = 0
        return store(w, out)
    lines = math.prod(kernel) * c
    if min(c, f) <= FEW:
        blocks = (blocks_of(lines * f),)
        splits = min(n * ho, 65535, max(1, kernels.splits(4, blocks)))
        start = functools.partial(kernels.launch, f"conv_kernel_few_{SUFFIX[dtype]}")
    else:
        blocks = TILES[dtype].grid(lines, f)
        splits = count_splits(kernels, dtype, blocks, n * ho * wo)
        start = functools.partial(launch_tiles, kernels, "conv_kernel", dtype)

    def launch(to: Array, ending: tuple) -> None:
        start((*blocks, splits), (x, d, to, *ints(*geometry)))

    launch_in_parts(kernels, launch, splits, w, epilogue.arguments(kernels, w), (1, 1, f))
    return store(w, out)


def _geometry(x: Sequence[int], w: Sequence[int], stride: Any, pads: Pads) -> tuple[int, ...]:
    """The fields of `struct Geometry` for images and kernels of these shapes."""
    out = out_size(x[1:3], w[:2], stride, pads)
    if max(x[0] * math.prod(x[1:3]), x[0] * math.prod(out)) >= 2**31:
        raise ValueError(f"images {tuple(x)} have 2**31 pixels or more: use smaller batches")
    return (*x, *out, w[3], *w[:2], *stride, pads[0][0], pads[1][0])
