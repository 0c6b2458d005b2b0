"""minigrad/testing/strategies.py: strategies draw what they promise, and reach the cases that matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, find, given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.core import tree
from minigrad.testing import (
    any_layout,
    arrays,
    away_from_kinks,
    axes,
    broadcasting,
    dtypes,
    normal,
    reduced_axes,
    shapes,
    sides,
    special_arrays,
    special_values,
    trees,
)

MANY = settings(max_examples=2000, database=None)


@given(data=st.data(), low=st.integers(0, 2), high=st.integers(2, 4), side=st.integers(0, 1))
def test_shapes_and_axes_are_within_bounds(data, low, high, side):
    shape = data.draw(shapes(low, high, side))
    assert low <= len(shape) <= high and all(side <= n <= 4 for n in shape)
    assume(shape)
    np.sum(np.zeros(shape), axis=data.draw(reduced_axes(len(shape))))
    assert -len(shape) <= data.draw(axes(len(shape))) < len(shape)
    assert 0 <= data.draw(axes(len(shape), negative=False)) < len(shape)
    assert 0 <= data.draw(sides(2)) <= 2


@given(broadcasting(3))
def test_shapes_broadcast_to_the_shape_that_is_given(drawn):
    several, whole = drawn
    assert len(several) == 3 and np.broadcast_shapes(*several) == whole


@pytest.mark.parametrize(
    "strategy, condition",
    [
        (shapes(), lambda shape: 0 in shape),
        (shapes(), lambda shape: shape == ()),
        (broadcasting(2), lambda drawn: len({*map(len, drawn[0])}) > 1),
        (broadcasting(2), lambda drawn: any(n == 1 < m for n, m in zip(drawn[0][0], drawn[1])) and len(drawn[1]) > 1),
        (reduced_axes(3), lambda axis: isinstance(axis, tuple) and len(axis) > 1 and min(axis) < 0 <= max(axis)),
        (reduced_axes(3), lambda axis: axis is None),
        (arrays((2, 2)), lambda x: (x < 0).any() and x[0, 0] == x[0, 1] != 0),
        (special_arrays((2,)), lambda x: np.isnan(x).any() and np.isinf(x).any()),
        (special_arrays((2,)), lambda x: x.tolist() == [0, 0] and np.signbit(x).sum() == 1),
        (any_layout(np.ones((3, 2))), lambda x: x.strides[0] < 0),
        (any_layout(np.ones((3, 2)), ties=True), lambda x: x.strides == (0, 0)),
        (dtypes("f", "i"), lambda dtype: dtype == np.uint8),
        (trees(st.just(1.0)), lambda t: isinstance(t, dict) and any(isinstance(v, tuple) for v in t.values())),
        (trees(st.just(1.0)), lambda values: values == 1.0),
    ],
)
def test_cases_that_matter_are_drawn(strategy, condition):
    find(strategy, condition, settings=MANY)


@given(shape=shapes(), dtype=dtypes("f", "h"), data=st.data())
def test_arrays_hold_eighths(shape, dtype, data):
    x = data.draw(arrays(shape, (-8, 40), dtype))
    assert x.shape == shape and x.dtype == dtype
    assert np.array_equal(8 * x, np.rint(8 * x)) and np.all((x >= -1) & (x <= 5))
    assert x.size == len(np.unique(data.draw(arrays((x.size,), (-200, 200), unique=True))))


def test_normal_numbers_depend_on_shape_and_seed_only():
    assert np.array_equal(normal((3, 2), 1), normal((3, 2), 1))
    assert not np.array_equal(normal((3, 2), 1), normal((3, 2))) and normal((2, 0)).shape == (2, 0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_special_values(dtype):
    x = special_values(dtype)
    assert x.dtype == dtype and np.isnan(x).sum() == 1 and np.isinf(x).sum() == 2
    assert np.finfo(dtype).smallest_subnormal in x and np.signbit(x[x == 0]).tolist() == [False, True]


TREE = arrays((2,)).map(lambda x: {"a": x})


@given(away_from_kinks(lambda x, p: mg.sum(mg.abs(x)) + mg.max(p["a"]), arrays((2,)), TREE))
def test_arguments_away_from_kinks(args):
    x, p = args
    assert np.all(x != 0) and p["a"][0] != p["a"][1]


@given(trees(arrays((2,))))
def test_trees_are_trees_of_arrays(values):
    leaves, structure = tree.flatten(values)
    assert leaves and all(leaf.shape == (2,) for leaf in leaves)
    assert tree.flatten(tree.unflatten(structure, leaves))[1] == structure
