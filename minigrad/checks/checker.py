"""check_grads: derivatives of a user's function, order by order, against differences and against each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad import random
from minigrad.checks.blame import blame
from minigrad.checks.kinks import flatten_numbers, one_sided_gap, to_host
from minigrad.checks.oracles import add_up, check_real, differences, inner, random_like, root_of_squares
from minigrad.checks.report import Report, Row, explain
from minigrad.checks.stencil import Difference
from minigrad.core import tree
from minigrad.core.arguments import integer
from minigrad.core.arrays import describe, is_real
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.core.interpreter import find_backend
from minigrad.core.transforms import jvp, vjp

KINK_TOLERANCE = 1e-3  # relative to the larger one-sided derivative
KINK_STEPS = (1e-3, 1e-3 / 16, 1e-3 / 256)
BETWEEN_MODES = 1e-10  # tolerance of forward against reverse mode, which differ by rounding alone


class GradientError(AssertionError):
    """A derivative and its oracle disagree; `report`, if known, has all comparisons."""

    def __init__(self, message: str, report: Report | None = None):
        super().__init__(message)
        self.report = report


class KinkError(GradientError):
    """The function is not differentiable at the arguments: every direction tried crosses a kink."""


def check_grads(
    f: Callable[..., Any],
    args: tuple[Any, ...],
    order: int = 2,
    modes: Sequence[str] = ("forward", "reverse"),
    tolerance: float = 1e-6,
    directions: int = 3,
    seed: int = 0,
    quiet: bool = False,
) -> Report:
    """Print a table, and raise GradientError unless the derivatives of f at args agree with five-point differences.

    f takes and returns trees of real floating-point arrays and is evaluated in float64. Along random directions v, each
    result of J v by forward mode is compared entry by entry with the difference of f, and ⟨v, Jᵀu⟩ by reverse mode with
    ⟨u, J v⟩ from differences for random signed u; then the derivatives are checked the same way, up to `order`.
    `tolerance` is relative to the largest entry of the result's derivative (for ⟨v, Jᵀu⟩, to the root of the sum of the
    squared terms, which does not grow with the number of entries); the estimated error of the difference is added. The
    error names the worst entry, both values, and the operation whose rule is to blame, and its `report` is what a call
    that agrees returns. `quiet` omits the table, which a notebook shows for a report.

    Raises KinkError where f is not differentiable, TypeError or ValueError for an unsuitable function or arguments.

    >>> import minigrad as mg
    >>> report = mg.checks.check_grads(lambda x: mg.sin(x) * x, (1.0,), quiet=True)
    >>> report.passed
    True
    """
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    order, directions = integer(order, "check_grads: order"), integer(directions, "check_grads: directions")
    if not modes or set(modes) - {"forward", "reverse"} or min(order, directions) < 1:
        raise OperandError(
            "check_grads: modes must be 'forward', 'reverse' or both, and order and directions integers ≥ 1; "
            f"got {modes}, {order} and {directions}"
        )
    if not 0 <= tolerance < 1:  # with 1 or more, a derivative of zero would pass
        raise OperandError(f"check_grads: tolerance is relative and must be ≥ 0 and < 1, got {tolerance}")
    if not isinstance(args, (tuple, list)):
        raise OperandTypeError("check_grads: args is a tuple with one entry per argument, as in check_grads(f, (x,))")
    if not tree.flatten(tuple(args))[0]:
        raise OperandTypeError("check_grads: args contains no argument to differentiate with respect to")
    precise = tree.map(_as_float64, tuple(args))
    _check_function(f, tuple(args))
    plan = _Plan(order, modes, tolerance, directions)
    report = Report(tuple(_compare(f, precise, plan, random.key(seed))))
    if not quiet:
        print(report)
    if not report.passed:
        row = report.worst
        if math.isnan(row.found):
            advice = "mg.checks.debug_nans() names the operation that produced the NaN"
        else:
            alone = plan._replace(order=row.order)
            advice = blame(f, precise, lambda g, at: _agrees(g, at, alone))
        raise GradientError(f"{explain(row)}; {advice}", report)
    return report


class _Plan(NamedTuple):
    """The options of `check_grads` that decide what is compared."""

    order: int
    modes: tuple[str, ...]
    tolerance: float
    directions: int


def _agrees(f: Callable, args: tuple, plan: _Plan) -> bool:
    try:
        return all(row.passed for row in _compare(f, args, plan, random.key(1)))
    except KinkError:
        return True


# The function and its arguments


def _as_float64(leaf: Any) -> Any:
    try:
        check_real(leaf)
    except TypeError as error:
        raise OperandTypeError(f"{error}; pass values without a derivative through a closure, not in args") from None
    return find_backend(leaf).xp.asarray(leaf, dtype=np.float64)


def _check_function(f: Callable, args: tuple) -> None:
    """Raise unless f returns real numbers, the same in two calls, and does not change its arguments."""
    before = [np.array(to_host(leaf)) for leaf in tree.flatten(args)[0]]
    first = [np.array(to_host(check_result(leaf))) for leaf in tree.flatten(f(*args))[0]]
    if any(
        not np.array_equal(a, to_host(b), equal_nan=True) for a, b in zip(before, tree.flatten(args)[0], strict=True)
    ):
        raise OperandError("check_grads: the function changes its arguments in place; change a copy, x.copy()")
    if not first:
        raise OperandTypeError("check_grads: the function returned nothing; return its result")
    lost = sum(int(np.sum(~np.isfinite(y))) for y in first)
    if lost:
        raise OperandError(
            f"check_grads: {lost} of {sum(y.size for y in first)} results are infinite or NaN and cannot be "
            "compared; use other arguments, or leave these results out"
        )
    second = [to_host(leaf) for leaf in tree.flatten(f(*args))[0]]
    if len(first) != len(second) or any(not np.array_equal(a, b, equal_nan=True) for a, b in zip(first, second)):
        raise OperandError(
            "check_grads: the function returns different results for the same arguments; pass its noise in"
        )


def check_result(leaf: Any) -> Any:
    """A leaf of the result of f. Raises TypeError unless it is real and floating-point."""
    if leaf is None:
        raise OperandTypeError("check_grads: the function returned nothing (None); return its result")
    if (not hasattr(leaf, "dtype") and not isinstance(leaf, float)) or not is_real(leaf):
        raise OperandTypeError(
            f"check_grads: the function returned {describe(leaf)}, which has no real derivative; "
            "return real floating-point numbers"
        )
    return leaf


# Order by order


def _compare(f: Callable, args: tuple, plan: _Plan, key: Any, inside: tuple[str, ...] = ()) -> Iterator[Row]:
    """Rows for f and, if they pass, for its derivatives; f is itself a derivative by the modes of `inside`."""
    passed = True
    for k in random.split(key, plan.directions):
        for row in _compare_along(f, args, plan, k, inside):
            passed &= row.passed
            yield row
    if passed and len(inside) + 1 < plan.order:
        u, v = random_like(f(*args), random.fold_in(key, 2)), random_like(args, random.fold_in(key, 3))
        if "forward" in plan.modes:
            yield from _compare(_tangent_of(f, v), args, plan, random.fold_in(key, 4), ("forward", *inside))
        if "reverse" in plan.modes:
            yield from _compare(_cotangents_of(f, u), args, plan, random.fold_in(key, 5), ("reverse", *inside))


def _tangent_of(f: Callable, v: tuple) -> Callable:
    return lambda *args: jvp(f, args, v)[1]


def _cotangents_of(f: Callable, u: Any) -> Callable:
    return lambda *args: vjp(f, *args)[1](u)


def _compare_along(f: Callable, args: tuple, plan: _Plan, key: Any, inside: tuple[str, ...]) -> Iterator[Row]:
    """Rows for one direction that crosses no kink."""
    v, truths = _draw_direction(f, args, random.fold_in(key, 0))
    _, y_dot = jvp(f, args, v)
    order, names = len(inside) + 1, tree.names(y_dot)
    rows: list[Row] = []
    if "forward" in plan.modes:
        for name, found, truth in zip(names, tree.flatten(y_dot)[0], truths):
            what = " over ".join(("forward", *inside))
            rows.append(_compare_entries(order, what, name, to_host(found), truth, plan.tolerance))
    if "reverse" in plan.modes:
        rows += _compare_reverse(f, args, v, y_dot, truths, plan.tolerance, random.fold_in(key, 1), inside)
    if not all(row.passed for row in rows) and _has_kink(f, args, v):
        raise KinkError(NOT_DIFFERENTIABLE)
    yield from rows


def _compare_entries(order: int, what: str, name: str, found: np.ndarray, truth: Difference, tolerance: float) -> Row:
    """A row for the entry of `found` that is furthest from its difference."""
    size = float(np.max(np.abs(truth.value), initial=0.0))
    if not truth.value.size:
        return Row(order, what, name, 0.0, tolerance, "", 0.0, 0.0)
    off = np.abs(found - truth.value)
    place = np.unravel_index(int(np.argmax(np.where(np.isnan(off), np.inf, off))), off.shape)
    allowed = tolerance * size + float(np.max(truth.error, initial=0.0))
    index = f"[{', '.join(map(str, place))}]" if place else ""
    return _make_row(order, what, name, off[place], allowed, size, index, found[place], truth.value[place])


def _make_row(order, what, name, off, allowed, size, entry, found, expected) -> Row:
    """A row with errors relative to the size of the derivative (absolute if that is zero)."""
    size = size or 1.0
    return Row(order, what, name, float(off) / size, allowed / size, entry, float(found), float(expected))


def _compare_reverse(f, args, v, y_dot, truths, tolerance, key, inside) -> Iterator[Row]:
    """Rows for ⟨v, Jᵀu⟩ against ⟨u, difference⟩ and against forward mode, with u nonzero in one result at a time."""
    y, pullback = vjp(f, *args)
    structure = tree.flatten(y)[1]
    us, order = tree.flatten(random_like(y, key))[0], len(inside) + 1
    what = " over ".join(("reverse", *inside))
    for i, (name, truth) in enumerate(zip(tree.names(y), truths)):
        one = tree.unflatten(structure, [u if j == i else 0 * u for j, u in enumerate(us)])
        back, u = pullback(one), to_host(us[i])
        found, expected = inner(back, v), inner(u, truth.value)
        size = max(root_of_squares(u, truth.value), root_of_squares(back, v))
        allowed = tolerance * size + 5 * root_of_squares(u, truth.error)  # the errors add up with random signs
        row = _make_row(order, what, name, abs(found - expected), allowed, size, "", found, expected)
        yield row if row.passed else _find_worst_entry(f, args, one, back, row)
        forward = inner(us[i], tree.flatten(y_dot)[0][i])
        both = f"{what}, against forward"
        yield _make_row(order, both, name, abs(found - forward), BETWEEN_MODES * size, size, "", found, forward)


def _find_worst_entry(f: Callable, args: tuple, u: Any, gradient: Any, row: Row, most: int = 200) -> Row:
    """The row of a failed ⟨v, Jᵀu⟩, completed by the entry of the gradient that is furthest from its difference.

    Of each argument, only the `most` entries with the largest gradients are tried.
    """
    leaves, structure = tree.flatten(args)
    weights = flatten_numbers(u)
    start = flatten_numbers(f(*args)) * weights

    def weigh(*a: Any) -> np.float64:
        """⟨f(a) − f(args), u⟩: of a large result, few elements may change with one entry."""
        products = flatten_numbers(f(*a)) * weights
        return np.float64(add_up((products - start)[products != start]))

    worst, off = row, 0.0
    for i, (name, leaf, g) in enumerate(zip(tree.names(args), leaves, tree.flatten(gradient)[0])):
        for flat_index in np.argsort(-np.abs(np.ravel(to_host(g))), kind="stable")[:most].tolist():
            unit = np.zeros(np.shape(to_host(g)))
            unit.reshape(-1)[flat_index] = 1
            unit = find_backend(leaf).from_host(unit) if unit.ndim else unit[()]
            direction = tree.unflatten(structure, [unit if j == i else 0 * x for j, x in enumerate(leaves)])
            truth = differences(weigh, args, direction)
            found = float(np.ravel(to_host(g))[flat_index])
            if truth is not None and abs(found - truth.value) - truth.error > off:
                off = float(abs(found - truth.value) - truth.error)
                place = np.unravel_index(flat_index, np.shape(to_host(g)))
                entry = f"argument {name}" + (f"[{', '.join(map(str, place))}]" if place else "")
                worst = row._replace(entry=entry, found=found, expected=float(truth.value))
    return worst


# Kinks

NOT_DIFFERENTIABLE = (
    "the function is not differentiable here: every direction tried crosses a kink (a corner, a tie or a jump); "
    "check it at other arguments, scaled to about 1 if they are much smaller"
)


def _draw_direction(f: Callable, args: tuple, key: Any) -> tuple[Any, list[Difference]]:
    """A random direction that crosses no kink, and the difference of every result of f along it. Raises KinkError."""
    for k in random.split(key, 8):
        v = random_like(args, k)
        found = differences(f, args, v)
        if found is not None:
            values, errors = tree.flatten(found.value)[0], tree.flatten(found.error)[0]
            return v, [Difference(*pair, False) for pair in zip(values, errors, strict=True)]
    raise KinkError(NOT_DIFFERENTIABLE)


def _has_kink(f: Callable, args: tuple, v: tuple) -> bool:
    """Whether the one-sided derivatives of f along v stay apart for every step."""

    def along(t: float) -> Any:
        return f(*tree.map(lambda x, direction: x + t * direction, args, v))

    return all(one_sided_gap(along, step) > KINK_TOLERANCE for step in KINK_STEPS)
