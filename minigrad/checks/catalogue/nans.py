"""Reductions that skip NaN, of arrays with NaN at the places of a mask."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from minigrad.checks.catalogue.choose import Choose
from minigrad.checks.catalogue.draws import apart
from minigrad.checks.catalogue.operation import Example, at, operation
from minigrad.checks.catalogue.reduce import extreme, smallest, variance

SOME = np.array([[False, True, False], [False, False, True]])


def rows(reduction: Callable) -> Callable:
    """A reduction of the elements that a mask leaves, row by row, or of the raveled array without an axis."""

    def formula(x, mask, axis):
        if axis is None:
            return reduction(x[~mask])
        x, mask = np.moveaxis(x, axis, -1), np.moveaxis(mask, axis, -1)
        left = [reduction(x[place][~mask[place]]) for place in np.ndindex(x.shape[:-1])]
        return np.array(left, x.dtype).reshape(x.shape[:-1])

    return formula


def scan(of: Callable, neutral: int) -> Callable:
    return lambda x, mask, axis: of(np.where(mask, neutral, x), axis)


FORMULAS: dict[str, tuple[Callable, int, bool]] = {  # with the fewest elements left, and whether PyTorch has it
    "nansum": (rows(np.sum), 0, True),
    "nanprod": (rows(np.prod), 0, False),
    "nancumsum": (scan(np.cumsum, 0), 0, False),
    "nancumprod": (scan(np.cumprod, 1), 0, False),
    "nanmean": (rows(np.mean), 1, True),
    "nanvar": (rows(variance), 1, False),
    "nanstd": (rows(lambda x: np.sqrt(variance(x))), 2, False),
    "nanmax": (rows(extreme), 1, False),
    "nanmin": (rows(smallest), 1, False),
}


def masked(name: str, what: str, mask: np.ndarray, axis: int | None) -> Example:
    """The reduction along an axis of x with NaN where the mask holds."""
    formula, _, in_torch = FORMULAS[name]
    return at(
        what,
        mask.shape,
        constants=(mask,),
        spelled=lambda xp, x, mask: getattr(xp, name)(xp.where(mask, math.nan, x), axis),
        formula=lambda x, mask: formula(x, mask, axis),
        autograd=None,
        **({} if in_torch else {"torch": None}),
    )


def any_masked(choose: Choose, name: str) -> Example:
    """A call that leaves enough elements in each row."""
    least = FORMULAS[name][1]
    shape = choose.shape(min_dims=1, max_dims=2, min_side=least, max_side=3)
    axis, mask = choose.one_of([None, *range(-len(shape), len(shape))]), choose.mask(shape)
    np.moveaxis(mask, axis or 0, 0)[:least] = False
    return masked(name, f"axis {axis}, {mask.tolist()}", mask, axis)


for _name in FORMULAS:
    operation(
        _name,
        lambda choose, name=_name: any_masked(choose, name),
        masked(_name, "", SOME, None),
        masked(_name, "rows", SOME, 1),
        masked(_name, "no NaN", np.zeros((2, 3), bool), 0),
        compared=("", "rows"),
        draws=apart(0),
        ties=False,
        holomorphic=False,
    )
