"""Factors that change during training, as functions of the time t in epochs: batch j of n in epoch e has t = e + j/n.

A factor multiplies the learning rate, or the weight of the KL. It is computed with minigrad operations from an array t
(), float64, so it can be a part of a captured step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import minigrad as mg

Schedule = Callable[[Any], Any]


def cosine(epochs: float, last: float = 0.0) -> Schedule:
    """From 1 at the beginning to `last` after so many epochs: last + (1 − last)·½(1 + cos πt/epochs) (Loshchilov and
    Hutter, arXiv:1608.03983)."""
    return lambda t: last + (1 - last) * 0.5 * (1 + mg.cos(mg.minimum(t / epochs, 1.0) * math.pi))


def step(milestones: Sequence[float], decay: float) -> Schedule:
    """Multiplied by `decay` at each of the milestones."""
    return lambda t: _stairs([decay**i for i in range(len(milestones) + 1)], milestones, t)


def iwae() -> Schedule:
    """That of the IWAE paper (Burda et al. 2015, section 5): 10^(−i/7), rounded as in its code, for 3^i epochs,
    i = 0 … 7, in all 3280."""
    factors = [round(10 ** (1 - i / 7), 1) / 10 for i in range(8)]
    return lambda t: _stairs(factors, [(3**i - 1) // 2 for i in range(1, 8)], t)


def warm_up(epochs: float) -> Schedule:
    """From 0 to 1, linearly in so many epochs."""
    return lambda t: mg.minimum(t / epochs, 1.0)


def _stairs(values: Sequence[float], edges: Sequence[float], t: Any) -> Any:
    """values[0] before the first edge, values[1] from there on, …"""
    found = values[0] + 0.0 * t
    for edge, value in zip(edges, values[1:], strict=True):
        found = mg.where(t >= edge, value, found)
    return found
