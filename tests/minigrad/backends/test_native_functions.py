"""minigrad/backends/native/functions.h: special values, and the largest errors."""

from __future__ import annotations

import re
from pathlib import Path

import mpmath
import numpy as np
import pytest

from minigrad.backends.formulas import Formula
from minigrad.backends.loops import Apply, Load, Loop
from minigrad.backends.native import codegen
from tests.support.native import compile_kernels

FLOATS = np.dtype("f4"), np.dtype("f8")
ONE = "exp", "expm1", "log", "log1p", "tanh", "sqrt", "fabs"
TWO = "larger", "smaller"
TRUTH = "isinf", "isfinite"
TINY = {dtype: np.finfo(dtype).smallest_subnormal for dtype in FLOATS}


@pytest.fixture(scope="module")
def call():
    """A function that applies a function of functions.h to arrays of one dtype."""
    names = [(name, dtype) for name in (*ONE, *TWO, *TRUTH) for dtype in FLOATS]
    kernels = dict(zip(names, compile_kernels([_chain(*name) for name in names])))

    def apply(name, *arrays):
        out = np.empty(arrays[0].shape, bool if name in TRUTH else arrays[0].dtype)
        kernels[name, arrays[0].dtype]([*map(np.ascontiguousarray, arrays), out], 0, out.size)
        return out

    return apply


def _chain(name, dtype):
    count = 2 if name in TWO else 1
    source = f"{name}({', '.join('ab'[:count])})"
    formula = Formula(truth=source) if name in TRUTH else Formula(source)
    result = np.dtype(bool) if name in TRUTH else dtype
    steps = *(Load(i, None, dtype) for i in range(count)), Apply(formula, tuple(range(count)), dtype, result)
    return [Loop(1, steps, ((count, count),))], [*[dtype] * count, result], 1


def test_every_function_is_tested():
    assert {*ONE, *TWO, *TRUTH} == codegen.KNOWN - {"real"}


# Special values

NAN, INF = np.nan, np.inf
SPECIAL = {  # (argument, result)
    "exp": [(NAN, NAN), (INF, INF), (-INF, 0.0), (0.0, 1.0), (-0.0, 1.0), (800, INF), (-800, 0.0), (1e30, INF)],
    "expm1": [(NAN, NAN), (INF, INF), (-INF, -1), (0.0, 0.0), (-0.0, -0.0), (800, INF), (-800, -1), (-1e30, -1)],
    "log": [(NAN, NAN), (INF, INF), (-INF, NAN), (0.0, -INF), (-0.0, -INF), (1, 0.0), (-1, NAN), (-1e-40, NAN)],
    "log1p": [(NAN, NAN), (INF, INF), (-INF, NAN), (0.0, 0.0), (-0.0, -0.0), (-1, -INF), (-2, NAN), (-1e30, NAN)],
    "tanh": [(NAN, NAN), (INF, 1), (-INF, -1), (0.0, 0.0), (-0.0, -0.0), (1e30, 1), (-1e30, -1)],
    "sqrt": [(NAN, NAN), (INF, INF), (-INF, NAN), (0.0, 0.0), (-0.0, -0.0), (4, 2), (-1, NAN), (-1e-40, NAN)],
    "fabs": [(NAN, NAN), (INF, INF), (-INF, INF), (0.0, 0.0), (-0.0, 0.0), (2, 2), (-2, 2), (-1e-40, 1e-40)],
}
PAIRS = [-INF, -1e30, -1.5, -1e-40, -0.0, 0.0, 1e-40, 1.5, 1e30, INF, NAN]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", ONE)
def test_special_values(call, name, dtype):
    x, expected = np.array(SPECIAL[name], dtype).T
    found = call(name, x)
    np.testing.assert_array_equal(found, expected, strict=True)
    same_sign = np.signbit(found) == np.signbit(expected)
    assert np.all(same_sign | np.isnan(expected)), (x, found)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_comparisons_propagate_nan(call, dtype):
    a, b = (np.ravel(x) for x in np.meshgrid(*[np.array(PAIRS, dtype)] * 2))
    for name, expected in (("larger", np.maximum(a, b)), ("smaller", np.minimum(a, b))):
        np.testing.assert_array_equal(call(name, a, b), expected, strict=True)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_infinite_and_finite_numbers(call, dtype):
    x = np.array([*PAIRS, np.finfo(dtype).max, np.finfo(dtype).min], dtype)
    np.testing.assert_array_equal(call("isinf", x), [v in (INF, -INF) for v in x], strict=True)
    np.testing.assert_array_equal(call("isfinite", x), [abs(v) <= np.finfo(dtype).max for v in x], strict=True)


# Errors

SATURATE = "exp", "expm1", "tanh"  # beyond ±1000 they do not change after rounding; mpmath would compute many digits
RANGES = {  # where the function changes, and where it stops to
    "exp": [(-1, 1), (-110, 90), (-750, 711), (88.7, 89), (-104, -87), (709.7, 710), (-746, -708)],
    "expm1": [(-1, 1), (-0.4, 0.4), (-45, 90), (-20, 711), (88.7, 89), (709.7, 710)],
    "log": [(0.5, 2), (0.999, 1.001), (0, 1e4)],
    "log1p": [(-1, 1), (-0.001, 0.001), (-1, -0.999), (0, 1e4)],
    "tanh": [(-1, 1), (-25, 25)],
    "sqrt": [(0, 2), (0, 1e4)],
    "fabs": [(-2, 2)],
}


def points(name, dtype):
    """Numbers all over the range of a dtype (random bits), of the ranges of a function, and the smallest of all."""
    rng = np.random.default_rng(0)
    bits = np.frombuffer(rng.bytes(1500 * dtype.itemsize), dtype)
    ranges = [rng.uniform(low, high, 300).astype(dtype) for low, high in RANGES[name]]
    small = TINY[dtype] * np.array([1, 2, 3, 5, 1001, 4194303, 4194305], dtype)
    edges = np.finfo(dtype).tiny * np.array([1, 1 + np.finfo(dtype).eps, 1 - np.finfo(dtype).eps, 2, 3], dtype)
    largest = [np.finfo(dtype).max, 0.5, 1, np.nextafter(dtype.type(1), dtype.type(0))]
    x = np.concatenate([bits, *ranges, small, edges, np.array(largest, dtype)])
    x = np.concatenate([x, -x])
    lowest = {"log": TINY[dtype], "sqrt": 0, "log1p": np.nextafter(dtype.type(-1), dtype.type(0))}.get(name, -np.inf)
    return x[np.isfinite(x) & (x >= lowest)]


def ulps(found, truth):
    """The errors of numbers, in units in the last place of the true ones. What is too large for the dtype counts as the
    number after its largest."""
    limits = np.finfo(found.dtype)
    after = mpmath.mpf(2) ** int(limits.maxexp)

    def error(y, t):
        t = max(-after, min(after, t))
        exponent = min(mpmath.frexp(t)[1] - 1, limits.maxexp - 1) if t else limits.minexp
        unit = mpmath.mpf(2) ** int(max(exponent, limits.minexp) - limits.nmant)
        return float(abs((mpmath.sign(y) * after if np.isinf(y) else mpmath.mpf(float(y))) - t) / unit)

    return np.array([error(y, t) for y, t in zip(found, truth, strict=True)])


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", ONE)
def test_the_largest_error_is_the_documented_one(call, name, dtype, record_property):
    x = points(name, dtype)
    found = call(name, x)
    with mpmath.workdps(40):
        arguments = [mpmath.mpf(float(v)) for v in (np.clip(x, -1000, 1000) if name in SATURATE else x)]
        truth = list(map(getattr(mpmath, name), arguments))
        errors = ulps(found, truth)
        nonzero = np.array([abs(t) > 0.6 * mpmath.mpf(float(TINY[dtype])) for t in truth])
    worst = errors.argmax()
    record_property(f"{name} {dtype}", f"{errors[worst]:.3f} ulp at {x[worst]!r}")
    assert errors[worst] <= documented()[name][FLOATS.index(dtype)], (x[worst], found[worst], errors[worst])
    assert np.all((found != 0) | ~nonzero), x[(found == 0) & nonzero][:5]


def documented():
    """The errors that the head comment of functions.h states, of float and double, by function."""
    text = Path(codegen.__file__).with_name("functions.h").read_text(encoding="utf-8")
    head = text.partition("typedef")[0]
    return {name: (float(one), float(two)) for name, one, two in re.findall(r"(\w+) +(\d[\d.]*) +(\d[\d.]*)", head)}


def test_a_wrong_result_has_a_large_error():
    """The measure itself, next to known numbers."""
    one = np.array([1.0, np.inf, 5e-324, np.finfo(float).max])
    with mpmath.workdps(40):
        off = [mpmath.mpf(1) + mpmath.mpf(2) ** -52, mpmath.mpf(2) ** 1025, 0, mpmath.mpf(2) ** 1024]
        np.testing.assert_array_equal(ulps(one, off), [1, 0, 1, 1])
