"""Derivatives from plain NumPy formulas, and how closely the engine must agree with them.

Nothing here uses the engine. Complex step (Squire and Trapp 1998): f(x + i·h·v) = f(x) + i·h·Df(x)·v + O(h²), so for
h = 1e-20 the imaginary part is the derivative, rounded, with no difference taken. It needs a formula that is
holomorphic around x; those in `cases` are, with `np.where` on the real part for |x| and the like.
"""

from __future__ import annotations

import math

import numpy as np

# How closely: every tolerance of the suite

EPS = float(np.finfo(np.float64).eps)

# A derivative is some dozens of rounded operations on arguments chosen so that condition numbers stay below ten or so:
# 2⁸ roundings (6e-14 in float64, 3e-5 in float32). It is relative to the largest element, never to the array's size.
ROUNDINGS = 2.0**8

# Five-point differences err by h⁴f⁽⁵⁾/30 + ε|f|·1.5/h; with h = ε^⅕ both are ε^⅘ (3e-13) times a ratio: f⁽⁵⁾/30f′ is
# at most 5!/30·0.5⁻⁴ = 64 for 1/x at the 0.5 that arguments keep from singularities, and f/f′ of the order of ten.
STEP = EPS ** (1 / 5)
DIFFERENCE = 2.0**10 * EPS ** (4 / 5)

# Second differences err by h⁴f⁽⁶⁾/90 + 5ε|f|/h²; with h = ε^⅙ both are ε^⅔ (4e-11) times such a ratio, 7!/3!/90·0.5⁻⁴.
STEP2 = EPS ** (1 / 6)
DIFFERENCE2 = 2.0**10 * EPS ** (2 / 3)


def rounding(dtype=np.float64) -> float:
    """The tolerance where only rounding separates two results of this dtype."""
    return ROUNDINGS * float(np.finfo(dtype).eps)


def assert_close(actual, expected, tolerance: float = ROUNDINGS * EPS, what: str = "") -> None:
    """Fail unless shapes are equal and no element differs by more than tolerance · max(1, largest |expected|)."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    if not expected.size:
        return
    special = ~np.isfinite(expected)
    np.testing.assert_array_equal(actual[special], expected[special], err_msg=what)
    scale = max(1.0, float(np.max(np.abs(expected[~special]), initial=0.0)))
    error = np.abs(np.where(special, 0, actual) - np.where(special, 0, expected))
    assert np.all(error <= tolerance * scale), (
        f"{what}: off by {np.max(error):.3g}, allowed {tolerance * scale:.3g}\nactual {actual}\nexpected {expected}"
    )


# Derivatives


def complex_step(formula, args, tangents):
    """The derivative of a holomorphic NumPy formula in a direction, to rounding."""
    h = 1e-20
    return np.imag(formula(*[a + 1j * h * t for a, t in zip(args, tangents, strict=True)])) / h


def difference(function, args, tangents, step=STEP):
    """The derivative of any array function in a direction, by five-point central differences."""
    at = lambda k: function(*[a + k * step * t for a, t in zip(args, tangents, strict=True)])
    return (at(-2) - 8 * at(-1) + 8 * at(1) - at(2)) / (12 * step)


def second_difference(function, args, tangents, step=STEP2):
    """The second derivative of an array function in a direction, by five-point central differences."""
    at = lambda k: function(*[a + k * step * t for a, t in zip(args, tangents, strict=True)])
    return (-at(-2) + 16 * at(-1) - 30 * at(0) + 16 * at(1) - at(2)) / (12 * step * step)


def inner(left, right) -> float:
    """⟨left, right⟩ of two tuples of arrays, without conjugation, summed exactly where real."""
    products = [np.ravel(np.asarray(a) * np.asarray(b)) for a, b in zip(left, right, strict=True)]
    flat = np.concatenate(products) if products else np.zeros(0)
    if flat.dtype.kind == "c":
        return complex(math.fsum(flat.real), math.fsum(flat.imag))
    return math.fsum(flat)


# Naive formulas


def cholesky(a):
    """L with LLᵀ = A from the lower triangle of A, without conjugates."""
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


def phases_to_kernel(w, k):
    """Slide 16's mapping: kernel V of size 2k with V_r[j] = w[r + (k−1) − 2j] per axis, phase r, tap j ∈ [−q, q].

    w is (k, k, C, 4F), phase (r_i, r_j) in channels (2r_i + r_j)·F …; V is (2k, 2k, C, F), so that tap j of phase r
    sits at r + (k−1) − 2j of V.
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
