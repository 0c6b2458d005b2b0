"""What a call is, and how its arguments lie in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st
from strategies import shapes

import minigrad as mg
from minigrad.checks.cases import Case
from minigrad.checks.cases.registry import signed

CALLS: dict[str, st.SearchStrategy[Case]] = {}
SHAPES = shapes(max_dims=4, max_side=3)


def calls(*names: str) -> Callable:
    """Decorator: a function (draw, name) that makes a case of each of these operations.

    The name of a case says what was drawn; the seed at its end is that of all its random numbers.
    """

    def register(function: Callable) -> Callable:
        for name in names:
            assert name not in CALLS, f"two strategies draw calls of {name}"
            CALLS[name] = st.builds(
                lambda case, seed: replace(case, name=f"{case.name}, seed {seed}"),
                st.composite(lambda draw, name: function(draw, name))(name),
                st.integers(0, 2**16),
            )
        return function

    return register


def spelled(name: str, shape, *args, draw=signed, **kwargs) -> Case:
    """A call that minigrad and NumPy write the same: function `name` of one array and these parameters."""
    return alike(name, lambda xp, x: getattr(xp, name)(x, *args, **kwargs), shape, what=(args, kwargs), values=draw)


def alike(name: str, function: Callable, *shapes, what="", values=signed, **options) -> Case:
    """The same for any function that gets the namespace first."""
    return Case(
        f"{name}/{what}",
        lambda *xs: function(mg, *xs),
        lambda *xs: function(np, *xs),
        tuple(shapes),
        (values,) * len(shapes),
        **options,
    )


# Memory


def strided(x):
    """The same numbers, every other one of a larger array along each axis."""
    large = np.zeros([2 * n for n in x.shape], x.dtype)
    view = large[(..., *[slice(None, None, 2)] * x.ndim)]
    view[...] = x
    return view


def backwards(x):
    """The same numbers with negative strides."""
    turn = (..., *[slice(None, None, -1)] * x.ndim)
    return x[turn].copy()[turn]


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def repeated(x):
    """The first row everywhere, with stride 0 and read-only."""
    return np.broadcast_to(x[:1], x.shape) if x.ndim and len(x) else x


def uniform(x):
    """The first element everywhere, with strides of 0 and read-only."""
    return np.broadcast_to(x[(slice(1),) * x.ndim], x.shape) if x.ndim and x.size else x


KEEPING = {
    "C": lambda x: x,
    "Fortran": lambda x: np.asarray(x, order="F"),
    "strided": strided,
    "backwards": backwards,
    "read-only": read_only,
}
"""Layouts that keep the numbers."""
LAYOUTS = {**KEEPING, "stride 0": repeated, "all strides 0": uniform}

DTYPES = ("float64", "float64", "float32", "mixed", "complex128")


@st.composite
def laid_out(draw, case: Case):
    """(the case with its constants, its arguments, a layout for tangents and cotangents)."""
    keeping = st.sampled_from(list(KEEPING))
    layout = keeping if not case.ties else st.sampled_from(list(LAYOUTS))
    kinds = [d for d in DTYPES if d != "complex128" or case.holomorphic]
    kind, args = draw(st.sampled_from(kinds)), []
    rng = case.generator("imaginary")
    for x in case.arguments():
        if kind == "complex128":
            x = np.asarray(x + 1j * rng.uniform(-0.3, 0.3, x.shape))
        elif kind == "float32" or (kind == "mixed" and draw(st.booleans())):
            x = x.astype(np.float32)
        args.append(LAYOUTS[draw(layout)](x))
    constants = tuple(KEEPING[draw(keeping)](c) for c in case.constants)
    return replace(case, constants=constants), tuple(args), KEEPING[draw(keeping)]
