"""Check the gradients of an autoencoder: every parameter tensor against finite differences.

With ε frozen the ELBO is an ordinary function of the parameters (slides 11–13). In float64, for single entries and
along random directions through all parameters, five-point differences must agree with reverse mode to 1e-7 of the
largest gradient entry of the tensor; and with J the Jacobian of its terms, ⟨Jv, u⟩ = ⟨v, Jᵀu⟩ to 1e-12.

The networks keep their ReLUs, which have kinks. If the stencil of an entry straddles one, smaller steps are tried,
until rounding would dominate the difference; then another entry takes its place. The report counts both.

The gradient is the one that training uses, `vae.estimators.bound_and_gradient`. On several processes
(`minigrad.collectives`) it is the sum over processes, each with its own part of the images, and the differences are
those of the whole loss, which every process computes by itself.

A difference has an error of its own: truncation, and rounding of the loss divided by the step. Both are estimated. If
no step brings them below the tolerance (because the entry hardly changes a huge loss), the entry counts as undecided,
and reverse mode must agree within that error. In every tensor at least one difference must be accurate to 1e-4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import checks, collectives
from minigrad.checks import Difference
from minigrad.core import tree
from vae.autoencoder import Autoencoder
from vae.differences import differentiate, measure_rounding
from vae.estimators import bound_and_gradient, make_surrogate
from vae.gradient_report import COARSE, TOLERANCE, Coordinate, GradientReport, TensorReport, find_worst
from vae.models import Parameters
from vae.objectives import UNWEIGHTED, Weights


def check(
    autoencoder: Autoencoder,
    images: Any,
    noise: Any,
    form: str = "closed",
    weights: Weights = UNWEIGHTED,
    objective: str = "elbo",
    coordinates: int = 30,
    directions: int = 5,
    seed: int = 0,
    on_tensor: Callable[[TensorReport], None] = lambda tensor: None,
    device: str = "cpu",
) -> GradientReport:
    """Check the gradient of −mean ELBO in all parameters, for images (N, H, W, C) and frozen noise ([K,] N, latent).

    Other `weights` and another `objective` give the gradient of another loss, or an estimate of it, which is the
    derivative of `vae.estimators.make_surrogate`. Everything is computed in float64, the model and its gradients on
    `device`. Each tensor is checked in its largest gradient entry and in randomly drawn ones, `coordinates` in all, or
    in every entry if it has fewer.
    """
    parameters, images, noise = tree.map(lambda x: np.asarray(x, np.float64), (autoencoder.parameters, images, noise))
    images, noise = mg.to_device((images, noise), device)

    def own_gradient() -> Parameters:
        """That of the loss of this process's images."""
        rank, size = collectives.rank(), collectives.size()
        rows = slice(len(images) * rank // size, len(images) * (rank + 1) // size)
        given = images[rows], noise[..., rows, :], objective, form, weights
        return bound_and_gradient(at, *given, scale=-1 / len(images))[1]

    def terms_on_device(p: Parameters) -> Any:
        """The terms of the loss; differences are taken term by term and then added, which reduces rounding error."""
        return mg.concatenate([mg.ravel(part) * (-1 / len(images)) for part in surrogate(p)])

    def terms(p: Parameters) -> Any:
        return terms_on_device(mg.to_device(p, device))

    def dependent_terms(i: int) -> Any:
        """The terms that depend on leaf i."""
        v = [np.zeros_like(x) for x in leaves]
        v[i] = mg.random.normal(keys[i], leaves[i].shape, np.float64)
        values, slopes = mg.jvp(terms_on_device, (on_device,), (mg.to_device(tree.unflatten(structure, v), device),))
        return mg.to_device(values[slopes != 0], "cpu")

    on_device = mg.to_device(parameters, device)
    at = autoencoder.with_parameters(on_device)
    surrogate = make_surrogate(at, images, noise, objective, form, weights)
    gradient = mg.to_device(collectives.all_sum(own_gradient()), "cpu")
    leaves, structure = tree.flatten(parameters)
    gradients, names = tree.flatten(gradient)[0], tree.names(parameters)
    keys = mg.random.split(mg.random.key(seed), len(leaves) + 2)
    largest = max(float(np.max(np.abs(g))) for g in gradients) or 1.0
    found: list[Coordinate] = []
    tensors: list[TensorReport] = []
    for i, (name, g) in enumerate(zip(names, gradients, strict=True)):

        def with_leaf(leaf: np.ndarray, i: int = i) -> Any:
            return terms(tree.unflatten(structure, [*leaves[:i], leaf, *leaves[i + 1 :]]))

        rounding = measure_rounding(with_leaf, leaves[i], mg.random.fold_in(keys[-2], i), dependent_terms(i), 6)
        tensor, checked = _check_tensor(name, leaves[i], g, with_leaf, rounding, keys[i], coordinates, largest)
        tensors.append(tensor)
        found += checked
        on_tensor(tensor)
    rounding = measure_rounding(terms, parameters, keys[-2], mg.to_device(terms(parameters), "cpu"))
    directional = _check_directions(terms, parameters, gradient, rounding, keys[-1], directions)
    return GradientReport(
        tuple(tensors), directional, checks.adjoint_gap(terms_on_device, (on_device,), seed), tuple(found)
    )


def _check_tensor(
    name: str,
    leaf: np.ndarray,
    gradient: np.ndarray,
    terms: Callable,
    rounding: float,
    key: Any,
    wanted: int,
    fallback: float = 1.0,
) -> tuple[TensorReport, list[Coordinate]]:
    """Compare entries of one gradient tensor with differences of the loss; `fallback` is the scale if all are 0."""
    order = np.argsort(mg.random.bits(key, (gradient.size,)), kind="stable").tolist()
    largest = int(np.argmax(np.abs(gradient)))
    order.remove(largest)
    scale = float(np.max(np.abs(gradient)))
    start = checks.decisions(terms, leaf)
    compared: list[tuple[tuple[int, ...], float, Difference]] = []
    kinks = redrawn = 0
    for flat in (largest, *order):
        if len(compared) == wanted:
            break
        index = tuple(map(int, np.unravel_index(flat, gradient.shape)))

        def terms_at(t: float, index: tuple[int, ...] = index) -> Any:
            moved = leaf.copy()
            moved[index] += t
            return terms(moved)

        unit = max(1.0, abs(float(leaf[index])))
        found, crossed = differentiate(terms_at, start, rounding, TOLERANCE * (scale or fallback), unit)
        kinks += crossed
        if crossed and not found.error <= COARSE * (scale or fallback):
            redrawn += 1
        else:
            compared.append((index, float(gradient[index]), found))
    scale = scale or max((_significant_size(d) for *_, d in compared), default=0.0) or fallback
    checked = [Coordinate(name, at, g, d.value, abs(d.value - g) / scale, d.error / scale) for at, g, d in compared]
    return _summarise(name, gradient.shape, checked, kinks, redrawn), checked


def _summarise(name: str, shape: tuple[int, ...], checked: list[Coordinate], kinks: int, redrawn: int) -> TensorReport:
    errors = [c.relative for c in checked if c.decided or c.wrong]
    own = [c.uncertainty for c in checked]
    seen = bool(own) and min(own) <= COARSE
    worst = find_worst(errors) if errors or not seen else 0.0
    return TensorReport(
        name, shape, len(checked), kinks, redrawn, worst, len(checked) - len(errors), max(own, default=0.0), seen
    )


def _draw_direction(leaves: list, key: Any) -> list:
    """A random direction of length 1 through all parameters."""
    v = [mg.random.normal(k, x.shape, np.float64) for k, x in zip(mg.random.split(key, len(leaves)), leaves)]
    length = math.sqrt(sum(np.sum(d * d) for d in v))
    return [d / length for d in v]


def _significant_size(difference: Difference) -> float:
    """|difference| if it exceeds the difference's own error, else 0.

    It is the scale for a tensor whose reverse-mode gradient is zero, so that a missing gradient is a large error.
    """
    return abs(difference.value) if abs(difference.value) > difference.error else 0.0


def _check_directions(
    terms: Callable, parameters: Parameters, gradient: Parameters, rounding: float, key: Any, wanted: int
) -> TensorReport:
    """Compare derivatives along random unit directions through all parameters, relative to the gradient's norm."""
    leaves, structure = tree.flatten(parameters)
    gradients = tree.flatten(gradient)[0]
    norm = float(np.sqrt(sum(np.sum(g * g) for g in gradients)))
    unit = max([1.0, *(float(np.max(np.abs(x))) for x in leaves)])
    start = checks.decisions(terms, parameters)
    compared: list[tuple[float, Difference]] = []
    kinks = redrawn = 0
    for k in mg.random.split(key, 4 * wanted):
        if len(compared) == wanted:
            break
        v = _draw_direction(leaves, k)

        def terms_at(t: float, v: list = v) -> Any:
            return terms(tree.unflatten(structure, [x + t * d for x, d in zip(leaves, v)]))

        found, crossed = differentiate(terms_at, start, rounding, TOLERANCE * (norm or 1.0), unit)
        kinks += crossed
        if crossed and not found.error <= COARSE * norm:
            redrawn += 1
        else:
            compared.append((float(sum(np.sum(g * d) for g, d in zip(gradients, v))), found))
    scale = norm or max((_significant_size(d) for _, d in compared), default=0.0) or 1.0
    name = "all parameters"
    checked = [Coordinate(name, (), g, d.value, abs(d.value - g) / scale, d.error / scale) for g, d in compared]
    return _summarise(name, (), checked, kinks, redrawn)
