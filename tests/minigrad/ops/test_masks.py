"""Masks and other arrays without a derivative are the same on plain arrays, in derivatives and in programs."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import minigrad as mg
from tests.support.transfer import to_host

X = np.array([[0.3, -0.8, 1.1], [-0.4, 0.0, 2.0]])
EXPRESSIONS = {
    "and": lambda x: (x > 0) & (x < 1),
    "or": lambda x: (x < 0) | (x >= 1),
    "exclusive or": lambda x: (x > 0) ^ (x > 1),
    "not": lambda x: ~(x > 0),
    "with a number": lambda x: (True & (x > 0)) | False,
    "with a NumPy number": lambda x: np.True_ & (x > 0),
    "with an array": lambda x: (x > 0) & xp_like(x, [True, False, True]),
    "an array first": lambda x: xp_like(x, [True, False, True]) ^ (x > 0),
    "broadcast": lambda x: (x > 0) & (x[0] < 1),
    "equal masks": lambda x: (x > 0) == (x < 1),
    "logical": lambda x: mg.logical_xor(x, x > 1) | mg.logical_and(x, x < 1) | mg.logical_not(x),
    "any": lambda x: (x > 1).any(),
    "any along an axis": lambda x: (x > 1).any(axis=0),
    "all": lambda x: (x > -1).all(),
    "all along an axis": lambda x: (x > 0).all(1, keepdims=True),
    "mg.any": lambda x: mg.any(x > 1, axis=-1),
    "mg.all": lambda x: mg.all(x, axis=(0, 1)),
    "any of an empty array": lambda x: mg.any(x[:0]) | mg.all(x[:0]),
    "mean": lambda x: (x > 0).mean(),
    "count": lambda x: (x > 0).sum(),
    "count along an axis": lambda x: mg.sum(x > 0, axis=1),
    "count_nonzero": lambda x: mg.count_nonzero(x, axis=1),
    "running": lambda x: (x > 0).cumsum(),
    "extremes": lambda x: (x > 0).max(axis=0) & (x > 0).min(),
    "reshaped": lambda x: ((x > 0).reshape(3, 2) & (x < 1).ravel()[:2]).T,
    "where": lambda x: mg.where((x > 0) & (x < 1), x, 0.0),
    "where of two masks": lambda x: mg.where(x > 0, x < 1, x > -1),
    "times": lambda x: ((x > 0) & (x < 1)) * x,
    "as integers": lambda x: (x > 0).astype(np.int32) | 2,
    "integers": lambda x: ~mg.astype(x * 10, np.int64) & 5 ^ (x > 0),
    "positions": lambda x: ~mg.argmax(x, axis=1) & 1,
    "chosen by a position": lambda x: x[mg.argmax(x[:, 0]) ^ 1],
}


def xp_like(x, values):
    """An array of these values on the device of x, which may be traced."""
    from minigrad.core.interpreter import find_backend

    return find_backend(x).from_host(np.array(values))


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_masks_are_the_same_in_derivatives_and_programs(name, on_device):
    f, x = EXPRESSIONS[name], on_device(X)
    expected = f(x)
    same = lambda y: np.array_equal(to_host(y), to_host(expected)) and y.dtype == expected.dtype
    assert same(mg.trace(f)(x)(x))
    jitted = mg.jit(f)
    for _ in range(4):
        assert same(jitted(x))
    found = []
    loss = lambda x: (found.append(mg.stop_gradient(f(x))), mg.sum(x * x * mg.any(f(x))))[1]
    g = mg.grad(loss)(x)
    assert same(found[0])
    assert np.array_equal(to_host(mg.jit(mg.grad(loss))(x)), to_host(g))
    _, y_dot = mg.jvp(loss, (x,), (mg.ones_like(x),))
    assert float(y_dot) == float(to_host(g).sum())


NUMPYS = {
    "np.logical_and": lambda x: np.logical_and(x > 0, x < 1),
    "np.logical_xor": lambda x: np.logical_xor(x > 0, x < 1),
    "np.logical_not": lambda x: np.logical_not(x > 0),
    "np.bitwise_or": lambda x: np.bitwise_or(x < 0, x > 1),
    "np.invert": lambda x: np.invert(x > 0),
    "np.bitwise_not": lambda x: np.bitwise_not(x > 0),
    "np.any": lambda x: np.any(x > 1, axis=0),
    "np.all": lambda x: np.all(x > -1),
    "np.count_nonzero": lambda x: np.count_nonzero(x > 0, axis=1),
    "np.isfinite": lambda x: np.isfinite(1 / np.where(x == 0, 1, x)) & ~np.isnan(x),
    "np.sum": lambda x: np.sum(x > 0),
    "np.where": lambda x: np.where((x > 0) & (x < 1), x, 0),
}


@pytest.mark.parametrize("name", NUMPYS)
def test_numpys_functions_of_masks(name):
    f = NUMPYS[name]
    for y in (mg.jit(f)(X), mg.trace(f)(X)(X)):
        assert np.array_equal(y, f(X)) and y.dtype == f(X).dtype
    gradient = mg.grad(lambda x: mg.sum(x) * mg.sum(f(x)))
    assert np.array_equal(mg.jit(gradient)(X), gradient(X))


def test_bitwise_operators_on_every_integer_dtype():
    rng = np.random.default_rng(0)
    for dtype in (bool, np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64):
        a, b = rng.integers(0, 100, (2, 50)).astype(dtype)
        for f in (operator.and_, operator.or_, operator.xor):
            assert np.array_equal(mg.jit(f)(a, b), f(a, b)) and mg.jit(f)(a, b).dtype == dtype
        assert np.array_equal(mg.jit(operator.invert)(a), ~a)


def test_nan_counts_as_true():
    x = np.array([np.nan, 0.0])
    for axis in (None, 0):
        assert mg.any(x, axis) == np.any(x, axis) and mg.all(x, axis) == np.all(x, axis)
    assert mg.count_nonzero(x) == 1 and list(mg.logical_xor(x, True)) == [False, True]


@pytest.mark.parametrize(
    ("f", "use"),
    [
        (lambda x: x[x > 0], r"x\[mask\]"),
        (lambda x: (x > 0).nonzero(), r"nonzero\(x\)"),
        (lambda x: np.nonzero(x > 0), r"nonzero\(x\)"),
        (lambda x: x if (x > 0).any() else -x, r"bool\(x\)"),
        (lambda x: 0 < x < 1, r"bool\(x\)"),
        (lambda x: (x > 0).any() and x, r"bool\(x\)"),
    ],
)
def test_programs_cannot_depend_on_masks(f, use):
    with pytest.raises(mg.CaptureError, match=f"{use} of a value made by '.*mg.where"):
        mg.jit(f)(X)


def test_nonzero_gives_the_positions(on_device):
    x = on_device(X)
    found = []
    mg.grad(lambda x: (found.extend([mg.nonzero(x), x.nonzero(), mg.nonzero(x > 1)]), mg.sum(x))[1])(x)
    for places, of in zip(found, (X, X, X > 1), strict=True):
        assert [to_host(p).tolist() for p in places] == [p.tolist() for p in np.nonzero(of)]


@pytest.mark.parametrize("f", [operator.and_, operator.or_, operator.xor], ids=lambda f: f.__name__)
def test_bitwise_operators_on_floats_are_refused_as_in_numpy(f):
    for run in (lambda x: f(x, x), mg.grad(lambda x: mg.sum(f(x, True))), mg.jit(lambda x: f(x, x))):
        with pytest.raises(TypeError, match=r"bitwise_.*not supported"):
            run(X)
