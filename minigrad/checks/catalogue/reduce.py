"""Reductions over any axes, kept or dropped, and operations composed of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.checks.catalogue.choose import Choose, Shape
from minigrad.checks.catalogue.complex import OPTIONS, join
from minigrad.checks.catalogue.draws import apart, signed, some_zeros, zeros_at
from minigrad.checks.catalogue.linalg import everywhere
from minigrad.checks.catalogue.operation import Example, at, operation
from minigrad.core.interpreter import primitives

REAL = {"holomorphic": False}

CUBE = (2, 3, 2)
REDUCED = (
    at("", CUBE),
    at("axis", CUBE, params=(1,)),
    at("last axis", CUBE, params=(2,)),
    at("negative axis, kept", CUBE, params=(-2,), named={"keepdims": True}),
    at("two axes", CUBE, params=((0, -1),)),
    at("no axes", CUBE, params=((),)),
    at("0-d", (), third=False),
)
OF_ZEROS = at("of zeros", (2, 4), params=(1,), draws=zeros_at(1, 4, 7), autograd=None)
ZERO_FACTORS = tuple(
    at(what, (5,), draws=zeros_at(*places), third=True)
    for what, places in {"one zero": (1,), "two zeros": (1, 3), "three zeros": (0, 2, 4)}.items()
)


def fill_empty_axes(shape: Shape, axis: int | Shape | None) -> Shape:
    """The shape with length 1 for each empty axis that is reduced."""
    axes = range(len(shape)) if axis is None else [a % len(shape) for a in np.atleast_1d(axis).astype(int)]
    return tuple(max(1, n) if i in axes else n for i, n in enumerate(shape))


def any_reduction(choose: Choose, shape: Shape | None = None, empty: bool = False, **how: Any) -> Example:
    """A reduction of an array of this shape or of any; its reduced axes may have length 0 if `empty`."""
    shape = choose.any_shape() if shape is None else shape
    axis, keepdims = choose.axes(len(shape)), choose.boolean()
    shape = shape if empty else fill_empty_axes(shape, axis)
    return at("", shape, params=(axis,), named={"keepdims": keepdims}, **how)


def any_along(choose: Choose, shape: Shape | None = None, **how: Any) -> Example:
    """A call along one axis of this shape or of any, or of the raveled array."""
    shape = choose.any_shape() if shape is None else shape
    axis = choose.axis(len(shape)) if shape and choose.boolean() else None
    return at("", shape, params=(axis,), **how)


def extreme(x, axis=None, keepdims=False, sign=1):
    """The element with the largest real part (smallest for sign=-1), a holomorphic function where it is unique."""
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    for a in axes:
        x = np.take_along_axis(x, np.expand_dims(np.argmax(sign * np.real(x), a), a), a)
    return x if keepdims else np.squeeze(x, tuple(axes))


def smallest(x, axis=None, keepdims=False):
    return extreme(x, axis, keepdims, -1)


operation(
    "sum",
    lambda choose: any_reduction(choose, empty=True),
    *REDUCED,
    at("empty", (0, 3)),
    at("empty, axis", (2, 0, 3), named={"axis": 0}),
    compared=("", "axis", "two axes"),
)
operation(
    "prod",
    lambda choose: any_reduction(choose, choose.shape(max_side=2), empty=True, draws=some_zeros),
    *REDUCED,
    at("empty", (0, 3)),
    at("empty, axis", (2, 0, 3), named={"axis": 0}),
    at("of one factor", (2, 1), named={"axis": 1}),
    at("one column", (2, 1), named={"axis": 0}),
    *ZERO_FACTORS,
    compared=("", "axis", OF_ZEROS),
)
operation("mean", any_reduction, *REDUCED, compared=("", "axis", "two axes"))
operation(
    "max",
    lambda choose: any_reduction(choose, ties=False),
    *REDUCED,
    at("empty, axis", (2, 0), named={"axis": 0}, draws=signed, holomorphic=True, formula=np.max),
    at("primitive", (2, 3), function=primitives["max"], named={"axes": (1,)}, formula=lambda x, axes: extreme(x, axes)),
    draws=apart(0),
    formula=extreme,
    compared=("", at("axis", torch="amax")),
    **REAL,
)
operation(
    "min",
    lambda choose: any_reduction(choose, ties=False),
    *REDUCED,
    draws=apart(0),
    formula=smallest,
    compared=("", at("axis", torch="amin")),
    **REAL,
)
operation(
    "ptp",
    lambda choose: any_reduction(choose, ties=False),
    at("", CUBE),
    at("axis", CUBE, params=(1,), named={"keepdims": True}),
    draws=apart(0),
    formula=lambda x, *how, **named: extreme(x, *how, **named) - smallest(x, *how, **named),
    compared=(at("", torch=None, autograd=None),),
    ties=False,
    **REAL,
)
operation(
    "logsumexp",
    any_reduction,
    *REDUCED,
    formula=lambda x, axis=None, keepdims=False: np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims)),
    third=True,
    compared=("axis",),
    jax="scipy.special.logsumexp",
    autograd="scipy.special.logsumexp",
)

# Variances and norms


def variance(x, axis=None, ddof=0, keepdims=False):
    deviation = x - np.mean(x, axis=axis, keepdims=True)
    total = np.sum(deviation**2, axis=axis, keepdims=keepdims)
    return total / (x.size // max(1, total.size) - ddof)


def any_variance(choose: Choose) -> Example:
    shape = choose.shape(min_dims=1, min_side=2, max_side=3)
    axis = choose.axes(len(shape))
    named = {"axis": None if axis == () else axis, "ddof": choose.integer(0, 1), "keepdims": choose.boolean()}
    return at("", shape, named=named, draws=apart(0))


def torch_variance(name: str) -> Callable:
    """PyTorch's var or std, which divides by n − 1 by default."""
    return lambda torch, x, axis=None, ddof=0: getattr(torch, name)(x, axis, correction=ddof)


def complex_variance(name: str, formula: Callable) -> Example:
    """The variance of complex numbers is that of their real parts plus that of their imaginary parts."""
    return at(
        "complex",
        (2, 3, 2),
        spelled=lambda xp, x: getattr(xp, name)(join(x), axis=0, ddof=1),
        formula=lambda x: formula(variance(x[0], 0, 1) + variance(x[1], 0, 1)),
        torch=lambda torch, x: getattr(torch, name)(join(x), 0, correction=1),
        **OPTIONS,
    )


operation(
    "var",
    any_variance,
    *REDUCED,
    at("ddof", (3, 2), params=(0,), named={"ddof": 1}),
    complex_variance("var", lambda v: v),
    formula=variance,
    compared=("", "axis", "ddof", at("ddof, all", (3, 4), named={"ddof": 1}), "complex"),
    torch=torch_variance("var"),
    **REAL,
)
operation(
    "std",
    any_variance,
    at("", (2, 3), params=(-1,)),
    complex_variance("std", np.sqrt),
    formula=lambda x, axis=None, ddof=0, keepdims=False: np.sqrt(variance(x, axis, ddof, keepdims)),
    compared=("", at("ddof", (3, 4), named={"ddof": 1}), "complex"),
    torch=torch_variance("std"),
    ties=False,
    **REAL,
)


def norm(x, ord=None, axis=None, keepdims=False):
    size = x * np.sign(np.real(x))
    if ord in (math.inf, -math.inf):
        return extreme(size, axis, keepdims, 1 if ord > 0 else -1)
    p = 2 if ord in (None, "fro") else ord
    return np.sum(size**p, axis=axis, keepdims=keepdims) ** (1 / p)


def any_norm(choose: Choose) -> Example:
    shape = choose.shape(min_dims=1, min_side=1, max_side=3)
    ord = choose.one_of([None, "fro", 1, 2, 3, 0.5, 1.5, 2.5, -1, math.inf, -math.inf])
    axis = choose.axes(len(shape)) if ord in (None, "fro") else choose.axis(len(shape))
    keepdims, unique = choose.boolean(), ord in (math.inf, -math.inf)
    how = {"draws": apart(0.1) if unique else signed, "ties": not unique}
    return at("", shape, params=(ord, axis), named={"keepdims": keepdims}, **how)


def complex_norm(ord: Any) -> Example:
    """The norm of |x|."""
    spelled = everywhere(lambda linalg, xp, x: linalg.norm(join(x), ord, 1))
    own = {"formula": lambda x: norm(np.sqrt(np.sum(x**2, 0)), ord, 1), "autograd": None, "draws": apart(0.1)}
    return at(f"complex, {ord}", (2, 3, 2), **{**spelled, **own, **OPTIONS})


PEERS_NORM = {"torch": "linalg.norm", "jax": "numpy.linalg.norm", "autograd": "numpy.linalg.norm"}
ROOTS = (2, 3, 2.5)  # the orders that HIPS/autograd supports
COMPLEX_ORDERS = (None, 1, 3, 0.5, math.inf, -math.inf)
operation(
    "norm",
    any_norm,
    at("", (2, 3), third=True),
    *[at(str(p), (2, 3), params=(p,), named={"axis": 1, "keepdims": True}) for p in (1, *ROOTS, -1)],
    *[at(str(p), (2, 3), params=(p, 1), draws=apart(0.1)) for p in (math.inf, -math.inf)],
    *map(complex_norm, COMPLEX_ORDERS),
    formula=norm,
    compared=(
        "",
        *map(complex_norm, COMPLEX_ORDERS),
        *[
            at(f"{p}, rows", (3, 4), params=(p, 1), draws=apart(0.1), **({} if p in ROOTS else {"autograd": None}))
            for p in (1, *ROOTS, -1, math.inf, -math.inf)
        ],
    ),
    **PEERS_NORM,
    **REAL,
)


def vector_norm(x, axis=None, keepdims=False, ord=2):
    """The norm over several axes, of each vector of their elements."""
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    front = np.moveaxis(x, axes, range(len(axes)))
    y = norm(front.reshape(math.prod(front.shape[: len(axes)]), *front.shape[len(axes) :]), ord, 0)
    return np.expand_dims(y, axes) if keepdims else y


def any_vector_norm(choose: Choose) -> Example:
    shape = choose.shape(min_dims=1, min_side=1, max_side=3)
    named = {"axis": choose.axes(len(shape)), "keepdims": choose.boolean(), "ord": choose.one_of([1, 2, 3, -1])}
    return at("", shape, named=named)


operation(
    "vector_norm",
    any_vector_norm,
    at("", (2, 3)),
    at("two axes", (2, 3, 2), named={"axis": (2, 0), "ord": 3, "keepdims": True}),
    at("maximum", (2, 3), draws=apart(0.1), named={"axis": 1, "ord": math.inf}),
    spelled="linalg.vector_norm",
    formula=vector_norm,
    compared=("", at("rows", (3, 4), named={"axis": 1, "ord": 3})),
    torch=lambda torch, x, axis=None, ord=2: torch.linalg.vector_norm(x, ord, axis),
    jax=lambda jax, x, axis=None, ord=2: jax.numpy.linalg.vector_norm(x, axis=axis, ord=ord),
    autograd=None,
    **REAL,
)
