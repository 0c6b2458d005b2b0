"""Operations that join, split, turn, repeat and pad."""

from __future__ import annotations

import math

import numpy as np

from minigrad.checks.catalogue.choose import Choose
from minigrad.checks.catalogue.operation import Example, at, call, movement


def any_concatenate(choose: Choose) -> Example:
    """A call with arrays of different lengths along the axis, or of any shapes if raveled; the first occurs twice."""
    if choose.boolean():
        several = [choose.shape(max_dims=2, max_side=2) for _ in range(choose.integer(1, 3))]
        axis = None
    else:
        shape = choose.shape(min_dims=1, max_side=2)
        axis = choose.axis(len(shape))
        lengths = [choose.side() for _ in range(choose.integer(1, 3))]
        several = [tuple(n if i == axis % len(shape) else m for i, m in enumerate(shape)) for n in lengths]
    return at(f"axis {axis}", *several, spelled=lambda xp, *xs: xp.concatenate([*xs, xs[0]], axis))


movement(
    "concatenate",
    any_concatenate,
    at("", (2, 3), (2, 1), (2, 2), spelled=lambda xp, *xs: xp.concatenate(xs, -1)),
    at("raveled", (2, 3), (1,), (), spelled=lambda xp, *xs: xp.concatenate(xs, None)),
    at("empty", (2, 3), (0, 3), spelled=lambda xp, *xs: xp.concatenate(xs)),
    at("itself", (2, 3), spelled=lambda xp, x: xp.concatenate([x, 2 * x, x])),
    compared=("", at("and its square", (3, 4), spelled=lambda xp, x: xp.concatenate([x, 2 * x, x * x]))),
)


def any_stack(choose: Choose) -> Example:
    shape, count = choose.shape(max_side=2), choose.integer(1, 3)
    axis = choose.axis(len(shape) + 1)
    return at(f"axis {axis}", *[shape] * count, spelled=lambda xp, *xs: xp.stack([*xs, xs[0]], axis))


movement(
    "stack",
    any_stack,
    at("", (2, 3), (2, 3), spelled=lambda xp, *xs: xp.stack(xs, -2)),
    at("0-d", (), (), spelled=lambda xp, *xs: xp.stack(xs)),
    compared=("",),
)


def any_split(choose: Choose) -> Example:
    """A call that splits into equal pieces or at indices, and concatenates the pieces in reverse order."""
    shape = choose.shape(min_dims=1, max_side=4)
    axis = choose.axis(len(shape))
    length = shape[axis]
    if choose.boolean():
        cuts = choose.one_of([n for n in (1, 2, 3, 4) if length % n == 0])
    else:
        cuts = sorted(choose.integer(0, length) for _ in range(choose.integer(0, 3)))
    return at(f"{cuts}, axis {axis}", shape, spelled=lambda xp, x: xp.concatenate(xp.split(x, cuts, axis)[::-1], axis))


SECOND_PIECE = {
    "spelled": lambda xp, x, cuts: xp.split(x, cuts, 1)[1],
    "torch": lambda torch, x, cuts: torch.tensor_split(x, cuts, 1)[1],
}
movement(
    "split",
    any_split,
    at("", (2, 6), spelled=lambda xp, x: xp.concatenate(xp.split(x, 3, 1)[::-1], 0)),
    at("at indices", (2, 6), spelled=lambda xp, x: xp.concatenate(xp.split(x, [1, 4], -1)[::2], 1)),
    compared=(
        at("the second half", (3, 4), params=(2,), **SECOND_PIECE),
        at("the second of three", (3, 4), params=((1, 3),), **SECOND_PIECE),
    ),
)


def any_flip(choose: Choose) -> Example:
    shape = choose.any_shape()
    which = choose.one_of(["all", "some", "one"]) if shape else "some"
    some = tuple(choose.order(range(len(shape)))[: choose.integer(0, len(shape))])
    return call(shape, {"all": None, "some": some, "one": choose.axis(len(shape)) if shape else 0}[which])


movement(
    "flip",
    any_flip,
    at("", (2, 3)),
    at("one axis", (2, 3), params=(-1,)),
    compared=(at("two axes", (3, 4), params=((0, 1),), autograd=None),),
)


def any_rot90(choose: Choose) -> Example:
    shape = choose.shape(min_dims=2, max_side=3)
    return call(shape, choose.integer(-4, 5), tuple(choose.order(range(len(shape)))[:2]))


movement(
    "rot90",
    any_rot90,
    at("", (2, 3)),
    at("backwards", (2, 3, 2), params=(-1, (2, 0))),
    compared=(at("", torch=lambda torch, x: torch.rot90(x)), at("backwards", autograd=None)),
)
for _name, _least in {"flipud": 1, "fliplr": 2}.items():
    movement(_name, lambda choose, least=_least: at("", choose.shape(min_dims=least)), at("", (2, 3)), compared=("",))


def any_roll(choose: Choose) -> Example:
    shape = choose.shape(min_dims=1)
    some = tuple(choose.axis(len(shape)) for _ in range(choose.integer(1, 2)))
    by = tuple(choose.integer(-5, 5) for _ in some)
    ways = {"raveled": by[:1], "one axis": (by[0], some[0]), "one shift": (by[0], some), "shifts": (by, some)}
    return call(shape, *ways[choose.one_of(list(ways))])


movement(
    "roll",
    any_roll,
    at("", (2, 3), params=(2,)),
    at("two axes", (3, 4), params=((1, -4), (0, 1))),
    compared=("", at("two axes", autograd=None), at("one axis", (3, 4), params=(-3, 1))),
)


def any_repeat(choose: Choose) -> Example:
    """Covers axis=-1, where HIPS/autograd permutes the gradient, which cotangents of ones do not detect."""
    shape = choose.any_shape()
    axis = choose.axis(len(shape)) if shape and choose.boolean() else None
    length = math.prod(shape) if axis is None else shape[axis]
    times = choose.integer(0, 2) if choose.boolean() else [choose.integer(0, 2) for _ in range(length)]
    return call(shape, times, axis)


movement(
    "repeat",
    any_repeat,
    at("", (2, 3), params=(3, -1)),
    at("each its own", (2, 3), params=([2, 0, 1], 1)),
    at("raveled", (2, 3), params=(2,)),
    compared=(at("", autograd=None), at("first axis", (3, 4), params=(3, 0))),
    torch="repeat_interleave",
)


def any_tile(choose: Choose) -> Example:
    several = tuple(choose.integer(0, 2) for _ in range(choose.integer(0, 4)))
    return call(choose.shape(max_side=2), choose.integer(0, 2) if choose.boolean() else several)


movement(
    "tile", any_tile, at("", (2, 3), params=(2,)), at("new axis", (2, 3), params=((2, 1, 3),)), compared=("new axis",)
)


def any_delete(choose: Choose) -> Example:
    shape = choose.shape(min_dims=1, min_side=1)
    axis = choose.axis(len(shape))
    which = choose.one_of([0, -1, [0], [shape[axis] - 1, 0], slice(None, None, 2)])
    return call(shape, which, axis)


movement(
    "delete",
    any_delete,
    at("", (2, 3), params=(1, 1)),
    at("raveled", (2, 3), params=([0, 2],)),
    compared=("", at("raveled", params=(np.array([0, 2]),))),
    torch=None,
    autograd=None,
)


def any_triangle(choose: Choose) -> Example:
    return call(choose.shape(min_dims=2), choose.integer(-4, 4))


movement("tril", any_triangle, at("", (3, 4)), at("batch", (2, 3, 3), params=(1,)), compared=("", "batch"))
movement("triu", any_triangle, at("", (4, 3), params=(-1,)), compared=("", at("batch", (2, 3, 4), params=(-1,))))

MODES = {"constant": "constant", "edge": "replicate", "reflect": "reflect", "symmetric": None, "wrap": "circular"}
WIDTHS = ((1, 2), (0, 3))


def any_pad(choose: Choose) -> Example:
    shape = choose.shape(min_side=1)
    mode = choose.one_of(list(MODES))
    pairs = [tuple(choose.integer(0, 2 if len(shape) > 2 else 4) for _ in range(2)) for _ in shape or [()]]
    widths = choose.one_of([pairs[0][0], pairs[0], pairs]) if shape else pairs[0][0]
    if mode == "constant":
        shape = tuple(choose.one_of([0, n]) for n in shape)
        return call(shape, widths, constant_values=choose.one_of([0, 0.5, -2]))
    return call(shape, widths, mode)


def torch_pad(torch, x, widths, mode):
    ((top, bottom), (left, right)) = widths
    return torch.nn.functional.pad(x[None], (left, right, top, bottom), MODES[mode])[0]


movement(
    "pad",
    any_pad,
    *[at(mode, (3, 4), params=(WIDTHS, mode)) for mode in MODES],
    at("", (3, 2), params=(1,)),
    at("with a number", (3, 2), params=(((0, 1), (2, 1)),), named={"constant_values": 0.5}),
    at("empty", (0,), params=((2, 1),)),
    torch=torch_pad,
    compared=(
        "constant",
        *[at(mode, autograd=None) for mode in ("edge", "reflect", "wrap")],
        at("symmetric", torch=None, autograd=None),
    ),
)
