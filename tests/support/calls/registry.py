"""What a call is, and what its arguments are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

import minigrad as mg
from minigrad.checks.cases import Case
from minigrad.checks.cases.registry import signed
from tests.support.layouts import KEEPING, LAYOUTS
from tests.support.strategies import shapes

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


# Arguments

DTYPES = ("float64", "float64", "float32", "mixed", "complex128")


@st.composite
def laid_out(draw, case: Case):
    """(the case with its constants laid out, arguments for it, a layout for tangents and cotangents)."""
    keeping = st.sampled_from(list(KEEPING.values()))
    layout = st.sampled_from(list(LAYOUTS.values())) if case.ties else keeping
    kinds = [d for d in DTYPES if d != "complex128" or case.holomorphic]
    kind, args = draw(st.sampled_from(kinds)), []
    rng = case.generator("imaginary")
    for x in case.arguments():
        if kind == "complex128":
            x = np.asarray(x + 1j * rng.uniform(-0.3, 0.3, x.shape))
        elif kind == "float32" or (kind == "mixed" and draw(st.booleans())):
            x = x.astype(np.float32)
        args.append(draw(layout)(x))
    constants = tuple(draw(keeping)(c) for c in case.constants)
    return replace(case, constants=constants), tuple(args), draw(keeping)
