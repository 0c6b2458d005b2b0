"""Operations on shapes: reshaping, axes, broadcasting, casting."""

from __future__ import annotations

import math

import numpy as np

import minigrad as mg
from minigrad.checks.catalogue.choose import Choose, Shape
from minigrad.checks.catalogue.draws import signed
from minigrad.checks.catalogue.operation import Example, any_array, at, call, constant, movement, operation


def permute_axes(choose: Choose, ndim: int) -> Shape:
    """A permutation of axes, some of them counted from the end."""
    return tuple(a - ndim if choose.boolean() else a for a in choose.order(range(ndim)))


def any_reshape(choose: Choose) -> Example:
    """A call whose new shape permutes and joins axes, inserts axes of length 1, and may have one −1."""
    shape = choose.any_shape()
    target = choose.order(shape)
    while len(target) > 1 and choose.boolean():
        target[:2] = [target[0] * target[1]]
    for _ in range(choose.integer(0, 2)):
        target.insert(choose.integer(0, len(target)), 1)
    if target and choose.boolean():
        place = choose.integer(0, len(target) - 1)
        if math.prod(target[:place] + target[place + 1 :]):
            target[place] = -1
    if target and choose.boolean():
        return at(f"method {target}", shape, spelled=lambda xp, x: x.reshape(*target))
    return call(shape, tuple(target))


movement(
    "reshape",
    any_reshape,
    at("", (3, 4), params=((2, -1),)),
    at("0-d", (), params=((1, 1),)),
    at("empty", (0, 2), params=((3, 0),)),
    compared=("",),
)
movement("ravel", any_array, at("", (3, 4)), at("empty", (0, 4)), compared=("",))


def any_transpose(choose: Choose) -> Example:
    shape = choose.any_shape()
    order = permute_axes(choose, len(shape))
    ways = {
        "function": at("function", shape, params=(order,)),
        "default": at("default", shape),
        "method": at("method", shape, spelled=lambda xp, x, *order: x.transpose(*order), params=order),
        "property": at("property", shape, spelled=lambda xp, x: x.T),
    }
    return ways[choose.one_of(list(ways))]


movement(
    "transpose",
    any_transpose,
    at("", (2, 3, 4)),
    at("negative axes", (2, 3, 4), params=((-1, 0, -2),)),
    at("0-d", ()),
    compared=(at("negative axes", torch="permute", autograd=None), at("reversed", (3, 4), spelled=lambda xp, x: x.T)),
)


def any_swapaxes(choose: Choose) -> Example:
    shape = choose.shape(min_dims=1)
    return call(shape, choose.axis(len(shape)), choose.axis(len(shape)))


movement("swapaxes", any_swapaxes, at("", (2, 3, 4), params=(0, -1)), compared=("",))


def any_moveaxis(choose: Choose) -> Example:
    shape = choose.shape(min_dims=1, max_dims=4)
    if choose.boolean():
        return call(shape, choose.axis(len(shape)), choose.axis(len(shape)))
    count = choose.integer(0, len(shape))
    return call(shape, *[permute_axes(choose, len(shape))[:count] for _ in range(2)])


movement(
    "moveaxis",
    any_moveaxis,
    at("", (2, 3, 4), params=(0, -1)),
    at("several axes", (2, 3, 4, 2), params=((0, -1, 1), (-1, 1, 0))),
    compared=("", "several axes"),
)


def any_rollaxis(choose: Choose) -> Example:
    shape = choose.shape(min_dims=1)
    return call(shape, choose.axis(len(shape)), choose.integer(-len(shape), len(shape)))


movement(
    "rollaxis",
    any_rollaxis,
    at("", (2, 3, 4), params=(2,)),
    at("towards the end", (2, 3, 4), params=(0, -1)),
    compared=("", at("towards the end", autograd=None)),
    torch=None,
)
movement(
    "matrix_transpose",
    lambda choose: at("", choose.shape(min_dims=2)),
    at("", (2, 3, 4)),
    compared=(at("", torch=lambda torch, x: x.mT, autograd=None),),
)


def any_expand_dims(choose: Choose) -> Example:
    shape, count = choose.any_shape(), choose.integer(1, 2)
    if count == 1 and choose.boolean():
        return call(shape, choose.axis(len(shape) + 1))
    return call(shape, permute_axes(choose, len(shape) + count)[:count])


movement(
    "expand_dims",
    any_expand_dims,
    at("", (2, 3), params=((0, -1),)),
    compared=(at("one axis", (3, 4), params=(-2,), torch="unsqueeze"),),
)


def any_squeeze(choose: Choose) -> Example:
    shape = choose.shape(max_dims=4, max_side=2)
    ones = tuple(i - len(shape) if choose.boolean() else i for i, n in enumerate(shape) if n == 1)
    return call(shape, choose.one_of([None, ones[::-1], *ones]))


movement("squeeze", any_squeeze, at("", (1, 3, 1)), at("one axis", (1, 3, 1), params=(-1,)), compared=("", "one axis"))


movement(
    "broadcast_arrays",
    lambda choose: at("", *choose.broadcast(2)),
    at("", (2, 1), (3,)),
    spelled=lambda xp, *xs: xp.stack(xp.broadcast_arrays(*xs)),
    torch=lambda torch, *xs: torch.stack(torch.broadcast_tensors(*xs)),
    compared=(at("", autograd=None),),
)


def any_broadcast_to(choose: Choose) -> Example:
    shape = choose.shape(max_side=2)
    wide = tuple(choose.integer(0, 3) if n == 1 else n for n in shape)
    return call(shape, (*choose.shape(max_dims=2, max_side=2), *wide))


movement(
    "broadcast_to",
    any_broadcast_to,
    at("", (3, 1), params=((2, 3, 4),)),
    at("empty", (1,), params=((2, 0),)),
    at("0-d", (), params=((2, 3),)),
    compared=(at("", autograd=None),),
)


def any_sum_to(choose: Choose) -> Example:
    wide = choose.any_shape()
    shape = tuple(choose.one_of([1, n]) for n in wide[choose.integer(0, len(wide)) :])
    return call(wide, shape=shape)


def sum_to(x, shape):
    lead = x.ndim - len(shape)
    ones = [lead + i for i, (n, m) in enumerate(zip(shape, x.shape[lead:])) if n != m]
    return x.sum(axis=(*range(lead), *ones)).reshape(shape)


operation(
    "sum_to",
    any_sum_to,
    at("", (2, 3, 4), named={"shape": (3, 1)}),
    at("same", (3,), named={"shape": (3,)}),
    formula=sum_to,
)
movement(
    "copy",
    any_array,
    at("", (2, 3)),
    at("0-d", ()),
    compared=(
        at(
            "times x",
            (3, 4),
            spelled=lambda xp, x: x * xp.copy(x),
            torch=lambda torch, x: x * torch.clone(x),
            autograd=None,
        ),
    ),
)


def any_astype(choose: Choose) -> Example:
    params = (choose.one_of([np.float32, np.float64]),)
    method = {"function": lambda x, dtype: x.astype(dtype)} if choose.boolean() else {}
    return at("", choose.any_shape(), params=params, **method)


operation(
    "astype",
    any_astype,
    at("", (2, 3), params=(np.float64,)),
    formula=lambda x, dtype: x.astype(dtype) if x.dtype.kind == "f" else x,  # the complex step stays complex
    holomorphic=False,
    float32=False,
    compared=(
        at(
            "there and back",
            (3, 4),
            spelled=lambda xp, x: x * xp.astype(xp.astype(x, "float32"), "float64"),
            torch=lambda torch, x: x * x.float().double(),
            autograd=None,
        ),
    ),
)
constant(
    "astype_discrete",
    lambda choose: call(choose.any_shape(), choose.one_of([np.int32, np.int64, np.int8, bool])),
    at("", (2, 3), params=(np.int32,), draws=signed),
    function=mg.astype,
    formula=lambda x, dtype: x.astype(dtype),
)
for _name, _of in {
    "zeros_like": lambda xp, x: x + xp.zeros_like(x),
    "ones_like": lambda xp, x: x * xp.ones_like(x),
}.items():
    constant(
        _name,
        any_array,
        at("alone", (2, 3), draws=signed),
        at("", (2, 3), spelled=_of, draws=signed, discrete=False, holomorphic=True),
        compared=(at("times x", (3, 4), spelled=lambda xp, x, of=_of: x * of(xp, x)),),
    )
