"""Elementwise functions that NumPy lacks or computes slowly: the error function, and `where`.

For |x| < 1, erf x = x·P(x²); beyond, erf x = sign(x)·(1 − e^−x²·Q(s)) where Q interpolates e^x²·erfc x in
s = (3/(3+|x|) − 13/24)·24/5, which maps [1, 6] to [1, −1]; past 6 it is ±1. Coefficients are Chebyshev fits made with
mpmath (40 digits); the truncation errors are 1.3e-19 and 5.3e-18. In float64 the error is at most 2 ulp.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backends.backend import store
from minigrad.backends.numpy.scratch import scratch

INNER = (
    5.957176147748911e-11,
    -1.1372848856791674e-09,
    1.4659775274047436e-08,
    -1.6350312701054695e-07,
    1.6461000484121368e-06,
    -1.4925595266831182e-05,
    0.0001205533111164271,
    -0.000854832698083379,
    0.0052239776248180145,
    -0.026866170645076792,
    0.11283791670954879,
    -0.3761263890318375,
    1.1283791670955126,
)
OUTER = (
    -6.697645564790815e-15,
    6.043792147788813e-12,
    -6.02173256030324e-12,
    -2.5700407551346905e-10,
    2.637756022974126e-10,
    1.133933573114706e-08,
    4.5267318133461335e-09,
    -5.54127309801664e-07,
    -2.425557485042923e-06,
    1.956358319778174e-05,
    0.0003316029605792838,
    0.002479314697086253,
    0.012713147695691918,
    0.04969844540339414,
    0.15436117429436919,
    0.20798329133342885,
)


def erf(x: Any, out: Any = None) -> Any:
    """erf x in the dtype of x. Raises TypeError for complex x."""
    x = np.asarray(x)
    if x.dtype.kind == "c":
        raise TypeError(f"erf takes real numbers only, got {x.dtype}")
    x = x if x.dtype.kind == "f" else x.astype(np.float64)
    size = np.minimum(np.abs(x), 6)
    inner = x * _horner(INNER, np.minimum(size, 1) ** 2)
    outer = 1 - np.exp(-(size * size)) * _horner(OUTER, (3 / (3 + np.maximum(size, 1)) - 13 / 24) * 4.8)
    return np.add(np.where(size < 1, inner, np.copysign(outer, x)), 0, out=out)


def _horner(coefficients: tuple[float, ...], x: Any) -> Any:
    total = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        total *= x
        total += c
    return total


def where(condition: Any, x1: Any, x2: Any, out: Any = None) -> Any:
    """np.where on the bits of numbers: x₂ ^ ((x₁ ^ x₂) & mask).

    np.where branches on every element, and half of the branches on a random mask (a ReLU's, say) are mispredicted; this
    is about ten times as fast on large arrays, and gives the same bits.
    """
    dtype = np.result_type(x1, x2)
    mask = np.asarray(condition)
    if mask.dtype != bool or dtype not in (np.float32, np.float64) or mask.size < 4096:
        return store(np.where(condition, x1, x2), out)
    word = np.dtype(f"i{dtype.itemsize}")
    first, second = (np.asarray(x, dtype).view(word) for x in (x1, x2))
    bits = np.negative(mask.view(np.int8), dtype=word, out=scratch("where", mask.shape, word))  # all ones where true
    shape = np.broadcast_shapes(mask.shape, first.shape, second.shape)
    fits = out is not None and out.shape == shape and out.dtype == dtype
    y = out if fits else np.empty(shape, dtype)
    if np.ndim(x2) == 0 and not second:
        np.bitwise_and(bits, first, out=y.view(word))
    else:
        np.bitwise_xor(np.bitwise_and(bits, np.bitwise_xor(first, second)), second, out=y.view(word))
    return store(y, None if fits else out)
