"""Operations without a derivative: comparisons, choices, rounding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigrad.checks.catalogue.choose import Choose, Shape
from minigrad.checks.catalogue.draws import halves, numbers, signed, zeros
from minigrad.checks.catalogue.operation import Example, at, operation
from minigrad.checks.catalogue.reduce import filled
from minigrad.core.interpreter import primitives

DISCRETE = {"discrete": True, "holomorphic": False, "draws": halves}
PAIR = ((3, 4), (4,))


def any_array(choose: Choose) -> Example:
    return at("", choose.any_shape())


def any_pair(choose: Choose) -> Example:
    return at("", *choose.broadcast(2))


for _name in "equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor".split():
    operation(_name, any_pair, at("", *PAIR), **DISCRETE)
for _name in "logical_not isnan isinf isfinite".split():
    operation(_name, any_array, at("", (3, 4)), **DISCRETE)


def times_x(name: str, **how: Callable | None) -> Example:
    """x·f(x), whose derivative is that of f(x) as a constant."""
    return at("times x", (3, 4), spelled=lambda xp, x: x * getattr(xp, name)(x), draws=signed, **how)


for _name in "sign floor ceil".split():
    operation(_name, any_array, at("", (3, 4)), compared=(times_x(_name),), **DISCRETE)
operation(
    "rint",
    any_array,
    at("", (3, 4)),
    compared=(times_x("rint", torch=lambda torch, x: x * torch.round(x)),),
    **DISCRETE,
)
operation(
    "stop_gradient",
    any_array,
    at("", (2, 3), draws=signed),
    formula=lambda x: x,
    compared=(
        times_x(
            "stop_gradient",
            formula=lambda x: x * x,
            torch=lambda torch, x: x * x.detach(),
            jax=lambda jax, x: x * jax.lax.stop_gradient(x),
            autograd=None,
        ),
    ),
    **DISCRETE,
)
operation(
    "step",
    any_pair,
    at("", *PAIR, draws=(halves, zeros)),
    formula=lambda x1, x2: ((x1 > x2) + 0.5 * (x1 == x2)).astype(np.result_type(x1, x2)),
    **DISCRETE,
)

# Bits

KINDS = (bool, np.int32, np.int64, np.uint8)


def of_bits(name: str, what: str, *shapes: Shape, dtype: type) -> Example:
    """The first of two is a mask, the last of this dtype."""

    def function(xp, *xs):
        *first, last = xs
        return getattr(xp, name)(*[x < 1 for x in first], (2 * last).astype(dtype))

    return at(what, *shapes, spelled=function)


for _name in "bitwise_and bitwise_or bitwise_xor".split():
    operation(
        _name,
        lambda choose, name=_name: of_bits(name, "any", *choose.broadcast(2), dtype=choose.one_of(KINDS)),
        of_bits(_name, "", *PAIR, dtype=bool),
        of_bits(_name, "integers", *PAIR, dtype=np.int64),
        **DISCRETE,
    )
operation(
    "invert",
    lambda choose: of_bits("invert", "any", choose.any_shape(), dtype=choose.one_of(KINDS)),
    at("", (3, 4), spelled=lambda xp, x: xp.invert(x > 0)),
    of_bits("invert", "integers", (3, 4), dtype=np.int32),
    **DISCRETE,
)

# Along axes


def any_reduced(choose: Choose) -> tuple[Shape, Shape]:
    """A shape and axes of it, as primitives take them."""
    shape = choose.shape(min_side=1, max_side=3)
    axis = choose.axes(len(shape))
    several = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return shape, tuple(sorted(a % len(shape) for a in several))


def any_truth(choose: Choose) -> Example:
    shape, axes = any_reduced(choose)
    return at(f"axes={axes}", shape, params=(axes,))


for _name in "all any count_nonzero".split():
    operation(_name, any_truth, at("", (3, 4)), at("axis", (3, 4), params=(0,), named={"keepdims": True}), **DISCRETE)


def any_place(choose: Choose) -> Example:
    shape = choose.any_shape()
    axis = choose.axis(len(shape)) if shape and choose.boolean() else None
    return at(f"axis={axis}", filled(shape, axis), params=(axis,))


for _name in "argmax argmin".split():
    operation(_name, any_place, at("", (3, 4)), at("axis", (3, 4), params=(-1,)), **DISCRETE)


def any_argsort(choose: Choose) -> Example:
    shape = choose.shape(min_dims=1)
    axis = choose.axis(len(shape)) if choose.boolean() else None
    return at(f"axis={axis}", shape, params=(axis,))


operation(
    "argsort", any_argsort, at("", (3, 4)), formula=lambda x, axis=-1: np.argsort(x, axis, kind="stable"), **DISCRETE
)


def any_top(choose: Choose) -> Example:
    shape, axes = any_reduced(choose)
    return at(f"axes={axes}", shape, named={"axes": axes})


operation(
    "top",
    any_top,
    at("", (3, 4), named={"axes": (1,)}),
    formula=lambda x, axes: np.max(x, axis=axes, keepdims=True),
    **DISCRETE,
)


def any_share(choose: Choose) -> Example:
    """Of random numbers and any one of them for an extreme; those without it have no share."""
    shape, axes = any_reduced(choose)
    return at(f"axes={axes}", shape, tuple(n for i, n in enumerate(shape) if i not in axes), named={"axes": axes})


def share(x, y, axes):
    attained = x == np.expand_dims(y, axes)
    count = np.sum(attained, axes, keepdims=True)
    found = np.divide(attained, count, where=count > 0, out=np.zeros(x.shape)).astype(x.dtype)
    return found.astype(np.result_type(x, y))


operation(
    "share",
    any_share,
    at("", (2, 3), (2,), draws=(numbers([[1, 0, 1], [1, 1, -2]]), numbers([1, 1])), named={"axes": (1,)}),
    function=primitives["share"],
    formula=share,
    **DISCRETE,
)
