"""mg.linalg: the functions of numpy.linalg; those with other arguments than at the top take the last two axes."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from tests.support.transfer import to_host

A = np.array([[[2.0, -1.0, 0.5], [0.3, 1.5, -0.7]], [[1.0, 0.0, 0.2], [-0.4, 0.8, 1.1]]])
RANKS = np.stack([np.diag([1.0, 0.3, 0.0]), np.diag([2.0, 1e-3, 1e-9]), np.zeros((3, 3))])


def test_functions_of_the_top_and_of_numpy():
    """Everything here is a function of numpy.linalg, and most of it the same function as at the top of the package."""
    assert all(callable(getattr(np.linalg, name)) for name in mg.linalg.__all__)
    apart = {name for name in mg.linalg.__all__ if getattr(mg.linalg, name) is not getattr(mg, name, None)}
    assert apart == {"cross", "diagonal", "trace", "vector_norm", "matrix_rank"}


@pytest.mark.parametrize("offset", [-1, 0, 2])
def test_diagonals_of_the_last_two_axes(offset, on_device):
    a, u = on_device(A), np.cos(np.arange(6.0)).reshape(2, 3)
    y, pullback = mg.vjp(lambda a: mg.linalg.diagonal(a, offset=offset), a)
    expected = np.linalg.diagonal(A, offset=offset)
    assert np.array_equal(to_host(y), expected)
    g = u[:, : expected.shape[1]]
    assert np.array_equal(np.linalg.diagonal(to_host(pullback(on_device(g))[0]), offset=offset), g)
    trace = mg.linalg.trace(a, offset=offset, dtype="float32")
    assert np.array_equal(to_host(trace), np.linalg.trace(A, offset=offset, dtype="float32"))
    assert trace.dtype == np.float32


def test_a_stack_of_traces_has_the_gradient_of_ones_on_the_diagonals():
    g = mg.grad(lambda a: mg.sum(mg.linalg.trace(a) * np.array([3.0, -2.0])))(A)
    assert np.array_equal(g, np.array([3.0, -2.0])[:, None, None] * np.eye(2, 3))


def test_ranks_are_those_of_numpy(on_device):
    a = on_device(RANKS)
    for options in (
        {},
        {"tol": 0.01},
        {"tol": np.array([0.5, 1e-4, 0.1])},
        {"rtol": 0.1},
        {"rtol": np.array([0.5, 1e-5, 1])},
    ):
        given = {name: on_device(value) if isinstance(value, np.ndarray) else value for name, value in options.items()}
        assert np.array_equal(to_host(mg.linalg.matrix_rank(a, **given)), np.linalg.matrix_rank(RANKS, **options))
    for x in (np.zeros(3), np.array([0.0, 1.0]), np.float64(2.0)):
        assert int(mg.linalg.matrix_rank(x)) == np.linalg.matrix_rank(x)
    assert mg.grad(lambda a: mg.sum(a * mg.linalg.matrix_rank(a)[:, None, None]))(RANKS)[1].tolist() == [[3] * 3] * 3
    with pytest.raises(ValueError, match="matrix_rank: give either tol or rtol"):
        mg.linalg.matrix_rank(a, 0.1, rtol=0.1)


def test_a_tolerance_of_pinv_for_each_matrix(on_device):
    rtol = np.array([0.5, 1e-5, 0.1])
    ours = mg.linalg.pinv(on_device(RANKS), rtol=on_device(rtol))
    np.testing.assert_allclose(to_host(ours), np.linalg.pinv(RANKS, rtol=rtol), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("axis", [None, 0, (0, 2), (1, -1)])
@pytest.mark.parametrize("ord", [0, 1, 2, 3.5, -1, np.inf, -np.inf])
def test_norms_of_vectors_along_any_axes(axis, ord):
    z = A + 1j * A[:, ::-1]
    for x in (A, z, A.astype(np.float32)):
        for keepdims in (False, True):
            with np.errstate(divide="ignore"):
                ours = mg.linalg.vector_norm(x, axis=axis, ord=ord, keepdims=keepdims)
                theirs = np.linalg.vector_norm(x, axis=axis, ord=ord, keepdims=keepdims)
            assert ours.dtype == theirs.dtype
            np.testing.assert_allclose(ours, theirs, rtol=1e-6 if x.dtype == np.float32 else 1e-12)
