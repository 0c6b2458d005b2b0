"""Random streams in NumPy: Philox words, and the uniform and normal numbers made from them (see `backends/streams.py`).

The code is written against an array namespace `xp`, NumPy or CuPy, and needs a little-endian machine. It uses integer
operations and IEEE +, −, ×, √, one array operation at a time, in a fixed order. No operations are fused or reordered,
ln and cos are our own polynomials, and no intermediate number is subnormal (some devices flush those to zero). That is
why two devices give the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minigrad.backends.streams import DRAW

Array = Any  # of the namespace `xp`
Numbers = Callable[[Array, Array], Array]  # (words, scratch) -> numbers with as many bytes as the words

BLOCK = 16384  # counters in a block: fastest on cores with 1 MiB of L2 cache
ROWS = 9  # rows of scratch, of 8 bytes per counter: two 32-bit numbers, or one of 64 bits
LOW = 0xFFFFFFFF  # the low half of a 64-bit lane


def philox(xp: ModuleType, key: Array, c0: Array, c1: Array, c2: Array, c3: Array, scratch: Array = None) -> Array:
    """Philox4x32-10 of n counters: uint32 (4n,), four words per counter.

    `key` is uint32 (2,), or (2, n) with one for each counter, `c0` uint64 (n,) of numbers below 2³², the other counter
    words likewise or one number each.
    `scratch`, uint64 (ROWS, n), is overwritten and holds the result in its last two rows. One round is

        hi0:lo0 = 0xD2511F53·c0    hi1:lo1 = 0xCD9E8D57·c2    (c0, c1, c2, c3) ← (hi1^c1^k0, lo1, hi0^c3^k1, lo0)

    and from round to round k0 += 0x9E3779B9, k1 += 0xBB67AE85. Words are the low halves of 64-bit integers. The high
    halves of the even words are zero; those of the odd words hold the rest of their product.
    """
    n = c0.size
    scratch = xp.empty((ROWS, n), xp.uint64) if scratch is None else scratch
    even, odd, product, words = scratch[0:2], scratch[2:4], scratch[4:6], scratch[-2:].reshape(n, 2)
    even[0], odd[0], even[1], odd[1] = c0, c1, c2, c3
    c0, c2 = even
    rounds = xp.arange(10, dtype=xp.uint64).reshape(10, *key.shape[1:] and (1,))
    for k0, k1 in zip((key[0] + rounds * 0x9E3779B9) & LOW, (key[1] + rounds * 0xBB67AE85) & LOW):
        xp.multiply(c2, 0xCD9E8D57, out=product[0])
        xp.multiply(c0, 0xD2511F53, out=product[1])
        xp.right_shift(product, 32, out=even)
        even ^= odd
        c0 ^= k0
        c2 ^= k1
        even &= LOW
        odd, product = product, odd
    odd <<= 32
    xp.bitwise_or(even, odd, out=words.T)
    return words.reshape(-1).view(xp.uint32)


def _draw(xp: ModuleType, key: Array, out: Array, offset: Any, block: int, lane: int, numbers_of: Numbers) -> Array:
    """Fill `out` with numbers offset, offset + 1, … of a stream, in blocks of equal length.

    The first counter may begin before `offset` and the last block may run past the end; surplus numbers are dropped.
    """
    if out.size == 0:
        return out
    if key.ndim == 2:
        return _draw_rows(xp, key, out, offset, block, lane, numbers_of)
    each, end = 16 // out.itemsize, offset + out.size  # numbers per counter; the position after the last number
    first, last = offset // each, -(-end // each)
    blocks = -(-(last - first) // block)
    n = -(-(last - first) // blocks)
    steps, scratch = xp.arange(n, dtype=xp.uint64), xp.empty((ROWS, n), xp.uint64)
    for start in range(first, last, n):
        counter = steps + start
        numbers = numbers_of(philox(xp, key, counter & LOW, counter >> 32, 0, lane, scratch), scratch)
        base = start * each
        low, high = max(base, offset), min(base + n * each, end)
        out[low - offset : high - offset] = numbers[low - base : high - base]
    return out


def _draw_rows(
    xp: ModuleType, keys: Array, out: Array, offsets: Array, block: int, lane: int, numbers_of: Numbers
) -> Array:
    """Fill each row of `out` from the stream of its own key and offset, many short rows at once."""
    rows, size = out.shape
    each = 16 // out.itemsize
    n = (size - 1) // each + 2  # counters in a row, which may begin inside the first
    together = max(1, block // n)
    steps, scratch = xp.arange(n, dtype=xp.uint64), xp.empty((ROWS, together * n), xp.uint64)
    for first in range(0, rows, together):
        part = slice(first, min(first + together, rows))
        begin, skip = xp.divmod(offsets[part, None], each)
        counter, count = (steps + begin.astype(xp.uint64)).reshape(-1), (part.stop - first) * n
        key = xp.repeat(keys[part].T, n, axis=1)
        used = scratch.reshape(-1)[: ROWS * count].reshape(ROWS, count)
        numbers = numbers_of(philox(xp, key, counter & LOW, counter >> 32, 0, lane, used), used).reshape(-1, n * each)
        out[part] = xp.take_along_axis(numbers, skip + xp.arange(size), axis=1)
    return out


def _output(xp: ModuleType, size: int, dtype: Any, out: Array | None) -> Array:
    return xp.empty(size, dtype) if out is None else out


def random_bits(
    xp: ModuleType, key: Array, size: int, offset: int = 0, block: int = BLOCK, lane: int = DRAW, out: Array = None
) -> Array:
    """Words offset … offset + size of the stream of `key`: uint32 (size,).

    `offset` may be up to 2⁶², and a draw equals the same slice of every longer draw; both hold for the two functions
    below too. `block` is the number of counters computed at once: as many as fit in cache, or in memory on a GPU. It
    affects the speed, never the numbers. `out`, if given, is filled and returned. With (n, 2) keys and (n,) offsets it
    is (n, size), with a stream in each row.
    """
    return _draw(xp, key, _output(xp, size, xp.uint32, out), offset, block, lane, lambda words, scratch: words)


class Format(NamedTuple):
    """A floating-point format and two polynomials for it, given by their coefficients, the constant first."""

    real: type
    signed: type
    unsigned: type
    bits: int
    digits: int  # of the significand, the hidden one included
    root_half: int  # the bits of √½
    log: tuple[float, ...]  # (2f − 2 ln(1+f)) / f²  for  √½ ≤ 1+f ≤ √2, in f
    sine: tuple[float, ...]  # (sin(xπ/2)/x − 1) / t  for  |x| ≤ 1 and t = 1 − x², in t


# Fitted to the relative error of ln(1 + f) and of the sine by least squares at Chebyshev nodes, six per coefficient, in
# 50 digits (mpmath). Coefficients were rounded one by one, the constant first, and the rest fitted again each
# time. Largest relative error of logarithm, sine: 2^−27.7, 2^−27.3 (float32); 2^−56.5, 2^−60.4 (float64).
# fmt: off
FORMATS = (
    Format(
        np.float32, np.int32, np.uint32, bits=32, digits=24, root_half=0x3F3504F3,
        log=(0.99999976, -0.66666675, 0.500032, -0.40002474, 0.33216357, -0.28390786, 0.2652722, -0.2565503,
             0.14958704),
        sine=(0.4999998, 0.06657699, 0.0040682442, 0.00015129439),
    ),
    Format(
        np.float64, np.int64, np.uint64, bits=64, digits=53, root_half=0x3FE6A09E667F3BCD,
        log=(1.0000000000000009, -0.666666666666659, 0.499999999999468, -0.4000000000022548, 0.33333333342970745,
             -0.28571428552749123, 0.24999999195118291, -0.2222222256881958, 0.2000003650656971, -0.18181843152029648,
             0.166657063096351, -0.15383080740431865, 0.14300361047394775, -0.13369678340628147, 0.12382437951054204,
             -0.11328412054198515, 0.11399310455690485, -0.1305541442400529, 0.11891635423254239,
             -0.051321003266075034),
        sine=(0.49999999999999994, 0.06657486246595908, 0.004074862465942106, 0.0001432778057284354,
              3.2710232154478955e-06, 5.2406724608668484e-08, 6.214528507392945e-10, 5.874149953580066e-12),
    ),
)
# fmt: on


def _format(dtype: Any) -> Format:
    for form in FORMATS:
        if dtype is not None and np.dtype(dtype) == form.real:
            return form
    raise TypeError(f"random numbers come as float32 or float64, not {dtype!r}: draw one of those and convert it")


def random_uniform(
    xp: ModuleType,
    key: Array,
    size: int,
    dtype: Any,
    offset: int = 0,
    block: int = BLOCK,
    lane: int = DRAW,
    out: Array = None,
) -> Array:
    """Uniform numbers offset … offset + size on [0, 1): `dtype` (size,).

    float32: number i is the top 24 bits of word i, times 2⁻²⁴. float64: the top 53 bits of the 64-bit word whose
    halves are word 2i (low) and word 2i+1 (high), times 2⁻⁵³. Raises TypeError for another dtype.
    """
    form = _format(dtype)

    def uniforms(words: Array, scratch: Array) -> Array:
        integers, numbers = words.view(form.unsigned), scratch[:2].reshape(-1).view(form.real)
        integers >>= form.bits - form.digits
        numbers[...] = integers.view(form.signed)
        numbers *= 2.0**-form.digits
        return numbers

    return _draw(xp, key, _output(xp, size, form.real, out), offset, block, lane, uniforms)


def random_normal(
    xp: ModuleType,
    key: Array,
    size: int,
    dtype: Any,
    offset: int = 0,
    block: int = BLOCK,
    lane: int = DRAW,
    out: Array = None,
) -> Array:
    """Standard normal numbers offset … offset + size: `dtype` (size,).

    Numbers 2j and 2j+1 are a Box–Muller (1958) pair made from two words v and w of B bits: words 2j and 2j+1 of the
    stream for float32 (B = 32), and for float64 (B = 64) words 4j … 4j+3, joined in pairs as in `random_uniform`.

        u = (v >> 1 | 1) · 2^(1−B), rounded to dtype            r = √(−2 ln u)
        a = (w >> (B−p−1) | 1) · 2^−p, where w is signed        (−1)^w · r cos(aπ/2)  and  r sin(aπ/2)

    With p the 24 or 53 digits of dtype, a is an odd multiple of 2^−p in (−1, 1), exact as is 1−|a|; its angle covers
    the right half circle, and the low bit of w reflects it to the left. u is never 0: |number| ≤ 6.56 (float32) or
    9.35 (float64). The rounding error is half an ulp on average, at most 2.1 ulp in 999 of 1000 numbers, and was at
    most 3.2 ulp in 2·10⁸ float32 numbers.
    Raises TypeError for another dtype.
    """
    form = _format(dtype)

    def normals(words: Array, scratch: Array) -> Array:
        pairs = words.view(form.unsigned).reshape(-1, 2)  # (m, 2)
        rows = scratch.view(form.real)  # (ROWS, m)
        sines, radii = rows[0:2], rows[2]
        _radii(xp, form, pairs[:, 0], rows[0], rows[1], out=radii)
        _sines(xp, form, pairs[:, 1], rows[3:5], rows[5:7], out=sines)
        numbers = pairs.view(form.real)  # in the memory of the words, no longer needed
        xp.multiply(sines[0], radii, out=numbers[:, 0])
        xp.multiply(sines[1], radii, out=numbers[:, 1])
        return numbers.reshape(-1)

    return _draw(xp, key, _output(xp, size, form.real, out), offset, block, lane, normals)


def _radii(xp: ModuleType, form: Format, v: Array, row: Array, spare: Array, out: Array) -> None:
    """√(−2 ln u). With u = (1+f)·2^−e, −2 ln u = f²·log(f) − 2f + e·2 ln 2; `row` holds u, then f, then e."""
    u = f = e = row
    bits, integers = row.view(form.signed), spare.view(form.signed)
    one = 1 << (form.digits - 1)  # the lowest bit of the exponent
    xp.right_shift(v, 1, out=spare.view(form.unsigned))
    integers |= 1
    u[...] = integers
    u *= 2.0 ** (1 - form.bits)
    xp.subtract(form.root_half + one - 1, bits, out=integers)
    integers &= -one  # e · one
    bits += integers
    f -= 1
    _polynomial(xp, form.log, f, out)
    out *= f
    out *= f
    f *= 2
    out -= f
    e[...] = integers
    e *= 2 * math.log(2) / one
    out += e
    xp.sqrt(out, out=out)


def _sines(xp: ModuleType, form: Format, w: Array, arguments: Array, spare: Array, out: Array) -> None:
    """(−1)^w cos(aπ/2) and sin(aπ/2), the rows of `out`.

    Both are sin(xπ/2) = x + x·t·sine(t) with t = 1 − x², at x = ±(1−|a|) and at x = a: no digits cancel near zeros.
    """
    x, a = arguments
    x_bits, integers, sign = x.view(form.unsigned), spare[0].view(form.signed), spare[1].view(form.unsigned)
    sign[...] = w
    xp.right_shift(sign.view(form.signed), form.bits - form.digits - 1, out=integers)
    integers |= 1
    a[...] = integers
    a *= 2.0**-form.digits
    xp.abs(a, out=x)
    xp.subtract(1, x, out=x)
    sign <<= form.bits - 1
    x_bits |= sign
    t = spare
    xp.multiply(arguments, arguments, out=t)
    xp.subtract(1, t, out=t)
    _polynomial(xp, form.sine, t, out)
    out *= t
    out *= arguments
    out += arguments


def _polynomial(xp: ModuleType, coefficients: tuple[float, ...], x: Array, out: Array) -> None:
    """Horner's rule: c₀ + x·(c₁ + x·(c₂ + …))."""
    xp.multiply(x, coefficients[-1], out=out)
    for c in coefficients[-2:0:-1]:
        out += c
        out *= x
    out += coefficients[0]
