"""Differences, gradients, integrals, interpolation and convolution of sequences."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.checks.catalogue.choose import Choose, Shape
from minigrad.checks.catalogue.draws import signed
from minigrad.checks.catalogue.operation import Example, any_array, at, call, operation

JAX_ONLY = {"torch": None, "autograd": None}


def knots(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Increasing numbers along the last axis, from 0 on, at distances between 0.6 and 1.4."""
    return np.arange(shape[-1] if shape else 0) + rng.uniform(-0.2, 0.2, shape)


def between_knots(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Numbers at least 0.1 from any of `knots`, some of them below 0."""
    return rng.integers(-1, 4, shape) + 0.5 + rng.uniform(-0.2, 0.2, shape)


# Differences and integrals


def any_diff(choose: Choose) -> Example:
    shape = choose.shape(min_dims=1)
    return call(shape, choose.integer(0, 3), choose.axis(len(shape)))


operation(
    "diff",
    any_diff,
    at("", (2, 4)),
    at("twice", (4, 2), params=(2, 0)),
    at("with ends", (2, 3), (2, 1), (), spelled=lambda xp, x, y, z: xp.diff(x, prepend=y, append=z)),
    at("too short", (2, 2), params=(3,)),
    compared=("", "twice", at("with ends", **JAX_ONLY)),
)
operation(
    "ediff1d",
    any_array,
    at("", (2, 3)),
    at("with ends", (4,), (2,), (), spelled=lambda xp, x, y, z: xp.ediff1d(x, y, z)),
    compared=(at("", **JAX_ONLY),),
)


def any_trapezoid(choose: Choose) -> Example:
    shape = choose.shape(min_dims=1)
    axis = choose.axis(len(shape))
    positions = choose.one_of([(), ((shape[axis],),), (shape,)])
    if not positions:
        return call(shape, None, 0.3, axis)
    return at("positions", shape, *positions, named={"axis": axis})


operation(
    "trapezoid",
    any_trapezoid,
    at("", (2, 4), params=(None, 0.5)),
    at("positions", (2, 3), (2,), named={"axis": 0}),
    at("own positions", (2, 3), (2, 3)),
    compared=(
        at("", (2, 4), params=()),
        at("positions", torch=lambda torch, y, x, axis: torch.trapezoid(y, x, dim=axis)),
        "own positions",
    ),
    autograd=None,
)


def stack_gradients(xp: Any, f: Any, *spacings: Any, **how: Any) -> Any:
    """The gradients along all axes, or along one."""
    found = xp.gradient(f, *spacings, **how)
    return xp.stack(found) if isinstance(found, (list, tuple)) else found


COORDINATES = {"draws": (signed, knots), "ties": False}


def any_gradient(choose: Choose) -> Example:
    named = {"edge_order": choose.integer(1, 2)}
    shape = choose.shape(min_dims=1, min_side=3)
    if choose.boolean():
        axis = choose.axis(len(shape))
        how = {
            "spelled": lambda xp, f, x, **how: xp.gradient(f, x, axis=axis, **how),
            "draws": (signed, knots),
            "ties": False,
        }
        return at(f"coordinates of axis {axis}", shape, (shape[axis],), named=named, **how)
    return at("", shape, params=(choose.one_of([1, 0.5]),), named=named)


operation(
    "gradient",
    any_gradient,
    at("", (3, 4)),
    at("two elements", (3, 2)),
    at("second order", (4, 3), params=(0.5,), named={"edge_order": 2, "axis": 0}),
    at(
        "coordinates",
        (4, 3),
        (4,),
        named={"edge_order": 2},
        **COORDINATES,
        spelled=lambda xp, f, x, **how: xp.gradient(f, x, axis=0, **how),
    ),
    at("spacing", (3, 4), (), named={"axis": -1}),
    spelled=stack_gradients,
    compared=(
        at("", torch=lambda torch, f: torch.stack(torch.gradient(f)), autograd=None),
        at("spacing", **JAX_ONLY, named={}, spelled=lambda xp, f, h: xp.gradient(f, h, axis=-1)),
    ),
)

# Interpolation


def interp(x, xp, fp, left=None, right=None):
    """The values at x, one by one."""
    y = np.zeros(x.shape, np.result_type(x, xp, fp))
    for place in np.ndindex(x.shape):
        k = int(np.sum(np.real(xp) <= np.real(x[place])))
        if k in (0, len(xp)):
            end = (left, right)[k > 0]
            y[place] = fp[min(k, len(xp) - 1)] if end is None else end
        else:
            slope = (fp[k] - fp[k - 1]) / (xp[k] - xp[k - 1])
            y[place] = fp[k - 1] + slope * (x[place] - xp[k - 1])
    return y


def any_interp(choose: Choose) -> Example:
    count = choose.integer(1, 4)
    return at("", choose.any_shape(), (count,), (count,), params=choose.one_of([(), (0.5, -2)]))


def wrapped(x, xp, fp):
    """Interpolation with period 5 of knots from 0 to 3."""
    x = np.where(np.real(x) < np.real(xp[0]), x + 5, x)
    return interp(x, np.append(xp, xp[0] + 5), np.append(fp, fp[0]))


operation(
    "interp",
    any_interp,
    at("", (3, 4), (4,), (4,)),
    at("ends", (5,), (3,), (3,), params=(0.5, -2)),
    at("one knot", (3,), (1,), (1,)),
    at("period", (5,), (4,), (4,), named={"period": 5.0}, formula=lambda x, xp, fp, period: wrapped(x, xp, fp)),
    draws=(between_knots, knots, signed),
    ties=False,
    formula=interp,
    holomorphic=False,
    compared=("", at("period", (5,), (4,), (4,), formula=wrapped)),
    **JAX_ONLY,
)

# Convolution of sequences


def any_slide(choose: Choose) -> Example:
    lengths = [(choose.integer(1, 4),) for _ in range(2)]
    return at("", *lengths, params=(choose.one_of(["full", "same", "valid"]),))


for _name, _formula in {
    "convolve": np.convolve,
    "correlate": lambda a, v, mode: np.correlate(a, np.conj(v), mode),  # NumPy takes the conjugate of v
}.items():
    operation(
        _name,
        any_slide,
        at("", (5,), (3,), params=("full",)),
        at("same", (3,), (4,), params=("same",)),
        at("valid", (5,), (2,), params=("valid",)),
        formula=_formula,
        compared=("", "same", "valid"),
        holomorphic=_name == "convolve",
        **JAX_ONLY,
    )
