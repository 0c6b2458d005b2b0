"""The evidence lower bound of every model of the lecture, whatever its z (slides 6–9)."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg


def elbo(log_joint: Any, log_p: Any, weights: Any = None) -> Any:
    """E_P ln Q(z, y) + H(P) of each y, (N,), in nats, from ln Q(z, y) and ln P(z|y) at several z, (N, Z).

    These are all possible z; or, with `weights` that sum to 1, a sample from P: S draws of weight 1/S, or the nodes of
    a quadrature rule. A z with P(z|y) = 0 adds nothing, since 0 ln 0 = 0; for a point mass H(P) = 0.
    """
    weights = mg.exp(log_p) if weights is None else weights
    possible = mg.greater(log_p, -np.inf)
    log_ratio = mg.where(possible, log_joint, 0.0) - mg.where(possible, log_p, 0.0)
    return mg.sum(weights * log_ratio, axis=1)
