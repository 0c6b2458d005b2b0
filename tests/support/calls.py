"""Hypothesis strategies for calls of an operation: parameters and shapes, and arguments in any dtype and layout.

`CALLS[name]` draws a case of an operation: shapes (0-d, empty, of size 1, broadcast pairs), axes, indices, paddings,
subscripts and other parameters. `arguments_of` draws its arguments. Values stay inside the domain of the operation and
away from its kinks, which have tests of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minigrad.checks.catalogue import OPERATIONS, Case
from minigrad.testing import KEEPING, LAYOUTS, strategies

DTYPES = ("float64", "float64", "float32", "mixed", "complex128")


class HypothesisChoose:
    """A `Choose` that lets hypothesis draw, and shrink, each choice."""

    def __init__(self, draw: Callable):
        self.draw = draw

    def boolean(self):
        return self.draw(st.booleans())

    def integer(self, low, high):
        return self.draw(st.integers(low, high))

    def one_of(self, options):
        return self.draw(st.sampled_from(options))

    def order(self, items):
        return list(self.draw(st.permutations(items)))

    def side(self, max_side=3):
        return self.draw(strategies.sides(max_side))

    def shape(self, min_dims=0, max_dims=3, min_side=0, max_side=4):
        return self.draw(strategies.shapes(min_dims, max_dims, min_side, max_side))

    def any_shape(self):
        return self.shape(max_dims=4, max_side=3)

    def broadcast(self, count):
        return self.draw(strategies.broadcasting(count))[0]

    def axis(self, ndim, negative=True):
        return self.draw(strategies.axes(ndim, negative))

    def axes(self, ndim):
        return self.draw(strategies.reduced_axes(ndim))

    def index(self, shape):
        return self.draw(hnp.basic_indices(shape, allow_newaxis=True))

    def slice(self, length):
        return self.draw(st.slices(length))

    def integers(self, shape, low, high):
        return self.draw(hnp.arrays(np.int64, shape, elements=st.integers(low, high)))

    def mask(self, shape):
        return self.draw(hnp.arrays(bool, shape))


def draw_choices(function: Callable) -> st.SearchStrategy:
    """A strategy for the results of a function that takes a `Choose`."""
    return st.composite(lambda draw: function(HypothesisChoose(draw)))()


def _add_seed(case: Case, seed: int) -> Case:
    """The case with the seed of its random numbers at the end of its name."""
    return replace(case, name=f"{case.name}, seed {seed}")


CALLS: dict[str, st.SearchStrategy[Case]] = {
    name: st.builds(_add_seed, draw_choices(entry.any_case), st.integers(0, 2**16))
    for name, entry in OPERATIONS.items()
}


@st.composite
def arguments_of(draw, case: Case):
    """Draws (the case with constants in some memory layout, its arguments, a layout for tangents and cotangents)."""
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
