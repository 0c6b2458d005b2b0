"""Evenly spaced numbers between ends, grids and filled arrays, differentiated in ends, coordinates and values."""

from __future__ import annotations

from typing import Any

from minigrad.checks.catalogue.choose import Choose
from minigrad.checks.catalogue.draws import Draw, between, signed
from minigrad.checks.catalogue.operation import Example, any_array, at, movement, operation

JAX_ONLY = {"torch": None, "autograd": None}


def any_range(choose: Choose, name: str, draws: Draw) -> Example:
    ends = choose.broadcast(2)
    params = (choose.integer(0, 4), choose.boolean())
    return at("", *ends, params=params, named={"axis": choose.one_of([0, -1])}, draws=draws)


for _name, _draws in {"linspace": signed, "logspace": between(-1, 1), "geomspace": between(0.6, 3)}.items():
    operation(
        _name,
        lambda choose, name=_name, draws=_draws: any_range(choose, name, draws),
        at("", (), (), params=(5,)),
        at("of arrays", (3, 1), (2,), params=(4, False), named={"axis": -1}),
        at("one sample", (2,), (2,), params=(1,)),
        draws=_draws,
        holomorphic=_name != "geomspace",
        compared=(at("", **({} if _name == "linspace" else {"autograd": None})), at("of arrays", autograd=None)),
        torch=None,
    )


def any_meshgrid(choose: Choose) -> Example:
    shapes = [choose.shape(max_dims=1, max_side=3) for _ in range(choose.integer(1, 3))]
    named = {"indexing": choose.one_of(["xy", "ij"]), "sparse": choose.boolean()}
    return at(f"{named}", *shapes, spelled=lambda xp, *xs: join(xp, xp.meshgrid(*xs, **named)))


def join(xp: Any, arrays: tuple) -> Any:
    """Arrays of any shapes, raveled and joined."""
    return xp.concatenate([xp.ravel(x) for x in arrays])


movement(
    "meshgrid",
    any_meshgrid,
    at("", (3,), (2,), spelled=lambda xp, *xs: xp.stack(xp.meshgrid(*xs, indexing="xy"))),
    at("ij", (3,), (2,), (), spelled=lambda xp, *xs: xp.stack(xp.meshgrid(*xs, indexing="ij"))),
    compared=(at("", autograd=None),),
)
movement(
    "full",
    any_array,
    at("", (3,), spelled=lambda xp, x: xp.full((2, 3), x)),
    spelled=lambda xp, x: xp.full((2, *x.shape), x),
    compared=(at("", **JAX_ONLY),),  # HIPS/autograd sums the gradient to one number
)
operation(
    "full_like",
    any_array,
    at("", (2, 3), spelled=lambda xp, x: xp.full_like(x, x[:, :1])),
    spelled=lambda xp, x: xp.full_like(x, xp.sum(x)),
    compared=(at("", **JAX_ONLY),),
)
