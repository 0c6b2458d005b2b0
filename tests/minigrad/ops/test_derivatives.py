"""Every case of the catalogue against every oracle: tests of values, orders, dtypes, layouts and devices.

Cotangents and tangents are random and signed: with all ones, a permuted gradient looks right.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import minigrad as mg
from minigrad.checks.catalogue import CASES
from minigrad.core.interpreter import Interpreter, Tracer, primitives
from minigrad.core.rules import Elementwise
from minigrad.testing import LAYOUTS
from tests.support import oracles
from tests.support.checking import (
    check_constant,
    check_first,
    check_memory,
    check_second,
    check_value,
    formula_of,
    function_of,
    our_primitives,
    true_derivative,
)
from tests.support.oracles import assert_close, inner, rounding
from tests.support.transfer import to_host

SMOOTH = [c for c in CASES if not c.discrete]
DISCRETE = [c for c in CASES if c.discrete]
LARGE = pytest.mark.large  # not on the stand-in, where `test_derivatives_stay_on_the_device` covers it


def each(selected):
    """Parametrizes a test over cases."""
    return pytest.mark.parametrize("case", selected, ids=lambda case: case.name)


class Recorder(Interpreter):
    """Records (primitive, args, params, result) of every operation."""

    def __init__(self):
        self.calls = []

    def process(self, primitive, args, params):
        result = self.parent.process(primitive, args, params)
        self.calls.append((primitive, tuple(args), params, result))
        return result


# Values


@each(CASES)
def test_values_agree_with_the_plain_formula(case, on_device):
    check_value(case, on_device, case.arguments())


# First derivatives


@each(SMOOTH)
def test_first_derivatives(case, on_device):
    check_first(case, on_device, case.arguments())


@LARGE
@each([c for c in SMOOTH if c.holomorphic])
def test_complex_first_derivatives(case, on_device):
    rng = case.generator("imaginary")
    args = tuple(np.asarray(a + 1j * rng.uniform(-0.3, 0.3, a.shape)) for a in case.arguments())
    check_first(case, on_device, args)


# Higher derivatives


@LARGE
@each(SMOOTH)
def test_second_derivatives(case, on_device):
    check_second(case, on_device, case.arguments())


@LARGE
@each([c for c in SMOOTH if c.third])
def test_third_derivatives(case, on_device):
    """d³⟨u, f⟩(v, w, w): forward over forward over reverse, and reverse thrice."""
    args = case.arguments()
    f, given, formula = function_of(case, on_device), on_device(args), formula_of(case)
    v, w = case.like(args, "v"), case.like(args, "w")
    (u,) = case.like([np.asarray(formula(*args))], "cotangent")
    moved_v, moved_w, g = on_device(v), on_device(w), on_device(u)
    positions = tuple(range(len(args)))

    def total(xs, ys):
        products = [mg.sum(a * b) for a, b in zip(xs, ys, strict=True)]
        return sum(products[1:], products[0])

    def once(*xs):
        return total(mg.vjp(f, *xs)[1](g), moved_v)

    forward = mg.jvp(lambda *xs: mg.jvp(once, xs, moved_w)[1], given, moved_w)[1]
    twice = lambda *xs: total(mg.grad(once, positions)(*xs), moved_w)
    reverse = total(mg.grad(twice, positions)(*given), moved_w)
    truth = oracles.second_difference(lambda *xs: np.sum(u * true_derivative(case, formula, xs, v)[0]), args, w)
    scale = max(1.0, abs(truth))
    if case.oracle == "complex step":
        assert abs(to_host(forward) - truth) <= oracles.DIFFERENCE2 * scale, f"{forward}, expected {truth}"
    assert abs(to_host(forward) - to_host(reverse)) <= 10 * rounding() * scale


# Every use of a rule


@LARGE
@each(SMOOTH)
def test_derivatives_are_linear_in_tangents_and_cotangents(case, on_device):
    """A linear map is its own derivative, and Jᵀ is the transpose of J: no rule treats a (co)tangent as a constant."""
    args = case.arguments()
    f, given = function_of(case, on_device), on_device(args)
    t, s = on_device(case.like(args, "tangents")), on_device(case.like(args, "other tangents"))
    y, pullback = mg.vjp(f, *given)
    u, v = (on_device(case.like([np.asarray(to_host(y))], name)[0]) for name in ("cotangent", "other cotangent"))
    push = lambda *tangents: mg.jvp(f, given, tangents)[1]
    expected_vjp, expected_jvp = pullback(v), push(*s)
    for found in (mg.jvp(pullback, (u,), (v,))[1], mg.vjp(push, *t)[1](v)):
        for x, expected in zip(found, expected_vjp, strict=True):
            assert_close(to_host(x), to_host(expected), what=f"{case.name}: Jᵀ")
    for found in (mg.jvp(push, t, s)[1], mg.vjp(pullback, u)[1](s)[0]):
        assert_close(to_host(found), to_host(expected_jvp), what=f"{case.name}: J")


@LARGE
@each([c for c in SMOOTH if len(c.shapes) > 1])
def test_each_argument_alone(case, on_device):
    """Derivatives in one argument; the others are constants."""
    args = case.arguments()
    f, given, tangents = function_of(case, on_device), on_device(args), case.like(args, "tangents")
    y, pullback = mg.vjp(f, *given)
    g = on_device(case.like([np.asarray(to_host(y))], "cotangent")[0])
    together = pullback(g)
    for i in range(len(args)):

        def alone(x, i=i):
            return f(*given[:i], x, *given[i + 1 :])

        direction = [t if i == j else np.zeros_like(t) for j, t in enumerate(tangents)]
        truth, tolerance = true_derivative(case, formula_of(case), args, direction)
        y_dot = mg.jvp(alone, (given[i],), (on_device(tangents[i]),))[1]
        assert_close(to_host(y_dot), truth, tolerance, f"{case.name}: jvp {i}")
        (gradient,) = mg.vjp(alone, given[i])[1](g)
        assert_close(to_host(gradient), to_host(together[i]), what=f"{case.name}: vjp {i}")


@LARGE
@each(SMOOTH)
def test_no_state_is_kept_between_calls(case, on_device):
    """Derivatives at one point, and then at another with other constants."""
    check_first(case, on_device, case.arguments())
    rng = case.generator("other arguments")
    others = tuple(np.asarray(draw(rng, shape), np.float64) for draw, shape in zip(case.draws, case.shapes))
    other = replace(case, constants=tuple(np.roll(c, 1, -1) for c in case.constants))
    check_first(other, on_device, others)


# Dtypes, layouts, devices


@each([c for c in SMOOTH if c.float32])
def test_float32_stays_float32(case, on_device):
    """Values, tangents, gradients and all intermediate results are float32, and agree with those in float64."""
    args = case.arguments()
    f, low = function_of(case, on_device), tuple(a.astype(np.float32) for a in args)
    tangents = case.like(low, "tangents")
    exact = tuple(a.astype(np.float64) for a in low)
    with Recorder() as recorder:
        y, y_dot = mg.jvp(f, on_device(low), on_device(tangents))
        y_again, pullback = mg.vjp(f, *on_device(low))
        (u,) = case.like([np.asarray(to_host(y))], "cotangent")
        gradients = pullback(on_device(u))
        mg.jvp(lambda *xs: mg.vjp(f, *xs)[1](on_device(u)), on_device(low), on_device(tangents))
    for primitive, _, _, result in recorder.calls:
        assert result.dtype.kind != "f" or result.dtype == np.float32, f"'{primitive.name}' made {result.dtype}"
    for x in (y, y_dot, y_again, u, *gradients):
        assert x.dtype == np.float32
    wide, wide_dot = mg.jvp(f, on_device(exact), on_device(tuple(t.astype(np.float64) for t in tangents)))
    assert_close(to_host(y), to_host(wide), rounding(np.float32))
    assert_close(to_host(y_dot), to_host(wide_dot), rounding(np.float32))
    wide_gradients = mg.vjp(f, *on_device(exact))[1](on_device(u.astype(np.float64)))
    for x, wide in zip(gradients, wide_gradients, strict=True):
        assert_close(to_host(x), to_host(wide), rounding(np.float32))


@each([c for c in SMOOTH if c.float32 and c.name != "power/float32"])
def test_other_dtypes_are_kept(case, on_device):
    f = function_of(case, on_device)
    for dtype in [np.float16] * case.float16 + [np.complex64] * case.holomorphic:
        args = on_device(tuple(a.astype(dtype) for a in case.arguments()))
        y, y_dot = mg.jvp(f, args, args)
        gradients = mg.vjp(f, *args)[1](mg.ones_like(y))
        assert all(x.dtype == dtype for x in (y, y_dot, *gradients))


@each(SMOOTH)
def test_derivatives_do_not_depend_on_memory_layout(case, backend):
    """Derivatives at arrays with unusual strides equal those at contiguous copies."""
    if backend.name != "numpy":
        pytest.skip("the layouts need NumPy's strides")
    for layout in ["Fortran", "strided", "backwards"] + ["stride 0"] * case.ties:  # equal rows need a domain with ties
        check_layout(case, layout)


def check_layout(case, layout):
    args = case.arguments()
    odd = tuple(LAYOUTS[layout](x) for x in args)
    even = tuple(np.array(x, order="C") for x in odd)
    f = function_of(case, lambda x: x)
    tangents = case.like(args, "tangents")
    (u,) = case.like([np.asarray(f(*even))], "cotangent")
    y, y_dot = mg.jvp(f, odd, tuple(LAYOUTS[layout](t) for t in tangents))
    z, z_dot = mg.jvp(f, even, tuple(np.array(LAYOUTS[layout](t), order="C") for t in tangents))
    assert_close(y, z)
    assert_close(y_dot, z_dot)
    gradients = mg.vjp(f, *odd)[1](LAYOUTS[layout](u))
    expected = mg.vjp(f, *even)[1](np.array(LAYOUTS[layout](u), order="C"))
    for x, truth in zip(gradients, expected, strict=True):
        assert_close(x, truth)
    check_memory(case, gradients, [*odd, u])


@each(CASES)
def test_derivatives_stay_on_the_device(case):
    """The stand-in GPU rejects host arrays, and its 0-d results are arrays."""
    move = lambda values: mg.to_device(values, "stand-in")
    args = case.arguments()
    f = function_of(case, move)
    y = f(*move(args))
    assert mg.device_of(y) == "stand-in"
    assert_close(to_host(y), function_of(case, lambda x: x)(*args))
    if not case.discrete:
        check_second(case, move, args)
        tangents = move(case.like(args, "tangents"))
        for x in mg.jvp(lambda *xs: mg.vjp(f, *xs)[1](y), move(args), tangents)[1]:
            assert mg.device_of(x) == "stand-in"


@each([c for c in SMOOTH if set(c.shapes) == {()}])
def test_python_numbers_are_arguments_too(case):
    """Python numbers instead of 0-d arrays give the same derivatives, to second order."""
    args = [float(a) for a in case.arguments()]
    f = function_of(case, lambda x: x)
    tangents = [0.7, -1.3][: len(args)]
    y, y_dot = mg.jvp(f, args, tangents)
    assert_close(
        y_dot, true_derivative(case, formula_of(case), [np.asarray(a) for a in args], tangents)[0], oracles.DIFFERENCE
    )
    g = np.asarray(case.like([np.asarray(y)], "cotangent")[0])
    gradients = mg.vjp(f, *args)[1](g)
    assert abs(np.sum(g * y_dot) - inner(tangents, gradients)) <= rounding() * max(
        1.0, float(np.sum(np.abs(g * y_dot)))
    )
    second = mg.jvp(lambda *xs: mg.vjp(f, *xs)[1](g), tuple(args), tuple(tangents))[1]
    arrays = tuple(np.asarray(a) for a in args)
    expected = mg.jvp(lambda *xs: mg.vjp(f, *xs)[1](g), arrays, tuple(np.asarray(t) for t in tangents))[1]
    for a, b in zip(second, expected, strict=True):
        assert_close(a, b)


# Constants


@each(DISCRETE)
def test_operations_without_a_derivative_give_constants(case, on_device):
    check_constant(case, on_device, case.arguments())


# The forward formulas


@each(CASES)
def test_forward_formulas_fill_out_and_declare_views(case, backend, on_device):
    """Each primitive in a value or derivative fills `out`, and shares memory only if it is declared a view."""
    f, args = function_of(case, on_device), on_device(case.arguments())
    with Recorder() as recorder:
        if case.discrete:
            f(*args)
        else:
            y, pullback = mg.vjp(f, *args)
            pullback(on_device(case.like([np.asarray(to_host(y))], "cotangent")[0]))
            mg.jvp(f, args, args)
    for primitive, inputs, params, result in recorder.calls:
        arrays = [x for x in inputs if isinstance(x, backend.array_type)]
        if not isinstance(result, backend.array_type) or primitive.name == "stop_gradient":
            continue
        if primitive.view_of is None:
            assert not any(backend.xp.shares_memory(result, x) for x in arrays), f"'{primitive.name}' made a view"
            out = backend.xp.zeros(result.shape, result.dtype)
            filled = primitive.forward(backend, *inputs, **params, out=out)
            assert filled is out, f"'{primitive.name}' ignores `out`"
            assert_close(to_host(out), to_host(result), what=primitive.name)
        else:
            others = [x for i, x in enumerate(inputs) if i != primitive.view_of and isinstance(x, backend.array_type)]
            assert not any(backend.xp.shares_memory(result, x) for x in others)


# The catalogue itself


def differentiable():
    """Names of our primitives with a derivative rule."""
    return {name for name in our_primitives() if primitives[name].rule and not primitives[name].rule.constant}


def test_every_smooth_primitive_is_differentiated():
    """Every primitive with a rule has a case that is differentiated."""
    assert differentiable() - {c.operation for c in SMOOTH} == set()


def test_every_primitive_has_a_rule():
    assert [name for name in our_primitives() if primitives[name].rule is None] == []


# The checks themselves


def _scale(found):
    return None if found is None else found * 1.001


def _negate(found):
    return None if found is None else -found


DAMAGES = {
    "vjp scaled": ("pull", _scale),
    "vjp negated": ("pull", _negate),
    "jvp scaled": ("jvp", _scale),
    "jvp negated": ("jvp", _negate),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", sorted(differentiable()))
def test_a_damaged_rule_is_caught(name, damage, monkeypatch):
    method, damage_result = DAMAGES[damage]
    rule = primitives[name].rule
    right = getattr(rule, method)
    monkeypatch.setattr(rule, method, lambda *args: damage_result(right(*args)))
    for case in SMOOTH:
        if case.operation == name:
            try:
                check_first(case, lambda x: x, case.arguments())
            except AssertionError:
                return
    raise AssertionError(f"no check failed for the damaged rule of '{name}'")


@pytest.mark.parametrize(("victim", "method"), [("argument", "forward"), ("tangent", "push"), ("cotangent", "pull")])
def test_an_operation_that_writes_to_its_inputs_is_caught(victim, method, monkeypatch):
    """It changes the last bit of one element, which no tolerance would show."""
    owner = primitives["exp"] if method == "forward" else primitives["exp"].rule
    right = getattr(owner, method)

    def writing(first, given, *rest, **params):
        result = right(first, given, *rest, **params)
        given.flat[0] = np.nextafter(given.flat[0], 9)
        return result

    monkeypatch.setattr(owner, method, writing)
    case = next(c for c in SMOOTH if c.name == "exp")
    with pytest.raises(AssertionError, match=f"changed its {victim}"):
        check_first(case, lambda x: x, case.arguments())


# Piecewise linear: the second derivative is 0 in any case
FLAT = {"absolute", "relu", "maximum", "minimum", "remainder", "fmod", "clip", "max", "min", "nextafter"}


@pytest.mark.parametrize(
    "name",
    sorted(n for n in differentiable() - FLAT if type(primitives[n].rule).__name__ not in ("Linear", "LinearVariadic")),
)
@pytest.mark.parametrize("method", ["pull", "push"])
def test_a_rule_that_is_right_to_first_order_only_is_caught(name, method, monkeypatch):
    """Slopes that are treated as constants give right gradients and wrong Hessians."""
    rule = primitives[name].rule
    right = getattr(rule, method)

    def without_second_derivative(position, vector, known, args, params):
        stop = lambda x: mg.stop_gradient(x) if isinstance(x, Tracer) else x
        stopped = {k: x if k == "g" else stop(x) for k, x in known.items()}
        return right(position, vector, stopped, [stop(x) for x in args], params)

    constant_slopes = isinstance(rule, Elementwise) and all(isinstance(s, int) for s in rule.statements.values())
    monkeypatch.setattr(rule, method, without_second_derivative)
    for case in SMOOTH:
        if case.operation == name:
            try:
                check_second(case, lambda x: x, case.arguments())
            except AssertionError:
                assert not constant_slopes
                return
    assert constant_slopes, f"no check failed for the wrong second derivatives of '{name}'"
