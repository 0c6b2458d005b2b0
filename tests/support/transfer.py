"""Copying arrays of any device to the host, where tests inspect them."""

from __future__ import annotations

import numpy as np

from minigrad import backends


def to_host(x):
    """The array as a NumPy array; numbers and NumPy scalars as they are."""
    return backends.backend_of((x,)).to_host(x) if hasattr(x, "shape") and not isinstance(x, np.generic) else x
