"""minigrad/ops/stacking.py: shapes as in NumPy, lists of numbers, traced values in lists, and errors."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from tests.support.transfer import to_host

SHAPES = [(), (3,), (2, 3), (2, 3, 4)]


@pytest.mark.parametrize("name", ["atleast_1d", "atleast_2d", "atleast_3d"])
def test_axes_are_added_as_in_numpy(name, on_device):
    arrays = [np.ones(shape) for shape in SHAPES]
    for x in arrays:
        assert getattr(mg, name)(on_device(x)).shape == getattr(np, name)(x).shape
    found = getattr(mg, name)(*map(on_device, arrays))
    assert isinstance(found, tuple) and [x.shape for x in found] == [x.shape for x in getattr(np, name)(*arrays)]


def test_traced_scalars_are_stacked_into_vectors(on_device):
    x = on_device(np.array([1.0, 2.0]))
    for f in (lambda x: mg.hstack([x[0], x[1] * 2]), lambda x: mg.stack([x[0], x[1] * 2])):
        assert to_host(mg.jacobian(f)(x)).tolist() == [[1, 0], [0, 2]]
    assert to_host(mg.jacobian(lambda x: mg.append(x, x[0] * x[1]))(x)).tolist() == [[1, 0], [0, 1], [2, 1]]


def test_blocks_nest_to_any_depth(on_device):
    def move(x):
        return list(map(move, x)) if isinstance(x, list) else on_device(x)

    a, b = np.arange(4.0).reshape(2, 2), -np.arange(2.0).reshape(2, 1)
    for blocks in ([a, b], [[a, b], [b, a]], [[[a, b]], [[a, b]]], [1.0, 2.0], a):
        assert np.array_equal(to_host(mg.block(move(blocks))), np.block(blocks))


@pytest.mark.parametrize("length", range(8))
@pytest.mark.parametrize("parts", [1, 2, 3, 5])
def test_unequal_parts_differ_by_at_most_one(length, parts, on_device):
    x = np.arange(float(length))
    found = mg.array_split(on_device(x), parts)
    assert [to_host(piece).tolist() for piece in found] == [piece.tolist() for piece in np.array_split(x, parts)]


def test_pieces_along_every_axis(on_device):
    x = np.arange(24.0).reshape(2, 4, 3)
    for name, cuts in {"vsplit": 2, "hsplit": [1, 3], "dsplit": 3, "array_split": [1]}.items():
        for ours, theirs in zip(getattr(mg, name)(on_device(x), cuts), getattr(np, name)(x, cuts), strict=True):
            assert np.array_equal(to_host(ours), theirs)
    for axis in (0, -1):
        for ours, theirs in zip(mg.unstack(on_device(x), axis=axis), np.unstack(x, axis=axis), strict=True):
            assert np.array_equal(to_host(ours), theirs)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mg.vsplit(np.ones(4), 2), r"vsplit: needs an array of at least 2 dimensions, got float64\[4\]"),
        (lambda: mg.dsplit(np.ones((4, 2)), 2), "dsplit: needs an array of at least 3 dimensions"),
        (lambda: mg.hsplit(np.float64(1), 1), "hsplit: needs an array of at least 1 dimension"),
        (lambda: mg.hsplit(np.ones(4), 3), "does not divide into 3 equal parts"),
        (lambda: mg.array_split(np.ones(4), 0), "the number of parts must be positive, got 0"),
        (lambda: mg.unstack(1.0), "unstack: needs an array of at least 1 dimension"),
        (lambda: mg.block([[]]), "a list of blocks is empty"),
        (lambda: mg.vstack([]), "needs at least one array"),
    ],
)
def test_wrong_shapes_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
