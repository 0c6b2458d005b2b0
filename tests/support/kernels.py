"""Comparing CUDA kernels with their twins in NumPy."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

DTYPES = st.sampled_from([np.float32, np.float64])
ROUNDING = {np.float32: 2e-6, np.float64: 4e-15}


def agree(ours, expected, scale):
    """Assert equality up to rounding, in sums of terms whose sizes add up to about `scale`."""
    assert ours.shape == expected.shape and ours.dtype == expected.dtype
    assert np.all(np.abs(ours - expected) <= ROUNDING[expected.dtype.type] * scale), np.abs(ours - expected).max()
