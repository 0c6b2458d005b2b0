"""Optimisers as pure functions (parameters, gradients, state) -> (parameters, state) over trees of arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad.core import tree


class Optimiser(NamedTuple):
    """`init(parameters)` creates a state, `update(parameters, gradients, state)` takes one step down the gradient."""

    init: Callable[[Any], Any]
    update: Callable[[Any, Any, Any], tuple[Any, Any]]


class AdamState(NamedTuple):
    """Steps taken (an int64 that a captured step can increment), and discounted sums of the gradient and its square."""

    step: Any
    first: Any
    second: Any


class MomentumState(NamedTuple):
    """The discounted sum of gradients."""

    velocity: Any


def adam(learning_rate: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> Optimiser:
    """Kingma and Ba, arXiv:1412.6980, algorithm 1, with sums instead of means:

    m ← β₁m + g,  v ← β₂v + g²,  θ ← θ − α·(a/r)·m / (√v + ε/r)   with a = (1−β₁)/(1−β₁ᵗ) and r² = (1−β₂)/(1−β₂ᵗ)

    where a·m and r²·v are the bias-corrected means of the paper.
    """
    _require_positive(learning_rate=learning_rate, epsilon=epsilon)
    if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
        raise ValueError(f"adam: β₁ and β₂ must lie in [0, 1), got {beta1} and {beta2}")

    def init(parameters: Any) -> AdamState:
        return AdamState(np.int64(0), tree.map(mg.zeros_like, parameters), tree.map(mg.zeros_like, parameters))

    def update(parameters: Any, gradients: Any, state: AdamState) -> tuple[Any, AdamState]:
        t = state.step + 1
        first = tree.map(lambda m, g: beta1 * m + g, state.first, gradients)
        second = tree.map(lambda v, g: beta2 * v + mg.square(g), state.second, gradients)
        root = mg.sqrt((1 - beta2) / (1 - beta2**t))  # float64
        rate, floor = learning_rate * (1 - beta1) / (1 - beta1**t) / root, epsilon / root

        def step(p: Any, m: Any, v: Any) -> Any:
            return p - mg.astype(rate, p.dtype) * (m / (mg.sqrt(v) + mg.astype(floor, p.dtype)))

        return tree.map(step, parameters, first, second), AdamState(t, first, second)

    return Optimiser(init, update)


def sgd(learning_rate: float = 1e-3, momentum: float = 0.9) -> Optimiser:
    """v ← momentum·v + g,  θ ← θ − α·v."""
    _require_positive(learning_rate=learning_rate)
    if not 0 <= momentum < 1:
        raise ValueError(f"sgd: momentum must lie in [0, 1), got {momentum}")

    def init(parameters: Any) -> MomentumState:
        return MomentumState(tree.map(mg.zeros_like, parameters))

    def update(parameters: Any, gradients: Any, state: MomentumState) -> tuple[Any, MomentumState]:
        velocity = tree.map(lambda v, g: momentum * v + g, state.velocity, gradients)
        return tree.map(lambda p, v: p - learning_rate * v, parameters, velocity), MomentumState(velocity)

    return Optimiser(init, update)


def _require_positive(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name.replace('_', ' ')} must be a positive number, got {value}")


OPTIMISERS: dict[str, Callable[..., Optimiser]] = {"adam": adam, "sgd": sgd}
