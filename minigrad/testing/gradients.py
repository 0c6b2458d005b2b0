"""Checks of gradients for tests: assert_gradients, derivatives of any order, and exact transposes."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from minigrad import random
from minigrad.checks import GradientError, KinkError, adjoint_gap, check_grads
from minigrad.checks.kinks import to_host
from minigrad.checks.oracles import differences, inner, random_like
from minigrad.core import tree
from minigrad.core.interpreter import Primitive, find_backend
from minigrad.core.transforms import grad, jvp, vjp
from minigrad.ops.comparisons import stop_gradient
from minigrad.ops.shape import ones_like

ADJOINT = 1e-9  # tolerance of ⟨Jv, u⟩ = ⟨v, Jᵀu⟩, which holds to rounding; relative, so less strict where both cancel
MOST = 200  # elements of each argument that are tried one by one after a failure
ROUNDINGS = 2.0**8  # between modes, which differ by the rounding of some dozens of operations


def assert_gradients(
    f: Callable,
    *args: Any,
    order: int = 2,
    modes: Sequence[str] = ("forward", "reverse"),
    tolerance: float = 1e-6,
    seed: int = 0,
) -> None:
    """Raise GradientError unless the derivatives of f at these arguments are right, up to an order.

    Arguments and results are trees of real floating-point arrays; f is evaluated in float64. The oracles are those of
    `mg.checks.check_grads`: five-point differences, forward against reverse mode; and the adjoint identity. The message
    names the argument and the index of the element that is furthest off, both numbers and the oracle.

    Raises KinkError where f is not differentiable (see `away_from_kinks`), and the errors of `check_grads` for a
    function or arguments that do not suit.

    >>> import minigrad as mg, numpy as np
    >>> assert_gradients(lambda x, w: mg.tanh(x @ w), np.ones((2, 3)), np.ones(3))
    """
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    try:
        check_grads(f, args, order=order, modes=modes, tolerance=tolerance, seed=seed, quiet=True)
    except KinkError:
        raise
    except GradientError as error:
        worst = _find_worst(f, args, order, modes, tolerance, seed)
        raise GradientError(f"{worst}\n{error}" if worst else str(error), error.report) from None
    if set(modes) == {"forward", "reverse"}:
        precise = tree.map(_as_float64, args)
        gap = min(adjoint_gap(f, precise, seed + i) for i in range(3))
        if not gap <= ADJOINT:
            raise GradientError(f"the adjoint identity ⟨Jv, u⟩ = ⟨v, Jᵀu⟩ is off by {gap:.2g}, allowed {ADJOINT}")


class _Element(NamedTuple):
    """A derivative with respect to one element of an argument, and its difference."""

    name: str
    mode: str
    inside: tuple[str, ...]
    found: float
    expected: float
    off: float

    def __str__(self) -> str:
        which = " of ".join(["the derivative", *[f"that by {mode} mode" for mode in self.inside]])
        which = f"{which} of ⟨u, f⟩ for a random u" if not self.inside else f"{which}, weighted at random"
        return (
            f"argument {self.name}: {self.mode} mode gives {self.found:.12g}, five-point differences give "
            f"{self.expected:.12g} ({which})"
        )


def _find_worst(
    f: Callable, args: tuple, order: int, modes: tuple[str, ...], tolerance: float, seed: int
) -> _Element | None:
    """The element that is furthest off, of the lowest order with an element that is; None if none is."""
    args = tree.map(_as_float64, args)
    for below in range(order):
        found: list[_Element] = []
        for inside in product(modes, repeat=below):
            g, key = f, random.key(seed)
            for number, mode in enumerate(reversed(inside)):
                g = _derive(g, args, mode, random.fold_in(key, number))
            found += _elements(g, args, modes, inside, _name_leaves(f, args), random.fold_in(key, below))
        size = max([1.0, *[abs(e.expected) for e in found if math.isfinite(e.expected)]])
        wrong = [e for e in found if not e.off <= tolerance * size]
        if wrong:
            # in forward mode, one NaN in a Jacobian reaches ⟨u, J v⟩ for every v
            return max(wrong, key=lambda e: (math.inf if math.isnan(e.off) else e.off, e.mode == "reverse"))
    return None


def _derive(f: Callable, args: tuple, mode: str, key: Any) -> Callable:
    """The derivative of f along a random tangent, or pulled back from a random cotangent."""
    if mode == "forward":
        v = random_like(args, key)
        return lambda *xs: jvp(f, xs, v)[1]
    u = random_like(f(*args), key)
    return lambda *xs: vjp(f, *xs)[1](u)


def _elements(
    f: Callable, args: tuple, modes: Sequence[str], inside: tuple[str, ...], names: list[str], key: Any
) -> Iterator[_Element]:
    """∂⟨u, f⟩ with respect to each element, by each mode; of large arguments, those with the largest gradients."""
    u = random_like(f(*args), key)
    gradients = tree.flatten(vjp(f, *args)[1](u))[0]
    leaves, structure = tree.flatten(args)
    for i, (name, leaf, gradient) in enumerate(zip(names, leaves, map(to_host, gradients), strict=True)):
        for flat in np.argsort(-np.abs(np.ravel(gradient)), kind="stable")[:MOST].tolist():
            place = np.unravel_index(flat, np.shape(gradient))
            unit = np.zeros(np.shape(gradient))
            unit[place] = 1
            unit = find_backend(leaf).from_host(unit) if unit.ndim else unit[()]
            direction = tree.unflatten(structure, [unit if j == i else 0 * x for j, x in enumerate(leaves)])
            truth = differences(lambda *xs: np.float64(inner(f(*xs), u)), args, direction)
            if truth is None:  # each step crosses a kink
                continue
            numbers = {
                "reverse": lambda place=place, g=gradient: float(g[place]),
                "forward": lambda direction=direction: inner(jvp(f, args, direction)[1], u),
            }
            for mode in modes:
                found, expected = numbers[mode](), float(truth.value)
                off = max(0.0, abs(found - expected) - float(truth.error)) if math.isfinite(found) else math.nan
                yield _Element(name + _format_place(place), mode, inside, found, expected, off)


def _name_leaves(f: Callable, args: tuple) -> list[str]:
    """A name for each leaf: that of its parameter of f, or its number, and its path in a tree."""
    try:
        function, skipped = (f.forward, 1) if isinstance(f, Primitive) else (f, 0)  # its first argument is the backend
        parameters = [*inspect.signature(function).parameters.values()][skipped:]
    except (TypeError, ValueError):
        parameters = []
    parameters = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = [parameters[i] if i < len(parameters) else str(i) for i in range(len(args))]
    return [f"{name}.{path}".rstrip(".") for name, arg in zip(names, args) for path in tree.names(arg)]


def _format_place(place: tuple) -> str:
    return f"[{', '.join(map(str, place))}]" if place else ""


def _as_float64(leaf: Any) -> Any:
    return find_backend(leaf).xp.asarray(leaf, dtype=np.float64)


# Derivatives of any order


def derivatives(f: Callable, x: float, order: int, xp: Any = None) -> list[float]:
    """[f′(x), f″(x), …] of a scalar function, computed in reverse and in forward mode, which must agree to rounding.

    Raises AssertionError if they do not. `xp` is NumPy (the default) or CuPy.
    """
    found, xp = [], xp or np
    reverse = forward = f
    for _ in range(order):
        reverse, forward = grad(reverse), forward_derivative(forward)
        a, b = (float(to_host(g(xp.asarray(x)))) for g in (reverse, forward))
        allowed = ROUNDINGS * float(np.finfo(np.float64).eps) * abs(a)
        assert a == b or abs(a - b) <= allowed, f"reverse mode gives {a}, forward mode {b}"
        found.append(a)
    return found


def forward_derivative(f: Callable) -> Callable:
    """The function f′ of a function of one number, or of an elementwise function, computed in forward mode."""
    return lambda x: jvp(f, (x,), (ones_like(stop_gradient(x)),))[1]


# Exact transposes


def exact_transpose(rearrange: Callable, shape: tuple[int, ...], g: np.ndarray) -> np.ndarray:
    """The exact transpose, applied to g, of a NumPy function that only rearranges, repeats or drops elements (or pads
    with zeros). Applied to 1, 2, 3, … the function shows where each element of its result comes from.
    """
    size = math.prod(shape)
    source = np.asarray(rearrange(np.arange(1, size + 1).reshape(shape)))
    assert source.shape == g.shape, (source.shape, g.shape)
    totals = np.zeros(size + 1)
    np.add.at(totals, source.ravel(), g.ravel())
    return totals[1:].reshape(shape)
