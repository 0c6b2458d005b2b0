"""Indexing in every form: values are NumPy's, and the gradient scatters and adds cotangents to the picked elements."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import exact_transpose, normal
from tests.support.transfer import to_host


def check(index, x, on_device):
    """x[index] and its derivatives against NumPy's x[index]."""
    moved = on_device(index)
    pick = lambda x: x[index]
    y, pullback = mg.vjp(lambda x: x[moved], on_device(x))
    expected = np.asarray(pick(x))
    assert np.array_equal(to_host(y), expected) and y.shape == expected.shape
    g = np.rint(8 * normal(expected.shape)) / 8
    assert np.array_equal(to_host(pullback(on_device(g))[0]), exact_transpose(pick, x.shape, g))
    assert np.array_equal(to_host(mg.jvp(lambda x: x[moved], (on_device(x),), (on_device(-x),))[1]), -expected)


@pytest.mark.parametrize(
    "index",
    [
        [0, 0, 1],
        ([0, 0, 1],),
        ((0, 0, 1),),
        (range(2),),
        range(2),
        [[0, 1], [1, 1]],
        ([0, 1], [1, 1]),
        (slice(None), [2, 2, 0]),
        ([0, 1], slice(None), [0, 1]),
        (0, slice(None), [0, 1, 1]),
        ([0, 1], None, [0, 1]),
        (..., [0, -1]),
        ([], [0]),
        np.int64(1),
        np.array(1),
        (np.array(1), np.array([0, 0])),
        np.array([True, False]),
        np.array([0, 1], np.uint8),
        (slice(None, None, -1), None, 1, ...),
        (),
        ...,
        None,
    ],
    ids=str,
)
def test_forms_of_an_index(index, on_device):
    check(index, np.arange(24.0).reshape(2, 3, 4), on_device)


def test_second_derivative_through_repeated_indices(xp):
    """Σ x[i]³ over i = 0, 0, 1 has the Hessian diag(12x₀, 6x₁, 0)."""
    x = xp.asarray([1.0, 2.0, 3.0])
    found = mg.hessian(lambda x: mg.sum(x[[0, 0, 1]] ** 3))(x)
    assert np.array_equal(to_host(found), np.diag([12.0, 12.0, 0.0]))


def test_a_mask_computed_from_the_traced_value(on_device):
    x = np.array([[1.0, -2.0], [-3.0, 4.0]])
    assert to_host(mg.grad(lambda x: mg.sum(x[x > 0] ** 2))(on_device(x))).tolist() == [[2, 0], [0, 8]]


def test_index_arrays_may_change_afterwards(on_device):
    """Index arrays are copied, so changing them between forward and backward pass has no effect."""
    x, picks = on_device(np.arange(3.0)), np.array([0, 2])
    _, pullback = mg.vjp(lambda x: x[picks], x)
    picks[:] = 1
    assert to_host(pullback(on_device(np.array([1.0, 2.0])))[0]).tolist() == [1, 0, 2]


def test_iteration_unpacking_and_length(on_device):
    def f(x):
        first, second = x
        assert len(x) == 2
        return sum(mg.sum(row * i) for i, row in enumerate(x)) + mg.sum(first * second)

    x = np.array([[1.0, 2.0], [3.0, 5.0]])
    assert to_host(mg.grad(f)(on_device(x))).tolist() == [[3, 5], [2, 3]]
