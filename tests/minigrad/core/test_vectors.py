"""minigrad/core/vectors.py: the vector operations of derivatives, against NumPy and naive sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.core import vectors
from minigrad.core.reverse import Reverse
from minigrad.testing import broadcasting, normal
from tests.support.oracles import assert_close
from tests.support.transfer import to_host


def sum_naively(g, shape):
    total = np.zeros(shape)
    for place in np.ndindex(g.shape):
        back = place[len(place) - len(shape) :]
        total[tuple(0 if n == 1 else i for i, n in zip(back, shape))] += g[place]
    return total


@given(data=st.data())
def test_sum_back_is_the_transpose_of_broadcasting(data, on_device):
    shapes, wide = data.draw(broadcasting(1))
    shape = shapes[0]
    g, x = normal(wide, 1), normal(shape, 2)
    assert_close(to_host(vectors.sum_back(on_device(g), shape)), sum_naively(g, shape))
    assert np.array_equal(to_host(vectors.broadcast(on_device(x), wide)), np.broadcast_to(x, wide))
    back = mg.vjp(lambda x: vectors.broadcast(x, wide), on_device(x))[1](on_device(g))[0]
    assert_close(to_host(back), sum_naively(g, shape))
    along = mg.vjp(lambda g: vectors.sum_back(g, shape), on_device(g))[1](on_device(x))[0]
    assert np.array_equal(to_host(along), np.broadcast_to(x, wide))


def test_arrays_of_the_right_shape_are_returned_unchanged(xp):
    x = xp.ones((2, 3))
    assert vectors.broadcast(x, (2, 3)) is x and vectors.sum_back(x, (2, 3)) is x


def test_cast_gives_a_derivative_the_dtype_of_its_value(xp):
    x = xp.asarray([1.0, 2.0], np.float32)
    assert vectors.cast(x, x) is x
    wide = vectors.cast(x, xp.zeros(2, np.float64))
    assert wide.dtype == np.float64 and to_host(wide).tolist() == [1, 2]
    complex_ = vectors.cast(x, xp.zeros(2, np.complex128))
    assert complex_.dtype == np.complex128 and to_host(complex_).tolist() == [1, 2]
    real = vectors.cast(complex_ * (3 - 2j), x)
    assert real.dtype == np.float32 and to_host(real).tolist() == [3, 6]


def test_promote_leaves_python_numbers_and_complex_values_unchanged(xp):
    real, complex_ = xp.ones(2, np.float32), xp.ones(2, np.complex64)
    assert vectors.promote(2, np.dtype(np.float64)) == 2 and isinstance(vectors.promote(2, np.dtype(np.float64)), int)
    with Reverse() as tape:
        traced = tape.watch(2.0)
        assert vectors.promote(traced, np.dtype(np.float32)) is traced
    assert vectors.promote(real, np.dtype(np.float64)).dtype == np.float64
    assert vectors.promote(xp.asarray([1, 2]), np.dtype(np.float64)).dtype == np.float64
    assert vectors.promote(complex_, np.dtype(np.float64)) is complex_


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex64])
def test_ones_and_tangents_of_constants(dtype, xp):
    x = xp.full((2, 3), 7, dtype)
    one, zero = vectors.ones(x), vectors.zero_tangent(x)
    assert one.dtype == zero.dtype == x.dtype and one.shape == zero.shape == x.shape
    assert np.all(to_host(one) == 1) and not to_host(zero).any()
    assert vectors.zero_tangent(3) == 0 and isinstance(vectors.zero_tangent(3), int)
    assert isinstance(vectors.zero_tangent(2.5), float)


def test_every_vector_primitive_has_a_rule():
    found = {name: p for name, p in vars(vectors).items() if name.endswith("_p")}
    assert len(found) >= 13 and all(p.rule is not None for p in found.values())
