"""Optimisers as pure functions (parameters, gradients, state) -> (parameters, state) over trees of arrays.

`clip_norm` and `average` turn an optimiser into another one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad.core import tree


class Optimiser(NamedTuple):
    """`init(parameters)` creates a state, `update(parameters, gradients, state)` takes one step down the gradient.

    A fourth argument of `update`, a number or an array (), multiplies the learning rate (see `vae.schedules`).
    """

    init: Callable[[Any], Any]
    update: Callable[..., tuple[Any, Any]]


class AdamState(NamedTuple):
    """Steps taken (an int64 that a captured step can increment), and discounted sums of the gradient and its square."""

    step: Any
    first: Any
    second: Any


class MomentumState(NamedTuple):
    """The discounted sum of gradients."""

    velocity: Any


class AverageState(NamedTuple):
    """Steps taken (int64), the mean of the parameters over them, and the state of the optimiser that took them."""

    step: Any
    mean: Any
    inner: Any


def adam(
    learning_rate: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
) -> Optimiser:
    """Kingma and Ba, arXiv:1412.6980, algorithm 1, with sums instead of means:

    m ← β₁m + g,  v ← β₂v + g²,  θ ← θ − α·(a/r)·m / (√v + ε/r)   with a = (1−β₁)/(1−β₁ᵗ) and r² = (1−β₂)/(1−β₂ᵗ)

    where a·m and r²·v are the bias-corrected means of the paper. With `weight_decay` λ it is AdamW (Loshchilov and
    Hutter, arXiv:1711.05101): α·λ·θ is subtracted from θ, too, biases included as in PyTorch.
    """
    _require_positive(learning_rate=learning_rate, epsilon=epsilon)
    if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
        raise ValueError(f"adam: β₁ and β₂ must lie in [0, 1), got {beta1} and {beta2}")
    if not 0 <= weight_decay < math.inf:
        raise ValueError(f"adam: weight decay must be 0 or positive, got {weight_decay}")

    def init(parameters: Any) -> AdamState:
        return AdamState(np.int64(0), tree.map(mg.zeros_like, parameters), tree.map(mg.zeros_like, parameters))

    def update(parameters: Any, gradients: Any, state: AdamState, factor: Any = 1.0) -> tuple[Any, AdamState]:
        t = state.step + 1
        first = tree.map(lambda m, g: beta1 * m + g, state.first, gradients)
        second = tree.map(lambda v, g: beta2 * v + mg.square(g), state.second, gradients)
        root = mg.sqrt((1 - beta2) / (1 - beta2**t))  # float64
        rate, floor = factor * learning_rate * (1 - beta1) / (1 - beta1**t) / root, epsilon / root

        def step(p: Any, m: Any, v: Any) -> Any:
            kept = p if weight_decay == 0 else p * _like(1 - factor * (learning_rate * weight_decay), p)
            return kept - mg.astype(rate, p.dtype) * (m / (mg.sqrt(v) + mg.astype(floor, p.dtype)))

        return tree.map(step, parameters, first, second), AdamState(t, first, second)

    return Optimiser(init, update)


def sgd(learning_rate: float = 1e-3, momentum: float = 0.9) -> Optimiser:
    """v ← momentum·v + g,  θ ← θ − α·v."""
    _require_positive(learning_rate=learning_rate)
    if not 0 <= momentum < 1:
        raise ValueError(f"sgd: momentum must lie in [0, 1), got {momentum}")

    def init(parameters: Any) -> MomentumState:
        return MomentumState(tree.map(mg.zeros_like, parameters))

    def update(parameters: Any, gradients: Any, state: MomentumState, factor: Any = 1.0) -> tuple[Any, MomentumState]:
        velocity = tree.map(lambda v, g: momentum * v + g, state.velocity, gradients)
        stepped = tree.map(lambda p, v: p - _like(factor * learning_rate, p) * v, parameters, velocity)
        return stepped, MomentumState(velocity)

    return Optimiser(init, update)


def clip_norm(optimiser: Optimiser, limit: float) -> Optimiser:
    """The optimiser on gradients g·min(1, limit/‖g‖), with the norm over all parameters (Pascanu et al. 2013)."""
    _require_positive(clip=limit)

    def update(parameters: Any, gradients: Any, state: Any, factor: Any = 1.0) -> tuple[Any, Any]:
        leaves = tree.flatten(gradients)[0]
        norm = mg.sqrt(sum(mg.sum(mg.square(mg.ravel(g)), dtype=np.float64) for g in leaves))
        shrink = limit / mg.maximum(norm, limit)
        return optimiser.update(parameters, tree.map(lambda g: g * _like(shrink, g), gradients), state, factor)

    return Optimiser(optimiser.init, update)


def average(optimiser: Optimiser, decay: float) -> Optimiser:
    """The optimiser, which also keeps a discounted mean of the parameters in its state: θ̄ ← θ̄ + (1 − d)(θ − θ̄).

    d is `decay`, or t/(9 + t) at step t while that is less, so that early steps are soon forgotten (Polyak and Juditsky
    1992; the ramp is that of TensorFlow's ExponentialMovingAverage).
    """
    if not 0 < decay < 1:
        raise ValueError(f"average must lie between 0 and 1, got {decay}")

    def init(parameters: Any) -> AverageState:
        copies = tree.map(lambda p: p + mg.zeros_like(p), parameters)
        return AverageState(np.int64(0), copies, optimiser.init(parameters))

    def update(parameters: Any, gradients: Any, state: AverageState, factor: Any = 1.0) -> tuple[Any, AverageState]:
        parameters, inner = optimiser.update(parameters, gradients, state.inner, factor)
        t = state.step + 1
        moved = 1 - mg.minimum(decay, t / (t + 9.0))
        mean = tree.map(lambda m, p: m + _like(moved, p) * (p - m), state.mean, parameters)
        return parameters, AverageState(t, mean, inner)

    return Optimiser(init, update)


def _like(x: Any, p: Any) -> Any:
    """A number or an array () in the dtype of p, so that it does not promote it."""
    return mg.astype(x, p.dtype) if hasattr(x, "dtype") else x


def _require_positive(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name.replace('_', ' ')} must be a positive number, got {value}")


OPTIMISERS: dict[str, Callable[..., Optimiser]] = {"adam": adam, "adamw": adam, "sgd": sgd}
