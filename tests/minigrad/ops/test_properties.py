"""Property-based tests of every operation, at random arguments and at special values.

Hypothesis draws a call (see `tests/support/calls.py`): shapes, parameters, dtypes and layouts, in the domain of the
operation. Values must agree with the plain formula, first derivatives in both modes and second derivatives with the
oracle (the second in float64), and neither inputs nor cotangents may change.
"""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, note
from hypothesis import strategies as st

import minigrad as mg
from minigrad.core.interpreter import primitives
from minigrad.testing import special_arrays, special_values
from tests.support import special_values as limits
from tests.support.calls import CALLS, arguments_of
from tests.support.checking import (
    check_constant,
    check_first,
    check_second,
    check_value,
)
from tests.support.oracles import rounding
from tests.support.transfer import to_host

ELEMENTS = 12  # of each gradient, compared one by one; the adjoint identity covers the others


@pytest.mark.parametrize("name", sorted(CALLS))
@given(data=st.data())
def test_operation(name, data, on_device):
    case, args, layout = data.draw(CALLS[name].flatmap(arguments_of))
    note(case.name)
    check_value(case, on_device, args, exact=case.discrete or case.exact)
    if case.discrete:
        check_constant(case, on_device, args)
        return
    check_first(case, on_device, args, layout, ELEMENTS)
    if all(x.dtype == "float64" for x in args):
        check_second(case, on_device, args)


# Special values


@pytest.fixture(scope="session")
def move(backend, on_device):
    """A function that moves arrays to the device of the run, if it computes with NumPy."""
    if backend.name == "cupy":
        pytest.skip("CUDA's functions differ from NumPy's in the last bits, and it flushes float32 subnormals to zero")
    return on_device


NUMPYS = {"relu": lambda x: np.maximum(x, 0)}
EACH = 4  # largest error of NumPy's vectorized functions, in units in the last place
ULPS = {  # largest errors of operations that NumPy lacks
    "sigmoid": EACH + 1,  # e^−|x|, a sum and a quotient
    "softplus": 2 * EACH + 1,  # e^−|x|, ln(1 + ·) and a sum
    "log_sigmoid": 2 * EACH + 1,
    "gelu": EACH + 4,  # tanh of a polynomial, and two products
    "erf": EACH + 2,
    "leaky_relu": 1,  # a rounded slope, and a product
    "elu": EACH + 1,
    "gaussian_sample": EACH + 1,
    "logsumexp": 2 * EACH + 2,  # ln of a sum of a few powers
    "softmax": 2 * EACH + 2,
    "log_softmax": 2 * EACH + 2,
}
OF = {  # the number whose units in the last place are meant, if not the value
    "gelu": lambda x: max(abs(x), 1),  # 1 + tanh u cancels
    "gaussian_sample": lambda mean, log_std, noise: max(abs(mean), abs(mp.exp(log_std) * noise)),
}
CANCELLING = ("tanh", "gelu", "softmax", "log_softmax")  # slopes of the form 1 − (a rounded number)
BEYOND = {  # arguments whose slope has an intermediate overflow: ∞/∞, 0·∞, ∞·ln ∞, 1/∞
    "arctan": lambda largest, x: x * x > largest and largest < 1e5,  # in float16, 1/x² is no more than 2⁻¹⁶ there
    "hypot": lambda largest, x1, x2: math.hypot(x1, x2) > largest,
    "arctan2": lambda largest, x1, x2: math.hypot(x1, x2) > largest,
    **{name: lambda largest, x1, x2: abs(x1) > 1e20 * abs(x2) for name in ("remainder", "fmod")},  # dense jumps
    "power": lambda largest, x1, x2: math.isinf(x1) or (x2 == 0 and 0 < abs(x1) < 1 / largest),
}


def by_convention(name, i, at):
    """(the slope,) by mg.CONVENTIONS, where it is no limit of partial derivatives; None elsewhere."""
    if name == "clip" and at[1] <= at[0] <= at[2] and at[0] in at[1:]:
        return (float(i == 0),)  # also if both edges coincide
    return (0.0,) if name == "power" and at[0] == 0 and i == 1 else None


@pytest.mark.large
@pytest.mark.parametrize("name", sorted(limits.ELEMENTWISE))
def test_elementwise_at_special_values(name, move):
    """All special values, and all combinations for several arguments."""
    for dtype in (np.float16, np.float32, np.float64):
        values = special_values(dtype)
        ordinary = np.array([v for v in values if v == 0 or 0.1 < abs(v) < 10 or np.isnan(v)])
        several = [values]
        if name in limits.TWO:  # the slope x₂·x₁^(x₂−1) needs exponents that differ from x₂ − 1
            several = [values, ordinary if name == "power" else values]
        elif name in limits.THREE:
            several = [ordinary] * 3
        check_elementwise(name, [x.ravel() for x in np.meshgrid(*several)], move)


def check_elementwise(name, args, move):
    """Checks values, both modes against each other, and each slope against its limits."""
    f, formula, dtype = getattr(mg, name), limits.ELEMENTWISE[name], args[0].dtype
    given, largest = tuple(map(move, args)), float(np.finfo(dtype).max)
    g = np.resize(np.array([1, -1, 1.5, -3], dtype), args[0].shape)
    with np.errstate(all="ignore"):
        y, pullback = mg.vjp(f, *given)
        y, gradients, tangents = to_host(y), [to_host(x) for x in pullback(move(g))], []
        for i, x in enumerate(given):
            alone = lambda x, i=i: f(*given[:i], x, *given[i + 1 :])
            tangents.append(to_host(mg.jvp(alone, (x,), (move(g),))[1]))
        numpys = NUMPYS.get(name) or getattr(np, name, None)
        if numpys:
            assert_same_bits(y, numpys(*args))
    assert {x.dtype for x in (y, *gradients, *tangents)} == {dtype}
    for k, at in enumerate(zip(*[x.tolist() for x in args])):
        names = [f"∂{name}/∂x{i + 1} at {at}" for i in range(len(args))]
        for gradient, tangent, what in zip(gradients, tangents, names):
            limits.check_same(tangent[k], gradient[k], f"{what}, forward and reverse")
        if any(map(math.isnan, at)):
            assert numpys or math.isnan(y[k])
            continue
        if sum(map(math.isinf, at)) > 1:
            continue  # the limit depends on the path
        truth = limits.value(formula, at)
        if not numpys:
            limits.check_ulps(y[k], truth, ULPS[name], OF[name](*at) if name in OF else truth, f"{name} at {at}")
        if math.isnan(y[k]) or (name in BEYOND and BEYOND[name](largest, *at)):
            continue
        for i, (gradient, what) in enumerate(zip(gradients, names)):
            sides = by_convention(name, i, at) or limits.slopes(formula, at, i)
            error, size = limits.relative_error(y[k], truth), int(name in CANCELLING)
            limits.check_slope(gradient[k], g[k], sides, what, error, size)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", ["divide", "reciprocal", "log", "log2"])
def test_a_finite_product_with_a_slope_that_overflows(name, dtype, move):
    """(∂y/∂x)·g for a small g, where 1/x or 1/x² exceeds the largest number."""
    info = np.finfo(dtype)
    tiny, g = np.array(3 * info.smallest_subnormal), np.array(info.smallest_normal)
    if name == "reciprocal":
        tiny = g = np.array(2.0 ** -int(0.75 * info.maxexp), dtype)
    args = [np.ones((), dtype), tiny] if name == "divide" else [tiny]
    slope, *_ = limits.slopes(limits.ELEMENTWISE[name], [float(x) for x in args], 0)
    assert abs(slope) > info.max
    given, vector = [move(x) for x in args], move(g)
    f = lambda x: getattr(mg, name)(x, *given[1:])
    with np.errstate(over="ignore"):
        found = mg.vjp(f, given[0])[1](vector)[0], mg.jvp(f, given[:1], (vector,))[1]
    for product in map(to_host, found):
        truth = slope * mp.mpf(float(g))
        limits.check_ulps(product[()], truth, 2, truth, f"{name} at {args}")


def assert_same_bits(found, expected):
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected, equal_nan=True)
    assert np.array_equal(np.signbit(found), np.signbit(expected))  # of NaNs, too


SIZES = {  # the scale of the rounding error of slopes, if not their own size
    "var": lambda x, y: np.max(np.abs(x)),  # x minus its mean
    "std": lambda x, y: np.max(np.abs(x)) / (y or 1),
}
SQUARED = ("var", "std", "norm")  # computed in float32 for float16
COMPOSED = ("var", "std", "softmax", "log_softmax", "cumprod")  # the modes meet 0·∞ in different orders


@pytest.mark.parametrize("name", sorted(limits.REDUCTIONS | limits.VECTORS))
@given(data=st.data())
def test_reduction_at_special_values(name, data, move):
    dtype = data.draw(st.sampled_from([np.float16, np.float32, np.float64]))
    x = data.draw(special_arrays((data.draw(st.integers(1, 3)),), dtype))
    check_reduction(name, x, move)


def check_reduction(name, x, move):
    """Checks values, both modes against each other, and each element of the Jacobian against its limits."""
    f, given, at, dtype = getattr(mg, name), move(x), tuple(x.tolist()), x.dtype
    t = np.resize(np.array([0.5, -0.25, 0.375], dtype), x.shape)
    with np.errstate(all="ignore"):
        y, pullback = mg.vjp(f, given)
        y_dot = np.atleast_1d(to_host(mg.jvp(f, (given,), (move(t),))[1]))
        y = to_host(y)
        rows = [to_host(pullback(move(unit.reshape(y.shape)))[0]) for unit in np.eye(y.size, dtype=dtype)]
        assert {v.dtype for v in (y, y_dot, *rows)} == {dtype}
        wide = x.astype(np.float32) if name in SQUARED and dtype == np.float16 else x  # NumPy's would overflow
        if name in limits.NUMPYS:
            truth = getattr(np, name)(wide).astype(dtype)
            if type(given) is np.ndarray:
                assert_same_bits(y, truth)
            else:  # a device sums in another order
                size = np.sum(np.abs(x[np.isfinite(x)]), dtype=np.float64) if name in ("sum", "mean") else 0
                for one, other in zip(np.ravel(y), np.ravel(truth), strict=True):
                    limits.check_same(one, other, f"{name} of {at}, minigrad and NumPy", size)
        if name == "norm":
            limits.check_same(y, np.linalg.norm(wide).astype(dtype), f"norm of {at}, minigrad and NumPy")
        some, rest = np.maximum(np.abs(x), 1), np.minimum(np.abs(x[x != 0]), 1)  # factors whose product alone is ∞ or 0
        beyond = name in ("prod", "cumprod") and (np.prod(some) == math.inf or np.prod(rest) < np.finfo(dtype).tiny)
        if name not in COMPOSED or (np.all(np.isfinite(y)) and not beyond):
            for k, row in enumerate(rows):
                size = max(np.sum(np.abs(row * t)), name in CANCELLING)
                limits.check_same(y_dot[k], np.sum(row * t), f"∂{name}/∂x at {at}, forward and reverse", size)
        if beyond or np.isnan(x).any() or np.max(x) in (math.inf, -math.inf) or not np.all(np.isfinite(y)):
            return
    for k, (value, row) in enumerate(zip(np.atleast_1d(y), rows, strict=True)):
        formula = limits.component(name, k)
        truth = limits.value(formula, at)
        if name in ULPS:
            limits.check_ulps(value, truth, ULPS[name], max(1, abs(truth)), f"{name} at {at}")
        error = limits.relative_error(value, truth)
        if error > rounding(dtype):
            continue  # squares overflow or underflow
        size = SIZES[name](x, float(value)) if name in SIZES else int(name in CANCELLING)
        for i, found in enumerate(row):
            sides = limits.slopes(formula, at, i)
            if name == "sort":  # by convention, ties keep their order
                sides = (float(np.argsort(x, kind="stable")[k] == i),)
            what = f"∂{name}[{k}]/∂x[{i}] at {at}"
            limits.check_slope(found, 1.0, sides, what, error * max(1, abs(value)), size)  # for e^(x−y) in logsumexp


# The checks themselves


@pytest.mark.parametrize(
    ("name", "at", "sides"),
    [
        ("absolute", 0.0, [-1, 1]),
        ("relu", 5e-324, [1, 1]),
        ("sqrt", 0.0, [math.inf]),
        ("log", -1.0, []),
        ("sin", math.inf, []),
        ("square", -math.inf, [-math.inf]),
        ("tanh", math.inf, [0]),
        ("reciprocal", 4.0, [-1 / 16, -1 / 16]),
        ("arcsin", -1.0, [math.inf]),
    ],
)
def test_limits_of_slopes(name, at, sides):
    assert [float(s) for s in limits.slopes(limits.ONE[name], (at,), 0)] == sides


@pytest.mark.parametrize("wrong", [1.5, -1.0001, math.inf, math.nan])
def test_a_slope_outside_the_subdifferential_is_caught(wrong, monkeypatch):
    rule = primitives["absolute"].rule
    right = rule._scale
    spoiled = lambda i, known, v: mg.where(known["x"] == 0, wrong * v, right(i, known, v))
    monkeypatch.setattr(rule, "_scale", spoiled)
    with pytest.raises(AssertionError, match=r"∂absolute/∂x1 at \(0.0,\)"):
        check_elementwise("absolute", [np.array([1.0, 0.0])], lambda x: x)
