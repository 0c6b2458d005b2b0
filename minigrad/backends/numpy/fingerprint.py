"""Fingerprints: hashes that show whether an array has changed."""

from __future__ import annotations

import numpy as np

from minigrad.backends.numpy.streams import random_bits

SMALL = 256  # bytes: up to this size, the bytes themselves are the fingerprint
WORDS = 4096
WEIGHTS = random_bits(np, np.zeros(2, np.uint32), 2 * WORDS).view(np.uint64) | np.uint64(1)


def fingerprint(x: np.ndarray) -> int:
    """The bytes of a small array as one integer; of others, Σᵢⱼ w[i,j]·a[j]·b[i] mod 2⁶⁴ over the 32-bit words w, in
    blocks i, with fixed random odd a and b.

    Changing one word always changes the sum: its difference times odd numbers is not 0 mod 2⁶⁴. Several changes cancel
    with probability 2⁻³³ or less, even if only top bits (signs) change, because words fill half of the 64 bits.
    """
    if 0 in x.strides:  # read broadcast axes once
        x = x[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in x.strides)]
    if x.nbytes <= SMALL:
        return int.from_bytes(x.tobytes("A"), "little")
    x = x.T if x.flags.f_contiguous else np.ascontiguousarray(x)
    raw = x.reshape(-1).view(np.uint8)
    words = raw[: len(raw) // 4 * 4].view(np.uint32)
    blocks = len(words) // WORDS
    sums = np.einsum("ij,j->i", words[: blocks * WORDS].reshape(blocks, WORDS), WEIGHTS)
    tail = words[blocks * WORDS :]
    total = int(tail @ WEIGHTS[: len(tail)]) + 3 * int.from_bytes(raw[len(words) * 4 :].tobytes(), "little")
    for i in range(0, blocks, WORDS):
        part = sums[i : i + WORDS]
        total = total * 0x9E3779B97F4A7C15 + int(part @ WEIGHTS[: len(part)])
    return total & (2**64 - 1)
