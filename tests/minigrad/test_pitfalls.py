"""Mistakes other engines made, one test each, found by name; the docstring says whose it was.

Expected values are closed forms, naive loops or exact polynomials; cotangents are random and signed. Longer tests of
the same things stand in the file of each operation.
"""

from __future__ import annotations

import gc
import itertools
import math
import sys
import weakref

import numpy as np
import pytest
from numpy.polynomial import Polynomial

import minigrad as mg
from minigrad.checks import GradientError, check_grads
from minigrad.core.interpreter import current
from tests.support.oracles import assert_close, rounding
from tests.support.strategies import normal
from tests.support.transfer import to_host

INF, NAN = math.inf, math.nan


def slope(f):
    """f′ in forward mode, for an f of one array of numbers that are treated alike."""
    return lambda x: mg.jvp(f, (x,), (mg.ones_like(mg.stop_gradient(x)),))[1]


MODES = {"reverse": mg.grad, "forward": slope}


def derivatives(f, x, order, size=0.0):
    """[f′(x), f″(x), …] of a function of one number, the same in every mixture of modes.

    To rounding of themselves, or of `size` where terms of that size cancel.
    """
    found = []
    for k in range(1, order + 1):
        values = []
        for mixture in itertools.product(MODES.values(), repeat=k):
            g = f
            for mode in mixture:
                g = mode(g)
            values.append(float(to_host(g(x))))
        assert all(v == values[0] or abs(v - values[0]) <= rounding() * max(size, abs(values[0])) for v in values), (
            values
        )
        found.append(values[0])
    return found


def pulled(f, x, g, on_device):
    """The gradient of ⟨g, f(x)⟩, on the host."""
    return to_host(mg.vjp(f, on_device(x))[1](on_device(g))[0])


# All-ones cotangents hide wrong gradients


def test_the_gradient_of_repeat_along_the_last_axis_is_not_permuted(on_device):
    """HIPS/autograd 1.9.1: silently wrong for repeat(x, k, axis=-1)."""
    x, g = normal((2, 3)), normal((2, 6), 1)
    expected = [[g[i, 2 * j] + g[i, 2 * j + 1] for j in range(3)] for i in range(2)]
    assert_close(pulled(lambda x: mg.repeat(x, 2, axis=-1), x, g, on_device), expected)


def test_the_gradient_of_tile_of_a_matrix_is_neither_wrong_nor_an_exception(on_device):
    """HIPS/autograd 1.9.1: tile(x, 2) of a matrix."""
    x, g = normal((2, 3)), normal((2, 6), 1)
    expected = [[g[i, j] + g[i, j + 3] for j in range(3)] for i in range(2)]
    assert_close(pulled(lambda x: mg.tile(x, 2), x, g, on_device), expected)
    g = normal((4, 3), 1)
    assert_close(pulled(lambda x: mg.tile(x, (2, 1)), x, g, on_device), g[:2] + g[2:])


def test_what_ones_hide_the_checker_sees(make_primitive):
    """tinygrad, needle and minitorch test with .sum(): autograd's rule for repeat passes that, and not check_grads."""
    repeat = lambda b, x, out=None: b.xp.repeat(x, 2, axis=-1)
    jvp = lambda t: mg.repeat(t, 2, axis=-1)
    right = make_primitive(repeat, jvp, lambda g: mg.sum(g.reshape(2, 3, 2), 2))
    wrong = make_primitive(repeat, jvp, lambda g: mg.sum(g.reshape(2, 2, 3), 1))
    x = normal((2, 3))
    assert np.array_equal(mg.grad(lambda x: mg.sum(wrong(x)))(x), mg.grad(lambda x: mg.sum(right(x)))(x))
    check_grads(right, (x,))
    with pytest.raises(GradientError, match="reverse mode"):
        check_grads(wrong, (x,))


# Wrong shapes and values


def test_transpose_takes_negative_axes(on_device):
    """HIPS/autograd: a gradient of another shape."""
    x, g = normal((2, 3, 4)), normal((4, 2, 3), 1)
    expected = np.zeros(x.shape)
    for i, j, k in np.ndindex(x.shape):
        expected[i, j, k] = g[k, i, j]
    assert np.array_equal(pulled(lambda x: mg.transpose(x, (-1, 0, -2)), x, g, on_device), expected)


@pytest.mark.parametrize("shape", [(2, 4), (4, 2)])
@pytest.mark.parametrize("k", [-1, 0, 1])
def test_diag_of_a_matrix_that_is_not_square_has_a_gradient_of_its_shape(shape, k, on_device):
    """HIPS/autograd: a square gradient."""
    x = normal(shape)
    places = [(i, i + k) for i in range(shape[0]) if 0 <= i + k < shape[1]]
    g, expected = normal((len(places),), 1), np.zeros(shape)
    for place, value in zip(places, g, strict=True):
        expected[place] = value
    assert np.array_equal(pulled(lambda x: mg.diag(x, k), x, g, on_device), expected)


def test_einsum_that_broadcasts_gives_each_operand_a_gradient_of_its_shape(on_device):
    """HIPS/autograd#376."""
    x, w, g = normal((1, 2, 3)), normal((4, 3, 2), 1), normal((4, 2, 2), 2)
    y, pullback = mg.vjp(lambda x, w: mg.einsum("...ij,...jk->...ik", x, w), *on_device((x, w)))
    x_bar, w_bar = np.zeros(x.shape), np.zeros(w.shape)
    for n, i, j, k in np.ndindex(4, 2, 3, 2):
        x_bar[0, i, j] += g[n, i, k] * w[n, j, k]
        w_bar[n, j, k] += g[n, i, k] * x[0, i, j]
    for found, expected in zip(pullback(on_device(g)), (x_bar, w_bar), strict=True):
        assert_close(to_host(found), expected)
    assert y.shape == g.shape


def test_moveaxis_of_several_axes_puts_each_back(on_device):
    """The axes moved on in place of back."""
    x, g = normal((2, 3, 4)), normal((4, 3, 2), 1)
    expected = np.zeros(x.shape)
    for i, j, k in np.ndindex(x.shape):
        expected[i, j, k] = g[k, j, i]
    assert np.array_equal(pulled(lambda x: mg.moveaxis(x, (0, 1), (-1, -2)), x, g, on_device), expected)


def test_the_gradient_of_einsum_ii_is_on_the_diagonal(on_device):
    """HIPS/autograd: an exception."""
    x, g = normal((3, 3)), normal((), 1)
    assert np.array_equal(pulled(lambda x: mg.einsum("ii", x), x, g, on_device), g * np.eye(3))
    g = normal((3,), 1)
    assert np.array_equal(pulled(lambda x: mg.einsum("ii->i", x), x, g, on_device), np.diag(g))


def test_duplicate_indices_add_up(on_device):
    """x̄[i] = g assigns, and keeps the last one only."""
    x, g = normal((3, 2)), normal((3, 2), 1)
    expected = [g[0] + g[1], g[2], [0, 0]]
    assert_close(pulled(lambda x: x[[0, 0, 1]], x, g, on_device), expected)


# Changes in place between forward and backward


def by_vjp(f, x):
    y, pullback = mg.vjp(f, x)
    return y, lambda g: pullback(g)[0]


def by_tape(f, x):
    with mg.Tape() as tape:
        traced = tape.watch(x)
        y = f(traced)
    return y, lambda g: tape.gradient(y, traced, g)


@pytest.mark.parametrize("recorded", [by_vjp, by_tape])
def test_an_input_changed_before_the_backward_pass_is_noticed(recorded, on_device):
    """HIPS/autograd silently gives the gradient at the new values."""
    x, g = on_device((normal((3,)), normal((3,), 1)))
    expected = np.cos(to_host(x)) * to_host(g)
    _, pull = recorded(mg.sin, x)
    assert_close(to_host(pull(g)), expected)
    x += 1
    with pytest.raises(mg.MutationError, match="used by 'sin'"):
        pull(g)


@pytest.mark.parametrize("recorded", [by_vjp, by_tape])
def test_a_captured_constant_changed_before_the_backward_pass_is_noticed(recorded, on_device):
    """HIPS/autograd; and a change that is undone is none."""
    x, c, g = on_device((normal((3,)), np.array([0.5, -2.0, 1.0]), normal((3,), 1)))
    _, pull = recorded(lambda x: x * c, x)
    expected = to_host(c) * to_host(g)
    c[1] = 7
    with pytest.raises(mg.MutationError, match="used by 'multiply'"):
        pull(g)
    c[1] = -2
    assert np.array_equal(to_host(pull(g)), expected)


def test_an_output_changed_before_the_backward_pass_is_noticed(on_device):
    """HIPS/autograd: y *= 2 doubles the gradient of exp."""
    x, g = on_device((normal((3,)), normal((3,), 1)))
    y, pull = by_vjp(mg.exp, x)
    y *= 2
    with pytest.raises(mg.MutationError, match="used by 'exp'"):
        pull(g)


# Backward passes and the memory of gradients


@pytest.mark.parametrize("recorded", [by_vjp, by_tape])
def test_a_second_backward_pass_gives_the_same_gradient(recorded, on_device):
    """MyGrad: it silently does nothing."""
    x, g = on_device((normal((3,)), normal((3,), 1)))
    _, pull = recorded(lambda x: mg.exp(x) * x, x)
    expected = np.exp(to_host(x)) * (1 + to_host(x)) * to_host(g)
    for _ in range(3):
        assert_close(to_host(pull(g)), expected)


def test_gradients_do_not_share_memory_with_each_other(on_device):
    """Both arguments of a sum get g."""
    a, b, g = on_device((normal((3,)), normal((3,), 1), normal((3,), 2)))
    for f in (lambda a, b: a + b, lambda a, b: mg.stack([a, b])[0] + b, lambda a, b: (a + b).T):
        first, second = mg.vjp(f, a, b)[1](g)
        expected = to_host(second).copy()
        first[...] = 7
        assert np.array_equal(to_host(second), expected)
    again = mg.vjp(lambda a, b: a + b, a, a)[1](g)
    again[0][...] = 7
    assert np.array_equal(to_host(again[1]), to_host(g))


@pytest.mark.parametrize(
    "f",
    [lambda x: x, lambda x: x.T, mg.ravel, lambda x: x[::-1], lambda x: x[None], lambda x: x + 1, mg.copy],
    ids=["itself", "transpose", "ravel", "reverse", "expand", "add", "copy"],
)
def test_gradients_do_not_share_memory_with_the_cotangent(f, on_device):
    """A gradient that is the cotangent, or a view of it."""
    x = on_device(normal((2, 2)))
    y, pullback = mg.vjp(f, x)
    g = on_device(normal(y.shape, 1))
    (gradient,), before = pullback(g), to_host(g).copy()
    gradient[...] = 7
    assert np.array_equal(to_host(g), before)
    expected = to_host(pullback(g)[0]).copy()
    (gradient,) = pullback(g)
    g[...] = 9
    assert np.array_equal(to_host(gradient), expected)


# Nested derivatives


@pytest.mark.parametrize("inner", MODES)
@pytest.mark.parametrize("outer", MODES)
def test_nested_derivatives_do_not_confuse_their_perturbations(outer, inner, xp):
    """ReverseDiff.jl#45 and pytorch#32576: d/dx [x · d/dy x], where the inner derivative is 0, and its relatives."""
    D, d = MODES[outer], MODES[inner]
    one = xp.asarray(1.0)
    for f, expected in (
        (lambda x: x * d(lambda y: x)(one), 0),
        (lambda x: x * d(lambda y: x + y)(one), 1),
        (lambda x: x * d(lambda y: x * y)(one), 6),  # d/dx x²
        (lambda x: d(lambda y: x * y * y)(x), 12),  # d/dx 2x²
    ):
        assert float(D(f)(xp.asarray(3.0))) == expected


def test_a_function_inside_its_own_derivative_is_not_mistaken_for_itself(xp):
    """ForwardDiff.jl#313: levels told apart by the type of the function."""

    class Confusing:
        def __init__(self, outer, x):
            self.outer, self.x = outer, x

        def __call__(self, y):
            return y * slope(Confusing(False, y))(xp.asarray(1.0)) if self.outer else self.x + y

    assert float(slope(Confusing(True, 0.0))(xp.asarray(1.0))) == 1


@pytest.mark.parametrize("mode", MODES)
def test_an_exception_leaves_no_level_behind(mode, xp):
    """HIPS/autograd: its trace stack has no `finally`."""

    def f(x):
        return MODES[mode](lambda y: mg.sin(y) * {}["missing"])(x)

    before = current()
    with pytest.raises(KeyError):
        MODES[mode](f)(xp.asarray(1.0))
    assert current() is before
    assert float(MODES[mode](lambda x: x * x)(xp.asarray(3.0))) == 6


# Boundaries that samples never hit

BOUNDARIES = {
    "relu": (mg.relu, 0.0, [0, 0]),
    "relu of a square": (lambda x: mg.relu(x * x), 0.0, [0, 0]),
    "x relu": (lambda x: x * mg.relu(x), 0.0, [0, 0]),
    "abs": (mg.abs, 0.0, [0, 0]),
    "x abs": (lambda x: x * mg.abs(x), 0.0, [0, 0]),
    "leaky relu": (lambda x: mg.leaky_relu(x, 0.25) ** 2 + x, 0.0, [1, 2 * 0.25**2]),
    "elu": (lambda x: mg.elu(x, 0.5), 0.0, [0.5, 0.5]),
    "clip, lower edge": (lambda x: mg.clip(x, 1.0, 2.0) ** 3, 1.0, [3, 6]),
    "clip, upper edge": (lambda x: mg.clip(x, 1.0, 2.0) ** 3, 2.0, [12, 12]),
    "maximum, tie": (lambda x: mg.maximum(x * x, x), 1.0, [1.5, 1]),
    "minimum, tie": (lambda x: mg.minimum(x * x, x), 1.0, [1.5, 1]),
    "max, tie": (lambda x: mg.max(mg.stack([x * x, x, 0.5 * x * x])), 1.0, [1.5, 1]),
    "where": (lambda x: mg.where(x > 0, x**3, x**2), 0.0, [0, 2]),
    "sigmoid at its centre": (mg.sigmoid, 0.0, [0.25, 0]),
    "softplus at its centre": (mg.softplus, 0.0, [0.5, 0.25]),
    "logaddexp of equals": (lambda x: mg.logaddexp(x, 0.0), 0.0, [0.5, 0.25]),
    "tanh far out": (mg.tanh, 1e3, [0, 0]),
    "gelu far out": (mg.gelu, -1e3, [0, 0]),
    "prod with a zero": (lambda x: mg.prod(mg.stack([x, x + 1, x + 2])), 0.0, [2, 6]),
    "cumprod with a zero": (lambda x: mg.sum(mg.cumprod(mg.stack([x + 1, x, x + 2]))), 0.0, [1 + 1 + 2, 2 + 6]),
    "square as a power": (lambda x: x**2, 0.0, [0, 2]),
    "linear power": (lambda x: x**1, 0.0, [1, 0]),
    "norm of a vector with a zero": (lambda x: mg.norm(mg.stack([x, x + 3, x + 4])), 0.0, [7 / 5, 26 / 125]),
    "hypot beside zero": (lambda x: mg.hypot(x, 2.0), 0.0, [0, 0.5]),
    "arctan2 on the axis": (lambda x: mg.arctan2(x, 2.0), 0.0, [0.5, 0]),
    "var of a constant": (lambda x: mg.var(mg.stack([x, 2 * x, 3 * x])), 0.0, [0, 4 / 3]),
    "expm1 at zero": (mg.expm1, 0.0, [1, 1]),
    "log1p at zero": (mg.log1p, 0.0, [1, -1]),
}


@pytest.mark.parametrize("name", BOUNDARIES)
def test_second_derivatives_at_boundaries_are_right_in_every_mixture_of_modes(name, xp):
    """pytorch#198017: forward-mode and second-order rules that are wrong at a boundary the samples never hit."""
    f, x, expected = BOUNDARIES[name]
    assert derivatives(f, xp.asarray(x), 2) == pytest.approx(expected, rel=rounding(), abs=rounding())


# Powers, norms and products at zero


@pytest.mark.parametrize("exponent", ["number", "array"])
@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (0, [0, 0, 0]),
        (1, [1, 0, 0]),
        (2, [0, 2, 0]),
        (3, [0, 0, 6]),
        (4, [0, 0, 0]),
        (0.5, [INF, -INF, INF]),
        (1.5, [0, INF, -INF]),
        (2.5, [0, 0, INF]),
        (-1, [-INF, INF, -INF]),
    ],
)
def test_powers_at_zero_have_their_derivatives_to_third_order(p, expected, exponent, xp):
    """HIPS/autograd#116, #149, #151, #581, jax#3058, pytorch#92075: NaN from 0·∞, or from p ln 0."""
    p = p if exponent == "number" else xp.asarray(float(p))
    with np.errstate(divide="ignore"):
        assert derivatives(lambda x: x**p, xp.asarray(0.0), 3) == expected


def test_zero_to_the_zero_is_one_and_flat(xp):
    """HIPS/autograd#116, #149: NaN from ln 0 or 0⁻¹."""
    zero = xp.asarray(0.0)
    assert float(mg.power(zero, zero)) == 1
    assert [float(g) for g in mg.grad(mg.power, (0, 1))(zero, zero)] == [0, 0]
    assert derivatives(lambda x: x ** xp.asarray(0.0), zero, 2) == [0, 0]
    assert derivatives(lambda p: mg.power(zero, p), zero, 2) == [0, 0]


@pytest.mark.parametrize("order", [None, 2, 3, 1.5], ids=str)
def test_the_norm_of_zero_has_a_gradient_and_a_hessian(order, xp):
    """HIPS/autograd#151, #581, jax#3058, pytorch#92075: NaN from 0/0. Zero by convention."""
    f, zero = lambda x: mg.norm(x, order), xp.zeros(3)
    assert not to_host(mg.grad(f)(zero)).any() and not to_host(mg.jacobian(f, mode="forward")(zero)).any()
    for outer, inner in itertools.product(["forward", "reverse"], repeat=2):
        hessian = mg.jacobian(mg.jacobian(f, mode=inner), mode=outer)(zero)
        assert hessian.shape == (3, 3) and not to_host(hessian).any()


def test_the_square_root_of_zero_has_its_limits(xp):
    """HIPS/autograd#116, #581, jax#3058: an exception, or NaN. Slope +∞ and curvature −∞, also as a Hessian."""
    with np.errstate(divide="ignore"):
        assert derivatives(mg.sqrt, xp.asarray(0.0), 3) == [INF, -INF, INF]
        for outer, inner in itertools.product(["forward", "reverse"], repeat=2):
            f = mg.jacobian(mg.jacobian(lambda x: mg.sum(mg.sqrt(x)), mode=inner), mode=outer)
            assert to_host(f(xp.zeros(1))).tolist() == [[-INF]]


@pytest.mark.parametrize("zeros", [1, 2, 3])
def test_the_derivatives_of_a_product_with_zeros_are_exact_to_second_order(zeros, xp):
    """HIPS/autograd#378, pytorch#773: dividing the product by a factor. Two zeros still have a Hessian."""
    x = np.array([2.0, -3.0, 0.5, 4.0])
    x[:zeros] = 0
    gradient, hessian = np.zeros(4), np.zeros((4, 4))
    for i in range(4):
        gradient[i] = np.prod(np.delete(x, i))
        for j in range(4):
            hessian[i, j] = np.prod(np.delete(x, [i, j])) if i != j else 0
    x = xp.asarray(x)
    assert np.array_equal(to_host(mg.grad(mg.prod)(x)), gradient)
    for outer, inner in itertools.product(["forward", "reverse"], repeat=2):
        assert np.array_equal(to_host(mg.jacobian(mg.jacobian(mg.prod, mode=inner), mode=outer)(x)), hessian)


def test_the_derivatives_of_running_products_through_a_zero_are_those_of_the_polynomial(xp):
    """pytorch#196701: the second derivative, forward over forward, of cumprod at a zero factor."""
    factors = [Polynomial(c) for c in ([1, 1], [-2, 1], [0, 2], [3, -1], [-2, 1])]  # two of them are 0 at 2
    weights, total, product = [3.0, -1.0, 2.0, 5.0, -4.0], Polynomial([0]), Polynomial([1])
    for weight, factor in zip(weights, factors, strict=True):
        product = product * factor
        total = total + weight * product

    def f(t):
        return mg.sum(mg.cumprod(mg.stack([t + 1, t - 2, 2 * t, 3 - t, t - 2])) * xp.asarray(weights))

    expected = [total.deriv(k)(2.0) for k in (1, 2, 3)]
    assert derivatives(f, xp.asarray(2.0), 3) == pytest.approx(expected, rel=rounding())


@pytest.mark.parametrize("f", [mg.std, mg.var], ids=["std", "var"])
@pytest.mark.parametrize("value", [0.0, 1.0, 0.1])
def test_the_spread_of_a_constant_has_no_slope(f, value, xp):
    """HIPS/autograd: NaN from 0/0."""
    gradient = to_host(mg.grad(f)(xp.full(4, value)))
    assert_close(gradient, np.zeros(4))
    assert_close(to_host(mg.jacobian(f, mode="forward")(xp.full(4, value))), np.zeros(4))


def test_the_angle_of_the_origin_has_no_slope(xp):
    """HIPS/autograd: NaN from 0/0 in arctan2(0, 0)."""
    f, origin = lambda x: mg.arctan2(x[0], x[1]), xp.zeros(2)
    assert not to_host(mg.grad(f)(origin)).any() and not to_host(mg.hessian(f)(origin)).any()


def test_sinc_is_refused_by_name_and_its_guarded_formula_is_flat_at_zero(xp):
    """HIPS/autograd: NaN for sinc(0). We do not offer it, and the formula with a harmless argument first is right."""
    with pytest.raises(TypeError, match=r"sinc is not offered"):
        mg.grad(lambda x: np.sinc(x))(1.0)

    def sinc(x):
        zero = x == 0
        safe = math.pi * mg.where(zero, 1.0, x)
        return mg.where(zero, 1.0, mg.sin(safe) / safe)

    assert derivatives(sinc, xp.asarray(0.0), 1) == [0]
    assert derivatives(sinc, xp.asarray(1.0), 1) == pytest.approx([-1])  # cos π / 1 − sin π / π


# Ties and edges


@pytest.mark.parametrize(
    ("f", "row", "expected"),
    [
        (lambda x: mg.max(mg.stack([x, 2.0 - x, -x])), "max, min", 0),
        (lambda x: mg.min(mg.stack([x, x * x, 5.0 * x])), "max, min", 1.5),
        (lambda x: mg.maximum(x, 1.0), "maximum, minimum", 0.5),
        (lambda x: mg.minimum(1.0, x), "maximum, minimum", 0.5),
        (lambda x: mg.clip(x, 1.0, 2.0), "clip", 1),
        (lambda x: mg.clip(x, 0.0, 1.0), "clip", 1),
        (lambda x: mg.clip(3.0, x, 3.0), "clip", 0),
        (lambda x: mg.clip(1.0, x, 3.0), "clip", 0),
        (lambda x: mg.abs(x - 1.0), "abs, sign", 0),
        (lambda x: mg.relu(x - 1.0), "relu", 0),
        (lambda x: mg.relu(1.0 - x), "relu", 0),
    ],
    ids=[
        "max",
        "min",
        "maximum",
        "minimum",
        "clip low",
        "clip high",
        "low edge",
        "low edge on x",
        "abs",
        "relu",
        "-relu",
    ],
)
def test_derivatives_at_ties_and_edges_are_as_published(f, row, expected, xp):
    """pytorch#184572 (relu 0, clamp 1), HIPS/autograd#212, jax#37821: libraries disagree with themselves."""
    assert row in mg.CONVENTIONS
    assert derivatives(f, xp.asarray(1.0), 1) == [expected]


def test_a_count_of_ties_does_not_overflow_in_float16(on_device):
    """tinygrad#12296: 70,000 equal elements counted in float16 are infinitely many, and every gradient is 0."""
    gradient = to_host(mg.grad(mg.max)(on_device(np.ones(70_000, np.float16))))
    assert gradient.dtype == np.float16 and np.all(gradient == np.float16(1 / 70_000)) and gradient[0] > 0


# Infinities, and numbers too large or too small


def test_a_nan_in_the_branch_not_taken_stays_there(xp):
    """tinygrad#12409, jax#1052; and where that branch has an infinite slope, its argument is masked too."""
    x, nan = xp.asarray([1.0, -2.0]), xp.asarray([NAN, NAN])
    f = lambda x, nan: mg.where(xp.asarray([True, False]), x * x, mg.where(xp.asarray([False, True]), 3 * x, nan))
    x_bar, nan_bar = mg.vjp(f, x, nan)[1](xp.asarray([3.0, 5.0]))
    assert to_host(x_bar).tolist() == [6, 15] and to_host(nan_bar).tolist() == [0, 0]
    assert to_host(mg.jvp(f, (x, nan), (x, nan))[1]).tolist() == [2, -6]
    x_bar, nan_bar = mg.vjp(f, x, nan)[1](xp.asarray([3.0, INF]))
    assert to_host(x_bar).tolist() == [6, INF] and to_host(nan_bar).tolist() == [0, 0]
    safe = lambda x: mg.where(x > 0, mg.log(mg.where(x > 0, x, 1.0)), 0.0)
    assert derivatives(safe, xp.asarray(0.0), 2) == [0, 0]
    assert derivatives(safe, xp.asarray(-1.0), 2) == [0, 0]
    assert derivatives(safe, xp.asarray(2.0), 2) == [0.5, -0.25]


def test_logsumexp_with_minus_infinity_is_finite_to_third_order(xp):
    """pytorch#31829: NaN where (−∞) − (−∞) is formed. Derivatives along v are the cumulants of v under softmax(x)."""
    v, x = np.array([1.0, -2.0, 0.5, 3.0]), np.array([2.0, -INF, 1.0, -INF])
    weights = np.exp(x) / np.sum(np.exp(x))
    mean = np.sum(weights * v)
    expected = [mean] + [np.sum(weights * (v - mean) ** k) for k in (2, 3)]
    x, v = xp.asarray(x), xp.asarray(v)
    found = derivatives(lambda t: mg.logsumexp(x + t * v), xp.asarray(0.0), 3, size=1.0)
    assert found == pytest.approx(expected, abs=rounding())
    nothing = xp.full(3, -INF)
    assert float(mg.logsumexp(nothing)) == -INF
    assert not to_host(mg.grad(mg.logsumexp)(nothing)).any() and not to_host(mg.hessian(mg.logsumexp)(nothing)).any()


def test_logaddexp_with_minus_infinity_is_finite_to_third_order(xp):
    """jax#40409: NaN from the second order on."""
    for x, other, expected in (
        (0.0, -INF, [1, 0, 0]),
        (0.0, 0.0, [1 / 2, 1 / 4, 0]),
        (-INF, 0.0, [0, 0, 0]),
        (-INF, -INF, [0, 0, 0]),
    ):
        for f in (lambda x, c=other: mg.logaddexp(x, c), lambda x, c=other: mg.logaddexp(c, x)):
            assert derivatives(f, xp.asarray(x), 3) == expected


def test_the_derivative_of_expm1_at_minus_forty_is_not_zero(xp):
    """HIPS/autograd and jax#39794: (eˣ − 1) + 1 has lost it."""
    assert derivatives(mg.expm1, xp.asarray(-40.0), 3) == pytest.approx([math.exp(-40)] * 3, rel=rounding(), abs=0)


def test_the_derivative_of_tanh_does_not_go_through_cosh(xp):
    """HIPS/autograd: 1/cosh² overflows, with a warning, which is an error here."""
    for x in (-1e4, -800.0, 400.0, 1e300):
        assert derivatives(mg.tanh, xp.asarray(x), 3) == [0, 0, 0]
    y = math.tanh(0.3)
    expected = [1 - y * y, -2 * y * (1 - y * y), (1 - y * y) * (6 * y * y - 2)]
    assert derivatives(mg.tanh, xp.asarray(0.3), 3) == pytest.approx(expected, rel=rounding())


@pytest.mark.parametrize("x", [-1e4, 1e4])
def test_softplus_and_log_sigmoid_at_ten_thousand_are_neither_infinite_nor_nan(x, xp):
    """The formula ln(1 + eˣ) overflows; its derivative is ∞/∞."""
    assert float(mg.softplus(xp.asarray(x))) == max(x, 0)
    assert float(mg.log_sigmoid(xp.asarray(x))) == min(x, 0)
    assert derivatives(mg.softplus, xp.asarray(x), 3) == [x > 0, 0, 0]
    assert derivatives(mg.log_sigmoid, xp.asarray(x), 3) == [x < 0, 0, 0]
    far = xp.asarray(math.copysign(40.0, x))  # 1 − σ would be 0 on one of the two sides
    one_side = mg.softplus if x < 0 else mg.log_sigmoid
    assert derivatives(one_side, far, 1) == pytest.approx([math.exp(-40)], rel=rounding(), abs=0)


# Dtypes and layouts

FLOAT32 = {
    "arithmetic": lambda x: 2 * x / 3 - 1.5 + x**2 + 2.0**x,
    "numbers of NumPy": lambda x: x * np.pi + mg.hypot(x, 1),
    "functions": lambda x: mg.gelu(x) + mg.logsumexp(x, 0, keepdims=True) * mg.softmax(x),
    "reductions": lambda x: mg.mean(x) + mg.std(x, 0) + mg.var(x) * mg.norm(x) + mg.prod(x, 1, keepdims=True),
    "extremes": lambda x: mg.max(x, 1, keepdims=True) + mg.sort(x) + mg.clip(x, -0.5, 0.5) + mg.maximum(x, 0),
    "linear algebra": lambda x: mg.inv(x.T @ x + mg.diag(mg.ones_like(x[0]))) @ mg.einsum("ij->ji", x),
    "indexing": lambda x: x[[0, 0, 1]] + x[:1] * mg.where(x[:1] > 0, x[:1], 0),
    "joining": lambda x: mg.pad(mg.concatenate([x, x]), 1, constant_values=1) * 2,
}


@pytest.mark.parametrize("name", FLOAT32)
def test_float32_stays_float32(name, on_device):
    """HIPS/autograd#163 and #671: gradients of float32 functions are float64."""
    f, x = FLOAT32[name], on_device(normal((2, 3)).astype(np.float32))
    y, pullback = mg.vjp(f, x)
    (gradient,) = pullback(mg.ones_like(y))
    _, y_dot = mg.jvp(f, (x,), (x,))
    assert y.dtype == gradient.dtype == y_dot.dtype == np.float32
    assert mg.hvp(lambda x: mg.sum(f(x)), x, x).dtype == np.float32


def test_a_float32_argument_beside_a_float64_one_has_a_float32_gradient(on_device):
    """HIPS/autograd#163, #671."""
    x, c = on_device((np.ones(3, np.float32), normal((3,))))
    gradient = mg.grad(lambda x: mg.sum(x * c))(x)
    assert gradient.dtype == np.float32 and np.array_equal(to_host(gradient), to_host(c).astype(np.float32))


@pytest.mark.parametrize("x", [2, np.array([1, 2]), np.int32(3), True], ids=repr)
def test_integers_are_no_place_to_differentiate_at_and_that_is_said(x):
    """HIPS/autograd#229, #482. The message says what to do."""
    with pytest.raises(TypeError, match=r"derivatives need floating-point arguments, got .*: convert it with"):
        mg.grad(lambda x: mg.sum(x * x))(x)


def test_integer_constants_do_not_truncate_derivatives(on_device):
    """HIPS/autograd#229, #482."""
    n, x = on_device((np.array([3, 0, -2]), normal((3,))))
    gradient = mg.grad(lambda x: mg.sum(n * x / 2 + x**n * 0 + mg.where(n > 0, x, 0) / 4))(mg.abs(x) + 1)
    assert gradient.dtype == np.float64 and to_host(gradient).tolist() == [1.75, 0, -1]
    with pytest.raises(ValueError, match=r"a cotangent must be float64\[3\].*got int64"):
        mg.vjp(mg.sin, x)[1](n)


LAYOUTS = {
    "0-d": lambda xp, x: x[1, 2, ...],
    "size 0": lambda xp, x: x[:0],
    "stride 0": lambda xp, x: xp.broadcast_to(x[:1], (3, 4)),
    "negative strides": lambda xp, x: x[::-1, ::-1],
    "every other column": lambda xp, x: x[:, ::2],
    "transposed": lambda xp, x: x.T,
    "transposed and sliced": lambda xp, x: x.T[::-2, 1:],
    "read-only": lambda xp, x: mg.stop_gradient(x),
}
FORMULAS = {  # a function of any array, the same in NumPy, and its gradient for a cotangent g
    "sin": (mg.sin, np.sin, lambda x, g: g * np.cos(x)),
    "a multiple": (lambda x: x * 2.5, lambda x: x * 2.5, lambda x, g: 2.5 * g),
    "square": (lambda x: x * x, lambda x: x * x, lambda x, g: 2 * x * g),
    "sum": (mg.sum, np.sum, lambda x, g: g + 0 * x),
    "ravel": (lambda x: mg.ravel(x) ** 2, lambda x: x.ravel() ** 2, lambda x, g: 2 * x * g.reshape(x.shape)),
    "transpose": (lambda x: mg.exp(x.T), lambda x: np.exp(x.T), lambda x, g: np.exp(x) * g.T),
    "flip": (lambda x: mg.flip(x) * 3.0, lambda x: np.flip(x) * 3.0, lambda x, g: 3.0 * np.flip(g)),
    "running sum": (lambda x: mg.cumsum(x), np.cumsum, lambda x, g: np.cumsum(g[::-1])[::-1].reshape(x.shape)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("formula", FORMULAS)
def test_no_layout_of_memory_changes_a_gradient(layout, formula, on_device, xp):
    """chainer#816, pytorch#30303, tinygrad#16571: 0-d, empty, stride-0, backward and non-contiguous arrays."""
    f, plain, gradient = FORMULAS[formula]
    x = LAYOUTS[layout](xp, on_device(normal((3, 4))))
    x_host = np.array(to_host(x))
    y, pullback = mg.vjp(f, x)
    assert_close(to_host(y), plain(x_host))
    for how in LAYOUTS.values() if y.ndim == 2 and 0 not in y.shape else [lambda xp, g: g]:
        g = how(xp, on_device(normal((3, 4), 1))) if y.ndim == 2 and 0 not in y.shape else on_device(normal(y.shape, 1))
        if g.shape == y.shape:
            (found,) = pullback(g)
            assert found.dtype == np.float64 and found.shape == x.shape
            assert_close(to_host(found), gradient(x_host, np.array(to_host(g))))


# Memory and depth


@pytest.mark.parametrize(
    "use",
    [
        lambda f, x: mg.grad(f)(x),
        lambda f, x: mg.vjp(f, x)[1](-1.5),
        lambda f, x: mg.jvp(f, (x,), (x,)),
        lambda f, x: mg.hessian(f)(x),
        lambda f, x: mg.grad(mg.checkpoint(f))(x),
        lambda f, x: by_tape(f, x)[1](None),
        lambda f, x: check_grads(f, (x,)),
    ],
    ids=["grad", "vjp", "jvp", "hessian", "checkpoint", "tape", "check_grads"],
)
def test_no_reference_cycle_keeps_a_graph_alive(use):
    """HIPS/autograd#103 and MyGrad#309: arrays live on until the cyclic collector comes round."""

    x = np.ones(3)
    kept, f = weakref.ref(x), lambda x: mg.sum(mg.sin(x) * x)
    gc.collect()
    gc.disable()
    try:
        use(f, x)
        del x
        assert kept() is None
    finally:
        gc.enable()


def test_depth_of_a_graph_is_not_depth_of_the_stack(xp):
    """micrograd PR#90: a recursive topological sort. Here 5,000 operations with room for 100 frames."""

    def f(x):
        for _ in range(5_000):
            x = x * 1.0001
        return x

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(_frames() + 100)
    try:
        gradient = mg.grad(f)(xp.asarray(1.0))
        again = mg.grad(mg.checkpoint(f))(xp.asarray(1.0))
        y_dot = slope(f)(xp.asarray(1.0))
    finally:
        sys.setrecursionlimit(limit)
    for found in (gradient, again, y_dot):
        assert float(found) == pytest.approx(1.0001**5_000, rel=5_000 * np.finfo(float).eps)


def _frames() -> int:
    frame, count = sys._getframe(), 0
    while frame is not None:
        frame, count = frame.f_back, count + 1
    return count


# Rematerialisation


def _dropout(x, key):
    return mg.tanh(x) * mg.random.bernoulli(key, x.shape, dtype=np.float64) * mg.random.normal(key, x.shape, np.float64)


def test_rematerialisation_replays_the_same_noise(on_device):
    """pytorch#190758: a recomputed dropout with another mask."""
    x, key = on_device((normal((40,)), mg.random.key(5)))
    noise = to_host(_dropout(mg.ones_like(x), key)) / math.tanh(1)
    for f in (_dropout, mg.checkpoint(_dropout)):
        gradient = mg.grad(lambda x, f=f: mg.sum(f(x, key)))(x)
        assert_close(to_host(gradient), noise * (1 - np.tanh(to_host(x)) ** 2))
    plain, saved = (mg.grad(lambda x, f=f: mg.sum(f(x, key) ** 2))(x) for f in (_dropout, mg.checkpoint(_dropout)))
    assert np.array_equal(to_host(plain), to_host(saved))
    generator = np.random.default_rng(0)
    with pytest.raises(mg.MutationError, match="its noise is no function of a key"):
        mg.grad(mg.checkpoint(lambda x: mg.sum(x * generator.normal())))(x)


def test_rematerialised_functions_differentiate_twice(on_device):
    """Chainer's `forget` refuses double backprop."""
    x, key = on_device((normal((6,)), mg.random.key(5)))
    noise, y = to_host(_dropout(mg.ones_like(x), key)) / math.tanh(1), np.tanh(to_host(x))
    expected = np.diag(noise * -2 * y * (1 - y * y))
    f = lambda x: mg.sum(mg.checkpoint(_dropout)(x, key))
    for outer, inner in itertools.product(["forward", "reverse"], repeat=2):
        assert_close(to_host(mg.jacobian(mg.jacobian(f, mode=inner), mode=outer)(x)), expected)
