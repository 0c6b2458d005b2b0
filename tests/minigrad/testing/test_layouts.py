"""minigrad/testing/layouts.py: layouts keep shape, dtype and, where promised, the numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from minigrad.testing import KEEPING, LAYOUTS, arrays, shapes

STRIDES = {
    "C": (16, 8),
    "Fortran": (8, 24),
    "strided": (64, 16),
    "backwards": (-16, -8),
    "read-only": (16, 8),
    "stride 0": (0, 8),
    "all strides 0": (0, 0),
}


@given(x=shapes().flatmap(arrays))
def test_layouts_keep_the_numbers(x):
    before = x.copy()
    for name, layout in LAYOUTS.items():
        y = layout(x)
        assert y.shape == x.shape and y.dtype == x.dtype
        assert np.array_equal(x, before) and (name not in KEEPING or np.array_equal(y, x))


@pytest.mark.parametrize("name", LAYOUTS)
def test_strides(name):
    y = LAYOUTS[name](np.arange(6.0).reshape(3, 2))
    assert y.strides == STRIDES[name]
    assert y.flags.writeable == (name not in ("read-only", "stride 0", "all strides 0"))
