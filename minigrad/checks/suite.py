"""Every operation against every oracle, at the arguments of its cases: the results of `python -m minigrad.checks`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad.checks import oracles
from minigrad.checks.catalogue import CASES, Case
from minigrad.checks.kinks import flatten_numbers, to_host
from minigrad.core.interpreter import Tracer, primitives

# The arguments keep condition numbers below about ten, and a derivative takes some dozens of roundings.
ROUNDING = 2.0**8 * oracles.EPS
# The relative errors of extrapolated differences are h⁶f⁽⁷⁾/f′ and ε|f|/(hf′); with h = ε^(1/7) both are ε^(6/7) times
# ratios below 2¹⁰.
DIFFERENCE = 2.0**10 * oracles.EPS ** (6 / 7)
ULPS = 2.0**8
SLOPES = (1.9, 2.9)


class Verdict(NamedTuple):
    """The result of an oracle: an error and the largest allowed, or a slope and the smallest allowed."""

    value: float
    bound: float
    passed: bool


class Finding(NamedTuple):
    """The results of an operation: the worst verdict of each oracle over its cases."""

    name: str
    cases: int
    oracles: dict[str, Verdict | None]  # None: the oracle does not apply

    @property
    def passed(self) -> bool:
        return all(verdict is None or verdict.passed for verdict in self.oracles.values())


def _require_at_most(error: float, bound: float) -> Verdict:
    return Verdict(float(error), bound, bool(error <= bound))


def _require_at_least(slope: float, bound: float) -> Verdict:
    return Verdict(float(slope), bound, bool(slope >= bound))


def _relative_error(found: Any, truth: Any) -> float:
    """The largest difference, relative to the largest entry of the truth or to 1; ∞ if the shapes differ."""
    found, truth = flatten_numbers(found), flatten_numbers(truth)
    if found.shape != truth.shape:
        return math.inf
    same = (found == truth) | (np.isnan(found) & np.isnan(truth))
    size = max(1.0, float(np.max(np.abs(truth[np.isfinite(truth)]), initial=0.0)))
    with np.errstate(invalid="ignore"):
        return float(np.max(np.where(same, 0.0, np.abs(found - truth)), initial=0.0)) / size


class _Subject:
    """A case with its arguments: f on the device, the plain formula on the host, and tangents for both."""

    def __init__(self, case: Case, device: str):
        self.case, self.device = case, device
        self.host_args = case.arguments()
        constants = self.move(case.constants)
        self.f: Callable = lambda *args: case.function(*args, *constants)
        self.formula: Callable = lambda *args: np.asarray(case.formula(*args, *case.constants))
        self.args = self.move(self.host_args)
        self.host_tangents = case.like(self.host_args, "tangents")
        self.tangents = self.move(self.host_tangents)

    def move(self, values: Any) -> Any:
        return mg.to_device(values, self.device)


# The oracles, each for one case


def value(subject: _Subject) -> Verdict:
    """f against the plain formula."""
    return _require_at_most(_relative_error(subject.f(*subject.args), subject.formula(*subject.host_args)), ROUNDING)


def no_derivative(subject: _Subject) -> Verdict:
    """How many results of an operation without a derivative are traced: none should be, as they are constants."""
    results: list[Any] = []
    mg.vjp(lambda *xs: results.append(subject.f(*xs)) or results[-1], *subject.args)
    return _require_at_most(sum(isinstance(r, Tracer) for r in results), 0)


def complex_step(subject: _Subject) -> Verdict | None:
    """Tangents and gradients against the complex step of the plain formula, entry by entry."""
    if subject.case.oracle != "complex step":
        return None
    return _require_at_most(
        _derivative_error(lambda args, v: oracles.complex_step(subject.formula, args, v), subject), ROUNDING
    )


def five_point(subject: _Subject) -> Verdict:
    """The same against extrapolated five-point differences of f itself, which detect its kinks."""

    def derivative(args: Sequence, v: Sequence) -> np.ndarray:
        found = oracles.differences(subject.f, subject.move(tuple(args)), subject.move(tuple(v)), DIFFERENCE / 4)
        return np.asarray(math.nan) if found is None else found.value

    return _require_at_most(_derivative_error(derivative, subject), DIFFERENCE)


def _derivative_error(derivative: Callable, subject: _Subject) -> float:
    """The larger of two errors against `derivative`: of jvp along the tangents, and of vjp of a random cotangent."""
    args, f = subject.host_args, subject.f
    if not args:
        return 0.0
    y, y_dot = mg.jvp(f, subject.args, subject.tangents)
    (u,) = subject.case.like([np.asarray(to_host(y))], "cotangent")
    gradients = mg.vjp(f, *subject.args)[1](subject.move(u))
    error = _relative_error(y_dot, derivative(args, subject.host_tangents))
    for i, gradient in enumerate(gradients):
        truth = np.zeros(args[i].shape)
        for place in np.ndindex(args[i].shape):
            unit = [np.zeros_like(a) for a in args]
            unit[i][place] = 1
            truth[place] = np.sum(u * derivative(args, unit))
        error = max(error, _relative_error(gradient, truth))
    return error


def adjoint(subject: _Subject) -> Verdict:
    """|⟨Jv, u⟩ − ⟨v, Jᵀu⟩|, relative to the root of the sum of the squared terms."""
    y, y_dot = mg.jvp(subject.f, subject.args, subject.tangents)
    u = subject.move(subject.case.like([np.asarray(to_host(y))], "cotangent")[0])
    back = mg.vjp(subject.f, *subject.args)[1](u)
    size = max(oracles.root_of_squares(y_dot, u), oracles.root_of_squares(subject.tangents, back), 1.0)
    return _require_at_most(abs(oracles.inner(y_dot, u) - oracles.inner(subject.tangents, back)) / size, ROUNDING)


def taylor(subject: _Subject, order: int) -> Verdict:
    """The convergence order of the first or second Taylor remainder."""
    return _require_at_least(
        oracles.taylor_slopes(subject.f, subject.args, subject.tangents)[order - 1], SLOPES[order - 1]
    )


def second_order(subject: _Subject) -> Verdict:
    """Second derivatives by every combination of two modes, and their symmetry."""
    return _require_at_most(oracles.second_order_gap(subject.f, subject.args), ROUNDING)


def vmap(subject: _Subject) -> Verdict | None:
    """Values and pullbacks of three examples at once against one after the other: with all arguments batched along the
    first axis, and with each argument alone along the last."""
    f, case, count = subject.f, subject.case, len(subject.host_args)
    if not count:
        return None
    rng, error = case.generator("examples"), 0.0
    drawn = [[np.asarray(d(rng, shape), np.float64) for d, shape in zip(case.draws, case.shapes)] for _ in range(3)]

    def pull(g: Any, *xs: Any) -> tuple:
        return mg.vjp(f, *xs)[1](g)

    for axes in {(0,) * count, *(tuple(-1 if i == j else None for j in range(count)) for i in range(count))}:
        examples = [[drawn[0][i] if axes[i] is None else one[i] for i in range(count)] for one in drawn]
        columns = zip(zip(*examples), axes)
        args = subject.move(tuple(x[0] if axis is None else np.stack(x, axis) for x, axis in columns))
        values = np.stack([to_host(f(*subject.move(tuple(one)))) for one in examples])
        error = max(error, _relative_error(mg.vmap(f, axes)(*args), values))
        if not case.discrete:
            (u,) = case.like([values], "cotangents")
            found = mg.vmap(pull, (0, *axes))(subject.move(u), *args)
            truth = [pull(subject.move(g), *subject.move(tuple(one))) for g, one in zip(u, examples)]
            for mine, theirs in zip(found, zip(*truth)):
                error = max(error, _relative_error(mine, np.stack([to_host(g) for g in theirs])))
    return _require_at_most(error, ROUNDING)


def float32(subject: _Subject) -> Verdict | None:
    """float32 against float64, in ulps."""
    return _require_at_most(oracles.float32_ulps(subject.f, subject.args), ULPS) if subject.case.float32 else None


ORACLES: dict[str, Callable[[_Subject], Verdict | None]] = {
    "value": value,
    "vmap": vmap,
    "complex step": complex_step,
    "differences": five_point,
    "adjoint": adjoint,
    "Taylor 1": lambda subject: taylor(subject, 1),
    "Taylor 2": lambda subject: taylor(subject, 2),
    "second order": second_order,
    "float32": float32,
    "constant": no_derivative,
}
"""By name. Operations without a derivative get only the first two and the last."""


def operations() -> list[str]:
    """Every registered primitive that has a case, and every function composed of them, primitives first."""
    names = dict.fromkeys(case.operation for case in CASES)
    return sorted(names, key=lambda name: (name not in primitives, name))


def list_uncovered() -> list[str]:
    """Operations of this package without a case in the catalogue."""
    return sorted(own_operations() - {case.operation for case in CASES})


def own_operations() -> set[str]:
    """The primitives of this package, without those that only programs use."""
    modules = {name: p.forward.__module__ for name, p in primitives.items()}
    return {n for n, m in modules.items() if m.startswith("minigrad.") and not m.startswith("minigrad.program.")}


def examine(name: str, device: str = "cpu") -> Finding:
    """Check every case of an operation with every oracle."""
    cases = [case for case in CASES if case.operation == name]
    worst: dict[str, Verdict | None] = dict.fromkeys(ORACLES)
    for case in cases:
        subject = _Subject(case, device)
        for oracle, check in ORACLES.items():
            if (oracle == "constant") != case.discrete and oracle not in ("value", "vmap"):
                continue
            verdict = check(subject)
            before = worst[oracle]
            if verdict is not None and (before is None or _is_worse(oracle, verdict, before)):
                worst[oracle] = verdict
    return Finding(name, len(cases), worst)


def _is_worse(oracle: str, verdict: Verdict, before: Verdict) -> bool:
    if verdict.passed != before.passed:
        return before.passed
    if oracle.startswith("Taylor"):
        return verdict.value < before.value
    return not verdict.value <= before.value


def examine_all(names: Sequence[str], device: str = "cpu") -> Iterator[Finding]:
    """Yield the finding of each operation."""
    for name in names:
        yield examine(name, device)
