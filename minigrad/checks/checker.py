"""The checker: derivatives of a user's function, order by order, against differences and against each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad import random, tree
from minigrad.checks.kinks import host
from minigrad.checks.oracles import Difference, check_real, five_point, inner, random_like
from minigrad.core import OperandError, OperandTypeError, backend_beside, current
from minigrad.transforms import jvp, vjp


class GradientError(AssertionError):
    """A derivative and its oracle disagree."""


class KinkError(GradientError):
    """Every direction tried crosses a kink: the function is not differentiable here."""


def check_grads(
    f: Callable,
    args: tuple,
    order: int = 2,
    modes: Sequence[str] = ("forward", "reverse"),
    tolerance: float = 1e-6,
    directions: int = 3,
    seed: int = 0,
) -> None:
    """Raise GradientError unless the derivatives of f at args, up to `order`, agree with five-point differences.

    f takes and returns trees of real floating arrays and is computed in float64. Along random directions v, J v by
    forward mode is compared entry by entry with the difference of f, result by result, and ⟨v, Jᵀu⟩ by reverse mode
    with ⟨u, J v⟩ for random signed u; both relative to the largest entry of that result's own derivative, plus what
    the difference itself may be off. Then the same for the derivatives. Returns None if all agree. Raises KinkError
    where every direction tried crosses a kink, TypeError or ValueError for a function or arguments that do not fit.

    >>> import minigrad as mg
    >>> mg.checks.check_grads(lambda x: mg.sin(x) * x, (1.0,))
    """
    if not modes or set(modes) - {"forward", "reverse"} or order < 1 or directions < 1:
        raise OperandError(
            "check_grads: modes are 'forward' and 'reverse', order and directions at least 1, "
            f"got {tuple(modes)}, {order} and {directions}"
        )
    if not isinstance(args, (tuple, list)):
        raise OperandTypeError("check_grads: args is a tuple with one entry per argument, as in check_grads(f, (x,))")
    precise = tree.map(_as_float64, tuple(args))
    _same_twice(f, tuple(args))
    _check_order(f, precise, 1, order, tuple(modes), tolerance, directions, random.key(seed))


def _as_float64(leaf: Any) -> Any:
    try:
        check_real(leaf)
    except TypeError as error:
        raise OperandTypeError(f"{error}; what has no derivative belongs into a closure, not into args") from None
    return backend_beside(leaf).xp.asarray(leaf, dtype=np.float64)


def _same_twice(f: Callable, args: tuple) -> None:
    before = [np.array(host(leaf)) for leaf in tree.flatten(args)[0]]
    first, second = (tree.flatten(f(*args))[0] for _ in range(2))
    if not first:
        raise OperandTypeError("check_grads: the function returned nothing; return its result")
    for leaf in first:
        check_real(leaf)
    if any(not np.array_equal(host(a), host(b), equal_nan=True) for a, b in zip(first, second, strict=True)):
        raise OperandError(
            "check_grads: the function gives different results for the same arguments; pass its noise in"
        )
    if any(not np.array_equal(a, host(b)) for a, b in zip(before, tree.flatten(args)[0], strict=True)):
        raise OperandError("check_grads: the function changes its arguments in place")


def _check_order(f, args, at, order, modes, tolerance, directions, key) -> None:
    for trial, k in enumerate(random.split(key, directions)):
        v, truths = _differenced(f, args, random.fold_in(k, 0))
        _, y_dot = jvp(f, args, v)
        if "forward" in modes:
            for name, found, truth in zip(tree.names(y_dot), tree.flatten(y_dot)[0], truths):
                what = f"order {at}, forward mode{_of(name)}, direction {trial + 1}"
                _compare(host(found), truth.value, np.max(truth.error, initial=0.0), tolerance, what)
        if "reverse" in modes:
            _check_reverse(f, args, at, v, y_dot, truths, tolerance, random.fold_in(k, 1))
    if at < order:
        u, v = random_like(f(*args), random.fold_in(key, 2)), random_like(args, random.fold_in(key, 3))
        if "forward" in modes:
            rest = at + 1, order, modes, tolerance, directions, random.fold_in(key, 4)
            _check_order(lambda *a: jvp(f, a, v)[1], args, *rest)
        if "reverse" in modes:
            rest = at + 1, order, modes, tolerance, directions, random.fold_in(key, 5)
            _check_order(lambda *a: vjp(f, *a)[1](u), args, *rest)


def _check_reverse(f, args, at, v, y_dot, truths, tolerance, key) -> None:
    """⟨v, Jᵀu⟩ against ⟨u, difference⟩, and against forward mode, for a u in one result at a time."""
    y, pullback = vjp(f, *args)
    structure = tree.flatten(y)[1]
    us = tree.flatten(random_like(y, key))[0]
    for i, (name, truth) in enumerate(zip(tree.names(y), truths)):
        one = [u if j == i else 0 * u for j, u in enumerate(us)]
        back = pullback(tree.unflatten(structure, one))
        found, forward = inner(back, v), inner(one[i], tree.flatten(y_dot)[0][i])
        u = host(one[i])
        what, size = f"order {at}, reverse mode{_of(name)}", float(np.sum(np.abs(u * truth.value)))
        error = float(np.sum(np.abs(u) * truth.error))
        _compare(np.float64(found), np.float64(np.sum(u * truth.value)), error, tolerance, what, size)
        scale = sum(float(np.sum(np.abs(host(a) * host(b)))) for a, b in _pairs(back, v)) + size
        if not abs(found - forward) <= 1e-10 * scale + error:
            raise GradientError(
                f"order {at}: reverse mode {found:.15g} and forward mode {forward:.15g} differ{_of(name)}"
            )


def _pairs(a: Any, b: Any) -> list[tuple[Any, Any]]:
    return list(zip(tree.flatten(a)[0], tree.flatten(b)[0], strict=True))


def _of(name: str) -> str:
    return f" of result '{name}'" if name else ""


def _compare(found, truth, error: float, tolerance: float, what: str, size: float | None = None) -> None:
    """Raise GradientError unless found is truth to tolerance · size, plus the difference's own error."""
    size = float(np.max(np.abs(truth), initial=0.0)) if size is None else size
    off = np.abs(found - truth)
    if not np.all(off <= tolerance * size + error):
        place = np.unravel_index(int(np.argmax(np.where(np.isnan(off), np.inf, off))), off.shape)
        index = f" at index {tuple(map(int, place))}" if place else ""
        raise GradientError(
            f"{what}: {found[place]:.12g}{index}, five-point difference {truth[place]:.12g}; off by "
            f"{off[place] / (size or 1.0):.2g} of the derivative's size, allowed {tolerance:.2g}"
        )


def _relative(error: np.ndarray, value: np.ndarray) -> float:
    return float(np.max(error, initial=0.0)) / (float(np.max(np.abs(value), initial=0.0)) or 1.0)


def _differenced(f: Callable, args: tuple, key: Any) -> tuple[Any, list[Difference]]:
    """A random direction that crosses no kink, and the difference of every result of f along it.

    The step is the one with the smallest error estimate, from a fraction of the arguments' size downwards.
    """
    sizes = [float(np.max(np.abs(host(leaf)), initial=0.0)) for leaf in tree.flatten(args)[0]]
    first = max([1.0, *sizes]) * np.finfo(np.float64).eps ** (1 / 7)
    for k in random.split(key, 8):
        v = random_like(args, k)

        def along(t: float, v: Any = v) -> Any:
            watch = current()  # by `decisions`
            return f(*tree.map(lambda x, direction: watch.lift(x + t * direction), args, v))

        best, smallest = None, math.inf
        with np.errstate(all="ignore"):  # a step may leave the domain; a smaller one will not
            for halvings in range(0, 27, 3):
                found = five_point(along, first / 2**halvings)
                values = tree.flatten(found.value)[0]
                errors = tree.flatten(found.error)[0]
                worst = max([_relative(e, d) for e, d in zip(errors, values)], default=0.0)
                if not found.kink and worst < smallest:
                    best, smallest = [Difference(*pair, False) for pair in zip(values, errors)], worst
                if smallest < 1e-9:
                    break
        if best is not None:
            return v, best
    raise KinkError("every direction tried crosses a kink of the function: it is not differentiable at these arguments")
