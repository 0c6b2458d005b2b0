"""What tests of programs share: when two results are the same, and how to cut small programs too."""

from __future__ import annotations

import numpy as np
from conftest import to_host

from minigrad import tree
from minigrad.program import plan, regions


def same(left, right):
    """Whether two trees are the same to the bit (NaN is NaN)."""
    a, b = tree.flatten(left), tree.flatten(right)
    return a[1] == b[1] and all(
        np.asarray(to_host(x)).dtype == np.asarray(to_host(y)).dtype
        and np.array_equal(to_host(x), to_host(y), equal_nan=True)
        for x, y in zip(a[0], b[0], strict=True)
    )


def agree(left, right, way):
    """The same to the bit, except where rows are cut: then sums of a few terms may be added up in another order.

    That moves a sum of n terms by at most n roundings of their size; n < 64 here, and no size is far above 1.
    """
    if way != "in regions, row by row":
        return same(left, right)
    a, b = tree.flatten(left), tree.flatten(right)
    return a[1] == b[1] and all(
        np.asarray(x).dtype == np.asarray(y).dtype and close(to_host(x), to_host(y))
        for x, y in zip(a[0], b[0], strict=True)
    )


def close(x, y):
    if np.asarray(x).dtype.kind not in "fc":
        return np.array_equal(x, y)
    size = max(1.0, float(np.max(np.abs(y), initial=0.0, where=np.isfinite(y))))
    return np.allclose(x, y, rtol=0, atol=64 * np.finfo(np.asarray(x).dtype).eps * size, equal_nan=True)


def cut_everything(patch, threads=1):
    """Small arrays too, into parts of a row, on so many threads."""
    from minigrad.program import threads as pool

    patch.setattr(pool, "count", lambda: threads)
    patch.setattr(regions, "SMALL", 0)
    for name, value in (("PART", 1), ("SHORTEST", 1), ("WORTH_THREADS", 0)):
        patch.setattr(plan, name, value)
