"""Convolution: one trilinear form and its three derivatives.

    ⟨conv(x, w), g⟩ = Σ w[Δi,Δj,c,f] · x[n, s·i+Δi−t, s·j+Δj−l, c] · g[n,i,j,f]        (lecture, slide 16)

Images are (N, H, W, C), kernels (k, k, C, F), s is the stride and (t, l) the padding at the top and left. Fixing two of
x, w, g and differentiating in the third gives three primitives, `conv`, `conv_input` and `conv_kernel`; the rules of
each are the other two, so every derivative of a convolution, of any order, is one of the three.

All three are matrix products with a matrix of windows (im2col), which NumPy writes to memory
(`backends/numpy/convolution.py`). Compiled programs on the CPU read windows where they are in the images
(`backends/native/convolution.cpp`), and so do the kernels of the GPU (`backends/cuda/convolution.cu`).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from minigrad.backends.convolution import Pads, out_size
from minigrad.core.arguments import integer, integers, is_several, ndim_of
from minigrad.core.arrays import describe, shape_of
from minigrad.core.batching import batched, move_axis
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.core.interpreter import primitive
from minigrad.core.rules import bilinear
from minigrad.core.traits import Cut, traits
from minigrad.core.vectors import add_p, reshape_p, transpose_p
from minigrad.ops.arrange import stack
from minigrad.ops.indexing import slice_p, unslice_p
from minigrad.ops.linalg import matmul, mT
from minigrad.ops.shape import pad_p


@primitive("conv")
def conv_p(b, x, w, *, stride, pads, out=None):
    """The convolution of images x with a kernel w."""
    return b.conv(x, w, stride, pads, out)


@primitive("conv_input")
def conv_input_p(b, d, w, *, stride, pads, size, out=None):
    """The transpose of conv in x: maps cotangents d of its result to images of height and width `size`."""
    return b.conv_input(d, w, stride, pads, size, out)


@primitive("conv_kernel")
def conv_kernel_p(b, x, d, *, stride, pads, kernel, out=None):
    """The transpose of conv in w: maps images x and cotangents d to a kernel of height and width `kernel`."""
    return b.conv_kernel(x, d, stride, pads, kernel, out)


bilinear(
    conv_p,
    x=lambda g, x, w, stride, pads: conv_input_p(g, w, stride=stride, pads=pads, size=x.shape[1:3]),
    w=lambda g, x, w, stride, pads: conv_kernel_p(x, g, stride=stride, pads=pads, kernel=w.shape[:2]),
)
bilinear(
    conv_input_p,
    d=lambda g, w, stride, pads: conv_p(g, w, stride=stride, pads=pads),
    w=lambda g, d, w, stride, pads: conv_kernel_p(g, d, stride=stride, pads=pads, kernel=w.shape[:2]),
)
bilinear(
    conv_kernel_p,
    x=lambda g, x, d, stride, pads: conv_input_p(d, g, stride=stride, pads=pads, size=x.shape[1:3]),
    d=lambda g, x, stride, pads: conv_p(x, g, stride=stride, pads=pads),
)


# Batching. Where the examples share an operand, they are further images or channels of one convolution. Where each has
# its own images and its own kernel, a convolution is a sum of matrix products over the taps of the kernel.


def _batch_conv(n, args, is_batched, *, stride, pads):
    x, w = args
    if is_batched == (True, False):
        return _split(conv_p(_merge(x, 0), w, stride=stride, pads=pads), 0, n)
    if is_batched == (False, True):
        return _split(conv_p(x, _merge(w, 3), stride=stride, pads=pads), 3, n)
    taps, out = _taps(shape_of(x)[2:4], shape_of(w)[1:3], stride, pads)
    x = _pad(x, pads)
    products = [matmul(_rows(slice_p(x, index=window)), slice_p(w, index=tap)) for tap, window in taps]
    return reshape_p(functools.reduce(add_p, products), shape=(*shape_of(x)[:2], *out, shape_of(w)[4]))


def _batch_conv_input(n, args, is_batched, *, stride, pads, size):
    d, w = args
    if is_batched == (True, False):
        return _split(conv_input_p(_merge(d, 0), w, stride=stride, pads=pads, size=size), 0, n)
    if is_batched == (False, True):
        return _split(conv_input_p(d, _merge(w, 2), stride=stride, pads=pads, size=size), 3, n)
    taps, out = _taps(size, shape_of(w)[1:3], stride, pads)
    images, channels = shape_of(d)[:2], shape_of(w)[3]
    padded = (*images, *[m + sum(pad) for m, pad in zip(size, pads)], channels)
    terms = []
    for tap, window in taps:
        product = reshape_p(matmul(_rows(d), mT(slice_p(w, index=tap))), shape=(*images, *out, channels))
        terms.append(unslice_p(product, index=window, shape=padded))
    inside = tuple(slice(before, before + m) for m, (before, _) in zip(size, pads))
    return slice_p(functools.reduce(add_p, terms), index=(slice(None), slice(None), *inside))


def _batch_conv_kernel(n, args, is_batched, *, stride, pads, kernel):
    x, d = args
    if is_batched == (True, False):
        return _split(conv_kernel_p(_merge(x, 3), d, stride=stride, pads=pads, kernel=kernel), 2, n)
    if is_batched == (False, True):
        return _split(conv_kernel_p(x, _merge(d, 3), stride=stride, pads=pads, kernel=kernel), 3, n)
    taps, _ = _taps(shape_of(x)[2:4], kernel, stride, pads)
    x, d = _pad(x, pads), _rows(d)
    products = [matmul(mT(_rows(slice_p(x, index=window))), d) for _, window in taps]
    return reshape_p(stack(products, 1), shape=(n, *kernel, *shape_of(products[0])[1:]))


def _merge(x, axis):
    """The examples, the first axis, merged with this axis of each."""
    x = move_axis(x, 0, axis)
    shape = shape_of(x)
    return reshape_p(x, shape=(*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :]))


def _split(x, axis, n):
    """The inverse: the examples are the first axis again."""
    shape = shape_of(x)
    return move_axis(reshape_p(x, shape=(*shape[:axis], n, shape[axis] // n, *shape[axis + 1 :])), axis, 0)


def _pad(x, pads):
    return pad_p(x, widths=((0, 0), (0, 0), *pads, (0, 0)))


def _rows(x):
    """(n, N, H, W, C) as matrices (n, N·H·W, C)."""
    shape = shape_of(x)
    return reshape_p(x, shape=(shape[0], math.prod(shape[1:4]), shape[4]))


def _taps(size, kernel, stride, pads):
    """For each tap of a kernel, its index and that of the pixels of padded images that it meets; and the size of the
    result. Both indices are for arrays with the axis of examples in front.
    """
    out = out_size(size, kernel, stride, pads)
    found, every = [], slice(None)
    for i, j in np.ndindex(*kernel):
        window = [slice(k, k + s * (m - 1) + 1, s) for k, s, m in zip((i, j), stride, out)]
        found.append(((every, i, j), (every, every, *window)))
    return found, out


batched(conv_p, _batch_conv)
batched(conv_input_p, _batch_conv_input)
batched(conv_kernel_p, _batch_conv_kernel)


def _has_kernel(dtype):
    """Whether the CUDA kernels support this dtype; other dtypes go to a library."""
    return dtype in (np.float32, np.float64)


def _cut_images(operands, result, params):
    yield Cut((0, None), 0)


def _count_flops(result, kernel):
    """A multiplication and an addition for each element of the result, tap of the kernel and input channel."""
    return 2 * math.prod(result) * math.prod(kernel[:3])


_KERNELS = {"blas": True, "native": True, "recordable": _has_kernel}
traits(conv_p, cuts=_cut_images, flops=lambda xs, y, params: _count_flops(y, xs[1]), **_KERNELS)
traits(conv_input_p, cuts=_cut_images, flops=lambda xs, y, params: _count_flops(*xs), **_KERNELS)
traits(
    conv_kernel_p,
    cuts=lambda operands, result, params: iter([Cut((0, 0), None)]),  # terms of a sum over images
    flops=lambda xs, y, params: _count_flops(xs[1], y),
    **_KERNELS,
)


def conv2d(x: Any, w: Any, stride: Any = 1, padding: Any = "same") -> Any:
    """Images (N, H, W, C) * kernels (k, k, C, F): y[i,j,f] = Σ w[Δi,Δj,c,f]·x[s·i+Δi, s·j+Δj, c] (slide 16).

    `padding` is "same" (⌈H/s⌉ rows out; an odd row of padding goes to the bottom), "valid" (no padding), an integer, or
    ((top, bottom), (left, right)). The kernel is not flipped. Raises ValueError naming the shapes.
    """
    if len(shape_of(x)) != 4 or len(shape_of(w)) != 4 or shape_of(x)[3] != shape_of(w)[2]:
        raise OperandError(
            f"conv2d: needs images (N, H, W, C) and kernels (k, k, C, F), got {describe(x)} and {describe(w)}"
        )
    strides = integers(stride, "conv2d: a stride")
    strides = strides if is_several(stride) else strides * 2
    if len(strides) != 2 or min(strides) < 1:
        raise OperandError(f"conv2d: stride must be a positive integer or a pair of them, got {stride!r}")
    kernel, size = shape_of(w)[:2], shape_of(x)[1:3]
    pads = _parse_padding(padding, size, kernel, strides)
    if 0 in shape_of(w) or any(n < 1 for n in out_size(size, kernel, strides, pads)):
        raise OperandError(f"conv2d: a kernel {kernel} does not fit into images of {size} with padding {pads}")
    return conv_p(x, w, stride=strides, pads=pads)


def _parse_padding(padding, size, kernel, stride) -> Pads:
    if isinstance(padding, str) and padding == "same":
        totals = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(size, kernel, stride, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    if isinstance(padding, str) and padding == "valid":
        return ((0, 0), (0, 0))
    try:
        if is_several(padding) or ndim_of(padding) == 2:
            pairs = tuple(integers(side, "conv2d: padding") for side in padding)
        else:
            pairs = ((integer(padding, "conv2d: padding"),) * 2,) * 2
        if [len(pair) for pair in pairs] == [2, 2] and min(map(min, pairs)) >= 0:
            return pairs
    except OperandTypeError:
        pass
    raise OperandError(
        f"conv2d: padding must be 'same', 'valid', an integer ≥ 0 or ((top, bottom), (left, right)), got {padding!r}"
    )


def depth_to_space(x: Any, factor: int = 2) -> Any:
    """Rearrange the channels of each pixel into factor×factor pixels.

    Channel (factor·r_i + r_j)·C + c of pixel (i, j) becomes channel c of pixel (factor·i + r_i, factor·j + r_j), so
    (N, H, W, factor²·C) becomes (N, factor·H, factor·W, C). Raises ValueError unless factor² divides the channels.
    """
    shape, factor = shape_of(x), integer(factor, "depth_to_space: factor")
    if len(shape) != 4 or factor < 1 or shape[3] % factor**2:
        raise OperandError(f"depth_to_space: needs images (N, H, W, {factor}²·C), got {describe(x)}")
    n, h, w, c = shape
    split = reshape_p(x, shape=(n, h, w, factor, factor, c // factor**2))
    return reshape_p(
        transpose_p(split, axes=(0, 1, 3, 2, 4, 5)),  # to (N, i, r_i, j, r_j, C): a reshape alone is not enough
        shape=(n, h * factor, w * factor, c // factor**2),
    )


def space_to_depth(x: Any, factor: int = 2) -> Any:
    """Rearrange factor×factor pixels into channels of one pixel: the inverse and transpose of depth_to_space."""
    shape, factor = shape_of(x), integer(factor, "space_to_depth: factor")
    if len(shape) != 4 or factor < 1 or shape[1] % factor or shape[2] % factor:
        raise OperandError(f"space_to_depth: needs images (N, {factor}·H, {factor}·W, C), got {describe(x)}")
    n, h, w, c = shape
    split = reshape_p(x, shape=(n, h // factor, factor, w // factor, factor, c))
    return reshape_p(transpose_p(split, axes=(0, 1, 3, 2, 4, 5)), shape=(n, h // factor, w // factor, factor**2 * c))


def deconv2d(x: Any, w: Any, factor: int = 2) -> Any:
    """The lecture's deconvolution (slide 16): a stride-1 "same" convolution to factor²·F channels, then depth_to_space.

    Images (N, H, W, C) and kernels (k, k, C, factor²·F) give (N, factor·H, factor·W, F).

    For odd k and factor 2 it equals a transposed convolution with a kernel of 2k, stride 2 and padding k−1.
    """
    factor = integer(factor, "deconv2d: factor")
    if factor < 1 or (len(shape_of(w)) == 4 and shape_of(w)[3] % factor**2):
        raise OperandError(f"deconv2d: kernels need {factor}²·F output channels, got {describe(w)}")
    return depth_to_space(conv2d(x, w, 1, "same"), factor)
