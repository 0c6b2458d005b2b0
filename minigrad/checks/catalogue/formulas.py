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


def transpose(a):
    """Each matrix transposed, without conjugation."""
    return np.swapaxes(a, -1, -2)


def eigen(a, vectors):
    """(λ, V) of symmetric A from approximate vectors, refined by Newton's method on AV = Vλ, VᵀV = I.

    T. Ogita and K. Aishima, "Iterative refinement for symmetric eigenvalue decomposition" (2018). Each step squares
    the error, so three steps are exact for the imaginary part of a complex step, too.
    """
    eye = np.eye(a.shape[-1], dtype=bool)
    for _ in range(3):
        excess = eye - transpose(vectors) @ vectors
        rotated = transpose(vectors) @ a @ vectors
        diagonal = [np.einsum("...ii->...i", x) for x in (rotated, excess)]
        values = diagonal[0] / (1 - diagonal[1])
        row = values[..., None, :]
        gaps = np.where(eye, 1, row - values[..., :, None])
        vectors = vectors + vectors @ np.where(eye, excess / 2, (rotated + row * excess) / gaps)
    return values, vectors


def eigh(a):
    """(λ, V) from the lower triangle of A; λ in ascending order and the signs of V as in NumPy."""
    a = np.tril(a) + transpose(np.tril(a, -1))
    return eigen(a, np.linalg.eigh(np.real(a))[1])


def svd(a):
    """(U, s, V) from the eigenvalues of AᵀA or AAᵀ; the signs as in NumPy."""
    u, _, vh = np.linalg.svd(np.real(a), full_matrices=False)
    if a.shape[-2] >= a.shape[-1]:
        squares, v = eigen(transpose(a) @ a, transpose(vh))
        return a @ v / np.sqrt(squares)[..., None, :], np.sqrt(squares), v
    squares, u = eigen(a @ transpose(a), u)
    return u, np.sqrt(squares), transpose(a) @ u / np.sqrt(squares)[..., None, :]


def qr(a):
    """(Q, R) from RᵀR = AᵀA for the first columns; the signs as in NumPy."""
    first = a[..., : min(a.shape[-2:])]
    signs = np.sign(np.einsum("...ii->...i", np.linalg.qr(np.real(first))[1]))
    r = signs[..., None] * transpose(cholesky(transpose(first) @ first))
    q = first @ np.linalg.inv(r)
    return q, np.concatenate([r, transpose(q) @ a[..., first.shape[-1] :]], -1)


def pinv(a):
    """(AᵀA)⁻¹Aᵀ or Aᵀ(AAᵀ)⁻¹, for matrices of full rank."""
    if a.shape[-2] >= a.shape[-1]:
        return np.linalg.solve(transpose(a) @ a, transpose(a))
    return transpose(np.linalg.solve(a @ transpose(a), a))


def expm(a):
    """The Taylor series of exp(A/64), squared six times."""
    y = term = np.eye(a.shape[-1]) + 0 * a
    for k in range(1, 16):
        term = term @ a / (64 * k)
        y = y + term
    for _ in range(6):
        y = y @ y
    return y


def sine(a):
    """sin A by the Taylor series at A/8, and three times sin 2x = 2·sin x·cos x and cos 2x = 2·cos² x − 1."""
    eye = np.eye(a.shape[-1])
    terms = [eye + 0 * a]
    for k in range(1, 20):
        terms.append(terms[-1] @ a / (8 * k))
    s, c = (sum((-1) ** i * term for i, term in enumerate(terms[start::2])) for start in (1, 0))
    for _ in range(3):
        s, c = 2 * s @ c, 2 * c @ c - eye
    return s


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
