"""Distinct elements, with the derivative of the first of equal ones; membership."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from tests.support.environment import optional
from tests.support.transfer import to_host

X = np.array([[3.0, 1.0, 3.0], [-2.0, 1.0, 5.0]])


def test_distinct_elements_are_those_of_numpy(on_device):
    x = on_device(X)
    found, expected = mg.unique_all(x), np.unique_all(X)
    assert found._fields == expected._fields
    for one, other in zip(found, expected):
        assert np.array_equal(to_host(one), other)
    for name in ("unique_counts", "unique_inverse"):
        for one, other in zip(getattr(mg, name)(x), getattr(np, name)(X), strict=True):
            assert np.array_equal(to_host(one), other)
    assert to_host(mg.unique_values(x)).tolist() == [-2, 1, 3, 5]


def test_every_nan_is_distinct(on_device):
    x = np.array([np.nan, 1.0, np.nan, 1.0])
    found = mg.unique_all(on_device(x))
    assert to_host(found.counts).tolist() == [2, 1, 1]
    assert not to_host(mg.isin(on_device(x), on_device(x[:1]))).any()


def test_the_first_of_equal_elements_has_the_derivative(on_device):
    x, weights = on_device(X), on_device(np.array([0.3, -0.7, 1.1, 2.0]))
    expected = [[1.1, -0.7, 0], [0.3, 0, 2.0]]
    assert to_host(mg.grad(lambda x: mg.sum(mg.unique_values(x) * weights))(x)).tolist() == expected
    push = mg.jvp(mg.unique_values, (x,), (on_device(np.cos(X)),))[1]
    assert to_host(push).tolist() == [np.cos(X)[i] for i in [(1, 0), (0, 1), (0, 0), (1, 2)]]


def test_the_derivative_is_that_of_jax():
    jax = optional("jax", "jax.numpy", extra="bench")
    weights = np.array([0.3, -0.7, 1.1, 2.0], np.float32)
    theirs = jax.grad(lambda x: jax.numpy.sum(jax.numpy.unique(x, size=4) * weights))(X.astype(np.float32))
    ours = mg.grad(lambda x: mg.sum(mg.unique_values(x) * weights))(X.astype(np.float32))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["unique_values", "unique_all", "unique_counts", "unique_inverse"])
def test_the_shape_must_not_depend_on_values_of_a_program_or_an_example(name):
    f = getattr(mg, name)
    with pytest.raises(mg.CaptureError, match=rf"{name}\(x\)"):
        mg.jit(f)(X)
    with pytest.raises(TypeError, match=rf"{name}\(x\) of a value .* inside mg.vmap"):
        mg.vmap(f)(X)


def test_membership_is_that_of_numpy(on_device):
    for tests in ([1.0, 5.0, 7.0], [[3.0]], [], [0, 1, 3]):
        for invert in (False, True):
            found = mg.isin(on_device(X), on_device(np.array(tests)), invert=invert)
            assert np.array_equal(to_host(found), np.isin(X, tests, invert=invert))
    assert bool(mg.isin(3, on_device(np.array([1, 3])))) and mg.isin(X, 3).tolist() == np.isin(X, 3).tolist()
    assert mg.vmap(mg.isin)(X, X[::-1]).tolist() == [np.isin(a, b).tolist() for a, b in zip(X, X[::-1])]
