"""minigrad/ops/linalg.py: einsum with diagonals and broadcasting; the likelihood of a Gaussian process."""

from __future__ import annotations

import math
from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import normal
from tests.support.oracles import assert_close
from tests.support.transfer import to_host


def check(ours, numpys, xs, on_device):
    """Checks value and gradients of a multilinear function; the gradients from its values at unit arrays."""
    expected = np.asarray(numpys(*xs))
    y, pullback = mg.vjp(ours, *on_device(tuple(xs)))
    assert_close(to_host(y), expected)
    g = normal(expected.shape)
    for i, gradient in enumerate(pullback(on_device(g))):
        truth = np.zeros(xs[i].shape)
        for place in np.ndindex(xs[i].shape):
            unit = np.zeros(xs[i].shape)
            unit[place] = 1
            truth[place] = np.sum(g * numpys(*xs[:i], unit, *xs[i + 1 :]))
        assert_close(to_host(gradient), truth)


# Einsum


def test_einsum_of_a_diagonal(on_device):
    """einsum('ii') is the trace: its gradient is the identity, not a matrix of ones."""
    x = np.arange(9.0).reshape(3, 3)
    assert np.array_equal(to_host(mg.grad(lambda x: mg.einsum("ii", x))(on_device(x))), np.eye(3))
    assert np.array_equal(to_host(mg.einsum("ii->i", on_device(x))), np.diagonal(x))


def test_einsum_that_broadcasts_keeps_shapes(on_device):
    """The gradient of an operand with a length-1 axis has that axis (HIPS/autograd#376)."""
    x, w = np.ones((1, 3)), np.arange(6.0).reshape(2, 3)
    check(lambda x, w: mg.einsum("ij,ij->ij", x, w), lambda x, w: np.einsum("ij,ij->ij", x, w), (x, w), on_device)


def test_the_likelihood_of_a_gaussian_process(on_device):
    """−ln N(y; 0, K) with K = s·XXᵀ + I: first and second derivative in s, in closed form."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((5, 2)), rng.standard_normal(5)
    moved_x, moved_y = on_device(x), on_device(y)

    def loss(s):
        k = s * (moved_x @ moved_x.T) + on_device(np.eye(5))
        low = mg.cholesky(k)
        z = mg.solve(low, moved_y)
        return 0.5 * mg.sum(z * z) + mg.sum(mg.log(mg.diagonal(low))) + 0.5 * 5 * math.log(2 * math.pi)

    k, dk = 0.7 * x @ x.T + np.eye(5), x @ x.T
    inverse = np.linalg.inv(k)
    first = 0.5 * (np.trace(inverse @ dk) - y @ inverse @ dk @ inverse @ y)
    second = -0.5 * np.trace(inverse @ dk @ inverse @ dk) + y @ inverse @ dk @ inverse @ dk @ inverse @ y
    s = on_device(np.array(0.7))
    assert_close(to_host(mg.grad(loss)(s)), first)
    assert_close(to_host(mg.grad(mg.grad(loss))(s)), second)
    assert_close(to_host(mg.hvp(loss, s, on_device(np.array(1.0)))), second)


@given(st.lists(st.integers(1, 4), min_size=3, max_size=6), st.booleans(), st.booleans(), st.integers(0, 9))
def test_multi_dot_against_a_loop(sides, row, column, seed):
    """Values and gradients of a product from left to right; and no order of brackets takes fewer multiplications."""
    shapes = list(pairwise(sides))
    xs = [normal(shape, seed) for shape in shapes]
    xs[0] = xs[0][0] if row else xs[0]
    xs[-1] = xs[-1][:, 0] if column else xs[-1]
    check(lambda *xs: mg.multi_dot(xs), lambda *xs: reduce(np.matmul, xs), xs, lambda x: x)
    found, recorded = 0, mg.trace(lambda xs: mg.multi_dot(xs))(xs)
    for instruction in recorded.instructions:
        if instruction.primitive.name == "matmul":
            left, right = (recorded.graph.kind(x).shape for x in instruction.operands)
            found += left[0] * left[1] * right[1]
    ends = [1 if row else sides[0], *sides[1:-1], 1 if column else sides[-1]]
    assert found == fewest(ends, 0, len(ends) - 1)


def fewest(sides, first, last):
    """The fewest multiplications of a product, over all ways to set brackets."""
    cost = lambda k: fewest(sides, first, k) + fewest(sides, k, last) + sides[first] * sides[k] * sides[last]
    return min(map(cost, range(first + 1, last)), default=0)


@pytest.mark.parametrize(
    "arrays", [[], [np.eye(2)], [np.eye(2), np.ones(2), np.eye(2)], [np.ones((1, 2, 2)), np.eye(2)]]
)
def test_multi_dot_of_anything_else_is_refused(arrays):
    with pytest.raises(ValueError, match="multi_dot: needs two or more matrices"):
        mg.multi_dot(arrays)
    with pytest.raises(ValueError, match=r"matmul: the last axis of float64\[2, 3\]"):
        mg.multi_dot([np.ones((2, 3)), np.ones((2, 3))])
