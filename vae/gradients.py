"""The proof that the autoencoder's gradients are right: every parameter tensor against finite differences.

With ε frozen the ELBO is an ordinary function of the parameters (slides 11–13). In float64, coordinate by coordinate
and along random directions through all parameters, five-point differences must agree with reverse mode to 1e-7 of the
largest gradient entry of the tensor; and with J the Jacobian of the per-image ELBO, ⟨Jv, u⟩ = ⟨v, Jᵀu⟩ to 1e-12.

The networks keep their real activations, which have kinks. A coordinate whose stencil straddles one (a ReLU switches
between its points) is tried with smaller steps, down to where rounding would drown the tolerance, and is then replaced
by another; both are counted in the report.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import checks, tree
from vae.models import Model, Parameters
from vae.objectives import UNWEIGHTED, Likelihood, Weights, elbo_sums, elbo_terms

TOLERANCE = 1e-7  # of a tensor's largest gradient entry
ADJOINT_TOLERANCE = 1e-12
STEPS = tuple(1e-3 / 2**k for k in range(14))  # down to 1e-7
STENCIL = ((-2, 1), (2, -1), (-1, -8), (1, 8))  # (offset, weight of 12h·f′): outermost first, where kinks show soonest


class Coordinate(NamedTuple):
    """One entry of one parameter tensor (or one direction), by both ways."""

    name: str
    index: tuple[int, ...]
    reverse: float
    difference: float
    relative: float  # |difference − reverse| / largest gradient entry of the tensor


@dataclass(frozen=True)
class Tensor:
    """The verdict on one parameter tensor."""

    name: str
    shape: tuple[int, ...]
    coordinates: int
    kinks: int  # stencils that straddled a kink
    redrawn: int  # coordinates replaced because every stencil wide enough to judge them did
    max_relative_error: float


@dataclass(frozen=True)
class Report:
    """Everything the check found."""

    tensors: tuple[Tensor, ...]
    directions: Tensor
    adjoint_gap: float
    coordinates: tuple[Coordinate, ...]

    @property
    def max_relative_error(self) -> float:
        return _worst([t.max_relative_error for t in (*self.tensors, self.directions)])

    @property
    def passed(self) -> bool:
        return self.max_relative_error <= TOLERANCE and self.adjoint_gap <= ADJOINT_TOLERANCE

    def to_dict(self) -> dict[str, Any]:
        """For JSON; errors that are infinite or NaN are None."""
        return {
            "parameters": [
                {
                    "name": t.name,
                    "shape": list(t.shape),
                    "coordinates": t.coordinates,
                    "kinks": t.kinks,
                    "redrawn": t.redrawn,
                    "max_relative_error": _number(t.max_relative_error),
                }
                for t in self.tensors
            ],
            "directions": {
                "count": self.directions.coordinates,
                "kinks": self.directions.kinks,
                "max_relative_error": _number(self.directions.max_relative_error),
            },
            "adjoint_gap": _number(self.adjoint_gap),
            "tolerance": TOLERANCE,
            "adjoint_tolerance": ADJOINT_TOLERANCE,
            "max_relative_error": _number(self.max_relative_error),
            "passed": self.passed,
        }


def _worst(errors: list[float]) -> float:
    """The largest; NaN if one is (`max` would pass it over), infinite if there are none."""
    return float(np.max(errors)) if errors else math.inf


def _number(x: float) -> float | None:
    """x, or None (null) where JSON has no number for it."""
    return x if math.isfinite(x) else None


def check(
    model: Model,
    likelihood: Likelihood,
    parameters: Parameters,
    images: Any,
    noise: Any,
    form: str = "closed",
    weights: Weights = UNWEIGHTED,
    coordinates: int = 30,
    directions: int = 5,
    seed: int = 0,
    on_tensor: Callable[[Tensor], None] = lambda tensor: None,
    device: str = "cpu",
) -> Report:
    """Check the gradient of −mean ELBO at `parameters` for images (N, H, W, C) and frozen noise (N, latent).

    `weights` make it that of another loss. Everything is computed in float64, the model and its gradients on `device`.
    `coordinates` entries of each tensor are drawn, the largest gradient entry always among them; of smaller tensors all
    are taken.
    """
    parameters, images, noise = tree.map(lambda x: np.asarray(x, np.float64), (parameters, images, noise))
    images, noise = mg.to_device((images, noise), device)

    def per_image(p: Parameters) -> Any:
        pixels, latents = elbo_sums(model, likelihood, p, images, noise, form)
        return weights.pixels * pixels + weights.latents * latents

    def loss(p: Parameters) -> Any:
        return -mg.mean(per_image(p))

    def terms(p: Parameters) -> Any:
        """What the loss is the sum of. Differences are taken term by term and then added: less is lost to rounding."""
        parts = elbo_terms(model, likelihood, mg.to_device(p, device), images, noise, form)
        return mg.concatenate([mg.ravel(part) * (-w / len(images)) for part, w in zip(parts, weights, strict=True)])

    there = mg.to_device(parameters, device)
    gradient = mg.to_device(mg.grad(loss)(there), "cpu")
    leaves, structure = tree.flatten(parameters)
    gradients, names = tree.flatten(gradient)[0], tree.names(parameters)
    keys = mg.random.split(mg.random.key(seed), len(leaves) + 2)
    rounding = _rounding(terms, parameters, keys[-2])
    found: list[Coordinate] = []
    tensors: list[Tensor] = []
    for i, (name, g) in enumerate(zip(names, gradients, strict=True)):

        def moved(index: tuple[int, ...], t: float, i: int = i) -> Any:
            leaf = leaves[i].copy()
            leaf[index] += t
            return terms(tree.unflatten(structure, [*leaves[:i], leaf, *leaves[i + 1 :]]))

        tensor, checked = _check_tensor(name, g, moved, rounding, keys[i], coordinates)
        tensors.append(tensor)
        found += checked
        on_tensor(tensor)
    along = _check_directions(terms, parameters, gradient, rounding, keys[-1], directions)
    return Report(tuple(tensors), along, checks.adjoint_gap(per_image, (there,), seed), tuple(found))


def _check_tensor(
    name: str, gradient: np.ndarray, moved: Callable, rounding: float, key: Any, wanted: int
) -> tuple[Tensor, list[Coordinate]]:
    """Compare entries of one gradient tensor with differences of the loss."""
    order = np.argsort(mg.random.bits(key, (gradient.size,)), kind="stable").tolist()
    largest = int(np.argmax(np.abs(gradient)))
    order.remove(largest)
    scale = float(np.max(np.abs(gradient)))
    compared: list[tuple[tuple[int, ...], float, Difference]] = []
    kinks = redrawn = 0
    for flat in (largest, *order):
        if len(compared) == wanted:
            break
        index = np.unravel_index(flat, gradient.shape)
        difference, straddled = _smooth_difference(lambda t, index=index: moved(index, t), rounding, scale)
        kinks += straddled
        if difference is None:
            redrawn += 1
            continue
        compared.append((tuple(map(int, index)), float(gradient[index]), difference))
    scale = scale or max((_certain(d) for *_, d in compared), default=0.0) or 1.0
    checked = [Coordinate(name, at, g, d.value, abs(d.value - g) / scale) for at, g, d in compared]
    worst = _worst([c.relative for c in checked])
    return Tensor(name, gradient.shape, len(checked), kinks, redrawn, worst), checked


class Difference(NamedTuple):
    """A derivative by five-point differences, and what rounding may have added to it."""

    value: float
    rounding: float


def _smooth_difference(f: Callable[[float], Any], rounding: float, scale: float) -> tuple[Difference | None, int]:
    """(the difference of the sum of f with the largest step that crosses no kink, how many steps did).

    D(h) = (f(−2h) − 8f(−h) + 8f(h) − f(2h)) / 12h has error O(h⁴), below 1e-12 here (Abramowitz and Stegun 25.3.6). A
    deviation of the loss by `rounding` becomes √130/12 times that over h; steps are used while five times as much is
    within the tolerance at this scale.
    """
    _, here = checks.decisions(f, 0.0)
    noise = [5 * math.sqrt(130) / 12 * rounding / step for step in STEPS]
    count = sum(n <= TOLERANCE * scale for n in noise) if scale else len(STEPS)
    for tried, step in enumerate(STEPS[: max(1, count)]):
        parts = []
        for at, weight in STENCIL:
            value, decisions = checks.decisions(f, at * step)
            if decisions != here:
                break
            parts.append(weight * value)
        else:
            return Difference(_sum(parts) / (12 * step), noise[tried]), tried
    return None, max(1, count)


def _rounding(terms: Callable, parameters: Parameters, key: Any) -> float:
    """The standard deviation of what rounding does to the loss.

    The fourth difference f(−2h) − 4f(−h) + 6f(0) − 4f(h) + f(2h) of a smooth function is h⁴f⁗, nothing for h = 1e-7, so
    what is left is √70 times the rounding of one value. Directions that cross a kink are passed over.
    """
    leaves, structure = tree.flatten(parameters)
    left = []
    for k in mg.random.split(key, 15):
        v = _direction(leaves, k)
        moved = (tree.unflatten(structure, [x + t * 1e-7 * d for x, d in zip(leaves, v)]) for t in range(-2, 3))
        values, decisions = zip(*(checks.decisions(terms, p) for p in moved))
        if len(set(decisions)) == 1:
            left.append(_sum([w * x for w, x in zip((1, -4, 6, -4, 1), values)]))
    return float(np.sqrt(np.mean(np.square(left)) / 70)) if left else 0.0


def _direction(leaves: list, key: Any) -> list:
    """A random direction of length 1 through all parameters."""
    v = [mg.random.normal(k, x.shape, np.float64) for k, x in zip(mg.random.split(key, len(leaves)), leaves)]
    length = math.sqrt(sum(np.sum(d * d) for d in v))
    return [d / length for d in v]


def _sum(parts: list[np.ndarray]) -> float:
    """The exact sum of all elements, rounded once; NaN where there is none."""
    try:
        return math.fsum(np.concatenate(parts))
    except (ValueError, OverflowError):  # ∞ − ∞, or beyond the largest number
        return math.nan


def _certain(difference: Difference) -> float:
    """The size of a difference that is more than rounding, else 0.

    It is the scale where reverse mode gives nothing but zeros: a lost gradient must not pass for being small.
    """
    return abs(difference.value) if abs(difference.value) > difference.rounding else 0.0


def _check_directions(
    terms: Callable, parameters: Parameters, gradient: Parameters, rounding: float, key: Any, wanted: int
) -> Tensor:
    """The same along random unit directions through all parameters at once, relative to the gradient's norm."""
    leaves, structure = tree.flatten(parameters)
    gradients = tree.flatten(gradient)[0]
    norm = float(np.sqrt(sum(np.sum(g * g) for g in gradients)))
    errors, kinks, redrawn = [], 0, 0
    for k in mg.random.split(key, 4 * wanted):
        if len(errors) == wanted:
            break
        v = _direction(leaves, k)

        def along(t: float, v: list = v) -> Any:
            return terms(tree.unflatten(structure, [x + t * d for x, d in zip(leaves, v)]))

        difference, straddled = _smooth_difference(along, rounding, norm)
        kinks += straddled
        if difference is None:
            redrawn += 1
            continue
        reverse = float(sum(np.sum(g * d) for g, d in zip(gradients, v)))
        errors.append(abs(difference.value - reverse) / (norm or _certain(difference) or 1.0))
    return Tensor("all parameters", (), len(errors), kinks, redrawn, _worst(errors))
