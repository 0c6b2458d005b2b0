"""Scans, sorting and softmax, whose results have the shape of their argument."""

from __future__ import annotations

import numpy as np

from minigrad.checks.catalogue import formulas
from minigrad.checks.catalogue.choose import Choose
from minigrad.checks.catalogue.draws import apart, signed, some_zeros
from minigrad.checks.catalogue.operation import Example, at, operation
from minigrad.checks.catalogue.reduce import OF_ZEROS, ZERO_FACTORS, any_along, fill_empty_axes
from minigrad.core.interpreter import primitives


def reverse_cumsum(x, axis, reverse):
    return np.flip(np.cumsum(np.flip(x, axis), axis), axis)


BACKWARDS = {"function": primitives["cumsum"], "formula": reverse_cumsum}


def any_cumsum(choose: Choose) -> Example:
    shape = choose.shape(max_side=3)
    if shape and choose.boolean():
        axis = choose.axis(len(shape), negative=False)
        return at("", shape, named={"axis": axis, "reverse": True}, **BACKWARDS)
    return any_along(choose, shape, draws=some_zeros)


operation(
    "cumsum",
    any_cumsum,
    at("", (2, 3), params=(-1,)),
    at("raveled", (2, 3)),
    at("empty", (0, 3), params=(0,)),
    at("reverse", (2, 3), named={"axis": 1, "reverse": True}, **BACKWARDS),
    compared=("",),
)
operation(
    "cumprod",
    lambda choose: any_along(choose, choose.shape(max_side=2), draws=some_zeros),
    at("", (2, 5), params=(-1,)),
    at("raveled", (2, 3)),
    at("empty", (0, 2), params=(0,)),
    *ZERO_FACTORS,
    compared=("", OF_ZEROS),
    autograd=None,
)


def any_cumulative(choose: Choose) -> Example:
    shape = choose.shape(min_dims=1, max_side=3)
    named = {"axis": choose.axis(len(shape)), "include_initial": choose.boolean()}
    return at("", shape, named=named, draws=some_zeros)


INITIAL = {"named": {"axis": 1, "include_initial": True}}
for _name, _scan, _first in (("cumulative_sum", "cumsum", 0), ("cumulative_prod", "cumprod", 1)):

    def _formula(x, axis=None, include_initial=False, scan=_scan, first=_first):
        y = getattr(np, scan)(x, axis)
        return np.insert(y, 0, first, -1 if axis is None else axis) if include_initial else y

    operation(
        _name,
        any_cumulative,
        at("", (4,)),
        at("after the initial value", (2, 3), **INITIAL),
        at("of nothing", (2, 0), **INITIAL),
        formula=_formula,
        compared=("", "after the initial value"),
        torch=None,
        autograd=None,
    )


def any_recurrence(choose: Choose) -> Example:
    shape = choose.shape(min_dims=1, max_side=4)
    named = {"axis": choose.axis(len(shape), negative=False), "reverse": choose.boolean()}
    return at("", shape, shape, named=named, draws=(some_zeros, signed))


operation(
    "recurrence",
    any_recurrence,
    at("", (2, 5), (2, 5), named={"axis": 1, "reverse": False}),
    at("reverse", (2, 5), (2, 5), named={"axis": 1, "reverse": True}),
    formula=formulas.recurrence,
    third=True,
)


def sort(x, axis=-1, descending=False):
    x, axis = (np.ravel(x), 0) if axis is None else (x, axis)
    return np.take_along_axis(x, np.argsort(-np.real(x) if descending else np.real(x), axis), axis)


operation(
    "sort",
    lambda choose: any_along(choose, ties=False),
    at("", (2, 4)),
    at("raveled", (2, 3), params=(None,)),
    at("descending", (2, 4), named={"axis": 0, "descending": True}),
    draws=apart(0),
    formula=sort,
    compared=(
        at("", autograd=None),
        at("first axis", (3, 4), params=(0,), autograd=None),
        at("vector", (5,), torch="msort"),
    ),
    torch=lambda torch, x, axis=-1: torch.sort(x, axis).values,
    holomorphic=False,
)


def any_softmax(choose: Choose) -> Example:
    shape = choose.shape(min_dims=1, max_side=3)
    axis = choose.axes(len(shape))
    return at("", fill_empty_axes(shape, axis), params=(axis,))


def softmax(x, axis=-1):
    return np.exp(x) / np.sum(np.exp(x), axis=axis, keepdims=True)


def softmax_by_hand(xp, x):
    return xp.exp(x) / xp.sum(xp.exp(x), axis=-1, keepdims=True)


operation(
    "softmax",
    any_softmax,
    at("by hand", (2, 3), spelled=softmax_by_hand),
    at("", (2, 3), third=True),
    formula=softmax,
    compared=(at("columns", (3, 4), params=(0,)),),
    jax="nn.softmax",
    autograd=None,
)
operation(
    "log_softmax",
    any_softmax,
    at("", (3, 2), params=(0,), third=True),
    formula=lambda x, axis: x - np.log(np.sum(np.exp(x), axis=axis, keepdims=True)),
    compared=("",),
    jax="nn.log_softmax",
    autograd=None,
)
