"""Stacking and splitting by name, with arrays that have too few axes."""

from __future__ import annotations

import numpy as np

from minigrad.checks.catalogue.choose import Choose, Shape
from minigrad.checks.catalogue.operation import Example, any_array, at, movement

# At least one, two or three axes

for _name in "atleast_1d atleast_2d atleast_3d".split():
    movement(
        _name,
        any_array,
        at("", (3, 4)),
        at("0-d", ()),
        at("vector", (3,)),
        at("several", (2,), (), spelled=lambda xp, *xs, name=_name: xp.add(*getattr(xp, name)(*xs))),
        compared=("vector",),
    )

# Stacking


def any_stacked(choose: Choose, name: str) -> Example:
    """Two calls in one: arrays with too few axes, or with one axis of different lengths."""
    if choose.boolean():
        shapes: list[Shape] = [(choose.side() + 1,)] * choose.integer(1, 3)
        return at("vectors", *shapes, spelled=lambda xp, *xs: getattr(xp, name)(xs))
    axis = {"vstack": 0, "dstack": 2}.get(name, 1)
    shape = choose.shape(min_dims=3, max_dims=3, max_side=2)
    several = [tuple(choose.side() if i == axis else n for i, n in enumerate(shape)) for _ in range(2)]
    return at("arrays", *several, spelled=lambda xp, *xs: getattr(xp, name)([*xs, xs[0]]))


for _name in "vstack hstack dstack column_stack".split():
    movement(
        _name,
        lambda choose, name=_name: any_stacked(choose, name),
        at("", (2, 3), (2, 3)),
        at("vectors", (3,), (3,)),
        spelled=lambda xp, *xs, name=_name: getattr(xp, name)(xs),
        compared=("", "vectors"),
        **({"autograd": None} if _name == "dstack" else {}),
    )


def any_append(choose: Choose) -> Example:
    shape = choose.shape(min_dims=1, max_side=2)
    if choose.boolean():
        return at("raveled", shape, choose.any_shape())
    axis = choose.axis(len(shape))
    other = tuple(choose.side() if i == axis % len(shape) else n for i, n in enumerate(shape))
    return at(f"axis {axis}", shape, other, params=(axis,))


movement(
    "append",
    any_append,
    at("", (2, 3), ()),
    at("axis", (2, 3), (2, 1), params=(-1,)),
    compared=(at("", (2, 3), (2,)), at("axis", autograd=None)),
    torch=None,
)


def any_block(choose: Choose) -> Example:
    shape = choose.shape(min_dims=1, max_dims=2, max_side=2)
    if choose.boolean():
        return at("row", shape, shape, spelled=lambda xp, x, y: xp.block([x, y, x]))
    return at("rows", shape, shape, spelled=lambda xp, x, y: xp.block([[x, y], [y, x]]))


movement(
    "block",
    any_block,
    at("", (2, 2), (2, 1), (3,), spelled=lambda xp, x, y, z: xp.block([[x, y], [z]])),
    at("one", (2,), spelled=lambda xp, x: xp.block(x)),
    compared=(at("", torch=None, autograd=None, spelled=lambda xp, x, y, z: xp.block([[x, y], [z]])),),
    torch=None,
    autograd=None,
)

# Splitting


def any_cut(choose: Choose, name: str, axis: int | None, ndim: int) -> Example:
    """A call that splits into pieces or at indices, and joins the pieces in reverse order."""
    shape = choose.shape(min_dims=ndim, max_side=4)
    along = choose.axis(len(shape)) if axis is None else min(axis, len(shape) - 1)
    length, params = shape[along], (along,) if axis is None else ()
    if choose.boolean():
        cuts = choose.one_of([n for n in (1, 2, 3, 4) if name == "array_split" or length % n == 0])
    else:
        cuts = sorted(choose.integer(0, length) for _ in range(choose.integer(0, 3)))
    return at(
        f"{cuts}, axis {along}",
        shape,
        spelled=lambda xp, x: xp.concatenate(getattr(xp, name)(x, cuts, *params)[::-1], along),
    )


def second(name: str, cuts: int | list[int]) -> dict:
    """The second piece."""
    return {"spelled": lambda xp, x: getattr(xp, name)(x, cuts)[1]}


SHAPES: dict[str, tuple[int | None, int, Shape]] = {
    "array_split": (None, 1, (5, 2)),
    "vsplit": (0, 2, (4, 2)),
    "hsplit": (1, 1, (2, 4)),
    "dsplit": (2, 3, (1, 2, 4)),
}
for _name, (_axis, _ndim, _shape) in SHAPES.items():
    movement(
        _name,
        lambda choose, name=_name, axis=_axis, ndim=_ndim: any_cut(choose, name, axis, ndim),
        at("", _shape, **second(_name, 2)),
        at("at indices", _shape, **second(_name, [1, 3])),
        compared=(
            at("", **({"torch": lambda torch, x: torch.tensor_split(x, 2)[1]} if _name == "array_split" else {})),
        ),
    )


def unstacked(axis: int, joined: int) -> Example:
    """The pieces of an array in reverse, joined again. (NumPy's own function is in NumPy 2.1.)"""
    return {
        "spelled": lambda xp, x: xp.stack(xp.unstack(x, axis=axis)[::-1], joined),
        "formula": lambda x: np.stack(list(np.moveaxis(x, axis, 0))[::-1], joined),
    }


def any_unstack(choose: Choose) -> Example:
    shape = choose.shape(min_dims=1, max_side=3, min_side=1)
    axis = choose.axis(len(shape))
    return at(f"axis {axis}", shape, **unstacked(axis, axis))


movement(
    "unstack",
    any_unstack,
    at("", (3, 4), **unstacked(-1, 0)),
    compared=(at("", torch=None, autograd=None),),
)
