"""Operations without a derivative: comparisons, logic, rounding, indices of extremes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigrad.checks.catalogue.choose import Choose, Shape
from minigrad.checks.catalogue.draws import halves, numbers, signed, zeros
from minigrad.checks.catalogue.operation import Example, any_array, any_pair, at, call, constant
from minigrad.checks.catalogue.reduce import any_along, fill_empty_axes
from minigrad.core.interpreter import primitives

PAIR = ((3, 4), (4,))

for _name in "equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor".split():
    constant(_name, any_pair, at("", *PAIR))
for _name in "logical_not isnan isinf isfinite signbit".split():
    constant(_name, any_array, at("", (3, 4)))


def times_x(name: str, **how: Callable | None) -> Example:
    """x·f(x), whose derivative is f(x), because f(x) is a constant."""
    return at("times x", (3, 4), spelled=lambda xp, x: x * getattr(xp, name)(x), draws=signed, **how)


for _name in "sign floor ceil".split():
    constant(_name, any_array, at("", (3, 4)), compared=(times_x(_name),))
constant("rint", any_array, at("", (3, 4)), compared=(times_x("rint", torch=lambda torch, x: x * torch.round(x)),))
constant(
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
)
constant(
    "step",
    any_pair,
    at("", *PAIR, draws=(halves, zeros)),
    formula=lambda x1, x2: ((x1 > x2) + 0.5 * (x1 == x2)).astype(np.result_type(x1, x2)),
)

constant("trunc", any_array, at("", (3, 4)), compared=(times_x("trunc", autograd=None),))
constant("floor_divide", any_pair, at("", *PAIR, draws=(halves, signed)), draws=(halves, signed))
constant(
    "round",
    lambda choose: call(choose.any_shape(), choose.integer(-1, 2)),
    at("", (3, 4)),
    at("decimals", (3, 4), params=(1,), draws=signed),
    compared=(times_x("round", autograd=None),),
)


def any_search(choose: Choose) -> Example:
    return at("", (choose.side(),), choose.any_shape(), named={"side": choose.one_of(["left", "right"])})


constant(
    "searchsorted",
    any_search,
    at("", (5,), (3, 2)),
    at("right", (5,), (), named={"side": "right"}),
    at("unsorted", (5,), (3,), spelled=lambda xp, a, v: xp.searchsorted(a, v, sorter=xp.argsort(a))),
    spelled=lambda xp, a, v, **how: xp.searchsorted(xp.sort(a), v, **how),
)

# Bits

KINDS = (bool, np.int32, np.int64, np.uint8)


def bitwise_call(name: str, what: str, *shapes: Shape, dtype: type) -> Example:
    """A bitwise call whose last array has this dtype; the array before it, if any, is a mask."""

    def function(xp, *args):
        *first, last, dtype = args
        return getattr(xp, name)(*[x < 1 for x in first], (2 * last).astype(dtype))

    return at(what, *shapes, spelled=function, params=(dtype,))


for _name in "bitwise_and bitwise_or bitwise_xor".split():
    constant(
        _name,
        lambda choose, name=_name: bitwise_call(name, "", *choose.broadcast(2), dtype=choose.one_of(KINDS)),
        bitwise_call(_name, "", *PAIR, dtype=bool),
        bitwise_call(_name, "integers", *PAIR, dtype=np.int64),
    )
constant(
    "invert",
    lambda choose: bitwise_call("invert", "", choose.any_shape(), dtype=choose.one_of(KINDS)),
    at("", (3, 4), spelled=lambda xp, x: xp.invert(x > 0)),
    bitwise_call("invert", "integers", (3, 4), dtype=np.int32),
)


def shift_call(name: str, what: str, *shapes: Shape, dtype: type) -> Example:
    """A shift of integers of this dtype by 0 to 3 bits."""

    def function(xp, x, by, dtype):
        return getattr(xp, name)((4 * x).astype(dtype), (2 * by % 4).astype(dtype))

    return at(what, *shapes, spelled=function, params=(dtype,))


for _name in "left_shift right_shift".split():
    constant(
        _name,
        lambda choose, name=_name: shift_call(name, "", *choose.broadcast(2), dtype=choose.one_of(KINDS[1:])),
        shift_call(_name, "", *PAIR, dtype=np.int64),
        shift_call(_name, "int32", *PAIR, dtype=np.int32),
    )

# Membership, ranks


constant(
    "isin",
    lambda choose: at("", choose.any_shape(), choose.any_shape(), named={"invert": choose.boolean()}),
    at("", (3, 4), (5,)),
    at("inverted", (3, 4), (2, 2), named={"invert": True}),
)


def any_rank(choose: Choose) -> Example:
    return at("", choose.shape(max_side=3), named={"tol": choose.one_of([None, 0.3])})


constant(
    "matrix_rank",
    any_rank,
    at("", (4, 3)),
    at("relative", (2, 3, 3), named={"rtol": 0.5}),
    at("vector", (3,)),
    spelled="linalg.matrix_rank",
)

# Along axes


def any_reduced(choose: Choose) -> tuple[Shape, Shape]:
    """A shape and axes of it as primitives take them: sorted and counted from 0."""
    shape = choose.shape(min_side=1, max_side=3)
    axis = choose.axes(len(shape))
    several = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return shape, tuple(sorted(a % len(shape) for a in several))


def any_truth(choose: Choose) -> Example:
    shape, axes = any_reduced(choose)
    return at("", shape, params=(axes,))


for _name in "all any count_nonzero".split():
    constant(_name, any_truth, at("", (3, 4)), at("axis", (3, 4), params=(0,), named={"keepdims": True}))


def any_place(choose: Choose) -> Example:
    along = any_along(choose)
    return along | {"shapes": (fill_empty_axes(along["shapes"][0], *along["params"]),)}


for _name in "argmax argmin".split():
    constant(_name, any_place, at("", (3, 4)), at("axis", (3, 4), params=(-1,)))


def argsort(x, axis=-1, descending=False):
    """Ties keep their order in both directions."""
    return np.argsort(-x if descending else x, axis, kind="stable")


constant(
    "argsort",
    lambda choose: any_along(choose, choose.shape(min_dims=1)),
    at("", (3, 4)),
    at("descending", (3, 4), named={"axis": 0, "descending": True}),
    formula=argsort,
)


def any_top(choose: Choose) -> Example:
    shape, axes = any_reduced(choose)
    return at("", shape, named={"axes": axes})


constant(
    "top", any_top, at("", (3, 4), named={"axes": (1,)}), formula=lambda x, axes: np.max(x, axis=axes, keepdims=True)
)


def any_share(choose: Choose) -> Example:
    """A call with random numbers and a random extreme, which need not occur; rows without it get 0."""
    shape, axes = any_reduced(choose)
    return at("", shape, tuple(n for i, n in enumerate(shape) if i not in axes), named={"axes": axes})


def share(x, y, axes):
    attained = x == np.expand_dims(y, axes)
    count = np.sum(attained, axes, keepdims=True)
    found = np.divide(attained, count, where=count > 0, out=np.zeros(x.shape)).astype(x.dtype)
    return found.astype(np.result_type(x, y))


constant(
    "share",
    any_share,
    at("", (2, 3), (2,), draws=(numbers([[1, 0, 1], [1, 1, -2]]), numbers([1, 1])), named={"axes": (1,)}),
    function=primitives["share"],
    formula=share,
)
