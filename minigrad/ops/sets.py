"""Sets of elements: which occur in an array, how often, and whether they occur in another."""

from __future__ import annotations

from typing import Any, NamedTuple

from minigrad.core.arrays import shape_of
from minigrad.core.interpreter import find_backend, read_value
from minigrad.core.vectors import promote_together
from minigrad.ops.arithmetic import minimum
from minigrad.ops.comparisons import equal, logical_not, stop_gradient_p
from minigrad.ops.extremes import searchsorted, sort
from minigrad.ops.indexing import copy_index, take
from minigrad.ops.shape import ravel, reshape, zeros_like


def isin(element: Any, test_elements: Any, assume_unique: Any = False, invert: Any = False, *, kind: Any = None) -> Any:
    """Whether each element equals one of `test_elements`, or with `invert` none; without a derivative. NaN equals none.

    `assume_unique` and `kind` choose between algorithms of NumPy, and have no effect here.
    """
    x, tests = promote_together(stop_gradient_p(element), stop_gradient_p(test_elements))
    ordered = sort(ravel(tests))
    count = shape_of(ordered)[0]
    nearest = take(ordered, minimum(searchsorted(ordered, x), count - 1)) if count else None
    found = equal(nearest, x) if count else zeros_like(x, bool)
    return logical_not(found) if invert else found


class UniqueAllResult(NamedTuple):
    """The distinct elements, increasing; where each occurs first in the raveled array; the position of each element of
    the array among them; how often each occurs."""

    values: object
    indices: object
    inverse_indices: object
    counts: object


class UniqueCountsResult(NamedTuple):
    """The distinct elements, increasing, and how often each occurs."""

    values: object
    counts: object


class UniqueInverseResult(NamedTuple):
    """The distinct elements, increasing, and the position of each element of the array among them."""

    values: object
    inverse_indices: object


def unique_all(x: Any) -> UniqueAllResult:
    """(values, indices, inverse_indices, counts) of the distinct elements; every NaN is distinct.

    The values have a derivative, which is that of the first of equal elements. Raises inside programs and `mg.vmap`,
    where the shape of the result would depend on values.
    """
    return _find_unique(x, "unique_all")


def unique_counts(x: Any) -> UniqueCountsResult:
    """(values, counts) of the distinct elements; see `unique_all`."""
    values, _, _, counts = _find_unique(x, "unique_counts")
    return UniqueCountsResult(values, counts)


def unique_inverse(x: Any) -> UniqueInverseResult:
    """(values, inverse_indices) of the distinct elements; see `unique_all`."""
    values, _, inverse, _ = _find_unique(x, "unique_inverse")
    return UniqueInverseResult(values, inverse)


def unique_values(x: Any) -> Any:
    """The distinct elements, increasing; see `unique_all`."""
    return _find_unique(x, "unique_values").values


def _find_unique(x, operation):
    xp = find_backend(x).xp
    plain = xp.asarray(copy_index(read_value(x, f"{operation}(x)")))
    _, indices, inverse, counts = xp.unique(
        plain, return_index=True, return_inverse=True, return_counts=True, equal_nan=False
    )
    return UniqueAllResult(take(ravel(x), indices), indices, reshape(inverse, plain.shape), counts)
