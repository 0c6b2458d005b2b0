"""minigrad/ops/products.py: against naive sums, and errors."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import normal
from tests.support.oracles import assert_close
from tests.support.peers import PEERS
from tests.support.transfer import to_host


def test_kronecker_products_have_blocks(on_device):
    a, b = normal((2, 3)), normal((3, 2))
    y = to_host(mg.kron(*on_device((a, b))))
    for i in range(2):
        for j in range(3):
            assert_close(y[3 * i : 3 * i + 3, 2 * j : 2 * j + 2], a[i, j] * b)


@pytest.mark.parametrize("axes", [{}, {"axisa": 0}, {"axisc": 0}, {"axisa": 0, "axisb": 1, "axisc": 1}])
def test_cross_products_are_orthogonal_to_both_factors(axes, on_device):
    a, b = normal((4, 3)), normal((4, 3))
    given = a.T if "axisa" in axes else a
    y = np.moveaxis(to_host(mg.cross(*on_device((given, b)), **axes)), axes.get("axisc", -1), -1)
    assert_close(np.sum(y * a, 1), np.zeros(4))
    assert_close(np.sum(y * b, 1), np.zeros(4))
    assert_close(np.sum(y * y, 1), np.sum(a * a, 1) * np.sum(b * b, 1) - np.sum(a * b, 1) ** 2)  # Lagrange's identity


def test_products_of_vectors_along_any_axis(on_device):
    a, b = normal((2, 3, 4)), normal((2, 3, 4))
    for axis in (-1, 0, 1):
        for keepdims in (False, True):
            found = mg.vecdot(*on_device((a, b)), axis=axis, keepdims=keepdims)
            assert_close(to_host(found), np.sum(a * b, axis, keepdims=keepdims))


@pytest.mark.parametrize(
    ("name", "shapes"),
    [("vdot", [(2, 3), (2, 3)]), ("vecdot", [(2, 3), (3,)]), ("vecmat", [(3,), (3, 2)]), ("correlate", [(4,), (3,)])],
)
def test_products_that_conjugate_their_first_argument_beside_jax(name, shapes):
    """correlate conjugates the second one. The gradient of a real loss, of complex and of real arguments."""
    a, b = (normal(shape, i) + 1j * normal(shape, i + 5) for i, shape in enumerate(shapes))
    loss = lambda xp, f: lambda a, b: xp.sum(xp.real(f(a, b) ** 2 * (1 - 2j)))
    assert_close(getattr(mg, name)(a, b), getattr(np, name)(a, b))
    with PEERS["jax"]() as peer:
        theirs = loss(peer.numpy, getattr(peer.numpy, name))
        for args in ((a, b), (a.real, b), (a, b.real)):
            expected = peer.top.grad(theirs, (0, 1))(*args)
            for mine, truth in zip(mg.grad(loss(mg, getattr(mg, name)), (0, 1))(*args), expected, strict=True):
                assert_close(mine, np.asarray(truth))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: mg.cross(np.ones((4, 2)), np.ones((4, 2))),
            r"3 components along axis -1, got float64\[4, 2\]",
        ),
        (lambda: mg.cross(1.0, np.ones(3)), "vectors of 3 components along axis -1, got 1.0"),
        (lambda: mg.vecdot(np.ones(3), np.ones(2)), "differ in length along axis -1"),
        (lambda: mg.inner(np.ones(3), np.ones(2)), "differ in length"),
    ],
)
def test_wrong_operands_are_refused(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()
