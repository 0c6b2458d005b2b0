"""Products of vectors, weighted averages, and covariances of several variables."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigrad.checks.catalogue.choose import Choose, Shape
from minigrad.checks.catalogue.complex import OPTIONS, join, parts
from minigrad.checks.catalogue.draws import apart, between, signed
from minigrad.checks.catalogue.operation import Example, at, call, operation

REAL = {"holomorphic": False}  # NumPy takes conjugates of complex arrays
JAX_ONLY = {"torch": None, "autograd": None}


def any_inner(choose: Choose) -> Example:
    last = choose.side()
    return at("", (*choose.shape(max_dims=2, max_side=2), last), (*choose.shape(max_dims=2, max_side=2), last))


operation(
    "inner",
    any_inner,
    at("", (2, 3), (3,)),
    at("several axes", (2, 3), (2, 1, 3)),
    at("number", (), (2, 3)),
    compared=("", "several axes"),
)
operation(
    "vdot",
    lambda choose: at("", *[choose.any_shape()] * 2),
    at("", (2, 3), (2, 3)),
    formula=lambda a, b: np.sum(a * b),
    compared=(at("", (3,), (3,), autograd=None),),
    **REAL,
)

# With broadcasting


def any_stacks(choose: Choose, tails: tuple[str, str]) -> Example:
    """Stacks of vectors and matrices that broadcast; a tail names their last axes."""
    sides = {name: choose.side() for name in "mn"}
    lead = choose.broadcast(2)
    return at("", *[(*shape, *[sides[name] for name in tail]) for shape, tail in zip(lead, tails)])


def any_vecdot(choose: Choose) -> Example:
    return any_stacks(choose, ("n", "n")) | {"named": {"keepdims": choose.boolean()}}


def vecdot(x1, x2, axis=-1, keepdims=False):
    return np.sum(x1 * x2, axis=axis, keepdims=keepdims)


operation(
    "vecdot",
    any_vecdot,
    at("", (2, 3), (3,)),
    at("axis", (3, 2), (3, 2), named={"axis": 0, "keepdims": True}),
    formula=vecdot,
    compared=(at("", torch="linalg.vecdot"),),
    autograd=None,
    **REAL,
)
operation(
    "matvec",
    lambda choose: any_stacks(choose, ("mn", "n")),
    at("", (2, 3), (3,)),
    at("stacks", (2, 2, 3), (2, 3)),
    formula=lambda m, v: np.einsum("...ij,...j->...i", m, v),  # NumPy's own is in NumPy 2.2
    compared=("", "stacks"),
    **JAX_ONLY,
)
operation(
    "vecmat",
    lambda choose: any_stacks(choose, ("m", "mn")),
    at("", (2,), (2, 3)),
    at("stacks", (2, 3), (2, 3, 2)),
    formula=lambda v, m: np.einsum("...i,...ij->...j", v, m),
    compared=("", "stacks"),
    **JAX_ONLY,
    **REAL,
)
operation(
    "kron",
    lambda choose: at("", *[choose.shape(max_dims=2, max_side=2) for _ in range(2)]),
    at("", (2, 2), (1, 3)),
    at("more axes", (3,), (2, 1, 2)),
    compared=("", at("more axes", autograd=None)),
)


def any_cross(choose: Choose) -> Example:
    lead = choose.broadcast(2)
    if choose.boolean():
        axisc = choose.one_of([-1, 0])
        return at("", *[(*shape, 3) for shape in lead], named={"axisc": axisc})
    return at("first axis", (3, *lead[0]), (*lead[1], 3), named={"axisa": 0})


operation(
    "cross",
    any_cross,
    at("", (2, 3), (2, 3)),
    at("axes", (3, 2), (2, 1, 3), named={"axisa": 0, "axisc": 0}),
    at("one axis", (3, 2), (3, 2), named={"axis": 0}),
    at("one axis of stacks", (3, 1), (3, 2), spelled="linalg.cross", named={"axis": 0}),
    compared=(at("", torch="linalg.cross"), at("axes", **JAX_ONLY)),
)

# Averages and covariances


def average(a, weights, axis=None):
    weights = np.reshape(weights, [1 if a.ndim != weights.ndim and i != axis else n for i, n in enumerate(a.shape)])
    return np.sum(a * weights, axis) / np.sum(weights * np.ones_like(a), axis)


def any_average(choose: Choose) -> Example:
    shape = choose.shape(min_dims=1, min_side=1, max_side=3)
    axis = choose.one_of([None, *range(len(shape))])
    weights: Shape = shape if axis is None or choose.boolean() else (shape[axis],)
    return at("", shape, weights, named={"axis": axis})


operation(
    "average",
    any_average,
    at("", (2, 3), (2, 3)),
    at("rows", (2, 3), (3,), named={"axis": 1}),
    at("alone", (2, 3), spelled=lambda xp, a: xp.average(a, 0), draws=signed),
    draws=(signed, between(0.5, 2)),
    spelled=lambda xp, a, weights, axis=None: xp.average(a, axis, weights),
    formula=average,
    compared=("", "rows"),
    **JAX_ONLY,
)


def cov(m, y=None, rowvar=True, ddof=1):
    """The mean products of deviations, pair by pair, without conjugates."""
    x = np.atleast_2d(m) if rowvar or np.ndim(m) == 1 else m.T
    x = x if y is None else np.concatenate([x, np.atleast_2d(y) if rowvar or np.ndim(y) == 1 else y.T])
    x = x - np.mean(x, 1, keepdims=True)
    return np.squeeze(np.array([[np.sum(p * q) for q in x] for p in x]) / (x.shape[1] - ddof))


def corrcoef(x, **how):
    c = cov(x, **how)
    spread = np.sqrt(np.diagonal(c)) if c.ndim else np.sqrt(c)
    return c / (spread[:, None] * spread) if c.ndim else c / c


def any_cov(choose: Choose) -> Example:
    variables, count = choose.integer(1, 3), choose.integer(3, 4)
    if choose.boolean():
        return at("", (variables, count), (count,))
    shape = choose.one_of([(count,), (variables, count)])
    return at("", shape, named={"rowvar": choose.boolean()} if variables > 1 else {})


def scale_covariance(re: np.ndarray, im: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    spread = np.sqrt(np.diagonal(re))
    return re / (spread[:, None] * spread), im / (spread[:, None] * spread)


def complex_cov(name: str, scale: Callable) -> Example:
    """Mean products x·ȳ of complex deviations; the formula multiplies real and imaginary parts."""

    def formula(x):
        re, im = x - np.mean(x, 2, keepdims=True)
        count = x.shape[2] - 1
        return np.stack(scale((re @ re.T + im @ im.T) / count, (im @ re.T - re @ im.T) / count))

    def spelled(xp, x):
        return parts(xp, getattr(xp, name)(join(x)))

    return at("complex", (2, 2, 4), spelled=spelled, formula=formula, autograd=None, **OPTIONS)


operation(
    "cov",
    any_cov,
    at("", (2, 4)),
    at("columns", (4, 2), named={"rowvar": False, "ddof": 0}),
    at("of two", (4,), (4,)),
    complex_cov("cov", lambda re, im: (re, im)),
    formula=cov,
    compared=("", at("of two", **JAX_ONLY), "complex"),
    autograd=None,
    **REAL,
)
operation(
    "corrcoef",
    lambda choose: call((choose.integer(2, 3), choose.integer(3, 4))),
    at("", (3, 5)),
    at("columns", (5, 3), named={"rowvar": False}),
    complex_cov("corrcoef", scale_covariance),
    formula=corrcoef,
    draws=apart(0),
    compared=("", "complex"),
    autograd=None,
    ties=False,
    **REAL,
)
