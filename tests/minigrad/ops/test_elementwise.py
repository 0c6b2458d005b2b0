"""Elementwise operations: broadcasting, and the places where derivatives go wrong: 0, ties, ±∞, NaN, overflow."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from tests.support.host import to_host
from tests.support.oracles import assert_close, rounding
from tests.support.strategies import arrays, broadcasting, signed

INF = math.inf


def derivatives(f, x, order, xp):
    """[f′(x), f″(x), …], each computed in reverse and in forward mode (they must agree to rounding)."""
    found = []
    reverse = forward = f
    for _ in range(order):
        reverse, forward = mg.grad(reverse), pushed(forward)
        a, b = (float(to_host(g(xp.asarray(x)))) for g in (reverse, forward))
        assert a == b or abs(a - b) <= rounding() * abs(a), f"reverse mode gives {a}, forward mode {b}"
        found.append(a)
    return found


def pushed(f):
    """f′ in forward mode."""
    return lambda x: mg.jvp(f, (x,), (mg.ones_like(mg.stop_gradient(x)),))[1]


# Broadcasting


def spread(g, shape):
    """g summed over what broadcasting from `shape` added, one element at a time."""
    total = np.zeros(shape)
    for place in np.ndindex(g.shape):
        back = place[len(place) - len(shape) :]
        total[tuple(0 if n == 1 else i for i, n in zip(back, shape))] += g[place]
    return total


PARTIALS = {
    "add": lambda a, b: (1 + 0 * a, 1 + 0 * b),
    "subtract": lambda a, b: (1 + 0 * a, 0 * b - 1),
    "multiply": lambda a, b: (b, a),
    "maximum": lambda a, b: ((a > b) + 0.5 * (a == b), (b > a) + 0.5 * (a == b)),
    "minimum": lambda a, b: ((a < b) + 0.5 * (a == b), (b < a) + 0.5 * (a == b)),
    "where": lambda a, b: (a > b, a <= b),
}


@pytest.mark.parametrize("name", PARTIALS)
@given(data=st.data())
def test_broadcasting(name, data, on_device):
    """Values and both gradients on any two shapes that broadcast, ties included."""
    a, b = (data.draw(arrays(shape, (-3, 3))) for shape in data.draw(broadcasting(2))[0])
    f = (lambda a, b: mg.where(a > b, a, b)) if name == "where" else getattr(mg, name)
    expected = np.where(a > b, a, b) if name == "where" else getattr(np, name)(a, b)
    y, pullback = mg.vjp(f, *on_device((a, b)))
    assert np.array_equal(to_host(y), expected) and y.dtype == np.float64
    g = signed(expected.shape)
    slopes = PARTIALS[name](*np.broadcast_arrays(a, b))
    for gradient, slope, x in zip(pullback(on_device(g)), slopes, (a, b)):
        assert_close(to_host(gradient), spread(slope * g, x.shape))


@pytest.mark.parametrize("dtype", [np.int8, np.int64, bool])
def test_integers_behave_as_in_numpy(dtype, on_device):
    x = np.array([1, 0, 2]).astype(dtype)
    for name in "sin exp sqrt tanh add multiply divide".split():
        args = (x, x + 1) if name in ("add", "multiply", "divide") else (x,)
        expected = getattr(np, name)(*args)
        found = to_host(getattr(mg, name)(*on_device(args)))
        assert found.dtype == expected.dtype
        assert_close(found, expected, rounding(np.float16) if expected.dtype == np.float16 else rounding())
    if dtype is not bool:
        assert mg.clip(on_device(x), 1).dtype == x.dtype
        assert np.array_equal(to_host(mg.clip(on_device(x), None, 1)), np.clip(x, None, 1))


# Power


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
def test_power_at_zero_to_third_order(p, expected, exponent, xp):
    power = p if exponent == "number" else xp.asarray(float(p))
    with np.errstate(divide="ignore"):
        assert derivatives(lambda x: x**power, 0.0, 3, xp) == expected


@pytest.mark.parametrize("p", [0, 1, 2, 3])
def test_power_of_a_negative_number(p, xp):
    expected = [p * (-2.0) ** (p - 1), p * (p - 1) * (-2.0) ** (p - 2), p * (p - 1) * (p - 2) * (-2.0) ** (p - 3)]
    assert derivatives(lambda x: x**p, -2.0, 3, xp) == expected
    assert derivatives(lambda x: x ** xp.asarray(float(p)), -2.0, 3, xp) == expected


def test_zero_to_the_zero(xp):
    zero = xp.asarray(0.0)
    assert float(mg.power(zero, zero)) == 1
    assert [float(g) for g in mg.grad(mg.power, (0, 1))(zero, zero)] == [0, 0]
    assert float(mg.grad(lambda p: 0.0**p)(zero)) == 0
    assert float(mg.grad(lambda p: mg.power(zero, p))(xp.asarray(2.0))) == 0


@pytest.mark.parametrize("p", [-0.5, -1.0, -2.0])
def test_exponent_of_zero_has_no_derivative_even_where_the_power_is_infinite(p, xp):
    """It was ∞·0."""
    p = xp.asarray(p)
    with np.errstate(divide="ignore"):
        assert float(mg.grad(lambda p: 0.0**p)(p)) == 0
        assert float(mg.grad(lambda p: mg.power(xp.asarray(0.0), p))(p)) == 0
        assert float(mg.jvp(lambda p: mg.power(xp.asarray(0.0), p), (p,), (p,))[1]) == 0


def test_exponent_of_a_negative_base_is_nan_only_if_asked_for(xp):
    x = xp.asarray(-2.0)
    assert float(mg.grad(lambda x: mg.power(x, xp.asarray(2.0)))(x)) == -4
    with np.errstate(invalid="ignore"):
        assert math.isnan(mg.grad(lambda p: mg.power(x, p))(xp.asarray(2.0)))


# Kinks and cone tips


@pytest.mark.parametrize("f", [mg.hypot, mg.arctan2], ids=["hypot", "arctan2"])
def test_hypot_and_arctan2_at_the_origin(f, xp):
    """Zero to second order in every mode, and no NaN."""

    def of_pair(x):
        return f(x[0], x[1])

    origin = xp.zeros(2)
    assert not to_host(mg.grad(of_pair)(origin)).any()
    assert not to_host(mg.hessian(of_pair)(origin)).any()
    assert not to_host(mg.jacobian(mg.grad(of_pair))(origin)).any()
    assert not to_host(mg.jvp(lambda x: mg.jvp(of_pair, (x,), (xp.ones(2),))[1], (origin,), (xp.ones(2),))[1]).any()


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_hypot_and_arctan2_do_not_overflow(size, xp):
    x = xp.asarray([3 * size, 4 * size])
    assert_close(to_host(mg.grad(lambda x: mg.hypot(x[0], x[1]))(x)), [0.6, 0.8])
    found = to_host(mg.grad(lambda x: mg.arctan2(x[0], x[1]))(x)) * size
    assert_close(found, [4 / 25, -3 / 25])


@pytest.mark.parametrize(("y", "x"), [(0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (-1.0, 0.0), (-0.5, -2.0)])
def test_arctan2_all_around(y, x, xp):
    r2 = x * x + y * y
    found = mg.grad(mg.arctan2, (0, 1))(xp.asarray(y), xp.asarray(x))
    assert_close([float(g) for g in found], [x / r2, -y / r2])
    assert float(mg.arctan2(xp.asarray(y), xp.asarray(x))) == math.atan2(y, x)


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_sqrt_and_log_at_zero_have_their_limits(zero, xp):
    """Also at −0, where dividing by it would give −∞."""
    with np.errstate(divide="ignore"):
        assert derivatives(mg.sqrt, zero, 2, xp) == [INF, -INF]
        assert derivatives(mg.log, zero, 2, xp) == derivatives(mg.log2, zero, 2, xp) == [INF, -INF]
        assert derivatives(mg.reciprocal, zero, 1, xp) == [-INF]


# Large, small and special arguments


@pytest.mark.parametrize("x", [-1e4, -745.0, -40.0, 40.0, 745.0, 1e4])
def test_softplus_log_sigmoid_and_sigmoid_far_out(x, xp):
    """σ(x) to relative rounding on both sides, and no overflow warning at any order."""
    sigma = math.exp(-abs(x)) / (1 + math.exp(-abs(x))) if x < 0 else 1 / (1 + math.exp(-x))
    other = math.exp(-abs(x)) / (1 + math.exp(-abs(x))) if x > 0 else 1 / (1 + math.exp(x))
    at = xp.asarray(x)
    for f, expected in ((mg.softplus, sigma), (mg.log_sigmoid, other), (mg.sigmoid, sigma * other)):
        assert float(mg.grad(f)(at)) == pytest.approx(expected, rel=rounding(), abs=0)
        for value in derivatives(f, x, 3, xp):
            assert math.isfinite(value)
    assert float(mg.softplus(at)) == pytest.approx(max(x, 0) + math.log1p(math.exp(-abs(x))), rel=1e-15)
    assert float(mg.log_sigmoid(at)) == pytest.approx(min(x, 0) - math.log1p(math.exp(-abs(x))), rel=1e-15)


@pytest.mark.parametrize("x", [-1e4, -1e3, 1e3, 1e4])
def test_saturated_functions_have_no_slope_and_no_overflow(x, xp):
    for f in (mg.tanh, mg.erf, mg.sigmoid):
        assert derivatives(f, x, 2, xp) == [0, 0]
    assert derivatives(mg.gelu, x, 2, xp) == [1.0 if x > 0 else 0.0, 0]
    assert derivatives(mg.arctan, x, 1, xp)[0] == pytest.approx(1 / (1 + x * x))


def test_gelu_at_infinity(xp):
    """Its limits, where x·(1 + tanh u) and the chain rule would make −∞·0 and ∞·0."""
    assert float(mg.gelu(xp.asarray(-INF))) == 0 and float(mg.gelu(xp.asarray(INF))) == INF
    assert derivatives(mg.gelu, INF, 2, xp) == [1, 0]
    assert derivatives(mg.gelu, -INF, 2, xp) == [0, 0]


def test_tanh_beyond_the_overflow_of_cosh(xp):
    assert derivatives(mg.tanh, 400.0, 3, xp) == [0, 0, 0]


def test_derivative_of_expm1_keeps_its_digits(xp):
    assert float(mg.grad(mg.expm1)(xp.asarray(-40.0))) == pytest.approx(math.exp(-40), rel=1e-15)
    assert derivatives(mg.elu, -40.0, 2, xp) == pytest.approx([math.exp(-40)] * 2, rel=1e-15)


def test_subnormal_arguments(xp):
    """Functions like x near 0 have slope 1 there, and none divides by what rounds to 0."""
    for x in (5e-324, -1e-310):
        for f in (mg.sin, mg.tan, mg.arcsin, mg.arctan, mg.sinh, mg.tanh, mg.expm1, mg.log1p):
            assert derivatives(f, x, 1, xp) == [1]
        assert [float(g) for g in mg.grad(mg.hypot, (0, 1))(xp.asarray(x), xp.asarray(0.0))] == [math.copysign(1, x), 0]


def test_logaddexp_with_infinities(xp):
    f = mg.grad(mg.logaddexp, (0, 1))
    for a, b, expected in (
        (-INF, -INF, [0, 0]),
        (-INF, 1.0, [0, 1]),
        (1.0, -INF, [1, 0]),
        (0.0, 0.0, [0.5, 0.5]),
        (1e4, -1e4, [1, 0]),
        (INF, 0.0, [1, 0]),
    ):
        assert [float(g) for g in f(xp.asarray(a), xp.asarray(b))] == expected
        assert float(mg.logaddexp(xp.asarray(a), xp.asarray(b))) == np.logaddexp(a, b)
    both = xp.asarray([-INF, -INF])
    assert not to_host(mg.hessian(lambda x: mg.logaddexp(x[0], x[1]))(both)).any()
    assert float(mg.grad(lambda x: mg.logaddexp(x, -INF))(xp.asarray(-INF))) == 0


@pytest.mark.parametrize(("a", "b"), [(-INF, math.nan), (math.nan, -INF), (1.0, math.nan)])
def test_nan_in_logaddexp_is_nobodys_share(a, b, xp):
    """−∞ has no share in anything, but of a NaN nobody knows."""
    with np.errstate(invalid="ignore"):
        assert all(math.isnan(g) for g in mg.grad(mg.logaddexp, (0, 1))(xp.asarray(a), xp.asarray(b)))


@pytest.mark.parametrize("f", [mg.sin, mg.exp, mg.tanh, mg.sigmoid, mg.softplus, mg.erf, mg.relu, mg.square])
def test_nan_goes_through(f, xp):
    assert math.isnan(f(xp.asarray(math.nan)))


def test_erf_against_the_mathematical_library(on_device):
    x = np.linspace(-7, 7, 4001)
    found = to_host(mg.erf(on_device(x)))
    assert np.max(np.abs(found - [math.erf(v) for v in x])) <= 4 * np.finfo(float).eps
    slope = to_host(mg.vjp(mg.erf, on_device(x))[1](on_device(np.ones_like(x)))[0])
    assert_close(slope, 2 / math.sqrt(math.pi) * np.exp(-(x**2)))


def test_a_negative_base_to_a_complex_power(on_device):
    """d(−2)^p/dp = (−2)^p·ln(−2), and ln(−2) = ln 2 + iπ."""
    base, exponent = on_device(np.array([-2.0, -0.5])), on_device(np.array([1.5 + 0.5j, -0.25j]))
    slope = to_host(mg.jvp(lambda p: mg.power(base, p), (exponent,), (mg.ones_like(exponent),))[1])
    log = np.array([math.log(2) + 1j * math.pi, -math.log(2) + 1j * math.pi])
    assert_close(slope, np.exp(to_host(exponent) * log) * log)


# where


def test_nan_in_the_branch_not_taken(xp):
    """Its value and its derivative stay out: the branch gets 0, in both modes."""
    x = xp.asarray([1.0, -2.0])
    nan = xp.asarray([math.nan, math.nan])
    taken = xp.asarray([True, False])
    f = lambda a, b: mg.where(taken, a, b)
    _, pullback = mg.vjp(f, x, nan)
    a, b = pullback(xp.asarray([3.0, 5.0]))
    assert to_host(a).tolist() == [3, 0] and to_host(b).tolist() == [0, 5]
    _, y_dot = mg.jvp(f, (x, x), (x, nan))
    assert to_host(y_dot)[0] == 1 and math.isnan(to_host(y_dot)[1])
    _, y_dot = mg.jvp(lambda a: mg.where(taken, a, nan), (x,), (x,))
    assert to_host(y_dot).tolist() == [1, 0]


def test_guarded_argument_is_safe_to_second_order(xp):
    """The usual idiom: choose a harmless argument first, and the result after."""

    def f(x):
        positive = x > 0
        return mg.sum(mg.where(positive, mg.sqrt(mg.where(positive, x, 1)), 0))

    x = xp.asarray([0.0, -1.0, 4.0])
    assert to_host(mg.grad(f)(x)).tolist() == [0, 0, 0.25]
    assert to_host(mg.hvp(f, x, xp.ones(3))).tolist() == [0, 0, -1 / 32]


@given(data=st.data(), dtype=st.sampled_from([np.float32, np.float64, np.complex128, np.int64]))
def test_where_of_large_arrays_is_numpys_to_the_bit(data, dtype, on_device):
    """Also of odd layouts, broadcasts, numbers, NaNs and signed zeros: large arrays take another way."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    special = [0.0, -0.0, 1.5, -2.5] if dtype == np.int64 else [0.0, -0.0, INF, -INF, math.nan]

    def branch():
        shape = data.draw(st.sampled_from([(64, 70), (1, 70), (64, 1), (70,), ()]))
        x = (
            rng.choice([*special, 1.25], shape).astype(dtype)
            if shape
            else data.draw(st.sampled_from([0, 0.0, -0.0, 2]))
        )
        return x.T.copy().T if np.ndim(x) == 2 and data.draw(st.booleans()) else x

    condition = rng.random(data.draw(st.sampled_from([(64, 70), (70, 64)]))) < 0.5
    condition = condition if condition.shape == (64, 70) else condition.T
    a, b = branch(), branch()
    expected = np.where(condition, a, b)
    found = to_host(mg.where(*on_device((condition, a, b))))
    assert found.dtype == expected.dtype and found.tobytes() == expected.tobytes()


# Rounding, comparisons, and what has no derivative


def test_stop_gradient_and_discrete_functions(xp):
    x = xp.asarray([0.6, -1.4])
    for f in (mg.floor, mg.ceil, mg.rint, mg.sign, mg.stop_gradient):
        assert not to_host(mg.grad(lambda x, f=f: mg.sum(f(x)))(x)).any()
        g = mg.grad(lambda x, f=f: mg.sum(x * f(x)))(x)
        assert np.array_equal(to_host(g), to_host(f(x)))


def test_stopped_value_cannot_be_written_to(on_device, backend):
    x = on_device(np.ones(2))
    stopped = mg.stop_gradient(x)
    if backend.name == "numpy":
        with pytest.raises(ValueError, match="read-only"):
            stopped[0] = 2
    else:
        stopped[0] = 2
        assert float(x[0]) == 1


@pytest.mark.parametrize("low", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("high", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("x", [0.0, 0.5, 1.0, 1.5, 2.0])
def test_clip_gives_the_derivative_to_one_of_its_arguments(x, low, high, xp):
    """To x inside and on edges, also if they touch; else to the bound. Of bounds that cross NumPy gives the upper."""
    expected = [0, 0, 1] if low > high or x > high >= low else [0, 1, 0] if x < low else [1, 0, 0]
    assert float(mg.clip(xp.asarray(x), low, high)) == np.clip(x, low, high)
    args = [xp.asarray(v) for v in (x, low, high)]
    assert [float(g) for g in mg.grad(mg.clip, (0, 1, 2))(*args)] == expected
    for i, slope in enumerate(expected):
        assert (
            float(mg.jvp(mg.clip, tuple(args), tuple(mg.ones_like(a) * (i == j) for j, a in enumerate(args)))[1])
            == slope
        )


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64, np.uint8, bool])
@pytest.mark.parametrize("f", [mg.sigmoid, mg.softplus, mg.log_sigmoid, mg.gelu], ids=lambda f: f.__name__)
def test_whole_numbers_count_as_floats(f, dtype, xp):
    x = np.array([0, 1] if dtype is bool else [np.iinfo(dtype).min, 3, np.iinfo(dtype).max], dtype)
    np.testing.assert_allclose(
        to_host(f(xp.asarray(x))), to_host(f(xp.asarray(x.astype(np.float64)))), rtol=1e-15, atol=1e-14
    )
