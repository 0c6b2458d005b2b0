"""Partitions, medians and quantiles, also of arrays with NaN at the places of a mask."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.checks.catalogue.choose import Choose
from minigrad.checks.catalogue.draws import apart
from minigrad.checks.catalogue.nans import SOME
from minigrad.checks.catalogue.operation import Example, at, operation
from minigrad.checks.catalogue.reduce import any_along, fill_empty_axes

UNIQUE = {"holomorphic": False, "ties": False}


def quantile(x, q, axis=None, method="linear", keepdims=False):
    """From the sorted elements that are not NaN, one row at a time."""
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(a % x.ndim for a in axes)
    kept = [n for i, n in enumerate(x.shape) if i not in axes]
    rows = np.moveaxis(x, axes, range(-len(axes), 0)).reshape(*kept, -1)
    y = np.zeros((*np.shape(q), *kept), np.result_type(x, q))
    for place in np.ndindex(rows.shape[:-1]):
        row = np.sort(rows[place][~np.isnan(rows[place])])
        for which in np.ndindex(np.shape(q)):
            h = np.asarray(q)[which] * (len(row) - 1)
            k = int(np.floor(np.real(h)))
            t = h - k
            if method != "linear" and t != 0:
                t = {"lower": 0, "higher": 1, "midpoint": 0.5, "nearest": np.rint(np.real(h)) - k}[method]
            y[(*which, *place)] = row[k] if t == 0 else row[k] * (1 - t) + row[k + 1] * t
    return np.expand_dims(y, tuple(a + np.ndim(q) for a in axes)) if keepdims else y


def any_quantile(choose: Choose, name: str) -> Example:
    shape = choose.shape(min_dims=1, min_side=1, max_side=3)
    axis = choose.axes(len(shape))
    named: dict[str, Any] = {"axis": None if axis == () else axis, "keepdims": choose.boolean()}
    if name.endswith("median"):
        return at("", shape, named=named)
    named["method"] = choose.one_of(["linear", "lower", "higher", "midpoint", "nearest"])
    q = choose.one_of([0.0, 0.3, 0.55, 1.0])
    return at("", shape, params=(100 * q if "percent" in name else q,), named=named)


MEDIAN = {"formula": lambda x, axis=None, keepdims=False: quantile(x, 0.5, axis, "linear", keepdims)}
PERCENTILE = {"formula": lambda x, q, **how: quantile(x, q / 100, **how)}
TORCH = {"torch": lambda torch, x, q: torch.quantile(x, q)}
OF_NAN = {"torch": lambda torch, x, q: torch.nanquantile(x, q)}
OF_PERCENT = {"torch": lambda torch, x, q: torch.quantile(x, q / 100)}
OF_NAN_PERCENT = {"torch": lambda torch, x, q: torch.nanquantile(x, q / 100)}

for _name, _spellings in {
    "median": MEDIAN | {"torch": lambda torch, x: torch.quantile(x, 0.5)},
    "quantile": {"formula": quantile} | TORCH,
    "percentile": PERCENTILE | OF_PERCENT,
    "nanmedian": MEDIAN | {"torch": lambda torch, x: torch.nanquantile(x, 0.5)},
    "nanquantile": {"formula": quantile} | OF_NAN,
    "nanpercentile": PERCENTILE | OF_NAN_PERCENT,
}.items():
    _q = () if _name.endswith("median") else (30,) if "percent" in _name else (0.3,)

    def _with_nan(xp, x, mask, name=_name, q=_q):
        return getattr(xp, name)(xp.where(mask, math.nan, x), *q, axis=1)

    _formula = _spellings["formula"]
    operation(
        _name,
        lambda choose, name=_name: any_quantile(choose, name),
        at("", (3, 4), params=_q),
        at("rows", (3, 5), params=_q, named={"axis": -1, "keepdims": True}),
        *(
            [
                at(
                    "some NaN",
                    (2, 3),
                    spelled=_with_nan,
                    formula=lambda x, mask, f=_formula, q=_q: f(np.where(mask, math.nan, x), *q, axis=1),
                    constants=(SOME,),
                )
            ]
            if _name.startswith("nan")
            else []
        ),
        draws=apart(0),
        compared=("",),
        autograd=None,
        **_spellings,
        **UNIQUE,
    )


def any_partition(choose: Choose) -> Example:
    along = any_along(choose)
    (axis,) = along["params"]
    shape = fill_empty_axes(along["shapes"][0], axis)
    length = math.prod(shape) if axis is None or not shape else shape[axis]
    return at("", shape, params=(choose.integer(0, length - 1), axis))


def nth(xp, x, kth, axis=-1):
    """The element in its sorted place, the only one whose place is certain; axis None ravels."""
    return xp.take(xp.partition(x, kth, axis), kth, -1 if axis is None else axis)


operation(
    "partition",
    any_partition,
    at("", (3, 4), params=(1,)),
    at("from the end", (3, 4), params=(-1, 0)),
    at("raveled", (3, 4), params=(5, None)),
    spelled=nth,
    draws=apart(0),
    compared=(at("", torch=None, autograd=None),),
    exact=True,
    **UNIQUE,
)
