"""Shapes of convolutions, for both devices. `ops/conv.py` defines the three convolutions."""

from __future__ import annotations

from collections.abc import Sequence

Pads = tuple[tuple[int, int], tuple[int, int]]  # ((top, bottom), (left, right))


def out_size(size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], pads: Pads) -> tuple[int, ...]:
    """Height and width of the result, from those of the images (`size`) and of the kernel."""
    return tuple((n + sum(p) - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, pads, strict=True))
