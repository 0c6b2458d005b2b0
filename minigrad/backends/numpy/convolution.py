"""Convolutions in NumPy, as matrix products with *columns* (im2col).

Columns are the windows under the output pixels, each written out as a row of k·k·C numbers. The batch is computed in
pieces small enough for the columns to stay in the cache. `ops/conv.py` defines the three convolutions. `b` is a backend
or any object with `xp`, `scratch` and `block_bytes`: a GPU also convolves dtypes without a kernel this way.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from minigrad.backends.convolution import Pads, out_size


class _Windows:
    """The windows of a padded batch of images, one piece of the batch at a time, in two buffers that are reused."""

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
    if stride == (1, 1) and 4 * features <= channels:
        return _conv_by_shifts(b, x, w, pads, y)
    windows = _Windows(b, x.shape[1:3], channels, (kh, kw), stride, pads, dtype, len(x))
    for piece in windows.pieces():  # (n·H·W, kkC) @ (kkC, F)
        b.xp.matmul(windows.gather(x[piece]), w.reshape(-1, features), out=_as_rows(y[piece]))
    return y


def _conv_by_shifts(b, x, w, pads, y):
    """Multiply first, (kkF, C) @ (C, n·H·W), then add each tap's products, shifted: less memory traffic where F < C.

    The padded pixels of all images form one row, and a tap is a shift along it; sums that wrap around are cut off.
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
    if _transposes_to_conv((kh, kw), stride, pads):
        return conv(b, d, _transpose_kernel(w), (1, 1), _full_padding((kh, kw), pads), out)
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
    if features < channels and _transposes_to_conv(kernel, stride, pads):
        windows = _Windows(b, d.shape[1:3], features, kernel, (1, 1), _full_padding(kernel, pads), dtype, len(x))
        total = b.xp.zeros((channels, kernel[0] * kernel[1] * features), dtype)
        for piece in windows.pieces():  # (C, n·H·W) @ (n·H·W, kkF), windows of the operand with fewer channels
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
