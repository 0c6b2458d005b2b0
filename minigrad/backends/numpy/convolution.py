"""Convolutions in NumPy, as matrix products with *columns* (im2col).

Columns are the windows under the output pixels, each written out as a row of k·k·C numbers. The batch is computed in
pieces small enough for the columns to stay in the cache: some images at a time or, of larger images, one tile of the
result at a time. `ops/conv.py` defines the three convolutions. `b` is a backend or any object with `xp`, `scratch` and
`block_bytes`: a GPU also convolves dtypes without a kernel this way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

from minigrad.backends.convolution import Pads, out_size

TILE = 4  # blocks: an image is cut if its columns take more; smaller tiles make the matrix products slower


class _Tile(NamedTuple):
    """A part of a convolution that is itself one: some pixels of the result, and those of the images they depend on."""

    result: tuple[slice, ...]  # of (N, H', W')
    pixels: tuple[slice, ...]  # of (N, H, W)
    pads: Pads  # of these pixels


def _fit_columns(b: Any, out: Sequence[int], pixel_bytes: int, features: int) -> tuple[int, int]:
    """Height and width of a tile of the result, which takes `pixel_bytes` of columns for each pixel.

    A tile is rows of the result or a part of one row, so that its pixels are contiguous. It has at least as many pixels
    as the kernel has features: a product then reads no more of the kernel than of the columns.
    """
    most = max(TILE * b.block_bytes // max(1, pixel_bytes), features)
    return (out[0], out[1]) if out[0] * out[1] <= most else (max(1, most // out[1]), min(out[1], most))


def _fit_shifts(b: Any, out: Sequence[int], kernel: Sequence[int], pixel_bytes: int) -> tuple[int, int] | None:
    """Height and width of a tile of the result, which takes `pixel_bytes` for each pixel under its windows.

    None if tiles would be so small that too much is computed twice, for the windows of neighbours.
    """
    padded = [n + k - 1 for n, k in zip(out, kernel, strict=True)]
    pixels = max(1, TILE * b.block_bytes // max(1, pixel_bytes))
    most = [pixels // min(math.isqrt(pixels), n) for n in reversed(padded)]  # a square unless the image is narrower
    if any(m < min(n, 6 * k) for m, n, k in zip(most, padded, kernel, strict=True)):
        return None
    return most[0] - kernel[0] + 1, most[1] - kernel[1] + 1


def _tiles(shape: Sequence[int], kernel, stride, pads: Pads, most: tuple[int, int]) -> Iterator[_Tile]:
    """The batch (N, H, W, …) as one tile or, if results are larger than `most`, each image cut into tiles."""
    out, every = out_size(shape[1:3], kernel, stride, pads), slice(None)
    if out[0] <= most[0] and out[1] <= most[1]:
        yield _Tile((every,) * 3, (every,) * 3, pads)
        return
    rows, columns = map(_cut, shape[1:3], out, kernel, stride, pads, most)
    for i in range(shape[0]):
        for down, pixels_down, pads_down in rows:
            for right, pixels_right, pads_right in columns:
                image = slice(i, i + 1)
                yield _Tile((image, down, right), (image, pixels_down, pixels_right), (pads_down, pads_right))


def _cut(size: int, out: int, k: int, s: int, pad: tuple[int, int], most: int) -> list[tuple[slice, slice, tuple]]:
    """Cut an axis of the result evenly into parts of at most `most` pixels: (part, pixels it needs, their pads)."""
    count = -(-out // most)
    ends = [out * i // count for i in range(count + 1)]
    found = []
    for begin, end in pairwise(ends):
        first, last = s * begin - pad[0], s * (end - 1) + k - pad[0]  # may lie outside of the image
        start = min(max(first, 0), size)
        stop = min(max(last, start), size)
        found.append((slice(begin, end), slice(start, stop), (start - first, last - stop)))
    return found


class _Windows:
    """The windows of a padded batch of images, one piece of the batch at a time, in two buffers that are reused."""

    def __init__(self, b: Any, size: Sequence[int], channels: int, kernel, stride, pads: Pads, dtype: Any, count: int):
        (self.h, self.w), (self.kh, self.kw), (self.sh, self.sw) = size, kernel, stride
        self.b, self.pads, self.dtype, self.channels = b, pads, dtype, channels
        (self.top, _), (self.left, _) = pads
        self.out = out_size(size, kernel, stride, pads)
        row_bytes = self.kh * self.kw * channels * dtype.itemsize
        self.step = _piece_length(b, row_bytes * self.out[0] * self.out[1], count)
        self.columns = b.scratch("columns", (self.step, *self.out, self.kh, self.kw, channels), dtype)
        self.count = count

    @cached_property
    def padded(self) -> Any:
        """Padded images, all zeros at first."""
        (top, bottom), (left, right) = self.pads
        shape = self.step, self.h + top + bottom, self.w + left + right, self.channels
        padded = self.b.scratch("padded", shape, self.dtype)
        padded[...] = 0
        return padded

    def pieces(self):
        """The pieces of the batch, as slices."""
        return [slice(i, min(i + self.step, self.count)) for i in range(0, self.count, self.step)]

    def rows(self, n: int) -> Any:
        """Columns of n images as a matrix (n·H·W, k·k·C)."""
        return self.columns[:n].reshape(n * self.out[0] * self.out[1], self.kh * self.kw * self.channels)

    def taps(self, n: int):
        """(i, j, the padded pixels that kernel tap (i, j) is multiplied with), for n images."""
        (ho, wo), sh, sw = self.out, self.sh, self.sw
        for i in range(self.kh):
            for j in range(self.kw):
                yield i, j, self.padded[:n, i : i + sh * (ho - 1) + 1 : sh, j : j + sw * (wo - 1) + 1 : sw]

    def gather(self, x: Any) -> Any:
        """The columns of the images x."""
        n = len(x)
        self.padded[:n, self.top : self.top + self.h, self.left : self.left + self.w] = x
        for columns, pixels in self._copies:
            columns[:n] = pixels[:n]
        return self.rows(n)

    @cached_property
    def _copies(self) -> list[tuple[Any, Any]]:
        """(destination, source) of each copy: one for each tap or, with several channels, for each row of the kernel.

        A kernel row is k·C numbers that are contiguous in the image; its source is an overlapping view (N, H, W, k·C).
        """
        if self.channels == 1:
            return [(self.columns[:, :, :, i, j], pixels) for i, j, pixels in self.taps(self.step)]
        image, down, right, one = self.padded.strides
        shape = self.step, *self.out, self.kw * self.channels
        strides = image, self.sh * down, self.sw * right, one
        view = self.b.xp.lib.stride_tricks.as_strided
        columns = self.columns.reshape(self.step, *self.out, self.kh, -1)
        return [(columns[:, :, :, i], view(self.padded[:, i:], shape, strides)) for i in range(self.kh)]

    def scatter(self, n: int) -> Any:
        """Sum columns back into images: the transpose of `gather`."""
        self.padded[...] = 0
        for i, j, pixels in self.taps(n):
            pixels += self.columns[:n, :, :, i, j]
        return self.padded[:n, self.top : self.top + self.h, self.left : self.left + self.w]


def _piece_length(b: Any, image_bytes: int, count: int) -> int:
    """How many images of the batch to work on at a time."""
    return max(1, min(count, b.block_bytes // max(1, image_bytes)))


def _as_rows(x: Any) -> Any:
    """Pixels as rows: (N·H·W, C)."""
    return x.reshape(-1, x.shape[-1])


def _transpose_kernel(w: Any) -> Any:
    """The kernel of the transposed map: taps reversed, channels exchanged, contiguous."""
    return w[::-1, ::-1].transpose(0, 1, 3, 2).copy()


def _full_padding(kernel, pads: Pads) -> Pads:
    """The padding of the transposed stride-1 convolution."""
    return tuple((k - 1 - before, k - 1 - after) for k, (before, after) in zip(kernel, pads, strict=True))


def _transposes_to_conv(kernel, stride, pads: Pads) -> bool:
    """Whether the transposed map is again a stride-1 convolution with non-negative padding."""
    return stride == (1, 1) and all(p < k for k, pair in zip(kernel, pads, strict=True) for p in pair)


def conv(b, x, w, stride, pads, out=None):
    """y = columns(x) · w: images (N, H, W, C) and kernels (kh, kw, C, F) give (N, H', W', F)."""
    kh, kw, channels, features = w.shape
    dtype = b.xp.result_type(x, w)
    y = b.xp.empty((len(x), *out_size(x.shape[1:3], (kh, kw), stride, pads), features), dtype) if out is None else out
    most = None
    if stride == (1, 1) and 4 * features <= channels:
        most = _fit_shifts(b, y.shape[1:3], (kh, kw), max(kh * kw * features, channels) * dtype.itemsize)
    compute = _conv_by_shifts if most else _conv_by_columns
    most = most or _fit_columns(b, y.shape[1:3], kh * kw * channels * dtype.itemsize, features)
    for tile in _tiles(x.shape, (kh, kw), stride, pads, most):
        compute(b, x[tile.pixels], w, stride, tile.pads, y[tile.result])
    return y


def _conv_by_columns(b, x, w, stride, pads, y):
    windows = _Windows(b, x.shape[1:3], x.shape[3], w.shape[:2], stride, pads, y.dtype, len(x))
    for piece in windows.pieces():  # (n·H·W, kkC) @ (kkC, F)
        b.xp.matmul(windows.gather(x[piece]), w.reshape(-1, w.shape[3]), out=_as_rows(y[piece]))


def _conv_by_shifts(b, x, w, stride, pads, y):
    """Multiply first, (kkF, C) @ (C, n·H·W), then add each tap's products, shifted: less memory traffic where F < C.

    The padded pixels of all images form one row, and a tap is a shift along it; sums that wrap around are cut off.
    """
    kh, kw, channels, features = w.shape
    h, width = x.shape[1:3]
    (top, bottom), (left, right) = pads
    padded_size = h + top + bottom, width + left + right
    pixel_bytes = max(kh * kw * features, channels) * y.dtype.itemsize
    step = _piece_length(b, padded_size[0] * padded_size[1] * pixel_bytes, len(x))
    padded = b.scratch("padded", (step, *padded_size, channels), y.dtype)
    padded[...] = 0
    products = b.scratch("columns", (kh, kw, features, step * padded_size[0] * padded_size[1]), y.dtype)
    flat_w = w.transpose(0, 1, 3, 2).reshape(-1, channels)
    ho, wo = y.shape[1:3]
    for begin in range(0, len(x), step):
        images = y[begin : begin + step]
        n = len(images)
        padded[:n, top : top + h, left : left + width] = x[begin : begin + n]
        pixels = n * padded_size[0] * padded_size[1]
        b.xp.matmul(flat_w, _as_rows(padded[:n]).T, out=products[..., :pixels].reshape(-1, pixels))
        total = products[0, 0]
        for i in range(kh):
            for j in range(kw):
                shift = i * padded_size[1] + j
                if shift:
                    total[:, : pixels - shift] += products[i, j, :, shift:pixels]
        images[...] = total[:, :pixels].reshape(features, n, *padded_size)[:, :, :ho, :wo].transpose(1, 2, 3, 0)


def conv_input(b, d, w, stride, pads, size, out=None):
    """The transpose of conv in x: from cotangents d of its result to images of `size`."""
    kh, kw, channels, features = w.shape
    if _transposes_to_conv((kh, kw), stride, pads):
        return conv(b, d, _transpose_kernel(w), (1, 1), _full_padding((kh, kw), pads), out)
    dtype = b.xp.result_type(d, w)
    x = b.xp.empty((len(d), *size, channels), dtype) if out is None else out
    d = b.xp.ascontiguousarray(d)
    shape, kernel = (len(d), *size), w.reshape(-1, features).T
    most = _fit_columns(b, d.shape[1:3], kh * kw * channels * dtype.itemsize, features)
    tiles = list(_tiles(shape, (kh, kw), stride, pads, most))
    if len(tiles) > 1:  # the windows of two tiles overlap
        x[...] = 0
    for tile in tiles:
        here, there = d[tile.result], x[tile.pixels]
        windows = _Windows(b, there.shape[1:3], channels, (kh, kw), stride, tile.pads, dtype, len(here))
        for piece in windows.pieces():
            n = len(here[piece])
            b.xp.matmul(_as_rows(here[piece]), kernel, out=windows.rows(n))  # (n·H·W, F) @ (F, kkC)
            if len(tiles) > 1:
                there[piece] += windows.scatter(n)
            else:
                there[piece] = windows.scatter(n)
    return x


def exchanges(x, d, stride, pads, kernel) -> bool:
    """Whether conv_kernel exchanges its operands: windows are those of the one with fewer channels."""
    return d.shape[-1] < x.shape[-1] and _transposes_to_conv(kernel, stride, pads)


def conv_kernel(b, x, d, stride, pads, kernel, out=None, sum_products=None):
    """The transpose of conv in w: from images x and cotangents d to a kernel of this height and width."""
    sum_products = sum_products or _sum_products
    channels, features = x.shape[-1], d.shape[-1]
    if exchanges(x, d, stride, pads, kernel):
        total = sum_products(b, d, x, (1, 1), _full_padding(kernel, pads), kernel)
        total = total.reshape(*kernel, features, channels)[::-1, ::-1].transpose(0, 1, 3, 2)
    else:
        total = sum_products(b, x, d, stride, pads, kernel).reshape(*kernel, channels, features)
    if out is None:
        return total
    out[...] = total
    return out


def _sum_products(b, x, d, stride, pads, kernel):
    """columns(x)ᵀ · d, summed over pieces in their order: (kkC, F)."""
    (kh, kw), channels, features, dtype = kernel, x.shape[3], d.shape[3], b.xp.result_type(x, d)
    total = b.xp.zeros((kh * kw * channels, features), dtype)
    x, d = b.xp.ascontiguousarray(x), b.xp.ascontiguousarray(d)
    most = _fit_columns(b, d.shape[1:3], kh * kw * channels * dtype.itemsize, features)
    for tile in _tiles(x.shape, kernel, stride, pads, most):
        here, there = x[tile.pixels], d[tile.result]
        windows = _Windows(b, here.shape[1:3], channels, kernel, stride, tile.pads, dtype, len(here))
        for piece in windows.pieces():  # (kkC, n·H·W) @ (n·H·W, F)
            total += windows.gather(here[piece]).T @ _as_rows(there[piece])
    return total
