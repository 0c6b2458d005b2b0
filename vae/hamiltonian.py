"""Hamiltonian Monte Carlo: moves that leave f_β(u) ∝ N(u; 0, I) · e^{β r(u)} unchanged (Neal 2011).

A move draws a momentum p ~ N(0, I), follows L leapfrog steps of size h through the energy
H(u, p) = −ln f_β(u) + ½‖p‖², and accepts where it ends with probability min(1, e^{−ΔH}):

    p ← p + ½h ∂ ln f_β(u);   u ← u + h p;   p ← p + ½h ∂ ln f_β(u),      ∂ ln f_β(u) = −u + β ∂r(u)

The state keeps r and ∂r, so that another β needs no new derivative. A trajectory that ends at infinity or NaN is
rejected. Each move multiplies h by a random factor in 0.8 … 1.2, independent of the state, so that no orbit is closed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg

JITTER = 0.2


class Point(NamedTuple):
    """Where all chains are: u (chains, N, d), r(u) (chains, N), and ∂r/∂u (chains, N, d)."""

    u: Any
    ratio: Any
    slope: Any


class Moves(NamedTuple):
    """`start(u, *data)` returns the Point of u; `move(point, key, step, beta, *data)` returns the next Point and the
    acceptance probability (chains, N), for step sizes h (N,)."""

    start: Callable[..., Point]
    move: Callable[..., tuple[Point, Any]]


def make_moves(ratio: Callable[..., Any], leapfrog: int) -> Moves:
    """The moves of L = `leapfrog` steps for r = ratio(u, *data), (chains, N), in nats.

    One leapfrog step is captured once, with β, the step sizes and the data as its arguments, and replayed.
    """

    def evaluate(u: Any, *data: Any) -> Point:
        def total(u: Any) -> tuple[Any, Any]:
            r = ratio(u, *data)
            return mg.sum(r), r  # a chain's r depends on its own u alone

        (_, r), slope = mg.value_and_grad(total, has_aux=True)(u)
        return Point(u, r, slope)

    def leap(point: Point, momentum: Any, step: Any, beta: Any, *data: Any) -> tuple[Point, Any]:
        momentum = momentum + 0.5 * step * (beta * point.slope - point.u)
        point = evaluate(point.u + step * momentum, *data)
        return point, momentum + 0.5 * step * (beta * point.slope - point.u)

    captured = mg.jit(leap)

    def move(point: Point, key: Any, step: Any, beta: float, *data: Any) -> tuple[Point, Any]:
        shape, dtype = point.u.shape, point.u.dtype
        of_momentum, of_step, of_choice = mg.random.split(key, 3)
        jitter = 1 + JITTER * (2 * mg.random.uniform(of_step, shape[:2], dtype) - 1)
        size, at = (step * jitter)[..., None], dtype.type(beta)  # (chains, N, 1), ()
        momentum = mg.random.normal(of_momentum, shape, dtype)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # diverged trajectories are rejected
            before, proposed = _energy(point, momentum, at), point
            for _ in range(leapfrog):
                proposed, momentum = captured(proposed, momentum, size, at, *data)
            difference = before - _energy(proposed, momentum, at)
        probability = mg.where(mg.isfinite(difference), mg.exp(mg.minimum(difference, 0)), 0)
        accepted = mg.random.uniform(of_choice, shape[:2], dtype) < probability
        return _choose(accepted, proposed, point), probability

    return Moves(mg.jit(evaluate), move)


def _energy(point: Point, momentum: Any, beta: Any) -> Any:
    """H = ½‖u‖² − β r(u) + ½‖p‖², (chains, N), in nats."""
    return 0.5 * mg.sum(mg.square(point.u) + mg.square(momentum), axis=-1) - beta * point.ratio


def _choose(accepted: Any, new: Point, old: Point) -> Point:
    """The new state of the chains that accepted it, (chains, N), and the old one of the others."""
    each = accepted[..., None]
    return Point(
        mg.where(each, new.u, old.u), mg.where(accepted, new.ratio, old.ratio), mg.where(each, new.slope, old.slope)
    )
