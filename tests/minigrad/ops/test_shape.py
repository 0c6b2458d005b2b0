"""Padding, casting and copying: cases that the catalogue does not cover."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from tests.support.transfer import to_host


def test_padding_a_0d_array_returns_it(on_device):
    """For any widths and values: a value other than 0 used to raise."""
    x = on_device(np.asarray(1.5))
    for width, value in ((0, 0), (3, 0), (0, 0.5), ((1, 2), -1)):
        assert float(mg.pad(x, width, constant_values=value)) == 1.5
        assert float(mg.grad(lambda x, w=width, v=value: mg.pad(x, w, constant_values=v))(x)) == 1


def test_astype_casts_gradients_back(on_device):
    x = on_device(np.ones(3, np.float32))
    y, pullback = mg.vjp(lambda x: mg.astype(x, "float64") * 2, x)
    assert y.dtype == np.float64
    (gradient,) = pullback(on_device(np.array([1.0, 2, 3])))
    assert gradient.dtype == np.float32 and to_host(gradient).tolist() == [2, 4, 6]
    assert mg.jvp(lambda x: x.astype("float64"), (x,), (x,))[1].dtype == np.float64


def test_astype_to_integers_is_a_constant(on_device):
    x = on_device(np.array([1.5, -2.5]))
    assert to_host(mg.grad(lambda x: mg.sum(x * x.astype(int)))(x)).tolist() == [1, -2]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex64])
def test_zeros_and_ones_like(dtype, on_device):
    x = on_device(np.full((2, 3), 7, dtype))
    for f, value in ((mg.zeros_like, 0), (mg.ones_like, 1)):
        assert f(x).dtype == dtype and np.array_equal(to_host(f(x)), np.full((2, 3), value, dtype))


def test_copy_has_its_own_memory(on_device, xp):
    x = on_device(np.ones(3))
    assert not xp.shares_memory(mg.copy(x), x)
    assert to_host(mg.grad(lambda x: mg.sum(x.copy() * x))(x)).tolist() == [2, 2, 2]
