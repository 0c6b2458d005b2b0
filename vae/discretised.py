"""The discretised logistic: a distribution over the 256 values of an 8-bit pixel.

A logistic variable of location m and scale s is rounded to the nearest grey level v ∈ {0, …, 255}; values beyond black
or white count as black or white (Kingma et al. 2016, arXiv:1606.04934; Salimans et al. 2017, arXiv:1701.05517):

    Q(v) = sigmoid(a) − sigmoid(b),    a = (v + ½ − 255m)/255s,    b = (v − ½ − 255m)/255s,

with b = −∞ for v = 0 and a = ∞ for v = 255. Locations, scales and pixels y = v/255 are in units of the range [0, 1].
The a of v is the b of v + 1, so the 256 probabilities sum to 1. A difference of two sigmoids loses digits; its factors
do not: with w = a − b = 1/255s, the width of a grey level in units of s,

    sigmoid(a) − sigmoid(b) = sigmoid(a)·sigmoid(−b)·(1 − e^−w).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import minigrad as mg

WHITE = 255  # the largest of the values 0, …, 255 of a pixel
LIMIT = 10.0  # of |ln s|: with s = e^−10, 1/86 of a grey level, the likeliest value has probability 1 to rounding


def bound_log_scale(x: Any) -> Any:
    """ln s within ±`LIMIT` for any x: a·arctan(x/a), a = 2·LIMIT/π. Near 0 this is x, and its slope is never 0."""
    a = 2 * LIMIT / math.pi
    return a * mg.arctan(x / a)


def log_mass(y: Any, location: Any, log_scale: Any) -> Any:
    """ln Q of each pixel, in nats, for pixels y in [0, 1], which are rounded to a grey level: y is data.

    ln Q = ln sigmoid(a) + ln sigmoid(−b) + ln(1 − e^−w); v = 255 has only the second term, v = 0 only the first. Every
    term is finite for |ln s| ≤ 40, also in float32 and after two derivatives, so that 0 times it is 0.
    """
    v = mg.rint(WHITE * y)
    w = mg.exp(-log_scale) / WHITE
    centre = v - WHITE * location
    below_white = mg.where(v < WHITE, mg.log_sigmoid((centre + 0.5) * w), 0)
    above_black = mg.where(v > 0, mg.log_sigmoid((0.5 - centre) * w), 0)
    return below_white + above_black + mg.where((v > 0) & (v < WHITE), mg.log(-mg.expm1(-w)), 0)


def draw_levels(key: Any, location: Any, log_scale: Any) -> Any:
    """Pixels v/255 of this distribution: m + s·ln(u/(1−u)), u uniform, is logistic; rounded and clipped to a level v.

    A u of 0 counts as half the distance of the numbers that u can be, so that its logarithm is finite.
    """
    u = mg.random.uniform(key, location.shape, location.dtype)
    u = mg.maximum(u, np.finfo(location.dtype).eps / 4)
    x = location + mg.exp(log_scale) * (mg.log(u) - mg.log1p(-u))
    return mg.clip(mg.rint(WHITE * x), 0, WHITE) / WHITE


def clipped_mean(location: Any, log_scale: Any) -> Any:
    """The mean of the logistic clipped to [0, 1], not rounded to grey levels, in [0, 1].

    It is ∫ P(y > x) dx = ∫ sigmoid((m−x)/s) dx over [0, 1] = s·(softplus(m/s) − softplus((m−1)/s)). The mean of the
    rounded variable, Σ P(v ≥ k)/255 over k = 1 … 255, is the midpoint rule for this integral with 255 cells. The
    integrand decreases by at most 1, so the two differ by at most half a cell: half a grey level, 1/510. For s > 1 the
    two terms cancel, and rounding adds up to 5·ε·s.
    """
    scale = mg.exp(log_scale)
    mean = scale * (mg.softplus(location / scale) - mg.softplus((location - 1) / scale))
    return mg.clip(mean, 0, 1)  # rounding may leave the range
