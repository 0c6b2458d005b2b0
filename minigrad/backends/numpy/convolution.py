"""Convolutions in NumPy's vocabulary, as matrix products with *columns* (im2col).

Columns are the window under each output pixel, written out as a row of k·k·C numbers. The batch is computed in pieces
small enough that columns stay in the cache. `ops/conv.py` says what the three convolutions are. `b` is a backend, or
what has its `xp`, `scratch` and `block_bytes`: on a GPU, dtypes without a kernel are convolved this way too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from minigrad.backends.convolution import Pads, out_size


class _Windows:
    """The windows of a padded batch of images, a piece of the batch at a time, in two buffers used over and over."""

    def __init__(self, b: Any, size: Sequence[int], channels: int, kernel, stride, pads: Pads, dtype: Any, count: int):
        (self.h, self.w), (self.kh, self.kw), (self.sh, self.sw) = size, kernel, stride
        (self.top, bottom), (self.left, right) = pads
        padded = self.h + self.top + bottom, self.w + self.left + right
        self.out = out_size(size, kernel, stride, pads)
        self.xp, self.channels = b.xp, channels
        row_bytes = self.kh * self.kw * channels * dtype.itemsize
        self.step = _piece_length(b, row_bytes * self.out[0] * self.out[1], count)
        self.padded = b.scratch("padded", (self.step, *padded, channels), dtype)
        self.padded[...] = 0
        self.columns = b.scratch("columns", (self.step, *self.out, self.kh, self.kw, channels), dtype)
        self.count = count

    def pieces(self):
        """Slices of the batch."""
        return [slice(i, min(i + self.step, self.count)) for i in range(0, self.count, self.step)]

    def rows(self, n: int) -> Any:
        """Columns of n images as a matrix (n·H·W, k·k·C)."""
        return self.columns[:n].reshape(n * self.out[0] * self.out[1], self.kh * self.kw * self.channels)

    def taps(self, n: int):
        """(i, j, the padded pixels that tap (i, j) meets), for n images."""
        (ho, wo), sh, sw = self.out, self.sh, self.sw
        for i in range(self.kh):
            for j in range(self.kw):
                yield i, j, self.padded[:n, i : i + sh * (ho - 1) + 1 : sh, j : j + sw * (wo - 1) + 1 : sw]

    def gather(self, x: Any) -> Any:
        """The columns of some images."""
        n = len(x)
        self.padded[:n, self.top : self.top + self.h, self.left : self.left + self.w] = x
        for columns, pixels in self._moves:
            columns[:n] = pixels[:n]
        return self.rows(n)

    @cached_property
    def _moves(self) -> list[tuple[Any, Any]]:
        """What to copy where: tap by tap, or, where a tap has several channels, a row of the kernel at a time.

        Those are k·C numbers that are contiguous in the image, so that views of them (N, H, W, k·C) overlap.
        """
        if self.channels == 1:
            return [(self.columns[:, :, :, i, j], pixels) for i, j, pixels in self.taps(self.step)]
        image, down, right, one = self.padded.strides
        shape = self.step, *self.out, self.kw * self.channels
        strides = image, self.sh * down, self.sw * right, one
        view = self.xp.lib.stride_tricks.as_strided
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


def _full(kernel, pads: Pads) -> Pads:
    """The padding of the transposed stride-1 convolution."""
    return tuple((k - 1 - before, k - 1 - after) for k, (before, after) in zip(kernel, pads, strict=True))


def _can_turn(kernel, stride, pads: Pads) -> bool:
    """Whether the transposed map is again a stride-1 convolution with non-negative padding."""
    return stride == (1, 1) and all(p < k for k, pair in zip(kernel, pads, strict=True) for p in pair)


def conv(b, x, w, stride, pads, out=None):
    """y = columns(x) · w: images (N, H, W, C) and kernels (kh, kw, C, F) give (N, H', W', F)."""
    kh, kw, channels, features = w.shape
    dtype = b.xp.result_type(x, w)
    y = b.xp.empty((len(x), *out_size(x.shape[1:3], (kh, kw), stride, pads), features), dtype) if out is None else out
    if stride == (1, 1) and 4 * features <= channels:
        return _products_first(b, x, w, pads, y)
    windows = _Windows(b, x.shape[1:3], channels, (kh, kw), stride, pads, dtype, len(x))
    for piece in windows.pieces():  # (n·H·W, kkC) @ (kkC, F)
        b.xp.matmul(windows.gather(x[piece]), w.reshape(-1, features), out=_as_rows(y[piece]))
    return y


def _products_first(b, x, w, pads, y):
    """(kkF, C) @ (C, n·H·W) first, then every tap's products added where they belong: less to move where F < C.

    Pixels of all images are in a row, so that another tap is a shift along it; what wraps around lies in the padding.
    """
    kh, kw, channels, features = w.shape
    h, width = x.shape[1:3]
    (top, bottom), (left, right) = pads
    padded_size = h + top + bottom, width + left + right
    step = _piece_length(b, padded_size[0] * padded_size[1] * kh * kw * features * y.dtype.itemsize, len(x))
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
    return y


def conv_input(b, d, w, stride, pads, size, out=None):
    """The transpose of conv in x: from cotangents d of its result to images of `size`."""
    kh, kw, channels, features = w.shape
    if _can_turn((kh, kw), stride, pads):
        return conv(b, d, _transpose_kernel(w), (1, 1), _full((kh, kw), pads), out)
    dtype = b.xp.result_type(d, w)
    x = b.xp.empty((len(d), *size, channels), dtype) if out is None else out
    windows = _Windows(b, size, channels, (kh, kw), stride, pads, dtype, len(d))
    d = b.xp.ascontiguousarray(d)
    for piece in windows.pieces():
        n = len(d[piece])
        b.xp.matmul(_as_rows(d[piece]), w.reshape(-1, features).T, out=windows.rows(n))  # (n·H·W, F) @ (F, kkC)
        x[piece] = windows.scatter(n)
    return x


def conv_kernel(b, x, d, stride, pads, kernel, out=None):
    """The transpose of conv in w: from images x and cotangents d to a kernel of this height and width."""
    channels, features, dtype = x.shape[-1], d.shape[-1], b.xp.result_type(x, d)
    x, d = b.xp.ascontiguousarray(x), b.xp.ascontiguousarray(d)
    if features < channels and _can_turn(kernel, stride, pads):
        windows = _Windows(b, d.shape[1:3], features, kernel, (1, 1), _full(kernel, pads), dtype, len(x))
        total = b.xp.zeros((channels, kernel[0] * kernel[1] * features), dtype)
        for piece in windows.pieces():  # (C, n·H·W) @ (n·H·W, kkF), windows of the thinner operand
            total += _as_rows(x[piece]).T @ windows.gather(d[piece])
        total = total.reshape(channels, *kernel, features)[:, ::-1, ::-1].transpose(1, 2, 0, 3)
    else:
        windows = _Windows(b, x.shape[1:3], channels, kernel, stride, pads, dtype, len(x))
        total = b.xp.zeros((kernel[0] * kernel[1] * channels, features), dtype)
        for piece in windows.pieces():  # (kkC, n·H·W) @ (n·H·W, F)
            total += windows.gather(x[piece]).T @ _as_rows(d[piece])
        total = total.reshape(*kernel, channels, features)
    if out is None:
        return total
    out[...] = total
    return out
