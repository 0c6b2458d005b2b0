"""Naive loops over NumPy arrays, for operations that NumPy lacks or computes with complex conjugates."""

from __future__ import annotations

import numpy as np


def cholesky(a):
    """L with LLᵀ = A from the lower triangle of A, without complex conjugates."""
    size = a.shape[-1]
    low = np.zeros_like(a)
    for j in range(size):
        rest = a[..., j, j] - np.sum(low[..., j, :j] ** 2, axis=-1)
        low[..., j, j] = np.sqrt(rest)
        for i in range(j + 1, size):
            rest = a[..., i, j] - np.sum(low[..., i, :j] * low[..., j, :j], axis=-1)
            low[..., i, j] = rest / low[..., j, j]
    return low


def convolve(x, w, stride, pads):
    """y[n,i,j,f] = Σ w[Δi,Δj,c,f]·x[n, s·i+Δi−t, s·j+Δj−l, c], one output pixel at a time."""
    x = np.pad(x, ((0, 0), *pads, (0, 0)))
    kh, kw, _, features = w.shape
    ho, wo = (x.shape[1] - kh) // stride[0] + 1, (x.shape[2] - kw) // stride[1] + 1
    y = np.zeros((len(x), ho, wo, features), np.result_type(x, w))
    for i in range(ho):
        for j in range(wo):
            window = x[:, i * stride[0] : i * stride[0] + kh, j * stride[1] : j * stride[1] + kw]
            y[:, i, j] = np.einsum("nabc,abcf->nf", window, w)
    return y


def convolve_input(d, w, stride, pads, size):
    """The transpose of `convolve` in x: each output pixel adds its kernel back to its window."""
    kh, kw, channels, _ = w.shape
    (top, bottom), (left, right) = pads
    x = np.zeros((len(d), size[0] + top + bottom, size[1] + left + right, channels), np.result_type(d, w))
    for i in range(d.shape[1]):
        for j in range(d.shape[2]):
            window = x[:, i * stride[0] : i * stride[0] + kh, j * stride[1] : j * stride[1] + kw]
            window += np.einsum("nf,abcf->nabc", d[:, i, j], w)
    return x[:, top : top + size[0], left : left + size[1]]


def convolve_kernel(x, d, stride, pads, kernel):
    """The transpose of `convolve` in w: each output pixel adds its window times its value."""
    x = np.pad(x, ((0, 0), *pads, (0, 0)))
    w = np.zeros((*kernel, x.shape[3], d.shape[3]), np.result_type(x, d))
    for i in range(d.shape[1]):
        for j in range(d.shape[2]):
            top, left = i * stride[0], j * stride[1]
            w += np.einsum("nabc,nf->abcf", x[:, top : top + kernel[0], left : left + kernel[1]], d[:, i, j])
    return w


def recurrence(a, x, axis, reverse):
    """h_k = a_k·h_{k−1} + x_k, one step at a time."""
    a, x = np.broadcast_arrays(a, x)
    h = np.zeros(x.shape, np.result_type(a, x))
    steps = range(x.shape[axis])
    before = np.zeros(np.delete(x.shape, axis), h.dtype)
    for k in reversed(steps) if reverse else steps:
        at = (slice(None),) * axis + (k,)
        before = h[at] = a[at] * before + x[at]
    return h


def shuffle(x: np.ndarray, factor: int) -> np.ndarray:
    """Depth to space, one channel at a time."""
    n, h, w, c = x.shape
    channels = c // factor**2
    y = np.zeros((n, h * factor, w * factor, channels), x.dtype)
    for i in range(factor):
        for j in range(factor):
            begin = (factor * i + j) * channels
            y[:, i::factor, j::factor] = x[..., begin : begin + channels]
    return y


def unshuffle(x: np.ndarray, factor: int) -> np.ndarray:
    """Space to depth, one phase at a time."""
    return np.concatenate([x[:, i::factor, j::factor] for i in range(factor) for j in range(factor)], axis=3)


def phases_to_kernel(w, k):
    """The 2k×2k kernel V of the transposed convolution that equals a deconvolution with kernel w (slide 16).

    w is (k, k, C, 4F), with phase (r_i, r_j) in the channels from (2r_i + r_j)·F on; V is (2k, 2k, C, F). Per axis, tap
    j ∈ [−q, q] of phase r, q = (k−1)/2, moves to position r + (k−1) − 2j of V.
    """
    q, (channels, features) = (k - 1) // 2, (w.shape[2], w.shape[3] // 4)
    whole = np.zeros((2 * k, 2 * k, channels, features))
    for ri in range(2):
        for rj in range(2):
            phase = w[..., (2 * ri + rj) * features : (2 * ri + rj + 1) * features]
            for i in range(-q, q + 1):
                for j in range(-q, q + 1):
                    whole[ri + (k - 1) - 2 * i, rj + (k - 1) - 2 * j] = phase[q + i, q + j]
    return whole


def fourier(re, im, n, axis, sign):
    """The real and imaginary parts of Σ_j (re_j + i·im_j)·e^(sign·2πi·jk/n) for k < n; points beyond n are left out."""
    re, im = (np.moveaxis(part, axis, -1)[..., :n] for part in (re, im))
    turn = sign * 2 * np.pi / n * (np.outer(np.arange(re.shape[-1]), np.arange(n)) % n)
    c, s = np.cos(turn), np.sin(turn)
    return tuple(np.moveaxis(part, -1, axis) for part in (re @ c - im @ s, re @ s + im @ c))


def complete_bins(re, im, n, axis):
    """All n bins of the transform of a real signal, from bins 0, …, n//2: bin n − k is the conjugate of bin k."""
    shape = [n if i == axis % re.ndim else length for i, length in enumerate(re.shape)]
    full = np.zeros((2, *shape), np.result_type(re, im))
    for k in range(min(n // 2 + 1, re.shape[axis])):
        at = (slice(None),) * (axis % re.ndim) + (k,)
        back = (*at[:-1], -k % n)
        if k == -k % n:  # a real bin
            full[0][at] = re[at]
        else:
            full[0][at], full[1][at], full[0][back], full[1][back] = re[at], im[at], re[at], -im[at]
    return full
