"""Where tests look at arrays."""

from __future__ import annotations

import numpy as np

from minigrad import backends


def to_host(x):
    """A NumPy array (or number) from wherever it is."""
    return backends.backend_of((x,)).to_host(x) if hasattr(x, "shape") and not isinstance(x, np.generic) else x
