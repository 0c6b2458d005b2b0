"""Checks of one operation at given arguments, from the fixed cases or from hypothesis.

A `Case` holds an operation and a plain NumPy formula of it. The checks compare the two, and verify the engine's
promises about dtypes and memory. Cotangents and tangents are random and signed: with all ones, a permuted gradient
looks right.
"""

from __future__ import annotations

import types

import numpy as np

import minigrad as mg
from minigrad.checks import complex_step, suite
from minigrad.checks.catalogue import Case
from minigrad.core.interpreter import Tracer
from tests.support import oracles
from tests.support.oracles import assert_close, difference, inner, rounding
from tests.support.transfer import to_host


def our_primitives() -> set[str]:
    """Names of all operations except those registered by tests."""
    return suite.own_operations()


UNKNOWN = {"nonzero", "real_if_close", "unique_all", "unique_counts", "unique_inverse", "unique_values"}


def array_functions() -> set[str]:
    """Names of the public functions of arrays, except those whose results have a shape or dtype that depends on values,
    which programs cannot have."""
    functions = [getattr(mg, name) for name in dir(mg) if not name.startswith("_")]
    functions += [getattr(area, name) for area in (mg.fft, mg.linalg) for name in area.__all__]
    return {
        function.__name__
        for function in functions
        if isinstance(function, types.FunctionType)
        and function.__module__.startswith("minigrad.ops.")
        and function.__module__ not in ("minigrad.ops.creation", "minigrad.ops.dtypes")
    } - {*UNKNOWN, "fftfreq", "rfftfreq"}


def function_of(case: Case, move):
    """The function under test, with its constants bound and moved to the device."""
    constants = [move(c) for c in case.constants]
    return lambda *args: case.function(*args, *constants)


def formula_of(case: Case):
    """The plain NumPy formula of the case, with its constants bound."""
    return lambda *args: case.formula(*args, *case.constants)


def to_double(x):
    """The same numbers in float64 or complex128."""
    return np.asarray(x, np.result_type(x.dtype, np.float64))


def roundoff(arrays) -> float:
    """The rounding tolerance of the least precise dtype among these arrays."""
    return max((rounding(x.dtype) for x in arrays), default=rounding())


def true_derivative(case: Case, formula, args, tangents):
    """The directional derivative of a formula by the oracle of its case, and the tolerance of that oracle."""
    if not args:
        return np.zeros(0), 0.0
    if case.oracle == "differences" or any(a.dtype.kind == "c" for a in args):
        return difference(formula, args, tangents), oracles.DIFFERENCE
    return complex_step(formula, args, tangents), rounding()


def check_value(case: Case, move, args, exact=False) -> None:
    """The value agrees with the plain formula and has the dtype of the arguments; bit for bit if `exact`."""
    y, formula = to_host(function_of(case, move)(*map(move, args))), formula_of(case)
    same_dtype = np.asarray(formula(*args))
    expected = same_dtype if exact else np.asarray(formula(*map(to_double, args)))
    of_arguments = case.float32 and not (case.discrete or case.like_first)
    dtype = np.result_type(*args) if of_arguments else same_dtype.dtype
    assert y.dtype == dtype, f"{case.name}: {y.dtype}, expected {dtype}"
    assert_close(y, expected, 0 if exact else roundoff(args), case.name)


# First derivatives


def check_first(case: Case, move, args, layout=lambda x: x, elements: int | None = None) -> None:
    """jvp and vjp against the oracle, the adjoint identity, and every promise about dtypes and memory.

    `layout` sets the memory layout of tangents and cotangents. At most `elements` elements of each gradient are
    compared with the oracle one by one (default: all); the adjoint identity covers the gradients as a whole.
    """
    formula, exact = formula_of(case), tuple(map(to_double, args))
    value = np.asarray(formula(*exact))
    constants, given = tuple(map(move, case.constants)), tuple(map(move, args))
    f = lambda *xs: case.function(*xs, *constants)
    tangents = case.like(args, "tangents")
    truth, trusted = true_derivative(case, formula, exact, tuple(map(to_double, tangents)))
    moved = tuple(move(layout(t)) for t in tangents)
    before = Snapshot(case, argument=given, constant=constants, tangent=moved)
    y, y_dot = mg.jvp(f, given, moved)
    rounded = roundoff((*args, y))
    assert_close(to_host(y), value, rounded, f"{case.name}: value in forward mode")
    assert_close(to_host(y_dot), truth, max(trusted, rounded), f"{case.name}: jvp")
    assert to_host(y_dot).dtype == to_host(y).dtype

    y, pullback = mg.vjp(f, *given)
    assert_close(to_host(y), value, rounded, f"{case.name}: value in reverse mode")
    (u,) = case.like([np.asarray(to_host(y))], "cotangent")
    g = move(layout(u))
    before.also(cotangent=(g,), result=(y,))
    gradients = pullback(g)
    before.check()
    for gradient, x in zip(gradients, args, strict=True):
        assert (gradient.shape, gradient.dtype) == (x.shape, x.dtype), f"{case.name}: shape and dtype of the gradient"
    host, u = [to_double(to_host(gradient)) for gradient in gradients], to_double(u)
    scale = max(1.0, total(u * truth), *[total(t * x) for t, x in zip(tangents, host, strict=True)])
    assert abs(inner([to_host(y_dot)], [u]) - inner(tangents, host)) <= rounded * scale, f"{case.name}: ⟨Jv,u⟩=⟨v,Jᵀu⟩"
    for i in range(len(args)):  # element by element, not only along one direction
        expected = host[i].copy()
        for place in choose_places(case, args[i].shape, elements):
            expected[place] = partial_by_oracle(case, formula, exact, i, place, u)
        assert_close(host[i], expected, max(trusted, rounded), f"{case.name}: vjp {i}")

    again = pullback(g)
    for first, second in zip(gradients, again, strict=True):
        assert np.array_equal(to_host(first), to_host(second)), f"{case.name}: a second pullback differs"
    check_memory(case, [*gradients, *again, y_dot], [*given, *constants, *moved, g, y])


def total(x) -> float:
    return float(np.sum(np.abs(x)))


def choose_places(case, shape, count):
    """All indices of an array of this shape, or `count` random ones."""
    places = list(np.ndindex(shape))
    if count is None or len(places) <= count:
        return places
    return [places[k] for k in case.generator("places").permutation(len(places))[:count]]


def partial_by_oracle(case, formula, args, i, place, u):
    """∂⟨u, f⟩/∂argsᵢ at one index."""
    direction = [np.zeros_like(a) for a in args]
    direction[i][place] = 1
    return np.sum(u * true_derivative(case, formula, args, direction)[0])


class Snapshot:
    """Copies of arrays, to find out later whether one of them was written to."""

    def __init__(self, case: Case, **arrays):
        self.case, self.kept = case, []
        self.also(**arrays)

    def also(self, **arrays) -> None:
        """Add copies of these arrays."""
        self.kept += [(what, x, np.array(to_host(x))) for what, xs in arrays.items() for x in xs]

    def check(self) -> None:
        """Fail unless every array still has its old bits."""
        for what, x, before in self.kept:
            assert np.asarray(to_host(x)).tobytes() == before.tobytes(), f"{self.case.name}: changed its {what}"


def check_memory(case: Case, derivatives, held) -> None:
    """Derivatives are writeable, and share no memory with each other or with arrays the user holds."""
    for i, array in enumerate(derivatives):
        if isinstance(array, np.generic):
            continue
        xp = mg.core.find_backend(array).xp
        for other in [*derivatives[:i], *held]:
            if not isinstance(other, np.generic):
                assert not xp.shares_memory(array, other), f"{case.name}: a derivative shares memory"
        if type(array) is np.ndarray:
            assert array.flags.writeable, f"{case.name}: a derivative is read-only"


# Second derivatives


def check_second(case: Case, move, args) -> None:
    """The four combinations of modes agree with each other and with differences of the oracle's first derivative."""
    f, given, formula = function_of(case, move), tuple(map(move, args)), formula_of(case)
    v, w = case.like(args, "v"), case.like(args, "w")
    (u,) = case.like([np.asarray(formula(*args))], "cotangent")
    moved_v, moved_w, g = tuple(map(move, v)), tuple(map(move, w)), move(u)

    def gradient(*xs):
        return mg.vjp(f, *xs)[1](g)

    def derivative_along_w(*xs):
        return mg.jvp(f, xs, moved_w)[1]

    def gradient_dot_w(*xs):
        products = [mg.sum(a * b) for a, b in zip(gradient(*xs), moved_w, strict=True)]
        return sum(products[1:], products[0])

    positions = tuple(range(len(args)))
    ways = {
        "forward over reverse": mg.jvp(gradient, given, moved_w)[1],
        "reverse over reverse": mg.grad(gradient_dot_w, positions)(*given),
        "reverse over forward": mg.vjp(derivative_along_w, *given)[1](g),
    }
    reference = [to_host(x) for x in ways["forward over reverse"]]
    for way, found in ways.items():
        for x, expected, arg in zip(found, reference, args, strict=True):
            assert (x.shape, x.dtype) == (arg.shape, arg.dtype), f"{case.name}: {way}"
            assert_close(to_host(x), expected, what=f"{case.name}: {way}")
    twice = inner([u], [to_host(mg.jvp(derivative_along_w, given, moved_v)[1])])
    truth = difference(lambda *xs: np.sum(u * true_derivative(case, formula, xs, v)[0]), args, w)
    scale = max(1.0, sum(total(a * b) for a, b in zip(v, reference, strict=True)))
    tolerance = oracles.DIFFERENCE if case.oracle == "complex step" else oracles.DIFFERENCE2
    assert abs(inner(v, reference) - twice) <= rounding() * scale, f"{case.name}: forward over forward"
    assert abs(twice - truth) <= tolerance * scale, f"{case.name}: second derivative {twice}, expected {truth}"


# Constants


def check_constant(case: Case, move, args) -> None:
    """An operation without a derivative: its result is not traced, and its derivatives are zeros in the right shape."""
    f, given = function_of(case, move), tuple(map(move, args))
    before, traced = Snapshot(case, argument=given), []

    def record_result(*xs):
        traced.append(f(*xs))
        return traced[0]

    y, pullback = mg.vjp(record_result, *given)
    assert not isinstance(traced[0], Tracer)
    (u,) = case.like([np.asarray(to_host(y))], "cotangent")
    gradients = pullback(move(u))
    for x, gradient in zip(args, gradients, strict=True):
        assert (gradient.shape, gradient.dtype) == (x.shape, x.dtype) and not to_host(gradient).any()
    if args:
        assert not np.any(to_host(mg.jvp(f, given, given)[1]))
    check_memory(case, list(gradients), [*given, y])
    before.check()
